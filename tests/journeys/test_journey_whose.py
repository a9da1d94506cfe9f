"""Whose is it, when the strongest evidence is lost: each mail in its thread with its confidence, or with a person."""

import asyncio

import pytest
from journeys.house import INBOX, RETURNS, SHARED, Clock, Journey, Place, open_journey
from journeys.letters import compose, read, report
from journeys.test_journey_replies import reply_address
from journeys.test_journey_triggers import document, mail

from gateway.inbox.deciding import add_author
from gateway.mail.verp import return_path
from gateway.outbound.handed import Receipt
from gateway.outbound.suppression import list_suppressed
from gateway.store.schema import OPERATOR

ANA, ION = "ana@client.test", "ion@client.test"


async def relay(journey: Journey, subject: str, address: str = ANA) -> Receipt:
    sent = await journey.queue(compose(subject, to=address), address)
    await journey.settled(sent.message_id, "relayed")
    return sent


async def come(journey: Journey, raw: bytes, to: str = f"acme@{INBOX}") -> None:
    answer = await journey.come(raw, to)
    assert answer.code == 250, answer


async def placed(journey: Journey, thread_id: str) -> tuple[str, str]:
    """(evidence, confidence) of the last mail that came to a thread."""
    detail = (await journey.came(thread_id))[-1].detail
    return detail["placed_by"], detail["confidence"]


@pytest.mark.parametrize("field", ["Cc", "Delivered-To"])
def test_a_threads_address_in_a_field_places_a_mail_that_came_to_the_inbox(place: Place, field: str) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await relay(journey, "Factura F-1")
            thread_address = await reply_address(journey, ANA)
            raw = compose("Întrebare", author=ION, to=f"acme@{INBOX}", headers=[(field, thread_address)])
            await come(journey, raw)
            assert await placed(journey, sent.thread_id) == ("thread address", "certain")
            forged = thread_address.replace("@", "a@")[1:]
            await come(journey, compose("Alta", author=ION, to=f"acme@{INBOX}", headers=[(field, forged)]))
            assert len(await journey.came(sent.thread_id)) == 1, "a forged token was believed"
            # another tenant's thread is no place for mail of this one
            raw = compose("A treia", author=ION, to=f"beta@{INBOX}", headers=[(field, thread_address)])
            await come(journey, raw, f"beta@{INBOX}")
            assert len(await journey.came(sent.thread_id)) == 1

    asyncio.run(run())


