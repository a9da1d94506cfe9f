"""A line of an invoice, and what is taken off or added, as elements of a CrossIndustryInvoice.

Called by `write_cii`; the mirror of the tables `LINE` and `ADJUSTMENT` of `cii`. The order is that of the schema.
"""

import re
from xml.etree import ElementTree as ET

from gateway.outbound.documents import Line
from gateway.outbound.documents.model import Adjustment
from gateway.outbound.einvoice.codes import codes
from gateway.outbound.einvoice.write_xml import new, put, put_period

VAT = "VAT"
PRODUCT, AGREEMENT = "ram:SpecifiedTradeProduct", "ram:SpecifiedLineTradeAgreement"
PRICE = f"{AGREEMENT}/ram:NetPriceProductTradePrice"
SETTLEMENT = "ram:SpecifiedLineTradeSettlement"
SUM = f"{SETTLEMENT}/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount"
GTIN = "0160"  # ISO 6523: GS1 GTIN
OBJECT = "130"  # UNTDID 1001: the object that a line is about


def add_line(parent: ET.Element, line: Line) -> None:
    """One line (BG-25); its metadata are those that the reader makes."""
    here, more = new(parent, "ram:IncludedSupplyChainTradeLineItem"), line.metadata
    put(here, "ram:AssociatedDocumentLineDocument/ram:LineID", line.id)
    item = more.get("standard_item", "")
    put(here, f"{PRODUCT}/ram:GlobalID", item if _is_gtin(item) else "", schemeID=GTIN)
    put(here, f"{PRODUCT}/ram:SellerAssignedID", line.sku)
    put(here, f"{PRODUCT}/ram:BuyerAssignedID", more.get("buyer_item", ""))
    put(here, f"{PRODUCT}/ram:Name", line.description)
    put(here, f"{PRODUCT}/ram:Description", line.details)
    if unit := more.get("unit", ""):
        attribute = new(here, f"{PRODUCT}/ram:ApplicableProductCharacteristic")
        put(attribute, "ram:Description", "Unit")
        put(attribute, "ram:Value", unit)
    origin = more.get("origin", "")
    put(here, f"{PRODUCT}/ram:OriginTradeCountry/ram:ID", origin if origin in codes().countries else "")
    put(here, f"{AGREEMENT}/ram:BuyerOrderReferencedDocument/ram:LineID", more.get("order_line", ""))
    put(here, f"{PRICE}/ram:ChargeAmount", line.unit_price)
    put(here, f"{PRICE}/ram:BasisQuantity", line.price_base, unitCode=line.unit)
    put(here, "ram:SpecifiedLineTradeDelivery/ram:BilledQuantity", line.quantity, unitCode=line.unit)
    add_tax(here, f"{SETTLEMENT}/ram:ApplicableTradeTax", line.tax_category, line.tax_rate)
    put_period(here, f"{SETTLEMENT}/ram:BillingSpecifiedPeriod", line.period)
    for one in line.adjustments:
        add_adjustment(here, f"{SETTLEMENT}/ram:SpecifiedTradeAllowanceCharge", one)
    put(here, SUM, line.amount)
    if about := more.get("object", ""):
        reference = new(here, f"{SETTLEMENT}/ram:AdditionalReferencedDocument")
        put(reference, "ram:IssuerAssignedID", about)
        put(reference, "ram:TypeCode", OBJECT)
    account = f"{SETTLEMENT}/ram:ReceivableSpecifiedTradeAccountingAccount/ram:ID"
    put(here, account, more.get("accounting_cost", ""))


def add_tax(parent: ET.Element, path: str, category: str, rate: str) -> None:
    """The tax of a line or an adjustment; what is not subject to tax has no rate (BR-O-05)."""
    here = new(parent, path)
    put(here, "ram:TypeCode", VAT)
    put(here, "ram:CategoryCode", category)
    put(here, "ram:RateApplicablePercent", "" if category == "O" else rate)


def add_adjustment(parent: ET.Element, path: str, one: Adjustment) -> None:
    """An allowance or a charge (BG-20, BG-21, BG-27, BG-28), its reason as a code where it is one."""
    here = new(parent, path)
    put(here, "ram:ChargeIndicator/udt:Indicator", "true" if one.charge else "false")
    put(here, "ram:CalculationPercent", one.percent)
    put(here, "ram:ActualAmount", one.amount)
    coded = one.reason in (codes().charges if one.charge else codes().allowances)
    put(here, "ram:ReasonCode" if coded else "ram:Reason", one.reason)
    if one.tax_category:
        add_tax(here, "ram:CategoryTradeTax", one.tax_category, one.tax_rate)


def _is_gtin(number: str) -> bool:
    """Whether a number is a GTIN by its length and its check digit; another scheme is not known here (BR-64)."""
    if not re.fullmatch(r"[0-9]{8}|[0-9]{12,14}", number):
        return False
    return sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(reversed(number))) % 10 == 0
