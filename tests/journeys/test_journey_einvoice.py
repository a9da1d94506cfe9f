"""An e-invoice handed over by SMTP: read in a worker, rendered as our mail, and the file itself travels untouched."""

import asyncio
import io
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from journeys.house import Place, open_journey
from journeys.letters import read
from pypdf import PdfWriter

from gateway.store.documents import find_documents

EINVOICES = Path(__file__).parents[1] / "corpus" / "einvoices"


def mail(data: bytes, subtype: str = "xml", html: str = "") -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = "facturare@acme.test", "ana@client.test", "Factura"
    made.set_content("Bună ziua, Ana!\n")
    if html:
        made.add_alternative(html, subtype="html")
    made.add_attachment(data, "application", subtype, filename=f"factura.{subtype}")
    return made.as_bytes()


def ubl() -> bytes:
    return next(
        path for path in sorted(EINVOICES.glob("*.xml")) if b"Invoice-2" in path.read_bytes()[:2000]
    ).read_bytes()


def test_a_ubl_invoice_becomes_our_mail_and_travels_with_it(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            data = ubl()
            sent = await journey.queue(mail(data), "ana@client.test")
            assert "template new_invoice" in sent.text
            arrived = read((await journey.arrival("ana@client.test")).raw)
            files = {part.get_filename(): part for part in arrived.iter_attachments()}
            assert files["factura.xml"].get_payload(decode=True) == data
            assert any(name.endswith(".pdf") for name in files)
            assert "Bună ziua, Ana!" in arrived.get_body(("plain",)).get_content()  # type: ignore[union-attr]
            view = await journey.view(sent.thread_id)
            assert view.document and view.document.number

    asyncio.run(run())


def hybrid() -> bytes:
    """A PDF with an invoice inside, as Factur-X and ZUGFeRD have it."""
    writer = PdfWriter()
    writer.add_blank_page(300, 300)
    writer.add_attachment("factur-x.xml", (EINVOICES / "cii_invoice.xml").read_bytes())
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_a_pdf_with_an_invoice_inside_is_the_pdf_of_the_mail_byte_for_byte(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            data = hybrid()
            sent = await journey.queue(mail(data, "pdf"), "ana@client.test")
            assert "template new_invoice" in sent.text
            arrived = read((await journey.arrival("ana@client.test")).raw)
            pdfs = [part for part in arrived.iter_attachments() if part.get_content_type() == "application/pdf"]
            assert [part.get_payload(decode=True) for part in pdfs] == [data]
            assert "R-2026-77" in str(arrived["Subject"])

    asyncio.run(run())


def test_an_invoice_with_a_tax_amount_that_is_wrong_is_refused_with_its_place(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            data = (EINVOICES / "cii_invoice.xml").read_bytes()
            wrong = data.replace(b'currencyID="EUR">38.95', b'currencyID="EUR">36.95')
            assert wrong != data
            answer = await journey.submit(mail(wrong), "ana@client.test")
            assert answer.code == 554, answer
            assert "totals.tax" in answer.text and "TaxTotalAmount" in answer.text

    asyncio.run(run())


def test_a_broken_e_invoice_is_refused_with_the_fields_name_and_leaves_nothing(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            before = await journey.counts()
            broken = ubl().replace(b"PayableAmount currencyID", b"PayableAmount wrong='1' currencyID", 1)
            start = broken.index(b"PayableAmount")
            value = broken.index(b">", start) + 1
            broken = broken[:value] + b"9" + broken[value:]
            answer = await journey.submit(mail(broken), "ana@client.test")
            assert answer.code == 554, answer
            assert "totals." in answer.text
            assert await journey.counts() == before

    asyncio.run(run())


@pytest.mark.parametrize("data", [b"<rss/>", b"<!DOCTYPE x><x/>"], ids=["other", "doctype"])
def test_other_xml_is_an_ordinary_attachment_of_a_composed_mail(place: Place, data: bytes) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(mail(data), "ana@client.test")
            assert "template" not in sent.text
            await journey.arrival("ana@client.test")

    asyncio.run(run())


def test_a_mail_with_a_designed_body_is_sent_as_it_is(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(mail(ubl(), html="<p>Bună ziua!</p>"), "ana@client.test")
            assert "template" not in sent.text
            arrived = read((await journey.arrival("ana@client.test")).raw)
            assert arrived["Subject"] == "Factura"
            assert await journey.house.database.read(find_documents, journey.tenant_id, "x") == []

    asyncio.run(run())
