"""A mail that the billing system composed: what the customer's server gets, and what the inbox says of it."""

import asyncio
import re

import dkim
from journeys.house import HOSTNAME, INBOX, RETURNS, SHARED, Journey, Place, open_journey
from journeys.letters import AUTHOR

from gateway.demo.samples import plain_pdf
from gateway.mail.address import parse_address
from gateway.mail.verp import read_reply_address, read_return_path
from gateway.store.domains import list_keys
from gateway.store.messages import get_content, get_message
from gateway.store.schema import OPERATOR

# Parts whose bytes a careless gateway would "improve": odd line lengths, trailing blanks, dots, 8-bit text.
PARTS = [
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Bun\xc4\x83 ziua,  \r\n.\r\n..un punct\r\nfactura e ata\xc8\x99at\xc4\x83\t\r\n\r\n",
    b"Content-Type: application/pdf; name=f.pdf\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: attachment; filename=f.pdf\r\n\r\nJVBERi0xLjQK\r\nAAAA\r\nQUJD",
    b"Content-Type: text/html; charset=us-ascii\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"<p>Total =3D 1=20=\r\n200</p>\r\n",
]
BODY = b"preamble\r\n" + b"".join(b"--=x\r\n" + part + b"\r\n" for part in PARTS) + b"--=x--\r\nepilogue\r\n"
SUBMITTED = (
    f"Received: from erp (10.0.0.7) by inner.acme.test; Tue, 24 Nov 2026 10:00:00 +0200\r\n"
    f"From: Facturare <{AUTHOR}>\r\nTo: Ana Rusu <accept@client.test>\r\nBcc: hidden@acme.test\r\n"
    "Subject: Factura F-1\r\nMessage-ID: <theirs@erp.acme.test>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0200\r\n"
    "X-AR-Document: invoice/inv_1\r\nX-AR-Number: F-1\r\nX-AR-Language: ro\r\nX-AR-Tag: a\r\nX-Mailer: ERP 7\r\n"
    'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=x"\r\n\r\n'
).encode() + BODY


