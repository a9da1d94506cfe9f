"""The PDF of a document, by WeasyPrint: A4, tagged (PDF/UA-1), in the tenant's colours; same input, same bytes.

Runs in a worker process (`wire.workers`, which limits time and memory and has no network); preload this module there.
Each document of a bundle stands on pages of its own, numbered on their own, as in the PDF that it has alone.
The page can reach the tenant's logo and the QR code by name and nothing else: no file, no data: and no web address.
What WeasyPrint would do for each page anew is done once: fonts, style sheets, and each object's bytes.
Fonts are PT Sans (Latin with ș ț, Cyrillic, figures of one width), then whatever the system has for other scripts.
Refuses nothing: what a document holds is text on a page.
"""

import functools
import io
import logging
import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from xml.etree import ElementTree

import cssselect2  # type: ignore[import-untyped]
import fontpkg_pt_sans  # type: ignore[import-untyped]
import pydyf  # type: ignore[import-untyped]
import segno
import weasyprint
from weasyprint.text.ffi import ffi, fontconfig, pangoft2
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import URLFetcher, URLFetcherResponse

from gateway.outbound.documents.model import Document
from gateway.outbound.einvoice.facturx import wants_facturx, write_facturx
from gateway.outbound.einvoice.pdf_metadata import DESCRIPTION, FACTURX_XMP, FILE_NAME, RELATIONSHIP
from gateway.outbound.pages import page, style
from gateway.outbound.sheet import Brand, Sheet, make_sheet
from gateway.outbound.tables import TEXT, Table
from gateway.outbound.texts import Language, language

CARRY_FROM = 16  # rows: a shorter table does not break over a page often enough to pay for the sums
HEADS = {"quantity": "quantity", "unit": "unit", "price": "unit_price", "tax": "tax_rate", "amount": "line_amount"}
WIDEST = {"quantity": 26.0, "unit": 22.0, "price": 30.0, "tax": 16.0, "amount": 42.0}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 §2.2

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


class Page(weasyprint.HTML):  # type: ignore[misc]
    """A page of ours for WeasyPrint: read by expat, which takes a thirtieth of an HTML parser's time.

    A test draws each sample with either and wants the same bytes.
    """

    def __init__(self, page: str, fetcher: Assets) -> None:
        tree = ElementTree.fromstring(_NOT_XML.sub("\ufffd", page))  # noqa: S314 - our own template, all text escaped
        self.base_url = "asset:"
        self.url_fetcher = fetcher
        self.media_type = "print"
        self.wrapper_element = cssselect2.ElementWrapper.from_html_root(tree, content_language=None)
        self.etree_element = tree

    def _ua_stylesheets(self, forms: bool = False) -> list[weasyprint.CSS]:
        return [_style("documents/base.css")]


class _Written(pydyf.Object):  # type: ignore[misc]
    """An object of a PDF with its bytes: pydyf asks for them twice, and would compress each stream twice."""

    def __init__(self, made: pydyf.Object) -> None:
        self.number, self.offset, self.generation, self.free = made.number, 0, made.generation, made.free
        self._compressible: bool = made.compressible
        self._data: bytes = made.data

    @property
    def data(self) -> bytes:
        return self._data

    @property
    def compressible(self) -> bool:
        return self._compressible


def _write_once(_: weasyprint.Document, made: pydyf.PDF) -> None:
    """WeasyPrint's last step before it writes the file: no object changes after it."""
    made.objects = [one if one.free == "f" else _Written(one) for one in made.objects]


def render_pdf(document: Document, brand: Brand, code: str, bundle: tuple[Document, ...] = ()) -> bytes:
    """The PDF of a document in language `code` (ro, ru, en), followed by those of `bundle`."""
    first, *others = (_lay_out(one, brand, language(code)) for one in (document, *bundle))
    whole = first.copy([page for laid_out in (first, *others) for page in laid_out.pages]) if others else first
    xml = write_facturx(document, brand) if wants_facturx(document, brand.einvoice) and not bundle else b""
    pdf = whole.write_pdf(
        pdf_identifier=_identifier((document, *bundle), code) + (b"+factur-x" if xml else b""),
        pdf_tags=True,
        **(_with_invoice(whole, document, xml) if xml else {"pdf_variant": "pdf/ua-1", "finisher": _write_once}),
    )
    assert isinstance(pdf, bytes)
    return pdf


def print_page(page: str, sheet: str) -> bytes:
    """A page of the gateway's own (XHTML, every text escaped) as PDF, with the style sheet `documents/SHEET`."""
    laid_out = Page(page, Assets({})).render(
        stylesheets=[_style(f"documents/{sheet}")], font_config=_fonts(), pdf_variant="pdf/ua-1", pdf_tags=True
    )
    pdf = laid_out.write_pdf(pdf_tags=True, pdf_variant="pdf/ua-1", finisher=_write_once)
    assert isinstance(pdf, bytes)
    return pdf


def _with_invoice(whole: weasyprint.Document, document: Document, xml: bytes) -> dict[str, object]:
    """How a PDF is written that carries its invoice as XML: PDF/A-3u, and tagged as the others are."""
    plain = whole.metadata.generate_rdf_metadata

    def describe(variant: str, version: int, conformance: str) -> bytes:
        rdf = plain(variant, version, conformance)
        assert isinstance(rdf, bytes)
        return rdf.replace(b"</rdf:RDF>", FACTURX_XMP + b"</rdf:RDF>")

    whole.metadata.generate_rdf_metadata = describe  # WeasyPrint's own way would add a second RDF, where XMP has one
    day = datetime.combine(date.fromisoformat(document.issue_date), time(), UTC)
    embedded = weasyprint.Attachment(
        string=xml, name=FILE_NAME, description=DESCRIPTION, relationship=RELATIONSHIP, created=day, modified=day
    )
    return {"pdf_variant": "pdf/a-3u", "attachments": [embedded], "finisher": _archive}


def _archive(whole: weasyprint.Document, made: pydyf.PDF) -> None:
    """What WeasyPrint leaves to be mended for PDF/A-3: files are named once; images are not smoothed (6.2.8)."""
    made.catalog["AF"] = pydyf.Array(dict.fromkeys(made.catalog["AF"]))
    for one in made.objects:
        if isinstance(one, pydyf.Stream) and one.extra.get("Interpolate") == "true":
            one.extra["Interpolate"] = "false"
    _write_once(whole, made)


def _lay_out(document: Document, brand: Brand, words: Language) -> weasyprint.Document:
    """The pages of one document."""
    sheet = make_sheet(document, brand, words)
    assets = _assets(sheet, brand)
    html = _html(document, sheet, brand, words, assets)
    styles = [_style("documents/document.css")]
    return Page(html, Assets(assets)).render(
        stylesheets=styles, font_config=_fonts(), pdf_variant="pdf/ua-1", pdf_tags=True
    )


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
def _style(name: str) -> weasyprint.CSS:
    return weasyprint.CSS(string=style(name), font_config=_fonts(), url_fetcher=Assets({}))


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
