"""What a document says of itself must agree: sums, taxes, decimals, dates; a refusal has the field and the right form.

Parametrised by the wrong value, and by hypothesis: a document that was computed in whole minor units is accepted, and
the same one with any of its amounts moved is refused.
"""

import json
from decimal import Decimal
from typing import Any

import pytest
from babel.numbers import list_currencies
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.outbound.documents import explain
from gateway.outbound.documents.currencies import CURRENCIES, decimals_of, minor_unit

HEAD = {"id": "1", "number": "N-1", "currency": "MDL", "customer": {"name": "Ana"}}


def complaints(**document: Any) -> dict[str, str]:
    return dict(explain(json.dumps(HEAD | document).encode()))


def invoice(**changes: Any) -> dict[str, str]:
    """An invoice with everything that can be added up; `changes` by path, as `totals__tax`."""
    made: dict[str, Any] = {
        "type": "invoice",
        "lines": [{"description": "a", "amount": "600.00"}, {"description": "b", "amount": "500.00"}],
        "adjustments": [{"charge": False, "amount": "150.00"}, {"charge": True, "amount": "50.00"}],
        "taxes": [{"rate": "20", "base": "750.00", "amount": "150.00"}, {"rate": "8", "base": "250", "amount": "20"}],
        "totals": {
            "lines": "1100.00", "discount": "150.00", "charges": "50.00", "net": "1000.00", "tax": "170.00",
            "total": "1170.00", "paid": "100.00", "credited": "70.00", "balance": "1000.00",
        },
    }  # fmt: skip
    for path, value in changes.items():
        *parents, last = path.split("__")
        here: Any = made
        for step in parents:
            here = here[int(step)] if step.isdigit() else here[step]
        if value is None:
            here.pop(last)
        else:
            here[last] = value
    return complaints(**made)


def test_an_invoice_that_adds_up_is_right_whatever_is_left_out() -> None:
    assert invoice() == {}
    for name in ("lines", "discount", "charges", "net", "tax", "balance"):
        assert invoice(**{f"totals__{name}": None}) == {}, name
    for part in ("lines", "adjustments", "taxes"):
        assert invoice(**{part: None}) == {}, part


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("lines__0__amount", "6000.00", "totals.lines", "add up to 6500.00"),
        ("totals__lines", "1000.00", "totals.lines", "add up to 1100.00"),
        ("totals__discount", "100.00", "totals.discount", "add up to 150.00"),
        ("totals__charges", "0.00", "totals.charges", "add up to 50.00"),
        ("adjustments__0__amount", "15.00", "totals.discount", "add up to 15.00"),
        ("totals__net", "1010.00", "totals.net", "lines - discount + charges; that is 1000.00"),
        ("totals__tax", "200.00", "totals.tax", "not the sum of the taxes; they add up to 170"),
        ("taxes__0__amount", "75.00", "taxes[0].amount", '"75.00" is not 20% of 750.00; that is 150.00'),
        ("taxes__1__base", "1000", "taxes[1].amount", '"20" is not 8% of 1000; that is 80.00'),
        ("taxes__0__rate", "19", "taxes[0].amount", "that is 142.50"),
        ("taxes__0__rate", "-20", "taxes[0].rate", "is below 0"),
        ("totals__total", "1169.00", "totals.total", "1000.00 + 170.00 is 1170.00"),
        ("totals__paid", "10.00", "totals.balance", "that is 1090.00"),
        ("totals__credited", "0", "totals.balance", "that is 1070.00"),
        ("totals__balance", "1170.00", "totals.balance", "that is 1000.00"),
    ],
)
def test_what_does_not_add_up_is_named(path: str, value: str, field: str, words: str) -> None:
    assert words in invoice(**{path: value})[field]


