"""A JSON invoice: rendered in the customer's language, its PDF attached and kept; held when it cannot be rendered."""

import asyncio
import io
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pypdf
import pytest
from journeys.house import Clock, Place, Sent, open_journey
from journeys.letters import read, words
from sqlalchemy import func, select

from gateway.demo.samples import document_mail, sample_documents
from gateway.demo.world import start_world
from gateway.outbound.queue import release
from gateway.store.database import Transaction, to_ms
from gateway.store.documents import get_document, latest_pdf
from gateway.store.schema import pdf

WORDS = {
    "ro": ("Cont de plată CP-", "Bună ziua"),
    "ru": ("Счёт на оплату", "Здравствуйте"),
    "en": ("Invoice CP-", "Hello"),
}


def document(language: str = "ro", **changes: Any) -> dict[str, Any]:
    """The sample invoice in a language."""
    found = dict(sample_documents(datetime.now(UTC).date())[0].document)
    found["language"] = language
    made: dict[str, Any] = json.loads(json.dumps(found | changes))
    return made


def mail(made: dict[str, Any], personal: str = "") -> bytes:
    return document_mail(made, now=datetime.now(UTC), personal=personal)


def count_pdfs(tx: Transaction) -> int:
    return int(tx.first(select(func.count()).select_from(pdf))[0])


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
def test_an_invoice_arrives_in_the_customers_language_with_its_pdf(place: Place, language: str) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            made = document(language)
            sent = await journey.queue(mail(made), "ana@client.test", "ion@client.test")
            assert "template new_invoice" in sent.text
            first, second = await journey.arrival("ana@client.test"), await journey.arrival("ion@client.test")
            assert first.raw == second.raw and first.return_path != second.return_path
            arrived = read(first.raw)
            assert arrived["Content-Language"] == language
            for name in ("Date", "From", "To", "Message-ID", "Reply-To", "MIME-Version", "References"):
                assert len(arrived.get_all(name, [])) == 1, name  # one that a server must add breaks the signature
            assert made["number"] in arrived["Subject"] and "1200" not in arrived["Subject"]
            text, page = (words(arrived, kind) for kind in ("plain", "html"))
            for body in (text, page):
                assert made["number"] in body and "200,00" in body.replace("200.00", "200,00")
                assert made["links"]["view"] in body
            _check_language(language, str(arrived["Subject"]) + text)
            attached = next(part for part in arrived.iter_attachments() if part.get_content_type() == "application/pdf")
            kept = await journey.house.database.read(latest_pdf, journey.tenant_id, "invoice", made["id"])
            assert kept == (attached.get_filename(), attached.get_content())
            shown = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(kept[1])).pages)
            assert made["number"] in shown and "200,00" in shown.replace("200.00", "200,00")
            assert await journey.house.database.read(count_pdfs) == 1
            assert len(await journey.events(sent.thread_id, "message.rendered")) == 1
            await _check_thread(journey, sent, made)

    asyncio.run(run())


