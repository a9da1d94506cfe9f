"""Every template in every language about a sample document: the gallery that designers and translators look at.

Called by `make gallery` (scripts/gallery.py takes the pictures) and by tests, which hold the texts against golden
files. The samples are read from a folder, `TYPE_LANGUAGE.json` for each type and language; where a template speaks of a
state (paid, late, cancelled), the sample is put into it. `variants` are what a mail may look like besides: with a
tenant's own words, with logos of odd shapes, with a PDF that is too large. The same samples give the same files.
"""

import html
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from gateway.outbound.brand import Brand
from gateway.outbound.documents import Document, read_document
from gateway.outbound.rendering import Rendered, render_mail
from gateway.outbound.texts import LANGUAGES, templates

TODAY = date(2026, 11, 26)
LATE = date(2026, 12, 28)
BRANDS: Mapping[str, Brand] = {
    "ro": Brand(company="Acme Servicii SRL", contact_email="office@acme.example", idno="1010600000000"),
    "ru": Brand(company="Днестр Логистик", phone="+373 231 00 000", colour="#1f4fa3", language="ru"),
    "en": Brand(company="Codru Software", contact_email="billing@codru.example", colour="#ffcc33", language="en"),
}
VIEWS = ("light", "dark", "phone", "phone-dark", "text")  # the pictures of a mail
LOGOS = {"ro": (900, 90), "ru": (120, 480), "en": (40, 16)}  # wide, tall, tiny
OWN_WORDS = {
    "ro": "Vă mulțumim că lucrați cu noi.\n\nFactura este mai jos.\n\n{{ button }}\n\nCu respect,\nEchipa Acme",
    "ru": "Благодарим за сотрудничество.\n\nСчёт — ниже.\n\n{{ button }}\n\nС уважением,\nкоманда «Днестр»",
    "en": "Thank you for your business.\n\nThe invoice is below.\n\n{{ button }}\n\nKind regards,\nThe Codru team",
}


