"""The mail about a document: subject, HTML, text, attachments; and the MIME message made of them.

Called by the submission door in a worker process (`wire.workers`): templates and WeasyPrint run on data of others.
Promises mail that reads well in any client: at most 600 px wide, dark mode, one button or none, everything said in the
text part too, no remote image and no data: address, HTML below 100 KB. Everything is escaped. The same input gives the
same bytes. Refuses (554 5.6.0) a document that must not be mailed.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from gateway.mail.header import address_list, disposition, encode_text
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.header_text import scrub
from gateway.mail.reply import Refused
from gateway.outbound.attachments import Attachment, ascii_filename, attachments_of
from gateway.outbound.documents import Document, sendable
from gateway.outbound.filling import Texts, fill
from gateway.outbound.pages import page
from gateway.outbound.plain import plain_text
from gateway.outbound.sheet import Brand, Row, Sheet, make_sheet
from gateway.outbound.tables import Item, Table
from gateway.outbound.texts import Language, Template, language, language_of, templates

__all__ = ["Attachment", "Brand", "Rendered", "ascii_filename", "compose", "render_mail"]

MAX_ROWS = 20  # of each table, when a PDF holds them all
MAX_ROWS_ALONE = 120
IMPRINT_WIDTH = 60
UNBROKEN = 24  # characters of a number that is kept on one line
MAX_HTML = 100_000  # Gmail cuts a mail off at 102 KB
_LOGO_ID = "logo"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail without its header: `subject` and the parts. `logo` is shown in the HTML as `cid:logo@…`, or None."""

    subject: str
    html: str
    text: str
    attachments: tuple[Attachment, ...]
    language: str
    logo: Attachment | None = None


def render_mail(
    key: str,
    document: Document,
    brand: Brand,
    today: date,
    attach_pdf: bool | None = None,
    personal: str = "",
    related_documents: tuple[Document, ...] = (),
    texts: Mapping[str, str] | None = None,
) -> Rendered:
    """The mail of template `key` about a document of a type that it fits; `today` is the tenant's day.

    `attach_pdf` overrides the template's default. `personal` is what somebody wrote beside the document: it stands
    under the greeting. `related_documents` follow a receipt or a refund in its PDF, each on pages of its own. A file of
    the document with the role `pdf` stands in for ours. `texts` is what the tenant says in place of ours.
    Raises `Refused` 554 5.6.0 for a draft, for a template that does not fit, and for facts that its text lacks.
    """
    sendable(document)
    template = _fitting(key, document)
    with_pdf = template.attach_pdf if attach_pdf is None else attach_pdf
    words = language(language_of(document, brand.language))
    own = not any(file.role == "pdf" and file.content for file in document.files)
    bundle = related_documents if own and document.type in ("receipt", "refund") else ()
    said = fill(key, words.code, document, brand.company, today, pdf=with_pdf, bundled=bool(bundle), texts=texts)
    sheet = make_sheet(document, brand, words)
    numbers = (document.number, *(one.number for one in document.related))
    link = getattr(document.links, template.link, "") if document.links and template.link else ""
    logo = Attachment(_LOGO_ID, brand.logo_type, brand.logo) if brand.logo and brand.logo_type else None
    shown = _view(said, sheet, brand, words, link, numbers) | {"personal": _paragraphs(personal)}
    rows = MAX_ROWS if with_pdf else MAX_ROWS_ALONE
    html = _html(shown, sheet, words, rows, with_pdf, logo)
    return Rendered(
        subject=said.subject,
        html=html,
        text=plain_text(shown | _tables(sheet, words, rows if with_pdf else 10**4, with_pdf), said, sheet),
        attachments=tuple(attachments_of(document, brand, words, with_pdf, bundle)),
        language=words.code,
        logo=logo if f"cid:{_LOGO_ID}" in html else None,
    )


def _fitting(key: str, document: Document) -> Template:
    """The template `key`; raises `Refused` when it is not about documents of this type."""
    template = templates()[key]
    if document.type not in template.fits:
        fits = " or ".join(template.fits)
        text = f"the template {key} is about documents of type {fits}; {document.number} is of type {document.type}"
        raise Refused(554, "5.6.0", text)
    return template


