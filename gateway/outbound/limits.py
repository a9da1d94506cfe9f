"""How many messages a tenant, and each of its credentials, may hand over in an hour and in a day.

Kept in the tenant's options: the operator sets the tenant's, its administrators those of its credentials. Spent by the
door in the transaction that keeps a message, so nothing that was refused is counted and no two nodes pass a limit
together. A message counts once, whatever its recipients; what is stored only, a test or a duplicate does not. A guard
against a billing system that runs wild: `X-AR-Force: limit` passes it. Refuses with 451 4.7.0, which says until when.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.mail.reply import Refused
from gateway.outbound.control import Control
from gateway.outbound.desk import Desk
from gateway.outbound.refusals import Refusal, note_refusal
from gateway.store.database import Database, Transaction, need_time, to_ms
from gateway.store.settings import CREDENTIAL_LIMITS, PER_DAY, PER_HOUR
from gateway.store.tenants import Tenant, get_tenant, list_credentials, set_tenant
from gateway.store.usage import HOUR_MS, TENANT, count_message, messages_since, recount

REMEMBERED = 10_000  # limits that are known to be reached, in this process
_WORDS = {PER_HOUR: "Hourly", PER_DAY: "Daily"}


class LimitReached(Refused):
    """A limit is reached: of whom, and until when."""

    def __init__(self, text: str, key: tuple[str, str, int], until: datetime) -> None:
        super().__init__(451, "4.7.0", text)
        self.key = key  # tenant, credential ("": the tenant as a whole), revision of the tenant's settings
        self.until = until


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: `credential` is "" for the tenant as a whole, `per` is PER_HOUR or PER_DAY."""

    credential: str
    per: str
    most: int


def limits_of(options: Mapping[str, Any], credential: str) -> list[Limit]:
    """The limits that a message by a credential has to keep to."""
    found = [Limit(TENANT, per, options[per]) for per in (PER_HOUR, PER_DAY) if options.get(per)]
    own = options.get(CREDENTIAL_LIMITS, {}).get(credential, {}) if credential else {}
    return found + [Limit(credential, per, own[per]) for per in (PER_HOUR, PER_DAY) if own.get(per)]


def spend(tx: Transaction, desk: Desk, credential: str, recipients: int, now: datetime, *, forced: bool) -> None:
    """Count a message that is about to be kept. Raises LimitReached, unless it is `forced`."""
    limits = limits_of(desk.tenant.options, credential)
    if not limits:
        return
    now_ms, tenant = to_ms(now), desk.tenant
    made = {one: count_message(tx, now_ms, tenant.id, one, recipients) for one in {one.credential for one in limits}}
    for limit in () if forced else limits:
        used = made[limit.credential]
        if limit.per == PER_DAY:
            used = messages_since(tx, tenant.id, limit.credential, to_ms(day_begins(now, tenant.timezone)))
        if used > limit.most:
            raise _reached(tenant, limit, now)


def _reached(tenant: Tenant, limit: Limit, now: datetime) -> LimitReached:
    until = ends_at(limit.per, now, tenant.timezone)
    local = until.astimezone(ZoneInfo(tenant.timezone))
    whose = f"credential {limit.credential}" if limit.credential else f"tenant {tenant.slug}"
    offset = f"{local:%z}"
    text = f"{_WORDS[limit.per]} limit of {limit.most} reached for {whose}; it resets at {local:%H:%M} "
    return LimitReached(f"{text}{offset[:3]}:{offset[3:5]}", (tenant.id, limit.credential, tenant.revision), until)


def day_begins(now: datetime, timezone: str) -> datetime:
    """When today began, where the tenant is."""
    local = now.astimezone(ZoneInfo(timezone))
    return datetime(local.year, local.month, local.day, tzinfo=local.tzinfo).astimezone(UTC)


