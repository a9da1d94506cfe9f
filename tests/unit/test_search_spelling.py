"""How entries of the search index are spelt, what of them is written at once, and what is no news."""

from dataclasses import replace

import pytest

from gateway.inbox.indexing import WRITTEN, _portions
from gateway.store.database import id_at, ms_at, new_id
from gateway.store.search_spelling import (
    LEVELS,
    NOTHING,
    Indexed,
    Spelt,
    blocks_of,
    spell_blocks,
    spell_spoken,
    spell_vector,
    unpack,
)
from gateway.store.search_tokens import Entry, code_of

TENANT = "t" * 20
ENTRY = Entry(TENANT, "one", 5, (("plata", "factura"), ("plata",)), frozenset({"is=open"}))


def test_fts5_is_told_words_in_their_order_with_gaps_and_what_is_kept_is_the_same() -> None:
    code, made = code_of(TENANT), spell_spoken(ENTRY, NOTHING)
    assert made.words == f"{code}plata {code}factura _ {code}plata _ {code}every= _ {code}is=open"
    assert unpack(made.packed) == made.words


def test_postgresql_has_every_word_once_with_its_places() -> None:
    code, made = code_of(TENANT), spell_vector(ENTRY, NOTHING)
    assert made.words.split()[:2] == [f"'{code}plata':1,4", f"'{code}factura':2"]
    assert f"'{code}is=open'" in made.words.split()


def test_a_long_thread_has_no_more_places_than_postgresql_takes() -> None:
    made = spell_vector(replace(ENTRY, runs=(tuple(f"w{at}" for at in range(20_000)),)), NOTHING)
    placed = [int(one.rpartition(":")[2]) for one in made.words.split() if ":" in one]
    assert max(placed) == 16_000
    assert len(made.words.split()) == 20_002


@pytest.mark.parametrize(("low", "high"), [(0, 512), (64, 4096 + 128), (512 * 7, 512 * 20)])
def test_a_place_lies_in_one_of_the_blocks_of_each_range_around_it(low: int, high: int) -> None:
    blocks = set(blocks_of(low, high))
    for seq in range(low, high, 31):
        mine = {one.strip(" '").removeprefix(code_of(TENANT)) for one in spell_blocks(TENANT, seq).split(" ") if one}
        assert len(mine) == LEVELS
        assert len(mine & blocks) == 1


def test_what_the_index_says_already_is_no_news() -> None:
    words = spell_spoken(ENTRY, NOTHING).words
    was = Indexed(7, 1, ENTRY.last_at, words)
    assert not spell_spoken(ENTRY, was).is_news
    assert spell_spoken(replace(ENTRY, last_at=6), was).is_news  # mail came: it moves up
    assert spell_spoken(replace(ENTRY, facts=frozenset()), was).is_news
    assert spell_spoken(replace(ENTRY, seq=9), was).is_news  # it is given a place


def test_a_writing_transaction_ends_after_so_many_words_and_takes_one_thread_at_least() -> None:
    def thread(words: int) -> Spelt:
        return Spelt(ENTRY, NOTHING, "w " * (words - 1) + "w")

    made = [thread(one) for one in (WRITTEN // 2, WRITTEN // 4, WRITTEN // 2, 3 * WRITTEN, 1, 1)]
    assert [len(some) for some in _portions(made)] == [2, 1, 1, 2]
    assert list(_portions([])) == []


def test_the_time_of_an_id_is_read_from_it() -> None:
    assert ms_at(id_at(1_795_000_000_123)) == 1_795_000_000_123
    assert id_at(ms_at(made := new_id())) <= made < id_at(ms_at(made) + 1)
    assert ms_at("") == 0
