"""The PDF of a document: the same bytes for the same input, what it says, its fonts, and that it can reach nothing."""

import io
import json
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pypdf
import pytest
import segno
import weasyprint
from PIL import Image

from gateway.outbound import pdf
from gateway.outbound.documents import Document, read_document
from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.pdf import Assets, render_pdf
from gateway.outbound.rendering import Rendered, render_mail
from gateway.outbound.sheet import Brand, make_sheet
from gateway.outbound.texts import language
from gateway.wire.workers import WorkerFailed, WorkerPool

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "corpus" / "documents"
BRAND = Brand(company="Acme Servicii SRL", contact_email="office@acme.example", colour="#0b6b4f")
SAMPLES = {"ro": "invoice_ro", "ru": "invoice_ru", "en": "invoice_en"}


def sample(name: str, **changes: Any) -> Document:
    values = json.loads((ROOT / f"tests/corpus/documents/{name}.json").read_text())
    return read_document(json.dumps(values | changes).encode())


def read(values: dict[str, Any]) -> Document:
    return read_document(json.dumps(values).encode())


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


AMOUNT = r"(−?[\d.\u00a0 ]+,\d\d)"


def amount(text: str) -> Decimal:
    return Decimal(re.sub(r"[.\s]", "", text).replace(",", ".").replace("−", "-"))


def test_a_table_that_breaks_carries_its_sum_to_the_next_page() -> None:
    document = sample("invoice_long")
    pages = [p.extract_text() for p in pypdf.PdfReader(io.BytesIO(render_pdf(document, BRAND, "ro"))).pages]
    shown = [len(re.findall("SRV-", text)) for text in pages]
    carried, lines = Decimal(0), iter(document.lines)
    for text, count, more in zip(pages, shown, [*shown[1:], 0], strict=True):
        brought = re.search(r"(?m)^Report: " + AMOUNT, text)
        assert (amount(brought[1]) if brought else Decimal(0)) == (carried if count else 0)
        carried += sum(decimal_of(next(lines).amount) for _ in range(count))
        forward = re.search("De reportat: " + AMOUNT, text)
        assert (amount(forward[1]) if forward else None) == (carried if count and more else None)
    assert carried == decimal_of(document.totals.lines if document.totals else "")


def test_a_statement_that_breaks_carries_its_balance() -> None:
    values = json.loads((ROOT / "tests/corpus/documents/statement_ru.json").read_text())
    statement = values["statement"]
    entries, balance = [], decimal_of(statement["opening_balance"])
    for entry in statement["entries"] * 12:
        balance += decimal_of(entry.get("debit", "")) - decimal_of(entry.get("credit", ""))
        entries.append(entry | {"balance": f"{balance:f}"})
    statement |= {"entries": entries, "closing_balance": f"{balance:f}", "aging": []}
    data = render_pdf(read_document(json.dumps(values).encode()), BRAND, "ru")
    first, second, *_ = (page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)
    forward, brought = (
        re.search(re.escape(label) + ": " + AMOUNT, text)
        for label, text in (("Сальдо к переносу", first), ("Сальдо с предыдущей страницы", second))
    )
    assert forward and brought and amount(forward[1]) == amount(brought[1])
    assert amount(forward[1]) in [Decimal(entry["balance"]) for entry in entries]


def test_a_short_table_carries_nothing() -> None:
    for name in ("invoice_ro", "statement_ro"):
        assert "eport" not in words(render_pdf(sample(name), BRAND, "ro"))


def test_a_receipt_is_followed_by_each_paid_invoice_as_it_is_alone() -> None:
    receipt, short, long = sample("receipt_ro"), sample("invoice_ro", status="paid"), sample("invoice_long")
    data = render_pdf(receipt, BRAND, "ro", (short, long))
    assert data == render_pdf(receipt, BRAND, "ro", (short, long))
    reader = pypdf.PdfReader(io.BytesIO(data))
    alone = [pypdf.PdfReader(io.BytesIO(render_pdf(one, BRAND, "ro"))) for one in (receipt, short, long)]
    assert [p.extract_text() for p in reader.pages] == [p.extract_text() for one in alone for p in one.pages]
    assert "Pagina 2 din 6" in reader.pages[3].extract_text()
    assert reader.metadata is not None and reader.metadata.title == "Chitanță de plată CH-2026-0101"
    tree = reader.trailer["/Root"]["/StructTreeRoot"]["/ParentTree"].get_object()
    assert [page["/StructParents"] for page in reader.pages] == list(range(8))
    assert tree["/Nums"][:16:2] == list(range(8))


