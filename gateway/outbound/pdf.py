"""The PDF of a document, by WeasyPrint: A4, tagged (PDF/UA-1), in the tenant's colours; same input, same bytes.

Runs in a worker process (`wire.workers`, which limits time and memory and has no network); preload this module there.
Each document of a bundle stands on pages of its own, numbered on their own, as in the PDF that it has alone.
The page can reach the tenant's logo and the QR code by name and nothing else: no file, no data: and no web address.
Fonts are PT Sans (Latin with ș ț, Cyrillic, figures of one width), then whatever the system has for other scripts.
Refuses nothing: what a document holds is text on a page.
"""

import functools
import io
import logging
from pathlib import Path

import fontpkg_pt_sans  # type: ignore[import-untyped]
import segno
import weasyprint
from weasyprint.text.ffi import ffi, fontconfig, pangoft2
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import URLFetcher, URLFetcherResponse

from gateway.outbound.documents.model import Document
from gateway.outbound.pages import page, style
from gateway.outbound.sheet import Brand, Sheet, make_sheet
from gateway.outbound.tables import TEXT, Table
from gateway.outbound.texts import Language, language

CARRY_FROM = 16  # rows: a shorter table does not break over a page often enough to pay for the sums
HEADS = {"quantity": "quantity", "unit": "unit", "price": "unit_price", "tax": "tax_rate", "amount": "line_amount"}
WIDEST = {"quantity": 26.0, "unit": 22.0, "price": 30.0, "tax": 16.0, "amount": 42.0}

logging.getLogger("weasyprint").setLevel(logging.CRITICAL)  # it would log what documents hold
logging.getLogger("fontTools").setLevel(logging.CRITICAL)


class Assets(URLFetcher):  # type: ignore[misc]
    """Serves `asset:NAME` from a table; everything else is refused."""

    def __init__(self, table: dict[str, tuple[str, bytes]]) -> None:
        super().__init__(timeout=1, allowed_protocols=(), allow_redirects=False)
        self._table = table

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> URLFetcherResponse:
        """The asset that `url` names. Raises ValueError for any other, and the page goes without."""
        found = self._table.get(url.removeprefix("asset:")) if url.startswith("asset:") else None
        if found is None:
            raise ValueError(f"a document may not fetch {url[:60]!r}")
        media_type, data = found
        return URLFetcherResponse(url, data, {"Content-Type": media_type})


def render_pdf(document: Document, brand: Brand, code: str, bundle: tuple[Document, ...] = ()) -> bytes:
    """The PDF of a document in language `code` (ro, ru, en), followed by those of `bundle`."""
    first, *others = (_lay_out(one, brand, language(code)) for one in (document, *bundle))
    whole = first.copy([page for laid_out in (first, *others) for page in laid_out.pages]) if others else first
    pdf = whole.write_pdf(pdf_identifier=_identifier((document, *bundle), code), pdf_variant="pdf/ua-1", pdf_tags=True)
    assert isinstance(pdf, bytes)
    return pdf


def _lay_out(document: Document, brand: Brand, words: Language) -> weasyprint.Document:
    """The pages of one document."""
    sheet = make_sheet(document, brand, words)
    assets = _assets(sheet, brand)
    html = _html(document, sheet, brand, words, assets)
    source = weasyprint.HTML(string=html, base_url="asset:", url_fetcher=Assets(assets))
    return source.render(stylesheets=[_style()], font_config=_fonts(), pdf_variant="pdf/ua-1", pdf_tags=True)


def _html(document: Document, sheet: Sheet, brand: Brand, words: Language, assets: dict[str, tuple[str, bytes]]) -> str:
    before, _, rest = words.labels["page"].partition("{page}")
    between, _, after = rest.partition("{pages}")
    columns = [name for name in HEADS if name == "amount" or any(getattr(row, name) for row in sheet.rows)]
    widths: dict[str, float] = {"index": 4 + 2 * len(str(len(sheet.rows)))}
    for name in columns if sheet.rows else ():
        longest = max(len(getattr(row, name)) for row in sheet.rows)
        widths[name] = min(_width(longest, words.labels[HEADS[name]]), WIDEST[name])
    return page("documents/document.html").render(
        lang=words.code,
        label=words.labels,
        sheet=sheet,
        tables=[_table(table) for table in sheet.tables],
        brand={"company": brand.company, "accent": brand.accent, "on_accent": brand.on_accent},
        contact=" · ".join(part for part in (brand.contact_email, brand.phone) if part),
        numbering=(before, between, after),
        columns=columns,
        heads={name: words.labels[HEADS[name]] for name in columns},
        widths=widths,
        carry=len(sheet.rows) >= CARRY_FROM,
        assets=sorted(assets),
        issued=document.issue_date,
    )


def _table(table: Table) -> dict[str, object]:
    """A table with the widths of its columns in mm; the first column of text takes what the others leave."""
    wide = table.kinds.index(TEXT)
    widths = [
        0.0 if at == wide else _width(max(len(item.cells[at]) for item in table.items), head)
        for at, head in enumerate(table.heads)
    ]
    return {
        "name": table.name,
        "title": table.title,
        "heads": table.heads,
        "kinds": table.kinds,
        "items": table.items,
        "widths": widths,
        "carry": len(table.items) >= CARRY_FROM,
    }


def _width(longest: int, head: str) -> float:
    """The width of a column in mm, by its longest cell: a fixed layout costs a third of one that measures each cell."""
    return max(longest * 1.8, len(head) * 1.45) + 3.6


def _assets(sheet: Sheet, brand: Brand) -> dict[str, tuple[str, bytes]]:
    found: dict[str, tuple[str, bytes]] = {}
    if brand.logo and brand.logo_type:
        found["logo"] = (brand.logo_type, brand.logo)
    if sheet.qr and (code := _qr(sheet.qr)):
        found["qr"] = ("image/svg+xml", code)
    return found


def _qr(payload: str) -> bytes:
    """A QR code as SVG; b"" for a payload that no code can hold."""
    try:
        code = segno.make_qr(payload, error="m", boost_error=False)
    except segno.DataOverflowError:
        return b""
    out = io.BytesIO()
    code.save(out, kind="svg", border=0, xmldecl=False, svgns=True, omitsize=True, dark="#000")
    return out.getvalue()


def _identifier(documents: tuple[Document, ...], code: str) -> bytes:
    """What names this file inside: the key and revision of each document, and the language."""
    return "+".join(f"{one.type}/{one.id}/{one.revision}/{code}" for one in documents).encode()


@functools.cache
def _style() -> weasyprint.CSS:
    return weasyprint.CSS(string=style("documents/document.css"), font_config=_fonts(), url_fetcher=Assets({}))


@functools.cache
def _fonts() -> FontConfiguration:
    """The fonts, read once per process. Not by @font-face: that copies them to a folder that a killed child leaves."""
    fonts = FontConfiguration()
    for name in ("Regular", "Bold", "Italic", "BoldItalic"):
        path = Path(fontpkg_pt_sans.ROOT) / "files" / f"PT_Sans-Web-{name}.ttf"
        if not fontconfig.FcConfigAppFontAddFile(fonts._config, str(path).encode()):
            raise RuntimeError(f"the font {path.name} of fontpkg-pt-sans cannot be loaded")
    pangoft2.pango_fc_font_map_config_changed(ffi.cast("PangoFcFontMap *", fonts.font_map))
    return fonts
