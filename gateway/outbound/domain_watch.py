"""The loop that looks at the DNS of every domain we send as: daily, and every few minutes while something is wrong.

Started by `serve`; `gateway domain check` does the same once. What is found is kept with the domain; a change is an
event (`domain.check_changed`). Pending keys whose records are seen sign from then on (`outbound.key_rotation`). A
tenant whose author domain receivers cannot check is told by a thread, and its mail stays on the shared address until
the check is green (`outbound.desk`). Silence of DNS changes nothing. Several nodes may look at once: the outcome is
the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from gateway.outbound import dns_answers
from gateway.outbound.dns_answers import Answer, Seen
from gateway.outbound.domain_check import House, check_author_domain
from gateway.outbound.findings import Check, read_check, sort
from gateway.outbound.house_check import check_house
from gateway.outbound.key_rotation import advance
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.domains import (
    ACTIVE,
    PENDING,
    REPLACED,
    StoredDomain,
    StoredKey,
    all_domains,
    get_domain,
    keep_check,
    list_keys,
)
from gateway.store.events import add_event
from gateway.store.routes import get_server
from gateway.store.schema import OPERATOR
from gateway.store.tenants import get_tenant, list_identities
from gateway.store.threads import add_thread, close_thread, find_thread, open_thread

log = structlog.get_logger()

TICK_SECONDS = 10.0  # how often the database is asked what is due
DAILY = timedelta(days=1)
SOON = timedelta(minutes=5)  # while a domain is wrong, unknown, or a key waits to be published
OLD = timedelta(days=3)  # a domain that has been wrong for so long is looked at hourly
HOURLY = timedelta(hours=1)
CHIP = "domain"  # of the thread that tells a tenant of its domain

Ask = Callable[[str, str], Awaitable[Answer]]


class DomainWatch:
    """The loop. `run` it."""

    def __init__(self, database: Database, house: House, ask: Ask, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._house = house
        self._ask = ask
        self._clock = clock

    async def run(self) -> None:
        """Look, for ever; survives every exception but cancellation."""
        while True:
            try:
                await self.look()
            except Exception as error:
                log.error("domains.failed", error=type(error).__name__, exc_info=True)
            await asyncio.sleep(TICK_SECONDS)

    async def look(self) -> int:
        """Check the domains that are due; how many were."""
        found = await self._database.read(_due, self._clock())
        for one, keys, authors in found:
            asked_at = self._clock()  # an answer is as old as its question
            made = await check(self._ask, self._house, one, keys, authors)
            told = await self._database.write(keep, asked_at, one, made)
            for sentence in told:
                log.info("domains.changed", domain=one.name, tenant=one.tenant_id, words=sentence)
        return len(found)


def _due(tx: Transaction, now: datetime) -> list[tuple[StoredDomain, list[StoredKey], list[str]]]:
    found = []
    for one in all_domains(tx):
        keys = list_keys(tx, one.tenant_id, one.name)
        if one.checked_at is None or now - one.checked_at >= interval(one, keys, now):
            found.append((one, keys, authors_of(tx, one)))
    return found


def interval(one: StoredDomain, keys: Sequence[StoredKey], now: datetime) -> timedelta:
    """How long after a look the next one is due."""
    if any(key.state == PENDING and (key.created_at is None or now - key.created_at < OLD) for key in keys):
        return SOON
    last = read_check(one.name, one.kept)
    if any(key.state == ACTIVE and key.selector not in last.seen and not _is_old(key, now) for key in keys):
        return SOON  # it signs, and was not seen: made at once after a theft, or its record went
    if not last.aligned:
        return SOON if now - one.created_at < OLD else HOURLY
    return HOURLY if any(key.state in (PENDING, REPLACED) for key in keys) else DAILY


def _is_old(key: StoredKey, now: datetime) -> bool:
    since = key.changed_at or key.created_at
    return since is not None and now - since >= OLD


def authors_of(tx: Transaction, one: StoredDomain) -> list[str]:
    """The authors of a tenant that are in a domain, or below it."""
    addresses = list_identities(tx, one.tenant_id) if one.tenant_id != OPERATOR else []
    return [a for a in addresses if f".{a.rpartition('@')[2]}".endswith(f".{one.name}")]


async def check(ask: Ask, house: House, one: StoredDomain, keys: Sequence[StoredKey], authors: Sequence[str]) -> Check:
    """Look at one domain; the shared one together with the names of the house."""

    def judge(seen: Seen) -> Check:
        made = check_author_domain(seen, house, one.name, keys, authors)
        if one.tenant_id != OPERATOR or one.name != house.shared:
            return made
        return replace(made, findings=sort((*made.findings, *check_house(seen, house))))

    return await dns_answers.look(ask, judge)


def keep(tx: Transaction, now: datetime, one: StoredDomain, made: Check) -> list[str]:
    """Keep what was found, tell what changed, and let keys change their state; a sentence for each change."""
    known = get_domain(tx, one.tenant_id, one.name)
    if known is None:  # it went meanwhile
        return []
    before = read_check(known.name, known.kept)
    if made.aligned is None:  # DNS was silent: what was known still holds
        made = replace(made, aligned=before.aligned)
    made = replace(made, told=tell_tenant(tx, now, one, made, before.told))
    keep_check(tx, now, known, made.as_json())
    told = advance(tx, now, one.tenant_id, one.name, made.seen)
    if _summary(made) != _summary(before):
        data = {"domain": one.name, "state": made.state, "words": say(made)}
        add_event(tx, to_ms(now), one.tenant_id, "domain.check_changed", data=data)
        told.append(f"{one.name}: {say(made)}")
    return told


def _summary(made: Check) -> tuple[object, ...]:
    """What must differ for a check to be told: not the silence of DNS, which passes."""
    return (made.aligned, *((f.severity, f.code, f.name) for f in made.findings if f.severity != "unknown"))


def say(made: Check) -> str:
    """A check in one sentence: its worst finding, and how many there are."""
    grave = [f for f in made.findings if f.severity in ("error", "warning")]
    if not grave:
        return "everything that mail needs is in DNS" if made.state == "ok" else made.findings[0].words
    return grave[0].words + (f" (and {len(grave) - 1} more)" if len(grave) > 1 else "")


def tell_tenant(tx: Transaction, now: datetime, one: StoredDomain, made: Check, told: bool) -> bool:
    """Open a thread when mail of the tenant stays on the shared address because of this domain, and close it later.

    `told`: whether that was said already, so that a thread which somebody closed stays closed. Whether it is said now.
    """
    now_ms = to_ms(now)
    concerns = made.aligned is False and _sends_as(tx, one)
    if concerns == told:
        return told
    known = find_thread(tx, one.tenant_id, f"domain/{one.name}")
    thread_id = known.id if known else ""
    if not thread_id:
        thread_id = add_thread(tx, now_ms, one.tenant_id, key=f"domain/{one.name}", subject=one.name, customer=one.name)
    data = {"domain": one.name, "words": say(made)}
    add_event(tx, now_ms, one.tenant_id, "domain.unaligned" if concerns else "domain.aligned", thread_id=thread_id,
              data=data)  # fmt: skip
    if concerns:
        open_thread(tx, now_ms, one.tenant_id, thread_id, CHIP, words=data["words"])
    else:
        close_thread(tx, now_ms, one.tenant_id, thread_id, "gateway")
    return concerns


def _sends_as(tx: Transaction, one: StoredDomain) -> bool:
    """Whether the tenant wants to be an author of this domain, with us as its server."""
    tenant = get_tenant(tx, one.tenant_id) if one.tenant_id != OPERATOR else None
    if tenant is None or tenant.sending != "own" or get_server(tx, one.tenant_id) is not None:
        return False
    return bool(authors_of(tx, one))
