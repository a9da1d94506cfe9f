"""What the search index knows of a thread: its document, people, words, files, days and states, as tokens.

Called by `inbox.indexing` with threads that changed; reads a fixed number of times however many they are. Quotes in
replies are left out, since what they quote is in the thread itself.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, or_, select

from gateway.inbox.search_values import THOUSANDTHS, find_amounts
from gateway.mail.folding import fold, words
from gateway.store.database import Transaction, need_time
from gateway.store.documents import these_documents
from gateway.store.schema import customer, delivery, document, message, note, tenant, thread
from gateway.store.search_index import spell
from gateway.store.search_spelling import Spelt
from gateway.store.search_tokens import Entry, amount_tokens, day_tokens, fact
from gateway.store.tags import tags_of
from gateway.store.users import people_of

TEXT_LIMIT = 100_000  # characters of a thread that are indexed, the newest first: as many words as PostgreSQL places
MOST_MESSAGES = 500  # of a thread that are read, the newest


def make_entries(
    tx: Transaction, tenant_id: str, ids: Sequence[str], places: Mapping[str, int] | None = None
) -> list[Spelt]:
    """The entries of some threads of a tenant, as they are now; the number of queries is constant, and a long thread
    costs no more than its newest MOST_MESSAGES. `places`: where they shall stand; else the index says it."""
    columns = [thread.c[name] for name in ("thread_id", "subject", "document_type", "document_id", "document_number",
                                           "customer", "state", "chip", "last_at", "lane",
                                           "assignee", "promised_on")]  # fmt: skip
    rows = tx.all(select(*columns).where(thread.c.tenant_id == tenant_id, thread.c.thread_id.in_(ids)))
    zone = ZoneInfo((tx.first(select(tenant.c.timezone).where(tenant.c.tenant_id == tenant_id)) or ["UTC"])[0])
    documents = _documents(tx, tenant_id, [(row[2], row[3]) for row in rows if row[3]])
    newest = newest_of(tx, tenant_id, ids, MOST_MESSAGES)
    mails, recipients = _mails(tx, newest), _recipients(tx, newest)
    people, tags, notes = people_of(tx, tenant_id), tags_of(tx, tenant_id, ids), _notes(tx, tenant_id, ids)
    made = []
    for row in rows:
        maker = _Maker(zone)
        maker.add_thread(row)
        maker.add_people(people.get(row[10], ""), tags.get(row[0], ()), notes.get(row[0], ()))
        maker.add_document(documents.get((row[2], row[3])))
        of_thread = mails.get(row[0], ())
        for mail in of_thread:
            maker.add_mail(mail)
        maker.add_recipients(recipients.get(row[0], ()))
        place = (places or {}).get(row[0], 0)
        made.append(Entry(tenant_id, row[0], row[8], tuple(maker.runs), frozenset(maker.facts), place, len(of_thread)))
    return spell(tx, made)


def _documents(
    tx: Transaction, tenant_id: str, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Sequence[str]]:
    """What is known of documents, the last being what their customer is called by now."""
    names = ("type", "document_id", "number", "status", "currency", "customer_name", "customer_key", "total", "balance",
             "issue_date", "due_date")  # fmt: skip
    whose = (customer.c.tenant_id == document.c.tenant_id) & (customer.c.customer_key == document.c.customer_key)
    query = select(*(document.c[name] for name in names), func.coalesce(customer.c.name, "")).join_from(
        document, customer, whose, isouter=True
    )
    where = these_documents(tenant_id, keys)
    return {(row[0], row[1]): row[2:] for row in tx.all(query.where(where))}


_LATER = message.alias()


def newest_of(tx: Transaction, tenant_id: str, ids: Sequence[str], most: int) -> ColumnElement[bool]:
    """Mail of these threads, of each the newest: found by a walk along an index, however long a thread is."""
    bound = (
        select(_LATER.c.message_id)
        .where(_LATER.c.tenant_id == thread.c.tenant_id, _LATER.c.thread_id == thread.c.thread_id)
        .order_by(_LATER.c.message_id.desc())
        .limit(1)
        .offset(most - 1)
        .scalar_subquery()
    )
    rows = tx.all(select(thread.c.thread_id, bound).where(thread.c.tenant_id == tenant_id, thread.c.thread_id.in_(ids)))
    short = message.c.thread_id.in_([row[0] for row in rows if row[1] is None])
    long = [(message.c.thread_id == row[0]) & (message.c.message_id >= row[1]) for row in rows if row[1] is not None]
    return (message.c.tenant_id == tenant_id) & or_(short, *long)


def _mails(tx: Transaction, newest: ColumnElement[bool]) -> dict[str, list[Sequence[str]]]:
    """The mail of each thread, the newest first."""
    names = ("thread_id", "kind", "direction", "author", "recipients", "subject", "body_text", "detail", "created_at")
    columns = [message.c[name] for name in names]
    found: dict[str, list[Sequence[str]]] = {}
    for row in tx.all(select(*columns).where(newest).order_by(message.c.message_id.desc())):
        found.setdefault(row[0], []).append(row[1:])
    return found


def _recipients(tx: Transaction, newest: ColumnElement[bool]) -> dict[str, list[tuple[str, str]]]:
    """(address, reason of its failure) of each delivery of a thread."""
    joined = (delivery.c.tenant_id == message.c.tenant_id) & (delivery.c.message_id == message.c.message_id)
    columns = (message.c.thread_id, delivery.c.recipient, delivery.c.reason, delivery.c.state)
    found: dict[str, list[tuple[str, str]]] = {}
    for row in tx.all(select(*columns).join_from(message, delivery, joined).where(newest).distinct()):
        found.setdefault(row[0], []).append((row[1], row[2] if row[3] == "failed" else ""))
    return found


def _notes(tx: Transaction, tenant_id: str, ids: Sequence[str]) -> dict[str, list[str]]:
    where = (note.c.tenant_id == tenant_id) & note.c.thread_id.in_(ids)
    found: dict[str, list[str]] = {}
    for thread_id, text in tx.all(select(note.c.thread_id, note.c.text).where(where).order_by(note.c.note_id.desc())):
        found.setdefault(thread_id, []).append(text)
    return found


class _Maker:
    """Gathers the tokens of one thread."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self.runs: list[tuple[str, ...]] = []
        self.facts: set[str] = set()
        self.seen: set[tuple[str, str]] = set()
        self.room = TEXT_LIMIT

    def _say(self, text: str, letter: str = "") -> None:
        """Words that are found anywhere, and by the field's operator; what stands there already stands there once."""
        if not text or (letter, text) in self.seen:
            return
        self.seen.add((letter, text))
        found = words(text[: self.room])
        self.room -= len(text)
        if not found:
            return
        self.runs.append(tuple(found))
        if letter:
            self.runs.append(tuple(f"{letter}:{word}" for word in found))

    def add_thread(self, row: Sequence[str]) -> None:
        """Its own columns."""
        _, subject, type, _, number, customer, state, chip, _, lane, assignee, promised_on = row
        self.facts |= {fact("is", state), fact("lane", lane), fact("assignee", assignee or "nobody")}
        self.facts |= {fact("is", "snoozed")} if lane == "snoozed" else set()
        self.facts |= {fact("has", "promise")} if promised_on else set()
        if chip:
            self.facts |= {fact("chip", chip), fact("why", chip)}
        if type:
            self.facts |= {fact("type", type), fact("has", "document")}
        self._say(number, "n")
        if number:
            self.facts.add(f"n={''.join(words(number))}"[:100])
        self._say(customer, "c")
        self._say(subject, "s")

    def add_people(self, assignee: str, tags: Iterable[str], notes: Iterable[str]) -> None:
        """What clerks did with it."""
        self._say(assignee, "w")
        self.facts |= {fact("tag", fold(tag)) for tag in tags}
        for text in notes:
            self.facts.add(fact("has", "note"))
            self._say(text)

    def add_document(self, row: Sequence[str] | None) -> None:
        """What the billing system says of it."""
        if row is None:
            return
        number, status, currency, customer, key, total, balance, issued, due, called = row
        self._say(number, "n")
        if number:
            self.facts.add(f"n={''.join(words(number))}"[:100])
        for text in (customer, called, key):
            self._say(text, "c")
        self.facts |= {fact("status", status)} if status else set()
        self.facts |= {fact("currency", currency)} if currency else set()
        for letter, text in (("a", total), ("b", balance)):
            if (value := _thousandths(text)) is not None:
                self.facts |= {*amount_tokens(letter, value), f"t{value}"}
        for letter, text in (("i", issued), ("u", due)):
            if (day := _day(text)) is not None:
                self.facts |= set(day_tokens(letter, day))

    def add_mail(self, row: Sequence[str]) -> None:
        """One mail of it."""
        kind, direction, author, recipients, subject, body, detail, at = row
        self.facts |= set(day_tokens("d", need_time(int(at)).astimezone(self.zone).date()))
        if direction == "in":
            self.facts |= {fact("has", "reply")} if kind == "person" else set()
            self.facts |= {fact("has", "bounce")} if kind == "bounce" else set()
        self._say(author, "f")
        self._say(recipients, "r")
        self._say(subject, "s")
        for name in _files(detail):
            self.facts.add(fact("has", "attachment"))
            self._say(name, "p")
        if self.room > 0 and ("", body) not in self.seen:
            self.facts |= {f"t{value}" for value in find_amounts(body[: self.room])}
            self._say(body)

    def add_recipients(self, rows: Iterable[tuple[str, str]]) -> None:
        """Who was written to, and why it failed."""
        for address, reason in rows:
            self._say(address, "r")
            if reason:
                self.facts.add(fact("why", reason))


def _thousandths(text: str) -> int | None:
    try:
        return max(int(Decimal(text) * THOUSANDTHS), 0) if text else None
    except (InvalidOperation, OverflowError, ValueError):
        return None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError:
        return None


def _files(detail: str) -> list[str]:
    if '"attachments"' not in detail:
        return []
    listed = json.loads(detail).get("attachments")
    return [str(one.get("filename") or "") for one in listed if isinstance(one, dict)] if listed else []
