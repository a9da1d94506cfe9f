"""Broken e-invoices: each is refused with the field's name, what is wrong, and where in the XML; nothing else is."""

from pathlib import Path

import pytest

from gateway.outbound.einvoice import explain_einvoice

SAMPLES = Path(__file__).parents[1] / "corpus" / "einvoices"
UBL, CII = "ubl_invoice", "cii_invoice"
PROPERTY = "/Invoice/cac:InvoiceLine[1]/cac:Item/cac:AdditionalItemProperty"


def changed(name: str, *pairs: tuple[str, str]) -> bytes:
    text = (SAMPLES / f"{name}.xml").read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


def errors(data: bytes) -> dict[str, str]:
    reading = explain_einvoice(data)
    assert reading.document is None
    return dict(reading.errors)


MISSING = [
    (UBL, "<b:ID>EAA 001042</b:ID>", "number", "BT-1"),
    (UBL, "<b:IssueDate>2026-11-03</b:IssueDate>", "issue_date", "BT-2"),
    (UBL, "<b:InvoiceTypeCode>380</b:InvoiceTypeCode>", "type", "BT-3"),
    (UBL, "<b:DocumentCurrencyCode>RON</b:DocumentCurrencyCode>", "currency", "BT-5"),
    (UBL, "<b:RegistrationName>Codru Servicii SRL</b:RegistrationName>", "seller.name", "BT-27"),
    (UBL, "<b:RegistrationName>Lacul Mare SRL</b:RegistrationName>", "customer.name", "BT-44"),
    (UBL, "<a:Country><b:IdentificationCode>RO</b:IdentificationCode></a:Country>", "seller.address.country", "BT-40"),
    (UBL, '<b:LineExtensionAmount currencyID="RON">1050.00</b:LineExtensionAmount>', "totals.lines", "BT-106"),
    (UBL, '<b:TaxExclusiveAmount currencyID="RON">970.00</b:TaxExclusiveAmount>', "totals.net", "BT-109"),
    (UBL, '<b:TaxInclusiveAmount currencyID="RON">1163.20</b:TaxInclusiveAmount>', "totals.total", "BT-112"),
    (UBL, '<b:PayableAmount currencyID="RON">1000.00</b:PayableAmount>', "totals.balance", "BT-115"),
    (UBL, '<b:InvoicedQuantity unitCode="HUR">20.0</b:InvoicedQuantity>', "lines[0].quantity", "BT-129"),
    (UBL, ' unitCode="HUR"', "lines[0].unit", "BT-130"),
    (UBL, "<b:ChargeIndicator>false</b:ChargeIndicator>", "adjustments[0].charge", "true or false"),
    (UBL, "<b:AllowanceChargeReason>Abonat</b:AllowanceChargeReason>", "lines[0].adjustments[0].reason", "BR-CO-2"),
    (UBL, "<b:Value>română</b:Value>", f"{PROPERTY}/cbc:Value", "BT-161"),
    (CII, "<r:Name>Möbelwerk GmbH</r:Name>", "seller.name", "BT-27"),
    (CII, "<r:DuePayableAmount>200.00</r:DuePayableAmount>", "totals.balance", "BT-115"),
    (CII, "<r:TypeCode>384</r:TypeCode>", "type", "BT-3"),
    (CII, "<r:Name>Tisch</r:Name>", "lines[0].description", "is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "part", "field", "words"), MISSING, ids=[f"{one[0]}-{one[2]}" for one in MISSING])
def test_a_member_that_is_missing_is_named(name: str, part: str, field: str, words: str) -> None:
    found = errors(changed(name, (part, "")))
    assert words in found[field]


WRONG = [
    (UBL, ('currencyID="RON">1050.00', 'currencyID="RON">1060.00'), "totals.lines", "that is 1050.00 (BR-CO-10)"),
    (UBL, ('Amount currencyID="RON">970.00', 'Amount currencyID="RON">971.00'), "totals.net", "970.00 (BR-CO-13)"),
    (UBL, ("1163.20", "1163.21"), "totals.total", "that is 1163.20 (BR-CO-15)"),
    (UBL, ("1000.00</b:Payable", "999</b:Payable"), "totals.balance", "is not total - paid"),
    (UBL, ("1000.00</b:Payable", "1000.20</b:Payable"), "totals.balance", "that is 1000.00 (BR-CO-16)"),
    (UBL, ('RON">193.20', 'RON">193.30'), "totals.tax", "that is 193.20 (BR-CO-14)"),
    (UBL, ("100.00</b:AllowanceTotal", "90</b:AllowanceTotal"), "totals.discount", "BR-CO-11"),
    (UBL, ('RON">920.00', 'RON">940.00'), "taxes[0].base", "that is 920.00 (BR-S-08)"),
    (UBL, ("<b:Percent>0</b:Percent>", "<b:Percent>9</b:Percent>"), "taxes[1].amount", "that is 4.50 (BR-CO-17)"),
    (UBL, ("VATEX-EU-132", "VATEX-EU-O"), "taxes[1].exemption", "category O, and the category is E"),
    (UBL, ('"RON">1163.20', '"EUR">1163.20'), "totals.total", "is in EUR, and the document in RON"),
    (UBL, ("CurrencyCode>RON<", "CurrencyCode>LEI<"), "currency", "does not exist"),
    (UBL, ("1163.20", "1.163,20"), "totals.total", '"1.163,20" is not a decimal amount; write 1163.20'),
    (UBL, ("1163.20", "1163.2000001"), "totals.total", "7 decimals; at most 15 and 6 are taken"),
    (UBL, ("Date>2026-11-03", "Date>2026-02-30"), "issue_date", "no day of the calendar"),
    (UBL, ("Date>2026-11-03", "Date>03.11.2026"), "issue_date", "no day of the calendar"),
    (UBL, ("Date>2026-10-31", "Date>2026-09-30"), "period.to", "is before 2026-10-01"),
    (UBL, ("TypeCode>380", "TypeCode>911"), "type", "no invoice and no credit note"),
    (UBL, ("MeansCode>59<", "MeansCode>XX<"), "payment.methods[1].type", "no code of UNTDID 4461"),
    (UBL, ("Indicator>true<", "Indicator>yes<"), "adjustments[1].charge", "neither true nor false"),
    (UBL, ("Code>MD<", "Code>Moldova<"), "customer.address.country", "is no country"),
    (CII, ('format="102">20261102', 'format="610">202611'), "issue_date", "date format 610; write format 102"),
    (CII, ("20261202", "20261302"), "due_date", "no day of the calendar"),
    (CII, ("38.95</r:TaxTotal", "36.95</r:TaxTotal"), "totals.total", "is not net + tax"),
    (CII, ('currencyID="EUR">38.95', 'currencyID="USD">38.95'), "totals.total", "that is 205.00 (BR-CO-15)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pair", "field", "words"), WRONG, ids=[f"{one[2]}-{one[1][1][:30]}" for one in WRONG])
def test_what_does_not_hold_is_named_with_its_place(name: str, pair: tuple[str, str], field: str, words: str) -> None:
    found = errors(changed(name, pair))
    assert words in found[field]
    assert f"(/{'Invoice' if name == UBL else 'rsm:CrossIndustryInvoice'}/" in found[field]


def test_tax_needs_the_sellers_number() -> None:
    registration = '<r:SpecifiedTaxRegistration><r:ID schemeID="{}">{}</r:ID></r:SpecifiedTaxRegistration>'
    vat, fiscal = registration.format("VA", "DE123456789"), registration.format("FC", "12/345/67890")
    assert explain_einvoice(changed(CII, (vat, ""))).errors == ()
    assert "BT-31, BT-32, BT-63" in errors(changed(CII, (vat, ""), (fiscal, "")))["seller.vat"]


def test_a_sum_off_by_a_cent_is_refused_except_in_the_profile_that_allows_it() -> None:
    text = (SAMPLES / "cii_invoice.xml").read_text()
    item = text[text.index("<r:IncludedSupplyChainTradeLineItem>") : text.index("<r:ApplicableHeaderTradeAgreement>")]
    head, tail = text.split(item)
    two_lines = (
        head + item + item.replace("205.00", "0.00") + tail.replace("LineTotalAmount>205.00", "LineTotalAmount>205.01")
    )
    assert "that is 205.00 (BR-CO-10)" in errors(two_lines.encode())["totals.lines"]
    extended = "urn:cen.eu:en16931:2017#conformant#urn:factur-x.eu:1p0:extended"
    assert explain_einvoice(two_lines.replace("urn:cen.eu:en16931:2017", extended).encode()).errors == ()


def test_nothing_that_only_follows_is_told() -> None:
    buyer = (SAMPLES / "ubl_invoice.xml").read_text()
    start, end = buyer.index("<a:AccountingCustomerParty>"), buyer.index("<a:Delivery>")
    found = errors((buyer[:start] + buyer[end:]).encode())
    assert set(found) == {"customer.name", "customer.address.country"}


def test_a_document_that_promises_no_en_16931_is_held_to_less() -> None:
    reading = explain_einvoice((SAMPLES / "ubl_plain.xml").read_bytes())
    assert reading.errors == ()
    assert reading.document is not None
    assert reading.document.customer.name == "Иван Петров"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<Order xmlns='urn:oasis:names:specification:ubl:schema:xsd:Order-2'/>", "UBL 2.1 Invoice and CreditNote"),
        (b"<Invoice/>", "the XML is a Invoice without a namespace"),
        (b"<a:CrossIndustryDocument xmlns:a='urn:ferd:CrossIndustryDocument:invoice:1p0'/>", "ZUGFeRD 1"),
        (b"", "not well-formed: no element found"),
        (b"hello", "not well-formed"),
    ],
)
def test_what_is_no_invoice_is_told_what_is_read(data: bytes, words: str) -> None:
    assert words in errors(data)[""]
