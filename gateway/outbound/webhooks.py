"""Webhooks: every event of a tenant is delivered to its endpoints, in order, until it is taken or given up.

`Webhooks.run` looks once a second which endpoints something waits for, and gives each a *turn*: leased by one node,
event after event, the outcome committed before the next. A crash repeats one event at the most, under the same
webhook-id. What fails is tried again for three days with growing waits, then logged as given up, and the order goes on.
Five days without a success, or a 410, disable the endpoint with an alarm. Slow endpoints hold nobody up: turns are
bounded in number and time, and a tenant has few endpoints.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from gateway.mail.reply import Refused
from gateway.outbound.webhook_post import GONE, Post, Posted
from gateway.store.database import Database, StoreUnavailable, Transaction, new_id, to_ms
from gateway.store.event_feed import FeedEvent, find_horizon, get_feed_event, list_feed, public_event
from gateway.store.sealed import Seal
from gateway.store.tenants import get_tenant
from gateway.store.webhooks import (
    DELIVERED,
    FAILING,
    GIVEN_UP,
    RETRIED,
    Endpoint,
    HookAttempt,
    end_turn,
    fail_endpoint,
    find_due,
    lease_endpoint,
    log_attempt,
    move_on,
    need_endpoint,
    read_secrets,
)

log = structlog.get_logger()

POLL_SECONDS = 1.0
AT_ONCE = 40  # endpoints that are served at once
TURN_EVENTS, TURN_SECONDS = 200, 30.0  # of one endpoint, before others have their turn
LEASE_MS = 120_000
FIRST, LONGEST, GROWTH, JITTER = 5.0, 6 * 3600.0, 4.0, 0.2
GIVE_UP = timedelta(days=3)  # an event, since it failed first
DISABLE = timedelta(days=5)  # an endpoint, since it began to fail

TRIAL = "webhook.test"  # the type of the event that only tries an endpoint; it is in no feed

Key = tuple[str, str]


def wait_after(tries: int) -> float:
    """Seconds until the next try after so many: 5 s, 20 s, 80 s, ... 6 hours, a fifth more or less."""
    return min(FIRST * GROWTH ** min(tries - 1, 20), LONGEST) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


@dataclass
class Webhooks:
    """The loop of one process; several share the endpoints by leases."""

    database: Database
    seal: Seal
    post: Post
    clock: Callable[[], datetime]
    _turns: dict[Key, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Deliver until cancelled; turns that are under way end with it, and their leases by time."""
        try:
            while True:
                try:
                    await self._look()
                except StoreUnavailable:
                    log.warning("webhooks.database_away")
                except Exception as error:  # the loop outlives whatever one round met
                    log.error("webhooks.round_failed", error=type(error).__name__, exc_info=True)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for turn in self._turns.values():
                turn.cancel()
            await asyncio.gather(*self._turns.values(), return_exceptions=True)

    async def _look(self) -> None:
        free = AT_ONCE - len(self._turns)
        if free <= 0:
            return
        horizon = await self.database.read(find_horizon)
        due = await self.database.read(find_due, to_ms(self.clock()), horizon, AT_ONCE)
        for key in [one for one in due if one not in self._turns][:free]:
            task = self._turns[key] = asyncio.create_task(self._turn(key))
            task.add_done_callback(lambda _, key=key: self._turns.pop(key, None))  # type: ignore[misc]

    async def _turn(self, key: Key) -> None:
        turn, begun = new_id(), asyncio.get_running_loop().time()
        try:
            found = await self.database.write(lease_endpoint, self._ms(), key, turn, self._ms() + LEASE_MS)
            if found is None:
                return
            horizon = await self.database.read(find_horizon)
            page = await self.database.read(list_feed, key[0], found.cursor, TURN_EVENTS, horizon, found.types)
            for one in page.events:
                if not await self._deliver(turn, found, one):
                    return
                found = await self.database.read(need_endpoint, *key)
                if asyncio.get_running_loop().time() - begun > TURN_SECONDS:
                    await self.database.write(end_turn, turn, key, {})
                    return
            await self.database.write(end_turn, turn, key, {"cursor": page.cursor})
        except Refused:  # it was removed meanwhile
            return
        except Exception as error:  # the endpoint waits for its lease to end, others go on
            log.error("webhooks.turn_failed", tenant=key[0], endpoint=key[1], error=type(error).__name__, exc_info=True)

    async def _deliver(self, turn: str, to: Endpoint, one: FeedEvent) -> bool:
        """Try an event once; whether the turn goes on with the next one."""
        keys = await self.database.read(read_secrets, self.seal, self._ms(), to.tenant_id, to.id)
        posted = await self.post(to.url, keys, one.id, public_event(one), self.clock())
        return await self.database.write(_spend, self.clock(), turn, to, one, posted)

    def _ms(self) -> int:
        return to_ms(self.clock())


def _spend(tx: Transaction, now: datetime, turn: str, to: Endpoint, one: FeedEvent, posted: Posted) -> bool:
    """Note what came of an attempt; whether the turn goes on. Without effect when the lease was lost."""
    key, now_ms = (to.tenant_id, to.id), to_ms(now)
    first = to.first_tried_at or now
    given_up = not posted.well and posted.code != GONE and now - first >= GIVE_UP
    disabled = posted.code == GONE or (to.state == FAILING and not posted.well and now - to.changed_at >= DISABLE)
    goes_on = (posted.well or given_up) and not disabled
    if posted.well or given_up:
        kept = move_on(tx, now_ms, turn, key, one.id, now_ms + LEASE_MS, well=posted.well)
    else:
        next_at = now_ms + int(1000 * wait_after(to.tries + 1))
        values = {"tries": to.tries + 1, "first_tried_at": to_ms(first), "next_at": next_at}
        kept = end_turn(tx, turn, key, values)
    if not kept:
        return False
    log_attempt(tx, key, attempt_of(one, posted, GIVEN_UP if given_up else "", now))
    if not posted.well:
        fail_endpoint(tx, now_ms, key, say(posted), for_good=disabled)
    return goes_on


def say(posted: Posted) -> str:
    """What an attempt met, in words."""
    return f"{posted.code} {posted.words}".strip() if posted.code else posted.words


def attempt_of(one: FeedEvent, posted: Posted, outcome: str, now: datetime) -> HookAttempt:
    """A line of the log."""
    outcome = outcome or (DELIVERED if posted.well else RETRIED)
    return HookAttempt(new_id(), one.id, one.type, now, posted.milliseconds, posted.code, outcome, posted.words)


async def send_now(
    database: Database, seal: Seal, post: Post, now: datetime, key: Key, event_id: str = ""
) -> HookAttempt:
    """Hand one event to an endpoint at once, out of its order; without one, a trial event (`webhook.test`).

    What came of it is logged and changes nothing else. Raises Refused for what is not the tenant's.
    """
    to = await database.read(need_endpoint, *key)
    if event_id:
        one = await database.read(get_feed_event, key[0], event_id)
    else:
        one = await database.read(_trial, key[0], now)
    if one is None:
        raise Refused(550, "5.7.1", f"this tenant has no event {event_id[:40]}; see `gateway events`")
    keys = await database.read(read_secrets, seal, to_ms(now), *key)
    made = attempt_of(one, await post(to.url, keys, one.id, public_event(one), now), "", now)
    await database.write(log_attempt, key, made)
    return made


def _trial(tx: Transaction, tenant_id: str, now: datetime) -> FeedEvent:
    tenant = get_tenant(tx, tenant_id)
    return FeedEvent(new_id(), now, TRIAL, tenant.slug if tenant else "", "", "", 0, "", "", "", "", "", (), {}, {})
