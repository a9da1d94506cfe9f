"""Addresses that a tenant's mail no longer goes to, because the address itself is wrong.

Only a permanent fault of the *recipient* (no such mailbox, no such domain, disabled) suppresses; reputation, policy and
our own faults never do, nor does a report without our token. Written by the queue, when an outcome says so.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, select

from gateway.store.database import Prepared, Transaction, need_time
from gateway.store.schema import suppression


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One address, since when and why, in the remote server's words."""

    address: str
    reason: str
    evidence: str
    message_id: str
    created_at: datetime


_COLUMNS = (
    suppression.c.address,
    suppression.c.reason,
    suppression.c.evidence,
    suppression.c.message_id,
    suppression.c.created_at,
)


def suppress(
    tx: Transaction, now_ms: int, tenant_id: str, address: str, reason: str, evidence: str, message_id: str
) -> None:
    """Stop mail to an address. The first evidence is kept."""
    values = {
        "tenant_id": tenant_id,
        "address": address.lower(),
        "reason": reason,
        "evidence": evidence,
        "message_id": message_id,
        "created_at": now_ms,
    }
    tx.change(tx.upsert(suppression).values(values).on_conflict_do_nothing())


_ONE = Prepared(
    select(*_COLUMNS).where(
        suppression.c.tenant_id == bindparam("k_tenant"), suppression.c.address == bindparam("k_address")
    )
)


def get_suppressed(tx: Transaction, tenant_id: str, address: str) -> Suppressed | None:
    """Whether one address is suppressed for the tenant; asked for every recipient."""
    row = tx.run(_ONE, {"k_tenant": tenant_id, "k_address": address.lower()}).fetchone()
    return _suppressed(row) if row else None


def list_suppressed(tx: Transaction, tenant_id: str) -> list[Suppressed]:
    """A tenant's suppressed addresses."""
    rows = tx.all(select(*_COLUMNS).where(suppression.c.tenant_id == tenant_id).order_by(suppression.c.address))
    return [_suppressed(row) for row in rows]


def unsuppress(tx: Transaction, tenant_id: str, address: str) -> bool:
    """Let mail go to the address again; False when it was not suppressed."""
    where = (suppression.c.tenant_id == tenant_id) & (suppression.c.address == address.lower())
    return bool(tx.change(delete(suppression).where(where)))


def _suppressed(row: tuple[str, str, str, str, int]) -> Suppressed:
    return Suppressed(row[0], row[1], row[2], row[3], need_time(row[4]))
