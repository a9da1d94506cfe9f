"""How an entry of the search index and a question are spelt: for FTS5 as one text, for PostgreSQL as tsvector, tsquery.

Pure text, made outside the writing transaction, since it costs more than the writing does. Called by
`store.search_index`. An entry that stands at a place on PostgreSQL also has tokens of the blocks which that place lies
in (64 places, 512, 4096, ...).
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.store.search_tokens import EVERY, Both, Either, Entry, Expression, Phrase, Without, Word, code_of, flat

BLOCK, STEP, LEVELS = 64, 8, 8  # places in the smallest block; how many of them the next has; how often
_GAP = "_"  # between runs, so that no phrase reaches over
_MOST_PLACED = 16_000  # words of a thread that phrases find on PostgreSQL (its limit is 16,383); the rest as words


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index had of a thread when its new entry was made. `words`: as FTS5 was told them; "" on PostgreSQL."""

    seq: int
    version: int
    last_at: int
    words: str


NOTHING = Indexed(0, 0, 0, "")


@dataclass(frozen=True, slots=True)
class Spelt:
    """An entry as its database takes it. `words`: for FTS5, else the tsvector without its blocks; `packed`: to keep."""

    entry: Entry
    was: Indexed
    words: str
    packed: bytes = b""

    @property
    def id(self) -> str:
        """Of the thread."""
        return self.entry.thread_id

    @property
    def size(self) -> int:
        """How many tokens are to be written and to be forgotten: what the writer's time goes by."""
        return self.words.count(" ") + self.was.words.count(" ") + 1

    @property
    def is_news(self) -> bool:
        """Whether the index does not say the same already. (On PostgreSQL nobody looks.)"""
        return self.entry.seq > 0 or self.words != self.was.words or self.entry.last_at > self.was.last_at


def spell_spoken(entry: Entry, was: Indexed) -> Spelt:
    """For FTS5: all tokens in order; it is told the old ones to forget them, so they are kept."""
    code = code_of(entry.tenant_id)
    runs = (f" {code}".join(run) for run in entry.runs if run)
    facts = f" {_GAP} {code}".join(sorted({EVERY + "=", *entry.facts}))
    words = "".join(f"{code}{run} {_GAP} " for run in runs) + code + facts
    return Spelt(entry, was, words, zlib.compress(words.encode(), 1))


def unpack(packed: bytes) -> str:
    """The words that were kept."""
    return zlib.decompress(packed).decode()


def spell_vector(entry: Entry, was: Indexed) -> Spelt:
    """For PostgreSQL: a tsvector, but for its blocks."""
    code, at = code_of(entry.tenant_id), 0
    places: dict[str, list[str]] = {}
    for run in entry.runs:
        for token in run:
            at += 1
            found = places.setdefault(token, [])
            if at <= _MOST_PLACED and len(found) < 255:
                found.append(str(at))
        at += 1
    parts = [f"'{code}{token}'{':' if at else ''}{','.join(at)}" for token, at in places.items()]
    return Spelt(entry, was, " ".join(parts + [f"'{code}{token}'" for token in (EVERY + "=", *entry.facts)]))


def spell_blocks(tenant_id: str, seq: int) -> str:
    """The tokens of the blocks that a place lies in, to be added to a tsvector."""
    code = code_of(tenant_id)
    return "".join(f" '{code}{_block(level, seq // size_of(level))}'" for level in range(LEVELS))


# -- questions


def fts_query(code: str, wanted: Expression) -> str:
    """The expression in FTS5's language. Tokens are letters, digits, and `=:_`, so that quotes need no escape."""
    if isinstance(wanted, Word):
        return f'"{code}{wanted.token}"{" *" if wanted.prefix else ""}'
    if isinstance(wanted, Phrase):
        return f'"{f" {code}".join((code + wanted.tokens[0], *wanted.tokens[1:]))}"{" *" if wanted.prefix else ""}'
    if isinstance(wanted, Either):
        parts = flat(wanted.parts) or (Word("no="),)
        return f"({' OR '.join(fts_query(code, one) for one in parts)})"
    every = f'"{code}{EVERY}="'
    if isinstance(wanted, Without):
        return f"({every} NOT {fts_query(code, wanted.part)})"
    with_, without = _sorted_out(wanted)
    found = " AND ".join(fts_query(code, one) for one in with_) or every
    if without:
        found = f"({found}) NOT {fts_query(code, Either(tuple(without)))}"
    return f"({found})"


def _sorted_out(wanted: Both) -> tuple[list[Expression], list[Expression]]:
    """What must be there, and what must not."""
    with_: list[Expression] = [one for one in wanted.parts if not isinstance(one, Without)]
    return with_, [one.part for one in wanted.parts if isinstance(one, Without)]


def size_of(level: int) -> int:
    """How many places a block has."""
    return int(BLOCK * STEP**level)


def _block(level: int, number: int) -> str:
    return f"at{level}={number}"


def blocks_of(low: int, high: int) -> Iterable[str]:
    """The fewest blocks that cover low..high; the first begins there, the last may reach further."""
    at = low
    while at < high:
        level = LEVELS - 1
        while level and (at % size_of(level) or at + size_of(level) > high):
            level -= 1
        yield _block(level, at // size_of(level))
        at += size_of(level)


def ts_query(code: str, wanted: Expression) -> str:
    """The expression as PostgreSQL reads a tsquery."""
    if isinstance(wanted, Word):
        return f"'{code}{wanted.token}'{':*' if wanted.prefix else ''}"
    if isinstance(wanted, Phrase):
        parts = [f"'{code}{one}'" for one in wanted.tokens]
        return f"({' <-> '.join(parts)}{':*' if wanted.prefix else ''})"
    if isinstance(wanted, Either):
        return f"({' | '.join(ts_query(code, one) for one in flat(wanted.parts) or (Word('no='),))})"
    if isinstance(wanted, Without):
        return f"!{ts_query(code, wanted.part)}"
    return f"({' & '.join(ts_query(code, one) for one in wanted.parts)})" if wanted.parts else f"'{code}{EVERY}='"