def _html(
    shown: dict[str, Any], sheet: Sheet, words: Language, rows: int, with_pdf: bool, logo: Attachment | None
) -> str:
    """The HTML part with as many rows as its size allows."""
    for most in (rows, min(rows, MAX_ROWS)):
        tables = _tables(sheet, words, most, with_pdf)
        html = page("email/mail.html").render(shown | tables | {"logo": _LOGO_ID if logo else ""})
        if len(html.encode()) <= MAX_HTML:
            return html
    bare = {"logo": "", "rows": (), "more": "", "tables": (), "notes": ()}
    return page("email/mail.html").render(shown | bare)


def compose(rendered: Rendered, to: Sequence[Mailbox], cc: Sequence[Mailbox], fields: Iterable[bytes]) -> bytes:
    """The message (RFC 5322, MIME): `fields` as they are, To, Cc, Subject, then the parts. CRLF; body lines ≤ 76.

    Boundaries come from the Message-ID among `fields`, so that the same input gives the same bytes.
    """
    head = b"".join(fields)
    seed = re.search(rb"(?im)^message-id:\s*(\S+)", head)
    mark = sha256(seed[1] if seed else rendered.subject.encode()).hexdigest()[:24]
    head += address_list("To", to) if to else b"To: undisclosed-recipients:;\r\n"
    if cc:
        head += address_list("Cc", cc)
    head += encode_text("Subject", rendered.subject) + b"MIME-Version: 1.0\r\n"
    html = rendered.html.replace(f"cid:{_LOGO_ID}", f"cid:{_LOGO_ID}.{mark}@mail") if rendered.logo else rendered.html
    body = _quoted("html", html)
    if rendered.logo:
        content_id = b"Content-ID: <" + f"{_LOGO_ID}.{mark}@mail".encode() + b">\r\n"
        body = _multipart("related", f"r-{mark}", [body, _file(rendered.logo, "inline", content_id)])
    body = _multipart("alternative", f"a-{mark}", [_quoted("plain", rendered.text), body])
    if rendered.attachments:
        files = [_file(item, "attachment", b"") for item in rendered.attachments]
        body = _multipart("mixed", f"m-{mark}", [body, *files])
    return head + body + (b"" if body.endswith(b"\r\n") else b"\r\n")


def _view(
    texts: Texts, sheet: Sheet, brand: Brand, words: Language, link: str, numbers: Sequence[str]
) -> dict[str, Any]:
    """What a template shows, as text and tuples of text; the tables come apart."""
    payment = sheet.payment if sheet.payable else ()
    terms = ((words.labels["terms"], sheet.terms),) if sheet.terms and (payment or not sheet.payment) else ()
    return {
        "t": texts,
        "heading": _heading(texts.title, sheet.number),
        "lead": _kept_whole(texts.lead, numbers),
        "sheet": sheet,
        "label": words.labels,
        "brand": {"company": brand.company, "accent": brand.accent, "on_accent": brand.on_accent},
        "totals": tuple(fact for fact in sheet.totals if fact[1] != sheet.grand[1]),  # the sum itself comes last
        "link": link,
        "button": texts.button if link else "",
        "payment": tuple((name, value) for name, value in (*payment, *terms) if not value.startswith("http")),
        "ways": payment + terms + (((words.labels["pay_online"], sheet.pay),) if sheet.pay else ()),
        "notes": tuple(_cut(note, 1500) for note in sheet.notes),
        "imprint": _imprint(sheet, brand),
    }


def _tables(sheet: Sheet, words: Language, most: int, with_pdf: bool) -> dict[str, Any]:
    """The lines and the tables, `most` rows of each."""
    return {
        "rows": tuple(_short(row) for row in sheet.rows[:most]),
        "more": _more(len(sheet.rows) - most, words, with_pdf),
        "tables": tuple(_short_table(table, words, most, with_pdf) for table in sheet.tables),
    }


def _kept_whole(text: str, numbers: Sequence[str]) -> tuple[str, str, str]:
    """What stands before the first number that the text names, the number, and what follows."""
    for number in numbers:
        if len(number) <= UNBROKEN and number in text:
            return text.partition(number)
    return text, "", ""


