"""The language of the search box: any text is a tree or a sentence, ranges are exact, words are blind to diacritics."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inbox.search import Sought, mark
from gateway.inbox.search_grammar import All, Any, Not, Query, Term, WrongQuery, parse
from gateway.inbox.search_operators import OPERATORS, Asking, express
from gateway.inbox.search_values import find_amounts, read_amount, read_days
from gateway.mail.folding import fold, spans, words
from gateway.store.search_tokens import (
    MOST,
    MOST_DIGITS,
    Both,
    Either,
    Expression,
    Phrase,
    Without,
    Word,
    amount_range,
    amount_tokens,
    day_range,
    day_tokens,
)

TODAY = date(2026, 11, 24)
ASKING = Asking(TODAY, "u1")
PIECES = st.sampled_from([*(f"{name}:" for name in OPERATORS), "OR", "AND", "NOT", "-", "(", ")", '"', "*", "|", ":",
                          " ", "plata", "1.200,00", ">1000", "2026-11", "..", "me", "open", "ё"])  # fmt: skip
WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8).filter(
    lambda one: one not in ("OR", "AND", "NOT")
)


@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=15).map("".join)))
def test_any_text_is_understood_or_refused_in_words(text: str) -> None:
    try:
        found = express(parse(text), ASKING)
    except WrongQuery as wrong:
        assert wrong.reply.code == 501
        assert wrong.sentence % wrong.values if wrong.values else wrong.sentence
        assert len(wrong.reply.text) > 20
    else:
        assert all(token and set(token) & set(" '\"\\&|!()<>") == set() for token in tokens_of(found))


def tokens_of(found: Expression) -> list[str]:
    """Every token of an expression: no character of them means anything to a database."""
    match found:
        case Word(token):
            return [token]
        case Phrase(tokens):
            return list(tokens)
        case Without(part):
            return tokens_of(part)
        case Both(parts) | Either(parts):
            return [token for part in parts for token in tokens_of(part)]


def write(query: Query) -> str:
    """A tree as text."""
    match query:
        case Term(operator, text, quoted, prefix):
            words_ = f'"{text}"' if quoted else text
            return f"{operator}:{words_}{'*' * prefix}" if operator else f"{words_}{'*' * prefix}"
        case All(parts):
            return f"({' '.join(map(write, parts))})"
        case Any(parts):
            return f"({' OR '.join(map(write, parts))})"
        case Not(part):
            return f"NOT {write(part)}"


TERMS = st.builds(Term, st.sampled_from(["", "from", "to", "tag"]), WORDS, st.booleans(), st.booleans())
TREES = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Any, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


@given(TREES)
def test_a_tree_that_is_written_is_read_as_it_was(tree: Query) -> None:
    text = write(tree)
    if len(text) < 400 and text.count("NOT") + text.count("(") + text.count(":") < 10:
        assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("form:ana", "did you mean from:"),
        ("re:factura", 'go into quotes: "re: …"'),
        ("is:opened", "did you mean is:open"),
        ("amount:much", "amount:>1000"),
        ("amount:500..100", "the lesser amount first"),
        ("date:2026-13", "date:2026-11-24"),
        ('"contul', "another"),
        ("(a", "close it with )"),
        ("a)", "take it out"),
        ("a OR", "on both sides"),
        ("a*", "two letters"),
        ("***", "write letters or digits"),
        ("from: ana", "without a space"),
        ("in:trash", "there are todo, mine"),
        ("x" * 501, "longer than 500"),
        ("ab " * 41, "more than 40 words"),
        ("(" * 20 + "ab" + ")" * 20, "more simply"),
    ],
)
def test_a_wrong_query_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(WrongQuery) as wrong:
        express(parse(text), ASKING)
    assert says in wrong.value.reply.text


def test_an_operator_before_a_bar_is_refused_in_words() -> None:
    with pytest.raises(WrongQuery, match="stands what is looked for"):
        parse("from:| x")


def test_me_is_for_somebody() -> None:
    assert express(parse("assignee:me"), ASKING) == Word("assignee=u1")
    with pytest.raises(WrongQuery, match="write a name"):
        express(parse("assignee:me"), Asking(TODAY))


AMOUNTS = st.one_of(st.integers(0, MOST), st.integers(0, 3000), st.sampled_from([0, 9, 10, 999, 1000, MOST]))


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_a_range_of_amounts_is_exact(value: int, low: int, high: int) -> None:
    found = amount_range("a", low, high)
    assert isinstance(found, Either)
    assert len(found.parts) <= 18 * MOST_DIGITS  # nine beginnings for each digit, at either end
    assert bool({Word(one) for one in amount_tokens("a", value)} & set(found.parts)) == (low <= value <= high)


DAYS = st.dates(date(1980, 1, 1), date(2150, 1, 1))


@given(DAYS, DAYS, DAYS)
def test_a_range_of_days_is_exact(day: date, low: date, high: date) -> None:
    found = day_range("d", low, high)
    assert isinstance(found, Either)
    assert len(found.parts) <= 160
    assert bool({Word(one) for one in day_tokens("d", day)} & set(found.parts)) == (low <= day <= high)


@given(st.text(max_size=60))
def test_words_are_the_same_wherever_they_are_looked_for(text: str) -> None:
    assert [one for _, _, one in spans(text)] == words(text)
    assert words(fold(text)) == words(text) or not text.isascii()


@pytest.mark.parametrize(
    ("one", "other"),
    [("plată", "PLATA"), ("şoseaua ţării", "șoseaua țării"), ("plata\u0306", "plată"), ("Расчёт", "расчет"),
     ("Straße", "STRASSE"), ("Łódź", "lodz")],
)  # fmt: skip
def test_diacritics_and_case_part_nothing(one: str, other: str) -> None:
    assert words(one) == words(other)


def test_a_letter_is_no_accent() -> None:
    assert words("мой") != words("мои")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1200", 1_200_000), ("1.200,00", 1_200_000), ("1,200.50", 1_200_500), ("1 200,5", 1_200_500), ("0.5", 500),
     ("1.234.567", 1_234_567_000), ("12.50", 12_500), ("abc", None), ("1..2", None), ("9" * 30, None)],
)  # fmt: skip
def test_amounts_are_read_as_people_write_them(text: str, value: int | None) -> None:
    assert read_amount(text) == value


def test_amounts_in_a_text_are_found() -> None:
    assert find_amounts("am achitat 1.200,00 lei si 15,50 pe 24") == [1_200_000, 15_500]


def test_days_are_read_as_people_write_them() -> None:
    assert read_days("2026-02", TODAY) == (date(2026, 2, 1), date(2026, 2, 28))
    assert read_days("24.11.2026", TODAY) == read_days("today", TODAY) == (TODAY, TODAY)
    assert read_days("7d", TODAY) == (TODAY - timedelta(7),) * 2
    assert read_days("30.02.2026", TODAY) is None


def test_what_matched_is_marked_where_it_stands() -> None:
    sought = Sought.of(parse('plata "contul nr" fac* -rambursare'))
    assert mark("Am făcut PLATĂ din contul nr. 5, rambursare", sought) == (
        ("Am ", False), ("făcut", True), (" ", False), ("PLATĂ", True), (" din ", False), ("contul nr", True),
        (". 5, rambursare", False),
    )  # fmt: skip
    long = mark("x " * 200 + "plata <b>" + " y" * 200, sought)
    assert long[0] == ("…", False)
    assert ("plata", True) in long
    assert sum(len(text) for text, _ in long) < 210
