"""Headers, mailboxes and MIME parts read from bytes."""

import os
from pathlib import Path

import pytest

from gateway.mail.message import Head, decode, decode_text, read_head, read_mailboxes, read_message_ids, walk
from gateway.mail.reply import Refused

PDF = b"%PDF-1.7 \x00\xff end"


def refusal(raw: bytes, **limits: int) -> str:
    with pytest.raises(Refused) as caught:
        read_head(raw, **limits)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (554, "5.6.0")
    return caught.value.reply.text


def spell(value: bytes | str) -> list[tuple[str, str]]:
    return [(item.display, str(item.address)) for item in read_mailboxes(value)]


def tree(raw: bytes, **limits: int) -> list[tuple[tuple[int, ...], str]]:
    return [(part.path, part.content_type) for part in walk(raw, **limits)]


def test_a_head_is_its_fields_in_order_and_the_offset_of_the_body() -> None:
    raw = b"From: a@x.md\r\nSubject: one\r\n two\r\nX-Empty:\r\n\r\nbody\r\n\r\nmore"
    head = read_head(raw)
    assert [(item.name, item.raw) for item in head.fields] == [
        (b"from", b"From: a@x.md\r\n"),
        (b"subject", b"Subject: one\r\n two\r\n"),
        (b"x-empty", b"X-Empty:\r\n"),
    ]
    assert raw[head.body_at :] == b"body\r\n\r\nmore"
    assert b"".join(item.raw for item in head.fields) == raw[: head.body_at - 2]
    assert (head.text("SUBJECT"), head.raw_value("subject"), head.count("From")) == ("one two", b"one two", 1)
    assert not head.has("to") and head.text("to") == "" and head.raw_value("to") == b"" and head.texts("to") == ()


@pytest.mark.parametrize("eol", [b"\r\n", b"\n", b"\r", b"\r\r\n"])
@pytest.mark.parametrize("strict", [True, False])
def test_any_line_end_is_understood_and_fields_come_out_with_crlf(eol: bytes, strict: bool) -> None:
    raw = eol.join((b"From: a@x.md", b"Subject: one", b"\ttwo", b"", b"body"))
    head = read_head(raw, strict=strict)
    assert [item.raw for item in head.fields] == [b"From: a@x.md\r\n", b"Subject: one\r\n\ttwo\r\n"]
    assert raw[head.body_at :] == b"body"


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n"])
def test_a_header_without_body_is_one(end: bytes) -> None:
    raw = b"A: 1\r\nB: 2" + end
    head = read_head(raw)
    assert ([item.raw for item in head.fields], head.body_at) == ([b"A: 1\r\n", b"B: 2\r\n"], len(raw))


@pytest.mark.parametrize(
    ("raw", "line", "word"),
    [
        (b"Hello Ana\r\n\r\n", 1, "no colon"),
        (b"A: 1\r\nB: 2\r\n 3\r\njunk line\r\n\r\n", 4, '"junk line" has no colon'),
        (b"A: 1\nB: 2\njunk\n\n", 3, "no colon"),
        (b"A: 1\r\nB B: 2\r\n\r\n", 2, '"B B" holds characters'),
        (b"A: 1\r\nSubject : 2\r\n\r\n", 2, '"Subject " holds characters'),
        (b"A: 1\r\nS\xc3\xbcbject: 2\r\n\r\n", 2, "holds characters"),
        (b"A: 1\r\n: 2\r\n\r\n", 2, "no field name"),
        (b"A: 1\r\nB: 2\0\r\n\r\n", 2, "NUL"),
        (b"\r\nA: 1\r\n\r\n", 1, "no header"),
        (b" A: 1\r\n\r\n", 1, "begins with a blank"),
        (b"From ana@x.md Mon Nov 23 10:00:00 2026\r\nA: 1\r\n\r\n", 1, "holds characters"),
    ],
)
def test_what_is_no_header_is_refused_with_its_line(raw: bytes, line: int, word: str) -> None:
    text = refusal(raw)
    assert text.startswith(f"Header line {line}: ") and word in text


def test_an_empty_message_is_refused() -> None:
    assert "empty" in refusal(b"")


def test_a_header_has_a_limit_of_bytes_and_of_fields() -> None:
    fields = b"A: 1\r\n" * 10
    assert len(read_head(fields + b"\r\n", max_fields=10).fields) == 10
    assert "more than 9 fields" in refusal(fields + b"\r\n", max_fields=9)
    assert read_head(fields + b"\r\nbody", limit=62).body_at == 62
    assert "larger than 40 bytes" in refusal(fields + b"\r\nbody", limit=40)
    assert "larger than 50 bytes" in refusal(b"A: " + b"x" * 100 + b"\r\n\r\n", limit=50)


