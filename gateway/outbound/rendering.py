"""The mail about a document: subject, HTML, text, attachments.

Called in a worker process (`wire.workers`), since templates and WeasyPrint run on data of others; `rendered` makes the
message of it.
Promises mail that reads well in any client: at most 600 px wide, dark mode, one button or none, everything said in the
text part too, no remote image and no data: address, HTML below 100 KB. Everything is escaped. The same input gives the
same bytes. Refuses (554 5.6.0) a document that must not be mailed.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from gateway.mail.header_text import scrub
from gateway.mail.picture import picture_size
from gateway.mail.reply import Refused
from gateway.outbound.attachments import Attachment, ascii_filename, attachments_of
from gateway.outbound.documents import Document, sendable
from gateway.outbound.filling import Texts, fill
from gateway.outbound.pages import page
from gateway.outbound.plain import plain_text
from gateway.outbound.rendered import LOGO_ID, Rendered, compose
from gateway.outbound.sheet import Brand, Row, Sheet, make_sheet
from gateway.outbound.tables import Item, Table
from gateway.outbound.texts import Language, Template, language, language_of, templates

__all__ = ["Attachment", "Brand", "Rendered", "ascii_filename", "compose", "render_mail"]

MAX_ROWS = 20  # of each table, when a PDF holds them all
MAX_ROWS_ALONE = 120
IMPRINT_WIDTH = 60
MAX_BUTTON = 60
MAX_LOGO = (220, 48)  # pixels
UNBROKEN = 24  # characters of a number that is kept on one line
MAX_HTML = 100_000  # Gmail cuts a mail off at 102 KB


def render_mail(
    key: str,
    document: Document,
    brand: Brand,
    today: date,
    attach_pdf: bool | None = None,
    personal: str = "",
    related_documents: tuple[Document, ...] = (),
    texts: Mapping[str, str] | None = None,
    preferences: str = "",
    download: tuple[str, int] | None = None,
    button_label: str = "",
    linked: tuple[tuple[str, str, int], ...] = (),
    draw: bool = True,
) -> Rendered:
    """The mail of template `key` about a document of a type that it fits; `today` is the tenant's day.

    `attach_pdf` overrides the template's default; `draw` is False when the caller has the PDF and attaches it.
    `related_documents` follow a receipt or a refund in its PDF. Said besides: `personal` under the greeting, what the
    tenant says in place of ours (`texts`, `button_label`), and `preferences`, the URL that turns reminders off.
    `download` is the URL of a PDF too large to go along, and its size; `linked` are further files: name, URL, size.
    Raises `Refused` 554 5.6.0 for a draft, for a template that does not fit, and for facts that its text lacks.
    """
    sendable(document)
    template, words = _fitting(key, document), language(language_of(document, brand.language))
    with_pdf = bool(download) or (template.attach_pdf if attach_pdf is None else attach_pdf)
    attached, bundle = with_pdf and not download, _bundle(document, related_documents)
    said = fill(key, words.code, document, brand.company, today, pdf=attached, bundled=bool(bundle), texts=texts)
    sheet = make_sheet(document, brand, words)
    shown = _view(said, sheet, brand, words, (document.number, *(one.number for one in document.related)))
    shown |= _button(document, template, button_label or said.button) | {
        "personal": _paragraphs(personal),
        "downloads": _downloads(download, linked, words),
        "preferences": _preferences(preferences, words),
    }
    html, text, logo = _parts(shown, said, sheet, brand, words, with_pdf)
    files = tuple(attachments_of(document, brand, words, attached and draw, bundle))
    return Rendered(said.subject, html, text, files, words.code, logo)


def _bundle(document: Document, related: tuple[Document, ...]) -> tuple[Document, ...]:
    """The documents that follow it in its PDF: those of a receipt or a refund, unless its PDF came with it."""
    own = not any(file.role == "pdf" and file.content for file in document.files)
    return related if own and document.type in ("receipt", "refund") else ()


def _parts(
    shown: dict[str, Any], said: Texts, sheet: Sheet, brand: Brand, words: Language, with_pdf: bool
) -> tuple[str, str, Attachment | None]:
    """The HTML part, the text part, and the logo if the HTML shows it."""
    rows = MAX_ROWS if with_pdf else MAX_ROWS_ALONE
    logo = Attachment(LOGO_ID, brand.logo_type, brand.logo) if brand.logo and brand.logo_type else None
    html = _html(shown, sheet, words, rows, with_pdf, logo)
    text = plain_text(shown | _tables(sheet, words, rows if with_pdf else 10**4, with_pdf), said, sheet)
    return html, text, logo if f"cid:{LOGO_ID}" in html else None


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
        html = page("email/mail.html").render(shown | tables | {"logo": _logo(logo)})
        if len(html.encode()) <= MAX_HTML:
            return html
    bare = {"logo": (), "rows": (), "more": "", "tables": (), "notes": ()}
    return page("email/mail.html").render(shown | bare)


def _logo(logo: Attachment | None) -> dict[str, Any]:
    """The logo's id, and its size in a mail: as it is, or made smaller to fit; nothing when it says no size."""
    size = picture_size(logo.data) if logo else None
    if size is None:
        return {}
    width, height = size
    scale = min(MAX_LOGO[0] / width, MAX_LOGO[1] / height, 1)
    return {"id": LOGO_ID, "width": max(round(width * scale), 1), "height": max(round(height * scale), 1)}


