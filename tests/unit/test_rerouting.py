"""Another author for a framed message: From is replaced and signed anew, and nothing else changes."""

from datetime import UTC, datetime, timedelta

import dkim
import pytest

from gateway.mail.address import parse_address
from gateway.mail.header_mailboxes import Mailbox
from gateway.outbound.rerouting import is_due, reauthor
from gateway.outbound.signing import Signer, SigningKey, generate_key, public_record
from gateway.store.routes import Kept, Server

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
SHARED = Mailbox("Construcții «Ștefan» SRL", parse_address("noreply@gateway.test"))
KEY = generate_key("rsa-sha256")
SIGNER = Signer([SigningKey("gateway.test", "s1", "rsa-sha256", KEY)])
OWN = Signer([SigningKey("acme.test", "s1", "rsa-sha256", KEY)])
FRAMED = (
    b"From: Acme <facturare@acme.test>\r\nReply-To: Acme <acme+t@inbox.gateway.test>\r\n"
    b"Message-ID: <1@gateway.test>\r\n"
    b"To: ana@client.test\r\nSubject: Factura\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
    b"X-Odd:  two  blanks\r\n\r\nFrom: no field\r\n.\r\n"
)


def test_only_the_author_and_the_signature_change() -> None:
    received = b"Received: by mail.gateway.test id 1;\r\n\tTue, 24 Nov 2026 10:00:00 +0000\r\n"
    made = reauthor(received + OWN.sign(FRAMED, NOW), SHARED, SIGNER, NOW)
    assert made.startswith(received + b"DKIM-Signature: ") and made.count(b"DKIM-Signature:") == 1
    head, _, body = made.partition(b"\r\n\r\n")
    before, _, rest = FRAMED.partition(b"\r\n\r\n")
    assert body == rest
    assert b"noreply@gateway.test" in head and b"facturare@acme.test" not in head
    assert made.endswith(before.partition(b"\r\n")[2] + b"\r\n\r\n" + rest), "every other field as it was"


def test_the_new_signature_is_good() -> None:
    made = reauthor(OWN.sign(FRAMED, NOW), SHARED, SIGNER, NOW)
    record = public_record(KEY).encode()
    assert dkim.verify(made, dnsfunc=lambda name, timeout=5: record if name == b"s1._domainkey.gateway.test." else b"")


@pytest.mark.parametrize(
    ("fallback", "minutes", "due"),
    [("off", 10_000, False), ("30m", 29, False), ("30m", 30, True), ("always", 0, True)],
)
def test_when_the_fallback_is_due(fallback: str, minutes: int, due: bool) -> None:
    server = Server(host="a.test", port=587, address="a@a.test", fallback=fallback)
    assert is_due(Kept("t", server, "failed", "535", NOW, None), NOW + timedelta(minutes=minutes)) is due
