"""Writes a complete document as a UN/CEFACT CrossIndustryInvoice (D22B), in the profile EN 16931 of Factur-X.

Called by `facturx` with what `complete` made. The mirror of `cii`, which reads the same paths; the order of elements is
that of the schema. Amounts and names are the document's own text; what is empty is left out. Same input, same bytes.
Not said, because the standard has no place for it: the payer, QR codes, a bank's name. Files stand beside, not inside.
"""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from gateway.outbound.documents import Document, Party
from gateway.outbound.documents.model import BankMethod, LinkMethod, Method, OtherMethod, PostalAddress, Tax, Totals
from gateway.outbound.einvoice.codes import codes
from gateway.outbound.einvoice.reading import CORRECTED, CREDIT_NOTES, INVOICES, PROFORMA
from gateway.outbound.einvoice.write_line import VAT, add_adjustment, add_line
from gateway.outbound.einvoice.write_xml import new, put, put_day, put_period, tag

PROFILE = "urn:cen.eu:en16931:2017"
INVOICE, CREDIT_NOTE = "380", "381"  # UNTDID 1001
REFERENCES = (("tender", "50"), ("invoiced_object", "130"))
# What makes a related document a preceding invoice (BG-3): its relation, or its type.
PRECEDING = ("credits", "replaces", "invoice", "credit_note")
# UNTDID 4461; a credit transfer stands for itself, SEPA or not.
TRANSFER, ONLINE, AGREED = "30", "68", "ZZZ"
MEANS = {"card": "48", "cash": "10", "direct_debit": "59", "other": AGREED}


def write_cii(document: Document) -> bytes:
    """The XML of a complete invoice or credit note, in UTF-8."""
    root = ET.Element(tag("rsm:CrossIndustryInvoice"))
    context = "rsm:ExchangedDocumentContext"
    process = f"{context}/ram:BusinessProcessSpecifiedDocumentContextParameter/ram:ID"
    put(root, process, document.metadata.get("process", ""))
    put(root, f"{context}/ram:GuidelineSpecifiedDocumentContextParameter/ram:ID", PROFILE)
    head = "rsm:ExchangedDocument"
    put(root, f"{head}/ram:ID", document.number)
    put(root, f"{head}/ram:TypeCode", type_code(document))
    put_day(root, f"{head}/ram:IssueDateTime", document.issue_date)
    for note in (document.notes, document.terms):
        if note.strip():
            put(new(root, f"{head}/ram:IncludedNote"), "ram:Content", note)
    trade = new(root, "rsm:SupplyChainTradeTransaction")
    for line in document.lines:
        add_line(trade, line)
    _add_agreement(new(trade, "ram:ApplicableHeaderTradeAgreement"), document)
    delivery = new(trade, "ram:ApplicableHeaderTradeDelivery")
    _add_delivery(delivery, document)
    if not len(
        delivery
    ):  # it may be neither absent nor empty; delivered to the buyer is what saying nothing means (BT-70)
        put(delivery, "ram:ShipToTradeParty/ram:Name", document.customer.name)
    _add_settlement(new(trade, "ram:ApplicableHeaderTradeSettlement"), document)
    xml: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return xml


def type_code(document: Document) -> str:
    """BT-3: the code that the document came with, else what its type, kind and relations say."""
    given = document.metadata.get("type_code", "")
    credit = document.type == "credit_note"
    if given in (CREDIT_NOTES if credit else INVOICES):
        return given
    if credit:
        return CREDIT_NOTE
    if document.kind == "proforma":
        return PROFORMA
    return CORRECTED if any(one.relation == "replaces" for one in document.related) else INVOICE


# -- who and by which agreement


