"""What goes with a mail: a PDF drawn once, the tenant's logo, and a link for what is too large to go along."""

import asyncio
import base64
import io
import re
from http.client import HTTPConnection
from typing import Any

import pypdf
import pytest
from journeys.house import Clock, Journey, Place, Sent, open_journey
from journeys.letters import in_thread, read, words
from journeys.test_journey_document import document, mail, sample
from PIL import Image

from gateway.mail.reply import Refused
from gateway.outbound.queue import release
from gateway.store.assets import put_logo, remove_logo
from gateway.store.database import to_ms
from gateway.store.documents import latest_pdf

SMALL = {"max_message": 100_000}  # bytes: beside the words and the header there is no room for a PDF
Fetched = tuple[int, dict[str, str], bytes]


def fetch(port: int, path: str, method: str = "GET") -> Fetched:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


async def get(journey: Journey, path: str, method: str = "GET") -> Fetched:
    return await in_thread(fetch, journey.house.ports.web, path, method)


def files(raw: bytes) -> dict[str, bytes]:
    return {str(part.get_filename()): part.get_payload(decode=True) for part in read(raw).iter_attachments()}


def links(raw: bytes) -> list[str]:
    found = re.findall(r"http://127\.0\.0\.1:8080(/f/[\w-]{22})", words(read(raw)))
    html = words(read(raw), "html")
    assert all(html.count(one) == 1 for one in found)
    return found


async def rendered(journey: Journey, sent: Sent, count: int = 1) -> list[str]:
    return [str(event.data["pdf"]) for event in await journey.event(sent.thread_id, "message.rendered", count)]


def test_a_pdf_that_is_too_large_becomes_a_link_that_gives_the_same_bytes(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        web = {"port": -1}
        async with open_journey(place, clock=clock, web=web, delivery=SMALL) as journey:
            sent = await journey.queue(mail(document()), "ana@client.test")
            raw = (await journey.arrival("ana@client.test")).raw
            assert not files(raw)
            [path] = links(raw)
            kept = await journey.house.database.read(latest_pdf, journey.tenant_id, "invoice", document()["id"])
            assert kept is not None
            [linked] = await journey.event(sent.thread_id, "message.linked")
            assert (linked.data["filename"], linked.data["size"]) == (kept[0], len(kept[1]))
            status, headers, body = await get(journey, path, "HEAD")
            assert (status, body, headers["content-length"]) == (200, b"", str(len(kept[1])))
            assert not await journey.events(sent.thread_id, "pdf.downloaded")
            for _ in range(2):
                status, headers, body = await get(journey, path)
                assert (status, body) == (200, kept[1])
            _check_headers(headers, kept[0])
            assert len(await journey.event(sent.thread_id, "pdf.downloaded")) == 1  # within the hour it is said once
            assert (await get(journey, path[:-1] + ("A" if path[-1] != "A" else "B")))[0] == 404
            clock.move(days=89)
            assert (await get(journey, path))[0] == 200
            clock.move(days=2)
            assert (await get(journey, path))[0] == 404

    asyncio.run(run())


def _check_headers(headers: dict[str, str], filename: str) -> None:
    assert headers["content-type"] == "application/pdf"
    assert headers["content-disposition"].startswith(f'attachment; filename="{filename}"')
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert "sandbox" in headers["content-security-policy"] and headers["referrer-policy"] == "no-referrer"


def test_another_large_file_becomes_a_link_and_the_pdf_still_goes_along(place: Place) -> None:
    annex = bytes(range(256)) * 12_000  # 3 MB: more than one piece of the database's

    async def run() -> None:
        async with open_journey(place, web={"port": -1}, delivery={"max_message": 2_000_000}) as journey:
            content = base64.b64encode(annex).decode()
            given = [
                {"filename": "anexa.zip", "content_type": "application/zip", "role": "secondary", "content": content}
            ]
            sent = await journey.queue(mail(document(files=given)), "ana@client.test")
            raw = (await journey.arrival("ana@client.test")).raw
            assert [name.rpartition(".")[2] for name in files(raw)] == ["pdf"]
            assert "anexa.zip" in words(read(raw))
            [path] = links(raw)
            status, headers, body = await get(journey, path)
            assert (status, headers["content-type"]) == (200, "application/zip") and body == annex
            assert await rendered(journey, sent) == ["drawn"]

    asyncio.run(run())


def test_without_an_address_for_the_link_the_mail_is_held_until_one_is_set(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, delivery=SMALL) as journey:
            sent = await journey.queue(mail(document()), "ana@client.test")
            await journey.event(sent.thread_id, "message.held")
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip) == ("open", "render_failed")
            assert "web.public_url" in (await journey.delivery(sent.message_id))["hold"]
            assert not journey.world.received
        async with open_journey(place, web={"port": -1}, delivery=SMALL) as journey:
            now_ms = to_ms(journey.clock())
            assert await journey.write(release, now_ms, journey.tenant_id, (sent.message_id, 0), "maria") == 1
            assert links((await journey.arrival("ana@client.test")).raw)

    asyncio.run(run())


