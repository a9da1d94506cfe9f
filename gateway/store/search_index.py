"""The search index: an entry for each thread, in FTS5 on SQLite and a GIN index on PostgreSQL.

Written by `inbox.indexing` after a commit, never by a door; asked by `inbox.search`. Beside `database` the only file
that speaks a dialect, since no two databases have one language for this. What both promise: an expression finds the
same threads, the latest first, and a page costs what its lines cost, not what the tenant has. FTS5 walks its lists
backwards from any place. GIN cannot, so each entry also has tokens of the blocks that its place lies in (64 places,
512, 4096, ...), and a search looks at ever larger ranges behind the cursor until it has a page.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from gateway.store.database import Prepared, Transaction
from gateway.store.schema import search_thread
from gateway.store.search_tokens import (
    EVERY,
    Both,
    Either,
    Entry,
    Expression,
    Phrase,
    Without,
    Word,
    code_of,
    flat,
)

BLOCK, STEP, LEVELS = 64, 8, 8  # places in the smallest block; how many of them the next has; how often
FIRST_RANGE = BLOCK * STEP
LAST_PLACE = 2**62
GAP = "_"  # between runs, so that no phrase reaches over
MOST_PLACED = 16_000  # words of a thread that phrases find on PostgreSQL (its limit is 16,383); the rest as words

# FTS5's table: a column of its own name takes its commands
_fts = Table(
    "search_words",
    MetaData(),
    Column("rowid", Integer, primary_key=True),
    Column("words", Text),
    Column("search_words", Text),
)


# -- writing


def read_versions(tx: Transaction, tenant_id: str, ids: Sequence[str]) -> dict[str, int]:
    """How often each of these threads was indexed: to be given back with its new entry."""
    where = (search_thread.c.tenant_id == tenant_id) & search_thread.c.thread_id.in_(ids)
    return {row[0]: row[1] for row in tx.all(select(search_thread.c.thread_id, search_thread.c.version).where(where))}


def put_entries(tx: Transaction, entries: Sequence[Entry], draw: Callable[[int], int]) -> list[Entry]:
    """Index threads of one tenant anew; `draw(n)` gives the last of n new places. Those that somebody else indexed
    since they were read are left alone and returned: read them again.

    A thread keeps its place unless mail came since, so that closing an old one does not bring it up.
    """
    if not entries:
        return []
    columns = (search_thread.c.thread_id, search_thread.c.version, search_thread.c.seq, search_thread.c.last_at)
    old = () if tx.skips_locked else (search_thread.c.words,)  # FTS5 is told the old words to forget them
    ids = [one.thread_id for one in entries]
    where = (search_thread.c.tenant_id == entries[0].tenant_id) & search_thread.c.thread_id.in_(ids)
    known = {row[0]: row for row in tx.all(select(*columns, *old).where(where).with_for_update())}
    fresh = [one for one in entries if (known[one.thread_id][1] if one.thread_id in known else 0) == one.version]
    placed = _give_places(fresh, known, draw)
    if not tx.skips_locked:
        _replace_words(tx, placed, known)
    table = tx.upsert(search_thread)
    names = ("seq", "version", "last_at", "words")
    upsert = table.on_conflict_do_update(
        index_elements=["tenant_id", "thread_id"], set_={name: table.excluded[name] for name in names}
    )
    make = _vector if tx.skips_locked else _deflated
    rows = [
        {"tenant_id": one.tenant_id, "thread_id": one.thread_id, "seq": seq, "version": one.version + 1,
         "last_at": one.last_at, "words": make(one, seq)}
        for one, seq in placed
    ]  # fmt: skip
    if rows:
        tx.connection.execute(upsert, rows)
    done = {one.thread_id for one in fresh}
    return [one for one in entries if one.thread_id not in done]


def _give_places(
    entries: Sequence[Entry], known: Mapping[str, Any], draw: Callable[[int], int]
) -> list[tuple[Entry, int]]:
    placed, new = [], []
    for one in entries:
        row = known.get(one.thread_id)
        if one.seq:
            placed.append((one, one.seq))
        elif row is not None and row[3] >= one.last_at:
            placed.append((one, int(row[2])))
        else:
            new.append(one)
    first = draw(len(new)) - len(new) + 1 if new else 0
    new.sort(key=lambda one: (one.last_at, one.thread_id))
    return placed + [(one, first + at) for at, one in enumerate(new)]


_ADD = Prepared(insert(_fts).values(rowid=bindparam("place"), words=bindparam("tokens")))
_FORGET = Prepared(
    insert(_fts).values(rowid=bindparam("place"), words=bindparam("tokens"), search_words=bindparam("order"))
)


def _replace_words(tx: Transaction, placed: Sequence[tuple[Entry, int]], known: Mapping[str, Any]) -> None:
    """FTS5 writes out what it has whenever a place is less than the one before: so in order, and old before new."""
    steps: list[tuple[int, int, str]] = []
    for one, seq in placed:
        row = known.get(one.thread_id)
        if row is not None:
            steps.append((int(row[2]), 0, zlib.decompress(row[4]).decode()))
        steps.append((seq, 1, _spoken(one)))
    for seq, adds, words in sorted(steps):
        if adds:
            tx.run(_ADD, {"place": seq, "tokens": words})
        else:
            tx.run(_FORGET, {"place": seq, "tokens": words, "order": "delete"})


def _spoken(one: Entry) -> str:
    """All tokens of an entry as FTS5 reads them."""
    code = code_of(one.tenant_id)
    runs = (f" {code}".join(run) for run in one.runs if run)
    facts = f" {GAP} {code}".join(sorted({EVERY + "=", *one.facts}))
    return "".join(f"{code}{run} {GAP} " for run in runs) + code + facts


def _deflated(one: Entry, _: int) -> bytes:
    return zlib.compress(_spoken(one).encode(), 1)


def _vector(one: Entry, seq: int) -> str:
    """All tokens of an entry as PostgreSQL reads a tsvector."""
    code, at = code_of(one.tenant_id), 0
    places: dict[str, list[str]] = {}
    for run in one.runs:
        for token in run:
            at += 1
            found = places.setdefault(token, [])
            if at <= MOST_PLACED and len(found) < 255:
                found.append(str(at))
        at += 1
    facts = [EVERY + "=", *one.facts, *(_block(level, seq // _size(level)) for level in range(LEVELS))]
    parts = [f"'{code}{token}'{':' if at else ''}{','.join(at)}" for token, at in places.items()]
    return " ".join(parts + [f"'{code}{token}'" for token in facts if token not in places])


def forget_all(tx: Transaction) -> None:
    """Empty the index, whatever state it is in."""
    tx.change(delete(search_thread))
    if not tx.skips_locked:
        tx.change(insert(_fts).values(search_words="delete-all"))


# -- asking


def find_entries(
    tx: Transaction, tenant_id: str, wanted: Expression, before: int = 0, limit: int = 50
) -> list[tuple[int, str]]:
    """(place, thread id) of what an expression finds before a place (0: at the end), the latest first."""
    before = before or LAST_PLACE
    if tx.skips_locked:
        return _find_by_ranges(tx, tenant_id, wanted, before, limit)
    rows = tx.all(_MATCH, {"query": _fts_query(code_of(tenant_id), wanted), "tenant": tenant_id, "before": before,
                           "most": limit})  # fmt: skip
    return [(int(row[0]), row[1]) for row in rows]


_MATCH = (
    select(search_thread.c.seq, search_thread.c.thread_id)
    .join_from(_fts, search_thread, and_(search_thread.c.tenant_id == bindparam("tenant"),
                                         search_thread.c.seq == _fts.c.rowid))
    .where(literal_column("search_words").op("MATCH")(bindparam("query")), _fts.c.rowid < bindparam("before"))
    .order_by(_fts.c.rowid.desc())
    .limit(bindparam("most"))
)  # fmt: skip


def _fts_query(code: str, wanted: Expression) -> str:
    """The expression in FTS5's language. Tokens are letters, digits, and `=:_`, so that quotes need no escape."""
    if isinstance(wanted, Word):
        return f'"{code}{wanted.token}"{" *" if wanted.prefix else ""}'
    if isinstance(wanted, Phrase):
        return f'"{f" {code}".join((code + wanted.tokens[0], *wanted.tokens[1:]))}"{" *" if wanted.prefix else ""}'
    if isinstance(wanted, Either):
        parts = flat(wanted.parts) or (Word("no="),)
        return f"({' OR '.join(_fts_query(code, one) for one in parts)})"
    every = f'"{code}{EVERY}="'
    if isinstance(wanted, Without):
        return f"({every} NOT {_fts_query(code, wanted.part)})"
    with_, without = _sorted_out(wanted)
    found = " AND ".join(_fts_query(code, one) for one in with_) or every
    if without:
        found = f"({found}) NOT {_fts_query(code, Either(tuple(without)))}"
    return f"({found})"