def test_a_composed_mail_arrives_in_the_tenants_frame_signed_with_its_parts_untouched(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(SUBMITTED, "accept@client.test", "hidden@acme.test")
            mail = await journey.arrival("accept@client.test")
            head, _, body = mail.raw.partition(b"\r\n\r\n")
            assert body == BODY
            _check_head(head.decode("ascii"), sent.message_id, sent.thread_id, journey)
            assert read_return_path(parse_address(mail.return_path)), mail.return_path
            assert mail.return_path.endswith("@" + RETURNS)
            hidden = await journey.arrival("hidden@acme.test")
            assert hidden.raw == mail.raw and hidden.return_path != mail.return_path
            await _check_signatures(journey, mail.raw)
            await _check_inbox(journey, sent.message_id, sent.thread_id, mail.raw)

    asyncio.run(run())


def _field(head: str, name: str) -> str:
    lines = re.sub(r"\r\n(?=[ \t])", "", head).split("\r\n")
    found = [line.partition(":")[2] for line in lines if line.lower().startswith(f"{name.lower()}:")]
    assert len(found) == 1, (name, found)
    return " ".join(found[0].split())


def _check_head(head: str, message_id: str, thread_id: str, journey: Journey) -> None:
    assert _field(head, "From") == f"Acme Servicii SRL <{SHARED}>"
    reply_to = _field(head, "Reply-To")
    assert reply_to.startswith("Acme Servicii SRL <acme+") and reply_to.endswith(f"@{INBOX}>")
    assert read_reply_address(parse_address(reply_to.partition("<")[2].rstrip(">")))[1] == thread_id
    assert _field(head, "Message-ID") == f"<{message_id}@gateway.test>"
    root = f"<thread.{thread_id}@gateway.test>"
    assert _field(head, "References") == root and _field(head, "In-Reply-To") == root
    assert _field(head, "Auto-Submitted") == "auto-generated"
    assert _field(head, "Content-Language") == "ro"
    assert _field(head, "To") == "Ana Rusu <accept@client.test>"
    assert _field(head, "Subject") == "Factura F-1"
    assert _field(head, "X-Mailer") == "ERP 7"
    assert HOSTNAME in _field(head, "Received")  # ours, the only one
    for absent in ("x-ar-", "\nbcc:", "10.0.0.7", "inner.acme.test", "hidden@", "theirs@erp"):
        assert absent not in head.lower(), absent


async def _check_signatures(journey: Journey, raw: bytes) -> None:
    keys = await journey.house.database.read(list_keys, OPERATOR, "gateway.test")
    records = {f"{key.selector}._domainkey.{key.domain}.".encode(): key.public_record.encode() for key in keys}
    asked: list[bytes] = []

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        asked.append(name)
        return records.get(name)

    checker = dkim.DKIM(raw)
    assert all(checker.verify(idx=number, dnsfunc=look_up) for number in range(2))
    assert sorted(asked) == sorted(records) and len(records) == 2
    assert raw.count(b"DKIM-Signature:") == 2
    assert not dkim.verify(raw.replace(b"Total =3D 1", b"Total =3D 9"), dnsfunc=look_up)


async def _check_inbox(journey: Journey, message_id: str, thread_id: str, arrived: bytes) -> None:
    row = await journey.settled(message_id, "relayed")
    assert (row["code"], row["host"]) == (250, "mx.world.example [127.0.0.1]") and "Taken as W" in row["text"]
    thread = await journey.thread(thread_id)
    assert (thread.state, thread.chip, thread.key) == ("closed", "", "invoice/inv_1")
    found = await journey.house.database.read(get_message, journey.tenant_id, message_id)
    assert found and found.submitted_message_id == "theirs@erp.acme.test"
    assert await journey.house.database.read(get_content, journey.tenant_id, message_id) == arrived
    for query in (
        message_id,
        thread_id,
        "accept@client.test",
        "F-1",
        "invoice/inv_1",
        "<theirs@erp.acme.test>",
        row["token"],
    ):
        said = (await journey.answers(query))[0]
        assert said.startswith("accept@client.test: accepted by mx.world.example [127.0.0.1] at "), (query, said)
        assert "250 2.0.0 Taken as W" in said and "delivered" not in said


def test_a_second_mail_about_a_document_stays_in_its_thread(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            first = await journey.queue(SUBMITTED, "accept@client.test")
            second = await journey.queue(SUBMITTED.replace(b"F-1", b"F-1 bis"), "accept@client.test")
            assert second.thread_id == first.thread_id and second.message_id != first.message_id
            third = await journey.queue(SUBMITTED.replace(b"invoice/inv_1", b"invoice/inv_2"), "accept@client.test")
            assert third.thread_id != first.thread_id

    asyncio.run(run())


def test_mail_with_non_ascii_names_and_addresses_arrives(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            raw = (
                f"From: Фактура <{AUTHOR}>\r\nTo: Иван <иван@клиент.test>\r\nSubject: Счёт № 1\r\n\r\nСумма\r\n"
            ).encode()
            sent = await journey.queue(raw, "иван@xn--e1aktgdb.test")
            assert (await journey.settled(sent.message_id, "relayed"))["recipient"].startswith("иван@")
            assert (await journey.thread(sent.thread_id)).subject == "Счёт № 1"

    asyncio.run(run())


def test_a_large_mail_arrives_whole(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            body = (plain_pdf(["x"]).hex().encode()[:900] + b"\r\n") * 5000
            raw = f"From: {AUTHOR}\r\nTo: accept@client.test\r\nSubject: mare\r\n\r\n".encode() + body
            await journey.queue(raw, "accept@client.test")
            mail = await journey.arrival("accept@client.test")
            assert mail.raw.partition(b"\r\n\r\n")[2] == body

    asyncio.run(run())