def _add_agreement(here: ET.Element, document: Document) -> None:
    known = document.metadata
    put(here, "ram:BuyerReference", document.buyer_reference)
    if document.seller is not None:
        _add_party(new(here, "ram:SellerTradeParty"), document.seller, known.get("seller_tax_number", ""))
    _add_party(new(here, "ram:BuyerTradeParty"), document.customer)
    number = "ram:IssuerAssignedID"
    put(here, f"ram:SellerOrderReferencedDocument/{number}", known.get("sales_order", ""))
    put(here, f"ram:BuyerOrderReferencedDocument/{number}", document.purchase_order)
    put(here, f"ram:ContractReferencedDocument/{number}", document.contract)
    for name, code in REFERENCES:
        if known.get(name, ""):
            reference = new(here, "ram:AdditionalReferencedDocument")
            put(reference, number, known[name])
            put(reference, "ram:TypeCode", code)
    project = known.get("project", "")
    put(here, "ram:SpecifiedProcuringProject/ram:ID", project)
    put(here, "ram:SpecifiedProcuringProject/ram:Name", project and "Project reference")


def _add_party(here: ET.Element, party: Party, tax_number: str = "") -> None:
    put(here, "ram:ID", party.id)
    put(here, "ram:Name", party.name)
    put(here, "ram:SpecifiedLegalOrganization/ram:ID", party.idno)
    put(here, "ram:SpecifiedLegalOrganization/ram:TradingBusinessName", party.trade_name)
    contact = next((one for one in party.contacts if one.send != "none"), next(iter(party.contacts), None))
    person, phone, email = (contact.name, contact.phone, contact.email) if contact else ("", "", "")
    at = "ram:DefinedTradeContact"
    put(here, f"{at}/ram:PersonName", person)
    put(here, f"{at}/ram:TelephoneUniversalCommunication/ram:CompleteNumber", phone or party.phone)
    put(here, f"{at}/ram:EmailURIUniversalCommunication/ram:URIID", email or party.email)
    if party.address is not None:
        _add_address(new(here, "ram:PostalTradeAddress"), party.address)
    if party.endpoint is not None:
        put(here, "ram:URIUniversalCommunication/ram:URIID", party.endpoint.id, schemeID=party.endpoint.scheme)
    for number, scheme in ((party.vat, "VA"), (tax_number, "FC")):
        if number:
            put(new(here, "ram:SpecifiedTaxRegistration"), "ram:ID", number, schemeID=scheme)


def _add_address(here: ET.Element, address: PostalAddress) -> None:
    put(here, "ram:PostcodeCode", address.postcode)
    *lines, last = (*address.lines[:2], ", ".join(filter(None, address.lines[2:])))
    for name, text in zip(("ram:LineOne", "ram:LineTwo"), lines, strict=False):
        put(here, name, text)
    put(here, "ram:LineThree", last)
    put(here, "ram:CityName", address.city)
    put(here, "ram:CountryID", address.country)
    put(here, "ram:CountrySubDivisionName", address.region)


# -- when it was delivered


def _add_delivery(here: ET.Element, document: Document) -> None:
    known = document.metadata
    country = known.get("delivery_country", "")
    put(here, "ram:ShipToTradeParty/ram:PostalTradeAddress/ram:CountryID", country)
    put_day(here, "ram:ActualDeliverySupplyChainEvent/ram:OccurrenceDateTime", document.delivery_date)
    for name in ("despatch", "receiving"):
        path = f"ram:{name.capitalize()}AdviceReferencedDocument/ram:IssuerAssignedID"
        put(here, path, known.get(f"{name}_advice", ""))


# -- how it is settled


