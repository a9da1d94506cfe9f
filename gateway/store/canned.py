"""Canned answers: a tenant's texts for what its clerks write again and again, one for each language of a customer.

The fields in braces that a text may have are `inbox.canning.FIELDS`, which fills them. The one writer of `canned`.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select

from gateway.store.database import Transaction, need_time, storable
from gateway.store.schema import canned


@dataclass(frozen=True, slots=True)
class Canned:
    """One answer in one language. Those of one `id` say the same in others."""

    id: str
    language: str
    name: str
    body: str
    author: str
    updated_at: datetime


_COLUMNS = (canned.c.canned_id, canned.c.language, canned.c.name, canned.c.body, canned.c.author, canned.c.updated_at)
_KEYS = [canned.c.tenant_id, canned.c.canned_id, canned.c.language]


def put_canned(
    tx: Transaction, now_ms: int, tenant_id: str, canned_id: str, language: str, *, name: str, body: str, author: str
) -> None:
    """Keep an answer in a language, in the place of the one that was there."""
    made = {"tenant_id": tenant_id, "canned_id": canned_id, "language": language}
    values = {"name": storable(name), "body": storable(body), "author": author, "updated_at": now_ms}
    tx.change(tx.upsert(canned).values(made | values).on_conflict_do_update(index_elements=_KEYS, set_=values))


def drop_canned(tx: Transaction, tenant_id: str, canned_id: str, language: str = "") -> int:
    """Forget an answer in one language, or in all (""); how many texts that were."""
    where = (canned.c.tenant_id == tenant_id) & (canned.c.canned_id == storable(canned_id))
    return tx.change(delete(canned).where(where & (canned.c.language == language) if language else where))


def list_canned(tx: Transaction, tenant_id: str, language: str = "") -> list[Canned]:
    """The tenant's answers, of one language or of all, by name."""
    query = select(*_COLUMNS).where(canned.c.tenant_id == tenant_id)
    if language:
        query = query.where(canned.c.language == language)
    return [_canned(row) for row in tx.all(query.order_by(func.lower(canned.c.name), canned.c.language))]


def get_canned(tx: Transaction, tenant_id: str, canned_id: str) -> list[Canned]:
    """An answer in each language that it has."""
    where = (canned.c.tenant_id == tenant_id) & (canned.c.canned_id == storable(canned_id))
    return [_canned(row) for row in tx.all(select(*_COLUMNS).where(where).order_by(canned.c.language))]


def _canned(row: tuple[str, str, str, str, str, int]) -> Canned:
    return Canned(*row[:5], need_time(row[5]))
