"""The PDF of an invoice: the same bytes for the same input, what it says, its fonts, and that it can reach nothing."""

import io
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pypdf
import pytest
import segno

from gateway.outbound import pdf
from gateway.outbound.documents import Document, read_document
from gateway.outbound.pdf import Assets, render_pdf
from gateway.outbound.rendering import Rendered, render_mail
from gateway.outbound.sheet import Brand, make_sheet
from gateway.outbound.texts import language
from gateway.wire.workers import WorkerPool

ROOT = Path(__file__).resolve().parents[2]
BRAND = Brand(company="Acme Servicii SRL", contact_email="office@acme.example", colour="#0b6b4f")
SAMPLES = {"ro": "invoice_ro", "ru": "invoice_ru", "en": "invoice_en"}


def sample(name: str, **changes: Any) -> Document:
    values = json.loads((ROOT / f"tests/corpus/documents/{name}.json").read_text())
    return read_document(json.dumps(values | changes).encode())


def words(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(2, preload=("gateway.outbound.pdf",))
    yield pool
    pool.close()


@pytest.mark.parametrize("code", SAMPLES)
def test_two_processes_make_the_same_bytes(pool: WorkerPool, code: str) -> None:
    futures = [pool._submit(render_pdf, (sample(SAMPLES[code]), BRAND, code), 60) for _ in range(4)]
    first, *others = (future.result() for future in futures)
    assert first.startswith(b"%PDF-1.7") and all(other == first for other in others)
    assert len(first) < 60_000


@pytest.mark.parametrize("code", SAMPLES)
def test_one_page_says_who_what_how_much_and_where_to_pay(code: str) -> None:
    document = sample(SAMPLES[code])
    reader = pypdf.PdfReader(io.BytesIO(render_pdf(document, BRAND, code)))
    assert len(reader.pages) == 1
    text = reader.pages[0].extract_text().replace("\u00a0", " ")
    sheet = make_sheet(document, BRAND, language(code))
    expected = [sheet.title, sheet.number, *(fact for pair in sheet.facts for fact in pair), document.customer.name]
    expected += [fact for pair in (*sheet.totals, *sheet.payment) for fact in pair if len(fact) < 30]
    expected += [row.amount for row in sheet.rows]
    for piece in expected:
        assert piece.replace("\u00a0", " ") in text
    assert {"ro": "Pagina 1 din 1", "ru": "Страница 1 из 1", "en": "Page 1 of 1"}[code] in text


def test_it_names_its_language_its_title_and_its_structure() -> None:
    reader = pypdf.PdfReader(io.BytesIO(render_pdf(sample("invoice_ro"), BRAND, "ro")))
    root = reader.trailer["/Root"].get_object()
    assert root["/Lang"] == "ro"
    assert root["/MarkInfo"]["/Marked"] and root["/ViewerPreferences"]["/DisplayDocTitle"]
    metadata = reader.metadata
    assert metadata is not None
    assert metadata.title == "Cont de plată CP-2026-0042" and metadata.author == BRAND.company
    assert metadata.creation_date is not None and metadata.creation_date.date() == date(2026, 11, 24)
    assert b"pdfuaid" in reader.trailer["/Root"]["/Metadata"].get_object().get_data()


def test_its_fonts_are_embedded_and_carry_every_letter() -> None:
    for code, name in SAMPLES.items():
        reader = pypdf.PdfReader(io.BytesIO(render_pdf(sample(name), BRAND, code)))
        fonts = {str(font.get_object()["/BaseFont"]) for font in reader.pages[0]["/Resources"]["/Font"].values()}
        assert fonts and all("PT-Sans" in font and "+" in font for font in fonts)


def test_a_long_table_repeats_its_head_on_every_page() -> None:
    reader = pypdf.PdfReader(io.BytesIO(render_pdf(sample("invoice_long"), BRAND, "ro")))
    pages = [page.extract_text() for page in reader.pages]
    assert len(pages) > 3
    for number, text in enumerate(pages, 1):
        assert ("Denumirea" in text) == ("punct de lucru" in text)
        assert f"Pagina {number} din {len(pages)}" in text
    assert sum(text.count("SRV-") for text in pages) == 120


def test_hostile_text_is_text_on_the_page() -> None:
    text = words(render_pdf(sample("hostile"), BRAND, "en"))
    assert "<script>alert(1)</script>" in text and "{{ 7*7 }}" in text


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "http://127.0.0.1/", "https://x.example/", "data:text/plain,x", "asset:absent", "x", ""],
)
def test_nothing_but_given_assets_is_served(url: str) -> None:
    with pytest.raises(ValueError, match="may not fetch"):
        Assets({"qr": ("image/svg+xml", b"<svg/>")}).fetch(url)


def test_a_logo_that_is_no_picture_is_not_shown() -> None:
    brand = Brand(company="Acme", logo=b"<svg onload='x'/>")
    assert pdf._assets(make_sheet(sample("invoice_ru"), brand, language("ru")), brand) == {}


def test_a_broken_logo_costs_the_logo_only() -> None:
    broken = Brand(company="Acme", logo=b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    assert "CP-2026-0042" in words(render_pdf(sample("invoice_ro"), broken, "ro"))


def test_the_code_for_paying_is_the_given_payload_or_an_epc_code_for_euros() -> None:
    ro, en = (make_sheet(sample(SAMPLES[code]), BRAND, language(code)) for code in ("ro", "en"))
    assert ro.qr == "https://qr.example/pay/c3108b2f-6c2e-43a2-bdea-123456789012"
    assert en.qr.split("\n") == [
        *("BCD", "002", "1", "SCT", ""),
        *("Codru Software SRL", "DE89370400440532013000", "EUR5400.00", "", "", "INV-2026-077"),
    ]
    assert make_sheet(sample("invoice_ru"), BRAND, language("ru")).qr == ""
    paid = sample("invoice_en", totals={"total": "5400.00", "paid": "5400.00", "balance": "0.00"})
    assert make_sheet(paid, BRAND, language("en")).qr == ""


def test_a_payload_that_no_code_can_hold_is_left_out() -> None:
    with pytest.raises(segno.DataOverflowError):
        segno.make_qr("ж" * 2048, error="m", boost_error=False)
    assert pdf._qr("ж" * 2048) == b""


def test_the_whole_mail_is_rendered_in_a_worker(pool: WorkerPool) -> None:
    found: Rendered = pool.run_sync(
        render_mail, "new_invoice", sample("invoice_ro"), BRAND, date(2026, 11, 24), seconds=60
    )
    (attachment,) = found.attachments
    assert attachment.filename == "CP-2026-0042.pdf" and attachment.data.startswith(b"%PDF")
    assert "PDF atașat" in found.html
