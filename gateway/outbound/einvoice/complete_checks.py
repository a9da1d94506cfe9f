"""Rules of EN 16931 for an invoice that we write, besides those that one of others is held to (`checks`).

Called by `complete`. They are the rules of the standard's own validation: categories of tax that contradict one another
or what stands beside them, a day on which the amount is due, two decimals.
"""

from decimal import Decimal

from gateway.outbound.documents import Document, Totals
from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.sums import Complaint
from gateway.outbound.einvoice.codes import codes
from gateway.outbound.einvoice.complete_lines import CENT

CATEGORIES = ("S", "Z", "E", "AE", "K", "G", "O", "L", "M")  # UNTDID 5305, as EN 16931 uses it
TAXED = ("S", "Z", "L", "M")  # categories that need no reason, and may have none


def check_categories(document: Document) -> list[Complaint]:
    """Taxes that contradict themselves or one another (BG-23, BR-S-05, BR-S-10), and what some of them want."""
    found: list[Complaint] = []
    seen: set[tuple[str, Decimal]] = set()
    for number, tax in enumerate(document.taxes):
        at, key = f"taxes[{number}]", (tax.category, decimal_of(tax.rate))
        if tax.category and tax.category not in CATEGORIES:
            found.append((f"{at}.category", f'"{tax.category[:10]}" is not one of {", ".join(CATEGORIES)}'))
        if key in seen:
            found.append((at, "is of a category and rate that another has; hand over each of them once (BG-23)"))
        if tax.category in TAXED and tax.exemption:
            found.append((f"{at}.exemption", f"is given, and category {tax.category} is not exempt (BR-S-10)"))
        if tax.category == "S" and decimal_of(tax.rate) <= 0:
            found.append((f"{at}.rate", "is not above 0, and the category is S (BR-S-05)"))
        seen.add(key)
    return found + _check_untaxed(document) + _check_community(document)


def _check_untaxed(document: Document) -> list[Complaint]:
    """Category O stands alone, and nobody has a VAT number then (BR-O-02, BR-O-11)."""
    names = {tax.category for tax in document.taxes}
    if "O" not in names:
        return []
    found = (
        [("taxes", "has category O beside others; such an invoice has no other (BR-O-11)")] if len(names) > 1 else []
    )
    for at, party in (("seller", document.seller), ("customer", document.customer)):
        if party is not None and party.vat:
            found.append((f"{at}.vat", "is given, and nothing is subject to VAT (category O, BR-O-02)"))
    return found


def _check_community(document: Document) -> list[Complaint]:
    """A supply within the community says when and to which country (BR-IC-11, BR-IC-12)."""
    country = document.metadata.get("delivery_country", "")
    if country and country not in codes().countries:
        return [("metadata.delivery_country", f'"{country[:20]}" is no country; write two capitals (ISO 3166), as DE')]
    if not any(tax.category == "K" for tax in document.taxes):
        return []
    found: list[Complaint] = []
    if not document.delivery_date and document.period is None:
        found.append(("delivery_date", "is missing, and so is a period: category K wants one (BR-IC-11)"))
    if not country:
        found.append(("metadata.delivery_country", "is missing: category K wants where it went, as DE (BR-IC-12)"))
    return found


def check_due(document: Document) -> list[Complaint]:
    """An amount that is due says when (BR-CO-25)."""
    said = document.due_date or (document.payment is not None and document.payment.terms)
    if document.totals is None or decimal_of(document.totals.balance) <= 0 or said:
        return []
    return [("due_date", "is missing, and so is payment.terms: say when the amount is due, or how (BR-CO-25)")]


def check_cents(document: Document) -> list[Complaint]:
    """Amounts of more than two decimals (BR-DEC), and currencies that the standard's list lacks."""
    amounts: list[tuple[str, str]] = []
    for number, line in enumerate(document.lines):
        amounts.append((f"lines[{number}].amount", line.amount))
        amounts += [
            (f"lines[{number}].adjustments[{at}].amount", one.amount) for at, one in enumerate(line.adjustments)
        ]
    amounts += [(f"adjustments[{at}].amount", one.amount) for at, one in enumerate(document.adjustments)]
    for number, tax in enumerate(document.taxes):
        amounts += [(f"taxes[{number}].base", tax.base), (f"taxes[{number}].amount", tax.amount)]
    if document.totals is not None:
        amounts += [(f"totals.{name}", getattr(document.totals, name)) for name in Totals.model_fields]
    found = [
        (at, f'"{amount}" has more than two decimals, which EN 16931 does not take (BR-DEC)')
        for at, amount in amounts
        if decimal_of(amount) != decimal_of(amount).quantize(CENT)
    ]
    if document.currency not in codes().currencies:
        found.append(("currency", f'"{document.currency}" is not in the list of EN 16931 (BT-5)'))
    return found
