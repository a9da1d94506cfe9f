"""Finding what was mailed to an address: for reports and replies that carry no token of ours.

Asked by the inbound room only after everything stronger has failed. Always of one tenant, of one address and since a
moment, so that the index over recipients bounds the work. Writes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select

from gateway.outbound.queue import Booked
from gateway.store.database import Transaction, storable
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


def mailed_to(tx: Transaction, tenant_id: str, address: str, since_ms: int) -> list[Mailed]:
    """The tenant's deliveries to an address since a moment that were handed to a server, the latest first."""
    of_thread = (thread.c.tenant_id == delivery.c.tenant_id) & (thread.c.thread_id == delivery.c.thread_id)
    of_message = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    columns = (
        delivery.c.tenant_id, delivery.c.message_id, delivery.c.number, delivery.c.thread_id, delivery.c.recipient,
        delivery.c.token, delivery.c.attempts, delivery.c.expires_at, delivery.c.notify,
    )  # fmt: skip
    rows = tx.all(
        select(
            *columns,
            delivery.c.state,
            delivery.c.created_at,
            message.c.subject,
            thread.c.document_type,
            thread.c.document_number,
        )
        .join(message, of_message)
        .join(thread, of_thread)
        .where(
            delivery.c.tenant_id == tenant_id,
            func.lower(delivery.c.recipient) == storable(address.lower()),
            delivery.c.created_at >= since_ms,
            delivery.c.attempts > 0,
        )
        .order_by(delivery.c.message_id.desc())
        .limit(MOST)
    )
    return [Mailed(Booked(*row[: len(columns)]), *row[len(columns) :]) for row in rows]


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
