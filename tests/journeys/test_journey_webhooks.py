"""Webhooks over real HTTP, on both databases: order, signatures, retries, hostile receivers, restarts, nodes."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from datetime import timedelta

import pytest
from journeys.hook_receiver import HANG, HANG_UP, HUGE, NOISE, Receiver, open_receiver
from journeys.house import Clock, Journey, Place, make_config, open_journey
from journeys.letters import compose
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.mail.reply import Refused
from gateway.outbound import webhook_post, webhooks
from gateway.outbound.webhook_post import sign
from gateway.outbound.webhooks import Webhooks, send_now, wait_after
from gateway.serve.parts import make_post, make_resolver
from gateway.store import event_feed
from gateway.store.database import Transaction, to_ms
from gateway.store.event_feed import cursor_at, read_feed
from gateway.store.events import add_event
from gateway.store.webhooks import (
    DISABLED,
    FAILING,
    GIVEN_UP,
    LOGGED,
    OK,
    Endpoint,
    HookAttempt,
    add_endpoint,
    check_url,
    drop_endpoint,
    enable_endpoint,
    list_attempts,
    log_attempt,
    need_endpoint,
    rewind_endpoint,
    rotate_secret,
)

ANA = "ana@client.test"


def in_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """A test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: object, **options: object) -> None:
        asyncio.run(test(*args, **options))

    return run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for clocks that agree, nor for the first retries."""
    monkeypatch.setattr(event_feed, "CLOCK_MS", 0)
    monkeypatch.setattr(webhooks, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(webhooks, "FIRST", 0.05)
    monkeypatch.setattr(webhooks, "GROWTH", 1.0)


def say(tx: Transaction, now_ms: int, tenant_id: str, *told: str) -> None:
    """Events of no thread, which can be told from each other."""
    for one in told:
        add_event(tx, now_ms, tenant_id, "domain.check_changed", data={"domain": one})


async def tell(journey: Journey, *told: str, tenant_id: str = "") -> None:
    """The same, committed."""
    await journey.write(say, to_ms(journey.clock()), tenant_id or journey.tenant_id, *told)


async def subscribe(journey: Journey, url: str, *types: str, tenant_id: str = "") -> tuple[Endpoint, str]:
    """An endpoint and its secret."""
    return await journey.write(
        add_endpoint, journey.clock(), journey.house.seal, tenant_id or journey.tenant_id, url, frozenset(types),
        inner=True,
    )  # fmt: skip


def told(receiver: Receiver) -> list[str]:
    """What it took, in order."""
    return [one["data"].get("domain", one["type"]) for one in receiver.events]


async def taken(journey: Journey, receiver: Receiver, *wanted: str) -> None:
    """Wait until the receiver took exactly these."""

    async def ask() -> bool:
        return len(receiver.taken) >= len(wanted)

    await journey.until(ask)
    await asyncio.sleep(0.2)
    assert told(receiver) == list(wanted)


async def endpoint(journey: Journey, one: Endpoint) -> Endpoint:
    """How it fares now."""
    return await journey.house.database.read(need_endpoint, one.tenant_id, one.id)


async def fares(journey: Journey, one: Endpoint, state: str) -> Endpoint:
    """The endpoint once it has this state."""

    async def ask() -> Endpoint | None:
        found = await endpoint(journey, one)
        return found if found.state == state else None

    return await journey.until(ask)


async def logged(journey: Journey, one: Endpoint) -> list[HookAttempt]:
    """Its log, the oldest first."""
    return (await journey.house.database.read(list_attempts, one.tenant_id, one.id, 500))[::-1]


@in_loop
async def test_a_mail_is_told_signed_and_in_order(place: Place) -> None:
    async with open_journey(place) as journey, open_receiver() as receiver:
        one, secret = await subscribe(journey, receiver.url)
        sent = await journey.queue(compose(to=ANA, headers=[("X-AR-Tag", "run-7")]), ANA)
        await journey.settled(sent.message_id, "relayed")

        async def both() -> bool:
            return {"message.accepted", "recipient.accepted"} <= {event["type"] for event in receiver.events}

        await journey.until(both)
        feed = await read_feed(journey.house.database, journey.tenant_id, one.cursor)
        assert [event["id"] for event in receiver.events] == [event.id for event in feed.events]
        for came in receiver.requests:
            assert Webhook(secret).verify(came.body, came.headers) == came.event
            assert came.path == "POST /hooks?from=gateway HTTP/1.1"
            assert came.headers["webhook-id"] == came.event["id"]
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(came.body + b" ", came.headers)
        accepted = next(event for event in receiver.events if event["type"] == "recipient.accepted")
        assert (accepted["tenant"], accepted["recipient"], accepted["tags"]) == ("acme", ANA, ["run-7"])
        assert {line.outcome for line in await logged(journey, one)} == {"delivered"}


@pytest.mark.parametrize("fault", [500, 404, 301, 307, HANG_UP, NOISE, HANG])
@in_loop
async def test_what_fails_is_tried_again_and_the_order_stays(
    place: Place, fault: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_post.Post.__call__, "__defaults__", (0.5,))
    async with open_journey(place) as journey, open_receiver() as receiver:
        receiver.answers.extend([204, fault, fault])
        one, _ = await subscribe(journey, receiver.url)
        await tell(journey, "a", "b", "c")
        await taken(journey, receiver, "a", "b", "c")
        tried = [came.event["data"]["domain"] for came in receiver.requests]
        assert tried == ["a", "b", "b", "b", "c"], "nothing overtakes, and nothing is followed elsewhere"
        assert len({came.headers["webhook-id"] for came in receiver.requests}) == 3
        outcomes = [line.outcome for line in await logged(journey, one)]
        assert outcomes == ["delivered", "failed", "failed", "delivered", "delivered"]
        assert (await endpoint(journey, one)).state == OK


@in_loop
async def test_a_huge_answer_is_not_read_to_its_end(place: Place) -> None:
    async with open_journey(place) as journey, open_receiver() as receiver:
        receiver.answers.append(HUGE)
        await subscribe(journey, receiver.url)
        await tell(journey, "a", "b")
        await taken(journey, receiver, "a", "b")
        assert len(receiver.requests) == 2


@in_loop
async def test_410_disables_with_an_alarm_and_enabling_goes_on(place: Place) -> None:
    async with open_journey(place) as journey, open_receiver() as receiver, open_receiver() as watcher:
        one, _ = await subscribe(journey, receiver.url, "domain.check_changed")
        await subscribe(journey, watcher.url, "webhook.disabled", "webhook.enabled")
        receiver.answers.append(410)
        await tell(journey, "a", "b")
        found = await fares(journey, one, DISABLED)
        assert "410" in found.words
        await taken(journey, watcher, "webhook.disabled")
        assert watcher.events[0]["data"]["url"] == receiver.url
        assert receiver.taken == []
        await journey.write(enable_endpoint, journey.clock(), one.tenant_id, one.id, "ana")
        await taken(journey, receiver, "a", "b")
        await taken(journey, watcher, "webhook.disabled", "webhook.enabled")


@in_loop
async def test_an_event_is_given_up_after_three_days_and_an_endpoint_after_five(place: Place) -> None:
    clock = Clock()
    async with open_journey(place, clock=clock) as journey, open_receiver() as receiver:
        receiver.always = 500
        one, _ = await subscribe(journey, receiver.url, "domain.check_changed")
        await tell(journey, "a", "b")
        await fares(journey, one, FAILING)
        clock.move(days=3, minutes=1)

        async def given_up() -> bool:
            return any(line.outcome == GIVEN_UP for line in await logged(journey, one))

        await journey.until(given_up)

        async def second() -> bool:
            return receiver.requests[-1].event["data"]["domain"] == "b"

        await journey.until(second)
        assert (await endpoint(journey, one)).state == FAILING
        clock.move(days=2)
        await fares(journey, one, DISABLED)
        receiver.always = 204
        await journey.write(enable_endpoint, clock(), one.tenant_id, one.id, "ana")
        await taken(journey, receiver, "b")


@in_loop
async def test_a_slow_endpoint_delays_no_other(place: Place) -> None:
    async with open_journey(place) as journey, open_receiver() as slow, open_receiver() as fast:
        slow.always = HANG
        await subscribe(journey, slow.url)
        await subscribe(journey, fast.url)
        await subscribe(journey, f"{fast.url}&other", tenant_id=journey.other_id)
        await tell(journey, "a", "b")
        await taken(journey, fast, "a", "b")
        await tell(journey, "c", tenant_id=journey.other_id)
        await taken(journey, fast, "a", "b", "c")
        assert len(slow.requests) == 1
        assert {event["tenant"] for event in fast.events} == {"acme", "beta"}


@in_loop
async def test_a_restart_goes_on_where_it_stopped(place: Place) -> None:
    async with open_receiver() as receiver:
        async with open_journey(place) as journey:
            await subscribe(journey, receiver.url)
            receiver.answers.append(204)
            receiver.always = HANG
            await tell(journey, "a", "b")

            async def begun() -> bool:
                return len(receiver.requests) == 2

            await journey.until(begun)
        receiver.always = 204
        clock = Clock()
        clock.move(seconds=webhooks.LEASE_MS / 1000 + 1)
        async with open_journey(place, clock=clock) as journey:
            await taken(journey, receiver, "a", "b")
            assert receiver.requests[1].headers["webhook-id"] == receiver.requests[2].headers["webhook-id"]


@in_loop
async def test_several_nodes_share_endpoints_and_deliver_each_event_once(place: Place) -> None:
    async with open_journey(place) as journey, open_receiver() as receiver:
        house = journey.house
        post = make_post(house.config, make_resolver(house.config))
        nodes = [Webhooks(house.database, house.seal, post, journey.clock) for _ in range(3)]
        others = [asyncio.create_task(node.run()) for node in nodes]
        await subscribe(journey, receiver.url)
        names = [str(number) for number in range(60)]
        for name in names:
            await tell(journey, name)
        await taken(journey, receiver, *names)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@in_loop
async def test_replay_test_and_rotation(place: Place) -> None:
    async with open_journey(place) as journey, open_receiver() as receiver:
        begun = journey.clock()
        one, secret = await subscribe(journey, receiver.url, "domain.check_changed")
        await tell(journey, "a", "b")
        await taken(journey, receiver, "a", "b")
        key, house = (one.tenant_id, one.id), journey.house
        post = make_post(house.config, make_resolver(house.config))
        new = await journey.write(rotate_secret, journey.clock(), house.seal, *key)
        first = receiver.events[0]["id"]
        made = await send_now(house.database, house.seal, post, journey.clock(), key, first)
        assert (made.outcome, told(receiver)) == ("delivered", ["a", "b", "a"])
        for one_of_two in (secret, new):
            Webhook(one_of_two).verify(receiver.requests[-1].body, receiver.requests[-1].headers)
        tomorrow = journey.clock() + timedelta(hours=25)
        await send_now(house.database, house.seal, post, tomorrow, key)
        assert receiver.events[-1]["type"] == "webhook.test"
        assert len(receiver.requests[-1].headers["webhook-signature"].split()) == 1
        await journey.write(rewind_endpoint, journey.clock(), *key, cursor_at(to_ms(begun) - 60_000))
        await taken(journey, receiver, "a", "b", "a", "webhook.test", "a", "b")
        with pytest.raises(Refused, match="no endpoint"):
            await journey.write(drop_endpoint, journey.other_id, one.id)
        with pytest.raises(Refused, match="no event"):
            other, _ = await subscribe(journey, receiver.url, tenant_id=journey.other_id)
            await send_now(house.database, house.seal, post, journey.clock(), (other.tenant_id, other.id), first)
        await journey.write(drop_endpoint, *key)
        await tell(journey, "z")
        await asyncio.sleep(0.5)
        assert "z" not in told(receiver)


@in_loop
async def test_addresses_inside_are_not_dialled(place: Place) -> None:
    async with open_journey(place) as journey, open_receiver() as receiver:
        one, _ = await subscribe(journey, receiver.url)
        public = make_config(place, delivery={"allow_private": False})
        post = make_post(public, make_resolver(public))
        for url in ("https://127.0.0.1/", "https://10.0.0.1/", "https://[::1]/", "https://169.254.169.254/",
                    "https://100.64.0.1/", "https://[::ffff:127.0.0.1]/", "https://0.0.0.0/"):  # fmt: skip
            posted = await post(url, [], "e", {}, journey.clock())
            assert (posted.code, "no address that may be dialled" in posted.words) == (0, True), url
        assert "not https" in (await post(one.url, [], "e", {}, journey.clock())).words
        assert receiver.requests == []


@pytest.mark.parametrize(
    "url", ["http://a.example/", "ftp://a.example", "https://", "https://u:p@a.example/", "https://a.example/#x",
            "https://a.example/ x", "https://a.example:99999/", "https://a.example/" + "x" * 500, "https://ă.example/"]
)  # fmt: skip
def test_what_is_no_url_is_refused_in_words(url: str) -> None:
    with pytest.raises(Refused):
        check_url(url, inner=False)


def test_waits_grow_to_six_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "FIRST", 5.0)
    monkeypatch.setattr(webhooks, "GROWTH", 4.0)
    assert 4 <= wait_after(1) <= 6 < 16 <= wait_after(2) <= 24
    assert 0.8 * 21600 <= wait_after(9) <= 1.2 * 21600 and wait_after(10_000) <= 1.2 * 21600


def test_the_signature_is_that_of_the_specification() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@in_loop
async def test_the_log_is_bounded(place: Place) -> None:
    async with open_journey(place) as journey:
        one, _ = await subscribe(journey, "http://127.0.0.1:9/")
        now = journey.clock()

        def fill(tx: Transaction) -> None:
            for number in range(LOGGED + 20):
                at = now - timedelta(days=40) if number == LOGGED else now
                name = f"{number:020d}"
                log_attempt(tx, (one.tenant_id, one.id), HookAttempt(name, name, "x", at, 1, 500, "failed", "w" * 900))

        await journey.write(fill)
        lines = await logged(journey, one)
        assert LOGGED - 1 <= len(lines) <= LOGGED + 1
        assert lines[-1].words == "w" * 300 and lines[-1].id == f"{LOGGED + 19:020d}"
