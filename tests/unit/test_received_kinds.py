"""Automatic mail is told from people's, in many languages; absences are read; what a person passes on is recognised."""

import base64
import html
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail.absence import read_absence
from gateway.mail.classify import Kind
from gateway.mail.received import ReceivedMail, read_mail

RECEIVED = Path(__file__).parents[1] / "corpus" / "received"
SENT = datetime(2026, 11, 16, 8, 0, tzinfo=UTC)
OWN = frozenset({"ana@client.example", "facturi@pilda.example"})
QUIET = frozenset({"person", "list", "automatic"})  # what calls for nothing, told apart elsewhere


def rows(name: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((RECEIVED / f"{name}.toml").read_text("utf-8"))[key]
    return found


def build(head: str, text: str) -> bytes:
    usual = {
        "From": "Ana Rusu <ana@client.example>",
        "To": "facturi@pilda.example",
        "Return-Path": "<ana@client.example>",
        "Date": "Mon, 16 Nov 2026 10:00:00 +0200",
        "Content-Type": "text/plain; charset=utf-8",
    }
    missing = [f"{name}: {value}" for name, value in usual.items() if f"\n{name}:" not in f"\n{head}"]
    return "\n".join([*missing, head, "", text]).encode()


WORDS = [
    "until",
    "from",
    "до",
    "31.2.",
    "99/99/9999",
    "24",
    "nov",
    "1st",
    "2026",
    "monday",
    "contact",
    "a@b.example",
    "月24日",
]
KINDS = rows("kinds", "mail")


@pytest.mark.parametrize("row", KINDS, ids=[f"{n}-{row['kind']}" for n, row in enumerate(KINDS)])
def test_each_mail_is_of_its_kind(row: dict[str, Any]) -> None:
    mail = read_mail(build(row["head"], row["text"]))
    if row["kind"] in QUIET:
        assert str(mail.kind) in QUIET, mail.why
    else:
        assert str(mail.kind) == row["kind"], mail.why


@pytest.mark.parametrize("row", rows("absences", "absence"), ids=lambda row: row["text"][:40])
def test_an_automatic_answer_says_who_is_back_when_and_whom_to_ask(row: dict[str, Any]) -> None:
    absence = read_absence(row["text"], SENT, OWN)
    wanted = date.fromisoformat(row["back_on"]) if row["back_on"] else None
    assert (absence.back_on, absence.substitute) == (wanted, row["substitute"])


def test_a_day_without_a_year_is_the_one_near_the_date_of_the_mail() -> None:
    december = datetime(2026, 12, 28, 8, 0, tzinfo=UTC)
    assert read_absence("I am away until 4 January.", december).back_on == date(2027, 1, 4)
    assert read_absence("I am away until 4 January.", None).back_on is None


def test_a_mail_has_an_absence_only_when_it_is_an_automatic_answer() -> None:
    away = build("Subject: Out of Office: x", "I left the firm: Ana no longer works here. Write to ion@client.example.")
    absence = read_mail(away).absence
    assert absence is not None
    assert (absence.left, absence.substitute) == (True, "ion@client.example")
    assert read_mail(build("Subject: Re: x", "I am on leave until 24 November.")).absence is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.lists(st.sampled_from(WORDS), max_size=30))
def test_any_words_have_an_absence_or_none(text: str, words: list[str]) -> None:
    absence = read_absence(" ".join([text, *words]), SENT, OWN)
    assert absence.back_on is None or date(2026, 11, 16) <= absence.back_on <= date(2028, 6, 1)


# -- what a person passes on

