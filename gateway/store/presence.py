"""Who is looking at a thread, or answering it, right now: a row per thread and person that ends by itself.

A page says so again every 30 seconds while it is open (PRESENT); whoever closes it is gone a minute later. Rows of the
past are dropped as others are written. The one writer of `presence`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from gateway.store.database import Transaction, need_time, to_ms
from gateway.store.schema import presence, user

LOOKING, ANSWERING = "looking", "answering"
PRESENT_MS = 60_000  # how long a word of presence holds
_KEYS = [presence.c.tenant_id, presence.c.thread_id, presence.c.user_id]


@dataclass(frozen=True, slots=True)
class Present:
    """Somebody who has a thread open."""

    user_id: str
    name: str
    email: str
    doing: str  # looking | answering
    until: datetime


def be_present(tx: Transaction, now: datetime, tenant_id: str, thread_id: str, user_id: str, doing: str) -> None:
    """Say that a user looks at a thread, or answers it, for the next minute."""
    now_ms = to_ms(now)
    made = {"tenant_id": tenant_id, "thread_id": thread_id, "user_id": user_id}
    values = {"doing": ANSWERING if doing == ANSWERING else LOOKING, "until": now_ms + PRESENT_MS}
    tx.change(tx.upsert(presence).values(made | values).on_conflict_do_update(index_elements=_KEYS, set_=values))
    tx.change(delete(presence).where(presence.c.until < now_ms - PRESENT_MS))


def be_gone(tx: Transaction, tenant_id: str, thread_id: str, user_id: str) -> None:
    """The user left the thread."""
    where = (presence.c.tenant_id == tenant_id) & (presence.c.thread_id == thread_id)
    tx.change(delete(presence).where(where, presence.c.user_id == user_id))


def who_is_present(
    tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], but: str = ""
) -> dict[str, tuple[Present, ...]]:
    """thread id -> who has it open, without the user `but`; one query."""
    same = (user.c.tenant_id == presence.c.tenant_id) & (user.c.user_id == presence.c.user_id)
    where = (presence.c.tenant_id == tenant_id) & presence.c.thread_id.in_(thread_ids)
    where &= (presence.c.until > to_ms(now)) & (presence.c.user_id != but)
    columns = (presence.c.thread_id, user.c.user_id, user.c.name, user.c.email, presence.c.doing, presence.c.until)
    found: dict[str, tuple[Present, ...]] = {}
    for row in tx.all(select(*columns).join_from(presence, user, same).where(where).order_by(user.c.email)):
        found[row[0]] = (*found.get(row[0], ()), Present(*(*row[1:5], need_time(row[5]))))
    return found
