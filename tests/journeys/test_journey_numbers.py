"""Level 0: a mail's number finds its document and its thread, and never those of another customer or tenant."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from journeys.house import Clock, Journey, Place, open_journey
from journeys.letters import compose
from journeys.test_journey_triggers import EVENT, document

from gateway.demo.samples import document_mail
from gateway.store.documents import find_documents, get_document
from gateway.store.template_settings import change_setting
from gateway.store.tenants import set_tenant

ANA, BOB = "ana@client.test", "bob@other.test"


def walk(place: Place, story: Callable[[Journey, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            await story(journey, clock)

    asyncio.run(run())


def data(number: str, id: str = "inv_8812", to: str = ANA, **headers: str) -> bytes:
    made = document(number=number, id=id, payer=None)
    made["customer"]["contacts"] = [{"name": "Ana", "email": to}]
    made.pop("payer", None)
    return document_mail(json.loads(json.dumps(made)), now=datetime.now(UTC), headers=headers)


def test_a_number_in_the_subject_makes_the_document_and_its_thread(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        sent = await journey.queue(compose("Factura nr. ABC 0001", to=ANA), ANA)
        thread = await journey.thread(sent.thread_id)
        assert (thread.key, thread.document_type, thread.document_number) == ("invoice/ABC_0001", "invoice", "ABC 0001")
        stored = await journey.house.database.read(get_document, journey.tenant_id, "invoice", "ABC_0001")
        assert stored and stored.number == "ABC 0001" and stored.sent_at and stored.thread_id == sent.thread_id
        again = await journey.queue(compose("Re: Memento: factura ABC 0001", to=ANA), ANA)
        assert again.thread_id == sent.thread_id
        await journey.settled(again.message_id, "relayed")
        assert len(await journey.answers("ABC 0001")) == 2
        view = await journey.view(sent.thread_id)
        assert view.document and view.document.number == "ABC 0001"

    walk(place, story)


def test_a_file_name_will_do_and_a_mail_without_a_number_has_no_document(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        plain = await journey.queue(compose("Bună ziua", to=ANA), ANA)
        thread = await journey.thread(plain.thread_id)
        assert (thread.document_type, thread.key) == ("", plain.thread_id)
        raw = compose("Documente", to=ANA).replace(b"MIME-Version: 1.0\r\n", b"", 1)
        head, _, _ = raw.partition(b"\r\n\r\n")
        kept = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-"))
        parts = b"--=b\r\nContent-Type: text/plain\r\n\r\nx\r\n--=b\r\nContent-Type: application/pdf\r\n"
        parts += b"Content-Disposition: attachment; filename*=UTF-8''%D0%A1%D1%87%D0%B5%D1%82%20%E2%84%9642.pdf\r\n\r\n"
        raw = (
            kept
            + b'\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=b"\r\n\r\n'
            + parts
            + b"x\r\n--=b--\r\n"
        )
        sent = await journey.queue(raw, ANA)
        assert (await journey.thread(sent.thread_id)).key == "invoice/42"

    walk(place, story)


def test_one_number_of_two_customers_or_two_tenants_is_two_documents(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        ana = await journey.queue(compose("Invoice 1", to=ANA), ANA)
        bob = await journey.queue(compose("Invoice 1", to=BOB), BOB)
        assert ana.thread_id != bob.thread_id
        beta = await journey.submit(compose("Invoice 1", to=ANA, author="facturare@beta.test"), ANA, tenant="beta")
        assert beta.word("thread") not in (ana.thread_id, bob.thread_id)
        assert (await journey.thread(bob.thread_id)).key == f"invoice/1~{bob.thread_id}"
        for address, first in ((ANA, ana), (BOB, bob)):
            again = await journey.queue(compose("Reminder: invoice 1", to=address), address)
            assert again.thread_id == first.thread_id
        assert len(await journey.house.database.read(find_documents, journey.tenant_id, "1")) == 2
        assert len(await journey.house.database.read(find_documents, journey.other_id, "1")) == 1

    walk(place, story)


def test_a_copy_to_the_tenants_own_address_makes_no_two_customers_one(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        copy = "contabilitate@acme.test"
        ana = await journey.queue(compose("Invoice 5", to=f"{ANA}, {copy}"), ANA, copy)
        bob = await journey.queue(compose("Invoice 5", to=f"{BOB}, {copy}"), BOB, copy)
        hidden = await journey.queue(compose("Invoice 5", to=BOB), BOB, copy)
        assert ana.thread_id != bob.thread_id == hidden.thread_id

    walk(place, story)


def test_the_number_of_last_year_is_another_document(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        old = await journey.queue(compose("Factura 1", to=ANA), ANA)
        clock.move(days=181)
        new = await journey.queue(compose("Factura 1", to=ANA), ANA)
        assert new.thread_id != old.thread_id

    walk(place, story)


def test_a_document_that_comes_as_data_later_takes_over_the_thread_of_its_number(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await journey.house.database.write(change_setting, journey.tenant_id, "new_invoice", "", {"automatic": True})
        sent = await journey.queue(compose("Factura F-77", to=ANA), ANA)
        answer = await journey.submit(data("F-77", **EVENT), ANA)
        assert answer.text.endswith("Stored only: the document was sent already"), answer
        thread = await journey.thread(sent.thread_id)
        assert (thread.key, thread.document_number) == ("invoice/inv_8812", "F-77")
        [stored] = await journey.house.database.read(find_documents, journey.tenant_id, "F-77")
        assert (stored.id, stored.thread_id) == ("inv_8812", sent.thread_id) and stored.total
        later = await journey.queue(compose("Memento: factura F-77", to=ANA), ANA)
        assert later.thread_id == sent.thread_id
        assert {one.message.document_id for one in (await journey.view(sent.thread_id)).messages} == {"inv_8812"}
        other = await journey.submit(
            data("F-77", id="inv_9", to=BOB, **{"X-AR-Template": "none"}), "send@inbox.gateway.test"
        )
        assert other.code == 250, other
        other_document = await journey.house.database.read(get_document, journey.tenant_id, "invoice", "inv_9")
        assert other_document and other_document.thread_id != sent.thread_id

    walk(place, story)


def test_a_mail_with_the_number_of_a_document_known_as_data_joins_it_and_cancels_its_held_mail(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await journey.house.database.write(change_setting, journey.tenant_id, "new_invoice", "", {"automatic": True})
        held = await journey.submit(data("F-78", **EVENT), ANA)
        assert "Held until" in held.text, held
        stored = await journey.house.database.read(get_document, journey.tenant_id, "invoice", "inv_8812")
        assert stored is not None
        sent = await journey.queue(compose("Factura F-78", to=ANA), ANA)
        assert sent.thread_id == stored.thread_id
        await journey.settled(stored.automatic_id, "cancelled")
        stranger = await journey.queue(compose("Factura F-78", to=BOB), BOB)
        assert stranger.thread_id != sent.thread_id

    walk(place, story)


def test_an_id_that_comes_later_with_x_ar_document_takes_over_too(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        first = await journey.queue(compose("Factura F-9", to=ANA), ANA)
        named = [("X-AR-Document", "invoice/inv_9"), ("X-AR-Number", "F-9"), ("X-AR-Due", "2026-12-08"),
                 ("X-AR-Amount", "12.50 MDL")]  # fmt: skip
        second = await journey.queue(compose("Alt subiect", to=ANA, headers=named), ANA)
        assert second.thread_id == first.thread_id
        assert (await journey.thread(first.thread_id)).key == "invoice/inv_9"
        third = await journey.queue(compose("Memento F-9: factura F-9", to=ANA), ANA)
        assert third.thread_id == first.thread_id
        view = await journey.view(first.thread_id)
        assert view.document and (view.document.total, view.document.currency) == ("12.50", "MDL")
        assert view.document.due_date == "2026-12-08"

    walk(place, story)


def test_a_tenants_own_patterns_hold_from_its_next_mail_on(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await journey.house.database.write(
            set_tenant, journey.tenant_id, options={"number_patterns": ["CP-####-####", "credit_note: CN-#*"]}
        )
        sent = await journey.queue(compose("Plată CP-2026-0042", to=ANA), ANA)
        assert (await journey.thread(sent.thread_id)).key == "invoice/CP-2026-0042"
        credit = await journey.queue(compose("CN-7", to=ANA), ANA)
        assert (await journey.thread(credit.thread_id)).key == "credit_note/CN-7"
        none = await journey.queue(compose("Factura 42", to=ANA), ANA)
        assert (await journey.thread(none.thread_id)).document_type == ""

    walk(place, story)


def test_two_mails_with_a_new_number_at_once_share_one_thread(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        mails = [compose(f"Factura 500 ({n})", to=ANA) for n in range(6)]
        answers = await asyncio.gather(*(journey.submit(raw, ANA) for raw in mails))
        assert {answer.code for answer in answers} == {250}, answers
        assert len({answer.word("thread") for answer in answers}) == 1

    walk(place, story)
