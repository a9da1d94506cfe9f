"""Arbitrary bytes through everything that reads or brands: nothing but `Refused` comes out, and results keep shape."""

import contextlib
from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.mail.address import Address
from gateway.mail.header_text import decode_words
from gateway.mail.message import decode, decode_text, read_head, read_mailboxes, read_message_ids, walk
from gateway.mail.reply import Refused
from gateway.outbound.branding import Frame, brand, needs
from gateway.outbound.signing import canonical_body

FRAME = Frame(
    author_name="Acme",
    author=Address("a", "acme.example"),
    reply_to_name="",
    reply_to=Address("r", "inbox.example"),
    message_id="1@acme.example",
    thread_root="t@acme.example",
    date=datetime(2026, 11, 24, tzinfo=UTC),
)
NAMES = ["From", "To", "Cc", "Subject", "Date", "Content-Type", "Content-Disposition", "Content-Transfer-Encoding"]
NAMES += ["X-Y", "MIME-Version", "References", "x" * 80, "bad name", ""]
PIECES = [b"\r\n", b"\n", b"\r", b"\r\r\n", b" ", b"\t", b":", b";", b",", b"<", b">", b"(", b")", b'"', b"\\", b"@"]
PIECES += [b"=?utf-8?Q?", b"=?utf-8?B?", b"?=", b"=", b"--b", b"--", b"\0", b"\xff", "ă".encode(), b"\xf1\xf7\xb8"]
PIECES += [b"a@x.md", b"multipart/mixed; boundary=b", b"message/rfc822", b"base64", b"*0*=", b"utf-8''%", b"x" * 1000]
PIECES += [
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"'",
    b"[",
]
SOUP = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=40).map(b"".join)
FIELD = st.tuples(st.sampled_from(NAMES), SOUP).map(lambda pair: pair[0].encode() + b": " + pair[1] + b"\r\n")
MESSAGE = st.tuples(st.lists(FIELD, max_size=8).map(b"".join), SOUP).map(b"\r\n".join) | SOUP
VALUE = st.sampled_from(NAMES[:9]).flatmap(
    lambda name: SOUP.map(lambda value: name.encode() + b": " + value.translate(None, b"\r\n\0") + b"\r\n")
)
CLEAN = st.lists(VALUE, max_size=8, unique_by=lambda field: field.partition(b":")[0]).map(b"".join)


@given(MESSAGE)
@settings(max_examples=400)
def test_a_head_is_read_or_refused_and_covers_its_bytes(raw: bytes) -> None:
    loose = read_head(raw, strict=False)
    assert 0 <= loose.body_at <= len(raw)
    for item in loose.fields:
        assert item.raw.endswith(b"\r\n") and item.raw.count(b"\r") == item.raw.count(b"\n") == item.raw.count(b"\r\n")
        assert all(line[:1] in b" \t" for line in item.raw[:-2].split(b"\r\n")[1:])
        assert not set(loose.text(item.name.decode())) & set("\r\n\0\t")
    with contextlib.suppress(Refused):
        assert read_head(raw) == loose  # what is accepted strictly is read the same way tolerantly


@given(MESSAGE)
@settings(max_examples=400)
def test_the_walk_never_raises_and_stays_inside_the_message(raw: bytes) -> None:
    spans = {}
    for part in walk(raw):
        assert 0 <= part.start <= part.end <= len(raw)
        if part.path:
            start, end = spans[part.path[:-1]]
            assert start <= part.start and part.end <= end
        spans[part.path] = part.start, part.end
        decode(raw, part)
        decode_text(raw, part).encode()
        part.filename.encode()


@given(SOUP)
@settings(max_examples=400)
def test_values_are_read_into_strings_that_can_be_stored(value: bytes) -> None:
    for box in read_mailboxes(value):
        box.display.encode()
        assert not set(box.display + str(box.address)) & set("\r\n\0")
    assert all("<" not in item and item.isprintable() for item in read_message_ids(value))
    text = decode_words(value.decode("utf-8", "replace"))
    text.encode()
    assert not set(text) & set("\r\n\0\t")


@given(CLEAN, SOUP)
@settings(max_examples=400)
@example(b"To: \xff <a@x.md>\r\n", b"")
@example(b"Cc: \xffa@x.md\r\n", b"")
def test_what_is_branded_is_whole_and_what_is_not_is_refused(fields: bytes, body: bytes) -> None:
    raw = b"From: a@x.md\r\n" + fields.replace(b"From:", b"X-From:") + b"\r\n" + body
    try:
        head = read_head(raw)
        done = brand(raw, head, FRAME)
    except Refused as refused:
        assert refused.reply.code == 554
        return
    again = read_head(done)
    assert done[again.body_at :] == raw[head.body_at :]
    lines = done[: again.body_at - 4].split(b"\r\n")
    assert all(len(line.strip()) > 0 and len(line) <= 998 for line in lines)
    assert all(again.count(name) == 1 for name in ("from", "to", "date", "message-id", "reply-to"))
    boxes = [box for name in ("to", "cc") for box in read_mailboxes(again.raw_value(name))]
    assert needs(done).smtputf8 is not all(box.address.ascii for box in boxes)


@given(SOUP)
def test_the_canonical_body_is_stable(body: bytes) -> None:
    body = body.replace(b"\r", b"").replace(b"\n", b"\r\n")
    done = canonical_body(body)
    assert canonical_body(done) == done and b"  " not in done and b" \r\n" not in done and not done.endswith(b"\n\r\n")
