"""Policies of MTA-STS as they were fetched: a domain's is the same for all tenants, so the rows are the operator's.

Written by `outbound.tls_policy`. A policy holds until it expires, whatever becomes of the web server that it came from
(RFC 8461 §5.1), and across restarts: that is what makes a downgrade need more than one lucky moment.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from gateway.store.database import Transaction, need_time, storable, to_ms
from gateway.store.schema import OPERATOR, tls_policy


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy's text. `version` is the id of its DNS record."""

    domain: str
    version: str
    text: str
    fetched_at: datetime
    expires_at: datetime


_COLUMNS = (tls_policy.c.domain, tls_policy.c.version, tls_policy.c.policy, tls_policy.c.fetched_at,
            tls_policy.c.expires_at)  # fmt: skip


def _stored(row: tuple[str, str, str, int, int]) -> StoredPolicy:
    return StoredPolicy(row[0], row[1], row[2], need_time(row[3]), need_time(row[4]))


def get_policy(tx: Transaction, now: datetime, domain: str) -> StoredPolicy | None:
    """The policy of a domain, while it holds."""
    mine = (tls_policy.c.tenant_id == OPERATOR) & (tls_policy.c.domain == domain)
    row = tx.first(select(*_COLUMNS).where(mine, tls_policy.c.expires_at > to_ms(now)))
    return _stored(row) if row else None


def put_policy(tx: Transaction, made: StoredPolicy) -> None:
    """Keep a policy in place of the domain's former one; one that was fetched later stays."""
    values = {
        "version": storable(made.version),
        "policy": storable(made.text),
        "fetched_at": to_ms(made.fetched_at),
        "expires_at": to_ms(made.expires_at),
    }
    insert = tx.upsert(tls_policy).values(tenant_id=OPERATOR, domain=made.domain, **values)
    older = tls_policy.c.fetched_at <= to_ms(made.fetched_at)
    tx.change(insert.on_conflict_do_update(index_elements=["tenant_id", "domain"], set_=values, where=older))


def list_ageing(tx: Transaction, now: datetime, limit: int) -> list[StoredPolicy]:
    """Policies that hold, and whose time is half over: to be fetched again before they end (RFC 8461 §5.1)."""
    half_over = tls_policy.c.fetched_at + tls_policy.c.expires_at <= 2 * to_ms(now)
    holds = (tls_policy.c.tenant_id == OPERATOR) & (tls_policy.c.expires_at > to_ms(now))
    rows = tx.all(select(*_COLUMNS).where(holds, half_over).order_by(tls_policy.c.expires_at).limit(limit))
    return [_stored(row) for row in rows]


def forget_expired(tx: Transaction, now: datetime) -> int:
    """Drop policies whose time is over; how many."""
    return tx.change(
        delete(tls_policy).where(tls_policy.c.tenant_id == OPERATOR, tls_policy.c.expires_at <= to_ms(now))
    )
