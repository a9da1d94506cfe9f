"""Searching the A/R inbox: a query in the language of `search_grammar`, answered with a page of threads.

Called by the pages, the command line and the HTTP API. Threads stand the latest first, each with the words that matched
and their surroundings; a page costs the same number of queries whatever it shows. What a clerk has just changed (a
state) is looked at in the thread itself, since the index follows a second later. Raises `WrongQuery` in plain words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from gateway.inbox.listing import list_lines
from gateway.inbox.search_entries import newest_of
from gateway.inbox.search_grammar import All, Any, Not, Query, Term, parse
from gateway.inbox.search_news import IGNORED
from gateway.inbox.search_operators import Asking, express
from gateway.inbox.views import ListLine
from gateway.mail.folding import fold, spans, words
from gateway.store.database import Transaction, need_time
from gateway.store.schema import message
from gateway.store.search_index import find_entries
from gateway.store.search_progress import BUILT, list_progress, oldest_unfollowed, read_cursor
from gateway.store.tenants import get_tenant
from gateway.store.threads import Thread, threads_by_id

AROUND = 60  # characters before the first match of a snippet
LONGEST = 200
LOOKED_AT = 4_000  # characters of a mail in which a snippet is looked for
MOST_MAILS = 20  # of a thread

Marked = tuple[tuple[str, bool], ...]  # text, and whether it is what was looked for


@dataclass(frozen=True, slots=True)
class SearchLine:
    """A thread that was found, and where: the words as they stand in `message_id`, or in the thread itself ("")."""

    line: ListLine
    message_id: str
    snippet: Marked


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of what was found. `cursor` asks for the next; "" when this is the last. `behind`: seconds of news that
    the index lacks; `complete`: whether all of the tenant's threads are in it by now."""

    query: str
    lines: tuple[SearchLine, ...]
    cursor: str
    behind: int
    complete: bool


def search(
    tx: Transaction, now: datetime, tenant_id: str, text: str, *, cursor: str = "", limit: int = 50, user: str = ""
) -> SearchPage:
    """The threads that a query finds, the latest first. `user` is whom `me` means. Raises WrongQuery.

    A cursor that is none begins at the top.
    """
    query = parse(text)
    owner = get_tenant(tx, tenant_id)
    zone = ZoneInfo(owner.timezone if owner else "UTC")
    wanted = express(query, Asking(now.astimezone(zone).date(), user))
    before = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else 0
    found = find_entries(tx, tenant_id, wanted, before, limit + 1)
    shown = found[:limit]
    known = threads_by_id(tx, tenant_id, [one for _, one in shown])
    threads = [known[one] for _, one in shown if one in known and _still(query, known[one])]
    snippets = _snippets(tx, tenant_id, threads, Sought.of(query))
    lines = tuple(SearchLine(line, *snippets[line.thread.id]) for line in list_lines(tx, tenant_id, threads))
    behind, complete = lag(tx, now, tenant_id)
    return SearchPage(text, lines, str(shown[-1][0]) if len(found) > limit else "", behind, complete)


def lag(tx: Transaction, now: datetime, tenant_id: str = "") -> tuple[int, bool]:
    """(seconds by which the index is behind what happens, whether all old threads are in it); of all tenants for ""."""
    oldest = oldest_unfollowed(tx, read_cursor(tx), IGNORED)
    behind = max(int((now - need_time(oldest)).total_seconds()), 0) if oldest else 0
    progress = [one for one in list_progress(tx) if not tenant_id or one.tenant_id == tenant_id]
    return behind, all(one.state == BUILT for one in progress) and bool(progress)


def _still(query: Query, found: Thread) -> bool:
    """Whether the thread is in the states that are asked for, by what it says itself."""
    parts = query.parts if isinstance(query, All) else (query,)
    states = [fold(one.text) for one in parts if isinstance(one, Term) and one.operator == "is"]
    return all(one in (found.state, found.lane) for one in states)


# -- what matched


@dataclass(frozen=True, slots=True)
class Sought:
    """The words that are looked for, for showing them: runs of words, and whether the last may go on."""

    runs: tuple[tuple[tuple[str, ...], bool], ...]

    @classmethod
    def of(cls, query: Query) -> "Sought":
        """Those of a query, without what must not be there."""
        return cls(tuple(_runs(query)))

    def score(self, text: str) -> int:
        """How many of them a text holds."""
        found = f" {' '.join(words(text))} "
        return sum(f" {' '.join(run)}{'' if prefix else ' '}" in found for run, prefix in self.runs)

    def marks(self, text: str) -> list[tuple[int, int]]:
        """(start, end) of every place in a text that matches, in order, none within another."""
        found = list(spans(text))
        places = []
        for run, prefix in self.runs:
            for at in range(len(found) - len(run) + 1):
                last = found[at + len(run) - 1][2]
                here = [one[2] for one in found[at : at + len(run) - 1]]
                if here == list(run[:-1]) and (last.startswith(run[-1]) if prefix else last == run[-1]):
                    places.append((found[at][0], found[at + len(run) - 1][1]))
        merged: list[tuple[int, int]] = []
        for start, end in sorted(places):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged


_SHOWN = frozenset(("", "from", "to", "subject", "customer", "number", "file"))


def _runs(query: Query) -> Iterator[tuple[tuple[str, ...], bool]]:
    if isinstance(query, Term):
        if query.operator in _SHOWN and (run := tuple(words(query.text))):
            yield run, query.prefix
    elif isinstance(query, All | Any):
        for one in query.parts:
            yield from _runs(one)
    else:
        assert isinstance(query, Not)


def mark(text: str, sought: Sought) -> Marked:
    """A text on one line, cut around its first match, in parts that say whether they matched. Parts are plain text."""
    text = " ".join(text.split())
    places = sought.marks(text)
    begin = max(places[0][0] - AROUND, 0) if places else 0
    begin = text.rfind(" ", 0, begin) + 1 if begin else 0
    end = min(begin + LONGEST, len(text))
    parts, at = [("…", False)] if begin else [], begin
    for start, stop in places:
        if stop > end:
            break
        parts += [(text[at:start], False), (text[start:stop], True)]
        at = stop
    parts += [(text[at:end] + ("…" if end < len(text) else ""), False)]
    return tuple(one for one in parts if one[0])


def _snippets(
    tx: Transaction, tenant_id: str, threads: Sequence[Thread], sought: Sought
) -> dict[str, tuple[str, Marked]]:
    """thread id -> (the mail that matches most, the latest of those; its words)."""
    body = func.substr(message.c.body_text, 1, LOOKED_AT)
    columns = (message.c.thread_id, message.c.message_id, body, message.c.subject, message.c.author,
               message.c.recipients)  # fmt: skip
    newest = newest_of(tx, tenant_id, [one.id for one in threads], MOST_MAILS)
    rows = tx.all(select(*columns).where(newest).order_by(message.c.message_id.desc()))
    found: dict[str, tuple[int, str, str]] = {}
    for thread_id, message_id, *texts in rows:
        for text in texts:
            score = sought.score(text)
            if thread_id not in found or score > found[thread_id][0]:
                found[thread_id] = (score, message_id, text)
    made = {key: (message_id, mark(text, sought)) for key, (_, message_id, text) in found.items()}
    return {one.id: made.get(one.id, ("", mark(one.subject, sought))) for one in threads}
