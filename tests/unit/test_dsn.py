"""Reports are read as what they mean, whatever their shape; hostile bytes cost time in proportion and nothing else."""

import base64
import io
import json
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail.classify import Kind
from gateway.mail.dsn import batch
from gateway.mail.dsn.addresses import find_addresses
from gateway.mail.dsn.codes import find_codes
from gateway.mail.dsn.dates import read_date
from gateway.mail.dsn.decode import decode_words, strip_html
from gateway.mail.dsn.fields import read_blocks
from gateway.mail.dsn.parts import read_parts
from gateway.mail.received import ReceivedMail, read_attachment, read_mail, safe_filename
from gateway.mail.status import Action

REPORTS = Path(__file__).parents[1] / "corpus" / "reports"
EXPECTED: dict[str, Any] = json.loads((REPORTS / "expected.json").read_text("utf-8"))
ORIGINAL_ID = "01HQ7inv@return.pilda.example"


def load(name: str) -> bytes:
    return (REPORTS / f"{name}.eml").read_bytes()


def outcome(mail: ReceivedMail) -> list[dict[str, Any]]:
    if mail.report is None or mail.kind not in (Kind.BOUNCE, Kind.DELAY, Kind.SUCCESS):
        return []
    return [
        {
            "address": one.address,
            "status": one.status.status,
            "code": one.status.code,
            "action": str(one.status.action),
            "reason": one.status.reason,
        }
        for one in mail.report.recipients
    ]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_shape_is_read_as_what_it_means(name: str) -> None:
    mail = read_mail(load(name))
    assert str(mail.kind) == EXPECTED[name]["kind"], mail.why
    assert outcome(mail) == EXPECTED[name]["recipients"]
    assert mail.why


