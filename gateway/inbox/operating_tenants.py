"""What whoever runs the gateway sees of each tenant: mail of a day, what is queued, bounces, alarms, limits.

Called by the operator's pages. A page of tenants costs five queries, however many there are and whatever they sent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, literal, select, union_all

from gateway.outbound.queue_list import Filter, filter_where
from gateway.store.database import Transaction, from_ms
from gateway.store.measures import slot_of, sum_by_tenant
from gateway.store.schema import delivery, endpoint, mailbox, route
from gateway.store.settings import PER_DAY, PER_HOUR
from gateway.store.tenants import Tenant, get_tenant, list_tenants

DAY = timedelta(days=1)
PAGE = 50
MOST_ALARMS = 200
FULL = 0.05  # of what was tried bounced in a day: an alarm, once it is more than a handful
HANDFUL = 20


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something of a tenant's that does not work: `kind` is server, mailbox or webhook."""

    kind: str
    name: str
    words: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class TenantState:
    """A tenant's day."""

    tenant: Tenant
    accepted: int
    relayed: int
    failed: int
    waiting: int
    held: int
    alarms: tuple[Alarm, ...]

    @property
    def bounce_rate(self) -> float:
        """The share of what was settled in the day that failed; 0.0 when nothing was."""
        settled = self.relayed + self.failed
        return self.failed / settled if settled else 0.0

    @property
    def bounces_much(self) -> bool:
        """Whether so much fails that receivers may soon refuse the rest."""
        return self.failed > HANDFUL and self.bounce_rate > FULL

    @property
    def limits(self) -> tuple[int, int]:
        """Messages that it may hand over in an hour and in a day; 0: any number."""
        return int(self.tenant.options.get(PER_HOUR) or 0), int(self.tenant.options.get(PER_DAY) or 0)


def list_tenant_states(tx: Transaction, now: datetime, after: str = "", limit: int = PAGE) -> list[TenantState]:
    """Tenants by name, those after one."""
    return _states(tx, now, list_tenants(tx, after, limit))


def read_tenant_state(tx: Transaction, now: datetime, tenant_id: str) -> TenantState | None:
    """One tenant; None when there is none with this id."""
    found = get_tenant(tx, tenant_id)
    return _states(tx, now, [found])[0] if found else None


def _states(tx: Transaction, now: datetime, tenants: list[Tenant]) -> list[TenantState]:
    ids = [one.id for one in tenants]
    sums = sum_by_tenant(tx, slot_of(now - DAY), ids)
    waiting, held = (_queued(tx, ids, held) for held in (False, True))
    alarms = _alarms(tx, ids)
    return [
        TenantState(one, *sums.get(one.id, (0, 0, 0)), waiting.get(one.id, 0), held.get(one.id, 0),
                    tuple(alarms.get(one.id, ())))
        for one in tenants
    ]  # fmt: skip


def _queued(tx: Transaction, ids: Iterable[str], held: bool) -> Mapping[str, int]:
    where = (delivery.c.tenant_id.in_(list(ids)), *filter_where(Filter(held=held)))
    rows = tx.all(select(delivery.c.tenant_id, func.count()).where(*where).group_by(delivery.c.tenant_id))
    return {row[0]: row[1] for row in rows}


def _alarms(tx: Transaction, ids: Iterable[str]) -> dict[str, list[Alarm]]:
    known = list(ids)

    def of(kind: str, table: Any, name: Any, bad: Any) -> Any:
        columns = (
            table.c.tenant_id,
            literal(kind).label("kind"),
            name.label("name"),
            table.c.words,
            table.c.changed_at,
        )
        return select(*columns).where(table.c.tenant_id.in_(known), bad)

    rows = tx.all(
        union_all(
            of("server", route, route.c.name, route.c.state == "failed"),
            of("mailbox", mailbox, mailbox.c.name, mailbox.c.state == "failed"),
            of("webhook", endpoint, endpoint.c.url, endpoint.c.state != "ok"),
        ).limit(MOST_ALARMS)
    )
    found: dict[str, list[Alarm]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(Alarm(row[1], row[2], row[3], from_ms(row[4])))
    return found
