"""The tenant's frame on a submitted message: what is replaced, stripped, kept, completed and refused."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.mail.address import Address
from gateway.mail.message import Head, read_head
from gateway.mail.reply import Refused
from gateway.outbound.branding import Frame, Needs, brand, frame_fields, needs, read_author

FRAME = Frame(
    author_name="Compania Ținta",
    author=Address("facturare", "acme.example"),
    reply_to_name="Acme, S.R.L.",
    reply_to=Address("acme+token", "inbox.example"),
    message_id="1@acme.example",
    thread_root="thread.1@acme.example",
    language="ro",
    feedback_id="new_invoice:acme::gateway",
    date=datetime(2026, 11, 24, 10, 19, 3, tzinfo=UTC),
)
FIELDS = (
    b"From: Billing <billing@acme.example>\r\nTo: Ana <ana@client.example>\r\nSubject: Invoice 12\r\n"
    b"Date: Mon, 23 Nov 2026 09:00:00 +0200\r\n"
)
BODY = b"--b\r\n odd \t space  \r\n\r\n\r\nno line end"


def build(extra: bytes = b"", fields: bytes = FIELDS, body: bytes = BODY) -> bytes:
    return fields + extra + b"\r\n" + body


def branded(raw: bytes, frame: Frame = FRAME) -> Head:
    done = brand(raw, read_head(raw), frame)
    head = read_head(done)
    assert done[head.body_at :] == raw[read_head(raw).body_at :]
    assert all(len(line) <= 998 for line in done[: head.body_at].split(b"\r\n"))
    return head


def refusal(raw: bytes) -> str:
    with pytest.raises(Refused) as caught:
        brand(raw, read_head(raw), FRAME)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (554, "5.6.0")
    return caught.value.reply.text


def test_the_frame_replaces_author_reply_address_and_ids() -> None:
    head = branded(
        build(b"Reply-To: x@y.example\r\nMessage-ID: <inner@host>\r\nIn-Reply-To: <q@z>\r\nReferences: <q@z> <p@z>\r\n")
    )
    assert head.text("from") == "Compania Ținta <facturare@acme.example>"
    assert head.text("reply-to") == '"Acme, S.R.L." <acme+token@inbox.example>'
    assert head.text("message-id") == "<1@acme.example>"
    assert head.text("in-reply-to") == head.text("references") == "<thread.1@acme.example>"
    assert head.text("auto-submitted") == "auto-generated"
    assert head.text("x-auto-response-suppress") == "DR, RN, NRN, OOF, AutoReply"
    assert (head.text("content-language"), head.text("feedback-id")) == ("ro", "new_invoice:acme::gateway")
    assert all(head.count(item.name.decode()) == 1 for item in head.fields)


def test_the_submitters_own_fields_stay_as_they_were_written() -> None:
    kept = (
        b"Cc:  Bob <b@y.example>\r\nX-Mailer: ERP\r\n 5\r\nMIME-Version: 1.0\r\nContent-Type: a/b;\r\n\tboundary=b\r\n"
    )
    raw = build(kept)
    done = brand(raw, read_head(raw), FRAME)
    for field in read_head(kept + b"\r\n").fields:
        assert field.raw in done
    for name in ("to", "subject", "date"):
        assert read_head(done).raw_value(name) == read_head(raw).raw_value(name)


STRIPPED = [
    *("X-AR-Number", "X-AR-Meta-Order", "x-ar-", "X-PM-Tag", "X-PM-Metadata-a", "X-Mailgun-Tag", "X-Mailgun-Variables"),
    *("X-SMTPAPI", "X-SES-MESSAGE-TAGS", "X-Postal-Tag", "Idempotency-Key", "Resend-Idempotency-Key", "Bcc", "Sender"),
    *("Return-Path", "DKIM-Signature", "ARC-Seal", "ARC-Message-Signature", "DomainKey-Signature", "Resent-From"),
    *("Errors-To", "Disposition-Notification-To", "Return-Receipt-To", "Precedence", "Received", "X-Originating-IP"),
    *("Authentication-Results", "List-Unsubscribe", "List-Unsubscribe-Post", "Delivered-To", "Auto-Submitted"),
    *("X-Auto-Response-Suppress", "Feedback-ID", "X-Confirm-Reading-To"),
]


@pytest.mark.parametrize("name", STRIPPED)
def test_control_fields_traces_signatures_and_receipts_are_stripped(name: str) -> None:
    value = b"secret of the submitter"
    raw = build(name.swapcase().encode() + b": " + value + b"\r\n")
    done = brand(raw, read_head(raw), FRAME)
    assert value not in done


def test_every_received_field_of_the_submitter_goes() -> None:
    assert not branded(build(b"Received: from inner (10.0.0.1)\r\n\tby inner2\r\n" * 5)).has("received")


@pytest.mark.parametrize(
    "name",
    [
        "From",
        "To",
        "Cc",
        "Subject",
        "Date",
        "Reply-To",
        "Message-ID",
        "Sender",
        "MIME-Version",
        "Content-Type",
        "References",
    ],
)
def test_two_of_a_field_that_stands_once_are_refused_by_name(name: str) -> None:
    line = name.upper().encode() + b": a@x.example\r\n"
    text = refusal(build(line if name.encode() + b":" in FIELDS else line * 2))
    assert text.lower().startswith(f"the message has more than one {name.lower()} field")


def test_two_bcc_fields_are_dropped_not_refused() -> None:
    assert not branded(build(b"Bcc: a@x.example\r\nBcc: b@x.example\r\n")).has("bcc")


@pytest.mark.parametrize(
    ("author", "word"),
    [
        (b"a@x.example, b@x.example", "several authors"),
        (b"Team: a@x.example, b@x.example;", "several authors"),
        (b"", "no mail address"),
        (b"Ana", "no mail address"),
        (b"Nobody:;", "no mail address"),
    ],
)
def test_from_names_exactly_one_author(author: bytes, word: str) -> None:
    assert word in refusal(b"From: " + author + b"\r\nTo: a@x.example\r\n\r\n")


def test_a_message_without_from_is_refused() -> None:
    assert "no From" in refusal(b"To: a@x.example\r\n\r\n")


def test_the_author_is_read_with_name_and_address() -> None:
    author = read_author(read_head(b"From: =?utf-8?Q?An=C4=83?= <ana@x.example>\r\n\r\n"))
    assert (author.display, str(author.address)) == ("Ană", "ana@x.example")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"yesterday",
        b"2026-11-23T09:00:00Z",
        b"Mon, 31 Feb 2026 09:00:00 +0000",
        b"Mon, 23 Nov 2026 25:00:00 +0000",
    ],
)
def test_a_missing_or_impossible_date_is_made_from_the_frame(value: bytes) -> None:
    fields = b"From: a@x.example\r\nTo: b@y.example\r\n"
    for raw in (fields + b"\r\n", fields + b"Date: " + value + b"\r\n\r\n"):
        head = branded(raw)
        assert (head.count("date"), head.text("date")) == (1, "Tue, 24 Nov 2026 10:19:03 +0000")


@pytest.mark.parametrize("value", [b"23 Nov 2026 09:00 GMT", b"Mon,  3 Nov 2026 09:00:60 -0330 (EET)"])
def test_a_date_in_any_form_of_the_standard_stays(value: bytes) -> None:
    assert branded(b"From: a@x.example\r\nDate: " + value + b"\r\n\r\n").raw_value("date") == value


@pytest.mark.parametrize("to", [b"", b"To:\r\n", b"To: \r\n", b"To: \xff\xff\r\n"])
def test_mail_without_recipients_in_its_header_says_so(to: bytes) -> None:
    head = branded(b"From: a@x.example\r\n" + to + b"\r\n")
    assert (head.count("to"), head.text("to")) == (1, "undisclosed-recipients:;")


def test_mime_version_is_added_only_beside_content_fields() -> None:
    assert branded(build(b"Content-Type: text/plain\r\n")).text("mime-version") == "1.0"
    assert branded(build(b"Mime-version: 1.0 (x)\r\nContent-Type: text/plain\r\n")).count("mime-version") == 1
    assert not branded(build()).has("mime-version")


@pytest.mark.parametrize("charset", ["utf-8", "windows-1251"])
def test_eight_bit_text_without_a_type_gets_one(charset: str) -> None:
    head = branded(build(body="Счёт готов\r\n".encode(charset)))
    assert head.text("content-type") == f"text/plain; charset={charset}"
    assert (head.text("content-transfer-encoding"), head.text("mime-version")) == ("8bit", "1.0")
    given = branded(build(b"Content-Type: text/plain\r\n", body="Счёт\r\n".encode(charset)))
    assert (given.count("content-type"), given.text("content-type")) == (1, "text/plain")


@pytest.mark.parametrize("charset", ["utf-8", "windows-1251"])
def test_raw_eight_bit_values_leave_encoded(charset: str) -> None:
    text = "Ана Попеску".encode(charset)
    raw = (
        b"From: a@x.example\r\nTo: " + text + b" <ana@y.example>, b@y.example\r\nSubject: " + text + b"\r\n"
        b"X-Note: " + text + b'\r\nContent-Type: application/pdf; name="' + text + b'.pdf"; boundary="b 1"\r\n\r\n'
    )
    done = brand(raw, read_head(raw), FRAME)
    head = read_head(done)
    assert done.isascii() and needs(done) == Needs(eightbit=False, smtputf8=False)
    assert head.text("subject") == head.text("x-note") == "Ана Попеску"
    assert head.text("to") == "Ана Попеску <ana@y.example>, b@y.example"
    assert b'boundary="b 1"' in head.raw_value("content-type") and b"%D0%90" in head.raw_value("content-type")


def test_only_an_address_that_is_not_ascii_needs_smtputf8() -> None:
    raw = "From: a@x.example\r\nTo: ана@y.example\r\nSubject: Счёт\r\n\r\n".encode()
    done = brand(raw, read_head(raw), FRAME)
    assert needs(done) == Needs(eightbit=False, smtputf8=True)
    assert "ана@y.example" in done.decode() and read_head(done).raw_value("subject").isascii()


def test_eight_bit_in_the_body_alone_needs_8bitmime_alone() -> None:
    assert needs(b"A: 1\r\n\r\n\xc4\x83") == Needs(eightbit=True, smtputf8=False)
    assert needs(b"A: 1\r\n\r\na") == Needs(eightbit=False, smtputf8=False)


@pytest.mark.parametrize(
    "line",
    [
        b"X-Long: " + b"x" * 5000,
        b"X-Long: " + b"word " * 1000,
        b"Cc: " + b"a@x.example, " * 300,
        b"Content-Type: text/plain; " + b"a=b; " * 400,
        b"X-Blank: a\r\n \t\r\n b",
        b"X-Bell: a\x07\x1b[2Jb",
    ],
)
def test_long_lines_blank_folds_and_control_characters_are_rewritten(line: bytes) -> None:
    raw = build(line + b"\r\n")
    done = brand(raw, read_head(raw), FRAME)
    lines = done[: read_head(done).body_at - 4].split(b"\r\n")
    assert all(len(item.strip()) > 0 and len(item) <= 998 for item in lines)
    assert b"\x07" not in done and read_head(done).has(line.partition(b":")[0].decode())


def test_a_parameter_that_cannot_be_folded_is_refused() -> None:
    assert "cannot be folded" in refusal(build(b'Content-Type: text/plain; a="' + b"x" * 2000 + b'"\r\n'))


def test_too_many_or_too_long_fields_are_refused() -> None:
    assert branded(build(b"X-A: 1\r\n" * 97)).count("x-a") == 97  # with To, Subject and Date these are 100
    assert "has 101 header fields" in refusal(build(b"X-A: 1\r\n" * 98))
    assert "a field name has 77" in refusal(build(b"X" * 77 + b": 1\r\n")).lower()


@pytest.mark.parametrize("before", [0, 1, 2000, 200_000])
@pytest.mark.parametrize("length", [998, 999, 5000])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nmore\r\n"])
def test_a_body_line_over_998_bytes_is_refused_with_its_number_and_length(before: int, length: int, end: bytes) -> None:
    body = b"short line\r\n" * before + b"x" * length + end
    raw = build(body=body)
    if length <= 998:
        assert brand(raw, read_head(raw), FRAME).endswith(body)
        return
    text = refusal(raw)
    assert f"line {before + 1} has {length} bytes" in text and "base64" in text


@pytest.mark.parametrize("length", range(990, 1003))
def test_the_line_limit_is_exact_wherever_the_line_stands(length: int) -> None:
    for before in range(1, 40):
        raw = build(body=b"y" * (before * 25) + b"\r\n" + b"x" * length + b"\r\n" + b"z\r\n" * before)
        if length > 998:
            assert f"line 2 has {length} bytes" in refusal(raw)
        else:
            branded(raw)


def test_what_a_clerk_wrote_is_not_automatic() -> None:
    head = branded(build(b"Auto-Submitted: auto-replied\r\n"), replace(FRAME, automatic=False))
    assert not head.has("auto-submitted")


def test_references_begin_with_the_root_and_end_with_what_is_answered() -> None:
    frame = replace(FRAME, references=("r1@x", "thread.1@acme.example", *(f"m{i}@x" for i in range(50))))
    head = read_head(b"".join(frame_fields(frame)) + b"\r\n")
    ids = head.text("references").split()
    assert (len(ids), ids[0], ids[-1]) == (20, "<thread.1@acme.example>", "<m49@x>")
    assert head.text("in-reply-to") == "<m49@x>"


def test_a_frame_without_thread_language_and_feedback_leaves_those_out() -> None:
    frame = replace(FRAME, thread_root="", language="", feedback_id="")
    head = branded(build(b"Content-Language: ru\r\nIn-Reply-To: <x@y>\r\n"), frame)
    assert not head.has("in-reply-to") and not head.has("references") and not head.has("feedback-id")
    assert head.text("content-language") == "ru"


@pytest.mark.parametrize(
    "line",
    [b"Content-Disposition: \xff; filename=a.pdf", b"Content-Type: a/b; boundary=b; \xc4\x83=1", b"Content-Type: \xff"],
)
def test_eight_bit_types_and_parameter_names_do_not_leave(line: bytes) -> None:
    raw = build(line + b"\r\n", body=b"")
    assert brand(raw, read_head(raw), FRAME).isascii()


def test_an_address_whose_charset_must_be_guessed_is_refused() -> None:
    assert "not UTF-8" in refusal(build(b"Cc: \xffa@x.example\r\n"))
    assert branded(build(b"Cc: \xcd\xee\xf0\xe0 <a@x.example>\r\n")).text("cc") == "Нора <a@x.example>"


def test_eight_bit_in_the_header_alone_adds_no_content_type() -> None:
    head = branded(build(b"X-Note: \xc4\x83\r\n", body=b"ascii\r\n"))
    assert not head.has("content-type") and not head.has("content-transfer-encoding") and not head.has("mime-version")