@pytest.mark.parametrize("name", sorted(EXPECTED))
@pytest.mark.parametrize("line_end", [b"\n", b"\r"])
def test_bare_line_ends_change_nothing(name: str, line_end: bytes) -> None:
    raw = load(name)
    other = read_mail(raw.replace(b"\r\n", line_end))
    assert (other.kind, outcome(other)) == (read_mail(raw).kind, outcome(read_mail(raw)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_whole_mail_in_utf_16_is_read(encoding: str) -> None:
    raw = load("standard-three-recipients").decode().encode(encoding)
    assert outcome(read_mail(raw)) == EXPECTED["standard-three-recipients"]["recipients"]


def test_a_standard_report_gives_everything_that_rfc_3464_carries() -> None:
    report = read_mail(load("standard-three-recipients")).report
    assert report is not None
    assert (report.reporting_mta, report.envelope_id) == ("mx.gazda.example", "QQ+314159")
    assert report.arrival_at == datetime(2026, 11, 16, 7, 0, tzinfo=UTC)
    first, second, _ = report.recipients
    assert (first.original, first.final) == ("ana@client.example", "ana@intern.client.example")
    assert first.diagnostic == "550 5.1.1 <ana@intern.client.example>: nu avem asemenea utilizator"
    assert first.remote_mta == "mx.client.example"
    assert second.will_retry_until == datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
    assert (first.passing, second.passing) == (False, True)


def test_the_returned_mail_gives_id_subject_date_recipients_and_every_address_of_ours() -> None:
    report = read_mail(load("standard-three-recipients")).report
    assert report is not None
    original = report.original
    assert (original.message_id, original.subject) == (ORIGINAL_ID, "Factură 102")
    assert original.date == datetime(2026, 11, 16, 6, 59, 58, tzinfo=UTC)
    assert original.to == ("ana@client.example", "ion@client.example", "eva@client.example")
    assert {"b+abcdefghijklmnop@return.pilda.example", "pilda+thread123@inbox.pilda.example"} <= set(original.addresses)


@pytest.mark.parametrize(
    "name",
    [
        "exchange-romanian",
        "prose-romanian",
        "prose-russian",
        "forwarded-inline",
        "forwarded-attachment",
        "complaint",
        "receipt",
    ],
)
def test_the_message_id_of_the_original_is_found_in_every_shape(name: str) -> None:
    report = read_mail(load(name)).report
    assert report is not None
    assert report.original.message_id == ORIGINAL_ID


@pytest.mark.parametrize("name", ["forwarded-inline", "forwarded-attachment"])
def test_a_report_that_a_person_passed_on_says_so(name: str) -> None:
    assert read_mail(load(name)).forwarded


def test_a_status_code_is_never_made_up() -> None:
    raw = (
        b"Return-Path: <>\nFrom: MAILER-DAEMON@x.example\nTo: a@b.example\nSubject: Undelivered mail\n"
        b"\nUser unknown: <c@x.example>\n"
    )
    report = read_mail(raw).report
    assert report is not None
    assert [(one.address, one.status.status, one.status.code) for one in report.recipients] == [("c@x.example", "", 0)]


def test_a_truncated_report_keeps_what_it_still_says() -> None:
    raw = load("standard-three-recipients")
    cut = raw[: raw.index(b"Remote-MTA")]
    assert outcome(read_mail(cut))[0]["status"] == "5.1.1"


def test_fields_in_plain_text_are_fields() -> None:
    raw = (
        b"From: postmaster@x.example\nTo: a@b.example\nSubject: Delivery failure\n\nDelivery failed.\n"
        b"\nFinal-Recipient: rfc822; c@x.example\nAction: failed\nStatus: 5.2.1\n"
    )
    assert outcome(read_mail(raw)) == [
        {"address": "c@x.example", "status": "5.2.1", "code": 0, "action": "failed", "reason": "mailbox_disabled"}
    ]


def test_a_wrapped_line_that_begins_with_an_address_names_no_recipient() -> None:
    raw = (
        b"Return-Path: <>\nFrom: MAILER-DAEMON@x.example\nTo: a@b.example\nSubject: Undelivered Mail\n"
        b"\nYour message could not be delivered to:\n\n<c@x.example>: host mx.x.example said: 550"
        b" 5.1.1\n    <b+token@b.example>: unauthorized sender\n"
    )
    assert [one["address"] for one in outcome(read_mail(raw))] == ["c@x.example"]


def test_words_between_two_recipients_belong_to_the_first() -> None:
    report = read_mail(load("unknown-form")).report
    assert report is not None
    assert "X-77" in report.recipients[0].diagnostic
    assert "X-77" not in report.recipients[1].diagnostic


def test_a_recipient_named_in_two_blocks_is_reported_once() -> None:
    block = "Final-Recipient: rfc822; c@x.example\nAction: failed\nStatus: 5.1.1\n\n"
    raw = (
        f"From: postmaster@x.example\nTo: a@b.example\nContent-Type: multipart/report;"
        f" report-type=delivery-status; boundary=q\n\n--q\nContent-Type: message/delivery-status\n\n"
        f"Reporting-MTA: dns; x\n\n{block * 3}\n--q--\n"
    )
    assert len(outcome(read_mail(raw.encode()))) == 1


def test_blocks_without_empty_lines_between_are_told_apart() -> None:
    text = "Reporting-MTA: dns; x\n" + "".join(
        f"Final-Recipient: rfc822; u{n}@x\nAction: failed\nStatus: 5.1.{n}\n" for n in (1, 2)
    )
    assert [block["status"] for block in read_blocks(text).recipients] == ["5.1.1", "5.1.2"]


def test_a_rejecting_receipt_is_a_bounce() -> None:
    raw = load("receipt").replace(
        b"Mesajul a fost citit.", b"Your message to <ana@client.example> was automatically rejected: no"
    )
    mail = read_mail(raw)
    assert (mail.kind, [one["address"] for one in outcome(mail)]) == (Kind.BOUNCE, ["ana@client.example"])


def test_a_service_notification_in_json_is_a_report() -> None:
    body = {
        "notificationType": "Bounce",
        "bounce": {
            "bouncedRecipients": [
                {"emailAddress": "c@x.example", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
            ]
        },
        "mail": {"source": "a@b.example", "destination": ["c@x.example"], "commonHeaders": {"subject": "S"}},
    }
    raw = b"From: no-reply@service.example\nTo: a@b.example\nSubject: Notification\n\n" + json.dumps(body).encode()
    assert outcome(read_mail(raw)) == [
        {"address": "c@x.example", "status": "5.1.1", "code": 550, "action": "failed", "reason": "mailbox_unknown"}
    ]


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("550 5.1.1 no such user", 550, "5.1.1"),
        ("550-5.1.1 no\n550 5.1.1 such", 550, "5.1.1"),
        ("host said: 452 4.2.2 full", 452, "4.2.2"),
        ("sorry, no mailbox here by that name (#5.1.1)", 0, "5.1.1"),
        ("554 4.4.7 Message expired <421 4.4.2 timed out>", 421, "4.4.2"),
        ("553 <a@b>... 550 Host unknown", 550, ""),
        ("connect to 5.1.1.4 port 25 failed after 432000 seconds", 0, ""),
        ("version 5.5.1a of the 500 users list", 0, ""),
        ("250 2.0.0 Ok", 0, "2.0.0"),
        ("", 0, ""),
    ],
)
def test_codes_are_those_that_stand_in_the_text(text: str, code: int, status: str) -> None:
    assert find_codes(text) == (code, status)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("<a@b.example>", ["a@b.example"]),
        ("SMTP=a@b.example;", ["a@b.example"]),
        ('"a b"@c.example.', ['"a b"@c.example']),
        ("bounce+u=x.example@lists.example, почта@пример.рф", ["bounce+u=x.example@lists.example", "почта@пример.рф"]),
        ("@ @@ a@ @b x@.y", []),
        ("a@[192.0.2.1]", ["a@[192.0.2.1]"]),
    ],
)
def test_addresses_are_found_by_their_at_sign(text: str, addresses: list[str]) -> None:
    assert [hit.address for hit in find_addresses(text)] == addresses


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Mon, 16 Nov 2026 09:00:00 +0200", datetime(2026, 11, 16, 7, 0, tzinfo=UTC)),
        ("2026-11-16T09:00:00Z", datetime(2026, 11, 16, 9, 0, tzinfo=UTC)),
        ("16 Nov 26 09:00 GMT", datetime(2026, 11, 16, 9, 0, tzinfo=UTC)),
        ("Mon, 32 Foo 2026 99:00:00", None),
        ("", None),
    ],
)
def test_a_date_that_cannot_be_read_is_none(text: str, wanted: datetime | None) -> None:
    assert read_date(text) == wanted


