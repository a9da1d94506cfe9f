"""X-AR-Button, View-URL and Pay-URL: in a composed mail, and in a mail that the gateway renders of a document."""

import asyncio
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

import dkim
from journeys.house import Journey, Place, open_journey
from journeys.letters import AUTHOR, read, words
from journeys.test_journey_triggers import document

from gateway.demo.samples import document_mail, plain_pdf
from gateway.store.documents import get_document
from gateway.store.domains import list_keys
from gateway.store.schema import OPERATOR
from gateway.store.tenants import set_tenant

ANA = "ana@client.test"
PDF = plain_pdf(["Factura 42"])
LINK = "https://pay.test/42?a=1&b=2"


def composed(**headers: str) -> bytes:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = AUTHOR, ANA, "Счёт № 42"
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Здравствуйте!\n", charset="windows-1251", cte="8bit")
    mail.add_alternative("<html><body><p>Здравствуйте!</p></body></html>", subtype="html", charset="koi8-r", cte="8bit")
    mail.add_attachment(PDF, "application", "pdf", filename="schet.pdf")
    return mail.as_bytes()


async def is_signed(journey: Journey, raw: bytes) -> bool:
    keys = await journey.house.database.read(list_keys, OPERATOR, "gateway.test")
    records = {f"{key.selector}._domainkey.{key.domain}.".encode(): key.public_record.encode() for key in keys}
    return bool(dkim.DKIM(raw).verify(dnsfunc=lambda name, timeout=5: records.get(name)))


def test_a_composed_mail_gets_its_button_and_its_pdf_stays_as_it_was(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await journey.write(set_tenant, journey.tenant_id, brand={"colour": "#aa3300"})
            raw = composed(X_AR_Button="Оплатить", X_AR_Pay_URL=LINK)
            sent = await journey.queue(raw, ANA)
            arrived = await journey.arrival(ANA)
            mail = read(arrived.raw)
            assert words(mail).replace("\r\n", "\n") == f"Здравствуйте!\n\nОплатить: {LINK}\n"
            html = words(mail, "html")
            assert 'href="https://pay.test/42?a=1&amp;b=2"' in html and "#aa3300" in html and "&#1054;" in html
            charsets = [part.get_content_charset() for part in mail.walk() if part.get_content_maintype() == "text"]
            assert charsets == ["windows-1251", "koi8-r"]
            assert raw[raw.index(b"Content-Type: application/pdf") :].strip() in arrived.raw
            [attached] = mail.iter_attachments()
            assert attached.get_content() == PDF
            assert await is_signed(journey, arrived.raw)
            [message] = (await journey.view(sent.thread_id)).messages
            assert f"Оплатить: {LINK}" in message.message.body_text

    asyncio.run(run())


def test_without_a_label_the_mail_is_not_touched(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            raw = composed(X_AR_View_URL=LINK)
            await journey.queue(raw, ANA)
            assert (await journey.arrival(ANA)).raw.partition(b"\r\n\r\n")[2] == raw.partition(b"\r\n\r\n")[2]

    asyncio.run(run())


def test_a_document_is_mailed_with_the_label_and_the_link_that_it_lacks(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            made = document(id="inv_b1")
            made.pop("links", None)
            fields = {"X-AR-Template": "new_invoice", "X-AR-Button": "Vezi factura <aici>"}
            answer = await journey.submit(document_mail(made, now=datetime.now(UTC), headers=fields), ANA)
            assert answer.code == 554 and "links.view to the document or X-AR-View-URL" in answer.text, answer
            linked = fields | {"X-AR-View-URL": LINK, "X-AR-Pay-URL": "https://pay.test/pay"}
            await journey.queue(document_mail(made, now=datetime.now(UTC), headers=linked), ANA)
            mail = read((await journey.arrival(ANA)).raw)
            html = words(mail, "html")
            assert "Vezi factura &lt;aici&gt;" in html and LINK.replace("&", "&amp;") in html
            assert LINK in words(mail)
            stored = await journey.house.database.read(get_document, journey.tenant_id, "invoice", "inv_b1")
            assert stored and LINK.encode() in stored.body and b"https://pay.test/pay" in stored.body

    asyncio.run(run())


def test_a_label_for_a_mail_that_has_no_button_is_refused(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            fields = {"X-AR-Template": "paid_invoice", "X-AR-Button": "Vezi"}
            raw = document_mail(document(status="paid"), now=datetime.now(UTC), headers=fields)
            answer = await journey.submit(raw, ANA)
            assert answer.code == 554 and "template paid_invoice has no button" in answer.text, answer

    asyncio.run(run())


def test_a_documents_own_links_stay(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            made = document(id="inv_b2", links={"view": "https://own.test/v"})
            fields = {"X-AR-Template": "new_invoice", "X-AR-View-URL": LINK}
            await journey.queue(document_mail(made, now=datetime.now(UTC), headers=fields), ANA)
            html = words(read((await journey.arrival(ANA)).raw), "html")
            assert "https://own.test/v" in html and "pay.test" not in html

    asyncio.run(run())
