"""The views of the A/R inbox: which threads stand in each, in which order, and how many there are.

Called by the pages, the CLI and the HTTP API. A view is a listing of `store.thread_lists`; "scheduled" lists mail that
is held or goes later. The number of queries is constant, and each walks along an index from the cursor on. Writes
nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import func, select

from gateway.inbox.reading import read_documents
from gateway.inbox.views import ListLine, ListPage
from gateway.outbound.queue_scheduled import count_scheduled, list_scheduled
from gateway.store.database import Transaction, to_ms
from gateway.store.schema import delivery, message
from gateway.store.tags import tags_of
from gateway.store.thread_lists import Cursor, Listing, count_listings, list_lanes
from gateway.store.threads import LANES, OPEN_LANES, Thread
from gateway.store.users import people_of

SCHEDULED = "scheduled"
_LISTINGS: dict[str, Listing] = {
    "todo": Listing(OPEN_LANES),
    "mine": Listing(assignee="?"),  # the reader's own
    "unassigned": Listing(assignee=""),
    "bounced": Listing(("bounced",)),
    "replies": Listing(("replies",)),
    "waiting": Listing(("waiting",)),
    "promised": Listing(by="promised_on"),
    "snoozed": Listing(by="snoozed_until"),
    "sent": Listing(("sent",)),
    "closed": Listing(("done",)),
    "spam": Listing(("spam",)),
    "all": Listing(LANES),
}
VIEWS = (*list(_LISTINGS)[:9], SCHEDULED, *list(_LISTINGS)[9:])
# those that say how many they are: where somebody waits for a person, or a person for something
COUNTED = ("todo", "mine", "unassigned", "bounced", "replies", "waiting", "promised", "snoozed")
_CURSOR = re.compile(r"([0-9-]{1,15})\.([0-9a-z]{20})\Z")
_REPORTS = ("bounce", "delay", "success")
NEWS_MOST = 20  # that an open list is told of
_SNIPPET = 200  # characters of the last mail that a list shows


def list_page(
    tx: Transaction, tenant_id: str, *, view: str = "todo", cursor: str = "", limit: int = 50, user_id: str = "-"
) -> ListPage:
    """One page of a view; `user_id` is the reader, for "mine".

    An unknown view is "todo"; a cursor that is none begins at the top. Of "scheduled" the page has `scheduled` mails.
    """
    view = view if view in VIEWS else "todo"
    counts, people = count_views(tx, tenant_id, user_id), people_of(tx, tenant_id)
    if view == SCHEDULED:
        mails = list_scheduled(tx, tenant_id, _after(cursor, by_number=True), limit + 1)
        more = f"{mails[limit - 1].at_ms}.{mails[limit - 1].message_id}" if len(mails) > limit else ""
        return ListPage(view, (), more, counts, people, tuple(mails[:limit]))
    listing = _of_reader(view, user_id)
    threads = list_lanes(tx, tenant_id, listing, _after(cursor, by_number=listing.by != "promised_on"), limit + 1)
    shown = threads[:limit]
    more = f"{_key(shown[-1], listing)}.{shown[-1].id}" if len(threads) > limit else ""
    return ListPage(view, list_lines(tx, tenant_id, shown), more, counts, people)


def _of_reader(view: str, user_id: str) -> Listing:
    return replace(_LISTINGS[view], assignee=user_id or "-") if view == "mine" else _LISTINGS[view]


def _after(cursor: str, *, by_number: bool) -> Cursor | None:
    found = _CURSOR.match(cursor)
    if not found or (by_number and not found[1].isdigit()):
        return None
    return (int(found[1]) if by_number else found[1]), found[2]


def _key(last: Thread, listing: Listing) -> int | str:
    if listing.by == "promised_on":
        return last.promised_on
    at = last.snoozed_until if listing.by == "snoozed_until" else last.last_at
    return to_ms(at) if at else 0


def count_views(tx: Transaction, tenant_id: str, user_id: str = "-") -> dict[str, int]:
    """How many threads (and scheduled mails) each view has that is counted; `thread_lists.COUNT_MOST` at the most."""
    counts = count_listings(tx, tenant_id, {view: _of_reader(view, user_id) for view in COUNTED})
    return counts | {SCHEDULED: count_scheduled(tx, tenant_id)}


def count_news(tx: Transaction, tenant_id: str, view: str, since: datetime, user_id: str = "-") -> int:
    """How many threads of a view had something happen after a moment, NEWS_MOST at the most; one query.

    0 for views that are not in the order of what happened last.
    """
    listing = _of_reader(view, user_id) if view in _LISTINGS else None
    if listing is None or listing.by != "last_at":
        return 0
    latest = list_lanes(tx, tenant_id, listing, None, NEWS_MOST)
    return sum(thread.last_at > since for thread in latest)


def list_lines(tx: Transaction, tenant_id: str, threads: Sequence[Thread]) -> tuple[ListLine, ...]:
    """The lines of a list for some threads, in their order; four queries."""
    ids = [found.id for found in threads]
    documents = read_documents(tx, tenant_id, [(t.document_type, t.document_id) for t in threads if t.document_id])
    last = _last_messages(tx, tenant_id, ids)
    progress = progress_of(tx, tenant_id, ids)
    tags = tags_of(tx, tenant_id, ids)
    nothing = ("", "", "", "", "")
    return tuple(
        ListLine(
            found,
            documents.get((found.document_type, found.document_id)),
            *last.get(found.id, nothing),
            progress.get(found.id, {}),
            tags.get(found.id, ()),
        )
        for found in threads
    )


def _last_messages(tx: Transaction, tenant_id: str, ids: Sequence[str]) -> dict[str, tuple[str, str, str, str, str]]:
    """thread id -> (kind, author, recipients, subject, first words) of its latest mail that is no report."""
    latest = (  # ids sort by time
        select(func.max(message.c.message_id))
        .where(message.c.tenant_id == tenant_id, message.c.thread_id.in_(ids), message.c.kind.not_in(_REPORTS))
        .group_by(message.c.thread_id)
    )
    body = func.substr(message.c.body_text, 1, _SNIPPET)
    columns = (message.c.kind, message.c.author, message.c.recipients, message.c.subject, body)
    where = (message.c.tenant_id == tenant_id) & message.c.message_id.in_(latest)
    rows = tx.all(select(message.c.thread_id, *columns).where(where))
    return {row[0]: (row[1], row[2], row[3], row[4], " ".join(row[5].split())) for row in rows}


def progress_of(tx: Transaction, tenant_id: str, ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """thread id -> state of a delivery -> how many recipients of its mail are there; one query."""
    joined = (delivery.c.tenant_id == message.c.tenant_id) & (delivery.c.message_id == message.c.message_id)
    rows = tx.all(
        select(message.c.thread_id, delivery.c.state, func.count())
        .join_from(message, delivery, joined)
        .where(message.c.tenant_id == tenant_id, message.c.thread_id.in_(ids))
        .group_by(message.c.thread_id, delivery.c.state)
    )
    counts: dict[str, dict[str, int]] = {}
    for thread_id, state, count in rows:
        counts.setdefault(thread_id, {})[state] = count
    return counts