TITLES = {
    "estimate_ro": "Ofertă de preț OF-2026-015",
    "credit_note_ru": "Кредит-нота КН-2026/8",
    "payment_plan_en": "Payment plan PLAN-2026-7",
    "receipt_ru": "Квитанция об оплате КВ-2026/310",
    "refund_en": "Refund RF-2026-009",
    "autopay_failure_ro": "Plată automată nereușită CP-2026-0042",
    "statement_ro": "Extras de cont EC-2026-11-17",
    "statement_ru": "Акт сверки взаимных расчётов АС-2026-11",
    "subscription_ru": "Подписка ПД-2026/5",
}


@pytest.mark.parametrize("name", TITLES)
def test_it_is_called_by_its_type_and_kind(name: str) -> None:
    reader = pypdf.PdfReader(io.BytesIO(render_pdf(sample(name), BRAND, name[-2:])))
    assert reader.metadata is not None and reader.metadata.title == TITLES[name]


@pytest.mark.parametrize("kind", ["cont_de_plata", "factura", "factura_fiscala", "proforma", "invoice"])
@pytest.mark.parametrize("code", SAMPLES)
def test_an_invoice_is_called_by_its_kind(kind: str, code: str) -> None:
    title = make_sheet(sample("invoice_ro", kind=kind), BRAND, language(code)).title
    assert title == language(code).entry_type(kind)


def test_an_act_has_places_to_sign_and_says_who_owes_what() -> None:
    text = words(render_pdf(sample("statement_ru"), BRAND, "ru"))
    assert "сальдо в пользу ООО «Днестр Логистик» составляет 13 998,00 MDL" in text.replace("\n", " ")
    assert text.count("Подпись") == text.count("М. П.") == 2
    values = json.loads(sample("statement_ru").canonical())["statement"]
    for closing, said in (("-5.00", "в пользу ООО «Винария Пример»"), ("0.00", "взаимной задолженности нет")):
        ended = {"opening_balance": closing, "closing_balance": closing, "entries": [], "aging": []}
        document = sample("statement_ru", statement=values | ended)
        assert said in make_sheet(document, BRAND, language("ru")).closing
    assert make_sheet(sample("statement_ro"), BRAND, language("ro")).signatures == ()


def plainly(document: Document, code: str) -> bytes:
    """What WeasyPrint makes of the same page by itself, with its own style sheet and parser."""
    words, own = language(code), pdf._style("documents/document.css")
    sheet = make_sheet(document, BRAND, words)
    assets = pdf._assets(sheet, BRAND)
    page = pdf._html(document, sheet, BRAND, words, assets)
    source = weasyprint.HTML(string=page, base_url="asset:", url_fetcher=Assets(assets))
    options: dict[str, Any] = {"pdf_variant": "pdf/ua-1", "pdf_tags": True}
    laid_out = source.render(stylesheets=[own], font_config=pdf._fonts(), **options)
    data = laid_out.write_pdf(pdf_identifier=pdf._identifier((document,), code), **options)
    assert isinstance(data, bytes)
    return data


@pytest.mark.parametrize("name", [*sorted(path.stem for path in CORPUS.glob("*_ro.json")), "hostile", "invoice_long"])
def test_what_is_done_once_changes_no_byte(name: str) -> None:
    document = sample(name)
    assert render_pdf(document, BRAND, "ro") == plainly(document, "ro")


