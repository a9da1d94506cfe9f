"""Tenants' own servers that are real: Postfix and Exim with logins, Dovecot's submission with OAuth tokens.

The servers' own refusals teach the return path; the trial sends through a Postfix whose reports come back, or do not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from journeys.house import INBOX, RETURNS, Clock, Journey, Place, fill_place, open_journey
from journeys.letters import compose, read
from journeys.own_server import ADDRESS, PASSWORD, connect_tenant
from journeys.token_endpoint import TokenEndpoint, token_endpoint
from postroom.exim import Exim
from postroom.ports import free_port
from postroom.postfix import Postfix
from postroom.submission import Submission

from gateway.outbound.server_trial import Step, Trial, try_server
from gateway.store.database import to_ms
from gateway.store.routes import Kept, Secret, Server, get_server, open_secret
from gateway.store.sealed import read_key_file

pytestmark = pytest.mark.integration


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A filled SQLite database; what is tried here is the same on both."""
    made = Place(tmp_path / "data", "")
    fill_place(made)
    return made


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with token_endpoint() as made:
        yield made


Start = Callable[..., Any]


def company(start_postfix: Start, start_submission: Start, receiver: int, **extra: str) -> Postfix:
    """A company's Postfix with logins (by Dovecot), whose mail to us goes to our receiver and all other to nobody."""
    logins: Submission = start_submission(users={ADDRESS: PASSWORD})
    settings = {
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": f"inet:127.0.0.1:{logins.auth_port}",
        "smtpd_tls_auth_only": "yes",
        "mynetworks": "",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "default_transport": "discard:",
    }
    made: Postfix = start_postfix(domains=["acme.test"], users=[ADDRESS], routes={RETURNS: receiver, INBOX: receiver},
                                  extra=settings | extra)  # fmt: skip
    return made


STRICT = {
    "smtpd_sender_login_maps": f"inline:{{ {ADDRESS}={ADDRESS} }}",
    "smtpd_sender_restrictions": "reject_sender_login_mismatch, reject_unlisted_sender",
}


def connect(journey: Journey, place: Place, port: int, cert: Path, **changes: Any) -> Awaitable[Server]:
    return connect_tenant(journey, place.folder, port, trusted=cert.read_text(), **changes)


async def kept(journey: Journey) -> Kept:
    found = await journey.house.database.read(get_server, journey.tenant_id)
    assert found is not None
    return found


async def trial(journey: Journey, wait: float) -> dict[str, Step]:
    """What `gateway tenant smtp test` does, in this process."""
    door, router = journey.house.door, journey.house.delivery._router
    desk = await door.desks.get(journey.tenant_id, fresh=True)
    assert desk is not None and router.tenants is not None
    made = Trial(journey.house.database, desk, door.letterhead, router, router.tenants, journey.clock, wait)
    return {step.what: step async for step in try_server(made)}


def test_a_postfix_that_takes_any_return_path_sends_its_reports_to_us(
    place: Place, start_postfix: Start, start_submission: Start
) -> None:
    receiver = free_port()
    postfix = company(start_postfix, start_submission, receiver)

    async def run() -> None:
        async with open_journey(place, receiver={"port": receiver}) as journey:
            await connect(journey, place, postfix.port, postfix.room.path / "cert.pem")
            sent = await journey.queue(compose(), "ana@client.test")
            row = await journey.settled(sent.message_id, "relayed")
            assert "queued as" in row["text"]
            assert f"from=<b+{row['token']}@{RETURNS}>" in postfix.log() and f"sasl_username={ADDRESS}" in postfix.log()
            found = await trial(journey, 40)
            assert {step.state for step in found.values()} == {"ok"}, found
            assert "its certificate is good" in found["connection"].words
            assert "by b+" in found["reports"].words and "ours, so reports come to us" in found["mail"].words
            server = (await kept(journey)).server
            assert (server.reports, server.return_path) == ("gateway", "")
            assert not [one for one in await journey.threads() if one.state == "open"], "a test leaves no work behind"

    asyncio.run(run())


def test_a_postfix_that_owns_its_senders_teaches_the_return_path(
    place: Place, start_postfix: Start, start_submission: Start
) -> None:
    receiver = free_port()
    postfix = company(start_postfix, start_submission, receiver, **STRICT)

    async def run() -> None:
        async with open_journey(place, receiver={"port": receiver}) as journey:
            await connect(journey, place, postfix.port, postfix.room.path / "cert.pem")
            for number in range(2):
                sent = await journey.queue(compose(), f"ana{number}@client.test")
                assert (await journey.settled(sent.message_id, "relayed"))["attempts"] == 1
            assert (await kept(journey)).server.return_path == "tenant"
            assert postfix.log().count("not owned by user") == 1
            found = await trial(journey, 15)
            assert found["arrival"].state == "ok"
            assert found["reports"].state == "warning"
            assert f"go to {ADDRESS}: forward what comes there to acme@{INBOX}" in found["reports"].words
            assert (await kept(journey)).server.reports == "elsewhere"
            assert len(postfix.wait_for_mail(ADDRESS)) == 1, "the report lies in the tenant's own mailbox"

    asyncio.run(run())


