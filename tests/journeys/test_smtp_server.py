"""The bounded SMTP and LMTP server over real loopback sockets: what it offers, refuses, promises and never executes."""

import asyncio
import base64
import datetime
import socket
import ssl
import struct
import time

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from journeys.smtp_doorstep import ENVELOPE, LOGIN, MESSAGE, WRONG, Client, Step, connect, journey, serving, trusting

from gateway.mail.reply import Refused
from gateway.wire.smtp_server import Limits

SMUGGLED_ENDS = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\n", b"\n.\r"]
SMUGGLED_ENDS += [b"\r\n\x00.\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n"]


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server's context with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw.test")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    path = tmp_path_factory.mktemp("tls") / "gw.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + builder.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@journey
async def test_ehlo_offers_what_is_allowed_at_that_moment(tls):
    async with serving(tls=tls, auth="tls", limits=Limits(message_bytes=1234)) as listener:
        client = await connect(listener, ehlo=b"")
        text = (await client.say(b"EHLO c.test"))[1].replace("\r\n", "\n")
        offers = [
            "gw.test",
            "SIZE 1234",
            "8BITMIME",
            "SMTPUTF8",
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "STARTTLS",
        ]
        assert [line[4:] for line in text.split("\n")[:-1]] == offers
        assert (await client.say(LOGIN))[1].startswith("538 5.7.11 ")
        await client.say(b"STARTTLS")
        await client.writer.start_tls(trusting())
        text = (await client.say(b"EHLO c.test"))[1]
        assert "STARTTLS" not in text and "AUTH PLAIN LOGIN" in text
        assert (await client.say(LOGIN))[0] == 235
        assert (await client.say(b"STARTTLS"))[0] == 503


@journey
async def test_a_message_arrives_word_for_word_with_its_envelope():
    step = Step()
    async with serving(step) as listener:
        client = await connect(listener)
        wire = b"Subject: x\r\n\r\n..dot\r\n" + bytes(range(128, 256)) + b"\r\n" + b"y" * 5000 + b"\r\n.\r\n"
        await client.say(
            b"MAIL FROM:<> BODY=8BITMIME ENVID=e1 RET=HDRS", b"RCPT TO:<bob@y.example> NOTIFY=NEVER", b"DATA"
        )
        client.writer.write(wire)
        assert await client.reply() == (250, "250 2.0.0 kept 1\r\n")
        assert (await client.say(b"QUIT"))[1] == "221 2.0.0 Goodbye\r\n"
        assert await client.reply() == (0, "")
    envelope, raw = step.kept[0]
    assert raw == wire[:-3].replace(b"..dot", b".dot")
    assert (envelope.return_path, envelope.body, envelope.envid, envelope.ret) == (None, "8BITMIME", "e1", "HDRS")
    assert [(str(r.address), r.notify) for r in envelope.recipients] == [("bob@y.example", "NEVER")]


@journey
async def test_pipelined_commands_are_answered_in_one_write():
    async with serving() as listener:
        client = await connect(listener)
        client.writer.write(ENVELOPE)
        answer = await client.reader.read(65536)
        assert [line[:3] for line in answer.split(b"\r\n")] == [b"250", b"250", b"354", b""]


@journey
async def test_a_second_message_right_behind_the_dot_is_the_second_message():
    step = Step()
    async with serving(step) as listener:
        client = await connect(listener)
        wire = (ENVELOPE + MESSAGE + b".\r\n") * 2 + ENVELOPE + b".\r\nQUIT\r\n"
        assert await client.codes(wire, 13) == [250, 250, 354, 250] * 3 + [221]
    assert [raw for _, raw in step.kept] == [MESSAGE, MESSAGE, b""]


@journey
async def test_bytes_may_come_one_by_one():
    step = Step()
    async with serving(step) as listener:
        client = await connect(listener)
        client.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in ENVELOPE + b"..a\r\n..\r\n.\r\nQUIT\r\n":
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert [(await client.reply())[0] for _ in range(5)] == [250, 250, 354, 250, 221]
    assert step.kept[0][1] == b".a\r\n.\r\n"


@pytest.mark.parametrize("end", SMUGGLED_ENDS)
@journey
async def test_nothing_behind_a_false_end_of_data_is_executed(end):
    step = Step()
    async with serving(step) as listener:
        client = await connect(listener)
        smuggled = MESSAGE[:-2] + end + ENVELOPE + b"evil\r\n.\r\n"
        assert await client.codes(ENVELOPE + smuggled + b"NOOP\r\n", 5) == [250, 250, 354, 554, 250]
        assert await client.codes(ENVELOPE + MESSAGE + b".\r\n", 4) == [250, 250, 354, 250]
    assert [raw for _, raw in step.kept] == [MESSAGE]