@pytest.mark.parametrize(
    "text", ["a\x0bb", "a\x00b", "a\x1fb", "a\ud800b", "a\uffffb", "]]>", "<![CDATA[", "&nbsp;&x;", "<!--"]
)
def test_no_text_breaks_the_page(text: str) -> None:
    document = sample("invoice_ro").model_copy(update={"notes": f"Notă {text} bună", "number": f"N{text}1"})
    brand = Brand(company=f"Acme {text} SRL", contact_email=text, address=text)
    assert "bun" in words(render_pdf(document, brand, "ro"))


def test_a_thousand_lines_stay_in_order_and_carry_their_sum() -> None:
    values = json.loads((CORPUS / "invoice_long.json").read_text())
    line = next(iter(values["lines"])) | {"quantity": "1", "unit_price": "1.00", "amount": "1.00"}
    for known in ("taxes", "tax_lines"):
        values.pop(known, None)
    values["lines"] = [line | {"description": f"Poziția {n}"} for n in range(1, 1001)]
    values["totals"] = {"total": "1000.00"}
    pages = [p.extract_text() for p in pypdf.PdfReader(io.BytesIO(render_pdf(read(values), BRAND, "ro"))).pages]
    shown = [[int(n) for n in re.findall(r"Poziția (\d+)", page)] for page in pages]
    assert [n for page in shown for n in page] == list(range(1, 1001))
    for page, numbers, following in zip(pages, shown, [*shown[1:], []], strict=True):
        brought, forward = re.search(r"(?m)^Report: " + AMOUNT, page), re.search("De reportat: " + AMOUNT, page)
        assert (amount(brought[1]) if brought else Decimal(0)) == (numbers[0] - 1 if numbers else 0)
        assert (amount(forward[1]) if forward else None) == (numbers[-1] if numbers and following else None)


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image = Image.new("RGB", (width, height), "#b01020")
    image.putdata([(n * 7 % 256, n * 13 % 256, n % 251) for n in range(width * height)])
    image.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("size", [(2000, 40), (40, 2000), (1, 1), (160, 160)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_logo_of_any_shape_leaves_the_page_as_it_is(size: tuple[int, int], kind: str) -> None:
    brand = Brand(company=BRAND.company, logo=picture(*size, kind))
    reader = pypdf.PdfReader(io.BytesIO(render_pdf(sample("invoice_ro"), brand, "ro")))
    assert len(reader.pages) == 1 and len(reader.pages[0].images) == 1
    assert "CP-2026-0042" in reader.pages[0].extract_text()


def test_every_type_that_asks_for_money_has_a_code_for_paying() -> None:
    for name, euros in (
        ("invoice", "5400"),
        ("statement", "8450"),
        ("autopay_failure", "5400"),
        ("payment_plan", "5400"),
    ):
        assert f"\nEUR{euros}.00\n" in make_sheet(sample(f"{name}_en"), BRAND, language("en")).qr
    payment = json.loads(sample("invoice_en").canonical())["payment"]
    for name in ("estimate", "credit_note", "receipt", "refund", "subscription"):
        sheet = make_sheet(sample(f"{name}_en", payment=payment), BRAND, language("en"))
        assert (sheet.qr, sheet.payment, sheet.payable) == ("", (), False)
    voided = make_sheet(sample("invoice_en", status="voided"), BRAND, language("en"))
    assert (voided.qr, voided.payable, voided.stamp) == ("", False, "VOID")


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


def test_a_document_that_takes_too_long_costs_its_worker_only(pool: WorkerPool) -> None:
    with pytest.raises(WorkerFailed, match="timeout"):
        pool.run_sync(render_pdf, sample("invoice_long"), BRAND, "ro", seconds=0.05)
    assert pool.run_sync(render_pdf, sample("invoice_ro"), BRAND, "ro", seconds=60).startswith(b"%PDF")


def test_the_whole_mail_is_rendered_in_a_worker(pool: WorkerPool) -> None:
    found: Rendered = pool.run_sync(
        render_mail, "new_invoice", sample("invoice_ro"), BRAND, date(2026, 11, 24), seconds=60
    )
    (attachment,) = found.attachments
    assert attachment.filename == "CP-2026-0042.pdf" and attachment.data.startswith(b"%PDF")
    assert "PDF atașat" in found.html
