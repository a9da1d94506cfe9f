"""Header fields written: what they say comes back, and nothing can break out of them."""

import email
import email.policy
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail import header
from gateway.mail.address import Address
from gateway.mail.header_parameters import read_filename, read_parameters
from gateway.mail.header_text import decode_raw, decode_words, guess_charset
from gateway.mail.message import Mailbox, read_head, read_mailboxes

ANA = Address("ana", "x.md")


def check_shape(raw: bytes) -> None:
    """Every written field: CRLF only, one field, lines of at most 998 bytes, no blank line."""
    assert raw.endswith(b"\r\n") and raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    assert all(len(line.strip()) > 0 and len(line) <= 998 for line in raw[:-2].split(b"\r\n"))
    assert len(read_head(raw + b"\r\n").fields) == 1


def words(raw: bytes) -> list[bytes]:
    return re.findall(rb"=\?[^ \r\n]*\?=", raw)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invoice 12", b"Subject: Invoice 12\r\n"),
        ("", b"Subject:\r\n"),
        ("a  b", b"Subject: a  b\r\n"),
        ("Factură", b"Subject: =?UTF-8?Q?Factur=C4=83?=\r\n"),
        ("Счёт", b"Subject: =?UTF-8?B?0KHRh9GR0YI=?=\r\n"),
        ("a =?b", b"Subject: =?UTF-8?B?YSA9P2I=?=\r\n"),
        ("x\r\nBcc: evil@y.md", b"Subject: x Bcc: evil@y.md\r\n"),
    ],
)
def test_text_is_written_plainly_or_as_the_shorter_encoded_word(text: str, expected: bytes) -> None:
    assert header.encode_text("Subject", text) == expected


@given(st.text(max_size=400))
def test_written_text_reads_back_and_its_lines_are_short(text: str) -> None:
    raw = header.encode_text("Subject", text)
    check_shape(raw)
    printable = decode_words(decode_raw(text.encode("utf-8", "replace")))
    if text.isprintable() and "=?" not in text:
        assert read_head(raw + b"\r\n").text("subject") == printable.strip()
        if words(raw):
            assert all(len(line) <= 76 for line in raw.split(b"\r\n")) and all(len(word) <= 75 for word in words(raw))
    assert raw.isascii()


@given(st.text(st.characters(min_codepoint=0x400, max_codepoint=0x1F6FF, exclude_categories=["Cs"]), min_size=40))
def test_each_encoded_word_decodes_by_itself(text: str) -> None:
    # RFC 2047 §5: a character is never cut in two.
    for word in words(header.encode_text("Subject", text)):
        assert "\ufffd" not in decode_words(word.decode()) or "\ufffd" in text


@given(st.text(max_size=120))
def test_the_standard_library_reads_the_same_text(text: str) -> None:
    if not text.isprintable() or "=?" in text or text != text.strip():
        return
    message = email.message_from_bytes(header.encode_text("Subject", text) + b"\r\n", policy=email.policy.default)
    assert message["Subject"] == text


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "a\r\n b"])
def test_a_piece_with_a_line_end_is_a_bug_and_raises(value: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        header.fold("X", [f" {value}"])
    with pytest.raises(ValueError, match="line end"):
        header.message_ids("Message-ID", [value])
    with pytest.raises(ValueError, match="line end"):
        header.address_list("To", [Mailbox("", Address(value, "x.md"))])


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "ä"])
def test_a_name_that_is_none_raises(name: str) -> None:
    with pytest.raises(ValueError, match="not a field name"):
        header.encode_text(name, "x")


@pytest.mark.parametrize(
    ("display", "expected"),
    [
        ("", "ana@x.md"),
        ("Ana Popescu", "Ana Popescu <ana@x.md>"),
        ("Popescu, Ana", '"Popescu, Ana" <ana@x.md>'),
        ('A "B" \\', '"A \\"B\\" \\\\" <ana@x.md>'),
        ("Compania S.R.L.", '"Compania S.R.L." <ana@x.md>'),
        ("Ană", "=?UTF-8?Q?An=C4=83?= <ana@x.md>"),
        ("x\r\nTo: <b@y.md>", '"x To: <b@y.md>" <ana@x.md>'),
    ],
)
def test_a_mailbox_is_quoted_or_encoded_as_its_name_needs(display: str, expected: str) -> None:
    assert header.mailbox(display, ANA) == expected


def test_only_an_address_with_a_foreign_local_part_leaves_ascii() -> None:
    assert header.mailbox("", Address("ana", "пример.md")) == "ana@xn--e1afmkfd.md"
    assert header.mailbox("", Address("ана", "пример.md")) == "ана@пример.md"


@given(st.lists(st.text(max_size=60), max_size=12))
def test_a_list_of_mailboxes_reads_back(names: list[str]) -> None:
    boxes = [Mailbox(" ".join(name.split()), ANA) for name in names if name.isprintable() and "=?" not in name]
    raw = header.address_list("To", boxes)
    if boxes:
        check_shape(raw)
    assert list(read_mailboxes(read_head(raw + b"\r\n").raw_value("to"))) == boxes