@pytest.mark.parametrize("cut", [b"Subj", MESSAGE[:-2], MESSAGE, MESSAGE + b".", MESSAGE + b".\r"])
@journey
async def test_a_connection_that_ends_within_data_stores_nothing(cut):
    step = Step()
    async with serving(step) as listener:
        client = await connect(listener)
        assert await client.codes(ENVELOPE + cut, 3) == [250, 250, 354]
        client.writer.write_eof()
        assert await client.reply() == (0, "")
    assert step.kept == []


@journey
async def test_a_client_that_closes_its_side_after_the_dot_is_answered():
    async with serving() as listener:
        client = await connect(listener)
        client.writer.write(ENVELOPE + MESSAGE + b".\r\n")
        client.writer.write_eof()
        assert [(await client.reply())[0] for _ in range(4)] == [250, 250, 354, 250]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"MAIL FROM:<a@x.example>"], "503 5.5.1"),
        ([b"EHLO c", b"RCPT TO:<b@y.example>"], "503 5.5.1"),
        ([b"EHLO c", b"DATA"], "503 5.5.1"),
        ([b"EHLO c", b"MAIL FROM:<a@x.example>", b"DATA"], "503 5.5.1"),
        ([b"EHLO c", b"MAIL FROM:<a@x.example>", b"MAIL FROM:<a@x.example>"], "503 5.5.1"),
        ([b"EHLO c", b"MAIL FROM:<a@x.example>", b"RSET", b"RCPT TO:<b@y.example>"], "503 5.5.1"),
        ([b"EHLO c", b"MAIL FROM:<a@x.example>", b"EHLO c", b"RCPT TO:<b@y.example>"], "503 5.5.1"),
        ([b"EHLO c", b"MAIL FROM:<a@x.example>", b"RCPT TO:<nobody@y.example>"], "550 5.1.1"),
        ([b"EHLO c", b"MAIL FROM:<a@x.example>", b"RCPT TO:<nobody@y.example>", b"DATA"], "503 5.5.1"),
        ([b"EHLO c", b"MAIL FROM:<a@x.example>", b"RCPT TO:<b\rRCPT TO:<evil@y.example>"], "501 5.5.2"),
        ([b"EHLO c", b"MAIL FROM:<a@x.example> SIZE=99999999999"], "552 5.3.4"),
        ([b"EHLO c", b"MAIL FROM:<caf\xe9@x.example>"], "501 5.5.2"),
        ([b"EHLO c", "MAIL FROM:<ană@x.example>".encode()], "553 5.6.7"),
        ([b"HELO c", b"MAIL FROM:<a@x.example> SIZE=1"], "555 5.5.4"),
        ([b"EHLO"], "501 5.5.4"),
        ([b"LHLO c"], "500 5.5.1"),
        ([b"EHLO c", b"VRFY bob"], "252 2.0.0"),
        ([b"EHLO c", b"EXPN all"], "502 5.5.1"),
        ([b"EHLO c", b"HELP"], "214 2.0.0"),
        ([b"EHLO c", b"NOOP x"], "250 2.0.0"),
        ([b"EHLO c", b"BDAT 5 LAST"], "500 5.5.1"),
        ([b"EHLO c", b"STARTTLS"], "502 5.5.1"),
        ([b"EHLO c", LOGIN], "502 5.5.1"),
        ([b"EHLO c", b""], "500 5.5.1"),
    ],
)
@journey
async def test_commands_are_answered_with_the_code_and_status_of_the_rfc(lines, expected):
    async with serving() as listener:
        client = await connect(listener, ehlo=b"")
        assert (await client.say(*lines))[1].startswith(expected + " ")


@journey
async def test_a_command_that_ends_in_a_bare_lf_is_told_so_and_not_obeyed():
    async with serving() as listener:
        client = await connect(listener)
        client.writer.write(b"MAIL FROM:<a@x.example>\nRCPT TO:<b@y.example>\n")
        assert (await client.reply())[1].startswith("500 5.5.2 end every line with CR LF")
        assert (await client.say(b"RCPT TO:<b@y.example>"))[0] == 503


@journey
async def test_a_fault_of_ours_is_451_without_a_word_about_it_and_the_connection_goes_on():
    step = Step()
    with structlog.testing.capture_logs() as logs:
        async with serving(step, auth="loopback") as listener:
            client = await connect(listener)
            crash = b"AUTH PLAIN " + base64.b64encode(b"\0crash\0x")
            faults = [await client.say(b"MAIL FROM:<crash@x.example>"), await client.say(crash)]
            await client.codes(ENVELOPE, 3)
            faults.append(await client.say(b"crash\r\n."))
            assert await client.codes(ENVELOPE + MESSAGE + b".\r\n", 4) == [250, 250, 354, 250]
    assert {text for _, text in faults[:2]} == {faults[2][1]} and faults[2][1].startswith("451 4.3.0 ")
    assert "SELECT" in "".join(entry.get("traceback", "") for entry in logs)


