"""The daily run of reminders: for each tenant, at its hour, every document is looked at, and what is due goes.

`serve` keeps `ReminderRuns.run` going; the commands call `run_tenant` and `forecast`. A reminder has no transport of
its own: it goes through the door as a stored document, whose delivery is rendered when it is due. A run is one node's
while its claim lasts; one that died is taken up by the next, and a day that was missed altogether is caught up once,
since only the latest slot of a document counts. One tenant's fault is logged and stops no other's.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from gateway.mail.reply import Refused
from gateway.outbound.handed import Asked, Rcpt
from gateway.outbound.reminders import HOUR, because, begins_at
from gateway.outbound.reminding import Examined, Ledger, ReminderGate, examine_page, open_ledger, types_of
from gateway.outbound.submission import Door, accept_document
from gateway.store.database import Database, StoreUnavailable, Transaction, to_ms
from gateway.store.documents import get_document
from gateway.store.reminders import (
    TenantRun,
    break_promises,
    claim_run,
    end_run,
    extend_run,
    list_runs,
    note_skipped,
)
from gateway.store.reminding import BY_REMINDERS
from gateway.store.template_settings import list_settings
from gateway.store.threads import open_thread

log = structlog.get_logger()

LOOK_SECONDS = 20.0  # between two looks at whose hour has come
CLAIM = timedelta(minutes=10)  # how long a run is its node's without a sign of life
TOGETHER = 4  # tenants at once
NO_ADDRESS = "no_address"
SETTLED_DAYS = 30  # how long a forecast still tells that a document was paid or voided


@dataclass(frozen=True, slots=True)
class ReminderRuns:
    """The loop's surroundings."""

    door: Door
    clock: Callable[[], datetime]

    async def run(self) -> None:
        """Look for tenants whose hour has come, for ever; ended by cancelling it."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception:
                log.error("reminders.failed", exc_info=True)  # the database, most likely; the next look tries again

    async def look(self) -> int:
        """Run the reminders of every tenant whose hour has come; how many mails were handed over."""
        now, room = self.clock(), asyncio.Semaphore(TOGETHER)
        due = [one for one in await self.door.database.read(list_runs) if is_due(one, now)]
        return sum(await asyncio.gather(*(self._run_one(one, room) for one in due)))

    async def _run_one(self, tenant: TenantRun, room: asyncio.Semaphore) -> int:
        async with room:  # a long look may have passed midnight: the new day's hour has not come
            try:
                now = self.clock()
                done = await run_tenant(self.door, tenant, now) if is_due(tenant, now) else None
            except Exception:
                log.error("reminders.tenant_failed", tenant=tenant.slug, exc_info=True)
                return 0
            return sum(1 for one in done or () if one.verdict.goes)


def today_of(tenant: TenantRun, now: datetime) -> date:
    """The tenant's day."""
    return now.astimezone(ZoneInfo(tenant.timezone)).date()


def is_due(tenant: TenantRun, now: datetime) -> bool:
    """Whether the tenant's hour has come today, nobody is at its reminders, and they were not looked at yet."""
    today, hour = today_of(tenant, now), int(tenant.options.get("reminder_hour", HOUR))
    if tenant.day >= today.isoformat() or not (tenant.has_any or open_ledger("", {}, "UTC").reminds):
        return False
    if tenant.busy_until is not None and tenant.busy_until > now:
        return False
    return now >= begins_at(today, hour, ZoneInfo(tenant.timezone)).astimezone(UTC)


