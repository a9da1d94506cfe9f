"""Which threads changed since the search index looked last, by the events that say so.

Called by `inbox.indexing`. Every change of a thread writes an event in its transaction, so whoever reads events misses
nothing. A customer who is called otherwise changes all threads with its documents. Looks at a span of time, longer
while little happens, so that a long backlog is not read again with each step. Writes nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, select

from gateway.store.database import Transaction, id_at, ms_at
from gateway.store.event_feed import CLOCK_MS
from gateway.store.schema import OPERATOR, document, event, tenant

LOOK = 500  # events that a step reads
RECENT = 2 * CLOCK_MS  # what is younger is looked at whole, since it is looked at more than once
MOST_SPAN = 400 * 86_400_000
LEAST_SPAN = 100
RENAMED = "customer.renamed"
# events that change nothing of what is indexed: every mail has several
IGNORED = frozenset(("attempt", "recipient.accepted", "recipient.deferred", "recipient.late", "pdf.downloaded",
                     "message.queued", "report.ignored", "reminder.skipped"))  # fmt: skip

Key = tuple[str, str]  # a tenant, one of its threads


@dataclass(frozen=True, slots=True)
class News:
    """Threads that changed, and those that did because of a customer's name; the `events` that say so. `last`: up to
    where was looked, "" when that is all there is; `span`: how much to look at next."""

    threads: frozenset[Key]
    renamed: frozenset[Key]
    events: frozenset[str]
    last: str
    span: int


def read_news(tx: Transaction, cursor: str, seen: set[str], span: int, now_ms: int) -> News:
    """What happened after the cursor, without the events that were seen; the next LOOK of them at the most."""
    owners = [OPERATOR, *(row[0] for row in tx.all(select(tenant.c.tenant_id)))]
    limit = LOOK + len(seen)
    until, found = "", list[Sequence[Any]]()
    while not found:
        end = ms_at(cursor) + span
        until = id_at(end) if end < now_ms - RECENT else ""
        found = _read(tx, owners, cursor, until, limit)
        if not until:
            break
        span = min(span * 2, MOST_SPAN) if len(found) < LOOK // 2 else span
        cursor = until if not found else cursor
    last = until
    if len(found) == limit:
        last, span = found[-1][0], max(span // 2, LEAST_SPAN)
    fresh = [row for row in found if row[0] not in seen]
    renamed = {(row[1], json.loads(row[4])["customer"]) for row in fresh if row[3] == RENAMED}
    return News(
        frozenset((row[1], row[2]) for row in fresh if row[2]),
        frozenset(key for one in renamed for key in _threads_of(tx, *one)),
        frozenset(row[0] for row in found),
        last,
        span,
    )


def _read(tx: Transaction, owners: Sequence[str], cursor: str, until: str, limit: int) -> list[Sequence[Any]]:
    """(event, tenant, thread, type, what it says of a customer), in order."""
    data = case((event.c.type == RENAMED, event.c.data), else_="")
    columns = (event.c.event_id, event.c.tenant_id, event.c.thread_id, event.c.type, data)
    wanted = event.c.type.not_in(IGNORED) & ((event.c.thread_id != "") | (event.c.type == RENAMED))
    wanted &= event.c.event_id > cursor
    if until:
        wanted &= event.c.event_id <= until
    found: list[Sequence[Any]] = []
    for at in range(0, len(owners), 500):
        where = event.c.tenant_id.in_(owners[at : at + 500]) & wanted
        found += tx.all(select(*columns).where(where).order_by(event.c.event_id).limit(limit))
    return sorted(found, key=lambda row: row[0])[:limit]


def _threads_of(tx: Transaction, tenant_id: str, customer_key: str) -> list[Key]:
    """The threads with a customer's documents."""
    where = (document.c.tenant_id == tenant_id) & (document.c.customer_key == customer_key)
    return [
        (tenant_id, row[0]) for row in tx.all(select(document.c.thread_id).where(where, document.c.thread_id != ""))
    ]
