"""How TLS went with the servers of others, counted by UTC day, for their reports (RFC 8460).

Written by `outbound.tls_tally`, which adds what it counted in memory, and taken by `outbound.tls_reports`, once: the
rows of a day and domain leave the table in the transaction that queues their report, whichever node makes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, select

from gateway.store.database import Transaction, storable
from gateway.store.schema import OPERATOR, tls_result


@dataclass(frozen=True, slots=True)
class TlsResult:
    """Sessions with one outcome. `policy`: sts, tlsa or no-policy-found; `result`: success, or a type of RFC 8460.

    `words` of a success are the policy's lines; of a failure, what was said first.
    """

    day: str
    domain: str
    policy: str
    host: str
    result: str
    sessions: int
    words: str = ""


_KEY = ("day", "domain", "policy", "host", "result")
_NO_POLICY, _NONE = "no-policy-found", "none"  # as it is called, and as it is kept: the column holds ten characters


def add_results(tx: Transaction, results: Iterable[TlsResult]) -> None:
    """Add counts to those that are there."""
    for one in results:
        key = {name: storable(getattr(one, name))[:253] for name in _KEY}
        key["policy"] = _NONE if one.policy == _NO_POLICY else key["policy"]
        made = tx.upsert(tls_result).values(
            tenant_id=OPERATOR, **key, sessions=one.sessions, words=storable(one.words)[:2000]
        )
        tx.change(
            made.on_conflict_do_update(
                index_elements=["tenant_id", *_KEY], set_={"sessions": tls_result.c.sessions + one.sessions}
            )
        )


def list_ended(tx: Transaction, today: str) -> list[tuple[str, str]]:
    """(day, domain) of everything that was counted before today."""
    where = (tls_result.c.tenant_id == OPERATOR) & (tls_result.c.day < today)
    rows = tx.all(select(tls_result.c.day, tls_result.c.domain).where(where).distinct().order_by(tls_result.c.day))
    return [(row[0], row[1]) for row in rows]


def take_results(tx: Transaction, day: str, domain: str) -> list[TlsResult]:
    """The counts of a day and domain, which are then nobody else's; none when another node was faster."""
    mine = (tls_result.c.tenant_id == OPERATOR) & (tls_result.c.day == day) & (tls_result.c.domain == domain)
    columns = (*(tls_result.c[name] for name in _KEY), tls_result.c.sessions, tls_result.c.words)
    rows = tx.all(delete(tls_result).where(mine).returning(*columns))
    found = (TlsResult(row[0], row[1], _NO_POLICY if row[2] == _NONE else row[2], *row[3:]) for row in rows)
    return sorted(found, key=lambda one: (one.policy, one.host, one.result))