def _sorted_out(wanted: Both) -> tuple[list[Expression], list[Expression]]:
    """What must be there, and what must not."""
    with_: list[Expression] = [one for one in wanted.parts if not isinstance(one, Without)]
    return with_, [one.part for one in wanted.parts if isinstance(one, Without)]


def _size(level: int) -> int:
    return int(BLOCK * STEP**level)


def _block(level: int, number: int) -> str:
    return f"at{level}={number}"


def _find_by_ranges(
    tx: Transaction, tenant_id: str, wanted: Expression, before: int, limit: int
) -> list[tuple[int, str]]:
    """Look at 512 places, then 4,096, ...: each look costs what it finds, and at most eight times what is missing."""
    code, found = code_of(tenant_id), list[tuple[int, str]]()
    newest = tx.first(select(func.max(search_thread.c.seq)).where(search_thread.c.tenant_id == tenant_id))[0]
    oldest = tx.first(select(func.min(search_thread.c.seq)).where(search_thread.c.tenant_id == tenant_id))[0]
    if newest is None:
        return []
    high, width, level = min(before, newest + 1), FIRST_RANGE, 0
    query = _ts_query(code, wanted)
    while len(found) < limit and high > oldest:
        size = _size(level)
        low = max(high - width, 0) // size * size
        blocks = " | ".join(f"'{code}{one}'" for one in _blocks(low, high))
        values = {"query": f"({blocks}) & {query}", "tenant": tenant_id, "low": low, "high": high,
                  "most": limit - len(found)}  # fmt: skip
        found += [(int(row[0]), row[1]) for row in tx.all(_LOOK, values)]
        high, width, level = low, width * STEP, min(level + 1, LEVELS - 1)
    return found


