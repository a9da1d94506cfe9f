"""Real verifiers accept our signatures, on mail that went through the branding: OpenDKIM and rspamd."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from postroom.opendkim import OpenDkim
from postroom.ports import free_port
from postroom.programs import require
from postroom.server import call, open_room, run

from gateway.mail.address import Address
from gateway.mail.message import read_head
from gateway.outbound.branding import Frame, brand
from gateway.outbound.signing import ED25519, RSA, Signer, SigningKey, generate_key, public_record

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
KEYS = {kind: SigningKey("acme.test", f"s{i}", kind, generate_key(kind)) for i, kind in enumerate((RSA, ED25519))}
RECORDS = {key.record_name: public_record(key.private_key) for key in KEYS.values()}
FRAME = Frame(
    author_name="Compania Ținta",
    author=Address("facturare", "acme.test"),
    reply_to_name="Acme, S.R.L.",
    reply_to=Address("acme+token", "inbox.test"),
    message_id="1@acme.test",
    thread_root="thread.1@acme.test",
    language="ro",
    feedback_id="a:b:c:d",
    date=NOW,
)
SUBMITTED = (
    b"From: billing@acme.test\r\nTo: Ana <ana@client.test>,\r\n\tBob  <bob@client.test>\r\nCc: c@client.test\r\n"
    b"Subject: Factur\xc4\x83  12\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)
BODIES = {
    "text": b"Bun\xc4\x83 ziua, \r\n\r\n\tfactura  dvs. \t\r\n.\r\n\r\n\r\n",
    "empty": b"",
    "blank lines": b"\r\n \r\n\t\r\n",
    "no line end": b"a  b",
    "base64": b"QUJD" * 19 + b"\r\n",
    "large": (b"x" * 70 + b" y\t\r\n") * 3000,
}


def sign(body: bytes, *algorithms: str) -> bytes:
    raw = SUBMITTED + body
    signed = Signer([KEYS[kind] for kind in algorithms]).sign(brand(raw, read_head(raw), FRAME), NOW)
    return signed if signed.endswith(b"\r\n") else signed + b"\r\n"  # as SMTP ends it


@pytest.mark.parametrize("algorithm", [RSA, ED25519])
def test_opendkim_accepts_each_signature_and_refuses_changed_mail(
    start_opendkim: Callable[..., OpenDkim], algorithm: str
) -> None:
    peer = start_opendkim(public_keys=RECORDS)
    for name, body in BODIES.items():
        signed = sign(body, algorithm)
        assert peer.verify(signed).passed, (name, peer.verify(signed).text)
    signed = sign(BODIES["text"], algorithm)
    for changed in (
        signed.replace(b"ziua", b"ziux"),
        signed.replace(b"ana@client", b"eva@client"),
        signed.replace(b"From: ", b"Subject: another\r\nFrom: ", 1),
    ):
        assert not peer.verify(changed).passed


def test_opendkim_accepts_mail_with_both_signatures(start_opendkim: Callable[..., OpenDkim]) -> None:
    peer = start_opendkim(public_keys=RECORDS)
    for body in BODIES.values():
        assert peer.verify(sign(body, RSA, ED25519)).passed
        assert peer.verify(sign(body, ED25519, RSA)).passed


@pytest.fixture
def rspamd() -> Iterator[Callable[[bytes], set[str]]]:
    """An rspamd that knows our keys instead of asking the DNS; a function from a mail to the symbols it finds."""
    program = require("rspamd")
    client = require("rspamc")
    with open_room("rspamd", "nobody") as room:
        port = free_port()
        fake = [{"name": name, "type": "txt", "replies": [record]} for name, record in RECORDS.items()]
        room.write("tld.dat", "test\n")  # the list that comes with it takes long to compile
        config = room.write("rspamd.conf", _rspamd_config(str(room.path), port, json.dumps(fake)))
        mail = room.path / "mail.eml"
        command = [program, "-f", "-i", "-c", config]
        with run("rspamd", command, room) as server:
            server.wait_port(port)

            def scan(raw: bytes) -> set[str]:
                mail.write_bytes(raw)
                answer = call([client, "-j", "-h", f"127.0.0.1:{port}", mail], room)
                return {item for item in json.loads(answer)["symbols"] if "DKIM" in item}

            yield scan


def _rspamd_config(folder: str, port: int, fake: str) -> str:
    return f"""
options {{ tempdir = "{folder}"; pidfile = "{folder}/rspamd.pid"; filters = "dkim"; dns {{ fake_records = {fake}; }}
  url_tld = "{folder}/tld.dat"; }}
logging {{ type = "console"; level = "info"; }}
dkim {{ }}
worker {{ type = "normal"; bind_socket = "127.0.0.1:{port}"; count = 1; }}
"""


def test_rspamd_accepts_each_signature_and_refuses_changed_mail(rspamd: Callable[[bytes], set[str]]) -> None:
    for algorithm in (RSA, ED25519):
        for name, body in BODIES.items():
            assert rspamd(sign(body, algorithm)) >= {"R_DKIM_ALLOW"}, (algorithm, name)
        found = rspamd(sign(BODIES["text"], algorithm).replace(b"ziua", b"ziux"))
        assert "R_DKIM_REJECT" in found and "R_DKIM_ALLOW" not in found