def test_a_refusal_shows_no_control_characters_and_little_of_the_line() -> None:
    text = refusal(b"\x1b[2J" + b"x" * 5000 + b"\r\n\r\n")
    assert text.isprintable() and len(text) < 300


@pytest.mark.parametrize(
    ("raw", "names", "rest"),
    [
        (b"From ana@x.md Mon Nov\nA: 1\n\nbody", [b"a"], b"body"),
        (b">From ana\r\nA: 1\r\n\r\nbody", [b"a"], b"body"),
        (b"A: 1\r\nno field here\r\nB: 2\r\n", [b"a"], b"no field here\r\nB: 2\r\n"),
        (b"Just text\r\n", [], b"Just text\r\n"),
        (b"Subject : x\r\n\r\nbody", [b"subject"], b"body"),
        (b"\r\nbody", [], b"body"),
        (b"", [], b""),
    ],
)
def test_read_tolerantly_the_first_line_that_is_no_field_begins_the_body(
    raw: bytes, names: list[bytes], rest: bytes
) -> None:
    head = read_head(raw, strict=False)
    assert ([item.name for item in head.fields], raw[head.body_at :]) == (names, rest)


def test_read_tolerantly_limits_end_the_header_instead_of_refusing() -> None:
    assert len(read_head(b"A: 1\r\n" * 50 + b"\r\n", max_fields=7, strict=False).fields) == 7
    assert len(read_head(b"A: 1\r\n" * 50 + b"\r\n", limit=60, strict=False).fields) < 10


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"ana@x.md", [("", "ana@x.md")]),
        (b"<ana@X.MD>", [("", "ana@x.md")]),
        (b"Ana Popescu <ana@x.md>", [("Ana Popescu", "ana@x.md")]),
        (b'"Popescu, Ana" <ana@x.md>, b@y.md', [("Popescu, Ana", "ana@x.md"), ("", "b@y.md")]),
        (b'"a \\"b\\" c" <ana@x.md>', [('a "b" c', "ana@x.md")]),
        (b"=?utf-8?Q?Popescu,_Ana?= <ana@x.md>", [("Popescu, Ana", "ana@x.md")]),
        (b'"=?utf-8?B?0JDQvdCw?=" <ana@x.md>', [("Ана", "ana@x.md")]),
        (b"=?utf-8?Q?An?= =?utf-8?Q?a?= P <ana@x.md>", [("Ana P", "ana@x.md")]),
        ("Ана Попеску <ana@x.md>".encode(), [("Ана Попеску", "ana@x.md")]),
        ("Анна <ana@x.md>".encode("cp1251"), [("Анна", "ana@x.md")]),
        (b"ana@x.md (Ana (the boss) P)", [("Ana (the boss) P", "ana@x.md")]),
        (b"Ana (x@y.md) <ana@x.md> (c)", [("Ana", "ana@x.md")]),
        (b"Staff: ana@x.md, Bob <b@y.md>; c@z.md", [("", "ana@x.md"), ("Bob", "b@y.md"), ("", "c@z.md")]),
        (b"undisclosed-recipients:;", []),
        (b"<@a.md,@b.md:ana@x.md>, b@y.md", [("", "ana@x.md"), ("", "b@y.md")]),
        (b"ana @ x.md", [("", "ana@x.md")]),
        (b"Ana ana@x.md", [("Ana", "ana@x.md")]),
        (b'"ana b"@x.md, b@y.md', [("", '"ana b"@x.md'), ("", "b@y.md")]),
        (b"ana@[192.0.2.1], b@y.md", [("", "ana@[192.0.2.1]"), ("", "b@y.md")]),
        (b"[ACME] Billing <b@y.md>", [("[ACME] Billing", "b@y.md")]),
        (b"junk, , ;, Ana <ana@x.md>, <>, @, a@, @b", [("Ana", "ana@x.md")]),
        (b'"never closed <ana@x.md>, b@y.md', [("never closed", "ana@x.md"), ("", "b@y.md")]),
        (b"Ana (never <ana@x.md>, b@y.md", [("Ana never", "ana@x.md"), ("", "b@y.md")]),
        (b"Ana <ana@x.md, Bob <b@y.md>", [("Ana", "ana@x.md"), ("Bob", "b@y.md")]),
        (b"mailto:ana@x.md", [("", "ana@x.md")]),
        (b"", []),
    ],
)
def test_mailboxes_are_found_and_junk_is_skipped(value: bytes, expected: list[tuple[str, str]]) -> None:
    assert spell(value) == expected


def test_mailboxes_are_bounded() -> None:
    assert len(read_mailboxes(b"a@x.md," * 5000)) == 1000
    assert len(read_mailboxes(b"a@x.md," * 5000, limit=2)) == 2
    (only,) = read_mailboxes(b"x" * 9000 + b" <a@x.md>")
    assert len(only.display) == 500


