"""What became of a run: the mails that a billing system handed over in one batch (X-AR-Run).

Called by the pages and `gateway runs`. Every recipient of the run stands in one cell of a table: what servers said of
the mail (a line of it) by what came of it since (a column: promised, answered, corrected, or nothing more). So lines
and columns add up. Three queries, whatever the run's size; RECIPIENTS_MOST are counted. An address that was corrected
counts as corrected while the mail that went to the new one has not failed as well.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, literal_column, or_, select

from gateway.inbox.timeline import msgid
from gateway.mail.header_mailboxes import read_mailboxes
from gateway.mail.reply import Refused
from gateway.mail.status import say
from gateway.outbound.queue import CANCELLED, DELIVERED, FAILED, QUEUED, RELAYED, UNCLEAR
from gateway.store.database import Transaction, need_time
from gateway.store.schema import delivery, message, thread

RECIPIENTS_MOST = 50_000
PROMISED, ANSWERED, CORRECTED, NOTHING = "promised", "answered", "corrected", "nothing"
SINCE = (PROMISED, ANSWERED, CORRECTED, NOTHING)  # the columns; who is in several is in the first
STATES = (DELIVERED, RELAYED, QUEUED, UNCLEAR, CANCELLED, FAILED)  # the lines, failures by reason
OUTCOMES = {RELAYED: "accepted", FAILED: "bounced", QUEUED: "waiting"}  # the others are called as they are

COLUMNS: dict[str, str] = {
    PROMISED: msgid("promised to pay"),
    ANSWERED: msgid("answered"),
    CORRECTED: msgid("corrected and sent again"),
    NOTHING: msgid("nothing more"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """Recipients of one outcome. `counts` are by what came since, in the order of SINCE."""

    state: str
    reason: str  # of a failure
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many they are."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of the plot: where it begins and how wide it is, in thousandths."""

    name: str  # one of SINCE, or a state
    count: int
    start: float
    width: float


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


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run in numbers. `cut`: there are more recipients than were counted."""

    name: str
    first_at: datetime
    last_at: datetime
    messages: int
    recipients: tuple[Recipient, ...]
    lines: tuple[Line, ...]
    cut: bool

    @property
    def total(self) -> int:
        """How many recipients it has."""
        return len(self.recipients)

    @property
    def columns(self) -> tuple[int, ...]:
        """The sums of the columns, in the order of SINCE."""
        return tuple(sum(line.counts[at] for line in self.lines) for at in range(len(SINCE)))

    @property
    def accepted(self) -> int:
        """How many the servers took, those that a report confirms among them."""
        return sum(line.total for line in self.lines if line.state in (RELAYED, DELIVERED))

    @property
    def waiting(self) -> int:
        """How many are still to be sent."""
        return sum(line.total for line in self.lines if line.state == QUEUED)

    @property
    def bounced(self) -> int:
        """How many failed for good, those that were corrected among them."""
        return sum(line.total for line in self.lines if line.state == FAILED)

    def final(self) -> tuple[tuple[str, int], ...]:
        """(what, how many): every recipient once, by what came since, else by what the servers said."""
        found = dict.fromkeys((*SINCE[:-1], *STATES), 0)
        for line in self.lines:
            for what, count in zip(SINCE, line.counts, strict=True):
                found[line.state if what == NOTHING else what] += count
        return tuple((what, count) for what, count in found.items() if count)

    def bars(self) -> tuple[Bar, ...]:
        """The plot: `final` side by side."""
        bars, start = [], 0.0
        for what, count in self.final():
            width = 1000 * count / self.total
            bars.append(Bar(what, count, round(start, 2), round(width, 2)))
            start += width
        return tuple(bars)


def need_run(tx: Transaction, tenant_id: str, name: str) -> RunReport:
    """A run's report. Raises Refused 404 when the tenant has no such run."""
    rows = _deliveries(tx, tenant_id, name)
    if not rows:
        raise Refused(404, "5.1.1", f"there is no run {name[:100]!r}; see `gateway runs list`")
    cut = len(rows) > RECIPIENTS_MOST
    rows = rows[:RECIPIENTS_MOST]
    since = _Since(rows, _related(tx, tenant_id, name), _threads(tx, tenant_id, name))
    recipients = tuple(since.judge(row) for row in rows)
    ids = {row.message_id for row in rows}
    first, last = need_time(rows[0].created_at), need_time(rows[-1].created_at)
    return RunReport(name, first, last, len(ids), recipients, _lines(recipients), cut)


def tell_run(report: RunReport) -> dict[str, Any]:
    """A run in numbers, as plain data: `lines` add up to `recipients`, and so does `final`."""
    lines = [
        {"outcome": OUTCOMES.get(line.state, line.state), "reason": line.reason, "recipients": line.total,
         **dict(zip(SINCE, line.counts, strict=True))}
        for line in report.lines
    ]  # fmt: skip
    return {
        "run": report.name,
        "first_at": report.first_at,
        "last_at": report.last_at,
        "messages": report.messages,
        "recipients": report.total,
        "accepted": report.accepted,
        "waiting": report.waiting,
        "bounced": report.bounced,
        "lines": lines,
        "final": {OUTCOMES.get(what, what): count for what, count in report.final()},
        "complete": not report.cut,
    }


def _lines(recipients: Iterable[Recipient]) -> tuple[Line, ...]:
    counts: dict[tuple[str, str], list[int]] = {}
    for one in recipients:
        counts.setdefault((one.state, one.reason), [0] * len(SINCE))[SINCE.index(one.since)] += 1
    lines = [Line(state, reason, tuple(numbers)) for (state, reason), numbers in counts.items()]
    return tuple(sorted(lines, key=lambda line: (STATES.index(line.state), -line.total, line.reason)))


# -- reading


def _of_run(tenant_id: str, name: str) -> Any:
    return (message.c.tenant_id == tenant_id) & (message.c.run == name) & (message.c.run != literal_column("''"))


def _deliveries(tx: Transaction, tenant_id: str, name: str) -> Sequence[Any]:
    joined = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    columns = (
        message.c.message_id, message.c.thread_id, message.c.created_at, delivery.c.number, delivery.c.recipient,
        delivery.c.state, delivery.c.reason, delivery.c.code, delivery.c.status, delivery.c.text,
    )  # fmt: skip
    return tx.all(
        select(*columns).join_from(message, delivery, joined).where(_of_run(tenant_id, name))
        .order_by(message.c.message_id, delivery.c.number).limit(RECIPIENTS_MOST + 1)
    )  # fmt: skip


def _related(tx: Transaction, tenant_id: str, name: str) -> Sequence[Any]:
    """In the threads of a run: answers of people, and the mail that went to corrected addresses."""
    joined = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    threads = select(message.c.thread_id).where(_of_run(tenant_id, name))
    answers = and_(message.c.direction == "in", message.c.kind == "person")
    again = and_(message.c.direction == "out", message.c.detail.contains('"corrected"'))
    columns = (
        message.c.message_id, message.c.thread_id, message.c.direction, message.c.author, message.c.detail,
        message.c.created_at, delivery.c.recipient, delivery.c.state,
    )  # fmt: skip
    return tx.all(
        select(*columns).join_from(message, delivery, joined, isouter=True)
        .where(message.c.tenant_id == tenant_id, message.c.thread_id.in_(threads), or_(answers, again))
        .order_by(message.c.message_id)
    )  # fmt: skip


def _threads(tx: Transaction, tenant_id: str, name: str) -> dict[str, Any]:
    threads = select(message.c.thread_id).where(_of_run(tenant_id, name))
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
                self._note_answer(row, by_thread[row.thread_id])
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
