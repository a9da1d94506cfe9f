"""Where a UN/CEFACT CrossIndustryInvoice (D16B) keeps what a document has: tables for the engine in `mapping`.

Read by `einvoice`: XRechnung, and the XML inside of ZUGFeRD 2 and Factur-X of every profile. The paths are those of the
CII binding of EN 16931 (CEN/TS 16931-3-3), and of the profile EXTENDED where it adds amounts. `MANDATORY` names what
must be there, by its business term (BT, BG).
"""

from gateway.outbound.einvoice.extract import Table
from gateway.outbound.einvoice.mapping import (
    always,
    country,
    day,
    flag,
    joined,
    mail,
    many,
    money,
    number,
    one,
    short,
    text,
    texts,
)
from gateway.outbound.einvoice.parts import Attached, Means, attachments, contacts, details, exemption, methods

HEAD = "rsm:ExchangedDocument"
AGREEMENT = "rsm:SupplyChainTradeTransaction/ram:ApplicableHeaderTradeAgreement"
DELIVERY = "rsm:SupplyChainTradeTransaction/ram:ApplicableHeaderTradeDelivery"
SETTLEMENT = "rsm:SupplyChainTradeTransaction/ram:ApplicableHeaderTradeSettlement"
SUMS = f"{SETTLEMENT}/ram:SpecifiedTradeSettlementHeaderMonetarySummation"
CURRENCY = f"{SETTLEMENT}/ram:InvoiceCurrencyCode"
SPECIFICATION = "rsm:ExchangedDocumentContext/ram:GuidelineSpecifiedDocumentContextParameter/ram:ID"
TYPE_CODES = (f"{HEAD}/ram:TypeCode",)
THIRD_PARTY = (f"{SETTLEMENT}/ram:SpecifiedAdvancePayment", "ram:PaidAmount", ("ram:ID",))
SELLER = f"{AGREEMENT}/ram:SellerTradeParty"
BUYER = f"{AGREEMENT}/ram:BuyerTradeParty"
# A line that groups or only informs, or is part of another, has an amount that is counted elsewhere, or not at all:
# Factur-X EXTENDED says which by a status, the extension of XRechnung by the line above it.
_LINE = "rsm:SupplyChainTradeTransaction/ram:IncludedSupplyChainTradeLineItem"
_STATUS = "ram:AssociatedDocumentLineDocument/ram:LineStatusReasonCode"
LINES = (
    f"{_LINE}[!{_STATUS}][!ram:AssociatedDocumentLineDocument/ram:ParentLineID]",
    f"{_LINE}[{_STATUS}][{_STATUS}!='GROUP|INFORMATION']",
)
PRODUCT, LINE_AGREEMENT = "ram:SpecifiedTradeProduct", "ram:SpecifiedLineTradeAgreement"
LINE_SETTLEMENT = "ram:SpecifiedLineTradeSettlement"
PRICE = f"{LINE_AGREEMENT}/ram:NetPriceProductTradePrice"