HOSTILE = [b'"\\' * 50_000, b'"' + b'\\"' * 50_000, b"(" * 99_000, b"(a)" * 33_000, b"<" * 99_000]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("tail", [b"", b"@ ", b", a@x.md"])
def test_hostile_address_lists_are_read_in_a_moment(value: bytes, tail: bytes) -> None:
    # Quadratic code needs minutes for these, which the runner's time limit turns into a failure.
    assert len(read_mailboxes(value + tail)) <= 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"<a@x> <b@y>", ("a@x", "b@y")),
        (b" <a@x>\r\n\t<b@y>", ("a@x", "b@y")),
        (b"<a@x><b@y>", ("a@x", "b@y")),
        (b'"Your message of Monday" <a@x>', ("a@x",)),
        (b"a@x", ("a@x",)),
        (b"a@x (Ana)", ()),
        (b" <a@x ", ("a@x",)),
        (b"@<:", ()),
        (b"a@x<b", ()),
        (b"<a b@x> <\x01@x>", ()),
        (b"", ()),
    ],
)
def test_message_ids_are_read_without_brackets(value: bytes, expected: tuple[str, ...]) -> None:
    assert read_message_ids(value) == expected


def test_message_ids_are_bounded_and_the_first_and_last_stay() -> None:
    ids = read_message_ids(b" ".join(b"<%d@x>" % i for i in range(5000)))
    assert (len(ids), ids[0], ids[-1]) == (200, "0@x", "4999@x")


MIXED = (
    b'Content-Type: multipart/mixed; boundary="b 1"\r\n\r\npreamble --b 1\r\n'
    b"--b 1\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\n\r\nplain\r\n--b  \r\nContent-Type: TEXT/HTML; charset=UTF-8\r\n\r\n<p>\r\n--b--\r\nepilogue\r\n"
    b"--b 1\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: BASE64\r\n"
    b"Content-Disposition: attachment; filename*=UTF-8''fa%C8%9B%C4%83.pdf\r\n\r\nJVBERi0xLjcgAP8gZW5k\r\n"
    b"--b 1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n--b 1--\r\n"
)


@pytest.mark.parametrize("eol", [b"\r\n", b"\n", b"\r"])
def test_the_tree_of_parts_is_walked_over_offsets(eol: bytes) -> None:
    raw = MIXED.replace(b"\r\n", eol)
    parts = {part.path: part for part in walk(raw)}
    assert [(path, part.content_type) for path, part in parts.items()] == [
        ((), "multipart/mixed"),
        ((1,), "multipart/alternative"),
        ((1, 1), "text/plain"),
        ((1, 2), "text/html"),
        ((2,), "application/pdf"),
        ((3,), "message/rfc822"),
        ((3, 1), "text/plain"),
    ]
    assert decode(raw, parts[1, 1]) == b"plain" and decode_text(raw, parts[1, 2]) == "<p>"
    pdf = parts[2,]
    assert decode(raw, pdf) == PDF
    assert (pdf.filename, pdf.disposition, pdf.encoding) == (
        "fa\u021b\u0103.pdf",
        "attachment",
        "base64",
    )
    assert raw[pdf.start : pdf.end] == b"JVBERi0xLjcgAP8gZW5k"
    assert (parts[3, 1].head.text("subject"), decode(raw, parts[3, 1])) == ("inner", b"inner body")


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        (b'Content-Disposition: attachment; filename="a b.pdf"', "a b.pdf"),
        (b"Content-Disposition: attachment; filename=a.pdf ; size=3", "a.pdf"),
        (b'Content-Disposition: attachment; filename="=?utf-8?B?0YQucGRm?="', "ф.pdf"),
        (b'Content-Disposition: attachment; filename="\xd1\x84.pdf"', "ф.pdf"),
        (b"Content-Disposition: attachment; filename*0*=windows-1251''%F4; filename*1=\".pdf\"", "ф.pdf"),
        (b"Content-Disposition: attachment; filename*1=b.pdf; filename*0=a", "ab.pdf"),
        (b"Content-Disposition: attachment; filename=old.pdf; filename*=utf-8''new.pdf", "new.pdf"),
        (b'Content-Type: application/pdf; name="n.pdf"\r\nContent-Disposition: attachment', "n.pdf"),
        (b'Content-Disposition: attachment; filename="..\\\\..\\\\evil/../x.pdf"', "x.pdf"),
        (b'Content-Disposition: attachment; filename="C:\\invoices\\new.pdf"', "new.pdf"),
        (b'Content-Disposition: attachment; filename="a\\"b.pdf"', 'a"b.pdf'),
        (b"Content-Disposition: attachment; filename*=utf-8''fdp.%E2%80%AEexe", "fdp.exe"),
        (b"Content-Disposition: attachment; filename*=utf-8''a%0D%0Ab.pdf", "a b.pdf"),
        (b"Content-Disposition: attachment; filename=..", ""),
        (b"Content-Disposition: attachment", ""),
    ],
)
def test_file_names_of_every_spelling_are_read_and_made_harmless(head: bytes, filename: str) -> None:
    (part,) = walk(head + b"\r\n\r\n")
    assert (part.filename, part.disposition) == (filename, "attachment")


