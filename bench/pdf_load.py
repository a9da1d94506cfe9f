"""What `bench.pdf` has drawn, in processes of their own: ours in a worker, the plain one by `python -m bench.pdf_load`.

Gives the CPU time of the process itself, so that a machine which does other things as well matters little.
"""

import json
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import fontpkg_pt_sans  # type: ignore[import-untyped]
import weasyprint

from gateway.outbound import pdf
from gateway.outbound.documents import Document, read_document
from gateway.outbound.pages import style
from gateway.outbound.sheet import Brand, make_sheet
from gateway.outbound.texts import language

ROOT = Path(__file__).resolve().parent.parent
BRAND = Brand(company="Acme Servicii SRL", contact_email="office@acme.example", colour="#0b6b4f")
# What is compared: a sample, and how often its lines are repeated.
PAGES = {
    "one page": ("invoice_ro", 1),
    "3 pages": ("invoice_long", 0.4),
    "10 pages": ("invoice_long", 2),
    "statement": ("statement_ru", 1),
}


@cache
def sample(name: str) -> tuple[Document, str]:
    """(the document of a page, its language)."""
    stem, times = PAGES[name]
    values = json.loads((ROOT / f"tests/corpus/documents/{stem}.json").read_text())
    if times != 1:
        lines = values["lines"] * 2
        values["lines"] = lines[: round(len(values["lines"]) * times)]
        for key in ("totals", "taxes"):
            values.pop(key, None)
        values["totals"] = {"total": f"{sum(float(line['amount']) for line in values['lines']):.2f}"}
    return read_document(json.dumps(values).encode()), values.get("language") or "ro"


def draw_ours(name: str, count: int) -> float:
    """CPU milliseconds of one PDF, from the document on, as a mail draws it."""
    document, code = sample(name)
    began = time.process_time()
    for _ in range(count):
        pdf.render_pdf(document, BRAND, code)
    return 1000 * (time.process_time() - began) / count


def draw_plain(name: str, count: int) -> float:
    """The same of WeasyPrint called plainly, with the style sheet in the page."""
    html, fetcher = plain_page(name)
    began = time.process_time()
    for _ in range(count):
        weasyprint.HTML(string=html, base_url="asset:", url_fetcher=fetcher).write_pdf()
    return 1000 * (time.process_time() - began) / count


class Fonts(weasyprint.urls.URLFetcher):  # type: ignore[misc]
    """Serves the page's pictures, and the font's files."""

    def __init__(self, assets: dict[str, tuple[str, bytes]]) -> None:
        super().__init__()
        self._assets = pdf.Assets(assets)

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> Any:
        """A picture of the page or a font."""
        return super().fetch(url, headers) if url.startswith("file:") else self._assets.fetch(url, headers)


@cache
def plain_page(name: str) -> tuple[str, Fonts]:
    """(the same page with its style sheet and fonts inside, what serves its pictures)."""
    document, code = sample(name)
    words = language(code)
    sheet = make_sheet(document, BRAND, words)
    assets = pdf._assets(sheet, BRAND)
    html = pdf._html(document, sheet, BRAND, words, assets)
    folder = Path(fontpkg_pt_sans.ROOT) / "files"
    faces = "".join(
        f'@font-face {{ font-family: "PT Sans"; src: url("file://{folder}/PT_Sans-Web-{name}.ttf"); {how} }}\n'
        for name, how in (
            ("Regular", ""),
            ("Bold", "font-weight: bold"),
            ("Italic", "font-style: italic"),
            ("BoldItalic", "font-weight: bold; font-style: italic"),
        )
    )
    return html.replace("</head>", f"<style>{faces}{style('documents/document.css')}</style></head>"), Fonts(assets)


def serve_plain() -> None:
    """Answer what the parent asks, until it goes."""
    for line in sys.stdin:
        name, count = json.loads(line)
        print(draw_plain(name, count), flush=True)


if __name__ == "__main__":
    serve_plain()