RETURNED = (
    "From: Pilda SRL <facturi@pilda.example>\nTo: ana@client.example\nSubject: Factura 102\n"
    "Date: Mon, 16 Nov 2026 08:59:58 +0200\nMessage-ID: <01HQ7inv@return.pilda.example>\nMIME-Version: 1.0\n\n"
    "Buna ziua\n"
)
NOTICE = (
    "This is the mail system at host out.pilda.example.\n\nI'm sorry to have to inform you that your message could "
    "not\nbe delivered to one or more recipients.\n\n<ana@client.example>: host mx.client.example[192.0.2.30] said: "
    "550 5.1.1\n    <ana@client.example>: User unknown (in reply to RCPT TO command)\n"
)
REPORT = (
    "Return-Path: <>\nFrom: MAILER-DAEMON@out.pilda.example (Mail Delivery System)\nTo: facturi@pilda.example\n"
    "Subject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=i\n\n"
    f"--i\nContent-Type: text/plain\n\n{NOTICE}\n--i\nContent-Type: message/delivery-status\n\n"
    "Reporting-MTA: dns; out.pilda.example\n\nFinal-Recipient: rfc822; ana@client.example\nAction: failed\n"
    "Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\n\n"
    f"--i\nContent-Type: message/rfc822\n\n{RETURNED}\n--i--\n"
)


def assert_passed_on(mail: ReceivedMail) -> None:
    assert (mail.kind, mail.forwarded) == (Kind.BOUNCE, True), mail.why
    assert mail.report is not None
    assert [(one.address, one.status.status, one.status.code) for one in mail.report.recipients] == [
        ("ana@client.example", "5.1.1", 550)
    ]
    assert mail.report.original.message_id == "01HQ7inv@return.pilda.example"


@pytest.mark.parametrize("row", rows("forwards", "forward"), ids=lambda row: row["name"])
@pytest.mark.parametrize("intro", ["", "Bună ziua, vedeți mai jos.\n\n"])
def test_a_report_passed_on_inline_is_found_as_the_client_writes_it(row: dict[str, Any], intro: str) -> None:
    head = f"Subject: {row['subject']}\nFrom: Ion <ion@pilda.example>"
    text = f"{intro}{row['head']}{NOTICE}\n{RETURNED}"
    assert_passed_on(read_mail(build(head, text)))
    encoded = base64.encodebytes(text.encode()).decode()
    assert_passed_on(read_mail(build(f"{head}\nContent-Transfer-Encoding: base64", encoded)))
    quoted = "\n".join(f"> {line}" for line in f"{row['head'].lstrip()}{NOTICE}\n{RETURNED}".split("\n"))
    assert_passed_on(read_mail(build(head, f"{intro}{quoted}")))
    page = f"<html><body><div>{html.escape(text)}</div></body></html>".replace("\n", "<br>\n")
    assert_passed_on(read_mail(build(f"{head}\nContent-Type: text/html; charset=utf-8", page)))


@pytest.mark.parametrize("row", rows("forwards", "forward"), ids=lambda row: row["name"])
def test_a_person_who_answers_and_quotes_a_report_wrote_a_reply(row: dict[str, Any]) -> None:
    quoted = "\n".join(f"> {line}" for line in f"{row['head'].lstrip()}{NOTICE}\n{RETURNED}".split("\n"))
    for subject in ("Re: Factura 102", "Re: Undelivered Mail Returned to Sender", "Factura 102"):
        mail = read_mail(build(f"Subject: {subject}", f"Nu a ajuns, ce facem?\n\n{quoted}"))
        assert mail.kind is Kind.PERSON, (subject, mail.why)


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("message/rfc822", ""),
        ("message/rfc822", "base64"),
        ('application/octet-stream; name="r.eml"', "base64"),
        ('text/plain; name="r.eml"', ""),
        ("application/eml", "base64"),
    ],
)
def test_a_report_passed_on_as_a_file_is_found(kind: str, encoding: str) -> None:
    body = base64.encodebytes(REPORT.encode()).decode() if encoding else REPORT
    transfer = f"Content-Transfer-Encoding: {encoding}\n" if encoding else ""
    text = (
        f"--o\nContent-Type: text/plain\n\nVedeti raportul.\n--o\nContent-Type: {kind}\n"
        f'Content-Disposition: attachment; filename="r.eml"\n{transfer}\n{body}\n--o--\n'
    )
    assert_passed_on(read_mail(build("Subject: raport\nContent-Type: multipart/mixed; boundary=o", text)))


def test_a_digest_of_a_list_that_holds_a_report_is_the_list_s() -> None:
    head = "Subject: Digest\nList-Id: <l.example>\nContent-Type: multipart/digest; boundary=o"
    assert read_mail(build(head, f"--o\n\n{REPORT}\n--o--\n")).kind is Kind.LIST
