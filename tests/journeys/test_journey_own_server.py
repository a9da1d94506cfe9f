"""A tenant's own SMTP server: every mail goes through it as its author; what it refuses waits; no silent fallback."""

import asyncio

from journeys.house import Clock, Place, open_journey
from journeys.letters import compose, read
from journeys.own_server import ADDRESS, PASSWORD, connect_tenant, own_server
from postroom.ports import free_port

from gateway.demo.samples import document_mail, sample_documents
from gateway.inbox.timeline import timeline
from gateway.mail.reply import Reply
from gateway.store.routes import get_server
from gateway.store.tenants import set_tenant


def test_every_mail_goes_through_the_tenants_server_as_its_author(place: Place) -> None:
    async def run() -> None:
        async with own_server(place.folder) as server, open_journey(place) as journey:
            before = await journey.queue(compose(), "ana@client.test")
            await connect_tenant(journey, place.folder, server.port)
            sent = await journey.queue(compose(), "ana@client.test")
            row = await journey.settled(sent.message_id, "relayed")
            [taken] = server.taken
            assert taken.user == ADDRESS and taken.recipients == ("ana@client.test",)
            assert taken.return_path == f"b+{row['token']}@return.gateway.test"
            mail = read(taken.raw)
            assert mail["From"] == f"Acme Servicii SRL <{ADDRESS}>" and "@inbox.gateway.test" in mail["Reply-To"]
            [shown] = [m for m in (await journey.view(sent.thread_id)).messages if m.message.id == sent.message_id]
            [attempt] = shown.deliveries[0].attempts
            assert attempt.tls.startswith("TLSv1.")
            await journey.settled(before.message_id, "relayed")
            assert len(journey.arrivals("ana@client.test")) == 1, "what was accepted before went by the gateway"
            found = await journey.house.database.read(get_server, journey.tenant_id)
            assert found is not None and found.state == "ok"

    asyncio.run(run())


def test_a_rendered_document_goes_through_it_too_and_other_tenants_do_not(place: Place) -> None:
    async def run() -> None:
        async with own_server(place.folder) as server, open_journey(place) as journey:
            await connect_tenant(journey, place.folder, server.port)
            made = dict(sample_documents(journey.clock().date())[0].document)
            sent = await journey.queue(document_mail(made, now=journey.clock()), "ana@client.test")
            other = await journey.queue(compose(), "ion@client.test", tenant="beta")
            await journey.settled(sent.message_id, "relayed")
            await journey.settled(other.message_id, "relayed")
            [taken] = server.taken
            assert taken.recipients == ("ana@client.test",)
            assert read(taken.raw)["From"].endswith(f"<{ADDRESS}>")
            assert journey.arrivals("ion@client.test") and not journey.arrivals("ana@client.test")

    asyncio.run(run())


