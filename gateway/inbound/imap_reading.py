"""Mails of a mailbox, read in workers: small ones by the bundle, and none costs another anything.

Used by a pull and by the loop that judges the spool. Tasks in the workers are few at once, since those of the receiver
stand behind them; so one `Reader` serves all who read what may wait.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.inbound.reception import Reception, Unreadable
from gateway.mail.received import ReceivedMail

log = structlog.get_logger()

READ_AT_ONCE = 4  # tasks in the workers
BUNDLE_MAILS, BUNDLE_BYTES = 8, 2**17  # that a worker reads in one task, within the time of one mail


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what may wait."""

    reception: Reception
    _reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READ_AT_ONCE))

    async def read(self, raws: Sequence[bytes], tenant_id: str, mailbox: str) -> list[ReceivedMail | None]:
        """Mails, bundle by bundle and as many at once as may be; None for one that cannot be read."""
        sizes = {number: len(raw) for number, raw in enumerate(raws)}
        tasks = parts(sizes, BUNDLE_MAILS, BUNDLE_BYTES)
        bundles = await asyncio.gather(*(self._read_some([raws[number] for number in some]) for some in tasks))
        read = [mail for some in bundles for mail in some]
        for raw, mail in zip(raws, read, strict=True):
            if mail is None:
                log.warning("imap.unreadable", tenant=tenant_id, mailbox=mailbox, size=len(raw))
        return read

    async def _read_some(self, raws: list[bytes]) -> list[ReceivedMail | None]:
        """Small mails in one task of a worker; when that fails, each alone."""
        if len(raws) > 1 and self.reception.read_some is not None:
            async with self._reading:
                read = await self.reception.read_some(raws)
            if read is not None:
                return list(read)
        return list(await asyncio.gather(*(self._read_alone(raw) for raw in raws)))

    async def _read_alone(self, raw: bytes) -> ReceivedMail | None:
        async with self._reading:
            with contextlib.suppress(Unreadable):
                return await self.reception.read(raw)
        return None


def parts(sizes: Mapping[int, int], most: int, most_bytes: int) -> Iterator[list[int]]:
    """The keys of sizes, so many at once or of so many bytes, or one."""
    part: list[int] = []
    size = 0
    for key, own in sizes.items():
        if part and (len(part) >= most or size + own > most_bytes):
            yield part
            part, size = [], 0
        part.append(key)
        size += own
    if part:
        yield part
