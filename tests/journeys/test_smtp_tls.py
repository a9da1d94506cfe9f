"""The SMTP client over TLS, and its logins: nothing is said where the handshake proved nothing.

The language of the scripts is told in smtp_script.py.
"""

import asyncio
import datetime
import ipaddress
import re
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from journeys.smtp_script import (
    ACCEPT,
    BIG,
    ENVELOPE,
    HASTY,
    HELLO,
    MAIL,
    PIPE,
    QUICK,
    Loose,
    Script,
    exchange,
    fail_to_connect,
    play_on,
    until_dot,
)

from gateway.mail.status import Action
from gateway.outbound.smtp_client import Login, Target, connect


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request):
    """Runs a coroutine on one of the two loops."""
    return play_on(request.param)


class Authority:
    """Certificates for the tests: a self-signed one for each case, and the client's context that trusts it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def server(self, name="mx.test", days=1):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=9))
        builder = builder.not_valid_after(now + datetime.timedelta(days=days))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        encoding = serialization.Encoding.PEM
        pem = builder.sign(key, hashes.SHA256()).public_bytes(encoding)
        secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / "both.pem").write_bytes(secret + pem)
        self.client = ssl.create_default_context(cadata=pem.decode())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "both.pem")
        return context


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


OFFER = [*HELLO, "> 250-mx.test|250 STARTTLS", "< STARTTLS"]
SECURE = [*OFFER, "> 220 go", "secure", "< EHLO me.test"]
LOGIN = Login("user", "sesame")


@pytest.mark.parametrize("tls", ["opportunistic", "required"])
def test_starttls_secures_the_session_and_what_was_offered_before_is_forgotten(play, authority, tls):
    script = Script([*SECURE, "> 250-mx.test|250 PIPELINING", *ENVELOPE, *ACCEPT], tls=authority.server())
    (outcome,), reusable = play(exchange(script, MAIL, tls=tls))
    assert outcome.status.action is Action.RELAYED
    assert re.fullmatch(r"TLSv1\.3 TLS_\w+", outcome.tls)
    assert reusable


def test_implicit_tls_is_secure_from_the_first_byte(play, authority):
    script = Script([*PIPE, *ENVELOPE, *ACCEPT], tls=authority.server(), implicit=True)
    (outcome,), _ = play(exchange(script, MAIL, ssl_context=authority.client, tls="implicit", verify=True))
    assert outcome.status.action is Action.RELAYED
    assert outcome.tls.startswith("TLSv1.3")


@pytest.mark.parametrize("end", ["> 250 taken", "close", "early"])
def test_a_large_message_over_tls_and_its_ends(play, authority, end):
    offer = "> 250-mx.test|250 PIPELINING"
    script = Script([*SECURE, offer, *ENVELOPE, *ACCEPT[:3], "eat", *[end] * (end != "early")], tls=authority.server())

    async def eat(_):
        if end == "early":
            await script.take(100_000)
            script.writer.write(b"550 5.7.1 no more\r\n")
            await asyncio.sleep(5)
        async for _ in until_dot(script.reader):
            pass

    script.eat = eat
    (outcome,), _ = play(exchange(script, BIG, tls="required"))
    expected = {"> 250 taken": (Action.RELAYED, "dot", False), "close": (Action.DELAYED, "dot", True)}
    assert (outcome.status.action, outcome.stage, outcome.unclear) == expected.get(end, (Action.FAILED, "body", False))
    assert "no answer" not in outcome.status.text  # the end was noticed when it came


@pytest.mark.parametrize("tls", ["opportunistic", "required"])
@pytest.mark.parametrize("server", ["inject", "plain", "garbage", "drop", "hang", "inject later"])
def test_a_failed_handshake_is_4_7_5_and_nothing_is_said_in_clear(play, tls, server):
    answer = {
        "inject": ["raw 220 go\\r\\n250-injected\\r\\n250 AUTH PLAIN\\r\\n"],
        "inject later": ["> 220 go", "sleep 0.1", "> 250 injected"],
        "plain": ["> 220 go", "take 50", "> 500 what"],
        "garbage": ["> 220 go", "sleep 0.05", "raw " + "\\x00\\x99" * 100],
        "drop": ["> 220 go", "close"],
        "hang": ["> 220 go", "sleep 5"],
    }[server]
    status = play(fail_to_connect(Loose([*OFFER, *answer]), HASTY, tls=tls))
    assert status.status == "4.7.5"
    if server == "inject":
        assert "injection" in status.text


@pytest.mark.parametrize(
    ("name", "days", "trusted"), [("other.test", 1, True), ("mx.test", -1, True), ("mx.test", 1, False)]
)
@pytest.mark.parametrize("tls", ["opportunistic", "required", "implicit"])
def test_a_certificate_that_proves_nothing_ends_a_verified_session(play, authority, tls, name, days, trusted):
    opening = [] if tls == "implicit" else [*OFFER, "> 220 go", "secure"]
    script = Loose(opening, tls=authority.server(name, days), implicit=tls == "implicit")
    context = authority.client if trusted else None
    assert play(fail_to_connect(script, ssl_context=context, tls=tls, verify=True)).status == "4.7.5"
    assert (
        play(
            fail_to_connect(
                Loose(opening, tls=script.tls, implicit=script.implicit), ssl_context=context, tls=tls, login=LOGIN
            )
        ).status
        == "4.7.5"
    )


def test_a_context_that_does_not_verify_is_no_context_for_a_verified_target(play):
    lax = ssl.create_default_context()
    lax.check_hostname = False

    async def try_it():
        async with Loose([*OFFER, "> 220 go"]) as script:
            with pytest.raises(ValueError, match="verif"):
                await connect(script.target(tls="required", verify=True), QUICK, lax)

    play(try_it())


def test_required_tls_that_is_not_offered_or_refused_is_passing(play):
    assert play(fail_to_connect(Script(PIPE), tls="required")).status == "4.7.5"
    status = play(fail_to_connect(Script([*OFFER, "> 454 4.7.0 TLS not available"]), tls="required"))
    assert status.words == "454 4.7.0 TLS not available"
    status = play(fail_to_connect(Script([*OFFER, "> 554 5.7.0 no"]), tls="required"))
    assert status.words == "554 5.7.0 no"


@pytest.mark.parametrize(
    "hello", [PIPE, [*OFFER[:2], "> 250-mx.test|250-PIPELINING|250 STARTTLS", "< STARTTLS", "> 454 no TLS now"]]
)
def test_opportunistic_tls_goes_on_in_plain_where_there_is_none(play, hello):
    (outcome,), _ = play(exchange(Script([*hello, *ENVELOPE, *ACCEPT]), MAIL, tls="opportunistic"))
    assert (outcome.status.action, outcome.tls) == (Action.RELAYED, "")


@pytest.mark.parametrize(
    ("offer", "talk"),
    [
        ("250 AUTH LOGIN PLAIN", ["< AUTH PLAIN AHVzZXIAc2VzYW1l", "> 235 2.7.0 in"]),
        (
            "250 AUTH=LOGIN",
            ["< AUTH LOGIN", "> 334 VXNlcm5hbWU6", "< dXNlcg==", "> 334 UGFzc3dvcmQ6", "< c2VzYW1l", "> 235 in"],
        ),
    ],
)
def test_a_login_is_said_over_verified_tls(play, authority, offer, talk):
    script = Script(
        [*SECURE, f"> 250-mx.test|250-PIPELINING|{offer}", *talk, *ENVELOPE, *ACCEPT], tls=authority.server()
    )
    (outcome,), _ = play(exchange(script, MAIL, ssl_context=authority.client, tls="required", login=LOGIN))
    assert outcome.status.action is Action.RELAYED


@pytest.mark.parametrize("tls", ["off", "opportunistic", "required"])
def test_a_password_is_never_said_without_tls(play, tls):
    script = Script([*HELLO, "> 250-mx.test|250 AUTH PLAIN LOGIN"])
    status = play(fail_to_connect(script, tls=tls, login=LOGIN))
    assert status.status.startswith("4.7.")
    assert not any(line.startswith("AUTH") for line in script.said)


def test_a_password_is_said_in_clear_only_when_the_tenant_asked_for_it(play):
    script = Script(
        [*HELLO, "> 250-mx.test|250-PIPELINING|250 AUTH PLAIN", "< AUTH PLAIN .*", "> 235 in", *ENVELOPE, *ACCEPT]
    )
    (outcome,), _ = play(exchange(script, MAIL, login=Login("user", "sesame", cleartext=True)))
    assert outcome.status.action is Action.RELAYED


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("535 5.7.8 bad password", "auth_failed"), ("454 4.7.0 later", ""), ("421 4.7.0 go", ""), ("334 ", "unreachable")],
)
def test_a_refused_login_is_passing_with_the_servers_words(play, answer, reason):
    login = Login("user", "sesame", cleartext=True)
    script = Script([*HELLO, "> 250-mx.test|250 AUTH PLAIN", "< AUTH PLAIN .*", f"> {answer}"])
    status = play(fail_to_connect(script, login=login))
    assert status.reason == reason
    assert status.words == answer or answer == "334 "
    script = Script([*HELLO, "> 250-mx.test|250 AUTH GSSAPI"])
    status = play(fail_to_connect(script, login=login))
    assert (status.reason, "GSSAPI" in status.text) == ("auth_failed", True)


def test_a_password_shows_nowhere():
    target = Target("mx.test", "127.0.0.1", login=LOGIN)
    assert "sesame" not in f"{target!r} {target} {LOGIN!r} {LOGIN}"