async def run_tenant(door: Door, tenant: TenantRun, now: datetime, *, again: bool = False) -> list[Examined] | None:
    """The reminders of a tenant's day: what was due, and what became of it; None when another node has them.

    `again`: though the day's were run already (a person asks); what went then does not go twice.
    """
    day, database = today_of(tenant, now).isoformat(), door.database
    until = to_ms(now + CLAIM)
    if not await database.write(claim_run, to_ms(now), tenant.tenant_id, day, until, again=again):
        return None
    try:
        done = await _walk(door, tenant, now)
    except BaseException:  # given up, or cancelled: the next look takes it up, and finds done what was done
        with contextlib.suppress(StoreUnavailable):  # else the claim ends by itself
            await database.write(end_run, to_ms(now), tenant.tenant_id, "")
        raise
    await database.write(end_run, to_ms(now), tenant.tenant_id, day)
    if done:
        sent = sum(1 for one in done if one.verdict.goes)
        log.info("reminders.done", tenant=tenant.slug, day=day, sent=sent, held_back=len(done) - sent)
    return done


async def _walk(door: Door, tenant: TenantRun, now: datetime) -> list[Examined]:
    """Go through the tenant's documents, and do what is due; what was."""
    database, done, began = door.database, [], time.monotonic()
    await database.write(break_promises, to_ms(now), tenant.tenant_id, today_of(tenant, now))
    ledger = await read_ledger(database, tenant)
    async for page in _pages(database, ledger, now):
        for one in page:
            if one.verdict.slot is not None:
                done.append(await _act(door, ledger, one, now))
        passed = timedelta(seconds=time.monotonic() - began)
        await database.write(extend_run, tenant.tenant_id, to_ms(now + passed + CLAIM))
    return done


async def forecast(database: Database, tenant: TenantRun, now: datetime, *, settled: bool = True) -> list[Examined]:
    """What a run at `now` would do with each document of the tenant that is open, or was until a short while ago."""
    ledger = await read_ledger(database, tenant)
    since = to_ms(now - timedelta(days=SETTLED_DAYS)) if settled else None
    return [one async for page in _pages(database, ledger, now, since) for one in page]


async def read_ledger(database: Database, tenant: TenantRun) -> Ledger:
    """A tenant's ledger as it is now."""
    return open_ledger(tenant.tenant_id, await database.read(list_settings, tenant.tenant_id), tenant.timezone)


async def _pages(
    database: Database, ledger: Ledger, now: datetime, settled_since: int | None = None
) -> AsyncIterator[list[Examined]]:
    for type in types_of(ledger):
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            page, after = await database.read(examine_page, ledger, type, after, now, settled_since=settled_since)
            yield page


# -- one document


async def _act(door: Door, ledger: Ledger, one: Examined, now: datetime) -> Examined:
    """Hand a reminder over, or say in the thread why it does not go."""
    verdict = one.verdict
    if not verdict.goes:
        await door.database.write(_note_skipped, ledger, one, now)
        return one
    recipients = tuple(Rcpt(address) for address in one.recipients)
    slot = verdict.slot.isoformat() if verdict.slot else ""
    asked = Asked(
        ledger.tenant_id, *one.found.key, BY_REMINDERS, template=verdict.template, recipients=recipients,
        run=f"reminders {now.astimezone(ledger.zone):%Y-%m-%d}", detail={"reminder": slot},
        gate=ReminderGate(ledger, one, now),
    )  # fmt: skip
    try:
        receipt = await accept_document(door, asked, now)
    except Refused as refused:  # a template that was turned off just now, an account that was suspended
        held = Examined(one.found, because("refused", verdict, why=refused.reply.text))
        await door.database.write(_note_skipped, ledger, held, now)
        return held
    if receipt.message_id:
        return one
    return Examined(one.found, because("refused", verdict, why=receipt.text))


def _note_skipped(tx: Transaction, ledger: Ledger, one: Examined, now: datetime) -> None:
    verdict, now_ms = one.verdict, to_ms(now)
    found = get_document(tx, ledger.tenant_id, *one.found.key)
    # the most is reached for good: said once, not at every slot
    slot = "" if verdict.reason == "maximum" or verdict.slot is None else verdict.slot.isoformat()
    if found is None or not note_skipped(
        tx, now_ms, ledger.tenant_id, found, verdict.template, slot, verdict.reason, verdict.why
    ):
        return
    if verdict.reason == NO_ADDRESS:
        open_thread(tx, now_ms, ledger.tenant_id, found.thread_id, NO_ADDRESS)
