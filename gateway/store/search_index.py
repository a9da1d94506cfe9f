"""The search index: an entry for each thread, in FTS5 on SQLite and a GIN index on PostgreSQL.

Written by `inbox.indexing` after a commit, never by a door; asked by `inbox.search`. Beside `database` the only file
that speaks a dialect, since no two databases have one language for this. What both promise: an expression finds the
same threads, the latest first, and a page costs what its lines cost, not what the tenant has. FTS5 walks its lists
backwards from any place. GIN cannot, so each entry also has tokens of the blocks that its place lies in (64 places,
512, 4096, ...), and a search looks at ever larger ranges behind the cursor until it has a page.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Executable,
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
from gateway.store.search_spelling import (
    BLOCK,
    LEVELS,
    NOTHING,
    STEP,
    Indexed,
    Spelt,
    blocks_of,
    fts_query,
    size_of,
    spell_blocks,
    spell_spoken,
    spell_vector,
    ts_query,
    unpack,
)
from gateway.store.search_tokens import Entry, Expression, code_of

FIRST_RANGE = BLOCK * STEP
LAST_PLACE = 2**62

# FTS5's table: a column of its own name takes its commands
_fts = Table(
    "search_words",
    MetaData(),
    Column("rowid", Integer, primary_key=True),
    Column("words", Text),
    Column("search_words", Text),
)


# -- writing


def spell(tx: Transaction, entries: Iterable[Entry]) -> list[Spelt]:
    """Entries of one tenant as the index takes them; in the transaction that read them, so that `put_entries` knows
    whether somebody else indexed the same thread since."""
    entries = list(entries)
    if not entries:
        return []
    columns = (search_thread.c.thread_id, search_thread.c.seq, search_thread.c.version, search_thread.c.last_at)
    old = () if tx.skips_locked else (search_thread.c.words,)  # FTS5 is told the old words to forget them
    known = {}
    for row in tx.all(select(*columns, *old).where(_among([one.thread_id for one in entries], entries[0].tenant_id))):
        known[row[0]] = Indexed(row[1], row[2], row[3], "" if tx.skips_locked else unpack(row[4]))
    make = spell_vector if tx.skips_locked else spell_spoken
    return [make(one, known.get(one.thread_id, NOTHING)) for one in entries]


def put_entries(tx: Transaction, spelt: Sequence[Spelt], draw: Callable[[int], int]) -> list[Spelt]:
    """Index threads of one tenant anew; `draw(n)` gives the last of n new places. Those that somebody else indexed
    since they were read are left alone and returned: read them again.

    A thread keeps its place unless mail came since, so that closing an old one does not bring it up.
    """
    if not spelt:
        return []
    columns = (search_thread.c.thread_id, search_thread.c.version)
    where = _among([one.id for one in spelt], spelt[0].entry.tenant_id)
    known = {row[0]: row[1] for row in tx.all(select(*columns).where(where).with_for_update())}
    fresh = [one for one in spelt if known.get(one.id, 0) == one.was.version]
    placed = _give_places(fresh, draw)
    if not tx.skips_locked:
        _replace_words(tx, placed)
    for one, seq in placed:
        words = one.words + spell_blocks(one.entry.tenant_id, seq) if tx.skips_locked else one.packed
        values = {"seq": seq, "version": one.was.version + 1, "last_at": one.entry.last_at, "words": words}
        tx.run(_PUT, {"tenant_id": one.entry.tenant_id, "thread_id": one.id} | values)
    done = {one.id for one in fresh}
    return [one for one in spelt if one.id not in done]


def _among(ids: Sequence[str], tenant_id: str) -> ColumnElement[bool]:
    return (search_thread.c.tenant_id == tenant_id) & search_thread.c.thread_id.in_(ids)


def _upsert(made: Any) -> Executable:
    statement = made(search_thread)
    set_ = {name: statement.excluded[name] for name in ("seq", "version", "last_at", "words")}
    return statement.on_conflict_do_update(index_elements=["tenant_id", "thread_id"], set_=set_)  # type: ignore[no-any-return]


_PUT = Prepared(_upsert, [one.name for one in search_thread.columns])


def _give_places(spelt: Sequence[Spelt], draw: Callable[[int], int]) -> list[tuple[Spelt, int]]:
    placed, new = [], []
    for one in spelt:
        if one.entry.seq:
            placed.append((one, one.entry.seq))
        elif one.was.version and one.was.last_at >= one.entry.last_at:
            placed.append((one, one.was.seq))
        else:
            new.append(one)
    first = draw(len(new)) - len(new) + 1 if new else 0
    new.sort(key=lambda one: (one.entry.last_at, one.id))
    return placed + [(one, first + at) for at, one in enumerate(new)]


_ADD = Prepared(insert(_fts).values(rowid=bindparam("place"), words=bindparam("tokens")))
_FORGET = Prepared(
    insert(_fts).values(rowid=bindparam("place"), words=bindparam("tokens"), search_words=bindparam("order"))
)


def _replace_words(tx: Transaction, placed: Sequence[tuple[Spelt, int]]) -> None:
    """FTS5 writes out what it has whenever a place is less than the one before: so in order, and old before new."""
    steps: list[tuple[int, int, str]] = []
    for one, seq in placed:
        if one.was.version:
            steps.append((one.was.seq, 0, one.was.words))
        steps.append((seq, 1, one.words))
    for seq, adds, words in sorted(steps):
        if adds:
            tx.run(_ADD, {"place": seq, "tokens": words})
        else:
            tx.run(_FORGET, {"place": seq, "tokens": words, "order": "delete"})


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
    rows = tx.all(_MATCH, {"query": fts_query(code_of(tenant_id), wanted), "tenant": tenant_id, "before": before,
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
    query = ts_query(code, wanted)
    while len(found) < limit and high > oldest:
        size = size_of(level)
        low = max(high - width, 0) // size * size
        blocks = " | ".join(f"'{code}{one}'" for one in blocks_of(low, high))
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