def test_without_a_net_the_lines_make_the_total() -> None:
    lines = [{"description": "a", "amount": "100.00"}]
    for total, tax in (("120.00", "20.00"), ("100.00", "16.67"), ("100.00", None)):  # added, included, none
        totals = {"total": total} | ({"tax": tax} if tax else {})
        assert complaints(type="invoice", lines=lines, totals=totals) == {}
    found = complaints(type="invoice", lines=lines, totals={"total": "130.00", "tax": "20.00"})
    assert "that is 120.00" in found["totals.total"]
    assert complaints(type="invoice", lines=[*lines, {"description": "free"}], totals={"total": "7.00"}) == {}


def test_lines_with_the_tax_in_them_are_a_way_to_write_an_invoice() -> None:
    lines = [{"description": "a", "amount": "120.00"}]
    totals = {"lines": "120.00", "net": "100.00", "tax": "20.00", "total": "120.00"}
    assert complaints(type="invoice", lines=lines, totals=totals) == {}


def test_a_tax_may_be_rounded_line_by_line_but_no_further() -> None:
    lines = [{"description": "x", "amount": "0.33"}] * 10  # 20 % of each is 0.07, of all 0.66
    totals = {"net": "3.30", "tax": "0.70", "total": "4.00"}
    taxes = [{"rate": "20", "base": "3.30", "amount": "0.70"}]
    assert complaints(type="invoice", lines=lines, taxes=taxes, totals=totals) == {}
    found = complaints(type="invoice", lines=lines[:2], taxes=taxes, totals={"total": "4.00"})
    assert "that is 0.66" in found["taxes[0].amount"]


# -- currencies


def test_currencies_are_those_of_the_standard() -> None:
    assert set(list_currencies()) > CURRENCIES
    assert {"MDL", "RON", "UAH", "RUB", "EUR", "XCG", "SLE", "VED"} <= CURRENCIES
    assert not {"DEM", "ROL", "MDC", "SUR", "XXX", "XTS", "CNH", "BTC"} & CURRENCIES
    assert [str(minor_unit(code)) for code in ("MDL", "RSD", "JPY", "KWD", "UYW")] == ["0.01"] * 2 + [
        "1", "0.001", "0.0001",
    ]  # fmt: skip
    assert all(0 <= decimals_of(code) <= 6 for code in CURRENCIES)


@pytest.mark.parametrize("code", ["DEM", "XXX", "BTC", "mdl", "LEI", "M", "", "MDLL"])
def test_a_currency_that_does_not_exist_is_refused_with_one_that_does(code: str) -> None:
    message = complaints(type="invoice", currency=code, totals={"total": "1"})["currency"]
    assert message.startswith(f'"{code}" does not exist; ISO 4217 has ')
    assert message.split("has ")[1].split()[0] in CURRENCIES


@pytest.mark.parametrize(
    ("currency", "total", "words"),
    [
        ("MDL", "12.345", '"12.345" has 3 decimals; an amount in MDL has 2'),
        ("JPY", "10.50", '"10.50" has 1 decimal; an amount in JPY has none'),
        ("KWD", "1.2345", "has 3"),
        ("JPY", "10.00", ""),
        ("MDL", "12.340000", ""),
        ("KWD", "1.234", ""),
        ("XAU", "1.234567", ""),
    ],
)
def test_an_amount_that_is_owed_has_the_decimals_of_its_currency(currency: str, total: str, words: str) -> None:
    found = complaints(type="invoice", currency=currency, totals={"total": total})
    assert words in found["totals.total"] if words else found == {}


def test_what_only_leads_to_a_total_may_have_more_decimals() -> None:
    totals = {"net": "10.004", "tax": "2.001", "rounding": "-0.005", "total": "12.00"}
    assert complaints(type="invoice", lines=[{"description": "a", "amount": "10.0040"}], totals=totals) == {}


# -- the other types


