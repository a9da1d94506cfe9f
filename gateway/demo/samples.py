"""The sample tenant and its documents: what `gateway run` submits, and journeys too.

The documents lie in `samples/*.json`, in the form of the published schema, with `{today+14}` and the like in place of
dates, so that the demo never looks stale. Their recipients are addresses of `demo.world`, which says what becomes of
them. Everything here acts as a billing system does: it composes mail with the standard library and submits it by SMTP.
"""

import json
import re
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from importlib.resources import files
from types import MappingProxyType
from typing import Any
from uuid import uuid4

DOCUMENT_TYPE = ("application", "vnd.ar-gateway.document+json")
_MOMENT = re.compile(r"\{(today|year|month|month_end|next_month|next_month_end|next_year_end)(?:\+(\d{1,4}))?\}")

_PDF_SPECIAL = re.compile(r"[()\\]")
_PDF_ESCAPED = r"\\\g<0>"


@dataclass(frozen=True, slots=True)
class SampleTenant:
    """What a tenant is made from; `brand` is what a rendered mail shows of the company."""

    slug: str
    company: str
    language: str
    timezone: str
    contact_email: str
    author: str  # the address its billing system writes from
    username: str
    brand: Mapping[str, str] = field(hash=False)


TENANT = SampleTenant(
    slug="acme",
    company="Acme Servicii SRL",
    language="ro",
    timezone="Europe/Chisinau",
    contact_email="contabilitate@acme.example",
    author="facturare@acme.example",
    username="acme-billing",
    brand=MappingProxyType(
        {
            "colour": "#0b6e4f",
            "address": "str. Vasile Alecsandri 87, MD-2012 Chișinău",
            "phone": "+373 22 100 200",
            "email": "contabilitate@acme.example",
            "website": "https://acme.example",
            "idno": "1002600000016",
            "vat": "0200016",
            "iban": "MD24AG000225100013104168",
            "bank": "BC MAIB SA",
            "bic": "AGRNMD2X",
        }
    ),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One document and the addresses it goes to. `name` is its file's, as `4_bounce_ro`."""

    name: str
    document: Mapping[str, Any] = field(hash=False)
    recipients: tuple[str, ...]


def sample_documents(today: date) -> tuple[Sample, ...]:
    """All samples in their order, dated relative to `today`."""
    folder = files("gateway.demo") / "samples"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return tuple(_read_sample(file.name, file.read_text("utf-8"), today) for file in found)


def _read_sample(filename: str, text: str, today: date) -> Sample:
    document = json.loads(_MOMENT.sub(lambda match: _moment(match[1], int(match[2] or 0), today), text))
    contacts = document["customer"]["contacts"]
    return Sample(filename.removesuffix(".json"), document, tuple(contact["email"] for contact in contacts))


def _moment(name: str, days: int, today: date) -> str:
    """What `{name+days}` stands for: a day in ISO form, or a year."""
    if name == "year":
        return str(today.year)
    month = today.replace(day=1)
    next_month = (month + timedelta(days=31)).replace(day=1)
    moments = {
        "today": today,
        "month": month,
        "month_end": next_month - timedelta(days=1),
        "next_month": next_month,
        "next_month_end": (next_month + timedelta(days=31)).replace(day=1) - timedelta(days=1),
        "next_year_end": next_month.replace(year=next_month.year + 1) - timedelta(days=1),
    }
    return (moments[name] + timedelta(days=days)).isoformat()


def document_mail(
    document: Mapping[str, Any],
    *,
    now: datetime,
    author: str = TENANT.author,
    personal: str = "",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """A document as a billing system mails it: the JSON is the body, or stands beside a `personal` message.

    `headers` are further ones, as X-AR-Event.
    """
    mail = _mail(author, now, headers)
    contacts = document["customer"]["contacts"]
    mail["To"] = [Address(contact.get("name", ""), addr_spec=contact["email"]) for contact in contacts]
    mail["Subject"] = document["number"]
    body = json.dumps(document, ensure_ascii=False, indent=1).encode()
    if personal:
        mail.set_content(personal)
        mail.add_attachment(body, *DOCUMENT_TYPE, filename=f"{document['number']}.json")
    else:
        mail.set_content(body, *DOCUMENT_TYPE, cte="base64")
    return mail.as_bytes()


def level0_mail(
    *,
    now: datetime,
    recipient: str = "ana.rusu@codrulverde.example",
    recipient_name: str = "Ana Rusu",
    author: str = TENANT.author,
    number: str = "",
    amount: str = "1.800,00 MDL",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The usual mail of a billing system that knows nothing of the gateway: a Romanian text and a small PDF."""
    number = number or f"F-{now.year}-0111"
    due = (now + timedelta(days=14)).strftime("%d.%m.%Y")
    mail = _mail(author, now, headers)
    mail["To"] = Address(recipient_name, addr_spec=recipient)
    mail["Subject"] = f"Factura {number} de la {TENANT.company}"
    mail.set_content(
        f"Bună ziua, {recipient_name}!\n\nVă transmitem factura {number} în sumă de {amount}, cu termen de achitare "
        f"{due}.\nO găsiți atașată la acest mesaj.\n\nCu respect,\n{TENANT.company}\n",
        cte="quoted-printable",
    )
    pdf = plain_pdf([TENANT.company, f"Factura {number}", f"Suma: {amount}", f"Achitare la: {due}"])
    mail.add_attachment(pdf, "application", "pdf", filename=f"{number}.pdf")
    return mail.as_bytes()


def plain_pdf(lines: Sequence[str]) -> bytes:
    """A PDF of one A4 page with a few lines of ASCII text in Helvetica (ISO 32000-1 §7.5)."""
    shown = "".join(f"({_PDF_SPECIAL.sub(_PDF_ESCAPED, line)}) Tj T*\n" for line in lines)
    stream = f"BT /F1 14 Tf 22 TL 72 760 Td\n{shown}ET\n".encode("ascii", "replace")
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 5 0 R>>>>/Contents 4 0 R>>",
        b"<</Length %d>>\nstream\n%sendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    pdf = b"%PDF-1.4\n"
    table = b"0000000000 65535 f \n"
    for number, content in enumerate(objects, 1):
        table += b"%010d 00000 n \n" % len(pdf)
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    size = len(objects) + 1
    trailer = b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, len(pdf))
    return pdf + b"xref\n0 %d\n" % size + table + trailer


def submit(
    host: str,
    port: int,
    username: str,
    password: str,
    raw: bytes,
    sender: str,
    recipients: Sequence[str],
    *,
    tls: ssl.SSLContext | None = None,
    timeout: float = 30.0,
) -> str:
    """Submit one mail by SMTP with AUTH, after STARTTLS when `tls` is given; returns the server's last answer.

    Raises `smtplib.SMTPException` when it, or one of the recipients, is refused.
    """
    with smtplib.SMTP(host, port, local_hostname="erp.acme.example", timeout=timeout) as client:
        if tls is not None:
            client.starttls(context=tls)
        client.ehlo()
        client.login(username, password)
        code, text = client.mail(sender, ["BODY=8BITMIME"] if client.has_extn("8bitmime") else [])
        if code >= 400:
            raise smtplib.SMTPSenderRefused(code, text, sender)
        for recipient in recipients:
            code, text = client.rcpt(recipient)
            if code >= 400:
                raise smtplib.SMTPRecipientsRefused({recipient: (code, text)})
        code, text = client.data(raw)
        if code >= 400:
            raise smtplib.SMTPDataError(code, text)
        return f"{code} {text.decode(errors='replace')}"


def _mail(author: str, now: datetime, headers: Mapping[str, str]) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(TENANT.company, addr_spec=author)
    mail["Date"] = now
    mail["Message-ID"] = f"<{uuid4().hex}@{author.rpartition('@')[2]}>"
    for name, value in headers.items():
        mail[name] = value
    return mail
