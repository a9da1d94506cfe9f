"""Reading e-invoices: every field of the samples, the words of a refusal, what is lost, PDFs that embed one."""

import io
import pickle
from pathlib import Path

import pytest
from pypdf import PdfWriter

from gateway.mail.reply import Refused
from gateway.outbound.documents import read_document
from gateway.outbound.einvoice import explain_einvoice, read_einvoice, recognise
from tests.unit.einvoice_oracle import facts, facts_of

SAMPLES = Path(__file__).parents[1] / "corpus" / "einvoices"


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.xml").read_bytes()


def changed(name: str, *pairs: tuple[str, str]) -> bytes:
    """A sample with texts replaced; each must be there."""
    text = sample(name).decode()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


def errors(data: bytes) -> dict[str, str]:
    reading = explain_einvoice(data)
    assert reading.document is None
    return dict(reading.errors)


def pdf(*attachments: tuple[str, bytes], password: str = "") -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    for name, data in attachments:
        writer.add_attachment(name, data)
    if password:
        writer.encrypt(password)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.xml")), ids=lambda path: path.stem)
def test_a_sample_has_the_facts_of_its_xml_and_survives_storage(path: Path) -> None:
    reading = explain_einvoice(path.read_bytes())
    assert reading.errors == ()
    document = reading.document
    assert document is not None
    told = facts(path.read_bytes())
    if path.stem == "ubl_plain":
        told["items"][0]["description"] = "Доставка воды"  # the description stands in for the name
    assert facts_of(document) == told
    assert read_document(document.canonical()) == document
    assert pickle.loads(pickle.dumps(reading)) == reading  # it crosses the pipe of a worker


def test_ubl_fills_every_part_of_the_document() -> None:
    document = read_einvoice(sample("ubl_invoice"))
    assert (document.type, document.id, document.number) == ("invoice", "EAA 001042", "EAA 001042")
    assert (document.issue_date, document.due_date, document.delivery_date) == (
        "2026-11-03",
        "2026-12-03",
        "2026-10-30",
    )
    assert document.period is not None
    assert (document.period.start, document.period.end) == ("2026-10-01", "2026-10-31")
    assert (document.purchase_order, document.contract, document.buyer_reference) == ("PO-9", "C-2026/7", "DEP-4")
    assert document.notes == "Mulțumim pentru colaborare.\n\nLivrat conform avizului 77."
    assert document.metadata["sales_order"] == "SO-31"
    assert [(one.number, one.date, one.relation) for one in document.related] == [("EAA 000999", "2026-09-03", "")]
    seller = document.seller
    assert seller is not None and seller.address is not None and seller.endpoint is not None
    assert (seller.name, seller.trade_name, seller.vat) == ("Codru Servicii SRL", "Codru", "RO10203040")
    assert (seller.idno, seller.id, seller.email) == ("J22/100/2019", "S-1", "facturi@codru.example")
    assert seller.address.lines == ("Str. Pădurii 5", "scara B")
    assert (seller.address.city, seller.address.postcode, seller.address.country) == ("Iași", "700001", "RO")
    assert (seller.endpoint.scheme, seller.endpoint.id) == ("9947", "RO10203040")


def test_ubl_keeps_lines_adjustments_taxes_and_totals_digit_by_digit() -> None:
    document = read_einvoice(sample("ubl_invoice"))
    line = document.lines[0]
    assert (line.quantity, line.unit, line.unit_price, line.price_base) == ("20.0", "HUR", "510.0000000000", "10")
    assert (line.amount, line.tax_category, line.tax_rate) == ("1000.00", "S", "21.0")
    assert line.details == "Ședințe la sediu\nLuna octombrie\nLimba: română"
    assert line.metadata == {"buyer_item": "B-7"}
    assert [(one.charge, one.amount, one.reason) for one in line.adjustments] == [(False, "20", "Abonat")]
    assert [(one.charge, one.amount, one.percent, one.reason) for one in document.adjustments] == [
        (False, "100.00", "10", "Discount de volum"),
        (True, "20.00", "", "FC"),
    ]
    assert [(tax.category, tax.rate, tax.base, tax.amount, tax.exemption) for tax in document.taxes] == [
        ("S", "21", "920.00", "193.20", ""),
        ("E", "0", "50.00", "0.00", "Scutit, art. 292"),
    ]
    assert document.totals is not None
    assert document.totals.model_dump(exclude_defaults=True) == {
        "lines": "1050.00", "discount": "100.00", "charges": "20.00", "net": "970.00", "tax": "193.20",
        "total": "1163.20", "paid": "163.00", "rounding": "-0.20", "balance": "1000.00",
    }  # fmt: skip


