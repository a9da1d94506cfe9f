"""The mail about a document: subject, HTML, text, attachments; and the MIME message made of them.

Called by the submission door in a worker process (`wire.workers`): templates and WeasyPrint run on data of others.
Promises mail that reads well in any client: at most 600 px wide, dark mode, one button or none, everything said in the
text part too, no remote image and no data: address, HTML below 100 KB. Everything is escaped. The same input gives the
same bytes. Refuses (554 5.6.0) a document that must not be mailed.
"""

import base64
import binascii
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from gateway.mail.header import address_list, disposition, encode_text
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.header_text import scrub
from gateway.outbound.documents import Document, sendable
from gateway.outbound.documents.model import File
from gateway.outbound.pages import page
from gateway.outbound.sheet import Brand, Row, Sheet, make_sheet
from gateway.outbound.texts import Language, Texts, fill, language, language_of, templates

__all__ = ["Attachment", "Brand", "Rendered", "compose", "render_mail"]

MAX_ROWS = 20
MAX_HTML = 100_000  # Gmail cuts a mail off at 102 KB
_LOGO_ID = "logo"

_LATIN = str.maketrans(dict(zip(
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
    "a b v g d e e zh z i y k l m n o p r s t u f kh ts ch sh shch  y  e yu ya "
    "A B V G D E E Zh Z I Y K L M N O P R S T U F Kh Ts Ch Sh Shch  Y  E Yu Ya".split(" "),
    strict=True,
)))  # fmt: skip
_MEDIA_TYPE = re.compile(r"(application|image|text|audio|video)/[a-z0-9.+-]{1,80}\Z")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file beside the mail. `filename` is ASCII."""

    filename: str
    media_type: str
    data: bytes


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
) -> Rendered:
    """The mail of template `key` about an invoice; `today` is the tenant's day.

    `attach_pdf` overrides the template's default. `personal` is what somebody wrote beside the document: it stands
    under the greeting. A file of the document with the role `pdf` stands in for ours.
    Raises `Refused` 554 5.6.0 for a draft, and for a type of document that is not rendered yet.
    """
    sendable(document)
    template = templates()[key]
    with_pdf = template.attach_pdf if attach_pdf is None else attach_pdf
    words = language(language_of(document, brand.language))
    texts = fill(key, words.code, document, brand.company, today, pdf=with_pdf)
    sheet = make_sheet(document, brand, words)
    link = getattr(document.links, template.link, "") if document.links and template.link else ""
    logo = Attachment(_LOGO_ID, brand.logo_type, brand.logo) if brand.logo and brand.logo_type else None
    shown = _view(texts, sheet, brand, words, link, with_pdf) | {"personal": _paragraphs(personal)}
    html = page("email/mail.html").render(shown | {"logo": _LOGO_ID if logo else ""})
    if len(html.encode()) > MAX_HTML:
        html = page("email/mail.html").render(shown | {"logo": "", "rows": (), "notes": ()})
        logo = None
    return Rendered(
        subject=texts.subject,
        html=html,
        text=_text(shown, words),
        attachments=tuple(_attachments(document, brand, words, with_pdf)),
        language=words.code,
        logo=logo,
    )


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
    texts: Texts, sheet: Sheet, brand: Brand, words: Language, link: str, with_pdf: bool
) -> dict[str, Any]:  # Any: what a template shows, text and tuples of text
    hidden = len(sheet.rows) - MAX_ROWS
    return {
        "t": texts,
        "heading": _heading(texts.title, sheet.number),
        "sheet": sheet,
        "label": words.labels,
        "brand": {"company": brand.company, "accent": brand.accent, "on_accent": brand.on_accent},
        "facts": sheet.facts[:6],
        "totals": tuple(fact for fact in sheet.totals if fact[1] != sheet.grand[1]),  # the sum itself comes last
        "link": link,
        "button": texts.button if link else "",
        "rows": tuple(_short(row) for row in sheet.rows[:MAX_ROWS]),
        "more": words.count("more_lines", hidden) if hidden > 0 and with_pdf else "…" if hidden > 0 else "",
        "payment": tuple((name, value) for name, value in sheet.payment if not value.startswith("http")),
        "notes": tuple(_cut(note, 1500) for note in sheet.notes),
        "imprint": _imprint(sheet, brand),
    }


def _paragraphs(text: str) -> tuple[tuple[str, ...], ...]:
    """What a person wrote, as paragraphs of lines; at most 10,000 characters."""
    clean = text.replace("\r\n", "\n").replace("\r", "\n")[:10_000]
    blocks = (block.strip("\n") for block in re.split(r"\n[ \t]*\n", clean))
    return tuple(tuple(scrub(line).rstrip() for line in block.split("\n")) for block in blocks if block.strip())


def _heading(title: str, number: str) -> tuple[str, str]:
    """The title and the number at its end, which is kept on one line when it is short."""
    if len(number) <= 24 and title.endswith(f" {number}"):
        return title.removesuffix(f" {number}"), number
    return title, ""


def _short(row: Row) -> dict[str, str]:
    """A line in a mail: what, how many at which price, and the amount."""
    count = " ".join(part for part in (row.quantity, row.unit) if part)
    price = " × ".join(part for part in (count, row.price) if part)
    return {"name": _cut(row.description, 160), "count": price if row.quantity != "1" else "", "amount": row.amount}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _imprint(sheet: Sheet, brand: Brand) -> tuple[str, ...]:
    """Who sent it: the issuer's name, then its numbers and addresses, two lines at most."""
    seller = sheet.parties[0]
    contact = tuple(
        part for part in (brand.contact_email, brand.phone) if part and not any(part in line for line in seller.lines)
    )
    return tuple(line for line in (seller.name, " · ".join((*seller.lines, *contact))) if line)


