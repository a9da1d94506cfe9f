"""The reply reader: what is a reply, what is none, and that nothing a server sends is kept without bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.reply import Reply
from gateway.outbound.smtp_replies import (
    LINE_LIMIT,
    REPLY_LIMIT,
    Malformed,
    ReplyReader,
    parse_extensions,
    size_limit,
)


def read(data: bytes, most: int = 100) -> list[Reply]:
    reader, replies = ReplyReader(), []
    reader.feed(data, replies, most)
    return replies


@pytest.mark.parametrize(
    ("wire", "code", "enhanced", "text"),
    [
        (b"250 2.1.5 ok\r\n", 250, "2.1.5", "2.1.5 ok"),
        (b"250\r\n", 250, "", ""),
        (b"250 \r\n", 250, "", ""),
        (b"354 go\r\n", 354, "", "go"),
        (b"550-5.1.1 no such\r\n550 5.1.1 user\r\n", 550, "5.1.1", "5.1.1 no such\n5.1.1 user"),
        (b"550-we are sorry\r\n550 5.7.1 blocked\r\n", 550, "5.7.1", "we are sorry\n5.7.1 blocked"),
        (b"550 4.7.1 class does not agree\r\n", 550, "", "4.7.1 class does not agree"),
        (b"550 5.1.1000 no code\r\n", 550, "", "5.1.1000 no code"),
        (b"550 5.1.1no code\r\n", 550, "", "5.1.1no code"),
        (b"550 the code 5.1.1 is not in front\r\n", 550, "", "the code 5.1.1 is not in front"),
        (b"250 caf\xc3\xa9\r\n", 250, "", "café"),
        (b"250 caf\xe9\x00\r\n", 250, "", "caf\\xe9\x00"),
    ],
)
def test_a_reply_is_read_word_for_word(wire, code, enhanced, text):
    assert read(wire) == [Reply(code, enhanced, text)]


@pytest.mark.parametrize(
    "wire",
    [
        b"250 ok\n",
        b"250-a\n250 b\r\n",
        b"\r\n",
        b"\n",
        b"250-a\r\n\r\n",
        b"2x9 hm\r\n",
        b"25\r\n",
        b"2500 ok\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b"250_ok\r\n",
        b" 250 ok\r\n",
        b"250-a\r\n550 b\r\n",
        b"250 ok\r550 5.0.0 fake\r\n",
        b"250 ok\r\r\n",
        b"250 ok\r550 5.0.0 fake\n250 2.0.0 done\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_what_is_not_a_reply_is_malformed(wire):
    with pytest.raises(Malformed):
        read(wire)


def test_garbage_is_refused_before_its_line_ends():
    for size in range(1, 5):
        with pytest.raises(Malformed):
            read(b"garbage"[:size])
    for good in (b"2", b"25", b"250", b"250-", b"250 o", b"250\r"):
        assert read(good) == []


def test_a_line_may_have_16_kb_and_no_more():
    line = b"250 " + b"x" * (LINE_LIMIT - 6) + b"\r\n"
    assert len(line) == LINE_LIMIT
    assert len(read(line)) == 1
    with pytest.raises(Malformed, match="16 KB"):
        read(b"250 x" + line[4:])
    with pytest.raises(Malformed, match="16 KB"):
        read(b"250 " + b"x" * LINE_LIMIT)


def test_a_reply_may_have_256_kb_and_no_more():
    line = b"250-" + b"x" * 1018 + b"\r\n"
    whole = line * (REPLY_LIMIT // 1024 - 1) + b"250 " + b"x" * 1018 + b"\r\n"
    assert len(whole) == REPLY_LIMIT
    assert len(read(whole)) == 1
    with pytest.raises(Malformed, match="256 KB"):
        read(line * (REPLY_LIMIT // 1024 + 1))


def test_the_size_of_a_reply_is_counted_anew_for_each():
    line = b"250 " + b"x" * 10_000 + b"\r\n"
    assert len(read(line * 50)) == 50


def test_replies_beyond_those_asked_for_stay_unread():
    reader, replies = ReplyReader(), []
    reader.feed(b"250 one\r\n250 two\r\n", replies, 1)
    assert [reply.text for reply in replies] == ["one"]
    assert not reader.idle


def test_an_unfinished_reply_is_not_idle():
    reader, replies = ReplyReader(), []
    reader.feed(b"250-one\r\n", replies, 1)
    assert replies == []
    assert not reader.idle
    reader.feed(b"250 two\r\n", replies, 1)
    assert [reply.text for reply in replies] == ["one\ntwo"]
    assert reader.idle


@given(st.binary(max_size=200), st.integers(1, 7))
def test_how_the_bytes_are_cut_changes_nothing(tail, step):
    data = b"250-mx.test\r\n250 SIZE 1\r\n" + tail
    assert outcome(data, len(data)) == outcome(data, step)


def outcome(data: bytes, step: int) -> tuple[list[Reply], bool]:
    reader, replies = ReplyReader(), []
    try:
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step], replies, 1000)
    except Malformed:
        return replies, False
    return replies, True


def test_extensions_are_read_as_servers_write_them():
    (reply,) = read(b"250-mx.test PIPELINING\r\n250-size 1000\r\n250-AUTH PLAIN\r\n250-AUTH=LOGIN\r\n250 8BITMIME \r\n")
    assert parse_extensions(reply) == {"SIZE": "1000", "AUTH": "PLAIN LOGIN", "8BITMIME": ""}


@pytest.mark.parametrize(
    ("size", "limit"), [("1000", 1000), ("0", 0), ("", 0), ("-1", 0), ("1 2", 0), ("9" * 5000, 0), ("٣", 0)]
)
def test_a_size_that_is_no_number_is_no_limit(size, limit):
    assert size_limit({"SIZE": size}) == limit
    assert size_limit({}) == 0
