"""How many messages a tenant, or one of its credentials, may hand over: what is used, and set from a page.

Called by the settings pages for a credential, by the operator's for a tenant. Raises Refused in words.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.mail.reply import Refused
from gateway.outbound.limits import Used, read_usage, set_limits
from gateway.store.database import Transaction
from gateway.store.tenants import Credential, Tenant, list_credentials

HIGHEST = 10_000_000  # messages; beyond that a limit limits nothing


@dataclass(frozen=True, slots=True)
class Limited:
    """A tenant's credentials, and what is used of each limit by credential ("": of the tenant as a whole)."""

    credentials: list[Credential]
    used: dict[str, list[Used]]


def read_limits(tx: Transaction, tenant: Tenant, now: datetime) -> Limited:
    """What there is of limits and how much of each is used."""
    used: dict[str, list[Used]] = {}
    for one in read_usage(tx, tenant, now):
        used.setdefault(one.credential, []).append(one)
    return Limited(list_credentials(tx, tenant.id), used)


def read_most(text: str) -> int:
    """A limit as somebody typed it; empty is 0: any number. Raises Refused."""
    text = text.strip().replace(" ", "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > HIGHEST:
        raise Refused(501, "5.5.4", f"{text[:20]!r} is no number of messages; write a whole number, or nothing")
    return int(text)


def limit(tx: Transaction, now: datetime, tenant_id: str, credential: str, per_hour: str, per_day: str) -> None:
    """Set both limits of a credential, or of the tenant when none is named, as they were typed. Raises Refused."""
    set_limits(tx, now, tenant_id, credential, read_most(per_hour), read_most(per_day))
