"""One look at a mailbox: what is new is fetched in batches, and kept with the cursor: spooled, or judged at once.

Called by the poller with an open session. A batch is fetched while the one before is read and kept, in parts; of a
mailbox that gives all its mail nothing is read until it is stored (`spooling`). Mails are asked for by UID beyond the
cursor, their sizes first, so that a batch is bounded; one that is too large is noted from its header. A folder that was
numbered anew (another UIDVALIDITY, or a UIDNEXT behind us) is read again from the day on which we began: what is kept
already is known by its Message-ID and body, so nothing comes twice and nothing is lost.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

import structlog

from gateway.inbound.imap_reading import Reader, parts
from gateway.inbound.imap_session import Folder, ImapFailed, ImapSession, Sized
from gateway.inbound.imap_taking import Letter, spool_batch, take_batch
from gateway.inbound.imap_wire import Patience
from gateway.inbound.spooling import Spooling
from gateway.store.database import StoreUnavailable
from gateway.store.mailbox_account import ALL, LEAVE, read_day
from gateway.store.mailboxes import Cursor, LeaseLost, Mailbox

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")
_Fetched = tuple[list[int], dict[int, Sized], dict[int, bytes]]
_Read = tuple[int, list[Letter]]

SIZED_AT_ONCE = 500
KEPT_AT_ONCE = 16, 2**18  # mails and bytes in one commit, which other doors wait for: some 10 ms
SPOOLED_AT_ONCE = 128, 2**20  # the same of those that are only stored
FEW = 16, 2**20  # that come even when the spool is full: a mailbox that gets a mail now and then waits for no other
TRIES = 5  # to fetch a mail, each time alone
VISIT_SECONDS = 300.0  # then others have their turn


@dataclass(frozen=True, slots=True)
class Threads:
    """Where a session's blocking calls run."""

    pool: ThreadPoolExecutor

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it there."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, lambda: function(*args, **kwargs))


