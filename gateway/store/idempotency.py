"""Idempotency keys: the same key and content once more gets the first receipt, other content is refused.

Written by the door in the transaction that accepts the message, so that a billing system which did not hear our 250 may
hand the mail over again without a second copy. A key is remembered for seven days.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, insert, select

from gateway.store.database import Transaction
from gateway.store.schema import idempotency

REMEMBERED = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was answered the first time."""

    digest: str
    message_id: str
    thread_id: str


def find_key(tx: Transaction, now_ms: int, tenant_id: str, key: str) -> Remembered | None:
    """What the tenant's key stands for, while it is remembered."""
    since = now_ms - int(REMEMBERED.total_seconds() * 1000)
    row = tx.first(
        select(idempotency.c.digest, idempotency.c.message_id, idempotency.c.thread_id).where(
            idempotency.c.tenant_id == tenant_id, idempotency.c.key == key, idempotency.c.created_at >= since
        )
    )
    return Remembered(*row) if row else None


def remember_key(tx: Transaction, now_ms: int, tenant_id: str, key: str, made: Remembered) -> None:
    """Keep a key, and forget those of the tenant whose time is over."""
    since = now_ms - int(REMEMBERED.total_seconds() * 1000)
    tx.change(delete(idempotency).where(idempotency.c.tenant_id == tenant_id, idempotency.c.created_at < since))
    tx.change(
        insert(idempotency).values(
            tenant_id=tenant_id,
            key=key,
            digest=made.digest,
            message_id=made.message_id,
            thread_id=made.thread_id,
            created_at=now_ms,
        )
    )