def test_a_wrong_password_at_a_postfix_is_an_alarm_and_the_trial_says_so(
    place: Place, start_postfix: Start, start_submission: Start
) -> None:
    postfix = company(start_postfix, start_submission, 9)

    async def run() -> None:
        async with open_journey(place) as journey:
            await connect(journey, place, postfix.port, postfix.room.path / "cert.pem", password="wrong")
            sent = await journey.queue(compose(), "ana@client.test")
            row = await journey.tried(sent.message_id)
            assert (row["state"], row["code"], row["reason"]) == ("queued", 535, "auth_failed")
            assert (await kept(journey)).state == "failed"
            found = await trial(journey, 1)
            assert list(found) == ["login"] and found["login"].state == "wrong" and "535" in found["login"].words

    asyncio.run(run())


def test_an_exim_takes_us_and_sends_its_reports_to_us(place: Place, start_exim: Start) -> None:
    receiver = free_port()
    exim: Exim = start_exim(user=ADDRESS, password=PASSWORD, routes={RETURNS: receiver, INBOX: receiver})

    async def run() -> None:
        async with open_journey(place, receiver={"port": receiver}) as journey:
            await connect(journey, place, exim.port, exim.cert)
            sent = await journey.queue(compose(), "ana@client.test")
            row = await journey.settled(sent.message_id, "relayed")
            assert "OK id=" in row["text"]
            found = await trial(journey, 40)
            assert {step.state for step in found.values()} == {"ok"}, (found, exim.log())
            assert (await kept(journey)).server.reports == "gateway"

    asyncio.run(run())


def test_an_exim_that_takes_its_own_senders_only_teaches_the_return_path(place: Place, start_exim: Start) -> None:
    exim: Exim = start_exim(user=ADDRESS, password=PASSWORD, strict=True)

    async def run() -> None:
        async with open_journey(place) as journey:
            await connect(journey, place, exim.port, exim.cert)
            sent = await journey.queue(compose(), "ana@client.test")
            assert (await journey.settled(sent.message_id, "relayed"))["attempts"] == 1
            assert (await kept(journey)).server.return_path == "tenant"

    asyncio.run(run())


@pytest.mark.parametrize("mechanism", ["oauthbearer", "xoauth2"])
def test_a_dovecot_takes_our_token_and_a_refused_one_is_renewed(
    place: Place, start_submission: Start, endpoint: TokenEndpoint, mechanism: str
) -> None:
    introspect = endpoint.url.replace("/token", "/introspect")

    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            dovecot: Submission = start_submission(
                relay=journey.world.port, introspect=introspect, mechanisms=f"plain {mechanism}"
            )
            endpoint.tokens, endpoint.valid = 1, {"good-1"}
            secret = Secret(access_token="good-1", refresh_token="refresh-1", expires_at=to_ms(clock()) + 3_600_000)
            await connect(journey, place, dovecot.port, dovecot.cert, auth="oauth", provider="custom", client_id="app",
                          grant="authorization_code", token_url=endpoint.url, secret=secret)  # fmt: skip
            first = await journey.queue(compose(), "ana@client.test")
            await journey.settled(first.message_id, "relayed")
            assert not endpoint.asked, "a token that holds is not renewed"
            assert read((await journey.arrival("ana@client.test")).raw)["From"].endswith(f"<{ADDRESS}>")
            endpoint.valid = set()  # revoked at the provider, long before its time
            await asyncio.sleep(5.5)  # the open connection ends
            second = await journey.queue(compose(), "ion@client.test")
            row = await journey.tried(second.message_id)
            assert (row["state"], row["reason"]) == ("queued", "auth_failed"), row
            clock.move(minutes=20)
            await journey.settled(second.message_id, "relayed")
            [asked] = endpoint.asked
            assert asked["grant_type"] == "refresh_token"
            seal = read_key_file(place.folder / "gateway.key")
            kept_secret = await journey.house.database.read(open_secret, seal, journey.tenant_id)
            assert (kept_secret.access_token, kept_secret.refresh_token) == ("good-2", "refresh-1")
            assert "good-" not in dovecot.log()

    asyncio.run(run())