def statement(**changes: Any) -> dict[str, str]:
    made = {
        "from": "2026-11-01", "to": "2026-11-30", "opening_balance": "400.00", "closing_balance": "900.00",
        "entries": [
            {"date": "2026-11-03", "type": "payment", "credit": "400.00", "balance": "0.00"},
            {"date": "2026-11-10", "type": "invoice", "debit": "1200.00", "balance": "1200.00"},
            {"date": "2026-11-30", "type": "payment", "credit": "300.00", "balance": "900.00"},
        ],
        "past_due": "250.00", "aging": [{"bucket": "current", "amount": "650.00"}, {"bucket": "1-30", "amount": "250"}],
    }  # fmt: skip
    return complaints(type="statement", statement=made | changes)


def entry(date: str = "2026-11-10", **amounts: str) -> dict[str, str]:
    return {"date": date, "type": "invoice"} | amounts


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"closing_balance": "800.00", "aging": []}, "statement.closing_balance", "debits - credits; that is 900.00"),
        ({"opening_balance": "500.00"}, "statement.entries[0].balance", "that is 100.00"),
        ({"entries": [entry(debit="500.00", balance="90.00")]}, "statement.entries[0].balance", "that is 900.00"),
        ({"entries": []}, "statement.closing_balance", "is not the opening balance, and there are no entries"),
        ({"aging": [{"bucket": "current", "amount": "1"}]}, "statement.aging", "closing balance 900.00; they make 1"),
        ({"from": "2026-12-01"}, "statement.to", "2026-11-30 is before 2026-12-01"),
        ({"entries": [entry("2026-12-01", debit="500")]}, "statement.entries[0].date", "is after the end"),
        ({"entries": [entry("2026-10-31", debit="500")]}, "statement.entries[0].date", "is before the start"),
        ({"past_due": "-1.00"}, "statement.past_due", "is below 0"),
        ({"closing_balance": "900.001"}, "statement.closing_balance", "3 decimals"),
    ],
)
def test_a_statement_adds_up(changes: dict[str, Any], field: str, words: str) -> None:
    assert statement() == {}
    assert words in statement(**changes)[field]


def test_a_statement_of_open_items_is_read_in_every_customary_way() -> None:
    bare: dict[str, Any] = {"opening_balance": "", "style": "open_item", "past_due": "", "aging": []}
    early = entry("2026-09-01", debit="700.00")
    for entries in (
        [early, entry(debit="200.00")],  # what is open of each is its debit
        [
            entry("2026-09-01", debit="900.00", balance="700.00"),
            entry(debit="200.00", balance="200.00"),
        ],  # is its balance
        [early | {"balance": "700.00"}, entry(debit="300.00", balance="1000.00"), entry(credit="100", balance="900")],
    ):
        given_ = {key: value for key, value in (bare | {"entries": entries}).items() if value != ""}
        made = {"from": "2026-11-01", "to": "2026-11-30", "closing_balance": "900.00"} | given_
        assert complaints(type="statement", statement=made) == {}, entries
    made = {"from": "2026-11-01", "to": "2026-11-30", "closing_balance": "900.00", "style": "open_item"}
    found = complaints(type="statement", statement=made | {"entries": [early]})
    assert "is not what the entries make; that is 700.00" in found["statement.closing_balance"]


def test_the_ages_of_a_debt_may_leave_out_what_is_not_due() -> None:
    assert statement(aging=[{"bucket": "1-30", "amount": "250.00"}]) == {}


def test_instalments_make_the_total_or_the_balance() -> None:
    def plan(*amounts: str, **totals: str) -> dict[str, str]:
        parts = [{"due_date": "2026-12-01", "amount": one, "paid": number == 0} for number, one in enumerate(amounts)]
        return complaints(type="payment_plan", totals=totals, payment_plan={"installments": parts})

    assert plan("300", "600", total="900.00") == {}
    assert plan("300", "600", total="900.00", paid="300", balance="600.00") == {}
    assert plan("300", "300", total="900.00", paid="300", balance="600.00") == {}  # besides what was paid before
    assert plan("300", "500", total="900.00")["payment_plan.installments"].endswith("they make 800")
    assert "is below 0" in plan("-1", "901", total="900.00")["payment_plan.installments[0].amount"]


