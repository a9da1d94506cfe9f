"""The recipients of a run, and what became of each: what its server said, and what came of it since.

Called by `inbox.runs`, which adds them up, and by the API, which gives them page by page. Reads the whole run, or a
page of it with what else the run sent to the page's threads: a promise or an answer is of one recipient of those.
Three queries for a whole run, four for a page.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, literal_column, or_, select

from gateway.mail.header_mailboxes import read_mailboxes
from gateway.mail.reply import Refused
from gateway.mail.status import say
from gateway.outbound.queue import FAILED, QUEUED, RELAYED
from gateway.store.database import Transaction, need_time
from gateway.store.schema import delivery, message, thread

PROMISED, ANSWERED, CORRECTED, NOTHING = "promised", "answered", "corrected", "nothing"
SINCE = (PROMISED, ANSWERED, CORRECTED, NOTHING)  # who is in several is in the first
OUTCOMES = {RELAYED: "accepted", FAILED: "bounced", QUEUED: "waiting"}  # the others are called as they are
Key = tuple[str, int]  # of a recipient: its message and number


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of a run, and what became of it. `corrected_to` is the last address that it was corrected to."""

    message_id: str
    thread_id: str
    number: int
    address: str
    document: str  # its number
    customer: str
    sent_at: datetime
    state: str
    reason: str
    words: str
    since: str  # one of SINCE
    corrected_to: str = ""
    answered_at: datetime | None = None
    promised_on: str = ""

    @property
    def outcome(self) -> str:
        """What the server said of it, as reports call it."""
        return OUTCOMES.get(self.state, self.state)


def no_run(name: str) -> Refused:
    """The refusal of a run that the tenant does not have."""
    return Refused(404, "5.1.1", f"there is no run {name[:100]!r}; see `gateway runs list`")


# -- reading

_JOINED = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)


def read_recipients(
    tx: Transaction, tenant_id: str, name: str, limit: int, after: Key | None = None
) -> tuple[Recipient, ...]:
    """Recipients of a run in the order of its mail, at most so many: the first ones, or a page from `after` on.

    A page begins behind `after`, ("", 0) for the first. Raises Refused 404 for a page of a run that there is not.
    """
    page = rows = _deliveries(tx, tenant_id, name, limit, after or ("", 0))
    threads: Any = select(message.c.thread_id).where(_of_run(tenant_id, name))
    if after is not None:
        if not page and after == ("", 0):
            raise no_run(name)
        threads = list({row.thread_id for row in page})
        rows = _deliveries(tx, tenant_id, name, None, ("", 0), threads)
    since = _Since(rows, _related(tx, tenant_id, threads), _threads(tx, tenant_id, threads))
    return tuple(since.judge(row) for row in page)


def _of_run(tenant_id: str, name: str) -> Any:
    return (message.c.tenant_id == tenant_id) & (message.c.run == name) & (message.c.run != literal_column("''"))


def _deliveries(
    tx: Transaction, tenant_id: str, name: str, limit: int | None, after: Key, threads: Sequence[str] | None = None
) -> Sequence[Any]:
    columns = (
        message.c.message_id, message.c.thread_id, message.c.created_at, delivery.c.number, delivery.c.recipient,
        delivery.c.state, delivery.c.reason, delivery.c.code, delivery.c.status, delivery.c.text,
    )  # fmt: skip
    behind = (message.c.message_id >= after[0]) & or_(message.c.message_id > after[0], delivery.c.number > after[1])
    within = [] if threads is None else [message.c.thread_id.in_(threads)]
    return tx.all(
        select(*columns).join_from(message, delivery, _JOINED).where(_of_run(tenant_id, name), behind, *within)
        .order_by(message.c.message_id, delivery.c.number).limit(limit)
    )  # fmt: skip