def test_encoded_words_and_unknown_charsets_give_text() -> None:
    assert decode_words("=?utf-8?B?RmFjdHVyxIM=?=\n =?utf-8?q?_102?=") == "Factură 102"
    assert decode_words("=?klingon?q?a?= =?idna?b?YQ==?=") == "aa"


def test_html_gives_the_lines_that_a_reader_sees() -> None:
    assert (
        strip_html("<head><title>x</title></head><style>a{}</style><p>A&nbsp;b</p><div>c<br>d</div><!-- e -->")
        == "A b\n\nc\nd"
    )
    assert strip_html("<p>a\nb</p><pre class=x>To: c\nFrom: d</pre>e\nf<br>g") == "a b\n\nTo: c\nFrom: d\ne f\ng"


def test_parts_are_found_with_missing_wrong_and_unclosed_boundaries() -> None:
    for head in ("boundary=q", "boundary=other", "x=y"):
        mail = read_parts(
            (
                f"Content-Type: multipart/mixed; {head}\n\n--qqqq\nContent-Type: text/plain\n\na\n--qqqq\n"
                f"Content-Type: text/html\n\nb\n"
            )
            .replace("boundary=q", "boundary=qqqq")
            .encode()
        )
        assert [part.kind for part in mail.parts] == ["multipart/mixed", "text/plain", "text/html"]


def test_attachments_have_safe_names_and_their_own_bytes() -> None:
    pdf = b"%PDF-1.7\r\n\x00\xff"
    raw = (
        (
            b"From: a@b.example\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\nhi\n--q\n"
            b"Content-Type: application/pdf\nContent-Disposition: attachment;"
            b' filename="..\\\\..\\\\etc/pa\x00ss\xe2\x80\xaewd.pdf"\nContent-Transfer-Encoding: base64\n'
            b"\n"
        )
        + base64.encodebytes(pdf)
        + b"--q--\n"
    )
    mail = read_mail(raw)
    (one,) = mail.attachments
    assert one.filename == "pass_wd.pdf"
    assert (one.size, read_attachment(raw, one), mail.text) == (len(pdf), pdf, "hi")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("", "attachment-1.pdf"),
        ("CON.txt", "_CON.txt"),
        ("a" * 200 + ".pdf", "a" * 112 + ".pdf"),
        ("..", "attachment-1.pdf"),
        ("факт?.pdf", "факт_.pdf"),
    ],
)
def test_no_file_name_leaves_its_folder_or_names_a_device(name: str, safe: str) -> None:
    got = safe_filename(name, 1, "application/pdf")
    assert got == safe
    assert len(got) <= 120