@pytest.mark.parametrize("value", [b"text", b"", b"foo bar/baz qux", b"multipart/mixed", b"text/plain; charset"])
def test_a_malformed_content_type_is_one_part_without_children(value: bytes) -> None:
    raw = b"Content-Type: " + value + b"\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"
    assert len(walk(raw)) == 1


def test_an_unclosed_multipart_keeps_its_last_part() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--bx\r\n--b\r\n\r\ntwo\r\n"
    assert [decode(raw, part) for part in walk(raw)[1:]] == [b"one\r\n--bx", b"two\r\n"]


def test_the_walk_has_limits_of_depth_and_parts() -> None:
    nested = b"Content-Type: message/rfc822\r\n\r\n" * 500
    assert max(len(part.path) for part in walk(nested)) == 50
    assert max(len(part.path) for part in walk(nested, depth=3)) == 3
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5000
    assert len(walk(many)) == 1000
    assert len(walk(many, parts=5)) == 5


@pytest.mark.parametrize("junk", [b"--b--b\r\n" * 200_000, b"-" * 3_000_000, b"--b \t" * 400_000])
def test_lines_that_only_look_like_boundaries_cost_little(junk: bytes) -> None:
    assert len(walk(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + junk)) == 2


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        (b"base64", b"SGVs bG8h\r\n", b"Hello!"),
        (b"base64", b"SGVsbG8", b"Hello"),
        (b"base64", b"SGVsbG8hA", b"Hello!"),
        (b"base64", b"!!\xff", b""),
        (b"quoted-printable", b"a=3Db=\r\nc =C4=83", "a=bc ă".encode()),
        (b"quoted-printable", b"a=ZZ=", b"a=ZZ"),
        (b"8bit", b"\xc4\x83", b"\xc4\x83"),
        (b"nonsense", b"=3D", b"=3D"),
    ],
)
def test_transfer_encodings_are_undone_as_far_as_they_hold(encoding: bytes, body: bytes, expected: bytes) -> None:
    raw = b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body
    assert decode(raw, walk(raw)[0]) == expected


@pytest.mark.parametrize("charset", [b"windows-1251", b"utf-8", b"us-ascii", b"x-unknown", b"punycode", b"base64", b""])
def test_text_is_decoded_even_when_its_charset_is_wrong_or_unknown(charset: bytes) -> None:
    raw = b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\n" + "Счёт\r\nготов".encode("cp1251")
    assert decode_text(raw, walk(raw)[0]) == "Счёт\nготов"


def test_attached_mail_of_a_digest_is_entered() -> None:
    raw = b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: in\r\n\r\nx\r\n--b--\r\n"
    assert tree(raw) == [((), "multipart/digest"), ((1,), "message/rfc822"), ((1, 1), "text/plain")]


def test_a_head_is_a_value() -> None:
    assert read_head(b"A: 1\r\n\r\n") == read_head(b"A: 1\r\n\r\n") and isinstance(read_head(b"A: 1\r\n"), Head)


@pytest.mark.corpus
def test_no_report_that_others_collected_stops_the_reader(pytestconfig: pytest.Config) -> None:
    shared = Path(os.environ.get("AR_SHARED") or pytestconfig.rootpath.parent / "shared")
    files = [path for path in (shared / "corpus" / "bounces").rglob("*") if path.suffix in (".eml", ".txt", ".msg")]
    if not files:
        pytest.skip("the corpus of bounces is not here (AR_SHARED)")
    without = 0
    for path in files:
        raw = path.read_bytes()
        parts = walk(raw)
        without += not parts[0].head.fields
        for part in parts:
            assert 0 <= part.start <= part.end <= len(raw)
            decode_text(raw, part)
    assert without < len(files) / 10


def test_boundaries_in_a_row_enclose_empty_parts() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\nx\r\n--b--\r\n"
    assert [(part.end >= part.start, decode(raw, part)) for part in walk(raw)[1:]] == [(True, b""), (True, b"x")]


@pytest.mark.parametrize(("false", "parts"), [(9_999, 3), (10_000, 2)])
def test_after_ten_thousand_false_boundaries_a_multipart_is_cut_no_further(false: int, parts: int) -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + b"--bx\r\n" * false + b"--b\r\n\r\nlast"
    assert len(walk(raw)) == parts