@journey
async def test_a_greeting_can_be_refused():
    step = Step()
    step.refuse_greeting = Refused(554, "5.7.1", "not you")
    async with serving(step) as listener:
        client = await connect(listener, greeted=False)
        assert await client.reply() == (554, "554 5.7.1 not you\r\n")
        assert await client.reply() == (0, "")


@journey
async def test_login_by_plain_and_login_in_every_form():
    plain, user, word = (base64.b64encode(text) for text in (b"\0ana\0secret", b"ana", b"secret"))
    async with serving(auth="loopback", auth_required=True) as listener:
        for dialogue in (
            [b"AUTH PLAIN " + plain],
            [b"auth plain", plain],
            [b"AUTH LOGIN", user, word],
            [b"AUTH LOGIN " + user, word],
        ):
            client = await connect(listener)
            assert (await client.say(b"MAIL FROM:<a@x.example>"))[1].startswith("530 5.7.0 ")
            for line in dialogue[:-1]:
                assert (await client.say(line))[0] == 334
            assert (await client.say(dialogue[-1]))[1].startswith("235 2.7.0 ")
            assert (await client.say(LOGIN))[0] == 503
            assert (await client.say(b"MAIL FROM:<a@x.example>"))[0] == 250


@pytest.mark.parametrize(
    ("dialogue", "expected"),
    [
        ([b"AUTH PLAIN @@"], "501 5.5.2"),
        ([b"AUTH PLAIN ="], "501 5.5.2"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0\xff\0x")], "501 5.5.2"),
        ([b"AUTH LOGIN", b"*"], "501 5.7.0"),
        ([b"AUTH PLAIN", b"*"], "501 5.7.0"),
        ([b"AUTH CRAM-MD5"], "504 5.5.4"),
        ([b"AUTH"], "504 5.5.4"),
        ([WRONG], "535 5.7.8"),
        ([b"MAIL FROM:<a@x.example>", LOGIN], "503 5.5.1"),
        ([b"AUTH LOGIN", b"A" * 20000], "500 5.5.6"),
    ],
)
@journey
async def test_a_login_that_is_wrong_is_answered_by_the_rfc(dialogue, expected):
    async with serving(auth="loopback") as listener:
        client = await connect(listener)
        assert (await client.say(*dialogue))[1].startswith(expected + " ")


@journey
async def test_no_password_is_logged_even_when_it_comes_as_a_command():
    secret = base64.b64encode(b"open sesame")
    with structlog.testing.capture_logs() as logs:
        async with serving(auth="loopback") as listener:
            client = await connect(listener)
            await client.say(b"AUTH PLAIN " + base64.b64encode(b"\0ana\0open sesame"), secret, b"AUTH XLOGIN " + secret)
            await client.say(b"AUTH LOGIN", base64.b64encode(b"ana"), secret)
            await client.say(b"QUIT")
    assert len(logs) == 5
    assert "sesame" not in str(logs) and secret.decode()[:8] not in str(logs)


@journey
async def test_nothing_said_in_clear_is_obeyed_or_remembered_after_starttls(tls):
    step = Step()
    async with serving(step, tls=tls, auth="tls") as listener:
        client = await connect(listener)
        await client.say(b"MAIL FROM:<ana@x.example>")
        client.writer.write(b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@x.example>\r\nNOOP\r\n")
        assert (await client.reply())[0] == 220
        await client.writer.start_tls(trusting())
        assert (await client.say(b"RCPT TO:<b@y.example>"))[1].startswith("503 5.5.1 MAIL comes first")
        assert (await client.say(b"MAIL FROM:<ana@x.example>"))[1].startswith("503 5.5.1 say EHLO first")
        await client.say(b"EHLO c.test", LOGIN)
        assert await client.codes(ENVELOPE + MESSAGE + b".\r\n", 4) == [250, 250, 354, 250]
    assert step.sessions[0].transmission == "ESMTPSA" and step.sessions[0].tls_version.startswith("TLSv1")


@journey
async def test_implicit_tls_speaks_tls_at_once(tls):
    step = Step()
    async with serving(step, tls=tls, implicit_tls=True, auth="tls", auth_required=True) as listener:
        silent = await connect(listener, greeted=False)
        client = await connect(listener, ssl=trusting())
        await client.say(LOGIN)
        message = MESSAGE + (b"x" * 70 + b"\r\n") * 30_000
        assert await client.codes(ENVELOPE + message + b".\r\n", 4) == [250, 250, 354, 250]
        assert step.kept[0][1] == message
        silent.writer.close()


@journey
async def test_a_failed_handshake_ends_that_connection_only(tls):
    async with serving(tls=tls, implicit_tls=True) as listener:
        client = await connect(listener, greeted=False)
        client.writer.write(b"EHLO this is not TLS\r\n")
        assert b"250" not in await client.reader.read()
        assert (await (await connect(listener, ssl=trusting())).say(b"NOOP"))[0] == 250


@journey
async def test_lmtp_gives_one_reply_per_accepted_recipient():
    step = Step()
    async with serving(step, protocol="lmtp") as listener:
        client = await connect(listener, ehlo=b"LHLO c.test")
        assert (await client.say(b"EHLO c.test"))[0] == 500
        names = [b"ok", b"nobody", b"full", b"fine"]
        rcpts = b"".join(b"RCPT TO:<%s@y.example>\r\n" % name for name in names)
        wire = b"MAIL FROM:<a@x.example>\r\n" + rcpts + b"DATA\r\n" + MESSAGE + b".\r\nNOOP\r\n"
        assert await client.codes(wire, 10) == [250, 250, 550, 250, 250, 354, 250, 452, 250, 250]
        two = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<a@y.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n"
        assert await client.codes(two + b"crash\r\n.\r\n", 6) == [250, 250, 250, 354, 451, 451]
        assert await client.codes(two + b"refuse\r\n.\r\n", 6) == [250, 250, 250, 354, 554, 554]
        assert await client.codes(two + b"a\nb\r\n.\r\n", 6) == [250, 250, 250, 354, 554, 554]


@journey
async def test_lmtp_works_over_a_unix_socket(tmp_path):
    path = str(tmp_path / type(asyncio.get_running_loop()).__module__)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        async with serving(sock=sock, protocol="lmtp"):
            client = Client(*await asyncio.open_unix_connection(path))
            assert (await client.reply())[1] == "220 gw.test LMTP\r\n"
            assert (await client.say(b"LHLO c", *ENVELOPE.split(b"\r\n")[:3], MESSAGE + b"."))[0] == 250


@journey
async def test_commands_wait_while_a_message_is_being_kept():
    step = Step()
    step.gate = asyncio.Event()
    async with serving(step) as listener:
        client = await connect(listener)
        client.writer.write(ENVELOPE + MESSAGE + b".\r\n" + ENVELOPE + b"second\r\n.\r\n")
        await step.entered.wait()
        await asyncio.sleep(0.05)
        assert step.kept == []
        step.gate.set()
        assert [(await client.reply())[0] for _ in range(8)] == [250, 250, 354, 250] * 2
    assert [raw for _, raw in step.kept] == [MESSAGE, b"second\r\n"]


@journey
async def test_a_message_is_kept_though_its_client_left_and_the_answer_is_dropped():
    step = Step()
    step.gate = asyncio.Event()
    with structlog.testing.capture_logs() as logs:
        async with serving(step) as listener:
            client = await connect(listener)
            client.writer.write(ENVELOPE + MESSAGE + b".\r\n")
            await step.entered.wait()
            reset = struct.pack("ii", 1, 0)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.writer.transport.abort()
            await asyncio.sleep(0.1)
            step.gate.set()
            await asyncio.sleep(0.1)
            assert listener.connections == 0
    assert len(step.kept) == 1
    assert [entry["event"] for entry in logs] == ["smtp.unheard", "smtp.session"]


@journey
async def test_drain_finishes_open_transactions_and_says_421_to_the_idle():
    step = Step()
    async with serving(step) as listener:
        idle, busy = await connect(listener), await connect(listener)
        await busy.codes(ENVELOPE, 3)
        port = listener.port
        draining = asyncio.create_task(listener.drain(20))
        assert (await idle.reply())[1].startswith("421 4.3.2 ") and await idle.reply() == (0, "")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        busy.writer.write(MESSAGE + b".\r\n")
        assert [(await busy.reply())[0] for _ in range(3)] == [250, 421, 0]
        await draining
    assert len(step.kept) == 1


@journey
async def test_drain_ends_by_its_deadline():
    async with serving() as listener:
        client = await connect(listener)
        await client.codes(ENVELOPE, 3)
        started = time.monotonic()
        await listener.drain(0.3)
        assert time.monotonic() - started < 5 and listener.connections == 0
        assert await client.reply() == (0, "")