def test_reminders_of_what_did_not_change_draw_nothing(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(mail(document()), "ana@client.test")
            first = files((await journey.arrival("ana@client.test")).raw)
            for number in range(1, 4):
                await journey.queue(mail(document()), "ana@client.test")
                assert files((await journey.arrival("ana@client.test", number)).raw) == first
            assert await rendered(journey, sent, 4) == ["drawn", "kept", "kept", "kept"]

    asyncio.run(run())


def test_a_receipt_with_its_invoices_is_drawn_once_too(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await journey.queue(mail(document(id="inv_paid", number="CP-PAID-1")), "ion@client.test")
            related = [{"type": "invoice", "id": "inv_paid", "number": "CP-PAID-1", "relation": "pays"}]
            receipt = mail(sample("receipt_ro", related=related))
            sent = await journey.queue(receipt, "ana@client.test")
            first = (await journey.arrival("ana@client.test")).raw
            await journey.queue(receipt, "ana@client.test")
            again = (await journey.arrival("ana@client.test", 1)).raw
            assert files(again) == files(first) and words(read(again)) == words(read(first))
            [data] = files(first).values()
            assert len(pypdf.PdfReader(io.BytesIO(data)).pages) > 1
            assert await rendered(journey, sent, 2) == ["drawn", "kept"]

    asyncio.run(run())


def test_a_pdf_that_came_with_the_document_travels_untouched(place: Place) -> None:
    own = b"%PDF-1.7 their own\n%%EOF\n"

    async def run() -> None:
        async with open_journey(place) as journey:
            content = base64.b64encode(own).decode()
            given = [{"filename": "a lor.pdf", "content_type": "application/pdf", "role": "pdf", "content": content}]
            sent = await journey.queue(mail(document(files=given)), "ana@client.test")
            assert files((await journey.arrival("ana@client.test")).raw) == {"a_lor.pdf": own}
            await journey.queue(mail(document(files=given)), "ana@client.test")
            assert files((await journey.arrival("ana@client.test", 1)).raw) == {"a_lor.pdf": own}
            assert await rendered(journey, sent, 2) == ["given", "kept"]

    asyncio.run(run())


def picture(size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "#b01020").save(out, "PNG")
    return out.getvalue()


def test_a_logo_holds_for_the_next_message_in_the_mail_and_in_the_pdf(place: Place) -> None:
    logo = picture((600, 200))

    async def run() -> None:
        async with open_journey(place) as journey:
            await journey.queue(mail(document()), "ana@client.test")
            assert _logos((await journey.arrival("ana@client.test")).raw) == ([], 0)
            with pytest.raises(Refused, match="neither PNG nor JPEG"):
                await journey.write(put_logo, to_ms(journey.clock()), journey.tenant_id, b"<svg/>")
            for content in (picture((9, 9)), logo):  # the second takes the first one's place
                await journey.write(put_logo, to_ms(journey.clock()), journey.tenant_id, content)
            await journey.queue(mail(document()), "ana@client.test")
            assert _logos((await journey.arrival("ana@client.test", 1)).raw) == ([logo], 1)
            await journey.queue(mail(document(), ""), "ana@client.test", tenant="beta")
            assert _logos((await journey.arrival("ana@client.test", 2)).raw) == ([], 0)
            assert await journey.write(remove_logo, journey.tenant_id)
            assert not await journey.write(remove_logo, journey.tenant_id)
            await journey.queue(mail(document()), "ana@client.test")
            assert _logos((await journey.arrival("ana@client.test", 3)).raw) == ([], 0)

    asyncio.run(run())


def _logos(raw: bytes) -> tuple[list[bytes], int]:
    """(the pictures of the mail, how many the PDF's first page shows)."""
    shown: list[Any] = [
        part.get_payload(decode=True) for part in read(raw).walk() if part.get_content_maintype() == "image"
    ]
    [data] = files(raw).values()
    return shown, len(pypdf.PdfReader(io.BytesIO(data)).pages[0].images)
