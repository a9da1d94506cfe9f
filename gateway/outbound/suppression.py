"""Addresses that a tenant's mail no longer goes to: because the address itself is wrong, or a person says so.

By itself only a permanent fault of the *recipient* (no such mailbox, no such domain, disabled) suppresses; reputation,
policy and our own faults never do, nor does a report without our token. The queue writes those, people the others. A
person's word holds against servers: an address that is allowed is never suppressed by itself. What has expired no
longer counts; it is taken away when somebody looks at the list.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, or_, select

from gateway.mail.reasons import BLOCKED
from gateway.mail.reply import Refused
from gateway.store.database import Prepared, Question, Transaction, from_ms, need_time, storable, to_ms
from gateway.store.schema import suppression

ALLOWED = "allowed"  # in place of a reason: mail goes there whatever servers say
BOUNCE, PERSON, IMPORT = "bounce", "person", "import"  # by whom
# Mailboxes are switched on again, and domains renewed or repaired; an address that never existed stays wrong.
EXPIRE = {"domain_unknown": timedelta(days=90), "mailbox_disabled": timedelta(days=90)}
_ADDRESS_LENGTH = 320


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One address, since when and why, in the remote server's words."""

    address: str
    reason: str
    evidence: str
    message_id: str
    created_at: datetime
    source: str = BOUNCE
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An address as a person, or a file, puts it on the list; unknown times are None."""

    address: str
    reason: str = BLOCKED
    evidence: str = ""
    source: str = PERSON
    created_at: datetime | None = None
    expires_at: datetime | None = None


_COLUMNS = (
    suppression.c.address,
    suppression.c.reason,
    suppression.c.evidence,
    suppression.c.message_id,
    suppression.c.created_at,
    suppression.c.source,
    suppression.c.expires_at,
)


def _values(tenant_id: str, now_ms: int, entry: Entry, message_id: str = "") -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "address": entry.address.lower()[:_ADDRESS_LENGTH],
        "reason": entry.reason,
        "evidence": storable(entry.evidence),
        "message_id": message_id,
        "created_at": now_ms if entry.created_at is None else to_ms(entry.created_at),
        "source": entry.source,
        "expires_at": None if entry.expires_at is None else to_ms(entry.expires_at),
    }


# -- by itself


def suppress(
    tx: Transaction, now_ms: int, tenant_id: str, address: str, reason: str, evidence: str, message_id: str
) -> None:
    """Stop mail to an address. The first evidence is kept while it holds as long; an allowed address stays so."""
    lasts = EXPIRE.get(reason)
    expires_at = need_time(now_ms) + lasts if lasts else None
    values = _values(tenant_id, now_ms, Entry(address, reason, evidence, BOUNCE, None, expires_at), message_id)
    sooner = suppression.c.expires_at.is_not(None)  # than what is said now
    if values["expires_at"] is not None:
        sooner &= suppression.c.expires_at < values["expires_at"]
    keys = [suppression.c.tenant_id, suppression.c.address]
    more = {name: value for name, value in values.items() if name not in ("tenant_id", "address")}
    renewed = (suppression.c.reason != ALLOWED) | (suppression.c.expires_at <= now_ms)
    tx.change(
        tx.upsert(suppression)
        .values(values)
        .on_conflict_do_update(index_elements=keys, set_=more, where=sooner & renewed)
    )


_ONE = Prepared(
    select(*_COLUMNS).where(
        suppression.c.tenant_id == bindparam("k_tenant"), suppression.c.address == bindparam("k_address")
    )
)


def suppression_of(tenant_id: str, address: str) -> Question:
    """What `get_suppressed` asks."""
    return _ONE, {"k_tenant": tenant_id, "k_address": address.lower()}


def get_suppressed(tx: Transaction, now_ms: int, tenant_id: str, address: str) -> Suppressed | None:
    """Whether one address is suppressed for the tenant now; asked for every recipient."""
    found = tx.rows(suppression_of(tenant_id, address))
    row = found[0] if found else None
    if row is None or row[1] == ALLOWED or (row[6] is not None and row[6] <= now_ms):
        return None
    return _suppressed(row)


def get_entry(tx: Transaction, tenant_id: str, address: str) -> Suppressed | None:
    """What the list says of an address, also when it is allowed or over; None when nothing."""
    row = tx.run(_ONE, {"k_tenant": tenant_id, "k_address": storable(address.lower())}).fetchone()
    return _suppressed(row) if row else None


# -- by people


def put_suppressed(tx: Transaction, now_ms: int, tenant_id: str, entry: Entry) -> None:
    """Stop mail to an address, or allow it (reason ALLOWED), whatever was known of it. Raises Refused."""
    if entry.expires_at is not None and to_ms(entry.expires_at) <= now_ms:
        raise Refused(501, "5.5.4", f"{entry.expires_at:%Y-%m-%d} is over; name a later time")
    values = _values(tenant_id, now_ms, entry)
    keys = [suppression.c.tenant_id, suppression.c.address]
    tx.change(tx.upsert(suppression).values(values).on_conflict_do_update(index_elements=keys, set_=values))


_ADD = Prepared(
    lambda insert: (
        insert(suppression)
        .values({column.name: bindparam(f"v_{column.name}") for column in suppression.columns})
        .on_conflict_do_nothing()
    )
)


def import_suppressed(tx: Transaction, now_ms: int, tenant_id: str, entries: Iterable[Entry]) -> tuple[int, int]:
    """Add what is not there yet; (how many were added, how many were there). What has expired is not looked at."""
    added = known = 0
    for entry in entries:
        if entry.expires_at is not None and to_ms(entry.expires_at) <= now_ms:
            continue
        values = {f"v_{name}": value for name, value in _values(tenant_id, now_ms, entry).items()}
        if tx.run(_ADD, values).rowcount > 0:
            added += 1
        else:
            known += 1
    return added, known


def unsuppress(tx: Transaction, tenant_id: str, address: str) -> bool:
    """Forget what is known of an address; False when nothing was. The next permanent fault suppresses it again."""
    where = (suppression.c.tenant_id == tenant_id) & (suppression.c.address == address.lower())
    return bool(tx.change(delete(suppression).where(where)))


def forget_expired(tx: Transaction, now_ms: int, tenant_id: str) -> int:
    """Take away what has expired; how many."""
    return tx.change(
        delete(suppression).where(suppression.c.tenant_id == tenant_id, suppression.c.expires_at <= now_ms)
    )


def list_suppressed(
    tx: Transaction, tenant_id: str, *, after: str = "", limit: int | None = None, part: str = ""
) -> list[Suppressed]:
    """A tenant's list by address, allowed ones too: the page behind `after`, or those with `part` in the address."""
    wanted = [suppression.c.tenant_id == tenant_id, suppression.c.address > after]
    if part:
        wanted.append(
            or_(
                suppression.c.address.contains(part.lower(), autoescape=True),
                suppression.c.reason == part.lower(),
            )
        )
    rows = tx.all(select(*_COLUMNS).where(*wanted).order_by(suppression.c.address).limit(limit))
    return [_suppressed(row) for row in rows]


def _suppressed(row: Any) -> Suppressed:
    return Suppressed(row[0], row[1], row[2], row[3], need_time(row[4]), row[5], from_ms(row[6]))
