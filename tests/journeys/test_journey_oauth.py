"""OAuth tokens of tenants' servers: renewed before they are used, once for all who need them, and never in silence."""

import asyncio
import threading
from datetime import datetime
from typing import Any

from journeys.house import Clock, Place, open_journey
from journeys.letters import compose
from journeys.own_server import connect_tenant
from journeys.token_endpoint import TokenEndpoint, token_endpoint

from gateway.mail.status import DeliveryStatus
from gateway.outbound.smtp_terms import Login
from gateway.outbound.tenant_routes import TenantRoutes
from gateway.store.database import to_ms
from gateway.store.routes import Secret, open_secret
from gateway.store.sealed import read_key_file


def secret_of(now: datetime, minutes: float, **more: Any) -> Secret:
    values: dict[str, Any] = {
        "access_token": "old",
        "refresh_token": "refresh-0",
        "expires_at": to_ms(now) + int(60_000 * minutes),
    }
    return Secret(**(values | more))


def oauth(endpoint: TokenEndpoint, secret: Secret, **more: Any) -> dict[str, Any]:
    return {"auth": "oauth", "provider": "custom", "client_id": "app", "grant": "authorization_code",
            "token_url": endpoint.url, "secret": secret} | more  # fmt: skip


def token_of(login: Login | DeliveryStatus | None) -> str:
    assert isinstance(login, Login) and login.mechanism == "BEARER", login
    return login.password


def test_a_token_is_renewed_before_it_expires_and_once_for_all_nodes(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        with token_endpoint() as endpoint:
            async with open_journey(place, clock=clock) as journey:
                endpoint.rotate = True
                await connect_tenant(journey, place.folder, 9, **oauth(endpoint, secret_of(clock(), 10)))
                seal = read_key_file(place.folder / "gateway.key")
                nodes = [TenantRoutes(journey.house.database, seal, clock) for _ in range(3)]
                assert token_of(await nodes[0].login(journey.tenant_id)) == "old" and not endpoint.asked
                clock.move(minutes=6)  # four minutes before its end
                endpoint.slow = threading.Event()
                logins = [asyncio.ensure_future(node.login(journey.tenant_id)) for node in nodes for _ in range(5)]
                while not endpoint.asked:  # noqa: ASYNC110 it is asked in another thread
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.5)
                endpoint.slow.set()
                assert {token_of(login) for login in await asyncio.gather(*logins)} == {"good-1"}
                assert len(endpoint.asked) == 1
                kept = await journey.house.database.read(open_secret, seal, journey.tenant_id)
                assert kept.refresh_token == "refresh-1", "a new refresh token takes the place of the old one"

    asyncio.run(run())


def test_a_provider_that_is_down_is_no_matter_while_the_token_holds(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        with token_endpoint() as endpoint:
            async with open_journey(place, clock=clock) as journey:
                endpoint.mood = "down"
                await connect_tenant(journey, place.folder, 9, **oauth(endpoint, secret_of(clock(), 4)))
                routes = TenantRoutes(journey.house.database, read_key_file(place.folder / "gateway.key"), clock)
                assert token_of(await routes.login(journey.tenant_id)) == "old"
                clock.move(minutes=5)
                for mood, words in (("down", "HTTP 503"), ("huge", "HTTP 200")):
                    endpoint.mood = mood
                    status = await routes.login(journey.tenant_id)
                    assert isinstance(status, DeliveryStatus) and words in status.words
                    assert not status.permanent and status.reason == "unreachable"
                endpoint.mood = ""
                assert token_of(await routes.login(journey.tenant_id)) == "good-1", "nobody holds the lease"

    asyncio.run(run())


def test_a_consent_that_was_withdrawn_is_an_alarm_and_the_mail_waits(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        with token_endpoint() as endpoint:
            async with open_journey(place, clock=clock) as journey:
                endpoint.mood = "invalid_grant"
                await connect_tenant(journey, place.folder, 9, **oauth(endpoint, secret_of(clock(), -1)))
                sent = await journey.queue(compose(), "ana@client.test")
                row = await journey.tried(sent.message_id)
                assert (row["state"], row["reason"]) == ("queued", "auth_failed")
                assert "Token has been expired or revoked" in row["text"] and "gateway tenant smtp set" in row["text"]
                [alarm] = [one for one in await journey.threads() if one.key == "smtp_account"]
                assert alarm.state == "open"

    asyncio.run(run())
