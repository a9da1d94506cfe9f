"""The feed: every event of a tenant after a cursor, complete, in order, as often as one likes, for ever.

Read by the HTTP API, webhooks and `gateway events`. An event's id tells when it was made, but transactions commit in
another order, on PostgreSQL from several nodes: whoever went on from the last id would miss what was committed late. So
the feed ends at a *horizon* before which nothing can be committed any more. It is asked in a transaction of its own,
before the events are read, since what commits between the two must be seen. Costs the writers nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NewType

from sqlalchemy import and_, select

from gateway.store.database import Database, Transaction, id_at, need_time
from gateway.store.schema import delivery, event, message, tenant, thread

Horizon = NewType("Horizon", str)

# A node's clock may be behind the database server's by this much, and may be set back by it. `gateway doctor` looks.
CLOCK_MS = 2_000
PAGE = 500  # events that are read at once
START = ""  # the cursor before the first event of all

LONGEST_TEXT = 500  # characters of a remote's words that leave the house
_PRIVATE = frozenset(("body", "html", "note", "text"))  # names of facts that may hold what people wrote


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event with what it is about, as strangers may see it."""

    id: str
    at: datetime
    type: str
    tenant: str  # the slug
    thread_id: str
    message_id: str
    number: int  # of the delivery; 0: about more than one
    recipient: str
    document_type: str
    document_id: str
    document_number: str
    run: str  # the batch that its message belongs to
    tags: tuple[str, ...]
    meta: Mapping[str, str]
    data: Mapping[str, Any]


_MESSAGE = and_(message.c.tenant_id == event.c.tenant_id, message.c.message_id == event.c.message_id)
_DELIVERY = and_(
    delivery.c.tenant_id == event.c.tenant_id,
    delivery.c.message_id == event.c.message_id,
    delivery.c.number == event.c.number,
)
_FEED = (
    select(
        *(event.c[name] for name in ("event_id", "at", "type", "thread_id", "message_id", "number", "data")),
        *(thread.c[name] for name in ("document_type", "document_id", "document_number")),
        tenant.c.slug,
        message.c.detail,
        message.c.run,
        delivery.c.recipient,
    )
    .join_from(event, tenant, tenant.c.tenant_id == event.c.tenant_id)
    .outerjoin(thread, and_(thread.c.tenant_id == event.c.tenant_id, thread.c.thread_id == event.c.thread_id))
    .outerjoin(message, _MESSAGE)
    .outerjoin(delivery, _DELIVERY)
)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Some events, and the cursor after them; `more` when there are further ones at this moment."""

    events: tuple[FeedEvent, ...]
    cursor: str
    more: bool


def find_horizon(tx: Transaction) -> Horizon:
    """The id before which no event is committed any more. Of use in a *later* transaction only."""
    return Horizon(id_at(tx.oldest_write_ms() - CLOCK_MS))


def list_feed(
    tx: Transaction, tenant_id: str, after: str, limit: int, horizon: Horizon, types: frozenset[str] = frozenset()
) -> FeedPage:
    """The events of a tenant after a cursor; only those of `types`, when there are any.

    Looks at `limit` events at the most, so a page may be empty and have more behind it. A cursor is an event's id, or
    `cursor_at` a time. Two queries never disagree: what was given once is given again, in the same order.
    """
    rows = tx.all(
        _FEED.where(event.c.tenant_id == tenant_id, event.c.event_id > after, event.c.event_id < horizon)
        .order_by(event.c.event_id)
        .limit(limit + 1)
    )
    shown = rows[:limit]
    wanted = [row for row in shown if not types or row.type in types]
    return FeedPage(tuple(map(_read, wanted)), shown[-1].event_id if shown else after, len(rows) > limit)


async def read_feed(
    database: Database, tenant_id: str, after: str, limit: int = PAGE, types: frozenset[str] = frozenset()
) -> FeedPage:
    """The feed as it is now: the horizon, then the events."""
    horizon = await database.read(find_horizon)
    return await database.read(list_feed, tenant_id, after, limit, horizon, types)


def get_feed_event(tx: Transaction, tenant_id: str, event_id: str) -> FeedEvent | None:
    """One event of a tenant, wherever the horizon is."""
    row = tx.first(_FEED.where(event.c.tenant_id == tenant_id, event.c.event_id == event_id))
    return _read(row) if row else None


def cursor_at(ms: int) -> str:
    """The cursor before everything that happened from a time on (milliseconds since 1970)."""
    return id_at(ms)


def public_event(one: FeedEvent) -> dict[str, Any]:
    """An event as the API, webhooks and commands give it: no bodies, no secrets; absent facts are null."""
    document = {"type": one.document_type, "id": one.document_id or None, "number": one.document_number or None}
    return {
        "id": one.id,
        "type": one.type,
        "at": f"{one.at:%Y-%m-%dT%H:%M:%S}.{one.at.microsecond // 1000:03d}Z",  # RFC 3339
        "tenant": one.tenant,
        "thread": one.thread_id or None,
        "message": one.message_id or None,
        "delivery": f"{one.message_id}.{one.number}" if one.number else None,
        "recipient": one.recipient or one.data.get("recipient") or None,
        "document": document if one.document_id or one.document_number else None,
        "run": one.run or None,
        "tags": list(one.tags),
        "meta": dict(one.meta),
        "data": {key: _cut(value) for key, value in one.data.items() if key not in _PRIVATE},
    }


def _cut(value: Any) -> Any:
    return value[:LONGEST_TEXT] if isinstance(value, str) else value


def _read(row: Any) -> FeedEvent:
    detail = json.loads(row.detail) if row.detail else {}
    return FeedEvent(
        row.event_id, need_time(row.at), row.type, row.slug, row.thread_id, row.message_id, row.number,
        row.recipient or "", row.document_type or "", row.document_id or "", row.document_number or "",
        row.run or "", tuple(detail.get("tags", ())), detail.get("meta", {}), json.loads(row.data or "{}"),
    )  # fmt: skip
