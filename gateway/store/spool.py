"""The spool: mail of tenants' mailboxes that is on our disk, and waits to be judged.

Written by `inbound`, both ends: a pull adds mail with its cursor, and the loop that judges takes it away in the
transaction that keeps it. Its bytes lie in `content` from the beginning, under the id that the message will have. A
row is booked by one node for a while, as a delivery is, so that no two read one mail; whoever judges it ends the row.
`turn` is its place in the order: mail that comes alone goes before the rest of a mailbox that brings thousands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update

from gateway.store.database import Prepared, Transaction, from_ms, need_time, new_id, to_ms
from gateway.store.messages import put_spooled
from gateway.store.schema import spool

TURN_MS = 10  # by which each mail of one visit stands behind the one before
ROW_BYTES = 4096  # that a mail counts for beside its own


@dataclass(frozen=True, slots=True)
class Spooled:
    """A mail that waits: of which mailbox, how large, how often judging it has failed, and when it came to us."""

    tenant_id: str
    message_id: str
    mailbox: str
    uid: int
    size: int
    tries: int
    came_at: datetime


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits: `size` in bytes with what each row counts for, and since when the longest."""

    mails: int = 0
    size: int = 0
    since: datetime | None = None


_INSERT = Prepared(insert(spool), [column.name for column in spool.columns])
_BOOK = Prepared(
    update(spool)
    .where((spool.c.tenant_id == bindparam("tenant")) & (spool.c.message_id == bindparam("message")))
    .values(booked_by=bindparam("node"), next_at=bindparam("until"))
)
_END = Prepared(
    delete(spool).where(
        (spool.c.tenant_id == bindparam("tenant"))
        & (spool.c.message_id == bindparam("message"))
        & (spool.c.booked_by == bindparam("node"))
    )
)
_FIELDS = (
    spool.c.tenant_id, spool.c.message_id, spool.c.mailbox, spool.c.uid, spool.c.size, spool.c.tries, spool.c.came_at,
)  # fmt: skip


def add_spooled(
    tx: Transaction, now: datetime, place: tuple[str, str], mails: Sequence[tuple[int, bytes]], before: int
) -> None:
    """Keep (UID, bytes) of a (tenant, mailbox), to be judged; `before`: so many came in this visit already."""
    now_ms = to_ms(now)
    for number, (uid, raw) in enumerate(mails, before):
        message_id = new_id()
        put_spooled(tx, place[0], message_id, raw)
        tx.send(
            _INSERT,
            {
                "tenant_id": place[0], "message_id": message_id, "mailbox": place[1], "uid": uid, "size": len(raw),
                "turn": now_ms + number * TURN_MS, "tries": 0, "next_at": now_ms, "booked_by": "", "came_at": now_ms,
            },
        )  # fmt: skip


def any_spooled(tx: Transaction, now_ms: int, *, patient: bool) -> bool:
    """Whether something is to be judged: asked before the claim's write transaction."""
    return tx.first(select(spool.c.uid).where(*_is_next(now_ms, patient)).limit(1)) is not None


def claim_spooled(tx: Transaction, now_ms: int, node: str, until_ms: int, most: int, *, patient: bool) -> list[Spooled]:
    """Book what is to be judged next until a moment, in its order; what others have booked is passed over.

    `patient`: only what has its turn by now, so that a mailbox which brings thousands is stored before it is judged.
    """
    found = select(*_FIELDS).where(*_is_next(now_ms, patient)).order_by(spool.c.turn).limit(most)
    if tx.skips_locked:
        found = found.with_for_update(skip_locked=True)
    claimed = [_spooled(row) for row in tx.all(found)]
    booked = [{"tenant": one.tenant_id, "message": one.message_id, "node": node, "until": until_ms} for one in claimed]
    tx.run_many(_BOOK, booked)
    return claimed


def end_spooled(tx: Transaction, node: str, one: Spooled) -> bool:
    """It is judged, in this transaction; False when another did it, or has booked it: then it is not ours to judge."""
    return bool(tx.run(_END, {"tenant": one.tenant_id, "message": one.message_id, "node": node}).rowcount)


def put_back(tx: Transaction, node: str, some: Sequence[Spooled], at_ms: int, failed: int = 0) -> None:
    """Give bookings back: what was not judged is to be, from a moment on; `failed` more times it could not be."""
    for one in some:
        where = (spool.c.tenant_id == one.tenant_id) & (spool.c.message_id == one.message_id)
        values: dict[str, Any] = {"booked_by": "", "next_at": at_ms, "tries": spool.c.tries + failed}
        tx.change(update(spool).where(where, spool.c.booked_by == node).values(**values))


def free_spooled(tx: Transaction, node: str, now_ms: int) -> None:
    """What a former life of this node had booked is to be judged now."""
    tx.change(update(spool).where(spool.c.booked_by == node).values(booked_by="", next_at=now_ms))


def _is_next(now_ms: int, patient: bool) -> list[ColumnElement[bool]]:
    return [spool.c.next_at <= now_ms, *([spool.c.turn <= now_ms] if patient else [])]


def _spooled(row: Any) -> Spooled:
    return Spooled(row[0], row[1], row[2], row[3], row[4], row[5], need_time(row[6]))


def spool_depth(tx: Transaction) -> Depth:
    """How much waits in all."""
    row = tx.first(select(func.count(), func.sum(spool.c.size), func.min(spool.c.came_at)).select_from(spool))
    return Depth(row[0], int(row[1] or 0) + ROW_BYTES * row[0], from_ms(row[2]))


def spool_depths(tx: Transaction) -> dict[tuple[str, str], Depth]:
    """How much waits of each (tenant, mailbox) that anything waits of."""
    place = (spool.c.tenant_id, spool.c.mailbox)
    asked = select(*place, func.count(), func.sum(spool.c.size), func.min(spool.c.came_at)).group_by(*place)
    return {(row[0], row[1]): Depth(row[2], int(row[3]) + ROW_BYTES * row[2], from_ms(row[4])) for row in tx.all(asked)}
