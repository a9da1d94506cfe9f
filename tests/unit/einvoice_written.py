"""Writes e-invoices in CII and UBL from a few numbers: right by construction, and knowing nothing of our tables.

Used by the tests of e-invoices only. `Made` says what is invoiced, in whole minor units; `write` gives the XML.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from xml.sax.saxutils import escape, quoteattr

EN = "urn:cen.eu:en16931:2017"
PROFILES = {
    "CII": (
        EN,
        f"{EN}#compliant#urn:factur-x.eu:1p0:basic",
        f"{EN}#conformant#urn:factur-x.eu:1p0:extended",
        f"{EN}#conformant#urn:zugferd.de:2p0:extended",
        f"{EN}#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0",
        "urn:factur-x.eu:1p0:basicwl",
        "urn:factur-x.eu:1p0:minimum",
    ),
    "UBL": (
        EN,
        f"{EN}#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0",
        f"{EN}#compliant#urn:efactura.mfinante.ro:CIUS-RO:1.0.1",
        f"{EN}#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0",
        "urn:example:of-our-own",
        "",
    ),
}
RATES = {"S": ("19", "20.00", "5.5"), "Z": ("0",), "E": ("0.00",), "AE": ("0",), "K": ("0",), "G": ("0",)}
EXEMPT = ("E", "AE", "K", "G")  # categories that say why


@dataclass(frozen=True)
class Made:
    """An invoice in whole minor units; `lines` are (amount, category, rate)."""

    syntax: str
    profile: str
    code: str
    currency: str
    lines: tuple[tuple[int, str, str], ...]
    discount: int = 0
    charge: int = 0
    paid: int = 0
    rounding: int = 0
    tax_currency: str = ""
    name: str = "Möbel & Söhne <GmbH>"

    @property
    def bare(self) -> bool:
        """Whether it is a profile without lines."""
        return self.profile.endswith((":minimum", ":basicwl"))

    @property
    def minimum(self) -> bool:
        """Whether it is the profile that has only the sums."""
        return self.profile.endswith(":minimum")

    def sums(self) -> dict[str, int]:
        """The totals, by the names that a document has for them."""
        whole = sum(amount for amount, _, _ in self.lines)
        net = whole - self.discount + self.charge
        tax = sum(due for _, _, _, due in self.taxes())
        total = net + tax
        return {"lines": whole, "net": net, "tax": tax, "total": total, "balance": total - self.paid + self.rounding}

    def taxes(self) -> list[tuple[str, str, int, int]]:
        """(category, rate, base, tax)."""
        bases: dict[tuple[str, str], int] = {}
        for amount, category, rate in self.lines:
            bases[category, rate] = bases.get((category, rate), 0) + amount
        first = self.lines[0][1:]  # allowances and charges of the document are of the first line's category
        bases[first] = bases[first] - self.discount + self.charge
        return [
            (category, rate, base, int((Decimal(base) * Decimal(rate) / 100).quantize(Decimal(1), ROUND_HALF_UP)))
            for (category, rate), base in bases.items()
        ]


def money(cents: int) -> str:
    """Minor units as an amount."""
    return f"{Decimal(cents).scaleb(-2):f}"


def write(made: Made) -> str:
    """The XML of an invoice."""
    return _cii(made) if made.syntax == "CII" else _ubl(made)


def _tag(name: str, *content: str, **attributes: str) -> str:
    """An element; without content, nothing."""
    given = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items() if value)
    return f"<{name}{given}>{''.join(content)}</{name}>" if any(content) else ""


# -- UN/CEFACT CII


def _cii(made: Made) -> str:
    cii = "urn:un:unece:uncefact:data:standard"
    namespaces = {
        "xmlns:rsm": f"{cii}:CrossIndustryInvoice:100",
        "xmlns:ram": f"{cii}:ReusableAggregateBusinessInformationEntity:100",
        "xmlns:udt": f"{cii}:UnqualifiedDataType:100",
    }
    guideline = _tag("ram:GuidelineSpecifiedDocumentContextParameter", _tag("ram:ID", made.profile))
    issued = _tag("ram:IssueDateTime", _tag("udt:DateTimeString", "20261124", format="102"))
    due = _tag("ram:DueDateDateTime", _tag("udt:DateTimeString", "20261224", format="102"))
    settlement = _tag(
        "ram:ApplicableHeaderTradeSettlement",
        _tag("ram:InvoiceCurrencyCode", made.currency),
        *([] if made.minimum else [*_cii_taxes(made), *_cii_adjustments(made)]),
        _tag("ram:SpecifiedTradePaymentTerms", due),
        _tag("ram:SpecifiedTradeSettlementHeaderMonetarySummation", *_cii_totals(made)),
    )
    parties = _cii_party("Seller", made.name, "DE1") + _cii_party("Buyer", "Kunde", "DE2")
    return _tag(
        "rsm:CrossIndustryInvoice",
        _tag("rsm:ExchangedDocumentContext", guideline),
        _tag("rsm:ExchangedDocument", _tag("ram:ID", "R-1"), _tag("ram:TypeCode", made.code), issued),
        _tag(
            "rsm:SupplyChainTradeTransaction",
            *([] if made.bare else [_cii_line(number, line) for number, line in enumerate(made.lines, 1)]),
            _tag("ram:ApplicableHeaderTradeAgreement", parties),
            settlement,
        ),
        **namespaces,
    )


def _cii_category(tag: str, code: str, rate: str, before: str = "", base: str = "") -> str:
    why = _tag("ram:ExemptionReason", "why") if base and code in EXEMPT else ""
    scheme, category = _tag("ram:TypeCode", "VAT"), _tag("ram:CategoryCode", code)
    return _tag(f"ram:{tag}", before, scheme, why, base, category, _tag("ram:RateApplicablePercent", rate))


def _cii_party(role: str, name: str, vat: str) -> str:
    registration = _tag("ram:SpecifiedTaxRegistration", _tag("ram:ID", vat, schemeID="VA"))
    address = _tag("ram:PostalTradeAddress", _tag("ram:CountryID", "DE"))
    return _tag(f"ram:{role}TradeParty", _tag("ram:Name", escape(name)), address, registration)


def _cii_line(number: int, line: tuple[int, str, str]) -> str:
    amount, code, rate = line
    price = _tag("ram:NetPriceProductTradePrice", _tag("ram:ChargeAmount", money(amount)))
    summed = _tag("ram:SpecifiedTradeSettlementLineMonetarySummation", _tag("ram:LineTotalAmount", money(amount)))
    return _tag(
        "ram:IncludedSupplyChainTradeLineItem",
        _tag("ram:AssociatedDocumentLineDocument", _tag("ram:LineID", str(number))),
        _tag("ram:SpecifiedTradeProduct", _tag("ram:Name", f"Item {number}")),
        _tag("ram:SpecifiedLineTradeAgreement", price),
        _tag("ram:SpecifiedLineTradeDelivery", _tag("ram:BilledQuantity", "1.0000", unitCode="C62")),
        _tag("ram:SpecifiedLineTradeSettlement", _cii_category("ApplicableTradeTax", code, rate), summed),
    )


def _cii_taxes(made: Made) -> list[str]:
    return [
        _cii_category(
            "ApplicableTradeTax", code, rate,
            _tag("ram:CalculatedAmount", money(due)), _tag("ram:BasisAmount", money(base)),
        )
        for code, rate, base, due in made.taxes()
    ]  # fmt: skip


def _cii_adjustments(made: Made) -> list[str]:
    category = _cii_category("CategoryTradeTax", *made.lines[0][1:])
    return [
        _tag(
            "ram:SpecifiedTradeAllowanceCharge",
            _tag("ram:ChargeIndicator", _tag("udt:Indicator", charge)),
            _tag("ram:ActualAmount", money(cents)),
            _tag("ram:Reason", "r"),
            category,
        )
        for charge, cents in (("false", made.discount), ("true", made.charge))
        if cents
    ]


def _cii_totals(made: Made) -> list[str]:
    sums, full = made.sums(), not made.minimum
    amounts = (
        ("LineTotalAmount", sums["lines"], full, ""),
        ("ChargeTotalAmount", made.charge, full and made.charge, ""),
        ("AllowanceTotalAmount", made.discount, full and made.discount, ""),
        ("TaxBasisTotalAmount", sums["net"], True, ""),
        ("TaxTotalAmount", sums["tax"], True, made.currency),
        ("TaxTotalAmount", 700, made.tax_currency, made.tax_currency),
        ("RoundingAmount", made.rounding, made.rounding, ""),
        ("GrandTotalAmount", sums["total"], True, ""),
        ("TotalPrepaidAmount", made.paid, full and made.paid, ""),
        ("DuePayableAmount", sums["balance"], True, ""),
    )
    return [_tag(f"ram:{tag}", money(cents), currencyID=code) for tag, cents, wanted, code in amounts if wanted]


# -- UBL


def _ubl(made: Made) -> str:
    kind = "CreditNote" if made.code == "381" else "Invoice"
    ubl = "urn:oasis:names:specification:ubl:schema:xsd"
    namespaces = {
        "xmlns": f"{ubl}:{kind}-2",
        "xmlns:cac": f"{ubl}:CommonAggregateComponents-2",
        "xmlns:cbc": f"{ubl}:CommonBasicComponents-2",
    }
    return _tag(
        kind,
        _tag("cbc:CustomizationID", made.profile),
        _tag("cbc:ID", "R-1"),
        _tag("cbc:IssueDate", "2026-11-24"),
        _tag("cbc:DueDate", "" if kind == "CreditNote" else "2026-12-24"),
        _tag(f"cbc:{kind}TypeCode", made.code),
        _tag("cbc:DocumentCurrencyCode", made.currency),
        _ubl_party("Supplier", made.name, "RO1"),
        _ubl_party("Customer", "Client", "RO2"),
        *_ubl_adjustments(made),
        *_ubl_taxes(made),
        _tag("cac:LegalMonetaryTotal", *_ubl_totals(made)),
        *(_ubl_line(made, kind, number, line) for number, line in enumerate(made.lines, 1)),
        **namespaces,
    )


def _ubl_category(tag: str, code: str, rate: str, why: str = "") -> str:
    reason = _tag("cbc:TaxExemptionReason", why if code in EXEMPT else "")
    scheme = _tag("cac:TaxScheme", _tag("cbc:ID", "VAT"))
    return _tag(f"cac:{tag}", _tag("cbc:ID", code), _tag("cbc:Percent", rate), reason, scheme)


def _ubl_party(role: str, name: str, vat: str) -> str:
    country = _tag("cac:Country", _tag("cbc:IdentificationCode", "RO"))
    scheme = _tag("cac:TaxScheme", _tag("cbc:ID", "VAT"))
    party = _tag(
        "cac:Party",
        _tag("cac:PostalAddress", country),
        _tag("cac:PartyTaxScheme", _tag("cbc:CompanyID", vat), scheme),
        _tag("cac:PartyLegalEntity", _tag("cbc:RegistrationName", escape(name))),
    )
    return _tag(f"cac:Accounting{role}Party", party)


def _ubl_line(made: Made, kind: str, number: int, line: tuple[int, str, str]) -> str:
    amount, code, rate = line
    quantity = "CreditedQuantity" if kind == "CreditNote" else "InvoicedQuantity"
    return _tag(
        f"cac:{kind}Line",
        _tag("cbc:ID", str(number)),
        _tag(f"cbc:{quantity}", "1", unitCode="C62"),
        _tag("cbc:LineExtensionAmount", money(amount), currencyID=made.currency),
        _tag("cac:Item", _tag("cbc:Name", f"Item {number}"), _ubl_category("ClassifiedTaxCategory", code, rate)),
        _tag("cac:Price", _tag("cbc:PriceAmount", money(amount), currencyID=made.currency)),
    )


def _ubl_adjustments(made: Made) -> list[str]:
    category = _ubl_category("TaxCategory", *made.lines[0][1:])
    return [
        _tag(
            "cac:AllowanceCharge",
            _tag("cbc:ChargeIndicator", charge),
            _tag("cbc:AllowanceChargeReason", "r"),
            _tag("cbc:Amount", money(cents), currencyID=made.currency),
            category,
        )
        for charge, cents in (("false", made.discount), ("true", made.charge))
        if cents
    ]


def _ubl_taxes(made: Made) -> list[str]:
    subtotals = [
        _tag(
            "cac:TaxSubtotal",
            _tag("cbc:TaxableAmount", money(base), currencyID=made.currency),
            _tag("cbc:TaxAmount", money(due), currencyID=made.currency),
            _ubl_category("TaxCategory", code, rate, "why"),
        )
        for code, rate, base, due in made.taxes()
    ]
    whole = _tag("cbc:TaxAmount", money(made.sums()["tax"]), currencyID=made.currency)
    other = _tag("cbc:TaxAmount", "7" if made.tax_currency else "", currencyID=made.tax_currency)
    return [_tag("cac:TaxTotal", whole, *subtotals), _tag("cac:TaxTotal", other)]


def _ubl_totals(made: Made) -> list[str]:
    sums = made.sums()
    amounts = (
        ("LineExtensionAmount", sums["lines"], True),
        ("TaxExclusiveAmount", sums["net"], True),
        ("TaxInclusiveAmount", sums["total"], True),
        ("AllowanceTotalAmount", made.discount, made.discount),
        ("ChargeTotalAmount", made.charge, made.charge),
        ("PrepaidAmount", made.paid, made.paid),
        ("PayableRoundingAmount", made.rounding, made.rounding),
        ("PayableAmount", sums["balance"], True),
    )
    return [_tag(f"cbc:{tag}", money(cents), currencyID=made.currency) for tag, cents, wanted in amounts if wanted]