def _short_table(table: Table, words: Language, most: int, with_pdf: bool) -> dict[str, Any]:
    """A table as a mail shows it: its last sums stay when rows are cut."""
    end = len(table.items)
    while end and table.items[end - 1].strong:
        end -= 1
    columns = [  # those in which some row says something
        at for at in range(len(table.short_heads) - 1) if any(item.values[at] for item in table.items if item.values)
    ]
    return {
        "title": table.title,
        "heads": (table.short_heads[0], *(table.short_heads[at + 1] for at in columns)),
        "rows": tuple(_short_item(item, columns) for item in table.items[: min(end, most)]),
        "sums": tuple(_short_item(item, columns) for item in table.items[end:]),
        "more": _more(end - most, words, with_pdf),
    }


def _short_item(item: Item, columns: list[int]) -> dict[str, Any]:
    values = tuple(item.values[at] for at in columns)
    return {
        "name": _cut(item.name, 160),
        "number": item.number,
        "note": _cut(item.note, 160),
        "values": values,
        "strong": item.strong,
        "share": item.share,
    }


def _more(hidden: int, words: Language, with_pdf: bool) -> str:
    return words.count("more_lines" if with_pdf else "more_lines_bare", hidden) if hidden > 0 else ""


def _paragraphs(text: str) -> tuple[tuple[str, ...], ...]:
    """What a person wrote, as paragraphs of lines; at most 10,000 characters."""
    clean = text.replace("\r\n", "\n").replace("\r", "\n")[:10_000]
    blocks = (block.strip("\n") for block in re.split(r"\n[ \t]*\n", clean))
    return tuple(tuple(scrub(line).rstrip() for line in block.split("\n")) for block in blocks if block.strip())


def _heading(title: str, number: str) -> tuple[str, str]:
    """The title and the number at its end, which is kept on one line when it is short."""
    if len(number) <= UNBROKEN and title.endswith(f" {number}"):
        return title.removesuffix(f" {number}"), number
    return title, ""


def _short(row: Row) -> dict[str, str]:
    """A line in a mail: what, how many at which price for one, and the amount."""
    unit = f" / {row.unit}" if row.unit else ""
    count = f"{row.quantity} × {row.price}{unit}" if row.price else f"{row.quantity} {row.unit}".rstrip()
    shown = count if row.quantity not in ("", "1") else ""
    return {"name": _cut(row.description, 160), "count": _cut(shown, 160), "amount": row.amount}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _imprint(sheet: Sheet, brand: Brand) -> tuple[str, ...]:
    """Who sent it: the issuer's name, then its address, numbers and contacts, as many to a line as read well."""
    seller = sheet.parties[0]
    contact = tuple(
        part for part in (brand.contact_email, brand.phone) if part and not any(part in line for line in seller.lines)
    )
    lines = [seller.name, ""]
    for part in (*seller.lines, *contact):
        joined = f"{lines[-1]} · {part}".removeprefix(" · ")
        if len(joined) <= IMPRINT_WIDTH or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(part)
    return tuple(line for line in lines if line)


# --- MIME ----------------------------------------------------------------------------------------------------------


def _quoted(subtype: str, text: str) -> bytes:
    """A text part in quoted-printable (RFC 2045 §6.7): it survives every relay, and DKIM with it."""
    body = binascii.b2a_qp(text.encode(), istext=True).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    return head.encode() + body


def _file(item: Attachment, kind: str, more: bytes) -> bytes:
    coded = base64.b64encode(item.data)
    lines = b"\r\n".join(coded[at : at + 76] for at in range(0, len(coded), 76))
    head = f"Content-Type: {item.media_type}\r\nContent-Transfer-Encoding: base64\r\n".encode()
    return head + disposition(kind, item.filename) + more + b"\r\n" + lines


def _multipart(subtype: str, boundary: str, parts: list[bytes]) -> bytes:
    line = b"--" + boundary.encode()
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'.encode()
    body = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)  # the last CRLF is the boundary's
    return head + body + line + b"--"