def test_a_letter_that_names_a_document_finds_its_thread_only_when_its_author_had_mail_about_it(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await relay(journey, "Factura F-17")
            await relay(journey, "Factura F-18")
            await come(journey, compose("Plata facturii nr. F-17", author=ANA, to=f"acme@{INBOX}"))
            assert await placed(journey, sent.thread_id) == ("number", "likely")
            assert (await journey.thread(sent.thread_id)).chip == "reply"
            await come(journey, compose("Plata facturii nr. F-17", author="x@stranger.test", to=f"acme@{INBOX}"))
            assert len(await journey.came(sent.thread_id)) == 1
            before = {thread.id for thread in await journey.threads()}
            await come(journey, compose("Bună ziua", author=ANA, to=f"acme@{INBOX}"))
            [begun] = [thread for thread in await journey.threads() if thread.id not in before]
            [kept] = await journey.came(begun.id)
            assert kept.detail["placed_by"] == ""
            assert [subject for _, subject in kept.detail["perhaps"]] == ["Factura F-18", "Factura F-17"]

    asyncio.run(run())


def test_an_out_of_office_answer_without_references_goes_to_the_mail_of_just_before(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            sent = await relay(journey, "Factura F-2")
            away = [("Auto-Submitted", "auto-replied")]
            await come(journey, compose("Out of office", author=ANA, to=f"acme@{INBOX}", headers=away))
            assert await placed(journey, sent.thread_id) == ("recipient", "possible")
            assert (await journey.thread(sent.thread_id)).state == "closed"
            clock.move(days=4)
            await come(journey, compose("Out of office again", author=ANA, to=f"acme@{INBOX}", headers=away))
            assert len(await journey.came(sent.thread_id)) == 1

    asyncio.run(run())


def bounce(message_id: str = "", subject: str = "", recipient: str = ANA) -> bytes:
    """A report that lost our token, with what is left of the header of our mail."""
    left = f"Message-ID: <{message_id}>\n" if message_id else f"Subject: {subject}\n" if subject else "Date: today\n"
    return report((recipient, "failed", "5.1.1"), to=f"acme@{INBOX}", headers=left)


def test_a_report_that_brought_back_only_a_subject_finds_the_one_mail_that_fits(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            first, second = await relay(journey, "Factura F-3"), await relay(journey, "Factura F-4")
            await come(journey, bounce(subject="Factura F-4"))
            assert await placed(journey, second.thread_id) == ("number", "likely")
            assert (await journey.delivery(second.message_id))["state"] == "failed"
            assert (await journey.delivery(first.message_id))["state"] == "relayed"
            # the address is not suppressed: anybody could have written this
            assert (await journey.submit(compose(to=ANA), ANA)).code == 250

    asyncio.run(run())


def test_a_report_about_a_mail_that_is_not_ours_changes_nothing(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await relay(journey, "Factura F-5")
            await come(journey, bounce("private-letter-0001@acme.test"))
            assert (await journey.delivery(sent.message_id))["state"] == "relayed"
            assert [t.chip for t in await journey.threads() if t.state == "open"] == ["unclear"]

    asyncio.run(run())


def test_the_name_that_a_server_gave_a_mail_finds_it(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await relay(journey, "Factura F-6")
            said = (await journey.delivery(sent.message_id))["text"]  # "2.0.0 Taken as W000001 by …"
            assert "Taken as" in said
            name = said.partition("by ")[2].strip()
            assert len(name) >= 12
            await come(journey, bounce(f"{name}@email.amazonses.test"))
            assert await placed(journey, sent.thread_id) == ("server's id", "likely")
            assert (await journey.delivery(sent.message_id))["state"] == "failed"

    asyncio.run(run())


def test_what_fits_two_threads_fits_none(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = [await relay(journey, f"Factura F-{number}") for number in (7, 8)]
            await come(journey, bounce())
            assert {(await journey.delivery(one.message_id))["state"] for one in sent} == {"relayed"}
            assert [t.chip for t in await journey.threads() if t.state == "open"] == ["unclear"]

    asyncio.run(run())


def test_an_answer_to_the_shared_address_goes_to_the_tenant_whose_mail_it_answers(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await relay(journey, "Factura F-9")
            arrived = read((await journey.arrival(ANA)).raw)
            author = str(arrived["From"].addresses[0].addr_spec)
            assert author == SHARED
            fields = [("In-Reply-To", arrived["Message-ID"])]
            await come(journey, compose("Re: Factura F-9", author=ANA, to=SHARED, headers=fields), SHARED)
            assert await placed(journey, sent.thread_id) == ("answers", "strong")
            await come(journey, compose("Bună ziua", author=ANA, to=SHARED), SHARED)
            assert [t.subject for t in await journey.threads(OPERATOR)] == ["Bună ziua"]

    asyncio.run(run())


def test_automatic_mail_opens_a_thread_five_times_a_day_and_then_no_more(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            sent = await relay(journey, "Factura F-10")
            to = await reply_address(journey, ANA)

            async def complain(number: int) -> None:
                await come(journey, bounce(f"not-ours-at-all-{number}@acme.test"), to)

            for number in range(7):
                await complain(number)
            assert {one.kind for one in await journey.came(sent.thread_id)} == {"bounce"}
            thread = await journey.thread(sent.thread_id)
            assert (thread.chip, thread.unread) == ("quarantined", 5)
            assert len(await journey.events(sent.thread_id, "thread.quarantined")) == 1
            await come(journey, compose("Re: Factura F-10", "Am plătit.\n", author=ANA, to=to), to)
            assert (await journey.thread(sent.thread_id)).chip == "reply", "a person is heard all the same"
            clock.move(days=1, minutes=1)
            await complain(8)
            assert (await journey.thread(sent.thread_id)).chip == "unclear"

    asyncio.run(run())


def test_an_unknown_author_becomes_a_contact_of_the_customer_and_is_known_from_then_on(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(mail(document(), X_AR_Template="new_invoice"), "send@inbox.gateway.test")
            await journey.settled(sent.message_id, "relayed")
            [address] = {row["recipient"] for row in await journey.deliveries(sent.message_id)}
            to = await reply_address(journey, address)
            for known in (False, True):
                await come(journey, compose("Re: factura", author="Ion <ion@new.test>", to=to), to)
                kept = (await journey.came(sent.thread_id))[-1]
                assert kept.detail["from_unknown"] is not known
                if not known:
                    added = await journey.write(
                        add_author, journey.clock(), journey.tenant_id, kept.id, "maria@acme.test"
                    )
                    assert added[0] == "ion@new.test"
            [event] = await journey.events(sent.thread_id, "contact.added")
            assert event.data == {"by": "maria@acme.test", "contact": "ion@new.test"}

    asyncio.run(run())


def told(message_id: str) -> str:
    """What a mail server tells a person in plain words, with the header of the mail below."""
    return f"""This is the mail system at host mx.client.test.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

<{ANA}>: host mx.client.test[192.0.2.7] said: 550 5.1.1 <{ANA}>:
    Recipient address rejected: User unknown in virtual mailbox table

------ This is a copy of the headers of your message. ------

Message-ID: <{message_id}>
From: noreply-invoice@gateway.test
To: {ANA}
Subject: Factura F-20
"""


MARIA, FORWARDED = "maria@acme.test", "Fwd: Undelivered Mail Returned to Sender"
HEAD = """---------- Forwarded message ---------
From: Mail Delivery System <mailer-daemon@mx.client.test>
Subject: Undelivered Mail Returned to Sender

"""


def passed_on(text: str, quote: str) -> str:
    """The same below a person's words."""
    marked = "\n".join(f"> {line}" for line in (HEAD + text).splitlines()[1:]) + "\n"
    return "Vezi mai jos.\n\n" + (marked if quote == "marked" else HEAD + text)


@pytest.mark.parametrize("quote", ["forwarded message", "marked"])
def test_a_report_that_a_person_passes_on_in_the_text_counts_for_its_mail(place: Place, quote: str) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await relay(journey, "Factura F-20")
            raw = compose(FORWARDED, passed_on(told(f"{sent.message_id}@gateway.test"), quote), author=MARIA)
            await come(journey, raw)
            assert (await journey.delivery(sent.message_id))["state"] == "failed"
            assert (await journey.thread(sent.thread_id)).chip == "mailbox_unknown"
            assert await placed(journey, sent.thread_id) == ("message-id", "strong")
            assert (await journey.submit(compose(to=ANA), ANA)).text.count("suppressed") == 0

    asyncio.run(run())


def test_a_report_two_weeks_late_still_finds_its_delivery(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            sent = await relay(journey, "Factura F-21")
            clock.move(days=14)
            back = return_path((await journey.delivery(sent.message_id))["token"], RETURNS)
            await come(journey, report((ANA, "failed", "5.4.7"), to=back), back)
            assert (await journey.delivery(sent.message_id))["state"] == "failed"
            assert (await journey.thread(sent.thread_id)).state == "open"
            assert await placed(journey, sent.thread_id) == ("return path", "certain")

    asyncio.run(run())


def test_a_report_to_the_return_path_suppresses_although_another_way_brought_the_news_first(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await relay(journey, "Factura F-22")
            back = return_path((await journey.delivery(sent.message_id))["token"], RETURNS)
            message_id = f"{sent.message_id}@gateway.test"
            await come(journey, report((ANA, "failed", "5.1.1"), to=f"acme@{INBOX}", message_id=message_id))
            assert (await journey.delivery(sent.message_id))["state"] == "failed"
            assert await journey.house.database.read(list_suppressed, journey.tenant_id) == []
            await come(journey, report((ANA, "failed", "5.1.1"), to=back), back)
            [found] = await journey.house.database.read(list_suppressed, journey.tenant_id)
            assert (found.address, found.reason) == (ANA, "mailbox_unknown")

    asyncio.run(run())
