"""At the door: who may come in and as whom, what is refused in words with nothing stored, and faults of ours."""

import asyncio
import json
import smtplib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from journeys.house import INBOX, PASSWORD, RETURNS, SHARED, Place, end_connections, open_journey, rename_table
from journeys.letters import AUTHOR, compose, in_thread, read

from gateway.demo.samples import document_mail, sample_documents
from gateway.serve.doorsteps import Ports
from gateway.store.domains import list_keys
from gateway.store.tenants import add_credential, add_identity, remove_identity, revoke_credential, set_tenant


def document(**changes: Any) -> bytes:
    found = json.loads(json.dumps(dict(sample_documents(datetime.now(UTC).date())[0].document)))
    for name, value in changes.items():
        at = found
        *path, last = name.split("__")
        for step in path:
            at = at[step]
        at[last] = value
    return document_mail(found, now=datetime.now(UTC))


def with_head(line: str) -> bytes:
    return line.encode() + b"\r\n" + compose()


def refusals() -> Iterator[tuple[bytes, int, tuple[str, ...]]]:
    """A submission, the code it is answered with, and words of the answer."""
    yield document(totals__total="1.200,00"), 554, ("totals.total", "1200.00")
    yield document(due_date="24.11.2026"), 554, ("due_date", "2026-11-24")
    yield document(currency="LEI"), 554, ("currency", "MDL")
    yield document(status="draft"), 554, ("draft",)
    yield document(type="reminder"), 554, ("type",)
    yield document(custommer="x"), 554, ("custommer", "customer")
    yield document(number=""), 554, ("number",)
    yield document().replace(b"ewog", b"e3sg"), 554, ("JSON",)
    yield with_head("X-AR-Documnet: invoice/1"), 554, ("X-AR-Documnet", "X-AR-Document")
    yield with_head("X-AR-Document: 42"), 554, ("type/id",)
    yield with_head("X-AR-Language: de"), 554, ("ro, ru, en",)
    yield with_head("X-AR-Send-At: tomorrow"), 554, ("X-AR-Send-At", "2026-12-08T09:00:00+02:00")
    yield with_head("From: second@acme.test"), 554, ("From",)
    yield with_head("Subject: second"), 554, ("Subject",)
    yield compose().replace(b"From: ", b"From: b@acme.test, "), 554, ("several authors",)
    yield compose() + b"x" * 999 + b"\r\n", 554, ("999", "quoted-printable")
    yield b"no header at all\r\n\r\nx\r\n", 554, ("colon",)