def _view(texts: Texts, sheet: Sheet, brand: Brand, words: Language, numbers: Sequence[str]) -> dict[str, Any]:
    """What a template shows, as text and tuples of text; the tables come apart."""
    payment = sheet.payment if sheet.payable else ()
    terms = ((words.labels["terms"], sheet.terms),) if sheet.terms and (payment or not sheet.payment) else ()
    return {
        "t": texts,
        "heading": _heading(texts.title, sheet.number),
        "before": tuple(tuple(_kept_whole(line, numbers) for line in block) for block in _paragraphs(texts.lead)),
        "after": _paragraphs(texts.after),
        "sheet": sheet,
        "label": words.labels,
        "brand": {"company": brand.company, "accent": brand.accent, "on_accent": brand.on_accent},
        "totals": tuple(fact for fact in sheet.totals if fact[1] != sheet.grand[1]),  # the sum itself comes last
        "accounts": bool(payment or sheet.pay),
        "payment": tuple((name, value) for name, value in (*payment, *terms) if not value.startswith("http")),
        "ways": payment + terms + (((words.labels["pay_online"], sheet.pay),) if sheet.pay else ()),
        "notes": tuple(_cut(note, 1500) for note in sheet.notes),
        "imprint": _imprint(sheet, brand),
    }


def _button(document: Document, template: Template, label: str) -> dict[str, str]:
    """The button's label and its link; both "" when the document has no link for it."""
    link = getattr(document.links, template.link, "") if document.links and template.link else ""
    return {"link": link, "button": _cut(scrub(label), MAX_BUTTON) if link else ""}


def _downloads(
    pdf: tuple[str, int] | None, files: Sequence[tuple[str, str, int]], words: Language
) -> tuple[tuple[str, str, str], ...]:
    """What is said of each file that is too large to go along, the words of its link, and the URL."""
    found = [("pdf", "", *pdf)] if pdf else []
    return tuple(
        (
            words.text("download", kind).replace("{size}", words.size(size)).replace("{name}", _cut(scrub(name), 80)),
            words.text("download", f"{kind}_link"),
            url,
        )
        for kind, name, url, size in (*found, *(("file", *file) for file in files))
    )


def _preferences(url: str, words: Language) -> tuple[str, ...]:
    """How to turn reminders off: a question, the words of its link, and the URL; empty without one."""
    return (words.text("footer", "preferences"), words.text("footer", "preferences_link"), url) if url else ()


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
    counted = row.counted or row.quantity
    unit = f" / {row.unit}" if row.unit and not row.counted else ""
    count = f"{counted} × {row.price}{unit}" if row.price else row.counted or f"{row.quantity} {row.unit}".rstrip()
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
