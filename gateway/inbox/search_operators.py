"""What each operator of a search means: a tree of `search_grammar` becomes an expression over the tokens of the index.

Pure; called by `inbox.search`. Raises `WrongQuery` in words that say the right form: an unknown operator, state, reason
or view names what there is, and what was perhaps meant. `OPERATORS` is what help pages show.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.inbox.search_grammar import All, Any, Not, Query, Term, WrongQuery
from gateway.inbox.search_values import read_amount, read_days
from gateway.mail.folding import fold, words
from gateway.store.documents import DOCUMENT_TYPES
from gateway.store.search_tokens import (
    FIRST_DAY,
    LAST_DAY,
    MOST,
    Both,
    Either,
    Expression,
    Phrase,
    Without,
    Word,
    amount_range,
    day_range,
    fact,
    flat,
)

STATES = ("open", "waiting", "snoozed", "closed", "spam")
HAVING = ("attachment", "reply", "bounce", "document", "note", "promise")
LEAST_PREFIX = 2  # characters before a *: fewer would be half of everything


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and when: what `me`, `today` and `7d` mean."""

    today: date
    user: str = ""  # the id of the user who asks; "" for the command line


def express(query: Query, asking: Asking) -> Expression:
    """The expression that a query means. Raises WrongQuery."""
    if isinstance(query, All):
        return Both(tuple(express(one, asking) for one in query.parts))
    if isinstance(query, Any):
        return Either(flat([express(one, asking) for one in query.parts]))
    if isinstance(query, Not):
        return Without(express(query.part, asking))
    if not query.operator:
        return _plain(query)
    made = OPERATORS.get(query.operator)
    if made is None:
        raise _unknown_operator(query)
    return made.mean(query, asking)


def _unknown_operator(term: Term) -> WrongQuery:
    near = difflib.get_close_matches(term.operator, OPERATORS, 1)
    if near:
        return WrongQuery(
            "there is no %(name)s: to search by; did you mean %(near)s: ?", name=term.operator, near=near[0]
        )
    return WrongQuery(
        'there is no %(name)s: to search by; there are %(all)s (words with a colon go into quotes: "%(name)s: …")',
        name=term.operator, all=", ".join(f"{one}:" for one in OPERATORS),
    )  # fmt: skip


# -- words


def _run(tokens: Sequence[str], term: Term) -> Expression:
    if term.prefix and len(tokens[-1].rpartition(":")[2]) < LEAST_PREFIX:
        raise WrongQuery("before the * of %(text)s* stand two letters at least, as: fac*", text=term.text)
    return Word(tokens[0], term.prefix) if len(tokens) == 1 else Phrase(tuple(tokens), term.prefix)


def _need_words(term: Term) -> list[str]:
    found = words(term.text)
    if not found:
        raise WrongQuery("there is no word in %(text)s; write letters or digits", text=term.text or '""')
    return found


def _plain(term: Term) -> Expression:
    """Words anywhere; an amount is found however it is written there."""
    if not term.quoted and term.text.endswith(":") and term.text[:-1].lower() in OPERATORS:
        raise WrongQuery("after %(name)s: stands what is looked for, without a space between",
                         name=term.text[:-1].lower())  # fmt: skip
    anywhere = _run(_need_words(term), term)
    value = None if term.prefix or term.quoted else read_amount(term.text)
    return anywhere if value is None else Either((anywhere, Word(f"t{value}")))


def _field(letter: str) -> Callable[[Term, Asking], Expression]:
    return lambda term, _: _run([f"{letter}:{word}" for word in _need_words(term)], term)


def _number(term: Term, _: Asking) -> Expression:
    """A document's number, whole or in parts, whatever stands between its parts."""
    parts = _need_words(term)
    whole = Word(f"n={''.join(parts)}"[:100], term.prefix)
    return Either((whole, _run([f"n:{word}" for word in parts], term)))


# -- facts


def _choice(name: str, known: Sequence[str], *, what: str = "") -> Callable[[Term, Asking], Expression]:
    def mean(term: Term, _: Asking) -> Expression:
        value = fold(term.text).strip()
        if value not in known:
            near = difflib.get_close_matches(value, known, 1)
            if near:
                raise WrongQuery("%(name)s: knows no %(value)s; did you mean %(name)s:%(near)s ?",
                                 name=name, value=term.text, near=near[0])  # fmt: skip
            raise WrongQuery("%(name)s: knows no %(value)s; there are %(all)s",
                             name=name, value=term.text, all=", ".join(known))  # fmt: skip
        return Word(fact(what or name, value))

    return mean


def _free(name: str) -> Callable[[Term, Asking], Expression]:
    return lambda term, _: Word(fact(name, fold(term.text)), term.prefix)


def _assignee(term: Term, asking: Asking) -> Expression:
    value = term.text.lower()
    if value in ("none", "nobody"):
        return Word(fact("assignee", "nobody"))
    if value == "me":
        if not asking.user:
            raise WrongQuery("assignee:me is for somebody who is logged in; write a name")
        return Word(fact("assignee", asking.user))
    return _run([f"w:{word}" for word in _need_words(term)], term)


def _view(term: Term, asking: Asking) -> Expression:
    open_ = Word(fact("is", "open"))
    known: Mapping[str, Expression] = {
        "todo": open_,
        "mine": Both((open_, Word(fact("assignee", asking.user or "-")))),
        "unassigned": Both((open_, Word(fact("assignee", "nobody")))),
        "promised": Word(fact("has", "promise")),
        "closed": Word(fact("lane", "done")),
        **{lane: Word(fact("lane", lane)) for lane in ("bounced", "replies", "waiting", "snoozed", "sent", "spam")},
        "all": Both(()),
    }
    found = known.get(fold(term.text))
    if found is None:
        raise WrongQuery("in: knows no %(value)s; there are %(all)s", value=term.text, all=", ".join(known))
    return found