@dataclass(slots=True)
class Pull:
    """A look at one mailbox."""

    reader: Reader
    spooling: Spooling
    node: str
    box: Mailbox
    session: ImapSession
    threads: Threads
    clock: Callable[[], datetime]
    patience: Patience
    stuck: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _cursor: Cursor | None = None
    _folder: Folder | None = None
    _talking: asyncio.Lock = field(default_factory=asyncio.Lock)  # one command at a time
    _spooled: int = 0  # in this visit
    _many: bool = False
    full: bool = False  # the last look ended since the spool is

    @property
    def spools(self) -> bool:
        """Whether mail is stored now and judged later.

        Mail that may be none of our business is judged before it is kept; and so is mail of which those that are taken
        are to be moved or deleted.
        """
        return self.box.account.takes == ALL and self.box.account.after == LEAVE

    async def run(self, *, anew: bool = False) -> bool:
        """Take what is new; True when time is up and there may be more. `anew`: in the folder that is open already."""
        account = self.box.account
        until, self.full = asyncio.get_running_loop().time() + VISIT_SECONDS, False
        if not anew or self._folder is None or self._cursor is None:
            readonly = account.after == LEAVE
            self._folder = await self.threads.run(self.session.select, account.folder, readonly=readonly)
            self._cursor = await self._begin(self._folder)
        else:
            self._folder = Folder(self._folder.uidvalidity, 0, self._folder.exists)
        while asyncio.get_running_loop().time() < until and not self.full:
            uids, limit = await self._find(self._folder, self._cursor)
            if uids:
                self._many = self.spools and len(uids) > FEW[0]
                with self.spooling.filling() if self._many else nullcontext():
                    await self._take_all(uids, self._cursor, until)
            elif limit:
                await self._store([], Cursor(self._cursor.uidvalidity, limit))
            else:
                return False
        return True

    async def _begin(self, folder: Folder) -> Cursor:
        """Where to go on; a folder that is new or numbered anew: from its end, or from the day that was asked for."""
        known = self.box.cursor
        same = known is not None and known.uidvalidity == folder.uidvalidity
        if known is not None and same and not 0 < folder.uidnext <= known.last_uid:
            return known
        last = await self.threads.run(self.session.last_uid, folder)
        if known is None:
            begun = (
                Cursor(folder.uidvalidity, last)
                if not self.box.account.since
                else Cursor(folder.uidvalidity, 0, last + 1)
            )
        else:
            begun = Cursor(folder.uidvalidity, 0, max(last, known.last_uid if same else 0) + 1)
            log.warning("imap.numbered_anew", tenant=self.box.tenant_id, mailbox=self.box.name)
        await self._store([], begun)
        return begun

    async def _find(self, folder: Folder, cursor: Cursor) -> tuple[list[int], int]:
        """(UIDs to judge, 0); when none of those that were there before is left, ([], the last of them)."""
        if cursor.last_uid + 1 >= cursor.recheck_below:
            return await self.threads.run(self.session.find, cursor.last_uid, None, folder), 0
        since = (self._start() - timedelta(days=1)).date()
        found = await self.threads.run(self.session.find, cursor.last_uid, since, folder)
        before = [uid for uid in found if uid < cursor.recheck_below]
        return before, 0 if before else cursor.recheck_below - 1

    def _start(self) -> datetime:
        """Mail that came before is not ours to take."""
        if self.box.account.since:
            return datetime.combine(read_day(self.box.account.since), datetime.min.time(), UTC)
        return self.box.created_at or datetime.fromtimestamp(0, UTC)

    async def _take_all(self, uids: list[int], cursor: Cursor, until: float) -> None:
        """Fetch, read and keep, all three at once: each is one step ahead of the next, and no further."""
        fetched = ahead(self._fetched(uids, cursor, until))
        async with aclosing(ahead(self._read(fetched))) as parts:
            async for last, letters in parts:
                taken = await self._store(letters, Cursor(cursor.uidvalidity, last, cursor.recheck_below))
                if taken and self.box.account.after != LEAVE:
                    account = self.box.account
                    async with self._talking:
                        await self.threads.run(self.session.finish, taken, account.after, account.move_to)

    async def _fetched(self, uids: list[int], cursor: Cursor, until: float) -> AsyncGenerator[_Fetched]:
        for begin in range(0, len(uids), SIZED_AT_ONCE):
            some = uids[begin : begin + SIZED_AT_ONCE]
            sizes = await self._sizes(some, dated=some[0] < cursor.recheck_below)
            for batch in self._batches(some, sizes):
                if await self._must_wait(batch, sizes):
                    self.full = True
                    return
                yield batch, sizes, await self._fetch(batch, sizes)
                if asyncio.get_running_loop().time() > until:
                    return

    async def _sizes(self, uids: list[int], *, dated: bool) -> dict[int, Sized]:
        """What is to be taken of these; `dated`: nothing of before we began."""
        async with self._talking:
            sizes = await self.threads.run(self.session.sizes, uids, dated=dated)
        start = self._start()
        old = {uid for uid, one in sizes.items() if dated and one.at is not None and one.at < start}
        return {uid: one for uid, one in sizes.items() if uid not in old}

    async def _read(self, fetched: AsyncGenerator[_Fetched]) -> AsyncGenerator[_Read]:
        """(the last UID, the letters) of what is kept in one commit: other doors wait for it."""
        async with aclosing(fetched):
            async for batch, sizes, mails in fetched:
                most = SPOOLED_AT_ONCE if self.spools else KEPT_AT_ONCE
                for part in parts({uid: len(mails.get(uid, b"")) for uid in batch}, *most):
                    found = {uid: mails[uid] for uid in part if uid in mails}
                    stuck = [uid for uid in part if uid in sizes and self._is_stuck(uid)]
                    letters = await self._read_all(found, sizes)
                    yield part[-1], letters + [Letter(uid, sizes[uid].size, b"", None) for uid in stuck]

    async def _must_wait(self, batch: list[int], sizes: dict[int, Sized]) -> bool:
        """Whether so much waits to be judged that no more is to be fetched."""
        size = sum(sizes[uid].size for uid in batch if uid in sizes)
        return self.spools and (self._many or size > FEW[1]) and await self.spooling.is_full()

    def _batches(self, uids: list[int], sizes: dict[int, Sized]) -> Iterator[list[int]]:
        """UIDs by the batch; after a failure each mail alone, so that one which cannot be read holds up no other."""
        most = 1 if self.box.failures else self.patience.batch_mails
        batch: list[int] = []
        size = 0
        for uid in uids:
            own = sizes[uid].size if uid in sizes else 0
            if batch and (len(batch) >= most or size + own > self.patience.batch_bytes):
                yield batch
                batch, size = [], 0
            batch.append(uid)
            size += own
        yield batch

    async def _fetch(self, batch: list[int], sizes: dict[int, Sized]) -> dict[int, bytes]:
        """The mails; of those that are too large, the headers."""
        known = [uid for uid in batch if uid in sizes and not self._is_stuck(uid)]
        wanted = [uid for uid in known if sizes[uid].size <= self.patience.message]
        mails: dict[int, bytes] = {}
        if wanted:
            try:
                expected = sum(sizes[uid].size for uid in wanted)
                async with self._talking:
                    mails |= await self.threads.run(self.session.fetch, wanted, expected)
            except ImapFailed:
                self._count_stuck(batch)
                raise
        for uid in known:
            if sizes[uid].size > self.patience.message:
                async with self._talking:
                    mails[uid] = await self.threads.run(self.session.head, uid)
        return mails

    def _count_stuck(self, batch: list[int]) -> None:
        """A mail that could not be fetched alone, again and again, is left behind by the visits to come."""
        if len(batch) == 1:
            key = (self.box.tenant_id, self.box.name, batch[0])
            self.stuck[key] = self.stuck.get(key, 0) + 1

    def _is_stuck(self, uid: int) -> bool:
        return self.stuck.get((self.box.tenant_id, self.box.name, uid), 0) >= TRIES

    async def _read_all(self, mails: dict[int, bytes], sizes: dict[int, Sized]) -> list[Letter]:
        """What is judged at once is read; of what is spooled, only headers of mails that stay there."""
        size = {uid: max(sizes[uid].size, len(raw)) for uid, raw in mails.items()}
        large = {uid for uid in mails if size[uid] > self.patience.message}
        wanted = {uid: raw for uid, raw in mails.items() if uid in large or not self.spools}
        read = await self.reader.read(list(wanted.values()), self.box.tenant_id, self.box.name)
        known = dict(zip(wanted, read, strict=True))
        return [Letter(uid, size[uid], b"" if uid in large else raw, known.get(uid)) for uid, raw in mails.items()]

    async def _store(self, letters: list[Letter], cursor: Cursor) -> list[int]:
        """Keep a batch with the cursor; when the store chokes on one, each alone."""
        try:
            taken = await self._commit(letters, cursor)
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception:  # one of them, perhaps: each is tried alone
            if not letters:
                raise
            log.error("imap.batch_failed", tenant=self.box.tenant_id, mailbox=self.box.name, exc_info=True)
            taken = []
            for letter in letters:
                moved = Cursor(cursor.uidvalidity, letter.uid, cursor.recheck_below)
                taken += await self._commit_alone(letter, moved)
            if letters[-1].uid < cursor.last_uid:
                await self._commit([], cursor)
        self._cursor = cursor
        return taken

    async def _commit_alone(self, letter: Letter, cursor: Cursor) -> list[int]:
        try:
            return await self._commit([letter], cursor)
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception:  # as one that cannot be read
            return await self._commit([Letter(letter.uid, letter.size, letter.raw, None)], cursor)

    async def _commit(self, letters: list[Letter], cursor: Cursor) -> list[int]:
        database, names, now = self.reader.reception.database, self.reader.reception.names, self.clock()
        if not self.spools:
            return await database.write(take_batch, names, self.node, self.box, letters, cursor, now)
        await database.write(spool_batch, names, self.node, self.box, letters, cursor, now, self._spooled)
        if some := sum(bool(one.raw) for one in letters):
            self._spooled += some
            self.spooling.wake()
        return []


async def ahead(source: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """What `source` gives, while it is at work on the next; it is never left in the middle of a step."""
    async with aclosing(source):
        coming = asyncio.ensure_future(anext(source, None))
        try:
            while (item := await coming) is not None:
                coming = asyncio.ensure_future(anext(source, None))
                yield item
        finally:
            if not coming.done():
                await asyncio.wait([coming])
            if not coming.cancelled():
                coming.exception()
