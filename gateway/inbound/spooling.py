"""The loop that judges the spool: mail of mailboxes that is stored already is read in workers, judged, and kept.

Run by the poller, in every node that could have something in it. A few bundles are under way at once: booked, read,
and committed in small transactions, so that doors get between them; a pull wakes it with each commit. Judging a mail
and ending its wait is one commit. What cannot be judged is tried alone; a mail that fails three times is kept as one
that cannot be read, which the operator sees and can have read again. Asked by pulls whether too much waits.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from gateway.inbound.imap_reading import READ_AT_ONCE, Reader, parts
from gateway.inbound.imap_taking import LANE, Read, judge_batch
from gateway.store.database import StoreUnavailable, Transaction, foresees, to_ms
from gateway.store.messages import get_content
from gateway.store.spool import Spooled, any_spooled, claim_spooled, free_spooled, put_back, spool_depth

log = structlog.get_logger()

TICK = 1.0  # seconds between two looks for what other nodes left
PATIENCE = 0.25  # the same while a pull brings many: each look and what it finds is a commit
CLAIMED = 64  # mails at once: what is newer and goes before them waits for no more
KEPT_AT_ONCE = 16, 2**18  # mails and bytes that one commit judges: 5 ms of the writer
LEASE = timedelta(minutes=5)
TRIES = 3
WAITS = (timedelta(seconds=2), timedelta(seconds=20), timedelta(minutes=15))  # after a failure


@dataclass(slots=True)
class Spooling:
    """The spool, as one node judges it. `most`: bytes that may wait."""

    reader: Reader
    node: str
    clock: Callable[[], datetime]
    most: int = 2**29
    _pulls: int = 0  # that bring many
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _claiming: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: deque[list[Spooled]] = field(default_factory=deque)

    def wake(self) -> None:
        """Something was spooled."""
        self._news.set()

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """While it lasts, a pull brings many: they are judged when all are stored, save for some in their turn."""
        self._pulls += 1
        try:
            yield
        finally:
            self._pulls -= 1
            self.wake()

    async def is_full(self) -> bool:
        """Whether no more should be spooled until some of it is judged."""
        return (await self.reader.reception.database.read(spool_depth)).size >= self.most

    async def run(self) -> None:
        """Judge what is spooled until cancelled."""
        with contextlib.suppress(StoreUnavailable):
            await self.reader.reception.database.write(free_spooled, self.node, to_ms(self.clock()))
        async with asyncio.TaskGroup() as group:
            for _ in range(READ_AT_ONCE):
                group.create_task(self._judge_on())

    async def _judge_on(self) -> None:
        while True:
            bundle: list[Spooled] = []
            try:
                bundle = await self._next()
                await self._judge(bundle)
            except StoreUnavailable:
                log.warning("imap.spool_unavailable")
                await asyncio.sleep(TICK)
                self._waiting.extend([bundle] if bundle else [])
            except Exception:  # a loop never dies
                log.error("imap.spool_failed", exc_info=True)
                await asyncio.sleep(TICK)

    async def _next(self) -> list[Spooled]:
        """The next bundle; waits until there is one."""
        async with self._claiming:
            while not self._waiting:
                if self._pulls:
                    await asyncio.sleep(PATIENCE)
                self._news.clear()
                self._waiting.extend(_bundles(await self._claim()))
                if not self._waiting:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(TICK):
                            await self._news.wait()
            return self._waiting.popleft()

    async def _claim(self) -> list[Spooled]:
        database, now, patient = self.reader.reception.database, self.clock(), self._pulls > 0
        if not await database.read_briefly(any_spooled, to_ms(now), patient=patient):
            return []
        return await database.write(_claim, to_ms(now), self.node, to_ms(now + LEASE), patient)

    async def _judge(self, bundle: list[Spooled]) -> None:
        """Read a bundle of one mailbox and judge it; when that fails, each mail alone."""
        first, database = bundle[0], self.reader.reception.database
        raws = await database.read(_contents, bundle)
        try:
            mails = await self.reader.read(raws, first.tenant_id, first.mailbox)
        except Exception:  # the workers are broken: that is no mail's fault
            log.error("imap.spool_failed", exc_info=True)
            await database.write(put_back, self.node, bundle, to_ms(self.clock() + WAITS[1]))
            return
        read = [Read(*each) for each in zip(bundle, raws, mails, strict=True)]
        try:
            await self._commit(read)
        except StoreUnavailable:
            raise
        except Exception:  # one of them, perhaps
            log.error("imap.judging_failed", tenant=first.tenant_id, mailbox=first.mailbox, exc_info=True)
            for one in read if len(read) > 1 else ():
                await self._judge_alone(one)
            if len(read) == 1:
                await self._give_up(read[0])

    async def _judge_alone(self, one: Read) -> None:
        try:
            await self._commit([one])
        except StoreUnavailable:
            raise
        except Exception:
            log.error("imap.judging_failed", tenant=one.spooled.tenant_id, mailbox=one.spooled.mailbox, exc_info=True)
            await self._give_up(one)

    async def _give_up(self, one: Read) -> None:
        """Later again; for the third time: kept as a mail that cannot be read. If not even that, much later."""
        tries = one.spooled.tries + 1
        if tries >= TRIES:
            try:
                await self._commit([Read(one.spooled, one.raw, None)])
            except StoreUnavailable:
                raise
            except Exception:
                log.error("imap.parking_failed", tenant=one.spooled.tenant_id, mailbox=one.spooled.mailbox,
                          exc_info=True)  # fmt: skip
            else:
                log.warning("imap.parked", tenant=one.spooled.tenant_id, mailbox=one.spooled.mailbox)
                return
        at = self.clock() + WAITS[min(tries, len(WAITS)) - 1]
        await self.reader.reception.database.write(put_back, self.node, [one.spooled], to_ms(at), 1)

    async def _commit(self, read: Sequence[Read]) -> None:
        reception = self.reader.reception
        await reception.database.write(judge_batch, reception.names, self.node, read, self.clock())


def _bundles(claimed: Sequence[Spooled]) -> list[list[Spooled]]:
    """What is read at once and one commit keeps: of one mailbox, in their order; what failed before is alone."""
    by_mailbox: dict[tuple[str, str, str], list[Spooled]] = {}
    for one in claimed:
        alone = one.message_id if one.tries else ""
        by_mailbox.setdefault((one.tenant_id, one.mailbox, alone), []).append(one)
    found = []
    for some in by_mailbox.values():
        sizes = {number: one.size for number, one in enumerate(some)}
        found += [[some[number] for number in part] for part in parts(sizes, *KEPT_AT_ONCE)]
    return found


def _contents(tx: Transaction, some: Sequence[Spooled]) -> list[bytes]:
    return [get_content(tx, one.tenant_id, one.message_id) for one in some]


@foresees(lambda *_: (), lane=LANE)
def _claim(tx: Transaction, now_ms: int, node: str, until_ms: int, patient: bool) -> list[Spooled]:
    return claim_spooled(tx, now_ms, node, until_ms, CLAIMED, patient=patient)
