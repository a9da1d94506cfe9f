"""Whether single values can be: decimals that the currency has, signs, spans of days that do not end before they begin.

Called by the reader with a document whose fields are well formed. What is paid or owed has the decimals of its
currency; what only leads there (lines, net, tax) may have more, and so may a total that a `rounding` follows. A due
date before the issue date is no mistake: advance payments and late invoices have it.
"""

from collections.abc import Iterator

from gateway.outbound.documents.currencies import decimals_of
from gateway.outbound.documents.fields import date_of, decimal_of
from gateway.outbound.documents.model import Document, Period
from gateway.outbound.documents.sums import Complaint


def check_values_alone(document: Document) -> list[Complaint]:
    """What cannot be, as (field, message)."""
    return [*_check_decimals(document), *_check_signs(document), *_check_spans(document)]


def _amounts(document: Document) -> Iterator[tuple[str, str]]:
    """(field, amount) of everything that is paid or owed by itself."""
    if totals := document.totals:
        names = ("paid", "credited", "balance") + (() if totals.rounding else ("total",))
        yield from ((f"totals.{name}", getattr(totals, name)) for name in names)
    for part, names in (
        ("receipt", ("amount",)),
        ("refund", ("amount", "original_amount")),
        ("autopay", ("amount",)),
        ("subscription", ("amount",)),
        ("statement", ("opening_balance", "closing_balance", "past_due")),
    ):
        for name in names if getattr(document, part) else ():
            yield f"{part}.{name}", getattr(getattr(document, part), name)
    for number, one in enumerate(document.payment_plan.installments if document.payment_plan else ()):
        yield f"payment_plan.installments[{number}].amount", one.amount
    for number, entry in enumerate(document.statement.entries if document.statement else ()):
        for name in ("debit", "credit", "balance"):
            yield f"statement.entries[{number}].{name}", getattr(entry, name)
    for number, age in enumerate(document.statement.aging if document.statement else ()):
        yield f"statement.aging[{number}].amount", age.amount


def _check_decimals(document: Document) -> list[Complaint]:
    most = decimals_of(document.currency)
    return [
        (
            at,
            f'"{amount}" has {count} decimal{"s" * (count > 1)}; an amount in {document.currency} has {most or "none"}',
        )
        for at, amount in _amounts(document)
        if (count := len(amount.partition(".")[2].rstrip("0"))) > most
    ]


def _check_signs(document: Document) -> list[Complaint]:
    found = [
        (at, f'"{amount}" is not above 0; write what was paid, without a sign')
        for at, amount in _amounts(document)
        if at in ("receipt.amount", "refund.amount", "refund.original_amount", "autopay.amount")
        and amount and decimal_of(amount) <= 0
    ]  # fmt: skip
    found += [
        (at, f'"{amount}" is below 0')
        for at, amount in _amounts(document)
        if (at in ("statement.past_due", "subscription.amount") or ".installments[" in at) and decimal_of(amount) < 0
    ]
    rates = [(f"taxes[{n}].rate", one.rate) for n, one in enumerate(document.taxes)]
    rates += [(f"lines[{n}].tax_rate", one.tax_rate) for n, one in enumerate(document.lines)]
    rates += [(f"adjustments[{n}].tax_rate", one.tax_rate) for n, one in enumerate(document.adjustments)]
    return found + [(at, f'"{rate}" is below 0; a rate has no sign') for at, rate in rates if decimal_of(rate) < 0]


def _check_spans(document: Document) -> list[Complaint]:
    spans: list[tuple[str, Period | None]] = [("period", document.period)]
    spans += [(f"lines[{number}].period", line.period) for number, line in enumerate(document.lines)]
    days = [(at, span.start, span.end) for at, span in spans if span]
    if document.statement:
        days.append(("statement", document.statement.start, document.statement.end))
    found: list[Complaint] = []
    for at, start, end in days:
        first, last = date_of(start), date_of(end)
        if first and last and last < first:
            found.append((f"{at}.to", f"{end} is before {start}, where it begins"))
    return found
