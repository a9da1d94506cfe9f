"""What the bounded SMTP server does to bytes before any socket: parameters, the end of DATA, the count of guesses."""

import asyncio
import random

import pytest

from gateway.mail.reply import Refused
from gateway.wire.limits import FailedLogins, Limits, client_key
from gateway.wire.smtp_commands import decode_plain, parse_mail, parse_rcpt
from gateway.wire.smtp_data import SLICE, DataReader
from gateway.wire.smtp_input import BARE_LF, CommandBuffer, TooLong

SMUGGLED_ENDS = {
    "lf.lf": b"\n.\n",
    "lf.crlf": b"\n.\r\n",
    "cr.cr": b"\r.\r",
    "cr.crlf": b"\r.\r\n",
    "crlf.lf": b"\r\n.\n",
    "crlf.cr": b"\r\n.\r",
    "cr.lf": b"\r.\n",
    "lf.cr": b"\n.\r",
    "nulcrlf": b"\r\n\x00.\r\n",
    "crlf.crcrlf": b"\r\n.\r\r\n",
    "crcrlf": b"\r\r\n.\r\r\n",
}


def mail(text: str, esmtp: bool = True):
    return parse_mail(text, esmtp=esmtp, message_bytes=1000)


def rcpt(text: str, smtputf8: bool = False):
    return parse_rcpt(text, esmtp=True, smtputf8=smtputf8, hostname="GW.test")


def read(*chunks: bytes, message_bytes: int = 10_000, header_bytes: int = 1000) -> DataReader:
    reader = DataReader(message_bytes, header_bytes)
    for chunk in chunks:
        reader.feed(chunk)
    return reader


def test_mail_reads_all_parameters():
    envelope = mail("FROM:<ana@x.example> SIZE=999 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=a+2Bb AUTH=<>")
    assert str(envelope.return_path) == "ana@x.example"
    assert (envelope.size, envelope.body, envelope.smtputf8) == (999, "8BITMIME", True)
    assert (envelope.ret, envelope.envid) == ("HDRS", "a+b")


def test_empty_path_is_the_null_return_path():
    assert mail("from:<>").return_path is None


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("FROM:ana@x.example", 501, "5.5.2"),
        ("FROM:<ana@x.example>SIZE=1", 501, "5.5.2"),
        ("FROM:<ana@x.example>, <evil@x.example>", 501, "5.5.2"),
        ("FROM:<ana b@x.example>", 501, "5.5.2"),
        ("FROM:<root>", 501, "5.1.7"),
        ("FROM:<ană@x.example>", 553, "5.6.7"),
        ("FROM:<a@x.example> SIZE=1001", 552, "5.3.4"),
        ("FROM:<a@x.example> SIZE=-1", 501, "5.5.4"),
        ("FROM:<a@x.example> SIZE=" + "9" * 400, 501, "5.5.4"),
        ("FROM:<a@x.example> SIZE=1 SIZE=2", 501, "5.5.4"),
        ("FROM:<a@x.example> BODY=BINARYMIME", 501, "5.5.4"),
        ("FROM:<a@x.example> RET=ALL", 501, "5.5.4"),
        ("FROM:<a@x.example> ENVID=" + "e" * 101, 501, "5.5.4"),
        ("FROM:<a@x.example> ENVID=a+0A", 501, "5.5.4"),
        ("FROM:<a@x.example> ENVID=a+zz", 501, "5.5.4"),
        ("FROM:<a@x.example> SMTPUTF8=1", 501, "5.5.4"),
        ("FROM:<a@x.example> HOLDFOR=1", 555, "5.5.4"),
    ],
)
def test_mail_refuses_in_words(text, code, status):
    with pytest.raises(Refused) as caught:
        mail(text)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, status)


def test_parameters_need_ehlo():
    with pytest.raises(Refused, match="555"):
        mail("FROM:<a@x.example> SIZE=1", esmtp=False)


