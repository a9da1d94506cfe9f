"""Where UBL 2.1 Invoice and CreditNote keep what a document has: tables for the engine in `mapping`.

Read by `einvoice`. The paths are those of the UBL binding of EN 16931 (CEN/TS 16931-3-2), with those of plain UBL 2.1
behind them where they differ. `MANDATORY` names what must be there, by its business term (BT, BG).
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

CURRENCY = "cbc:DocumentCurrencyCode"
SPECIFICATION = "cbc:CustomizationID"
TYPE_CODES = ("cbc:InvoiceTypeCode", "cbc:CreditNoteTypeCode")
THIRD_PARTY = ("cac:PrepaidPayment", "cbc:PaidAmount", ("cbc:ID", "cbc:InstructionID"))
SELLER = "cac:AccountingSupplierParty/cac:Party"
BUYER = "cac:AccountingCustomerParty/cac:Party"
NAME = "cac:PartyLegalEntity/cbc:RegistrationName"
LINES = ("cac:InvoiceLine", "cac:CreditNoteLine")
QUANTITY = ("cbc:InvoicedQuantity", "cbc:CreditedQuantity")
TAX = "cac:TaxTotal[cbc:TaxAmount/@currencyID~='$currency']"

ADDRESS: Table = {
    "lines": texts(
        joined(500, " ", "cbc:StreetName", "cbc:BuildingNumber"),
        text("cbc:AdditionalStreetName"),
        joined(500, ", ", "cac:AddressLine/cbc:Line"),
        text("cbc:Postbox"),
    ),
    "city": text("cbc:CityName"),
    "postcode": text("cbc:PostalZone"),
    "region": text("cbc:CountrySubentity"),
    "country": country("cac:Country/cbc:IdentificationCode"),
}
CONTACT: Table = {
    "name": text("cbc:Name"),
    "email": mail("cbc:ElectronicMail"),
    "phone": text("cbc:Telephone"),
}
PARTY: Table = {
    "id": short(191, "cac:PartyIdentification[cbc:ID/@schemeID!='SEPA']/cbc:ID"),
    "name": text(NAME, "cac:PartyName/cbc:Name"),
    "trade_name": text("cac:PartyName/cbc:Name"),
    "idno": text("cac:PartyLegalEntity/cbc:CompanyID"),
    "vat": text("cac:PartyTaxScheme[cac:TaxScheme/cbc:ID='VAT']/cbc:CompanyID"),
    "endpoint": one(".", {"scheme": text("cbc:EndpointID/@schemeID"), "id": text("cbc:EndpointID")}),
    "address": one("cac:PostalAddress", ADDRESS),
    "phone": text("cac:Contact/cbc:Telephone"),
    "email": mail("cac:Contact/cbc:ElectronicMail"),
    "contacts": contacts("cac:Contact", CONTACT),
}
PERIOD: Table = {"from": day("cbc:StartDate"), "to": day("cbc:EndDate")}
ADJUSTMENT: Table = {
    "charge": flag("cbc:ChargeIndicator"),
    "amount": money("cbc:Amount"),
    "percent": number("cbc:MultiplierFactorNumeric"),
    "reason": text("cbc:AllowanceChargeReason", "cbc:AllowanceChargeReasonCode"),
    "tax_category": text("cac:TaxCategory/cbc:ID"),
    "tax_rate": number("cac:TaxCategory/cbc:Percent"),
}
LINE: Table = {
    "id": text("cbc:ID"),
    "sku": text("cac:Item/cac:SellersItemIdentification/cbc:ID"),
    "description": text("cac:Item/cbc:Name", "cac:Item/cbc:Description"),
    "details": details(
        10_000,
        ("cac:Item/cbc:Description", "cbc:Note"),
        "cac:Item/cac:AdditionalItemProperty", "cbc:Name", "cbc:Value",
    ),
    "quantity": number(*QUANTITY),
    "unit": text(*(f"{path}/@unitCode" for path in QUANTITY)),
    "unit_price": number("cac:Price/cbc:PriceAmount"),
    "price_base": number("cac:Price/cbc:BaseQuantity"),
    "amount": money("cbc:LineExtensionAmount"),
    "tax_category": text("cac:Item/cac:ClassifiedTaxCategory/cbc:ID"),
    "tax_rate": number("cac:Item/cac:ClassifiedTaxCategory/cbc:Percent"),
    "period": one("cac:InvoicePeriod", PERIOD),
    "adjustments": many(("cac:AllowanceCharge", ADJUSTMENT)),
    "metadata": one(".", {
        "buyer_item": text("cac:Item/cac:BuyersItemIdentification/cbc:ID"),
        "standard_item": text("cac:Item/cac:StandardItemIdentification/cbc:ID"),
        "classification": text("cac:Item/cac:CommodityClassification/cbc:ItemClassificationCode"),
        "origin": text("cac:Item/cac:OriginCountry/cbc:IdentificationCode"),
        "order_line": text("cac:OrderLineReference/cbc:LineID"),
        "object": text("cac:DocumentReference/cbc:ID"),
        "accounting_cost": text("cbc:AccountingCost"),
    }),
}  # fmt: skip
SUBTOTAL: Table = {
    "name": text("cac:TaxCategory/cac:TaxScheme/cbc:ID"),
    "category": text("cac:TaxCategory/cbc:ID"),
    "rate": number("cac:TaxCategory/cbc:Percent"),
    "base": money("cbc:TaxableAmount"),
    "amount": money("cbc:TaxAmount"),
    "exemption": exemption(
        "cac:TaxCategory/cbc:TaxExemptionReason", "cac:TaxCategory/cbc:TaxExemptionReasonCode", "cac:TaxCategory/cbc:ID"
    ),
}
TOTALS: Table = {
    "lines": money("cac:LegalMonetaryTotal/cbc:LineExtensionAmount"),
    "discount": money("cac:LegalMonetaryTotal/cbc:AllowanceTotalAmount"),
    "charges": money("cac:LegalMonetaryTotal/cbc:ChargeTotalAmount"),
    "net": money("cac:LegalMonetaryTotal/cbc:TaxExclusiveAmount"),
    "tax": money(f"{TAX}/cbc:TaxAmount"),
    "total": money("cac:LegalMonetaryTotal/cbc:TaxInclusiveAmount"),
    "paid": money("cac:LegalMonetaryTotal/cbc:PrepaidAmount"),
    "rounding": money("cac:LegalMonetaryTotal/cbc:PayableRoundingAmount"),
    "balance": money("cac:LegalMonetaryTotal/cbc:PayableAmount"),
}
MEANS = Means(
    path="cac:PaymentMeans",
    code="cbc:PaymentMeansCode",
    name=("cbc:PaymentMeansCode/@name", "cbc:InstructionNote"),
    account=("cac:PayeeFinancialAccount/cbc:ID",),
    bic="cac:PayeeFinancialAccount/cac:FinancialInstitutionBranch/cbc:ID",
    holder="cac:PayeeFinancialAccount/cbc:Name",
    card="cac:CardAccount/cbc:PrimaryAccountNumberID",
    mandate=("cac:PaymentMandate/cbc:ID",),
    debited=("cac:PaymentMandate/cac:PayerFinancialAccount/cbc:ID",),
    payee="cac:PayeeParty/cac:PartyName/cbc:Name",
)
RELATED: Table = {
    "type": always("invoice"),
    "number": text("cac:InvoiceDocumentReference/cbc:ID"),
    "date": day("cac:InvoiceDocumentReference/cbc:IssueDate"),
}
METADATA: Table = {
    "specification": short(500, SPECIFICATION),
    "process": short(500, "cbc:ProfileID"),
    "type_code": short(500, *TYPE_CODES),
    "tax_point_date": short(500, "cbc:TaxPointDate"),
    "accounting_cost": short(500, "cbc:AccountingCost"),
    "sales_order": short(500, "cac:OrderReference/cbc:SalesOrderID"),
    "project": short(500, "cac:ProjectReference/cbc:ID"),
    "despatch_advice": short(500, "cac:DespatchDocumentReference/cbc:ID"),
    "receiving_advice": short(500, "cac:ReceiptDocumentReference/cbc:ID"),
    "tender": short(500, "cac:OriginatorDocumentReference/cbc:ID"),
    "invoiced_object": short(500, "cac:AdditionalDocumentReference[cbc:DocumentTypeCode='130']/cbc:ID"),
    "seller_tax_number": short(500, f"{SELLER}/cac:PartyTaxScheme[cac:TaxScheme/cbc:ID!='VAT']/cbc:CompanyID"),
    "creditor_id": short(
        500,
        f"{SELLER}/cac:PartyIdentification[cbc:ID/@schemeID='SEPA']/cbc:ID",
        "cac:PayeeParty/cac:PartyIdentification[cbc:ID/@schemeID='SEPA']/cbc:ID",
    ),
}
DOCUMENT: Table = {
    "number": text("cbc:ID"),
    "currency": text(CURRENCY),
    "issue_date": day("cbc:IssueDate"),
    "due_date": day("cbc:DueDate", "cac:PaymentMeans/cbc:PaymentDueDate"),
    "delivery_date": day("cac:Delivery/cbc:ActualDeliveryDate"),
    "period": one("cac:InvoicePeriod", PERIOD),
    "purchase_order": short(200, "cac:OrderReference/cbc:ID"),
    "contract": short(200, "cac:ContractDocumentReference/cbc:ID"),
    "buyer_reference": short(200, "cbc:BuyerReference"),
    "seller": one(SELLER, PARTY),
    "customer": one(BUYER, PARTY),
    "lines": many(*((path, LINE) for path in LINES)),
    "adjustments": many(("cac:AllowanceCharge", ADJUSTMENT)),
    "taxes": many((f"{TAX}/cac:TaxSubtotal", SUBTOTAL)),
    "totals": one(".", TOTALS),
    "payment": one(".", {
        "terms": joined(2000, "\n", "cac:PaymentTerms/cbc:Note"),
        "reference": short(140, "cac:PaymentMeans/cbc:PaymentID"),
        "methods": methods(MEANS),
    }),
    "notes": joined(10_000, "\n\n", "cbc:Note"),
    "related": many(("cac:BillingReference", RELATED)),
    "files": attachments(Attached(
        path="cac:AdditionalDocumentReference",
        content="cac:Attachment/cbc:EmbeddedDocumentBinaryObject",
        name="cbc:ID",
    )),
    "metadata": one(".", METADATA),
}  # fmt: skip

REPRESENTATIVE = "cac:TaxRepresentativeParty/cac:PartyTaxScheme/cbc:CompanyID"
# (field, business term, path): what no document may lack, then what EN 16931 asks for beyond it.
ALWAYS = (
    ("number", "BT-1", ("cbc:ID",)),
    ("issue_date", "BT-2", ("cbc:IssueDate",)),
    ("currency", "BT-5", (CURRENCY,)),
    ("seller.name", "BT-27", (f"{SELLER}/{NAME}", f"{SELLER}/cac:PartyName/cbc:Name")),
    ("customer.name", "BT-44", (f"{BUYER}/{NAME}", f"{BUYER}/cac:PartyName/cbc:Name")),
    ("totals.total", "BT-112", ("cac:LegalMonetaryTotal/cbc:TaxInclusiveAmount",)),
    ("totals.balance", "BT-115", ("cac:LegalMonetaryTotal/cbc:PayableAmount",)),
)  # fmt: skip
MANDATORY = (
    ("type", "BT-3", TYPE_CODES),
    ("seller.name", "BT-27", (f"{SELLER}/{NAME}",)),
    ("customer.name", "BT-44", (f"{BUYER}/{NAME}",)),
    ("seller.address.country", "BT-40", (f"{SELLER}/cac:PostalAddress/cac:Country/cbc:IdentificationCode",)),
    ("customer.address.country", "BT-55", (f"{BUYER}/cac:PostalAddress/cac:Country/cbc:IdentificationCode",)),
    ("totals.lines", "BT-106", ("cac:LegalMonetaryTotal/cbc:LineExtensionAmount",)),
    ("totals.net", "BT-109", ("cac:LegalMonetaryTotal/cbc:TaxExclusiveAmount",)),
)
# Element -> (path, rule): what EN 16931 asks for within a part that may be left out whole.
_CATEGORY = (("cbc:ID", "BT-118"), ("cac:TaxScheme/cbc:ID", "BT-118"))
WITHIN = {
    "cbc:EndpointID": (("@schemeID", "BR-62, BR-63"),),
    "cac:TaxTotal": (("cbc:TaxAmount", "BT-110"),),
    "cbc:ItemClassificationCode": (("@listID", "BR-65"),),
    "cac:Item": (("cbc:Name", "BT-153"),),
    "cac:AdditionalItemProperty": (("cbc:Name", "BT-160"), ("cbc:Value", "BT-161")),
    "cac:AdditionalDocumentReference": (("cbc:ID", "BT-122"),),
    "cac:TaxCategory": _CATEGORY,
    "cac:ClassifiedTaxCategory": _CATEGORY,
    "cac:PartyTaxScheme": (("cbc:CompanyID", "BT-31, BT-48"), ("cac:TaxScheme/cbc:ID", "BT-31, BT-48")),
    "cac:PayeeParty": (("cac:PartyName/cbc:Name", "BT-59"),),
    "cac:TaxRepresentativeParty": (
        ("cac:PartyName/cbc:Name", "BT-62"),
        ("cac:PostalAddress/cac:Country/cbc:IdentificationCode", "BT-69"),
        ("cac:PartyTaxScheme/cbc:CompanyID", "BT-63"),
    ),
    "cac:Address": (("cac:Country/cbc:IdentificationCode", "BT-80"),),
}
