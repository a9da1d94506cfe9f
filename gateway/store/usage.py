"""How many messages a tenant, and each of its credentials, handed over in an hour: what limits are measured by.

Counted by the door within its transaction (`outbound.limits`), for whom a limit is set only; read by `gateway tenant
usage`. Hours are whole ones of UTC, since 1970. Counting locks the hour's row until the commit, so doors of several
nodes never pass a limit together. Hours that began more than `KEPT_HOURS` ago are forgotten when another one begins.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select

from gateway.store.database import Prepared, Transaction, id_at
from gateway.store.schema import delivery, message, usage

HOUR_MS = 3_600_000
KEPT_HOURS = 24 * 62
TENANT = ""  # in place of a credential: the tenant as a whole
_SLACK_MS = HOUR_MS  # an id is made before the time that its row is given, or by another clock


@dataclass(frozen=True, slots=True)
class Hour:
    """What one credential handed over in one hour; `start_ms` is when that began."""

    credential: str
    start_ms: int
    messages: int
    recipients: int


def _one_more(insert: Any) -> Any:
    made = insert(usage).values(
        tenant_id=bindparam("v_tenant"),
        credential=bindparam("v_credential"),
        hour=bindparam("v_hour"),
        messages=bindparam("v_messages"),
        recipients=bindparam("v_recipients"),
    )
    more = {
        "messages": usage.c.messages + made.excluded.messages,
        "recipients": usage.c.recipients + made.excluded.recipients,
    }
    keys = [usage.c.tenant_id, usage.c.credential, usage.c.hour]
    return made.on_conflict_do_update(index_elements=keys, set_=more).returning(usage.c.messages)


_COUNT = Prepared(_one_more)
_SINCE = Prepared(
    select(func.sum(usage.c.messages)).where(
        usage.c.tenant_id == bindparam("k_tenant"),
        usage.c.credential == bindparam("k_credential"),
        usage.c.hour >= bindparam("k_hour"),
    )
)


def count_message(tx: Transaction, now_ms: int, tenant_id: str, credential: str, recipients: int) -> int:
    """Count a message to so many recipients; how many that makes in this hour, itself included."""
    hour = now_ms // HOUR_MS
    who = {"v_tenant": tenant_id, "v_credential": credential[:100], "v_hour": hour}
    made = int(tx.run(_COUNT, {**who, "v_messages": 1, "v_recipients": recipients}).fetchone()[0])
    if made == 1:
        tx.change(delete(usage).where(usage.c.tenant_id == tenant_id, usage.c.hour < hour - KEPT_HOURS))
    return made


def messages_since(tx: Transaction, tenant_id: str, credential: str, since_ms: int) -> int:
    """How many messages were counted from the hour on in which a time falls."""
    values = {"k_tenant": tenant_id, "k_credential": credential[:100], "k_hour": since_ms // HOUR_MS}
    return int(tx.run(_SINCE, values).fetchone()[0] or 0)


def recount(tx: Transaction, tenant_id: str, since_ms: int) -> None:
    """Count what was handed over from the hour of a time on: a limit that is set now holds for that as well."""
    start = since_ms // HOUR_MS
    tx.change(delete(usage).where(usage.c.tenant_id == tenant_id, usage.c.hour >= start))
    found = accepted_by_hour(tx, tenant_id, start * HOUR_MS)
    rows = [_row(tenant_id, one.credential, one) for one in found if one.credential]
    rows += [_row(tenant_id, TENANT, one) for one in sum_by_hour(found)]
    if rows:
        tx.change(insert(usage), rows)


def _row(tenant_id: str, credential: str, hour: Hour) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "credential": credential[:100],
        "hour": hour.start_ms // HOUR_MS,
        "messages": hour.messages,
        "recipients": hour.recipients,
    }


def accepted_by_hour(tx: Transaction, tenant_id: str, since_ms: int) -> list[Hour]:
    """What was queued for a tenant since a time, by the messages themselves: for tenants without a limit too."""
    same = (delivery.c.tenant_id == message.c.tenant_id) & (delivery.c.message_id == message.c.message_id)
    count = select(func.count()).select_from(delivery).where(same).scalar_subquery()  # a join walks all for each
    each = (
        select(
            message.c.credential_id,
            (message.c.created_at // HOUR_MS).label("hour"),
            count.label("recipients"),
        )
        .where(
            message.c.tenant_id == tenant_id,
            message.c.message_id >= id_at(max(since_ms - _SLACK_MS, 0)),
            message.c.direction == "out",
            message.c.created_at >= since_ms,
        )
        .subquery()
    )
    rows = tx.all(
        select(each.c.credential_id, each.c.hour, func.count(), func.sum(each.c.recipients))
        .where(each.c.recipients > 0)  # what was stored only has none
        .group_by(each.c.credential_id, each.c.hour)
        .order_by(each.c.hour, each.c.credential_id)
    )
    return [Hour(row[0], int(row[1]) * HOUR_MS, int(row[2]), int(row[3])) for row in rows]


def sum_by_hour(hours: Iterable[Hour]) -> list[Hour]:
    """The same of all credentials together."""
    totals: dict[int, list[int]] = {}
    for one in hours:
        total = totals.setdefault(one.start_ms, [0, 0])
        total[0] += one.messages
        total[1] += one.recipients
    return [Hour(TENANT, start, *total) for start, total in sorted(totals.items())]
