"""What became of a run: the mails that a billing system handed over in one batch (X-AR-Run).

Called by the pages, the API and `gateway runs`. Every recipient of the run stands in one cell of a table: what servers
said of the mail (a line of it) by what came of it since (a column: promised, answered, corrected, or nothing more). So
lines and columns add up. Three queries, whatever the run's size; RECIPIENTS_MOST are counted. An address that was
corrected counts as corrected while the mail that went to the new one has not failed as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.inbox.run_recipients import (
    ANSWERED,
    CORRECTED,
    NOTHING,
    OUTCOMES,
    PROMISED,
    SINCE,
    Recipient,
    no_run,
    read_recipients,
)
from gateway.inbox.timeline import msgid
from gateway.outbound.queue import CANCELLED, DELIVERED, FAILED, QUEUED, RELAYED, UNCLEAR
from gateway.store.database import Transaction

RECIPIENTS_MOST = 50_000
STATES = (DELIVERED, RELAYED, QUEUED, UNCLEAR, CANCELLED, FAILED)  # the lines, failures by reason

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
    found = read_recipients(tx, tenant_id, name, RECIPIENTS_MOST + 1)
    if not found:
        raise no_run(name)
    recipients = found[:RECIPIENTS_MOST]
    ids = {one.message_id for one in recipients}
    first, last = recipients[0].sent_at, recipients[-1].sent_at
    return RunReport(name, first, last, len(ids), recipients, _lines(recipients), len(found) > RECIPIENTS_MOST)


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