def test_ways_to_pay_are_kept_and_a_card_number_is_not() -> None:
    payment = read_einvoice(sample("ubl_invoice")).payment
    assert payment is not None
    assert (payment.terms, payment.reference) == ("30 de zile", "EAA001042")
    bank, debit, card = (method.model_dump(exclude_defaults=True) for method in payment.methods)
    assert bank["iban"] == "RO49 AAAA 1B31 0075 9384 0000"
    assert (bank["bic"], bank["holder"]) == ("AAAAROBU", "Codru Servicii SRL")
    assert debit == {"type": "direct_debit", "note": "MANDAT-8; MD24AG000225100013104168"}
    assert card == {"type": "card", "note": "•••• 1111"}


def test_the_electronic_address_of_the_buyer_is_where_the_mail_goes() -> None:
    document = read_einvoice(sample("ubl_invoice"))
    assert [str(one.address) for one in document.recipients()] == ["plati@lacul.example"]
    assert document.customer.email == "ana@lacul.example"
    other = read_einvoice(changed("ubl_invoice", ('schemeID="EM">plati@lacul.example', 'schemeID="9999">77')))
    assert [str(one.address) for one in other.recipients()] == ["ana@lacul.example"]


def test_a_malformed_mail_address_is_lost_and_not_a_reason_to_refuse() -> None:
    reading = explain_einvoice(changed("ubl_invoice", ("ana@lacul.example", "ana at lacul")))
    assert reading.document is not None
    assert reading.document.customer.email == ""
    assert "/Invoice/cac:AccountingCustomerParty/cac:Party/cac:Contact/cbc:ElectronicMail" in reading.lost


def test_an_embedded_file_travels_and_its_base64_is_checked() -> None:
    (file,) = read_einvoice(sample("ubl_invoice")).files
    assert (file.filename, file.content_type, file.content) == ("aviz-77.txt", "text/plain", "QXZpeiA3Nwo=")
    assert "is not base64" in errors(changed("ubl_invoice", ("QXZpeiA3", "QXZ!eiA3")))["files[0].content"]


def test_what_a_document_has_no_place_for_is_listed() -> None:
    assert explain_einvoice(sample("ubl_invoice")).lost == (
        "/Invoice/cbc:TaxCurrencyCode",
        "/Invoice/cac:PaymentMeans[3]/cac:CardAccount/cbc:NetworkID",
        "/Invoice/cac:TaxTotal[1]/cbc:TaxAmount",
        "/Invoice/cac:TaxTotal[2]/cac:TaxSubtotal[2]/cac:TaxCategory/cbc:TaxExemptionReasonCode",
    )
    extra = '<z:Colour xmlns:z="urn:z">red</z:Colour><b:DueDate>'
    assert "/Invoice/Q{urn:z}Colour" in explain_einvoice(changed("ubl_invoice", ("<b:DueDate>", extra))).lost


def test_cii_fills_the_document_too() -> None:
    document = read_einvoice(sample("cii_invoice"))
    assert (document.number, document.issue_date, document.due_date) == ("R-2026-77", "2026-11-02", "2026-12-02")
    assert [(one.number, one.date, one.relation) for one in document.related] == [
        ("R-2026-70", "2026-10-20", "replaces")
    ]
    assert document.seller is not None
    assert (document.seller.vat, document.seller.idno) == ("DE123456789", "HRB 1")
    assert document.metadata["seller_tax_number"] == "12/345/67890"
    assert document.lines[0].details == "Eiche\nnach Aufmaß\nFarbe: hell"
    assert [(one.charge, one.amount) for one in document.lines[0].adjustments] == [(True, "5.00")]
    assert document.period is not None
    assert document.period.end == "2026-10-31"
    assert document.payment is not None
    bank, other = (method.model_dump(exclude_defaults=True) for method in document.payment.methods)
    # The payee (a factor) holds the account; an account with a typing error is shown, but nobody is told it is an IBAN.
    assert bank == {
        "type": "bank", "iban": "DE02120300000000202051", "bic": "BYLADEM1001", "holder": "Bank am Markt AG",
    }  # fmt: skip
    assert other == {"type": "other", "note": "Zweitkonto; DE02120300000000202052"}


def test_a_credit_note_keeps_its_signs_and_names_what_it_credits() -> None:
    document = read_einvoice(sample("ubl_credit_note"))
    assert document.type == "credit_note"
    assert (document.issue_date, document.due_date) == ("2026-11-10", "2026-11-24")
    assert document.totals is not None
    assert document.totals.total == "12.40"
    assert [(one.type, one.number, one.relation) for one in document.related] == [("invoice", "INV-4", "credits")]


@pytest.mark.parametrize(
    ("code", "kind"), [("380", "invoice"), ("381", "credit_note"), ("384", "invoice"), ("261", "credit_note")]
)
def test_the_code_decides_whether_it_is_a_credit_note(code: str, kind: str) -> None:
    assert read_einvoice(changed("cii_invoice", ("<r:TypeCode>384<", f"<r:TypeCode>{code}<"))).type == kind


def test_under_self_billing_the_seller_is_part_of_the_id() -> None:
    assert read_einvoice(changed("cii_invoice", ("Code>384<", "Code>389<"))).id == "DE123456789/R-2026-77"
    assert read_einvoice(sample("cii_invoice")).id == "R-2026-77"


