"""Finding what was mailed to an address, for reports and replies that carry no token of ours; and whom a thread mailed.

The first is asked by the inbound room only after everything stronger has failed. Always of one tenant, of one address
and since a moment, so that the index over recipients bounds the work. Writes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, func, literal_column, select, text

from gateway.outbound.queue import Booked
from gateway.store.database import Prepared, Transaction, storable
from gateway.store.schema import attempt, delivery, message, thread

MOST = 50  # deliveries to one address that are looked at, the latest first


@dataclass(frozen=True, slots=True)
class Mailed:
    """A delivery to an address, with what may tell it from others. `number` is its document's."""

    made: Booked
    state: str
    created_at: int  # ms
    subject: str
    document_type: str
    number: str


_BOOKED = (
    delivery.c.tenant_id, delivery.c.message_id, delivery.c.number, delivery.c.thread_id, delivery.c.recipient,
    delivery.c.token, delivery.c.attempts, delivery.c.expires_at, delivery.c.notify,
)  # fmt: skip
_TO_ADDRESS = (delivery.c.tenant_id == bindparam("k_tenant")) & (
    func.lower(delivery.c.recipient) == bindparam("k_address")
)
_MAILED = Prepared(
    select(
        *_BOOKED,
        delivery.c.state,
        delivery.c.created_at,
        message.c.subject,
        thread.c.document_type,
        thread.c.document_number,
    )
    .join(message, (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id))
    .join(thread, (thread.c.tenant_id == delivery.c.tenant_id) & (thread.c.thread_id == delivery.c.thread_id))
    .where(_TO_ADDRESS, delivery.c.created_at >= bindparam("since_ms"), delivery.c.attempts > literal_column("0"))
    .order_by(delivery.c.message_id.desc())
    .suffix_with(text(f"LIMIT {MOST}"))
)


def mailed_to(tx: Transaction, tenant_id: str, address: str, since_ms: int) -> list[Mailed]:
    """The tenant's deliveries to an address since a moment that were handed to a server, the latest first."""
    values = {"k_tenant": tenant_id, "k_address": storable(address.lower()), "since_ms": since_ms}
    rows = tx.run(_MAILED, values).fetchall()
    return [Mailed(Booked(*row[: len(_BOOKED)]), *row[len(_BOOKED) :]) for row in rows]


_WAS_MAILED = Prepared(
    select(delivery.c.number)
    .where(_TO_ADDRESS, delivery.c.thread_id == bindparam("k_thread"))
    .suffix_with(text("LIMIT 1"))
)


def was_mailed(tx: Transaction, tenant_id: str, thread_id: str, address: str) -> bool:
    """Whether mail of a thread went to an address, in any case of letters."""
    values = {"k_tenant": tenant_id, "k_address": storable(address.lower()), "k_thread": thread_id}
    return tx.run(_WAS_MAILED, values).fetchone() is not None


def named_by_server(tx: Transaction, mailed: Iterable[Mailed], name: str) -> list[Mailed]:
    """Those whose server, when it took them, answered with a name: the Message-ID that it gave them (SES, for one)."""
    return [one for one in mailed if any(name in words for words in _answers(tx, one.made))]


def _answers(tx: Transaction, made: Booked) -> list[str]:
    where = (
        (attempt.c.tenant_id == made.tenant_id)
        & (attempt.c.message_id == made.message_id)
        & (attempt.c.number == made.number)
    )
    return [row[0] for row in tx.all(select(attempt.c.text).where(where).limit(100))]


SOME_MAILS = 20
_OF_THREAD = (
    (message.c.tenant_id == bindparam("k_tenant"))
    & (message.c.thread_id == bindparam("k_thread"))
    & (message.c.direction == literal_column("'out'"))
)
_SOME_MAILS = Prepared(
    select(message.c.message_id).where(_OF_THREAD).suffix_with(text(f"LIMIT {SOME_MAILS}"))
)  # `limit` would add a parameter on SQLite
_SOME_IDS = [f"k_id{at}" for at in range(SOME_MAILS)]
_SOME_RECIPIENTS = Prepared(
    select(delivery.c.recipient).where(
        delivery.c.tenant_id == bindparam("k_tenant"), delivery.c.message_id.in_([bindparam(n) for n in _SOME_IDS])
    )
)


def some_recipients(tx: Transaction, tenant_id: str, thread_id: str) -> set[str]:
    """The (lower-case) addresses that some mails of a thread went to: bounded where a thread is not, so unordered.

    Two questions, since PostgreSQL joins the two tables by reading every delivery of the tenant.
    """
    ids = [row[0] for row in tx.run(_SOME_MAILS, {"k_tenant": tenant_id, "k_thread": thread_id}).fetchall()]
    if not ids:
        return set()
    keys = dict(zip(_SOME_IDS, ids + [ids[0]] * (SOME_MAILS - len(ids)), strict=True))
    return {row[0].lower() for row in tx.run(_SOME_RECIPIENTS, {"k_tenant": tenant_id, **keys}).fetchmany(1000)}
