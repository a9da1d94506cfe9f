"""An independent reading of an e-invoice's facts, to hold the gateway's against: ElementTree and plain paths.

Used by the tests of e-invoices only. Knows nothing of the product's tables: `facts` reads what a payer would check from
the XML, `facts_of` the same from a document; both with numbers as decimals.
"""

import io
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

from pypdf import PdfReader

from gateway.outbound.documents import Document

NAMES = {
    "a": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "b": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
AMOUNTS = ("lines", "discount", "charges", "net", "tax", "total", "paid", "rounding", "balance")
UBL = {
    "number": "b:ID", "currency": "b:DocumentCurrencyCode", "issue_date": "b:IssueDate",
    "seller": "a:AccountingSupplierParty/a:Party/a:PartyLegalEntity/b:RegistrationName",
    "seller_plain": "a:AccountingSupplierParty/a:Party/a:PartyName/b:Name",
    "customer": "a:AccountingCustomerParty/a:Party/a:PartyLegalEntity/b:RegistrationName",
    "customer_plain": "a:AccountingCustomerParty/a:Party/a:PartyName/b:Name",
    "due_date": "b:DueDate", "delivery_date": "a:Delivery/b:ActualDeliveryDate",
    "lines": "a:LegalMonetaryTotal/b:LineExtensionAmount", "discount": "a:LegalMonetaryTotal/b:AllowanceTotalAmount",
    "charges": "a:LegalMonetaryTotal/b:ChargeTotalAmount", "net": "a:LegalMonetaryTotal/b:TaxExclusiveAmount",
    "total": "a:LegalMonetaryTotal/b:TaxInclusiveAmount", "paid": "a:LegalMonetaryTotal/b:PrepaidAmount",
    "rounding": "a:LegalMonetaryTotal/b:PayableRoundingAmount", "balance": "a:LegalMonetaryTotal/b:PayableAmount",
}  # fmt: skip
UBL_LINE = {
    "description": "a:Item/b:Name", "amount": "b:LineExtensionAmount", "unit_price": "a:Price/b:PriceAmount",
    "tax_rate": "a:Item/a:ClassifiedTaxCategory/b:Percent",
}  # fmt: skip
_T = "rsm:SupplyChainTradeTransaction"
_S = f"{_T}/ram:ApplicableHeaderTradeSettlement"
_M = f"{_S}/ram:SpecifiedTradeSettlementHeaderMonetarySummation"
CII = {
    "number": "rsm:ExchangedDocument/ram:ID", "currency": f"{_S}/ram:InvoiceCurrencyCode",
    "issue_date": "rsm:ExchangedDocument/ram:IssueDateTime/udt:DateTimeString",
    "seller": f"{_T}/ram:ApplicableHeaderTradeAgreement/ram:SellerTradeParty/ram:Name",
    "customer": f"{_T}/ram:ApplicableHeaderTradeAgreement/ram:BuyerTradeParty/ram:Name",
    "due_date": f"{_S}/ram:SpecifiedTradePaymentTerms/ram:DueDateDateTime/udt:DateTimeString",
    "delivery_date": f"{_T}/ram:ApplicableHeaderTradeDelivery/ram:ActualDeliverySupplyChainEvent"
    "/ram:OccurrenceDateTime/udt:DateTimeString",
    "lines": f"{_M}/ram:LineTotalAmount", "discount": f"{_M}/ram:AllowanceTotalAmount",
    "charges": f"{_M}/ram:ChargeTotalAmount", "net": f"{_M}/ram:TaxBasisTotalAmount",
    "total": f"{_M}/ram:GrandTotalAmount", "paid": f"{_M}/ram:TotalPrepaidAmount",
    "rounding": f"{_M}/ram:RoundingAmount", "balance": f"{_M}/ram:DuePayableAmount",
}  # fmt: skip
CII_LINE = {
    "description": "ram:SpecifiedTradeProduct/ram:Name",
    "amount": "ram:SpecifiedLineTradeSettlement/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount",
    "unit_price": "ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice/ram:ChargeAmount",
    "tax_rate": "ram:SpecifiedLineTradeSettlement/ram:ApplicableTradeTax/ram:RateApplicablePercent",
}
UBL_TAX = {
    "category": "a:TaxCategory/b:ID", "rate": "a:TaxCategory/b:Percent", "base": "b:TaxableAmount",
    "amount": "b:TaxAmount",
}  # fmt: skip
CII_TAX = {
    "category": "ram:CategoryCode", "rate": "ram:RateApplicablePercent", "base": "ram:BasisAmount",
    "amount": "ram:CalculatedAmount",
}  # fmt: skip
NUMBERS = ("amount", "unit_price", "tax_rate", "quantity")
TAX_NUMBERS = ("rate", "base", "amount")


def xml_of(data: bytes) -> bytes:
    """The XML itself, or the one in a PDF."""
    if not data.startswith(b"%PDF"):
        return data
    files = PdfReader(io.BytesIO(data)).attachments
    return next(files[name][0] for name in files if name.lower().endswith(".xml"))


def facts(data: bytes) -> dict[str, Any]:
    """What the XML says."""
    root = ET.fromstring(xml_of(data))
    cii = root.tag.endswith("CrossIndustryInvoice")
    found: dict[str, Any] = {name: _text(root, path) for name, path in (CII if cii else UBL).items()}
    for party in ("seller", "customer"):
        found[party] = found[party] or found.pop(f"{party}_plain", "")
        found.pop(f"{party}_plain", "")
    if not cii and not found["due_date"]:
        found["due_date"] = _text(root, "a:PaymentMeans/b:PaymentDueDate")
    taxes = root.findall(f"{_M}/ram:TaxTotalAmount" if cii else "a:TaxTotal/b:TaxAmount", NAMES)
    own = [tax for tax in taxes if tax.get("currencyID") in (None, found["currency"])]
    found["tax"] = (own[0].text or "").strip() if own else ""
    for name in ("issue_date", "due_date", "delivery_date"):
        day = found[name]
        found[name] = f"{day[:4]}-{day[4:6]}-{day[6:]}" if day.isdecimal() else day[:10]
    for name in AMOUNTS:
        found[name] = _number(found[name])
    quantity = "ram:SpecifiedLineTradeDelivery/ram:BilledQuantity" if cii else "b:InvoicedQuantity"
    lines = root.findall(f"{_T}/ram:IncludedSupplyChainTradeLineItem" if cii else "a:InvoiceLine", NAMES)
    if not lines and not cii:
        quantity, lines = "b:CreditedQuantity", root.findall("a:CreditNoteLine", NAMES)
    found["items"] = [_line(line, (CII_LINE if cii else UBL_LINE) | {"quantity": quantity}) for line in lines]
    subtotals = root.findall(f"{_S}/ram:ApplicableTradeTax" if cii else "a:TaxTotal/a:TaxSubtotal", NAMES)
    own = [one for one in subtotals if cii or one.find("b:TaxAmount", NAMES).get("currencyID") == found["currency"]]
    found["taxes"] = [_line(one, CII_TAX if cii else UBL_TAX) for one in own]
    return found


def facts_of(document: Document) -> dict[str, Any]:
    """The same of a document."""
    totals = document.totals
    found: dict[str, Any] = {name: _number(getattr(totals, name)) for name in AMOUNTS}
    for name in ("number", "currency", "issue_date", "due_date", "delivery_date"):
        found[name] = getattr(document, name)
    found["seller"] = document.seller.name if document.seller else ""
    found["customer"] = document.customer.name
    found["items"] = [
        {"description": line.description} | {name: _number(getattr(line, name)) for name in NUMBERS}
        for line in document.lines
    ]
    found["taxes"] = [
        {"category": tax.category} | {name: _number(getattr(tax, name)) for name in TAX_NUMBERS}
        for tax in document.taxes
    ]
    return found


def _line(line: ET.Element, paths: dict[str, str]) -> dict[str, Any]:
    numbers = (*NUMBERS, *TAX_NUMBERS)
    return {name: _number(_text(line, path)) if name in numbers else _text(line, path) for name, path in paths.items()}


def _text(element: ET.Element, path: str) -> str:
    return next((text for one in element.findall(path, NAMES) if (text := (one.text or "").strip())), "")


def _number(text: str) -> Decimal | None:
    return Decimal(text) if text else None