def _add_settlement(here: ET.Element, document: Document) -> None:
    payment, known = document.payment, document.metadata
    put(here, "ram:CreditorReferenceID", known.get("creditor_id", ""))
    put(here, "ram:PaymentReference", payment.reference if payment else "")
    put(here, "ram:InvoiceCurrencyCode", document.currency)
    _add_means(here, payment.methods if payment else (), document.currency)
    for tax in document.taxes:
        _add_breakdown(new(here, "ram:ApplicableTradeTax"), tax)
    put_period(here, "ram:BillingSpecifiedPeriod", document.period)
    for one in document.adjustments:
        add_adjustment(here, "ram:SpecifiedTradeAllowanceCharge", one)
    terms = "ram:SpecifiedTradePaymentTerms"
    put(here, f"{terms}/ram:Description", payment.terms if payment else "")
    put_day(here, f"{terms}/ram:DueDateDateTime", document.due_date)
    put(here, f"{terms}/ram:DirectDebitMandateID", known.get("mandate", ""))
    if document.totals is not None:
        sums = new(here, "ram:SpecifiedTradeSettlementHeaderMonetarySummation")
        _add_sums(sums, document.totals, document.currency)
    for related in document.related:
        if related.relation in PRECEDING or related.type in PRECEDING:
            reference = new(here, "ram:InvoiceReferencedDocument")
            put(reference, "ram:IssuerAssignedID", related.number)
            put_day(reference, "ram:FormattedIssueDateTime", related.date, "qdt")
    account = "ram:ReceivableSpecifiedTradeAccountingAccount/ram:ID"
    put(here, account, known.get("accounting_cost", ""))


def _add_breakdown(here: ET.Element, tax: Tax) -> None:
    """The tax of one category and rate (BG-23)."""
    coded = tax.exemption.upper() in codes().exemptions
    put(here, "ram:CalculatedAmount", tax.amount)
    put(here, "ram:TypeCode", VAT)
    put(here, "ram:ExemptionReason", "" if coded else tax.exemption)
    put(here, "ram:BasisAmount", tax.base)
    put(here, "ram:CategoryCode", tax.category)
    put(here, "ram:ExemptionReasonCode", tax.exemption.upper() if coded else "")
    put(here, "ram:RateApplicablePercent", "" if tax.category == "O" else tax.rate)


def _add_means(here: ET.Element, methods: Sequence[Method], currency: str) -> None:
    """How to pay. An invoice has one means (CII-SR-467): transfer to any of the accounts, else the first other one."""
    accounts = [one for one in methods if isinstance(one, BankMethod) and one.currency in ("", currency)]
    for one in accounts:
        means = new(here, "ram:SpecifiedTradeSettlementPaymentMeans")
        put(means, "ram:TypeCode", TRANSFER)
        number = one.iban.replace(" ", "")
        account = "ram:PayeePartyCreditorFinancialAccount"
        put(means, f"{account}/ram:IBANID", "" if number[0].isdigit() else number)
        put(means, f"{account}/ram:AccountName", one.holder)
        put(means, f"{account}/ram:ProprietaryID", number if number[0].isdigit() else "")
        put(means, "ram:PayeeSpecifiedCreditorFinancialInstitution/ram:BICID", one.bic)
    other = next((one for one in methods if isinstance(one, (OtherMethod, LinkMethod))), None)
    if not accounts and other is not None:
        means = new(here, "ram:SpecifiedTradeSettlementPaymentMeans")
        put(means, "ram:TypeCode", MEANS[other.type] if isinstance(other, OtherMethod) else ONLINE)
        put(means, "ram:Information", other.note if isinstance(other, OtherMethod) else other.url)


def _add_sums(here: ET.Element, totals: Totals, currency: str) -> None:
    put(here, "ram:LineTotalAmount", totals.lines)
    put(here, "ram:ChargeTotalAmount", totals.charges)
    put(here, "ram:AllowanceTotalAmount", totals.discount)
    put(here, "ram:TaxBasisTotalAmount", totals.net)
    put(here, "ram:TaxTotalAmount", totals.tax, currencyID=currency)
    put(here, "ram:RoundingAmount", totals.rounding)
    put(here, "ram:GrandTotalAmount", totals.total)
    put(here, "ram:TotalPrepaidAmount", totals.paid)
    put(here, "ram:DuePayableAmount", totals.balance)