# -- amounts and days

_SIGNS = (">=", "<=", ">", "<", "=")


def _compared(text: str) -> tuple[str, str]:
    """(">", "1000") of ">1000"."""
    sign = next((one for one in _SIGNS if text.startswith(one)), "")
    return sign, text[len(sign) :]


def _amount(letter: str, name: str) -> Callable[[Term, Asking], Expression]:
    def need(text: str, term: Term) -> int:
        value = read_amount(text.strip())
        if value is None:
            raise WrongQuery("%(name)s: wants an amount, not %(text)s; write %(name)s:1200, %(name)s:>1000 or "
                             "%(name)s:100..500", name=name, text=term.text)  # fmt: skip
        return value

    def mean(term: Term, _: Asking) -> Expression:
        low, dots, high = term.text.partition("..")
        if dots:
            pair = need(low, term) if low else 0, need(high, term) if high else MOST
            if pair[0] > pair[1] or not (low or high):
                raise WrongQuery("%(name)s:%(text)s is empty; write the lesser amount first", name=name, text=term.text)
            return amount_range(letter, *pair)
        sign, text = _compared(term.text)
        value = need(text, term)
        return {
            ">": lambda: amount_range(letter, value + 1, MOST),
            ">=": lambda: amount_range(letter, value, MOST),
            "<": lambda: amount_range(letter, 0, value - 1),
            "<=": lambda: amount_range(letter, 0, value),
        }.get(sign, lambda: amount_range(letter, value, value))()

    return mean


def _need_days(name: str, text: str, term: Term, asking: Asking) -> tuple[date, date]:
    found = read_days(text, asking.today)
    if found is None:
        raise WrongQuery("%(name)s: wants a day, not %(text)s; write %(name)s:2026-11-24, %(name)s:2026-11 or "
                         "%(name)s:7d", name=name, text=term.text)  # fmt: skip
    return found


def _days(letter: str, name: str) -> Callable[[Term, Asking], Expression]:
    def mean(term: Term, asking: Asking) -> Expression:
        low, dots, high = term.text.partition("..")
        if dots:
            first = _need_days(name, low, term, asking)[0] if low else FIRST_DAY
            last = _need_days(name, high, term, asking)[1] if high else LAST_DAY
            if first > last:
                raise WrongQuery("%(name)s:%(text)s is empty; write the earlier day first", name=name, text=term.text)
            return day_range(letter, first, last)
        sign, text = _compared(term.text)
        first, last = _need_days(name, text, term, asking)
        return {
            ">": lambda: day_range(letter, last + timedelta(1), LAST_DAY),
            ">=": lambda: day_range(letter, first, LAST_DAY),
            "<": lambda: day_range(letter, FIRST_DAY, first - timedelta(1)),
            "<=": lambda: day_range(letter, FIRST_DAY, last),
        }.get(sign, lambda: day_range(letter, first, last))()

    return mean


def _before(term: Term, asking: Asking) -> Expression:
    return day_range("d", FIRST_DAY, _need_days("before", term.text, term, asking)[0] - timedelta(1))


def _after(term: Term, asking: Asking) -> Expression:
    return day_range("d", _need_days("after", term.text, term, asking)[0], LAST_DAY)


@dataclass(frozen=True, slots=True)
class Operator:
    """What stands before a colon: an example, what it finds, and how."""

    example: str
    about: str
    mean: Callable[[Term, Asking], Expression]


OPERATORS: Mapping[str, Operator] = {
    "from": Operator("from:ana@client.example", "who wrote a mail: name or address, whole or in part", _field("f")),
    "to": Operator("to:contabil", "whom a mail went to", _field("r")),
    "subject": Operator("subject:factura", "words of a subject", _field("s")),
    "customer": Operator("customer:vest", "the customer: words of its name, or its key", _field("c")),
    "number": Operator("number:CP-2026-0117", "a document's number, whole or a part of it", _number),
    "amount": Operator("amount:>1000", "a document's total; also 1200, <=50, 100..500", _amount("a", "amount")),
    "balance": Operator("balance:>0", "what is still to be paid of a document", _amount("b", "balance")),
    "currency": Operator("currency:eur", "a document's currency", _free("currency")),
    "type": Operator("type:credit_note", "the kind of document", _choice("type", DOCUMENT_TYPES)),
    "status": Operator("status:paid", "what the billing system says of a document", _free("status")),
    "date": Operator("date:2026-11", "a day, month or year with mail; also >=2026-11-01, 2026-10..2026-11, today",
                     _days("d", "date")),
    "before": Operator("before:2026-11-01", "mail before that day", _before),
    "after": Operator("after:7d", "mail on that day or later; 7d is seven days ago", _after),
    "due": Operator("due:<today", "the day on which a document is due", _days("u", "due")),
    "issued": Operator("issued:2026-11", "the day of a document", _days("i", "issued")),
    "has": Operator("has:attachment", "what a thread has: attachment, reply, bounce, document, note, promise",
                    _choice("has", HAVING)),
    "file": Operator("file:ordin*", "the name of a file", _field("p")),
    "is": Operator("is:open", "the state: open, waiting, snoozed, closed or spam", _choice("is", STATES)),
    "reason": Operator("reason:mailbox_full", "why mail failed, or why a thread is open", _free("why")),
    "assignee": Operator("assignee:me", "whose it is: me, nobody, or a name", _assignee),
    "tag": Operator("tag:urgent", "a tag", _free("tag")),
    "in": Operator("in:replies", "a view of the inbox", _view),
}  # fmt: skip
