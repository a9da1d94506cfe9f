"""A tenant whose invoices are Factur-X: the mailed PDF carries the XML; what cannot is refused at the door."""

import asyncio
import json
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from journeys.house import Journey, Place, open_journey
from journeys.letters import compose, read
from unit.facturx_validator import complaints

from gateway.demo.samples import document_mail
from gateway.outbound.document_pdf import find_pdf
from gateway.outbound.einvoice import explain_einvoice
from gateway.store.documents import latest_pdf
from gateway.store.tenants import get_tenant, set_tenant
from tests.unit.einvoice_oracle import xml_of

SAMPLES = Path(__file__).parents[1] / "corpus" / "documents"


def document(name: str = "invoice_ro", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return made | changes


def incomplete() -> dict[str, Any]:
    """An invoice that is right as a document, and does not say when it is due."""
    made = document(payment={"methods": []})
    del made["due_date"]
    return made


def mail(journey: Journey, made: dict[str, Any]) -> bytes:
    return document_mail(made, now=journey.clock(), personal="")


async def ask_for_facturx(journey: Journey) -> None:
    await journey.write(set_tenant, journey.tenant_id, options={"einvoice": "factur-x"})


def pdf_in(raw: bytes) -> bytes:
    parts = read(raw).iter_attachments()
    found: bytes = next(part for part in parts if part.get_content_type() == "application/pdf").get_content()
    return found


def test_the_mailed_pdf_carries_the_invoice_and_is_the_one_that_is_downloaded(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await ask_for_facturx(journey)
            made = document()
            await journey.queue(mail(journey, made), "ana@client.test")
            pdf = pdf_in((await journey.arrival("ana@client.test")).raw)
            assert complaints(xml_of(pdf)) == []
            reading = explain_einvoice(pdf)
            assert reading.document and reading.document.number == made["number"]
            kept = await journey.house.database.read(latest_pdf, journey.tenant_id, "invoice", made["id"])
            assert kept and kept[1] == pdf
            tenant = await journey.house.database.read(get_tenant, journey.tenant_id)
            for facturx in (False, True):  # what was mailed is what a command writes
                found = await journey.house.database.read(find_pdf, tenant, "invoice", made["id"], facturx=facturx)
                assert found.data == pdf

    asyncio.run(run())


def test_an_invoice_that_cannot_become_one_is_refused_and_leaves_nothing(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await ask_for_facturx(journey)
            before = await journey.counts()
            made = incomplete()
            del made["customer"]["address"]
            answer = await journey.submit(mail(journey, made), "ana@client.test")
            assert (answer.code, answer.text.partition(" ")[0]) == (554, "5.6.0"), answer
            assert "customer.address.country is missing" in answer.text and "due_date is missing" in answer.text
            assert await journey.counts() == before

    asyncio.run(run())


def test_the_same_invoice_goes_without_a_pdf_or_without_the_option(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            made = incomplete()
            await journey.queue(mail(journey, made), "ana@client.test")
            assert explain_einvoice(pdf_in((await journey.arrival("ana@client.test")).raw)).document is None
            await ask_for_facturx(journey)
            bare = b"X-AR-Attach-PDF: no\r\n" + mail(journey, made | {"id": "other", "number": "CP-OTHER"})
            await journey.queue(bare, "ion@client.test")
            arrived = read((await journey.arrival("ion@client.test")).raw)
            assert [part.get_content_type() for part in arrived.iter_attachments()] == []

    asyncio.run(run())


def test_an_invoice_that_was_taken_before_is_held_when_it_cannot_become_one(place: Place) -> None:
    """Turned on between acceptance and the time that it is due: held visibly, neither dropped nor sent bare."""

    async def run() -> None:
        async with open_journey(place) as journey:
            made = incomplete()
            later = b"X-AR-Delay: 1h\r\n" + mail(journey, made)
            answer = await journey.submit(later, "ana@client.test")
            assert "Held until" in answer.text
            await ask_for_facturx(journey)
            journey.clock.move(hours=2)
            [thread] = await journey.threads()
            [opened] = await journey.event(thread.id, "thread.opened")
            assert "render_failed" in str(opened.data) and "due_date is missing" in str(opened.data)
            assert journey.arrivals("ana@client.test") == []

    asyncio.run(run())


@pytest.mark.parametrize("suffix", ["pdf", "xml"])
def test_an_e_invoice_travels_untouched_and_gets_no_second_one(place: Place, suffix: str) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            made = document()
            await ask_for_facturx(journey)
            await journey.queue(mail(journey, made), "ana@client.test")
            own = pdf_in((await journey.arrival("ana@client.test")).raw)
            data = own if suffix == "pdf" else xml_of(own)
            await journey.queue(handed(data, suffix), "ion@client.test")
            arrived = read((await journey.arrival("ion@client.test")).raw)
            files = {part.get_content_type(): part.get_payload(decode=True) for part in arrived.iter_attachments()}
            assert data in files.values()
            drawn = files["application/pdf"]
            assert isinstance(drawn, bytes)
            assert drawn == own if suffix == "pdf" else explain_einvoice(drawn).document is None

    asyncio.run(run())


def handed(data: bytes, suffix: str) -> bytes:
    """A mail that hands over an e-invoice."""
    made = read(compose(to="ion@client.test"))
    made.add_attachment(data, "application", suffix, filename=f"factura.{suffix}")
    return made.as_bytes(policy=SMTP)