def test_lines_that_group_inform_or_belong_to_another_are_not_counted() -> None:
    line = "<r:LineID>10</r:LineID>"
    text = sample("cii_invoice").decode()
    start, end = text.index("<r:IncludedSupplyChainTradeLineItem>"), text.index("<r:ApplicableHeaderTradeAgreement>")
    item = text[start:end]
    for more in (
        "<r:ParentLineID>10</r:ParentLineID>",
        "<r:LineStatusReasonCode>GROUP</r:LineStatusReasonCode>",
        "<r:LineStatusReasonCode>INFORMATION</r:LineStatusReasonCode>",
    ):
        data = text.replace(item, item + item.replace(line, line + more)).encode()
        assert len(read_einvoice(data).lines) == 1
        assert any("LineTotalAmount" in path for path in explain_einvoice(data).lost)
    detail = item.replace(
        line, f"{line}<r:ParentLineID>1</r:ParentLineID><r:LineStatusReasonCode>DETAIL</r:LineStatusReasonCode>"
    )
    assert len(read_einvoice(text.replace(item, detail).encode()).lines) == 1


def test_what_is_collected_for_others_is_due_in_the_extension_of_xrechnung() -> None:
    extension = "urn:cen.eu:en16931:2017#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0"
    extension += "#conformant#urn:xeinkauf.de:kosit:extension:xrechnung_3.0"
    third = "<b:PaymentTerms/>".replace("b:PaymentTerms/", "a:PrepaidPayment")
    third += '<b:ID>Pay-TV</b:ID><b:PaidAmount currencyID="RON">7.50</b:PaidAmount></a:PrepaidPayment><a:PaymentTerms>'
    data = changed(
        "ubl_invoice",
        ("urn:cen.eu:en16931:2017#compliant#urn:efactura.mfinante.ro:CIUS-RO:1.0.1", extension),
        ("<a:PaymentTerms>", third),
        ("1000.00</b:Payable", "1007.50</b:Payable"),
    )  # fmt: skip
    document = read_einvoice(data)
    assert document.totals is not None
    assert (document.totals.total, document.totals.balance, document.totals.credited) == ("1163.20", "1007.50", "-7.50")
    assert document.notes.endswith("Pay-TV: 7.50 RON")
    plain = data.replace(extension.encode(), b"urn:cen.eu:en16931:2017")
    assert "is not total - paid" in errors(plain)["totals.balance"]


# -- PDFs


@pytest.mark.parametrize("name", ["factur-x.xml", "zugferd-invoice.xml", "ZUGFeRD-invoice.xml", "xrechnung.xml"])
def test_the_invoice_in_a_pdf_is_read(name: str) -> None:
    reading = explain_einvoice(pdf(("terms.xml", b"<no/>"), (name, sample("cii_invoice"))))
    assert reading.hybrid
    assert reading.document == read_einvoice(sample("cii_invoice"))


def test_a_pdf_without_an_invoice_is_no_einvoice() -> None:
    for data in (pdf(), pdf(("notes.xml", sample("cii_invoice")))):
        reading = explain_einvoice(data)
        assert (reading.kind, reading.document, reading.hybrid) == ("", None, True)
        assert "no invoice embedded" in reading.errors[0][1]


def test_a_pdf_that_cannot_be_read_is_refused_in_words() -> None:
    whole = pdf(("factur-x.xml", sample("cii_invoice")))
    assert "cannot be read" in errors(pdf(("factur-x.xml", b"<a/>"), password="secret"))[""]
    assert "cannot be read" in errors(b"%PDF-1.7\n/EmbeddedFile" + b"\xff" * 500)[""]
    assert errors(whole[: len(whole) // 2])


def test_a_broken_invoice_is_told_from_a_file_that_is_none() -> None:
    cut = sample("ubl_invoice")[:3000]
    assert [explain_einvoice(data).kind for data in (cut, pdf(("factur-x.xml", b"<a/>")))] == ["UBL Invoice", "CII"]
    assert [explain_einvoice(data).kind for data in (b"<a", b"<a/>", b"%PDF-1.7")] == ["", "", ""]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7", "pdf"), (b"\r\n%PDF-1.4", "pdf"), (b"\xef\xbb\xbf<a/>", "xml"), (b"\n <?xml", "xml"),
        ("<a/>".encode("utf-16"), "xml"), ("<a/>".encode("utf-16-be"), "xml"), (b'{"type"', "json"), (b"", ""),
        (b"PK\x03\x04", ""), (b"From: a@b", ""),
    ],
)  # fmt: skip
def test_a_file_is_recognised_by_its_content(data: bytes, kind: str) -> None:
    assert recognise(data) == kind


def test_a_refusal_is_a_reply_in_words() -> None:
    with pytest.raises(Refused) as caught:
        read_einvoice(changed("ubl_invoice", ("<b:ID>EAA 001042</b:ID>", "")))
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (554, "5.6.0")
    assert caught.value.reply.text == "number is missing (BT-1, /Invoice/cbc:ID)"