def test_long_lists_are_folded_between_words() -> None:
    raw = header.address_list("To", [Mailbox("Ana Maria Popescu", ANA)] * 30)
    assert all(len(line) <= 76 for line in raw.split(b"\r\n")) and raw.count(b",") == 29


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=3, minutes=30))])
def test_a_date_is_written_with_its_zone(zone: timezone) -> None:
    when = datetime(2026, 11, 24, 10, 19, 3, tzinfo=zone)
    raw = header.date(when)
    assert email.message_from_bytes(raw + b"\r\n", policy=email.policy.default)["Date"].datetime == when
    assert raw.startswith(b"Date: Tue, 24 Nov 2026 10:19:03 ")


def test_a_date_without_zone_raises() -> None:
    with pytest.raises(ValueError, match="zone"):
        header.date(datetime(2026, 11, 24))


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a.pdf", b"Content-Disposition: attachment; filename=a.pdf\r\n"),
        ("a b.pdf", b'Content-Disposition: attachment; filename="a b.pdf"\r\n'),
        ("", b"Content-Disposition: attachment\r\n"),
        ('../a"\r\nX: y', b'Content-Disposition: attachment; filename="_a_ X_ y"\r\n'),
        (
            "factură.pdf",
            b"Content-Disposition: attachment; filename=\"factura.pdf\";\r\n filename*=UTF-8''factur%C4%83.pdf\r\n",
        ),
    ],
)
def test_a_file_name_is_written_for_old_and_new_readers(filename: str, expected: bytes) -> None:
    assert header.disposition("attachment", filename) == expected


@given(
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters='/\\:*?"<>|.='), min_size=1, max_size=300)
)
def test_a_file_name_reads_back_and_keeps_its_ending(stem: str) -> None:
    raw = header.disposition("attachment", stem + ".pdf")
    check_shape(raw)
    kind, parameters = read_parameters(read_head(raw + b"\r\n").raw_value("content-disposition"))
    name = read_filename(parameters, {})
    assert kind == "attachment" and name.endswith(".pdf") and stem.startswith(name[:-4])
    assert len(stem.encode()) > 196 or name == stem + ".pdf"


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("Счёт за ноябрь", "windows-1251"),
        ("Factură fiscală, ștampilă".replace("ș", "ş"), "windows-1250"),
        ("Müller & Café", "windows-1252"),
        ("Счёт, factură", "utf-8"),
    ],
)
def test_the_charset_of_raw_bytes_is_guessed_by_their_letters(text: str, charset: str) -> None:
    raw = text.encode(charset)
    assert guess_charset(raw) == charset and decode_raw(raw) == text


def test_one_broken_byte_in_utf8_does_not_change_the_charset() -> None:
    assert decode_raw("Счёт за ноябрь".encode()[:-1]) == "Счёт за ноябр\ufffd"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=?utf-8?Q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"),
        ("x =?utf-8?Q?a?=", "x a"),
        ("=?utf-8?B?0A==?= =?utf-8?B?kA==?=", "\u0410"),
        ("=?utf-8?Q?=D0?= =?utf-8?Q?=90?=", "\u0410"),
        ("=?windows-1251?Q?=D1?=\t=?utf-8?Q?a?=", "Сa"),
        ("=?utf-8*ro?Q?a_b?=", "a b"),
        ("=?nonsense?Q?=C4=83?=", "ă"),
        ("=?iso-8859-1?Q?=80?=", "€"),
        ("=?utf-8?Q?a=0D=0ABcc:_x?=", "a Bcc: x"),
        ("=?utf-7?Q?+2AA-?=", "\ufffd"),
        ("=?utf-8?X?a?= =?utf-8?Q?a", "=?utf-8?X?a?= =?utf-8?Q?a"),
        ("=?utf-8?B?!!!?=", ""),
    ],
)
def test_encoded_words_are_decoded_as_mail_clients_do(text: str, expected: str) -> None:
    assert decode_words(text) == expected


@pytest.mark.parametrize("text", ["ă" * 300, "Счёт" * 100, "abcdefgh ă" * 60, "€" * 200, "😀" * 100, "a" * 200 + "ă"])
@pytest.mark.parametrize("name", ["Subject", "X-A", "X-Auto-Response-Suppress-Long-Name"])
def test_long_encoded_text_keeps_words_to_75_and_lines_to_76(text: str, name: str) -> None:
    raw = header.encode_text(name, text)
    assert len(words(raw)) > 2 and all(len(word) <= 75 for word in words(raw))
    assert all(len(line) <= 76 for line in raw.split(b"\r\n"))
    assert read_head(raw + b"\r\n").text(name) == text


def test_a_long_message_id_never_makes_a_line_over_998_bytes() -> None:
    raw = header.message_ids("Message-ID", ["a" * 980 + "@x.md"])
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998 and len(read_head(raw + b"\r\n").fields) == 1
