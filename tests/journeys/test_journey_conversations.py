"""Mail without a document: one thread for a conversation, one for a customer's statements of a period."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from journeys.house import Clock, Journey, Place, open_journey
from journeys.letters import compose
from journeys.test_journey_triggers import document

from gateway.demo.samples import document_mail
from gateway.store.documents import get_document
from gateway.store.threads import get_thread

ANA, BOB = "ana@client.test", "bob@other.test"


def walk(place: Place, story: Callable[[Journey, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            await story(journey, clock)

    asyncio.run(run())


def answering(raw: bytes, *ids: str, own: str = "") -> bytes:
    fields = f"In-Reply-To: <{ids[-1]}>\r\nReferences: {' '.join(f'<{one}>' for one in ids)}\r\n" if ids else ""
    kept = b"".join(line for line in raw.splitlines(keepends=True) if not line.lower().startswith(b"message-id:"))
    return fields.encode() + (f"Message-ID: <{own}>\r\n".encode() if own else b"") + kept


def statement(id: str, start: str = "2026-10-01", end: str = "2026-10-31", **changes: object) -> bytes:
    made = document(id=id, number=id.upper(), type="statement", **changes)
    made |= {"statement": {"from": start, "to": end, "closing_balance": "120.00"}}
    for name in ("payer", "lines", "totals", "tax_summary", "due_date", "payment"):
        made.pop(name, None)
    made["customer"]["contacts"] = [{"name": "Ana", "email": ANA}]
    return document_mail(json.loads(json.dumps(made)), now=datetime.now(UTC))


def test_what_answers_a_mail_without_a_document_is_in_its_conversation(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        first = await journey.queue(answering(compose("Bună ziua", to=ANA), own="m1@erp.test"), ANA)
        other = await journey.queue(answering(compose("Bună ziua", to=ANA), own="m2@erp.test"), ANA)
        assert other.thread_id != first.thread_id  # the same words and people are no conversation
        second = await journey.queue(answering(compose("Re: Bună ziua", to=ANA), "m1@erp.test", own="m3@erp.test"), ANA)
        third = await journey.queue(answering(compose("Re: Re:", to=ANA), "lost@erp.test", "m3@erp.test"), ANA)
        assert second.thread_id == third.thread_id == first.thread_id
        fourth = await journey.queue(answering(compose("Re:", to=ANA), "m1@erp.test", "lost@erp.test"), ANA)
        assert fourth.thread_id == first.thread_id  # the nearest one that is known here
        numbered = await journey.queue(answering(compose("Factura nr. 77", to=ANA), "m1@erp.test"), ANA)
        assert numbered.thread_id != first.thread_id  # its document says where it belongs
        unknown = await journey.queue(answering(compose("Re: x", to=ANA), "nobody@erp.test"), ANA)
        assert unknown.thread_id not in (first.thread_id, other.thread_id)
        await journey.settled(third.message_id, "relayed")

    walk(place, story)


def test_a_conversation_is_never_another_tenants(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        first = await journey.queue(answering(compose("Bună ziua", to=ANA), own="m1@erp.test"), ANA)
        foreign = answering(compose("Re: Bună ziua", to=ANA, author="facturare@beta.test"), "m1@erp.test")
        await journey.submit(foreign, ANA, tenant="beta")
        assert len(await journey.events(first.thread_id, "message.accepted")) == 1

    walk(place, story)


def test_statements_are_one_thread_per_customer_and_period(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        october = await journey.queue(compose("Extras de cont pentru octombrie 2026", to=ANA), ANA)
        again = await journey.queue(compose("Memento: extras de cont 01.10.2026 - 31.10.2026", to=ANA), ANA)
        november = await journey.queue(compose("Extras de cont pentru noiembrie 2026", to=ANA), ANA)
        bob = await journey.queue(compose("Extras de cont pentru octombrie 2026", to=BOB), BOB)
        letter = await journey.queue(compose("Vizita din octombrie 2026", to=ANA), ANA)
        assert again.thread_id == october.thread_id
        assert len({one.thread_id for one in (october, november, bob, letter)}) == 4

    walk(place, story)


def test_a_statement_that_is_issued_anew_stays_in_its_thread(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        first = await journey.queue(statement("st-1"), ANA)
        again = await journey.queue(statement("st-2"), ANA)
        later = await journey.queue(statement("st-3", "2026-11-01", "2026-11-30"), ANA)
        assert again.thread_id == first.thread_id != later.thread_id
        named = await journey.queue(b"X-AR-Document: statement/st-1\r\n" + compose("Extras", to=ANA), ANA)
        assert named.thread_id == first.thread_id  # by its document, whose id was the first
        read = journey.house.database.read
        thread = await read(get_thread, journey.tenant_id, first.thread_id)
        old = await read(get_document, journey.tenant_id, "statement", "st-1")
        assert thread and thread.document_id == "st-2" and old and old.thread_id == first.thread_id
        customer = old.customer_id
        by_mail = b"X-AR-Customer: " + customer.encode() + b"\r\n" + compose("Extras de cont 10.2026", to=BOB)
        assert (await journey.queue(by_mail, BOB)).thread_id == first.thread_id

    walk(place, story)