def test_a_receipt_is_what_it_pays_and_a_refund_no_more_than_was_paid() -> None:
    def receipt(amount: str, *paid: str) -> dict[str, str]:
        related = [{"type": "invoice", "number": "7", "relation": "pays"} | ({"amount": a} if a else {}) for a in paid]
        return complaints(type="receipt", receipt={"amount": amount, "paid_at": "2026-12-01"}, related=related)

    assert receipt("100.00") == receipt("100.00", "60.00", "40") == receipt("100.00", "60.00", "") == {}
    assert "make 90.00" in receipt("100.00", "60.00", "30.00")["receipt.amount"]
    for amount in ("0", "-5.00"):
        assert "is not above 0" in receipt(amount)["receipt.amount"]
    refund = {"amount": "100.01", "refunded_at": "2026-12-01", "original_amount": "100.00"}
    found = complaints(type="refund", refund=refund)
    assert found == {"refund.amount": '"100.01" is more than the original amount, 100.00'}


@pytest.mark.parametrize("day", ["2026-02-30", "2026-13-01", "2026-00-10", "2027-02-29", "0000-01-01", "2026-11-31"])
def test_a_day_that_is_none_is_refused(day: str) -> None:
    message = complaints(type="invoice", due_date=day, totals={"total": "1"})["due_date"]
    assert message.startswith(f'"{day}" is not in the calendar; ')


def test_a_span_ends_after_it_begins_and_a_due_date_may_lie_before_the_issue_date() -> None:
    span = {"from": "2026-11-30", "to": "2026-11-01"}
    found = complaints(type="invoice", period=span, lines=[{"description": "a", "period": span}], totals={"total": "1"})
    assert set(found) == {"period.to", "lines[0].period.to"}
    assert complaints(type="invoice", issue_date="2026-11-30", due_date="2026-11-01", totals={"total": "1"}) == {}


# -- whatever is computed in minor units is right, and no amount of it can be moved


@st.composite
def computed(draw: st.DrawFn) -> dict[str, Any]:
    cents = st.integers(1, 10**7)
    lines = draw(st.lists(cents, min_size=1, max_size=6))
    discount = draw(st.integers(0, sum(lines)))
    rate = draw(st.sampled_from(["0", "5", "8", "9.5", "19", "20", "21"]))
    net = sum(lines) - discount
    tax = int((Decimal(net) * Decimal(rate) / 100).quantize(Decimal(1)))
    paid = draw(st.integers(0, net + tax))
    return {
        "type": "invoice",
        "lines": [{"description": "x", "amount": money(one)} for one in lines],
        "adjustments": [{"charge": False, "amount": money(discount)}] if discount else [],
        "taxes": [{"rate": rate, "base": money(net), "amount": money(tax)}],
        "totals": {
            "lines": money(sum(lines)), "discount": money(discount), "net": money(net), "tax": money(tax),
            "total": money(net + tax), "paid": money(paid), "balance": money(net + tax - paid),
        },
    }  # fmt: skip


def money(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):f}"


@given(computed(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_computed_invoice_is_right_and_none_of_its_sums_can_be_moved(
    made: dict[str, Any], data: st.DataObject
) -> None:
    assert complaints(**made) == {}
    name = data.draw(st.sampled_from(["lines", "net", "tax", "total", "paid", "balance"]))
    moved = Decimal(made["totals"][name]) + data.draw(st.sampled_from([-1, 1])) * data.draw(st.integers(1, 10**6))
    found = complaints(**(made | {"totals": made["totals"] | {name: f"{moved:f}"}}))
    assert any(field.startswith("totals.") for field in found)
    assert all(" is " in message or "add up" in message for message in found.values())
