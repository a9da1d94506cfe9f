"""What whoever runs the gateway sees of all tenants: the queue by destination, what failed to be read, what is parked.

Called by the operator's pages and nobody else: these are the questions without a tenant. The queue's details are those
of the first LOOKED_AT deliveries, so that a page costs the same whatever is queued; how many there are is counted
whole, from the indices of queued rows. Writes nothing.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal_column, select, tuple_

from gateway.outbound.queue_list import Filter, Listed, domain_of, filter_where, read_listed
from gateway.store.database import Transaction, id_at, need_time, to_ms
from gateway.store.schema import OPERATOR, delivery, message, tenant

LOOKED_AT = 20_000
AGES = (timedelta(minutes=10), timedelta(hours=1), timedelta(days=1))  # the bounds between what is young and old
GROUPS = 20  # destinations that are shown
RECENT = timedelta(days=7)  # how far back a list of settled deliveries goes
OUR_HOLD = "the gateway "  # how the hold of a parked delivery begins (`outbound.queue`)


@dataclass(frozen=True, slots=True)
class Group:
    """What waits for one domain of recipients; `why` are reasons with their counts, the most frequent first."""

    domain: str
    waiting: int
    held: int
    oldest: datetime
    next_at: datetime | None
    why: tuple[tuple[str, int], ...]
    words: str
    host: str


@dataclass(frozen=True, slots=True)
class QueueState:
    """All that is queued. `ages`: how many are younger than each of AGES, and the rest."""

    waiting: int
    held: int
    under_way: int
    later: int  # somebody wants them to go later, or they are tried again later
    ages: tuple[int, ...]
    oldest: datetime | None
    groups: tuple[Group, ...]
    more: int  # domains beside these
    whole: bool  # False: details are those of the first LOOKED_AT


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A mail that could not be read when it came."""

    tenant_id: str
    slug: str  # "": the operator's own mail
    message_id: str
    thread_id: str
    at: datetime
    size: int


def read_queue(tx: Transaction, now: datetime) -> QueueState:
    """What is queued, of all tenants. Four queries."""
    counts = [_count(tx, held) for held in (False, True)]
    rows = [row for held in (False, True) for row in _rows(tx, to_ms(now), held)]
    groups = _groups(rows)
    return QueueState(
        waiting=counts[0], held=counts[1], under_way=sum(int(row.under_way) for row in rows),
        later=sum(int(row.later) for row in rows),
        ages=tuple(sum(int(row[f"age{n}"]) for row in map(_mapping, rows)) for n in range(len(AGES) + 1)),
        oldest=min((one.oldest for one in groups), default=None), groups=groups[:GROUPS],
        more=max(len(groups) - GROUPS, 0), whole=sum(row.count_ for row in rows) >= sum(counts),
    )  # fmt: skip


def _mapping(row: Any) -> Any:
    return row._mapping


def _where(held: bool) -> list[ColumnElement[bool]]:
    return filter_where(Filter(held=held))


def _count(tx: Transaction, held: bool) -> int:
    return int(tx.first(select(func.count()).select_from(delivery).where(*_where(held)))[0])


def _rows(tx: Transaction, now_ms: int, held: bool) -> Any:
    names = ("recipient", "hold", "reason", "booked_by", "created_at", "next_attempt_at", "text", "host")
    some = select(*(delivery.c[name] for name in names)).where(*_where(held)).limit(LOOKED_AT).subquery()
    is_held, under_way = some.c.hold != literal_column("''"), some.c.booked_by != literal_column("''")
    later = ~is_held & ~under_way & (some.c.next_attempt_at > now_ms)
    bounds = [now_ms - int(age.total_seconds() * 1000) for age in AGES]
    upper = [now_ms + 10 * 365 * 86_400_000, *bounds]
    ages = [
        (some.c.created_at < high) & (some.c.created_at >= low) for high, low in zip(upper, [*bounds, 0], strict=True)
    ]
    domain, held_too = domain_of(some.c.recipient), case((is_held, 1), else_=0)
    return tx.all(
        select(
            domain.label("domain"), held_too.label("held"), some.c.reason, func.count().label("count_"),
            *(_sum(one).label(name) for one, name in ((under_way, "under_way"), (later, "later"))),
            *(_sum(one).label(f"age{n}") for n, one in enumerate(ages)),
            func.min(some.c.created_at).label("oldest"), func.min(some.c.next_attempt_at).label("next_at"),
            func.max(some.c.text).label("words"), func.max(some.c.host).label("host"),
            func.max(some.c.hold).label("hold"),
        ).group_by(domain, held_too, some.c.reason)
    )  # fmt: skip


def _sum(one: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((one, 1), else_=0))


def _groups(rows: Iterable[Any]) -> tuple[Group, ...]:
    domains: dict[str, list[Any]] = {}
    for row in rows:
        domains.setdefault(row.domain.rpartition("@")[2], []).append(row)
    found = [_group(domain, of) for domain, of in domains.items()]
    return tuple(sorted(found, key=lambda one: (-one.waiting - one.held, one.domain)))


