"""Doorstep of tenants' mailboxes: a few threads look at many of them, and the busiest are waited for with IDLE.

Run beside the house (`run`). A mailbox that is due is leased by one node, looked at, and given back with its next time;
visits share `threads`, mailboxes that idle have one of `idle_threads` each, and there is no thread per mailbox. Mail is
fetched in batches while the batch before is kept; what is only stored by then is judged by the loop of `spooling`,
which runs beside. Whatever a server does costs its mailbox a
backoff and nothing else; a login that is refused, or a failure that lasts, is an alarm for the tenant, said once.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog

from gateway.inbound.imap_login import Logins
from gateway.inbound.imap_pull import Pull, Threads
from gateway.inbound.imap_reading import Reader
from gateway.inbound.imap_session import ImapFailed, ImapSession, open_session
from gateway.inbound.imap_taking import end_failed_visit, end_visit
from gateway.inbound.imap_wire import Allow, Patience
from gateway.inbound.reception import Reception
from gateway.inbound.spooling import Spooling
from gateway.store.database import StoreUnavailable, to_ms
from gateway.store.mailboxes import (
    LeaseLost,
    Mailbox,
    any_mailbox_due,
    claim_mailboxes,
    free_leases,
)
from gateway.store.sealed import Seal

log = structlog.get_logger()

TICK = 1.0  # seconds between two looks for what is due, when no visit ends meanwhile
LEASE = timedelta(minutes=20)
IDLE_SECONDS = 240.0  # of one IDLE; servers end them after 30 minutes, and a lease must not end in one
SESSION_SECONDS = 3600.0  # of an idling session, then another is opened
FULL_WAIT = 5.0  # seconds until a mailbox that the spool has no room for is looked at again
FIRST_WAIT, REFUSED_WAIT, LONGEST_WAIT = 60.0, 300.0, 3600.0
PATIENCE = timedelta(minutes=30)  # for which a mailbox may fail before that is an alarm


@dataclass(frozen=True, slots=True)
class Pace:
    """How many threads look at mailboxes, how many wait, and how often one that does not idle is looked at."""

    threads: int = 4
    idle_threads: int = 32
    every: float = 300.0
    patience: Patience = field(default_factory=Patience)
    spool: int = 2**29  # bytes that may wait to be judged


@dataclass(slots=True)
class _Idler:
    """A mailbox that idles. `leave`: another is busier."""

    box: Mailbox
    session: ImapSession
    leave: bool = False


@dataclass(slots=True)
class ImapPoller:
    """The mailboxes of all tenants, as this node reads them."""

    reception: Reception
    seal: Seal
    node: str
    clock: Callable[[], datetime]
    allow: Allow | None
    pace: Pace = field(default_factory=Pace)
    _visits: set[asyncio.Task[None]] = field(default_factory=set)
    _idlers: dict[asyncio.Task[None], _Idler] = field(default_factory=dict)
    _sessions: set[ImapSession] = field(default_factory=set)
    _stuck: dict[tuple[str, str, int], int] = field(default_factory=dict)  # mails, and how often they failed
    _free: asyncio.Event = field(default_factory=asyncio.Event)  # a visit has ended
    _ending: bool = False
    _reader: Reader = field(init=False)
    _spooling: Spooling = field(init=False)

    def __post_init__(self) -> None:
        """What reads mail, for visits and for the spool."""
        self._reader = Reader(self.reception)
        self._spooling = Spooling(self._reader, self.node, self.clock, self.pace.spool)

    async def run(self) -> None:
        """Look after the mailboxes, and judge what is spooled, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._spooling.run())
            if self.pace.threads:
                group.create_task(self._visit_all())

    async def _visit_all(self) -> None:
        polls = ThreadPoolExecutor(self.pace.threads, thread_name_prefix="imap")
        waits = ThreadPoolExecutor(self.pace.idle_threads or 1, thread_name_prefix="imap-idle")
        logins = Logins(self.reception.database, self.seal, self.clock)
        try:
            await self._quietly(self.reception.database.write(free_leases, self.node))
            while True:
                await self._look(polls, waits, logins)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK):
                        await self._free.wait()
                self._free.clear()
        finally:
            await self._end()
            for pool in (polls, waits):
                pool.shutdown(wait=False, cancel_futures=True)

    async def _look(self, polls: ThreadPoolExecutor, waits: ThreadPoolExecutor, logins: Logins) -> None:
        """Take up what is due, as far as there are threads."""
        free = self.pace.threads - len(self._visits)
        try:
            now = self.clock()
            if free <= 0 or not await self.reception.database.read(any_mailbox_due, to_ms(now)):
                return
            boxes = await self.reception.database.write(
                claim_mailboxes, to_ms(now), self.node, to_ms(now + LEASE), free
            )
        except StoreUnavailable:
            return
        except Exception:  # a loop never dies
            log.error("imap.look_failed", exc_info=True)
            return
        for box in boxes:
            task = asyncio.create_task(self._visit(box, polls, waits, logins))
            self._visits.add(task)
            task.add_done_callback(self._leave)

    async def _visit(self, box: Mailbox, polls: ThreadPoolExecutor, waits: ThreadPoolExecutor, logins: Logins) -> None:
        threads = Threads(polls)
        session: ImapSession | None = None
        try:
            login = await logins.login(box, threads)
            session = await threads.run(open_session, box.account, login, self.allow, self.pace.patience)
            self._sessions.add(session)
            pull = Pull(self._reader, self._spooling, self.node, box, session, threads, self.clock, self.pace.patience,
                        self._stuck)  # fmt: skip
            more = await pull.run()
            if not more and "IDLE" in session.capabilities and self._may_idle(box):
                more = await self._idle(pull, waits)
            await self._well(box, again=more, full=pull.full)
        except ImapFailed as failed:
            if failed.refused:
                await self._quietly(logins.doubt(box))
            await self._wrong(box, failed)
        except LeaseLost:
            log.info("imap.lease_lost", tenant=box.tenant_id, mailbox=box.name)
        except StoreUnavailable:
            log.warning("imap.store_unavailable", tenant=box.tenant_id, mailbox=box.name)
        except Exception:  # ours: it costs this mailbox a backoff, and no other anything
            log.error("imap.visit_failed", tenant=box.tenant_id, mailbox=box.name, exc_info=True)
            await self._wrong(box, ImapFailed("a fault of the gateway's; its log says more"))
        finally:
            if session is not None:
                self._sessions.discard(session)
                self._close(session, polls)

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._visits.discard(task)
        self._idlers.pop(task, None)
        self._free.set()

    def _close(self, session: ImapSession, polls: ThreadPoolExecutor) -> None:
        if self._ending:
            session.abandon()
        else:
            polls.submit(session.close)

    # -- waiting

    def _may_idle(self, box: Mailbox) -> bool:
        """Whether there is a thread to wait with; else the one that waits for a quieter mailbox is asked for."""
        if len(self._idlers) < self.pace.idle_threads:
            return True
        quietest = min(self._idlers.values(), key=lambda one: _busy(one.box), default=None)
        if quietest is not None and _busy(box) > _busy(quietest.box):
            quietest.leave = True
        return False

    async def _idle(self, pull: Pull, waits: ThreadPoolExecutor) -> bool:
        """Wait for mail and take it, for as long as the session may last; True when it should be opened again."""
        task = asyncio.current_task()
        assert task is not None
        idler = self._idlers[task] = _Idler(pull.box, pull.session)
        self._visits.discard(task)
        self._free.set()  # its thread is another's now
        loop = asyncio.get_running_loop()
        until = loop.time() + SESSION_SECONDS
        while loop.time() < until and not idler.leave:
            now = self.clock()
            ends = (to_ms(now), to_ms(now), to_ms(now + LEASE))
            await self.reception.database.write(end_visit, self.node, pull.box, *ends)
            pull.box = replace(pull.box, failures=0)
            stop = lambda: idler.leave or self._ending  # noqa: E731
            await loop.run_in_executor(waits, pull.session.idle, IDLE_SECONDS, stop)
            if await pull.run(anew=True):
                return True
        return not idler.leave

    # -- ends of visits

    async def _well(self, box: Mailbox, *, again: bool, full: bool) -> None:
        now = self.clock()
        wait = (FULL_WAIT if full else 0.0) if again else self.pace.every * random.uniform(0.9, 1.1)  # noqa: S311 no secret
        ends = (to_ms(now), to_ms(now) + int(wait * 1000))
        await self._quietly(self.reception.database.write(end_visit, self.node, box, *ends))

    async def _wrong(self, box: Mailbox, failed: ImapFailed) -> None:
        now = self.clock()
        first = REFUSED_WAIT if failed.refused else FIRST_WAIT
        wait = min(first * 2 ** min(box.failures, 10), LONGEST_WAIT) * random.uniform(0.8, 1.2)  # noqa: S311
        lasting = box.failures > 0 and box.changed_at is not None and now - box.changed_at >= PATIENCE
        log.warning("imap.failed", tenant=box.tenant_id, mailbox=box.name, host=box.account.host, words=failed.words)
        ends = (to_ms(now), to_ms(now) + int(wait * 1000), failed.words, failed.refused or lasting)
        await self._quietly(self.reception.database.write(end_failed_visit, self.node, box, *ends))

    async def _quietly(self, written: Awaitable[object]) -> None:
        """What cannot be written now is found again when the lease ends."""
        with contextlib.suppress(LeaseLost, StoreUnavailable):
            await written

    async def _end(self) -> None:
        """Leave every session at once: what was not committed is fetched again."""
        self._ending = True
        tasks = [*self._visits, *self._idlers]
        for task in tasks:
            task.cancel()
        for session in list(self._sessions):
            session.abandon()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self.reception.database.write(free_leases, self.node)


def _busy(box: Mailbox) -> datetime:
    """Mailboxes are busier, the later mail was taken from them; those that never gave any are all as quiet."""
    return box.arrived_at or datetime.fromtimestamp(0, UTC)