_CANDIDATES = (
    select(search_thread.c.seq, search_thread.c.thread_id)
    .where(
        search_thread.c.tenant_id == bindparam("tenant"),
        search_thread.c.words.op("@@")(cast(bindparam("query"), TSQUERY)),
    )
    .cte("candidates")
    .prefix_with("MATERIALIZED", dialect="postgresql")  # else a walk along the places may seem cheaper, and never end
)
_LOOK = (
    select(_CANDIDATES.c.seq, _CANDIDATES.c.thread_id)
    .where(_CANDIDATES.c.seq < bindparam("high"), _CANDIDATES.c.seq >= bindparam("low"))
    .order_by(_CANDIDATES.c.seq.desc())
    .limit(bindparam("most"))
)


def _blocks(low: int, high: int) -> Iterable[str]:
    """The fewest blocks that cover low..high; the first begins there, the last may reach further."""
    at = low
    while at < high:
        level = LEVELS - 1
        while level and (at % _size(level) or at + _size(level) > high):
            level -= 1
        yield _block(level, at // _size(level))
        at += _size(level)


def _ts_query(code: str, wanted: Expression) -> str:
    """The expression as PostgreSQL reads a tsquery."""
    if isinstance(wanted, Word):
        return f"'{code}{wanted.token}'{':*' if wanted.prefix else ''}"
    if isinstance(wanted, Phrase):
        parts = [f"'{code}{one}'" for one in wanted.tokens]
        return f"({' <-> '.join(parts)}{':*' if wanted.prefix else ''})"
    if isinstance(wanted, Either):
        return f"({' | '.join(_ts_query(code, one) for one in flat(wanted.parts) or (Word('no='),))})"
    if isinstance(wanted, Without):
        return f"!{_ts_query(code, wanted.part)}"
    return f"({' & '.join(_ts_query(code, one) for one in wanted.parts)})" if wanted.parts else f"'{code}{EVERY}='"
