"""What brings back how threads stood, for ten seconds after a person changed them. The one writer of `undo`."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select

from gateway.store.database import Transaction, new_id, storable
from gateway.store.schema import undo

UNDO_MS = 10_000
GRACE_MS = 5_000  # a click on its way to us


def put_undo(tx: Transaction, now_ms: int, tenant_id: str, by: str, data: Mapping[str, Any]) -> str:
    """Keep how it was; the id that brings it back. What is past is dropped."""
    undo_id = new_id()
    tx.change(delete(undo).where(undo.c.expires_at < now_ms))
    text = storable(json.dumps(data, ensure_ascii=False))
    expires = {"expires_at": now_ms + UNDO_MS + GRACE_MS}
    tx.change(insert(undo).values(tenant_id=tenant_id, undo_id=undo_id, by=by, data=text, **expires))
    return undo_id


def take_undo(tx: Transaction, now_ms: int, tenant_id: str, undo_id: str, by: str) -> dict[str, Any] | None:
    """How it was, once; None when that is too long ago, was taken already, or another person's."""
    where = (undo.c.tenant_id == tenant_id) & (undo.c.undo_id == storable(undo_id)) & (undo.c.by == by)
    row = tx.first(select(undo.c.data).where(where, undo.c.expires_at >= now_ms))
    if row is None or not tx.change(delete(undo).where(where)):
        return None
    return dict(json.loads(row[0]))