def test_the_text_beside_a_document_is_its_personal_message(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await journey.queue(mail(document(), "Un cuvânt personal."), "ana@client.test")
            arrived = read((await journey.arrival("ana@client.test")).raw)
            for kind in ("plain", "html"):
                assert "Un cuvânt personal." in words(arrived, kind)

    asyncio.run(run())


def _check_language(language: str, said: str) -> None:
    for name, expected in WORDS.items():
        assert all((word in said) == (name == language) for word in expected), (name, said)


async def _check_thread(journey: Any, sent: Sent, made: dict[str, Any]) -> None:
    await journey.settled(sent.message_id, "relayed", 2)
    thread = await journey.thread(sent.thread_id)
    assert (thread.state, thread.key, thread.document_number) == ("closed", f"invoice/{made['id']}", made["number"])
    kept = await journey.house.database.read(get_document, journey.tenant_id, "invoice", made["id"])
    assert (kept.total, kept.currency, kept.customer_name) == ("1200.00", "MDL", made["customer"]["name"])
    assert kept.sent_at is not None
    for query in (made["number"], made["id"], f"invoice/{made['id']}"):
        assert (await journey.answers(query))[0].startswith("ana@client.test: accepted by "), query


def test_the_same_invoice_again_joins_its_thread_and_a_new_revision_is_drawn_anew(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            first = await journey.queue(mail(document()), "ana@client.test")
            old = read((await journey.arrival("ana@client.test")).raw)
            again = await journey.queue(mail(document()), "ana@client.test")
            same = read((await journey.arrival("ana@client.test", 1)).raw)
            changed = await journey.queue(mail(document(revision=2, notes="Altă notă")), "ana@client.test")
            new = read((await journey.arrival("ana@client.test", 2)).raw)
            assert first.thread_id == again.thread_id == changed.thread_id
            pdfs = [next(one.iter_attachments()).get_content() for one in (old, same, new)]
            assert pdfs[0] == pdfs[1] != pdfs[2]
            assert old["References"] == new["References"] and old["Message-ID"] != new["Message-ID"]
            assert len(await journey.events(first.thread_id, "document.updated")) == 1

    asyncio.run(run())


def test_that_a_document_was_paid_is_said_once(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            totals = {"total": "1200.00", "paid": "1200.00", "balance": "0.00"}
            sent = await journey.queue(mail(document()), "ana@client.test")
            assert not await journey.events(sent.thread_id, "document.paid")
            for revision, notes in ((2, "O notă"), (3, "Mulțumim")):
                made = document(revision=revision, notes=notes, status="paid", totals=totals)
                raw = document_mail(made, now=datetime.now(UTC))
                answer = await journey.submit(b"X-AR-Event: invoice.paid\r\n" + raw, "ana@client.test")
                assert "Stored only" in answer.text, answer
            assert len(await journey.events(sent.thread_id, "document.updated")) == 2
            assert len(await journey.events(sent.thread_id, "document.paid")) == 1

    asyncio.run(run())


def test_two_quick_mails_about_one_document_each_hold_what_was_handed_over(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            later = document(notes="Prima notă"), document(revision=2, notes="A doua notă")
            sent = [await journey.submit(mail(made), "ana@client.test") for made in later]
            assert [answer.code for answer in sent] == [250, 250]
            first, second = [words(read((await journey.arrival("ana@client.test", at)).raw)) for at in (0, 1)]
            told = {("Prima notă" in text, "A doua notă" in text) for text in (first, second)}
            assert told == {(True, False), (False, True)}

    asyncio.run(run())


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
def test_an_invoice_that_was_paid_before_it_was_sent_goes_as_a_new_one_that_says_so(
    place: Place, language: str
) -> None:
    """The template of paid invoices is off by default: without this, nothing could be sent."""

    async def run() -> None:
        async with open_journey(place) as journey:
            totals = {"total": "1200.00", "paid": "1200.00", "balance": "0.00"}
            sent = await journey.queue(
                mail(document(status="paid", totals=totals, language=language)), "ana@client.test"
            )
            assert "template new_invoice" in sent.text
            text = words(read((await journey.arrival("ana@client.test")).raw))
            assert {"ro": "suma este achitată integral", "ru": "Сумма уже оплачена полностью",
                    "en": "which is paid in full"}[language] in " ".join(text.split())  # fmt: skip

    asyncio.run(run())


def test_the_documents_contacts_decide_when_only_the_send_address_is_named(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            made = document()
            made["customer"]["contacts"][0]["email"] = "contact@client.test"
            await journey.queue(mail(made), "send@inbox.gateway.test")
            arrived = read((await journey.arrival("contact@client.test")).raw)
            assert arrived["To"] == "Ana Rusu <contact@client.test>"
            assert not journey.arrivals("send@inbox.gateway.test")

    asyncio.run(run())


def test_a_document_that_cannot_be_rendered_is_held_and_sent_after_a_release(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, workers={"render_seconds": 0.01}) as journey:
            sent = await journey.queue(mail(document()), "ana@client.test", "ion@client.test")
            await journey.event(sent.thread_id, "message.held", 2)
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip) == ("open", "render_failed")
            for row in await journey.deliveries(sent.message_id):
                assert row["state"] == "queued" and "could not be rendered" in row["hold"]
            assert "on hold" in (await journey.answers(sent.message_id))[0]
            await asyncio.sleep(1.5)  # longer than the queue looks away
            assert not journey.world.received
        async with open_journey(place) as journey:
            now_ms = to_ms(journey.clock())
            assert await journey.write(release, now_ms, journey.tenant_id, (sent.message_id, 0), "maria") == 2
            arrived = read((await journey.arrival("ana@client.test")).raw)
            assert len(list(arrived.iter_attachments())) == 1
            await journey.settled(sent.message_id, "relayed", 2)
            assert len(journey.world.received) == 2

    asyncio.run(run())


def test_a_house_that_ends_while_it_renders_holds_nothing_and_sends_all_in_its_next_life(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gateway.serve.house.DRAIN_SECONDS", 0.3
    )  # an end that does not wait for all that is being rendered

    async def run() -> None:
        clock = Clock()
        world = await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=0)
        try:
            async with open_journey(place, clock=clock, world=world) as journey:
                sent = [
                    await journey.queue(mail(document(id=f"inv_{n}")), f"ana@d{n}.test", f"ion@d{n}.test")
                    for n in range(12)
                ]
            async with open_journey(place, clock=clock, world=world) as journey:
                for one in sent:
                    assert not await journey.events(one.thread_id, "message.held")
                    for number in (1, 2):
                        await journey.settled(one.message_id, "relayed", number)
                    assert (await journey.thread(one.thread_id)).state == "closed"
            assert len(world.received) == len({mail.recipient for mail in world.received}) == 24
        finally:
            await world.stop()

    asyncio.run(run())


def children_of(process: str) -> list[str]:
    return [pid for task in Path(f"/proc/{process}/task").glob("*/children") for pid in task.read_text().split()]


def signal_workers(number: signal.Signals) -> int:
    """A signal to the workers of this process, forked from one that is its child; how many there are."""
    workers = [
        pid
        for parent in children_of("self")
        for pid in children_of(parent)
        if b"worker_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    for pid in workers:
        os.kill(int(pid), number)
    return len(workers)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its worker processes in /proc")
def test_a_worker_that_dies_costs_a_document_one_retry(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await journey.queue(mail(document()), "first@client.test")
            await journey.arrival("first@client.test")  # now the worker is ready
            assert signal_workers(signal.SIGSTOP) == 1
            sent = await journey.queue(mail(document(id="inv_2")), "ana@client.test")
            await asyncio.sleep(0.3)  # it has taken the task up, and does not get on
            assert signal_workers(signal.SIGKILL) == 1  # as a machine does that has no memory left
            row = await journey.tried(sent.message_id)
            assert (row["state"], row["hold"]) == ("queued", "")
            journey.clock.move(minutes=10)
            await journey.settled(sent.message_id, "relayed")
            assert len(journey.arrivals("ana@client.test")) == 1
            assert (await journey.thread(sent.thread_id)).state == "closed"

    asyncio.run(run())


def test_a_document_sent_twice_unchanged_carries_the_same_pdf_drawn_once(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            made = document()
            pdfs = []
            for number in range(2):
                sent = await journey.queue(mail(made), "ana@client.test")
                await journey.settled(sent.message_id, "relayed")
                arrived = read((await journey.arrival("ana@client.test", number)).raw)
                pdfs += [part.get_payload(decode=True) for part in arrived.iter_attachments()]
            assert len(pdfs) == 2 and pdfs[0] == pdfs[1]
            assert await journey.house.database.read(count_pdfs) == 1

    asyncio.run(run())


def sample(name: str, **changes: Any) -> dict[str, Any]:
    folder = Path(__file__).parents[1] / "corpus" / "documents"
    made: dict[str, Any] = json.loads((folder / f"{name}.json").read_text()) | changes
    return made


def pdf_text(raw: bytes) -> list[str]:
    [attached] = [part for part in read(raw).iter_attachments() if part.get_content_type() == "application/pdf"]
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(attached.get_payload(decode=True))).pages]


def test_a_receipt_carries_the_invoices_it_pays_on_pages_of_their_own(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            invoice = document(id="inv_paid", number="CP-PAID-1")
            await journey.queue(mail(invoice), "ion@client.test")
            related = [{"type": "invoice", "id": "inv_paid", "number": "CP-PAID-1", "relation": "pays"}]
            sent = await journey.queue(mail(sample("receipt_ro", related=related)), "ana@client.test")
            assert "template payment_receipt" in sent.text
            first, *others = pdf_text((await journey.arrival("ana@client.test")).raw)
            assert others and "CP-PAID-1" in others[0]
            assert sample("receipt_ro")["number"] in first

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "template"),
    [("statement_ru", "statement"), ("credit_note_en", "credit_note"), ("estimate_ro", "estimate")],
)
def test_other_documents_go_with_their_own_template(place: Place, name: str, template: str) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(mail(sample(name)), "ana@client.test")
            assert f"template {template}" in sent.text
            arrived = read((await journey.arrival("ana@client.test")).raw)
            assert arrived["Content-Language"] == name[-2:]

    asyncio.run(run())


def test_the_second_mail_by_hand_is_a_reminder(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            assert "new_invoice" in (await journey.queue(mail(document()), "ana@client.test")).text
            assert "unpaid_invoice" in (await journey.queue(mail(document()), "ana@client.test")).text
            late = await journey.queue(
                mail(document(due_date="2020-01-31", issue_date="2020-01-01")), "ana@client.test"
            )
            assert "late_payment_reminder" in late.text

    asyncio.run(run())