def test_what_is_refused_is_refused_in_words_and_leaves_nothing_behind(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            before = await journey.counts()
            for number, (raw, code, words) in enumerate(refusals()):
                answer = await journey.submit(raw, "accept@client.test")
                assert answer.code == code, (number, answer)
                assert answer.text.startswith("5.6.0 "), (number, answer)
                for word in words:
                    assert word in answer.text, (number, word, answer)
            own_domain = (f"b+aaaaaaaaaaaaaaaa@{RETURNS}", f"acme@{INBOX}", f"x@{RETURNS}")
            for recipient in own_domain:
                answer = await journey.submit(compose(), recipient)
                assert (answer.stage, answer.code) == ("rcpt", 550), answer
            assert await journey.counts() == before
            assert not journey.world.received

    asyncio.run(run())


@pytest.mark.parametrize("where", ["customer__name", "notes", "id", "number"])
def test_a_document_with_characters_that_no_database_keeps_is_answered_for_good(place: Place, where: str) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            for odd in ("a\x00b", "a\ud800b"):
                raw = document(**{where: "placeholder"})
                found = json.loads(read(raw).get_payload(decode=True))  # type: ignore[arg-type]
                at = found["customer"] if where.startswith("customer") else found
                at[where.rpartition("__")[2]] = odd
                mail = read(compose())
                mail.set_content(json.dumps(found).encode(), "application", "json", cte="base64")
                answer = await journey.submit(mail.as_bytes(), "accept@client.test")
                assert answer.code in (250, 554), (odd, answer)

    asyncio.run(run())


def test_a_composed_mail_with_odd_characters_in_its_header_is_sent(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            raw = (
                f"From: {AUTHOR}\r\nTo: =?utf-8?q?A=00=ED=A0=80?= <accept@client.test>\r\n"
                "Subject: =?utf-8?q?a=00b=ED=A0=80?=\r\nX-AR-Customer-Name: =?utf-8?q?=00?=\r\n"
                "Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA2EEA\r\n"
            ).encode()
            sent = await journey.queue(raw, "accept@client.test")
            await journey.settled(sent.message_id, "relayed")
            assert await journey.answers("accept@client.test")

    asyncio.run(run())


def test_a_wrong_password_is_refused_and_a_revoked_credential_soon_after(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            for login in (("acme-billing", "wrong"), ("nobody", PASSWORD), ("acme-billing", "")):
                answer = await journey.submit(compose(), "accept@client.test", login=login)
                assert (answer.stage, answer.code) == ("auth", 535), answer
            assert (await journey.submit(compose(), "accept@client.test", login=None)).code == 530
            await journey.queue(compose(), "accept@client.test")
            assert await journey.write(revoke_credential, journey.clock(), journey.tenant_id, "acme-billing")

            async def refused() -> bool:
                answer = await journey.submit(compose(), "accept@client.test")
                return (answer.stage, answer.code) == ("auth", 535)

            assert await journey.until(refused, 15)
            assert (await journey.submit(compose(), "accept@client.test", tenant="beta")).code == 250

    asyncio.run(run())


def test_a_network_is_a_credential_without_auth(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await journey.write(
                add_credential, journey.clock(), journey.other_id, username="beta-lan", networks=("127.0.0.0/8",)
            )

            async def accepted() -> Any:
                answer = await journey.submit(compose(), "accept@client.test", login=None)
                return answer if answer.code == 250 else None

            answer = await journey.until(accepted, 15)
            assert await journey.thread(answer.word("thread"), journey.other_id)
            # who logs in is who the login says
            sent = await journey.queue(compose(), "accept@client.test")
            assert await journey.thread(sent.thread_id)

    asyncio.run(run())


def test_a_tenant_that_sends_as_itself_may_use_its_identities_only_and_signs_with_its_domain(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            write, tenant_id = journey.write, journey.tenant_id
            await journey.domain("acme.test", ("rsa", "ed25519"))
            waiting = await journey.queue(compose(to="full@client.test"), "full@client.test")
            await write(add_identity, journey.clock(), tenant_id, "facturare@acme.test")
            await write(set_tenant, tenant_id, sending="own")
            sent = await journey.queue(compose(to="ana@client.test"), "ana@client.test")
            arrived = read((await journey.arrival("ana@client.test")).raw)
            assert arrived["From"] == f"Acme Servicii SRL <{AUTHOR}>"
            keys = await journey.house.database.read(list_keys, tenant_id, "acme.test")
            signatures = " ".join(arrived.get_all("DKIM-Signature", [])).replace(" ", "")
            assert all(f"d=acme.test;s={key.selector};" in signatures for key in keys) and len(keys) == 2
            for stranger in ("ceo@acme.test", "x@gmail.test", SHARED):
                answer = await journey.submit(compose(author=stranger), "ana@client.test")
                assert answer.code == 550 and answer.text.startswith("5.7.1 "), answer
                assert stranger in answer.text and f"(allowed: {AUTHOR})" in answer.text
            # case does not matter, and a document comes from the first identity
            assert (await journey.submit(compose(author="FACTURARE@Acme.TEST"), "ana@client.test")).code == 250
            await journey.queue(document(), "ion@client.test")
            assert AUTHOR in read((await journey.arrival("ion@client.test")).raw)["From"]
            # back to the shared address: it holds for the next message; what was queued stays as it is
            await write(remove_identity, tenant_id, AUTHOR)
            assert (await journey.submit(compose(), "ana@client.test")).code == 550
            await write(set_tenant, tenant_id, sending="shared")
            await journey.queue(compose(to="dan@client.test"), "dan@client.test")
            assert SHARED in read((await journey.arrival("dan@client.test")).raw)["From"]
            row = await journey.delivery(waiting.message_id)
            assert row["state"] == "queued" and sent.message_id != waiting.message_id

    asyncio.run(run())


def test_a_suspended_tenant_is_refused_until_it_is_let_in_again(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await journey.queue(compose(), "accept@client.test")
            await journey.write(set_tenant, journey.tenant_id, suspended_at=journey.clock())
            answer = await journey.submit(compose(), "accept@client.test")
            assert answer.code == 550 and "suspended" in answer.text
            assert (await journey.submit(compose(), "accept@client.test", tenant="beta")).code == 250
            await journey.write(set_tenant, journey.tenant_id, suspended_at=None)
            await journey.queue(compose(), "accept@client.test")

    asyncio.run(run())


@pytest.mark.parametrize("table", ["message", "delivery", "event"])
def test_a_fault_of_ours_is_451_without_its_text_and_the_service_goes_on(place: Place, table: str) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            first = await journey.queue(compose(), "accept@client.test")
            await journey.settled(first.message_id, "relayed")
            before = await journey.counts()
            await in_thread(rename_table, place, table, "taken_away")
            try:
                for raw in (compose(), document()):
                    answer = await journey.submit(raw, "ana@client.test")
                    assert answer.code == 451 and answer.text.startswith("4.3.0 "), answer
                    assert "sql" not in answer.text.lower() and table not in answer.text.replace("nothing was", "")
                answer = await journey.come(compose(to=f"acme@{INBOX}"), f"acme@{INBOX}", return_path="a@b.test")
                assert answer.code == 451 and answer.text.startswith("4.3.0 "), answer
            finally:
                await in_thread(rename_table, place, "taken_away", table)
            assert await journey.counts() == before
            sent = await journey.queue(compose(to="ana@client.test"), "ana@client.test")
            await journey.settled(sent.message_id, "relayed")
            answer = await journey.come(compose(to=f"acme@{INBOX}"), f"acme@{INBOX}", return_path="a@b.test")
            assert answer.code == 250

    asyncio.run(run())


def test_an_outcome_that_cannot_be_written_is_written_later_and_nothing_is_sent_twice(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, pace=1.0) as journey:
            sent = await journey.queue(compose(to="slow@client.test"), "slow@client.test")
            await asyncio.sleep(0.5)  # the world thinks for three seconds
            await in_thread(rename_table, place, "attempt", "taken_away")
            try:
                await journey.arrival("slow@client.test")
                await asyncio.sleep(1)
            finally:
                await in_thread(rename_table, place, "taken_away", "attempt")
            await journey.settled(sent.message_id, "relayed")
            assert len(journey.arrivals("slow@client.test")) == 1
            again = await journey.queue(compose(to="accept@client.test"), "accept@client.test")
            await journey.settled(again.message_id, "relayed")

    asyncio.run(run())


def test_a_database_that_ended_our_connections_costs_a_try_and_no_mail(place: Place) -> None:
    if not place.database:
        return  # SQLite has no connections that another may end

    async def run() -> None:
        async with open_journey(place) as journey:
            for number in range(3):
                await journey.queue(compose(to=f"a{number}@client.test"), f"a{number}@client.test")
                await in_thread(end_connections, place)

                async def accepted(number: int = number) -> bool:
                    answer = await journey.submit(compose(), f"b{number}@client.test")
                    assert answer.code in (250, 451), answer
                    return answer.code == 250

                assert await journey.until(accepted)
            for name in ("a0", "a1", "a2", "b0", "b1", "b2"):
                await journey.arrival(f"{name}@client.test")
            assert len(journey.world.received) == 6

    asyncio.run(run())


def test_billing_systems_log_in_within_tls(place: Place) -> None:
    def deliver(ports: Ports, implicit: bool) -> int:
        context = ssl.create_default_context(cafile=str(place.folder / "tls.crt"))
        context.check_hostname = False  # the certificate names the gateway, not 127.0.0.1
        port = ports.submission_tls if implicit else ports.submission
        kind: Any = smtplib.SMTP_SSL if implicit else smtplib.SMTP
        options = {"context": context} if implicit else {}
        with kind("127.0.0.1", port, local_hostname="erp.acme.test", timeout=20, **options) as client:
            if not implicit:
                client.starttls(context=context)
            client.login("acme-billing", PASSWORD)
            client.mail(AUTHOR)
            client.rcpt("accept@client.test")
            return int(client.data(compose())[0])

    async def run() -> None:
        async with open_journey(place) as journey:
            for implicit in (False, True):
                assert await in_thread(deliver, journey.house.ports, implicit) == 250
            await journey.arrival("accept@client.test", 1)

    asyncio.run(run())