@dataclass(frozen=True, slots=True)
class Situation:
    """A template, and a document for which it would be sent. `related` are the documents that a receipt pays.

    `variant` names what is unusual about it, and `more` is what `render_mail` is told for it.
    """

    key: str
    document: Document
    brand: Brand
    today: date
    related: tuple[Document, ...] = ()
    variant: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What its files are called."""
        return ".".join(part for part in (self.key, self.document.language, self.variant) if part)

    def render(self) -> Rendered:
        """Its mail."""
        return render_mail(self.key, self.document, self.brand, self.today, related_documents=self.related, **self.more)


def situations(samples: Path) -> Iterator[Situation]:
    """The fourteen templates in the three languages, each about the sample of the first type that it fits."""
    for key, template in templates().items():
        for code in LANGUAGES:
            values = _read(samples, template.fits[0], code)
            related: tuple[Document, ...] = ()
            if key in ("payment_receipt", "refund"):
                related = tuple(_paid(samples, code, one) for one in values["related"])
            today = LATE if key == "late_payment_reminder" else TODAY
            yield Situation(key, _document(_put_into_state(key, values)), BRANDS[code], today, related)


def variants(samples: Path) -> Iterator[Situation]:
    """What a mail may look like besides, in the three languages."""
    preferences = "https://mail.gateway.example/preferences/k3VnXw7Rb2"
    files = "https://mail.gateway.example/f/9fQm2LkT8x"
    for one in situations(samples):
        code = one.document.language
        if one.key == "late_payment_reminder":
            yield replace(one, variant="preferences", more={"preferences": preferences})
        if one.key == "new_invoice":
            yield replace(one, variant="own-words", more={"texts": {"text": OWN_WORDS[code]}})
            yield replace(one, variant="logo", brand=replace(one.brand, logo=_logo(*LOGOS[code])))
        if one.key == "statement":
            yield replace(one, variant="download", more={"download": (files, 24_700_000), "preferences": preferences})


def _logo(width: int, height: int) -> bytes:
    """A picture of that size, with a border, a cross and a transparent ground."""

    def pixel(x: int, y: int) -> bytes:
        edge = min(x, y, width - 1 - x, height - 1 - y) < max(min(width, height) // 12, 1)
        cross = abs(x * height - y * width) < width * height // 12
        return b"\x16\x2a\x5c\xff" if edge or cross else b"\0\0\0\0"

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + b"".join(pixel(x, y) for x in range(width)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def write_gallery(samples: Path, target: Path) -> list[str]:
    """Write NAME.html, NAME.txt and NAME.pdf of every mail, and what `write_index` needs; returns the names.

    In NAME.html the logo is a file beside it, since a browser knows no `cid:`.
    """
    target.mkdir(parents=True, exist_ok=True)
    sections = []
    for situation in (*situations(samples), *variants(samples)):
        rendered = situation.render()
        shown = rendered.html
        if rendered.logo:
            (target / f"{situation.name}.logo.png").write_bytes(rendered.logo.data)
            shown = shown.replace("cid:logo", f"{situation.name}.logo.png")
        (target / f"{situation.name}.html").write_text(shown, "utf-8")
        (target / f"{situation.name}.txt").write_text(rendered.text, "utf-8")
        pdfs = [item.data for item in rendered.attachments if item.media_type == "application/pdf"]
        for data in pdfs:
            (target / f"{situation.name}.pdf").write_bytes(data)
        sections.append((situation.name, rendered, bool(pdfs)))
    (target / "sections.json").write_text(
        json.dumps([(name, found.subject, pdf) for name, found, pdf in sections], ensure_ascii=False), "utf-8"
    )
    return [name for name, _, _ in sections]


def write_index(target: Path) -> Path:
    """Write the page that shows the pictures in `target` (NAME.VIEW.png, NAME.pdf-N.png) side by side."""
    parts = []
    for name, subject, _ in json.loads((target / "sections.json").read_text("utf-8")):
        pictures = [*(target / f"{name}.{view}.png" for view in VIEWS), *sorted(target.glob(f"{name}.pdf-*.png"))]
        shown = "".join(
            f'<figure><a href="{path.name}"><img loading="lazy" src="{path.name}" alt="{path.stem}"></a>'
            f"<figcaption>{path.stem.removeprefix(name).lstrip('.')}</figcaption></figure>"
            for path in pictures
            if path.exists()
        )
        text = html.escape((target / f"{name}.txt").read_text("utf-8"))
        parts.append(
            f'<section id="{name}"><h2>{name}</h2><p>{html.escape(subject)}</p>'
            f"<div>{shown}</div><details><summary>text</summary><pre>{text}</pre></details></section>"
        )
    path = target / "index.html"
    path.write_text(_FRAME.replace("<!--sections-->", "\n".join(parts)), "utf-8")
    return path


def _read(samples: Path, type_: str, code: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((samples / f"{type_}_{code}.json").read_text("utf-8"))
    return values


def _document(values: dict[str, Any]) -> Document:
    return read_document(json.dumps(values).encode())


def _put_into_state(key: str, values: dict[str, Any]) -> dict[str, Any]:
    if key == "paid_invoice":
        return values | {"status": "paid", "totals": _settled(values["totals"])}
    if key == "late_payment_reminder":
        return values | {"status": "past_due"}
    if key == "subscription_canceled":
        return values | {"status": "canceled", "subscription": values["subscription"] | {"canceled_on": "2026-11-26"}}
    return values


def _settled(totals: dict[str, str]) -> dict[str, str]:
    return totals | {"paid": totals["total"], "balance": "0.00"}


def _paid(samples: Path, code: str, related: dict[str, str]) -> Document:
    """A paid invoice with the number that the receipt names."""
    values = _read(samples, "invoice", code)
    named = {"id": related.get("id", values["id"]), "number": related["number"], "issue_date": related["date"]}
    return _document(values | named | {"status": "paid", "totals": _settled(values["totals"])})


_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Gallery of the mails</title><style>
body { margin: 0; padding: 16px 24px; font: 14px/1.4 system-ui, sans-serif; background: #d9dde2; color: #14161a; }
h1, h2, section > p { margin: 0 0 6px; }
section { padding: 20px 0; border-top: 1px solid #9aa1ab; }
section > div { display: flex; gap: 16px; align-items: flex-start; overflow-x: auto; padding-bottom: 12px; }
figure { margin: 0; flex: none; }
img { display: block; height: 900px; background: #fff; box-shadow: 0 1px 4px #0004; }
pre { margin: 0; padding: 16px; background: #fff; font: 12px/1.4 monospace; }
figcaption { padding-top: 6px; color: #4d545d; }
</style></head><body><h1>Gallery of the mails</h1>
<!--sections-->
</body></html>
"""