def test_the_batch_writes_one_line_per_path_in_order(tmp_path: Path) -> None:
    out = io.StringIO()
    batch.run([f"{REPORTS / 'success.eml'}\n", f"{tmp_path / 'none'}\n", f"{REPORTS / 'person.eml'}\n"], out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["kind"] for line in lines] == ["success", "normal", "normal"]
    assert [("error" in line) for line in lines] == [False, True, False]


def test_the_batch_gives_a_class_where_the_mail_carries_no_code() -> None:
    mail = batch.describe(read_mail(load("prose-romanian")))
    assert (mail["recipients"][0]["status"], mail["recipients"][0]["reply_code"]) == ("5", None)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_a_mail(raw: bytes) -> None:
    mail = read_mail(raw)
    assert pickle.loads(pickle.dumps(mail)) == mail


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(EXPECTED)),
    st.lists(
        st.tuples(
            st.integers(0, 3000),
            st.integers(0, 300),
            st.sampled_from([b"", b"\r", b"\n\n", b"\x00", b"--", b"=?", b"@", b"<", b"\xff"]),
        ),
        max_size=6,
    ),
)
def test_damaged_reports_raise_nothing(name: str, cuts: list[tuple[int, int, bytes]]) -> None:
    raw = load(name)
    for at, length, put in cuts:
        raw = raw[:at] + put + raw[at + length :]
    mail = read_mail(raw)
    batch.describe(mail)
    for one in mail.report.recipients if mail.report else ():
        assert one.status.action in Action


HOSTILE = {
    "many boundaries": b"Content-Type: multipart/mixed; boundary=q\n\n" + b"--q\n" * 60_000,
    "deep multiparts": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3000)
    ),
    "deep messages": b"Content-Type: message/rfc822\n\n" * 10_000,
    "addresses": b"To: " + b", ".join(b'"A" <a%d@b.example>' % n for n in range(20_000)) + b"\n\nx",
    "parameters": b"Content-Type: text/plain" + b"; a*0*=b" * 30_000 + b"\n\nx",
    "open tags": b"Content-Type: text/html\n\n<br>" + b"<p <header><!--" * 20_000,
    "recipients": b"From: MAILER-DAEMON@x\nSubject: Undelivered\n\n"
    + b"".join(b"<a%d@b.example>: 550 5.1.1 no\n" % n for n in range(8000)),
    "deep json": b'\n{"notificationType":' + b"[" * 200_000,
    "recipients without codes": b"From: MAILER-DAEMON@x\nSubject: Undelivered\n\n"
    + b"".join(
        b"<a%d@b.example>: something odd happened here to your item of whatever kind\n" % n for n in range(8000)
    ),
    "one recipient everywhere": b"From: MAILER-DAEMON@x\nSubject: Undelivered\n\n"
    + b"The following address failed: <a@b.example>: 550 no\n" * 480_000,
    "25 MB of pages": b"Content-Type: text/html\n\n" + b"<p>a@b.example<br><pre>x</pre>" * 800_000,
    "25 MB of a field": b"Subject: " + b"=?utf-8?q?=41?= " * 1_500_000 + b"\n\n",
    "25 MB forwarded": b"Subject: Fwd: x\n\n" + b"> From: x\n> To: y\n" * 1_300_000,
    "status parts": b"Content-Type: multipart/report; boundary=q\n\n"
    + b"--q\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822;a@b.example\nStatus: 5.1.1\n\n" * 2000,
    "days of absence": b"Subject: Out of office\nDate: Mon, 16 Nov 2026 10:00:00 +0200\n\naway until "
    + b"1.1.2026 january 1st " * 5000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_mail_is_bounded(name: str) -> None:
    mail = read_parts(HOSTILE[name])
    assert len(mail.parts) <= 1000
    assert max(part.depth for part in mail.parts) <= 50
    read_mail(HOSTILE[name])