# --- the text part -------------------------------------------------------------------------------------------------


def _text(shown: dict[str, Any], words: Language) -> str:
    """The mail as a person would type it: at most 76 columns where words allow, tables aligned by blanks."""
    sheet: Sheet = shown["sheet"]
    texts: Texts = shown["t"]
    values = shown | {
        "block": _columns([sheet.grand, *shown["facts"]]),
        "items": _items(shown["rows"], shown["more"], [*shown["totals"], sheet.grand]),
        "payment": _columns(sheet.payment),
        "notes": [_wrap(note) for note in shown["notes"]],
        "personal": ["\n".join(_wrap(line) for line in lines) for lines in shown["personal"]],
        "imprint": "\n".join(_wrap(line) for line in shown["imprint"]),
    }
    wrapped = {name: _wrap(getattr(texts, name)) for name in ("greeting", "lead", "footer")}
    body = page("email/mail.txt").render(values | {"t": wrapped})
    lines = [scrub(line).rstrip() if line != "-- " else line for line in body.split("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def _columns(pairs: Iterable[tuple[str, str]]) -> str:
    pairs = list(pairs)
    width = min(max((len(name) for name, _ in pairs), default=0), 24) + 3
    return "\n".join(f"  {scrub(name) + ': ':<{width}}{scrub(value)}" for name, value in pairs)


def _items(rows: Sequence[dict[str, str]], more: str, totals: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    right = max(len(value) for value in [*(row["amount"] for row in rows), *(value for _, value in totals)])
    left = 72 - right
    lines: list[str] = []
    for row in rows:
        name = row["name"] + (f" ({row['count']})" if row["count"] else "")
        first, *rest = textwrap.wrap(scrub(name), left - 2) or [""]
        lines += [f"  {first:<{left}}{row['amount']:>{right}}", *(f"  {part}" for part in rest)]
    lines += [f"  {more}"] if more else []
    lines.append("  " + "-" * (left + right))
    for name, value in totals:
        *before, last = textwrap.wrap(scrub(name), left - 2) or [""]
        lines += [*(f"  {part}" for part in before), f"  {last:<{left}}{value:>{right}}"]
    return "\n".join(lines)


def _wrap(text: str) -> str:
    """Paragraphs filled to 76 columns; no-break spaces hold, long words and addresses are never cut."""
    lines = (
        textwrap.wrap(line, 76, break_long_words=False, break_on_hyphens=False) or [""] for line in text.split("\n")
    )
    return "\n".join("\n".join(parts) for parts in lines)


# --- attachments ---------------------------------------------------------------------------------------------------


def _attachments(document: Document, brand: Brand, words: Language, with_pdf: bool) -> Iterable[Attachment]:
    given = [file for file in document.files if file.content]
    if with_pdf and not any(file.role == "pdf" for file in given):
        from gateway.outbound.pdf import render_pdf  # loads Pango and fonts: 60 MB that only workers need

        yield Attachment(
            ascii_filename(document.number, "pdf"), "application/pdf", render_pdf(document, brand, words.code)
        )
    for file in given:
        if file.role != "pdf" or with_pdf:
            yield _given_file(file)


def _given_file(file: File) -> Attachment:
    stem, dot, ending = file.filename.rpartition(".")
    name = (
        ascii_filename(stem, ending)
        if dot and re.fullmatch(r"[A-Za-z0-9]{1,10}", ending)
        else ascii_filename(stem + ending)
    )
    media_type = (
        file.content_type.lower() if _MEDIA_TYPE.match(file.content_type.lower()) else "application/octet-stream"
    )
    return Attachment(name, media_type, base64.b64decode("".join(file.content.split())))


def ascii_filename(text: str, ending: str = "") -> str:
    """A file name that every system takes: Cyrillic in Latin letters, no accents, no path, at most 80 characters."""
    plain = unicodedata.normalize("NFKD", text.translate(_LATIN)).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")[:80] or "document"
    return f"{stem}.{ending}" if ending else stem


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