def _related(tx: Transaction, tenant_id: str, threads: Any) -> Sequence[Any]:
    """In the threads of a run: answers of people, and the mail that went to corrected addresses."""
    answers = and_(message.c.direction == "in", message.c.kind == "person")
    again = and_(message.c.direction == "out", message.c.detail.contains('"corrected"'))
    columns = (
        message.c.message_id, message.c.thread_id, message.c.direction, message.c.author, message.c.detail,
        message.c.created_at, delivery.c.recipient, delivery.c.state,
    )  # fmt: skip
    return tx.all(
        select(*columns).join_from(message, delivery, _JOINED, isouter=True)
        .where(message.c.tenant_id == tenant_id, message.c.thread_id.in_(threads), or_(answers, again))
        .order_by(message.c.message_id)
    )  # fmt: skip


def _threads(tx: Transaction, tenant_id: str, threads: Any) -> dict[str, Any]:
    columns = (thread.c.thread_id, thread.c.document_number, thread.c.customer, thread.c.promised_on)
    where = (thread.c.tenant_id == tenant_id) & thread.c.thread_id.in_(threads)
    return {row[0]: row for row in tx.all(select(*columns).where(where))}


# -- what came since


class _Since:
    """Whose an answer, a correction or a promise is: of which recipient of the run."""

    def __init__(self, rows: Sequence[Any], related: Sequence[Any], threads: Mapping[str, Any]) -> None:
        self._threads = threads
        self._again: dict[tuple[str, str], list[Any]] = {}  # (thread, the old address) -> the mail to the new one
        self._answered: dict[tuple[str, int], datetime] = {}
        self._promised: set[tuple[str, int]] = set()
        for row in related:
            if row.direction == "out" and row.recipient:
                old = str(json.loads(row.detail or "{}").get("corrected", "")).lower()
                self._again.setdefault((row.thread_id, old), []).append(row)
        by_thread: dict[str, list[Any]] = {}
        for row in rows:
            by_thread.setdefault(row.thread_id, []).append(row)
        for row in related:
            if row.direction == "in":
                self._note_answer(row, by_thread.get(row.thread_id, ()))
        for thread_id, those in by_thread.items():
            if thread_id in threads and threads[thread_id].promised_on:
                keys = [(row.message_id, row.number) for row in _latest(those)]
                self._promised.add(next((key for key in keys if key in self._answered), keys[0]))

    def _note_answer(self, answer: Any, those: Sequence[Any]) -> None:
        """An answer is of whoever wrote it, else of the first recipient of the mail before it."""
        before = _latest([row for row in those if row.message_id < answer.message_id])
        if not before:
            return
        authors = {box.address.key for box in read_mailboxes(answer.author, limit=2)}
        named = [row for row in before if {row.recipient.lower(), self._corrected(row)[0].lower()} & authors]
        for row in named or before[:1]:
            self._answered.setdefault((row.message_id, row.number), need_time(answer.created_at))

    def _corrected(self, row: Any) -> tuple[str, str]:
        """(the address that a recipient was corrected to in the end, how the mail to it went); "" for none."""
        address, state, after = row.recipient.lower(), row.state, row.message_id
        corrected = ""
        while state == FAILED:
            found = next((one for one in self._again.get((row.thread_id, address), ()) if one.message_id > after), None)
            if found is None:
                break
            corrected, state, after = found.recipient, found.state, found.message_id
            address = corrected.lower()
        return corrected, state

    def judge(self, row: Any) -> Recipient:
        """What became of one recipient."""
        key, about = (row.message_id, row.number), self._threads.get(row.thread_id)
        corrected, state = self._corrected(row)
        if key in self._promised:
            since = PROMISED
        elif key in self._answered:
            since = ANSWERED
        else:
            since = CORRECTED if corrected and state != FAILED else NOTHING
        return Recipient(
            row.message_id, row.thread_id, row.number, row.recipient, about.document_number if about else "",
            about.customer if about else "", need_time(row.created_at), row.state,
            row.reason if row.state == FAILED else "", say(row.code, row.status, row.text), since, corrected,
            self._answered.get(key), about.promised_on if about and key in self._promised else "",
        )  # fmt: skip


def _latest(rows: Sequence[Any]) -> list[Any]:
    """The recipients of the last mail of those."""
    return [row for row in rows if row.message_id == rows[-1].message_id]