def ends_at(per: str, now: datetime, timezone: str) -> datetime:
    """When a limit begins anew: with the next hour, or tomorrow where the tenant is."""
    if per == PER_HOUR:
        return need_time((to_ms(now) // HOUR_MS + 1) * HOUR_MS)
    tomorrow = now.astimezone(ZoneInfo(timezone)).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=ZoneInfo(timezone)).astimezone(UTC)


class ReachedLimits:
    """The limits that this process knows to be reached: what they refuse costs neither a signature nor a commit.

    Counts never fall before their time, and a change of the settings has a revision of its own, so nothing is refused
    here that the door's transaction would take.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, int], LimitReached] = OrderedDict()

    def check(self, tenant: Tenant, credential: str, control: Control, now: datetime) -> None:
        """Raises LimitReached when it is known, and the mail is surely one that counts."""
        unsure = control.force or control.test or control.event or control.template == "none" or control.idempotency_key
        for whose in () if unsure or not self._known else (TENANT, credential):
            key = (tenant.id, whose, tenant.revision)
            known = self._known.get(key)
            if known is not None and now < known.until:
                raise LimitReached(known.reply.text, known.key, known.until)
            self._known.pop(key, None)

    def remember(self, reached: LimitReached) -> bool:
        """Keep it in mind; whether it is news."""
        known = self._known.get(reached.key)
        self._known[reached.key] = reached
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known is None or known.until < reached.until


async def note_reached(
    database: Database, known: ReachedLimits, reached: LimitReached, credential: str, now: datetime
) -> None:
    """Tell the tenant of it: once, not for each of the thousand messages that come after it."""
    if known.remember(reached):
        refusal = Refusal(reached.reply, credential=reached.key[1] or credential, opens=True)
        await note_refusal(database, reached.key[0], refusal, now)


@dataclass(frozen=True, slots=True)
class Used:
    """How much of a limit is used: `per` is "hour" or "day", `until` is when it begins anew."""

    credential: str
    per: str
    used: int
    most: int
    until: datetime


def read_usage(tx: Transaction, tenant: Tenant, now: datetime) -> list[Used]:
    """A tenant's limits and those of its credentials, with what is used of them."""
    limits = limits_of(tenant.options, "")
    for name in sorted(tenant.options.get(CREDENTIAL_LIMITS, {})):
        limits += [limit for limit in limits_of(tenant.options, name) if limit.credential]
    found = []
    for limit in limits:
        begins = now if limit.per == PER_HOUR else day_begins(now, tenant.timezone)
        used = messages_since(tx, tenant.id, limit.credential, to_ms(begins))
        until = ends_at(limit.per, now, tenant.timezone)
        found.append(Used(limit.credential, limit.per.rpartition("_")[2], used, limit.most, until))
    return found


# -- setting them


def set_limits(
    tx: Transaction, now: datetime, tenant_id: str, credential: str, per_hour: int | None, per_day: int | None
) -> None:
    """Set the limits of a tenant, or of one of its credentials; 0 takes one away, None leaves it. Raises Refused.

    What was handed over today counts at once.
    """
    tenant = get_tenant(tx, tenant_id)
    assert tenant is not None
    given = {PER_HOUR: per_hour, PER_DAY: per_day}
    changes = {name: value or None for name, value in given.items() if value is not None}
    own = {CREDENTIAL_LIMITS: _of_credentials(tx, tenant, credential.lower(), changes)} if credential else None
    set_tenant(tx, tenant_id, options=own or changes)
    day = day_begins(now, tenant.timezone)
    recount(tx, tenant_id, min(to_ms(day), to_ms(now) // HOUR_MS * HOUR_MS))


def _of_credentials(
    tx: Transaction, tenant: Tenant, credential: str, changes: Mapping[str, int | None]
) -> dict[str, dict[str, int]] | None:
    """The limits of all the tenant's credentials, with those of one changed; None when none has any."""
    known = {one.username for one in list_credentials(tx, tenant.id) if one.revoked_at is None}
    if credential not in known:
        raise Refused(550, "5.1.1", f"there is no credential {credential!r}; see `gateway credential list`")
    limits = {name: own for name, own in tenant.options.get(CREDENTIAL_LIMITS, {}).items() if name in known}
    own = {**limits.get(credential, {}), **changes}
    limits[credential] = {per: most for per, most in own.items() if most}
    return {name: own for name, own in limits.items() if own} or None