def _group(domain: str, rows: list[Any]) -> Group:
    why: Counter[str] = Counter()
    for row in rows:
        why[row.reason] += row.count_
    free, telling = [row for row in rows if not row.held], max(rows, key=lambda row: bool(row.words or row.hold))
    return Group(
        domain, sum(row.count_ for row in free), sum(row.count_ for row in rows if row.held),
        need_time(min(row.oldest for row in rows)),
        need_time(min(row.next_at for row in free)) if free else None,
        tuple((reason, count) for reason, count in why.most_common() if reason),
        telling.hold or telling.words, telling.host,
    )  # fmt: skip


# -- lists


@dataclass(frozen=True, slots=True)
class OfTenant:
    """A delivery, and whose it is."""

    tenant_id: str
    slug: str
    delivery: Listed
    cursor: str

    @property
    def id(self) -> str:
        """How a form names it: tenant, message, number."""
        return f"{self.tenant_id}.{self.delivery.message_id}.{self.delivery.number}"


def list_deliveries(
    tx: Transaction, now: datetime, wanted: Filter, tenant_id: str = "", after: str = "", limit: int = 50
) -> list[OfTenant]:
    """Deliveries of a tenant, or of all: queued ones as they are due, others of the last week; tenant by tenant.

    `after` is the cursor of the last one that was seen. At most two queries.
    """
    both = wanted.state == "queued" and wanted.held is None  # each half has an index that bounds its work
    halves: list[bool | None] = [False, True] if both else [wanted.held]
    found = [one for held in halves for one in _list(tx, now, replace(wanted, held=held), tenant_id, after, limit)]
    return sorted(found, key=lambda one: one.cursor)[:limit]


def _list(tx: Transaction, now: datetime, wanted: Filter, tenant_id: str, after: str, limit: int) -> list[OfTenant]:
    queued = wanted.state == "queued"
    key = [delivery.c[name] for name in ("tenant_id", "next_attempt_at", "message_id", "number")]
    key = key if queued else [key[0], *key[2:]]
    where = filter_where(wanted)
    where += [delivery.c.tenant_id == tenant_id] if tenant_id else []
    where += [] if queued or wanted.message_id else [delivery.c.message_id >= id_at(to_ms(now - RECENT))]
    if (seen := _key(after)) is not None:
        where += [delivery.c.tenant_id >= seen[0], tuple_(*key) > (seen if queued else (seen[0], *seen[2:]))]
    same = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    rows = tx.all(
        select(delivery, message.c.subject, message.c.rfc_message_id, tenant.c.slug)
        .join_from(delivery, message, same)
        .outerjoin(tenant, tenant.c.tenant_id == delivery.c.tenant_id)
        .where(*where)
        .order_by(*key)
        .limit(limit)
    )
    return [OfTenant(row.tenant_id, row.slug or "", read_listed(row), _cursor(row, queued)) for row in rows]


def _cursor(row: Any, queued: bool) -> str:
    """Sorts as the list does."""
    return f"{row.tenant_id}.{row.next_attempt_at if queued else 0:020d}.{row.message_id}.{row.number:010d}"


def _key(after: str) -> tuple[str, int, str, int] | None:
    parts = after.split(".")
    if len(parts) != 4 or not (parts[1].isascii() and parts[1].isdigit() and parts[3].isascii() and parts[3].isdigit()):
        return None
    return parts[0][:20], min(int(parts[1][:20]), 2**62), parts[2][:20], min(int(parts[3][:10]), 2**31 - 1)


def list_parked(tx: Transaction, now: datetime, limit: int = 20) -> list[OfTenant]:
    """Deliveries that the gateway put aside because it failed itself with them. One query."""
    wanted = Filter(held=True, reason=OUR_HOLD)
    return _list(tx, now, wanted, "", "", limit)


def list_unreadable(tx: Transaction, limit: int = 50) -> list[Unreadable]:
    """Received mail that could not be read, the latest first: from an index of such mail alone."""
    columns = (message.c.tenant_id, tenant.c.slug, message.c.message_id, message.c.thread_id, message.c.created_at,
               message.c.size)  # fmt: skip
    rows = tx.all(
        select(*columns)
        .join_from(message, tenant, tenant.c.tenant_id == message.c.tenant_id, isouter=True)
        .where(message.c.kind == literal_column("'unreadable'"))
        .order_by(message.c.message_id.desc())
        .limit(limit)
    )
    return [Unreadable(row[0], row[1] or "", row[2], row[3], need_time(row[4]), row[5]) for row in rows]


def owner_exists(tx: Transaction, tenant_id: str) -> bool:
    """Whether mail may be of this owner: a tenant, or whoever runs the gateway."""
    return tenant_id == OPERATOR or tx.first(select(tenant.c.slug).where(tenant.c.tenant_id == tenant_id)) is not None