def test_rcpt_reads_dsn_parameters():
    recipient = rcpt("TO:<ana@x.example> NOTIFY=failure,DELAY ORCPT=rfc822;Ana+2Bb@x.example")
    assert (recipient.notify, recipient.orcpt) == ("FAILURE,DELAY", "rfc822;Ana+b@x.example")
    assert rcpt("TO:<ană@x.example> ORCPT=utf-8;an\\x{103}@x.example", smtputf8=True).orcpt == "utf-8;ană@x.example"


def test_postmaster_needs_no_domain():
    assert str(rcpt("TO:<Postmaster>").address) == "Postmaster@gw.test"


@pytest.mark.parametrize(
    "parameter",
    [
        "NOTIFY=NEVER,FAILURE",
        "NOTIFY=SOON",
        "NOTIFY=DELAY,DELAY",
        "NOTIFY",
        "ORCPT=ana@x.example",
        "ORCPT=rfc822;a+0D+0A",
        "ORCPT=rfc822;" + "a" * 500,
        "ORCPT=utf-8;\\x{FFFFFF}",
        "ORCPT=utf-8;\\x{D800}",
    ],
)
def test_rcpt_refuses_malformed_dsn_parameters(parameter):
    with pytest.raises(Refused, match=r"501 5\.5\.4"):
        rcpt(f"TO:<a@x.example> {parameter}")


def test_plain_has_three_parts_and_speaks_for_itself_only():
    assert decode_plain(b"\0ana\0secret") == decode_plain(b"ana\0ana\0secret") == ("ana", "secret")
    for blob in (b"ana", b"a\0b\0c\0d", b"\0\xff\0x", b"bob\0ana\0secret"):
        with pytest.raises(Refused):
            decode_plain(blob)


@pytest.mark.parametrize("name", SMUGGLED_ENDS)
def test_only_crlf_dot_crlf_ends_data_and_a_bare_line_end_refuses_it(name):
    wire = b"Subject: x\r\n\r\nline" + SMUGGLED_ENDS[name] + b"MAIL FROM:<evil@x.example>\r\n.\r\nNOOP\r\n"
    reader = DataReader(10_000, 1000)
    assert reader.feed(wire) == len(wire) - len(b"NOOP\r\n")
    assert reader.refusal is not None and reader.refusal.code == 554
    one_by_one = read(*(wire[i : i + 1] for i in range(len(wire) - 6)))
    assert one_by_one.done and one_by_one.refusal == reader.refusal


def test_the_refusal_says_what_and_where():
    assert "bare LF in line 3" in str(read(b"a: b\r\n\r\nc\nd\r\n.\r\n").refusal)
    assert "bare CR in line 2" in str(read(b"a: b\r\nx\r", b"y\r\n.\r\n").refusal)
    assert "NUL byte in line 1" in str(read(b"a: \0b\r\n", b".\r\n").refusal)


def test_dots_are_unstuffed_wherever_the_chunks_are_cut():
    wire = b"..first\r\n\r\n..\r\n...x\r\n.y\r\nz..\r\n..\r\n.\r\n"
    expected = b".first\r\n\r\n.\r\n..x\r\ny\r\nz..\r\n.\r\n"
    for cut in range(len(wire)):
        reader = read(wire[:cut], wire[cut:]) if cut else read(wire)
        assert reader.done and reader.refusal is None
        assert reader.take() == expected
    assert read(b".\r\n").take() == b""


def test_a_large_message_is_unstuffed_in_slices_that_cut_nothing():
    rng = random.Random(4)
    lines = [b"." * rng.randrange(3) + b"x" * rng.randrange(60) for _ in range(90_000)]
    wire = b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"
    reader = DataReader(10 * SLICE, 10 * SLICE)
    step = 65_521
    for start in range(0, len(wire), step):
        reader.feed(wire[start : start + step])
    assert reader.done and reader.refusal is None and reader.large
    assert b"".join(reader.slices()) == b"".join(line + b"\r\n" for line in lines)


def test_size_is_counted_without_stuffed_dots_and_memory_stays_bounded():
    fits = read(b"\r\n" + b"..\r\n" * 32 + b".\r\n", message_bytes=98)
    assert fits.refusal is None and len(fits.take()) == 98
    over = read(b"\r\n" + b"..\r\n" * 33 + b".\r\n", message_bytes=98)
    assert over.refusal is not None and (over.refusal.code, over.refusal.enhanced) == (552, "5.3.4")
    flood = read(*[b"x" * 100_000] * 50, message_bytes=98)
    assert not flood.done and len(flood._store) <= 4
    assert flood.feed(b"\r\n.\r\nNOOP\r\n") == 5 and flood.refusal is not None and flood.refusal.code == 552