def test_switching_back_holds_for_the_next_message_and_what_waits_stays_as_it_is(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with own_server(place.folder) as server, open_journey(place, clock=clock) as journey:
            server.password = "changed by somebody"
            await connect_tenant(journey, place.folder, server.port)
            waits = await journey.queue(compose(), "ana@client.test")
            await journey.tried(waits.message_id)
            await journey.write(set_tenant, journey.tenant_id, sending="shared")
            shared = await journey.queue(compose(), "ion@client.test")
            await journey.settled(shared.message_id, "relayed")
            arrived = await journey.arrival("ion@client.test")
            assert "noreply-invoice@gateway.test" in str(read(arrived.raw)["From"])
            server.password = PASSWORD
            clock.move(minutes=20)
            await journey.settled(waits.message_id, "relayed")
            [taken] = server.taken
            assert read(taken.raw)["From"].endswith(f"<{ADDRESS}>")

    asyncio.run(run())


def test_a_refused_login_is_passing_for_the_mail_and_an_alarm_for_the_tenant_once(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with own_server(place.folder, password="another") as server, open_journey(place, clock=clock) as journey:
            await connect_tenant(journey, place.folder, server.port)
            first = await journey.queue(compose(), "ana@client.test")
            row = await journey.tried(first.message_id)
            assert (row["state"], row["code"], row["reason"]) == ("queued", 535, "auth_failed")
            second = await journey.queue(compose(), "ion@client.test")
            row = await journey.given_back(second.message_id)
            assert (row["attempts"], row["code"]) == (0, 535), "it waits for the same, and nobody knocked again"
            [alarm] = [one for one in await journey.threads() if one.key == "smtp_account"]
            assert (alarm.state, alarm.chip) == ("open", "smtp_account")
            [event] = await journey.events(alarm.id, "smtp_account.failed")
            assert "535" in event.data["words"]
            assert not journey.arrivals("ana@client.test"), "nothing falls back in silence"
            logins = server.logins
            server.password = PASSWORD
            clock.move(minutes=20)
            await journey.settled(first.message_id, "relayed")
            await journey.settled(second.message_id, "relayed")
            assert server.logins <= logins + 3
            [_] = await journey.event(alarm.id, "smtp_account.recovered")
            assert (await journey.thread(alarm.id)).state == "closed"
            assert len(await journey.events(alarm.id, "smtp_account.failed")) == 1

    asyncio.run(run())


def test_a_new_password_holds_at_once_though_the_old_one_made_the_server_rest(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with own_server(place.folder) as server, open_journey(place, clock=clock) as journey:
            await connect_tenant(journey, place.folder, server.port, password="wrong")
            first = await journey.queue(compose(), "ana@client.test")
            await journey.tried(first.message_id)
            await connect_tenant(journey, place.folder, server.port)
            routes = journey.house.delivery._router.tenants
            assert routes is not None
            routes.forget(journey.tenant_id)  # what five seconds do
            second = await journey.queue(compose(), "ion@client.test")
            await journey.settled(second.message_id, "relayed")

    asyncio.run(run())


def test_a_server_that_takes_its_own_address_only_is_learned_once(place: Place) -> None:
    async def run() -> None:
        for stage in ("mail", "rcpt", "data"):
            async with own_server(place.folder, strict=stage) as server, open_journey(place) as journey:
                await connect_tenant(journey, place.folder, server.port)
                first = await journey.queue(compose(), "ana@client.test")
                row = await journey.settled(first.message_id, "relayed")
                assert row["attempts"] == 1, "it was asked again at once"
                second = await journey.queue(compose(), "ion@client.test")
                await journey.settled(second.message_id, "relayed")
                assert [taken.return_path for taken in server.taken] == [ADDRESS, ADDRESS]
                assert len(server.asked) == 3, "and never with ours again"
                found = await journey.house.database.read(get_server, journey.tenant_id)
                assert found is not None and found.server.return_path == "tenant" and found.state == "ok"

    asyncio.run(run())


def test_a_refusal_of_the_recipient_is_the_recipients_alone(place: Place) -> None:
    async def run() -> None:
        refusal = Reply(550, "5.1.1", "no such user here")
        async with own_server(place.folder, refusal=refusal) as server, open_journey(place) as journey:
            await connect_tenant(journey, place.folder, server.port)
            sent = await journey.queue(compose(), "ana@client.test")
            row = await journey.settled(sent.message_id, "failed")
            assert row["reason"] == "mailbox_unknown"
            found = await journey.house.database.read(get_server, journey.tenant_id)
            assert found is not None and found.state == "ok"

    asyncio.run(run())


def test_a_server_that_will_not_relay_for_us_keeps_the_mail_waiting(place: Place) -> None:
    async def run() -> None:
        refusal = Reply(554, "5.7.1", "Relay access denied")
        async with own_server(place.folder, refusal=refusal) as server, open_journey(place) as journey:
            await connect_tenant(journey, place.folder, server.port)
            sent = await journey.queue(compose(), "ana@client.test")
            row = await journey.tried(sent.message_id)
            assert (row["state"], row["reason"]) == ("queued", "relay_failed")
            found = await journey.house.database.read(get_server, journey.tenant_id)
            assert found is not None and found.state == "failed" and "Relay access denied" in found.words

    asyncio.run(run())


def test_a_certificate_that_does_not_prove_the_server_stops_the_password(place: Place) -> None:
    async def run() -> None:
        async with own_server(place.folder) as server, open_journey(place) as journey:
            await connect_tenant(journey, place.folder, server.port, trusted="")
            sent = await journey.queue(compose(), "ana@client.test")
            row = await journey.tried(sent.message_id)
            assert (row["state"], row["status"]) == ("queued", "4.7.5") and server.logins == 0

    asyncio.run(run())


def test_the_fallback_gives_waiting_mail_the_shared_address_and_says_so(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await connect_tenant(journey, place.folder, free_port(), fallback="always")
            sent = await journey.queue(compose(), "ana@client.test", "ion@client.test")
            await journey.settled(sent.message_id, "relayed")
            await journey.settled(sent.message_id, "relayed", 2)
            mail = read((await journey.arrival("ana@client.test")).raw)
            assert mail["From"] == "Acme Servicii SRL <noreply-invoice@gateway.test>"
            assert mail["Reply-To"].startswith("Acme Servicii SRL <acme+")
            assert mail["Message-ID"] == f"<{sent.message_id}@gateway.test>"
            signatures = mail.get_all("DKIM-Signature") or []
            assert len(signatures) == 2 and all("d=gateway.test" in one for one in signatures)
            [event] = await journey.events(sent.thread_id, "message.rerouted")
            assert ADDRESS in event.data["before"] and "noreply-invoice" in event.data["author"]
            assert any("shared address" in line.text for line in timeline(await journey.view(sent.thread_id)))

    asyncio.run(run())


def test_after_half_an_hour_means_after_half_an_hour(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with own_server(place.folder, password="another") as server, open_journey(place, clock=clock) as journey:
            await connect_tenant(journey, place.folder, server.port, fallback="30m")
            sent = await journey.queue(compose(), "ana@client.test")
            await journey.tried(sent.message_id)
            clock.move(minutes=25)
            await journey.tried(sent.message_id, 2)
            assert not await journey.events(sent.thread_id, "message.rerouted")
            clock.move(minutes=10)
            await journey.settled(sent.message_id, "relayed")
            assert journey.arrivals("ana@client.test") and not server.taken
            assert await journey.events(sent.thread_id, "message.rerouted")

    asyncio.run(run())
