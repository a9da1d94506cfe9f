"""Clerks answer customers: to whom, threaded, held ten seconds, taken back into a draft; canned answers."""

import asyncio

import pytest
from journeys.house import INBOX, Journey, Place, open_journey
from journeys.letters import compose, read

from gateway.inbox import canning
from gateway.inbox.listing import list_page
from gateway.inbox.reading import read_thread
from gateway.inbox.replying import Reply, reply, take_back
from gateway.mail.reply import Refused
from gateway.outbound.attachments import Attachment
from gateway.store.drafts import get_draft

BY = "maria@acme.test"


async def letter(journey: Journey, *, author: str = "Ana <ana@client.test>", **fields: str) -> str:
    """The thread of a person's mail."""
    raw = compose("Întrebare: factura", "Când trebuie achitată?\n", author=author, to=f"acme@{INBOX}",
                  headers=list(fields.items()))  # fmt: skip
    return (await journey.come(raw, f"acme@{INBOX}", return_path="ana@client.test")).word("thread")


def wanted(journey: Journey, thread: str, **more: object) -> Reply:
    made = {"tenant_id": journey.tenant_id, "thread_id": thread, "by": BY, "text": "Până luni.\n\nMaria"}
    return Reply(**{**made, **more})  # type: ignore[arg-type]


async def refused(journey: Journey, made: Reply) -> int:
    with pytest.raises(Refused) as caught:
        await reply(journey.house.door, journey.clock(), made)
    return caught.value.reply.code


def test_an_answer_waits_ten_seconds_and_arrives_threaded(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            headers = {"Cc": f"Ion <ion@client.test>, noreply@client.test, acme@{INBOX}"}
            thread = await letter(journey, **headers)
            file = Attachment("extras.txt", "text/plain", b"1200")
            made = wanted(journey, thread, everyone=True, files=(file,), then="waiting")
            sent = await reply(journey.house.door, journey.clock(), made)
            scheduled = (await journey.house.database.read(list_page, journey.tenant_id, view="scheduled")).scheduled
            assert [(one.message_id, one.recipients) for one in scheduled] == [(sent.message_id, 2)]
            assert (await journey.delivery(sent.message_id))["attempts"] == 0
            assert not await journey.events(thread, "message.held"), "ten seconds to take it back are no news"
            journey.clock.move(seconds=11)
            arrived = read((await journey.arrival("ana@client.test")).raw)
            await journey.arrival("ion@client.test")
            [came] = await journey.came(thread)
            assert arrived["In-Reply-To"] == f"<{came.rfc_message_id}>" and f"thread.{thread}@" in arrived["References"]
            assert arrived["Subject"] == "Re: Întrebare: factura" and arrived["Auto-Submitted"] is None
            assert arrived["To"] == "Ana <ana@client.test>" and arrived["Cc"] == "Ion <ion@client.test>"
            body = arrived.get_body(("plain",)).get_content()
            assert body.startswith("Până luni.") and "> Când trebuie achitată?" in body and "a scris:" in body
            assert [one.get_filename() for one in arrived.iter_attachments()] == ["extras.txt"]
            assert arrived["DKIM-Signature"]
            kept = await journey.thread(thread)
            assert (kept.state, kept.lane) == ("waiting", "waiting")
            to = str(arrived["Reply-To"].addresses[0].addr_spec)
            answer = await journey.come(compose("Re: x", "Mulțumesc\n", author="ana@client.test", to=to), to)
            assert answer.word("thread") == thread and (await journey.thread(thread)).state == "open"

    asyncio.run(run())


def test_an_answer_that_is_taken_back_is_a_draft_and_the_thread_as_it_was(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            thread, database, now = await letter(journey), journey.house.database, journey.clock
            file = Attachment("extras.txt", "text/plain", b"1200")
            made = wanted(journey, thread, files=(file,), then="closed", user_id="maria")
            sent = await reply(journey.house.door, now(), made)
            assert (await journey.thread(thread)).state == "closed"
            back = (journey.tenant_id, sent.message_id, BY)
            await database.write(take_back, now(), *back, user_id="maria", undo=sent.undo)
            assert (await journey.thread(thread)).state == "open"
            assert (await journey.delivery(sent.message_id))["state"] == "cancelled"
            draft = await database.read(get_draft, journey.tenant_id, thread, "maria")
            assert draft is not None and draft["text"].startswith("Până luni.") and draft["to"] == ["ana@client.test"]
            with pytest.raises(Refused):
                await database.write(take_back, now(), *back)
            again = wanted(
                journey, thread, files_of=tuple((one[0], one[1]) for one in draft["files_of"]), user_id="maria"
            )
            await reply(journey.house.door, now(), again)
            assert await database.read(get_draft, journey.tenant_id, thread, "maria") is None
            now.move(seconds=11)
            arrived = read((await journey.arrival("ana@client.test")).raw)
            assert [one.get_content() for one in arrived.iter_attachments()] == ["1200"]

    asyncio.run(run())


def test_an_answer_to_a_thread_that_changed_or_to_nobody_is_refused(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            thread = await letter(journey)
            found = await journey.house.database.read(read_thread, journey.tenant_id, thread)
            assert found is not None
            first = found.messages[0].message.rfc_message_id
            raw = compose("Re: x", "Am achitat.\n", author="ana@client.test", headers=[("In-Reply-To", f"<{first}>")])
            await journey.come(raw, f"acme@{INBOX}", return_path="ana@client.test")
            assert await refused(journey, wanted(journey, thread, seen=found.seen)) == 409
            await reply(journey.house.door, journey.clock(), wanted(journey, thread, seen=found.seen, anyway=True))
            machine = await letter(journey, author="Shop <no-reply@shop.test>")
            assert await refused(journey, wanted(journey, machine)) == 554
            assert await refused(journey, wanted(journey, machine, text=" ")) == 501
            assert await refused(journey, wanted(journey, thread, tenant_id=journey.other_id)) == 404
            assert await refused(journey, wanted(journey, thread, to=("nobody",))) == 501
            other = await letter(journey, author="x@y.test", **{"Reply-To": "Contabil <cont@y.test>"})
            await reply(journey.house.door, journey.clock(), wanted(journey, other))
            await reply(
                journey.house.door, journey.clock(), wanted(journey, other, forward=True, to=("boss@acme.test",))
            )
            journey.clock.move(seconds=11)
            assert read((await journey.arrival("cont@y.test")).raw)["To"] == "Contabil <cont@y.test>"
            assert read((await journey.arrival("boss@acme.test")).raw)["Subject"].startswith("Fwd: ")

    asyncio.run(run())


def test_canned_answers_are_filled_in_the_customers_language(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            write, now, tenant = journey.house.database.write, journey.clock, journey.tenant_id
            thread = await letter(journey)
            body = "Bună ziua, {customer}! Cu stimă, {company}. {due_date}"
            made = await write(canning.add_canned, now(), tenant, BY, lang="ro", name="Salut", body=body)
            await write(
                canning.change_canned, now(), tenant, BY, made, lang="en", name="Hello", body="Hello {customer}"
            )
            filled = await write(canning.fill_canned, tenant, made, thread)
            assert filled.startswith("Bună ziua, Ana!") and filled.endswith("{due_date}") and "{company}" not in filled
            with pytest.raises(Refused):
                await write(canning.add_canned, now(), tenant, BY, lang="ro", name="x", body="{password}")
            with pytest.raises(Refused):
                await write(canning.fill_canned, journey.other_id, made, thread)
            await write(canning.remove_canned, tenant, made)
            assert await write(canning.list_canned, tenant) == []

    asyncio.run(run())