def test_a_large_header_section_is_refused_and_a_large_body_is_not():
    refusal = read(b"a: " + b"b" * 2000 + b"\r\n\r\nx\r\n.\r\n").refusal
    assert refusal is not None and "header section has more than 1000 bytes" in refusal.text
    assert read(b"a: b\r\n\r\n" + b"b" * 2000 + b"\r\n.\r\n").refusal is None


def test_commands_are_cut_at_crlf_only():
    buffer = CommandBuffer()
    buffer.add(b"NOOP\r\nMAIL FROM:<a\nRCPT TO:<evil@x.example>\r\nQUI")
    assert buffer.cut(50, 100, long=False) == b"NOOP"
    assert buffer.cut(50, 100, long=False) == b"MAIL FROM:<a\nRCPT TO:<evil@x.example>"
    assert buffer.cut(50, 100, long=False) is None
    buffer.add(b"T\n")
    assert buffer.cut(50, 100, long=False) == BARE_LF and not len(buffer)


def test_a_line_is_bounded_before_it_ends_and_auth_may_be_longer():
    buffer = CommandBuffer()
    buffer.add(b"auth PLAIN " + b"A" * 80)
    assert buffer.cut(50, 100, long=False) is None
    buffer.add(b"A" * 20)
    with pytest.raises(TooLong):
        buffer.cut(50, 100, long=False)
    other = CommandBuffer()
    other.add(b"A" * 51)
    assert other.cut(50, 100, long=True) is None
    with pytest.raises(TooLong):
        other.cut(50, 100, long=False)


def test_one_client_is_an_ipv4_address_or_an_ipv6_network():
    assert client_key("::ffff:192.0.2.7") == client_key("192.0.2.7")
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff%eth0") != client_key("2001:db8:0:1::1")


def guess(logins: FailedLogins, password: str, now: float, username: str = "ana") -> bool:
    """Whether a wrong password was looked at."""
    if logins.wait_seconds("c", username, password, Limits(), now):
        return False
    logins.failed("c", username, password, now)
    return True


def test_ten_failed_logins_a_minute_and_fifty_guesses_a_day():
    logins = FailedLogins()
    assert [guess(logins, f"p{i}", 5.0) for i in range(12)] == [True] * 10 + [False] * 2
    assert logins.wait_seconds("other", "ana", "x", Limits(), 5.0) == 0
    looked_at = sum(guess(logins, f"q{minute}-{i}", 100.0 + 61 * minute) for minute in range(60) for i in range(9))
    assert 10 + looked_at <= 50
    assert logins.wait_seconds("c", "ana", "x", Limits(), 50_000.0) > 3600
    assert guess(logins, "x", 5.0 + 86_401)


def test_a_stale_password_repeated_all_night_does_not_use_up_the_day():
    logins = FailedLogins()
    assert all(guess(logins, "stale", 10.0 * i) for i in range(1000))


def test_a_neighbour_who_logged_in_before_survives_a_burst_but_not_a_used_up_day():
    logins = FailedLogins()
    logins.succeeded("c", "bob", "right")
    for i in range(12):
        guess(logins, f"p{i}", 1.0)
    assert logins.wait_seconds("c", "bob", "right", Limits(), 2.0) == 0
    assert logins.wait_seconds("c", "bob", "wrong", Limits(), 2.0) > 0
    for i in range(60):
        guess(logins, f"r{i}", 3.0)
    assert logins.wait_seconds("c", "bob", "right", Limits(), 4.0) > 0


def test_the_table_of_failed_logins_is_bounded():
    async def fill() -> FailedLogins:
        logins = FailedLogins()
        for i in range(10_500):
            logins.turn(f"client {i}", "ana", "x")
        return logins

    assert len(asyncio.run(fill())._records) == 10_000
