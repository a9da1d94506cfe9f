"""Answers that somebody began, one per thread and person, until they are sent or thrown away. Writes `draft`."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from gateway.store.database import Transaction, storable, to_ms
from gateway.store.schema import draft

_KEYS = [draft.c.tenant_id, draft.c.thread_id, draft.c.user_id]


def put_draft(
    tx: Transaction, now: datetime, tenant_id: str, thread_id: str, user_id: str, data: Mapping[str, Any]
) -> None:
    """Keep what a person has written so far."""
    made = {"tenant_id": tenant_id, "thread_id": thread_id, "user_id": user_id}
    values = {"data": storable(json.dumps(data, ensure_ascii=False)), "updated_at": to_ms(now)}
    tx.change(tx.upsert(draft).values(made | values).on_conflict_do_update(index_elements=_KEYS, set_=values))


def get_draft(tx: Transaction, tenant_id: str, thread_id: str, user_id: str) -> dict[str, Any] | None:
    """What they have written; None when there is nothing."""
    row = tx.first(select(draft.c.data).where(*_of(tenant_id, thread_id, user_id)))
    return dict(json.loads(row[0])) if row else None


def drop_draft(tx: Transaction, tenant_id: str, thread_id: str, user_id: str) -> None:
    """It was sent, or thrown away."""
    tx.change(delete(draft).where(*_of(tenant_id, thread_id, user_id)))


def _of(tenant_id: str, thread_id: str, user_id: str) -> tuple[Any, ...]:
    keys = {draft.c.tenant_id: tenant_id, draft.c.thread_id: thread_id, draft.c.user_id: user_id}
    return tuple(column == value for column, value in keys.items())
