"""A tenant's runs, the latest first, with how far each has come; and a run's recipients as CSV.

Called by the pages, the API and `gateway runs`. The names are found by jumping along an index from one to the next, so
a list costs as many steps as there are runs, however much mail they have; a page's numbers are one query's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from sqlalchemy import func, literal_column, select

from gateway.inbox.run_recipients import Recipient
from gateway.inbox.spreadsheet import write_rows
from gateway.store.database import Transaction, need_time
from gateway.store.schema import delivery, message

PAGE = 20
RUNS_MOST = 2_000  # that are looked at, by name
CSV_COLUMNS = (
    "document", "customer", "recipient", "outcome", "reason", "words", "since", "corrected_to", "answered_at",
    "promised_on", "sent_at", "message", "thread",
)  # fmt: skip
_NAMED = message.c.run != literal_column("''")  # a literal: the index is of these rows only


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in the list: when its mail came, and how many recipients have each state of a delivery."""

    name: str
    first_at: datetime
    last_at: datetime
    messages: int
    states: Mapping[str, int]

    @property
    def recipients(self) -> int:
        """How many recipients it has."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of runs. `cursor` asks for the next one; "" when this is the last."""

    lines: tuple[RunLine, ...]
    cursor: str


def list_runs(tx: Transaction, tenant_id: str, *, after: str = "", limit: int = PAGE) -> RunPage:
    """The page of runs behind `after`, by their last mail. Two queries."""
    found = sorted(_names(tx, tenant_id), key=lambda pair: pair[1], reverse=True)
    found = [pair for pair in found if not after or pair[1] < after]
    page = found[:limit]
    cursor = page[-1][1] if len(found) > limit else ""
    names = [name for name, _ in page]
    joined = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    # a mail is counted by its first recipient
    first = func.count().filter(delivery.c.number == 1)
    rows = tx.all(
        select(
            message.c.run, delivery.c.state, func.count(), first, func.min(message.c.created_at),
            func.max(message.c.created_at),
        )
        .join_from(message, delivery, joined).where(message.c.tenant_id == tenant_id, message.c.run.in_(names), _NAMED)
        .group_by(message.c.run, delivery.c.state)
    )  # fmt: skip
    return RunPage(tuple(_line(name, [row for row in rows if row[0] == name]) for name in names), cursor)


def _line(name: str, rows: list[tuple[str, str, int, int, int, int]]) -> RunLine:
    first, last = min(row[4] for row in rows), max(row[5] for row in rows)
    states = {row[1]: row[2] for row in rows}
    return RunLine(name, need_time(first), need_time(last), sum(row[3] for row in rows), states)


def _names(tx: Transaction, tenant_id: str) -> list[tuple[str, str]]:
    """(name, id of its last mail) of every run."""
    of_tenant = (message.c.tenant_id == tenant_id) & _NAMED
    walk = select(func.min(message.c.run).label("run")).where(of_tenant).cte("walk", recursive=True)
    following = select(func.min(message.c.run)).where(of_tenant, message.c.run > walk.c.run).scalar_subquery()
    walk = walk.union_all(select(following).where(walk.c.run.is_not(None)))
    last = select(func.max(message.c.message_id)).where(of_tenant, message.c.run == walk.c.run).scalar_subquery()
    rows = tx.all(select(walk.c.run, last).where(walk.c.run.is_not(None)).limit(RUNS_MOST))
    return [(row[0], row[1]) for row in rows]


def write_run(file: IO[str], recipients: Iterable[Recipient], *, header: bool = True) -> None:
    """A run's recipients as CSV that is safe for spreadsheets, a line each; times are UTC."""
    if header:
        write_rows(file, [CSV_COLUMNS])
    for one in recipients:
        answered = one.answered_at.isoformat(timespec="seconds") if one.answered_at else ""
        cells = (
            one.document, one.customer, one.address, one.outcome, one.reason, one.words,
            one.since, one.corrected_to, answered, one.promised_on, one.sent_at.isoformat(timespec="seconds"),
            one.message_id, one.thread_id,
        )  # fmt: skip
        write_rows(file, [cells])
