"""What a received mail is: by what it states of itself first, then by evidence; a bounce needs more than words."""

import pytest

from gateway.mail.classify import Kind, read_evidence
from gateway.mail.received import read_mail

BOUNCE = "This is the mail system. Your message could not be delivered.\n\n<c@x.example>: 550 5.1.1 User unknown\n"


def kind_of(head: str, text: str = "hello") -> Kind:
    return read_mail(f"{head}\nTo: a@b.example\n\n{text}\n".encode()).kind


@pytest.mark.parametrize(
    "subject",
    [
        "Out of Office: Invoice 102",
        "Automatic reply: Invoice",
        "Autoreply",
        "Răspuns automat: factura",
        "Absent de la birou",
        "Автоматический ответ: счёт",
        "Автоответ",
        "Abwesenheitsnotiz",
        "Automatische Antwort: Rechnung",
        "Réponse automatique : facture",
        "Respuesta automática: factura",
        "Risposta automatica: fattura",
        "Automatisch antwoord: factuur",
        "Autosvar: faktura",
    ],
)
def test_out_of_office_subjects_are_known_in_the_languages_of_customers(subject: str) -> None:
    assert kind_of(f"From: Ana <ana@x.example>\nSubject: {subject}", "x") is Kind.AUTO_REPLY


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("From: a@x.example\nAuto-Submitted: auto-replied\nSubject: Re: Invoice", Kind.AUTO_REPLY),
        ("From: a@x.example\nX-Autoreply: yes\nSubject: Re: Invoice", Kind.AUTO_REPLY),
        ("From: a@x.example\nPrecedence: auto_reply\nSubject: x", Kind.AUTO_REPLY),
        ("From: a@x.example\nAuto-Submitted: auto-generated\nSubject: Backup done", Kind.AUTOMATIC),
        ("From: a@x.example\nAuto-Submitted: no\nSubject: Hello", Kind.PERSON),
        ("From: a@x.example\nList-Id: <l.x.example>\nSubject: Hello", Kind.LIST),
        ("From: noreply@x.example\nSubject: Your order", Kind.AUTOMATIC),
        ("From: Ana <ana@x.example>\nSubject: Re: Factura 102", Kind.PERSON),
    ],
)
def test_headers_of_automatic_mail_are_believed(head: str, kind: Kind) -> None:
    assert kind_of(head) is kind


@pytest.mark.parametrize(
    "head",
    [
        "From: Ana <ana@x.example>\nSubject: Re: Undelivered Mail Returned to Sender\nIn-Reply-To: <1@b.example>",
        "From: Ana <ana@x.example>\nSubject: mail could not be delivered, help",
        "From: List <list@x.example>\nSubject: Delivery failure howto\nList-Id: <l.x.example>",
        "From: Ana <ana@x.example>\nSubject: hello",
    ],
)
def test_words_of_a_bounce_from_a_person_make_no_bounce(head: str) -> None:
    assert kind_of(head, BOUNCE) not in (Kind.BOUNCE, Kind.DELAY, Kind.SUCCESS)


def test_a_mail_system_as_the_author_and_the_words_make_a_bounce() -> None:
    assert kind_of("From: MAILER-DAEMON@x.example\nSubject: failure notice", BOUNCE) is Kind.BOUNCE


def test_a_mail_system_that_says_something_else_makes_none() -> None:
    assert (
        kind_of("From: postmaster@x.example\nSubject: Maintenance on Sunday", "We move to a new server.")
        is not Kind.BOUNCE
    )


def test_an_out_of_office_with_an_empty_return_path_is_an_automatic_answer() -> None:
    head = "Return-Path: <>\nFrom: Fred <fred@x.example>\nSubject: Out of Office: I like turtles"
    assert kind_of(head, "I am away on vacation and will be back on June 1.") is Kind.AUTO_REPLY


def test_an_answer_that_quotes_a_forwarded_report_is_the_persons() -> None:
    quoted = (
        "See below\n\n---------- Forwarded message ---------\nFrom: MAILER-DAEMON@x.example\nSubject:"
        " Undelivered Mail\nDate: x\n\n"
    ) + BOUNCE
    assert kind_of("From: Ana <ana@x.example>\nSubject: Re: Fwd: Undelivered Mail", quoted) is Kind.PERSON
    assert kind_of("From: Ana <ana@x.example>\nSubject: Fwd: Undelivered Mail", quoted) is Kind.BOUNCE


def test_complaints_outside_rfc_5965_are_feedback() -> None:
    raw = (
        b"From: staff@provider.example\nSubject: complaint about message from 192.0.2.1\nContent-Type:"
        b" multipart/mixed; boundary=q\n\n--q\nContent-Type: message/rfc822\n\nFrom: a@b.example\nTo:"
        b" c@x.example\nMessage-ID: <1@b.example>\n\nx\n--q--\n"
    )
    mail = read_mail(raw)
    assert mail.kind is Kind.FEEDBACK
    assert mail.report is not None
    assert mail.report.original.message_id == "1@b.example"


def test_why_names_the_evidence_in_words() -> None:
    mail = read_mail(f"From: MAILER-DAEMON@x.example\nSubject: failure notice\n\n{BOUNCE}".encode())
    assert "the author is a mail system" in mail.why


def test_every_row_of_evidence_has_a_kind_with_a_least_weight_and_says_why() -> None:
    rows, least = read_evidence()
    assert all(row.kind in least and row.says and row.role for row in rows)
