"""The main job against real servers: Postfix as the customer's server, Dovecot behind it, OpenDKIM as its judge.

An invoice goes out by SMTP and is opened in the mailbox; Postfix's own reports come back to our receiver, by SMTP, and
are threaded; what it says of our TLS and signatures is asserted. The reports are Postfix's, not ours.
"""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pypdf
import pytest
from journeys.house import INBOX, RETURNS, Journey, Place, fill_place, make_config, open_journey
from journeys.letters import compose, in_thread, read
from postroom.dovecot import Dovecot
from postroom.opendkim import OpenDkim
from postroom.ports import free_port
from postroom.postfix import Postfix
from postroom.postgres import Postgres

from gateway.demo.samples import document_mail, sample_documents
from gateway.outbound.suppression import get_suppressed
from gateway.store.database import Database
from gateway.store.domains import list_keys
from gateway.store.messages import get_content
from gateway.store.schema import OPERATOR

pytestmark = pytest.mark.integration
ANA = "ana@customer.test"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A filled database for this test alone."""
    url = ""
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create_database()
    made = Place(tmp_path / "data", url)
    fill_place(made)
    return made


@contextlib.asynccontextmanager
async def gateway_before(postfix: Postfix, place: Place, receiver: int, **changes: Any) -> AsyncIterator[Journey]:
    """A gateway whose mail goes to the Postfix, and whose receiver listens where Postfix sends its reports."""
    hosts = {"*": [("mx.customer.test", "127.0.0.1", postfix.port)]}
    async with open_journey(place, hosts=hosts, receiver={"port": receiver}, **changes) as journey:
        yield journey


def reports_to(receiver: int) -> dict[str, int]:
    return {RETURNS: receiver, INBOX: receiver}


def invoice() -> tuple[dict[str, Any], bytes]:
    made = json.loads(json.dumps(dict(sample_documents(datetime.now(UTC).date())[0].document)))
    return made, document_mail(made, now=datetime.now(UTC))


def test_an_invoice_arrives_in_the_mailbox_over_tls_and_its_pdf_opens(
    place: Place, start_postfix: Callable[..., Postfix], dovecot: Dovecot
) -> None:
    dovecot.add_user(ANA)
    before = len(dovecot.fetch(ANA))
    postfix = start_postfix(users=[ANA], lmtp_port=dovecot.lmtp_port)

    async def run() -> None:
        async with gateway_before(postfix, place, free_port()) as journey:
            made, raw = invoice()
            sent = await journey.queue(raw, ANA)
            row = await journey.settled(sent.message_id, "relayed")
            assert row["code"] == 250 and "queued as" in row["text"]  # Postfix's own words
            [attempt] = (await journey.view(sent.thread_id)).messages[0].deliveries[0].attempts
            assert attempt.tls.startswith("TLSv1.") and attempt.host == "mx.customer.test [127.0.0.1]"
            mails = await in_thread(dovecot.wait_for_mail, ANA, before + 1)
            arrived = read(mails[-1])
            assert arrived["Return-Path"] == f"<b+{row['token']}@{RETURNS}>"
            attached = next(part for part in arrived.iter_attachments() if part.get_content_type() == "application/pdf")
            shown = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(attached.get_content())).pages)
            assert made["number"] in shown and "1.200,00" in shown
            # below what the customer's servers put on top, it is byte for byte what we stored
            kept = await journey.house.database.read(get_content, journey.tenant_id, sent.message_id)
            assert kept and mails[-1].endswith(kept)

    asyncio.run(run())


def test_postfixs_own_report_of_an_unknown_user_comes_back_into_the_thread(
    place: Place, start_postfix: Callable[..., Postfix]
) -> None:
    receiver = free_port()
    postfix = start_postfix(users=[ANA], unknown="accept_then_bounce", routes=reports_to(receiver))

    async def run() -> None:
        async with gateway_before(postfix, place, receiver) as journey:
            gone = "nobody@customer.test"
            sent = await journey.queue(compose(to=f"{ANA}, {gone}"), ANA, gone)
            row = await journey.settled(sent.message_id, "failed", 2)
            assert (row["reason"], row["status"]) == ("mailbox_unknown", "5.1.1")
            assert (await journey.settled(sent.message_id, "relayed"))["recipient"] == ANA
            [kept] = await journey.came(sent.thread_id)
            assert kept.kind == "bounce" and kept.author.endswith("<MAILER-DAEMON@mx.customer.test>")
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip) == ("open", "mailbox_unknown")
            assert await journey.house.database.read(get_suppressed, 0, journey.tenant_id, gone)
            assert not await journey.house.database.read(get_suppressed, 0, journey.tenant_id, ANA)
            said = (await journey.answers(gone))[0]
            assert "bounced at" in said and "mx.customer.test" in said

    asyncio.run(run())


def test_postfix_that_refuses_or_defers_at_rcpt_is_quoted(place: Place, start_postfix: Callable[..., Postfix]) -> None:
    postfix = start_postfix(
        users=[ANA],
        reject={"gone@customer.test": "550 5.1.1 mailbox is gone since May"},
        defer={"busy@customer.test": "450 4.2.0 come back later"},
    )

    async def run() -> None:
        async with gateway_before(postfix, place, free_port()) as journey:
            people = ("nobody@customer.test", "gone@customer.test", "busy@customer.test", "x@elsewhere.test")
            sent = await journey.queue(compose(), *people)
            unknown = await journey.settled(sent.message_id, "failed", 1)
            assert unknown["reason"] == "mailbox_unknown" and "User unknown" in unknown["text"]
            gone = await journey.settled(sent.message_id, "failed", 2)
            assert gone["reason"] == "mailbox_unknown" and "mailbox is gone since May" in gone["text"]
            busy = await journey.tried(sent.message_id, 1, 3)
            assert (busy["state"], busy["code"]) == ("queued", 450) and "come back later" in busy["text"]
            relay = await journey.settled(sent.message_id, "failed", 4)
            assert "Relay access denied" in relay["text"] and relay["reason"] != "mailbox_unknown"
            for address, expected in zip(people, (True, True, False, False), strict=True):
                found = await journey.house.database.read(get_suppressed, 0, journey.tenant_id, address)
                assert bool(found) is expected, address

    asyncio.run(run())


def test_a_success_report_that_the_billing_system_asked_for_makes_it_delivered(
    place: Place, start_postfix: Callable[..., Postfix]
) -> None:
    receiver = free_port()
    postfix = start_postfix(users=[ANA], routes=reports_to(receiver))

    async def run() -> None:
        async with gateway_before(postfix, place, receiver) as journey:
            sent = await journey.queue(compose(to=ANA), ANA, rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
            await journey.settled(sent.message_id, "delivered")
            [kept] = await journey.came(sent.thread_id)
            assert kept.kind == "success"
            assert (await journey.thread(sent.thread_id)).state == "closed"
            assert "in the mailbox, reported at" in (await journey.answers(ANA))[0]
            quiet = await journey.queue(compose(to=ANA), ANA)
            await journey.settled(quiet.message_id, "relayed")
            await in_thread(postfix.wait_for_mail, ANA, 2)
            assert (await journey.delivery(quiet.message_id))["state"] == "relayed"

    asyncio.run(run())


def test_postfixs_report_of_a_delay_and_then_of_giving_up_are_both_in_the_thread(
    place: Place, start_postfix: Callable[..., Postfix]
) -> None:
    receiver = free_port()
    postfix = start_postfix(
        users=[ANA],
        lmtp_port=free_port(),  # nobody is there
        routes=reports_to(receiver),
        extra={"delay_warning_time": "1s", "maximal_queue_lifetime": "6s", "bounce_queue_lifetime": "6s"},
    )

    async def run() -> None:
        async with gateway_before(postfix, place, receiver) as journey:
            sent = await journey.queue(compose(to=ANA), ANA)
            await journey.settled(sent.message_id, "failed")
            kinds = [one.kind for one in await journey.came(sent.thread_id, 2)]
            assert kinds == ["delay", "bounce"]
            assert len(await journey.events(sent.thread_id, "recipient.deferred")) == 1
            assert not await journey.house.database.read(get_suppressed, 0, journey.tenant_id, ANA)

    asyncio.run(run())


def test_opendkim_at_the_customers_door_says_pass(
    place: Place, start_postfix: Callable[..., Postfix], start_opendkim: Callable[..., OpenDkim]
) -> None:
    database = Database(make_config(place).database_url)
    keys = database.read_now(list_keys, OPERATOR, "gateway.test")
    database.close()
    opendkim = start_opendkim(
        public_keys={f"{key.selector}._domainkey.{key.domain}": key.public_record for key in keys}
    )
    postfix = start_postfix(users=[ANA], milters=[opendkim.port])

    async def run() -> None:
        async with gateway_before(postfix, place, free_port()) as journey:
            await journey.queue(compose("Factură №1", to=f"Ana Țurcanu <{ANA}>"), ANA)
            await journey.queue(invoice()[1], ANA)
            for mail in await in_thread(postfix.wait_for_mail, ANA, 2, 40):
                verdict = read(mail)["Authentication-Results"]
                assert verdict.startswith("mx.customer.test;") and verdict.count("dkim=pass") == 2, verdict
                assert "dkim=fail" not in verdict and "rsa-sha256" in verdict and "ed25519-sha256" in verdict

    asyncio.run(run())