ADDRESS: Table = {
    "lines": texts(text("ram:LineOne"), text("ram:LineTwo"), text("ram:LineThree"), text("ram:BuildingNumber")),
    "city": text("ram:CityName"),
    "postcode": text("ram:PostcodeCode"),
    "region": text("ram:CountrySubDivisionName"),
    "country": country("ram:CountryID"),
}
PHONE = "ram:TelephoneUniversalCommunication/ram:CompleteNumber"
EMAIL = "ram:EmailURIUniversalCommunication/ram:URIID"
CONTACT: Table = {
    "name": text("ram:PersonName", "ram:DepartmentName"),
    "email": mail(EMAIL),
    "phone": text(PHONE),
}
PARTY: Table = {
    "id": short(191, "ram:ID", "ram:GlobalID"),
    "name": text("ram:Name"),
    "trade_name": text("ram:SpecifiedLegalOrganization/ram:TradingBusinessName"),
    "idno": text("ram:SpecifiedLegalOrganization/ram:ID"),
    "vat": text("ram:SpecifiedTaxRegistration/ram:ID[@schemeID='VA']"),
    "endpoint": one("ram:URIUniversalCommunication", {"scheme": text("ram:URIID/@schemeID"), "id": text("ram:URIID")}),
    "address": one("ram:PostalTradeAddress", ADDRESS),
    "phone": text(f"ram:DefinedTradeContact/{PHONE}"),
    "email": mail(f"ram:DefinedTradeContact/{EMAIL}"),
    "contacts": contacts("ram:DefinedTradeContact", CONTACT),
}
_DAY = ("udt:DateTimeString", "qdt:DateTimeString", "udt:DateTime", "udt:Date")
PERIOD: Table = {
    "from": day(*(f"ram:StartDateTime/{form}" for form in _DAY)),
    "to": day(*(f"ram:EndDateTime/{form}" for form in _DAY)),
}
ADJUSTMENT: Table = {
    "charge": flag("ram:ChargeIndicator/udt:Indicator"),
    "amount": money("ram:ActualAmount"),
    "percent": number("ram:CalculationPercent"),
    "reason": text("ram:Reason", "ram:ReasonCode"),
    "tax_category": text("ram:CategoryTradeTax/ram:CategoryCode"),
    "tax_rate": number("ram:CategoryTradeTax/ram:RateApplicablePercent"),
}
LOGISTICS: Table = {
    "charge": always(True),
    "amount": money("ram:AppliedAmount"),
    "reason": text("ram:Description"),
    "tax_category": text("ram:AppliedTradeTax/ram:CategoryCode"),
    "tax_rate": number("ram:AppliedTradeTax/ram:RateApplicablePercent"),
}
LINE: Table = {
    "id": text("ram:AssociatedDocumentLineDocument/ram:LineID"),
    "sku": text(f"{PRODUCT}/ram:SellerAssignedID"),
    "description": text(f"{PRODUCT}/ram:Name"),
    "details": details(
        10_000,
        (f"{PRODUCT}/ram:Description", "ram:AssociatedDocumentLineDocument/ram:IncludedNote/ram:Content"),
        f"{PRODUCT}/ram:ApplicableProductCharacteristic", "ram:Description", "ram:Value",
    ),
    "quantity": number("ram:SpecifiedLineTradeDelivery/ram:BilledQuantity"),
    "unit": text("ram:SpecifiedLineTradeDelivery/ram:BilledQuantity/@unitCode"),
    "unit_price": number(f"{PRICE}/ram:ChargeAmount"),
    "price_base": number(
        f"{PRICE}/ram:BasisQuantity", f"{LINE_AGREEMENT}/ram:GrossPriceProductTradePrice/ram:BasisQuantity"
    ),
    "amount": money(f"{LINE_SETTLEMENT}/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount"),
    "tax_category": text(f"{LINE_SETTLEMENT}/ram:ApplicableTradeTax/ram:CategoryCode"),
    "tax_rate": number(f"{LINE_SETTLEMENT}/ram:ApplicableTradeTax/ram:RateApplicablePercent"),
    "period": one(f"{LINE_SETTLEMENT}/ram:BillingSpecifiedPeriod", PERIOD),
    "adjustments": many((f"{LINE_SETTLEMENT}/ram:SpecifiedTradeAllowanceCharge", ADJUSTMENT)),
    "metadata": one(".", {
        "buyer_item": text(f"{PRODUCT}/ram:BuyerAssignedID"),
        "standard_item": text(f"{PRODUCT}/ram:GlobalID"),
        "classification": text(f"{PRODUCT}/ram:DesignatedProductClassification/ram:ClassCode"),
        "origin": text(f"{PRODUCT}/ram:OriginTradeCountry/ram:ID"),
        "order_line": text(f"{LINE_AGREEMENT}/ram:BuyerOrderReferencedDocument/ram:LineID"),
        "object": text(f"{LINE_SETTLEMENT}/ram:AdditionalReferencedDocument/ram:IssuerAssignedID"),
        "accounting_cost": text(f"{LINE_SETTLEMENT}/ram:ReceivableSpecifiedTradeAccountingAccount/ram:ID"),
    }),
}  # fmt: skip
SUBTOTAL: Table = {
    "name": text("ram:TypeCode"),
    "category": text("ram:CategoryCode"),
    "rate": number("ram:RateApplicablePercent"),
    "base": money("ram:BasisAmount"),
    "amount": money("ram:CalculatedAmount"),
    "exemption": exemption("ram:ExemptionReason", "ram:ExemptionReasonCode", "ram:CategoryCode"),
}
TOTALS: Table = {
    "lines": money(f"{SUMS}/ram:LineTotalAmount"),
    "discount": money(f"{SUMS}/ram:AllowanceTotalAmount"),
    "charges": money(f"{SUMS}/ram:ChargeTotalAmount"),
    "net": money(f"{SUMS}/ram:TaxBasisTotalAmount"),
    "tax": money(f"{SUMS}/ram:TaxTotalAmount[@currencyID~='$currency']"),
    "total": money(f"{SUMS}/ram:GrandTotalAmount"),
    "paid": money(f"{SUMS}/ram:TotalPrepaidAmount"),
    "rounding": money(f"{SUMS}/ram:RoundingAmount"),
    "balance": money(f"{SUMS}/ram:DuePayableAmount"),
}
TERMS = f"{SETTLEMENT}/ram:SpecifiedTradePaymentTerms"
ACCOUNT = "ram:PayeePartyCreditorFinancialAccount"
MEANS = Means(
    path=f"{SETTLEMENT}/ram:SpecifiedTradeSettlementPaymentMeans",
    code="ram:TypeCode",
    name=("ram:Information",),
    account=(f"{ACCOUNT}/ram:IBANID", f"{ACCOUNT}/ram:ProprietaryID"),
    bic="ram:PayeeSpecifiedCreditorFinancialInstitution/ram:BICID",
    holder=f"{ACCOUNT}/ram:AccountName",
    card="ram:ApplicableTradeSettlementFinancialCard/ram:ID",
    mandate=(),
    debited=("ram:PayerPartyDebtorFinancialAccount/ram:IBANID",),
    payee=f"{SETTLEMENT}/ram:PayeeTradeParty/ram:Name",
)  # fmt: skip
RELATED: Table = {
    "type": always("invoice"),
    "number": text("ram:IssuerAssignedID"),
    "date": day(*(f"ram:FormattedIssueDateTime/{form}" for form in _DAY)),
}
_ADDITIONAL = f"{AGREEMENT}/ram:AdditionalReferencedDocument"
METADATA: Table = {
    "specification": short(500, SPECIFICATION),
    "process": short(500, "rsm:ExchangedDocumentContext/ram:BusinessProcessSpecifiedDocumentContextParameter/ram:ID"),
    "type_code": short(500, *TYPE_CODES),
    "accounting_cost": short(500, f"{SETTLEMENT}/ram:ReceivableSpecifiedTradeAccountingAccount/ram:ID"),
    "sales_order": short(500, f"{AGREEMENT}/ram:SellerOrderReferencedDocument/ram:IssuerAssignedID"),
    "project": short(500, f"{AGREEMENT}/ram:SpecifiedProcuringProject/ram:ID"),
    "despatch_advice": short(500, f"{DELIVERY}/ram:DespatchAdviceReferencedDocument/ram:IssuerAssignedID"),
    "receiving_advice": short(500, f"{DELIVERY}/ram:ReceivingAdviceReferencedDocument/ram:IssuerAssignedID"),
    "tender": short(500, f"{_ADDITIONAL}[ram:TypeCode='50']/ram:IssuerAssignedID"),
    "invoiced_object": short(500, f"{_ADDITIONAL}[ram:TypeCode='130']/ram:IssuerAssignedID"),
    "seller_tax_number": short(500, f"{SELLER}/ram:SpecifiedTaxRegistration/ram:ID[@schemeID='FC']"),
    "creditor_id": short(500, f"{SETTLEMENT}/ram:CreditorReferenceID"),
    "mandate": short(500, f"{TERMS}/ram:DirectDebitMandateID"),
}
DOCUMENT: Table = {
    "number": text(f"{HEAD}/ram:ID"),
    "currency": text(CURRENCY),
    "issue_date": day(*(f"{HEAD}/ram:IssueDateTime/{form}" for form in _DAY)),
    "due_date": day(*(f"{TERMS}/ram:DueDateDateTime/{form}" for form in _DAY)),
    "delivery_date": day(
        *(f"{DELIVERY}/ram:ActualDeliverySupplyChainEvent/ram:OccurrenceDateTime/{form}" for form in _DAY)
    ),
    "period": one(f"{SETTLEMENT}/ram:BillingSpecifiedPeriod", PERIOD),
    "purchase_order": short(200, f"{AGREEMENT}/ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID"),
    "contract": short(200, f"{AGREEMENT}/ram:ContractReferencedDocument/ram:IssuerAssignedID"),
    "buyer_reference": short(200, f"{AGREEMENT}/ram:BuyerReference"),
    "seller": one(SELLER, PARTY),
    "customer": one(BUYER, PARTY),
    "lines": many(*((path, LINE) for path in LINES)),
    "adjustments": many(
        (f"{SETTLEMENT}/ram:SpecifiedTradeAllowanceCharge", ADJUSTMENT),
        (f"{SETTLEMENT}/ram:SpecifiedLogisticsServiceCharge", LOGISTICS),
    ),
    "taxes": many((f"{SETTLEMENT}/ram:ApplicableTradeTax", SUBTOTAL)),
    "totals": one(".", TOTALS),
    "payment": one(".", {
        "terms": joined(2000, "\n", f"{TERMS}/ram:Description"),
        "reference": short(140, f"{SETTLEMENT}/ram:PaymentReference"),
        "methods": methods(MEANS),
    }),
    "notes": joined(10_000, "\n\n", f"{HEAD}/ram:IncludedNote/ram:Content"),
    "related": many((f"{SETTLEMENT}/ram:InvoiceReferencedDocument", RELATED)),
    "files": attachments(Attached(
        path=_ADDITIONAL, content="ram:AttachmentBinaryObject", name="ram:IssuerAssignedID",
    )),
    "metadata": one(".", METADATA),
}  # fmt: skip

