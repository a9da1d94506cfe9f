"""What the journeys of reminders share: a tenant with reminders on, its invoice, and a clock that is moved by days.

Used by tests/journeys/test_journey_reminders.py and test_journey_reminder_runs.py. A `Tale` runs the day's reminders
itself, as the loop of a serving gateway would at the tenant's hour.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from journeys.house import Clock, Journey, Place, open_journey
from journeys.test_journey_triggers import document, mail

from gateway.outbound.reminder_runs import run_tenant
from gateway.outbound.reminding import Examined
from gateway.store.documents import StoredDocument, get_document
from gateway.store.reminders import (
    TenantRun,
    list_runs,
)
from gateway.store.template_settings import change_reminders

ANA = "ana@client.test"
ZONE = ZoneInfo("Europe/Chisinau")
KEY = ("invoice", "inv_1")


class Tale:
    """A tenant with reminders on: unpaid 5 days before, late every 7 days; its clock stands at ten in the morning."""

    def __init__(self, journey: Journey, clock: Clock) -> None:
        self.journey, self.clock = journey, clock

    async def begin(self) -> None:
        local = self.clock().astimezone(ZONE)
        self.clock.ahead += local.replace(hour=10, minute=0, second=0) + timedelta(days=1) - local
        await self.turn_on("unpaid_invoice", days_before=5)
        await self.turn_on("late_payment_reminder", every_days=7)

    @property
    def today(self) -> date:
        return self.clock().astimezone(ZONE).date()

    async def turn_on(self, key: str, **options: Any) -> None:
        await self.journey.write(change_reminders, self.journey.tenant_id, key, options, self.today)

    async def hand_over(self, due: int = 10, **changes: Any) -> StoredDocument:
        """An invoice of today that is due in so many days, stored and not sent by us."""
        day = self.today + timedelta(days=due)
        made = document(id="inv_1", number="CP-1", issue_date=self.today.isoformat(), due_date=day.isoformat())
        made["customer"] |= {"contacts": [{"email": ANA, "name": "Ana Rusu"}]}
        return await self.store(made | changes)

    async def store(self, made: dict[str, Any]) -> StoredDocument:
        self.made = made
        answer = await self.journey.submit(mail(made, X_AR_Template="none"), "send@inbox.gateway.test")
        assert "Stored only" in answer.text, answer
        return await self.stored(made["type"], made["id"])

    async def stored(self, *key: str) -> StoredDocument:
        found = await self.journey.house.database.read(get_document, self.journey.tenant_id, *(key or KEY))
        assert found is not None
        return found

    async def tenant(self) -> TenantRun:
        runs = await self.journey.house.database.read(list_runs)
        return next(one for one in runs if one.tenant_id == self.journey.tenant_id)

    async def run(self, days: int = 0) -> list[Examined]:
        """So many days later, the run of that day."""
        self.clock.move(days=days)
        found = await run_tenant(self.journey.house.door, await self.tenant(), self.clock())
        assert found is not None
        return found

    async def sent(self, days: int = 0) -> int:
        """How many reminders go on that day, and have arrived."""
        before = len(self.journey.world.received)
        gone = sum(1 for one in await self.run(days) if one.verdict.goes)

        async def arrived() -> bool | None:
            return len(self.journey.world.received) == before + gone or None

        await self.journey.until(arrived)
        return gone

    async def held_back(self, days: int = 0) -> list[str]:
        """The reasons of a day on which nothing goes."""
        found = await self.run(days)
        assert not any(one.verdict.goes for one in found), found
        return [one.verdict.reason for one in found]

    async def events(self, *types: str) -> list[dict[str, Any]]:
        thread_id = (await self.stored()).thread_id
        return [{"type": one.type, **one.data} for one in await self.journey.events(thread_id, *types)]


def tell(place: Place, story: Callable[[Tale], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            tale = Tale(journey, clock)
            await tale.begin()
            await story(tale)

    asyncio.run(run())