REPRESENTATIVE = f"{AGREEMENT}/ram:SellerTaxRepresentativeTradeParty/ram:SpecifiedTaxRegistration/ram:ID"
# (field, business term, path): what no document may lack, then what EN 16931 asks for beyond it.
ALWAYS = (
    ("number", "BT-1", (f"{HEAD}/ram:ID",)),
    ("issue_date", "BT-2", tuple(f"{HEAD}/ram:IssueDateTime/{form}" for form in _DAY)),
    ("type", "BT-3", TYPE_CODES),
    ("metadata.specification", "BT-24", (SPECIFICATION,)),
    ("currency", "BT-5", (CURRENCY,)),
    ("seller.name", "BT-27", (f"{SELLER}/ram:Name",)),
    ("customer.name", "BT-44", (f"{BUYER}/ram:Name",)),
    ("totals.net", "BT-109", (f"{SUMS}/ram:TaxBasisTotalAmount",)),
    ("totals.total", "BT-112", (f"{SUMS}/ram:GrandTotalAmount",)),
    ("totals.balance", "BT-115", (f"{SUMS}/ram:DuePayableAmount",)),
)
MANDATORY = (
    ("seller.address.country", "BT-40", (f"{SELLER}/ram:PostalTradeAddress/ram:CountryID",)),
    ("customer.address.country", "BT-55", (f"{BUYER}/ram:PostalTradeAddress/ram:CountryID",)),
    ("totals.lines", "BT-106", (f"{SUMS}/ram:LineTotalAmount",)),
)
# Element -> (path, rule): what EN 16931 asks for within a part that may be left out whole.
WITHIN = {
    "ram:URIUniversalCommunication": (("ram:URIID/@schemeID", "BR-62, BR-63"),),
    "ram:ClassCode": (("@listID", "BR-65"),),
    "ram:ApplicableProductCharacteristic": (("ram:Description", "BT-160"), ("ram:Value", "BT-161")),
    "ram:AdditionalReferencedDocument": (("ram:IssuerAssignedID", "BT-122, BT-128"),),
    "ram:IncludedNote": (("ram:Content", "BT-22, BT-127"),),
    "ram:ApplicableTradeTax": (("ram:TypeCode", "BT-118, BT-151"),),
    "ram:CategoryTradeTax": (("ram:TypeCode", "BT-95, BT-102"),),
    "ram:PayeeTradeParty": (("ram:Name", "BT-59"),),
    "ram:SellerTaxRepresentativeTradeParty": (
        ("ram:Name", "BT-62"),
        ("ram:PostalTradeAddress/ram:CountryID", "BT-69"),
        ("ram:SpecifiedTaxRegistration/ram:ID", "BT-63"),
    ),
    "ram:PostalTradeAddress": (("ram:CountryID", "BT-40, BT-55, BT-69, BT-80"),),
}
