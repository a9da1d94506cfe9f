"""Factur-X that we write: valid by its makers' XSD and Schematron, read back as it was, and nothing invented."""

import dataclasses
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.einvoice_oracle import facts_of
from unit.facturx_validator import code_list, complaints

from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.documents import Document, read_document
from gateway.outbound.einvoice import explain_einvoice
from gateway.outbound.einvoice.codes import codes, unit_code
from gateway.outbound.einvoice.complete_checks import CATEGORIES
from gateway.outbound.einvoice.facturx import need_facturx, wants_facturx, write_facturx
from gateway.outbound.einvoice.write_cii import MEANS, ONLINE, TRANSFER

SAMPLES = Path(__file__).parents[1] / "corpus" / "documents"
BRAND = Brand(
    company="Acme Servicii SRL", contact_email="office@acme.example", address="str. Pușkin 1", idno="1010600000000"
)
Change = Callable[[dict[str, Any]], object]


def values(name: str = "invoice_ro") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return found


def changed(change: Change, name: str = "invoice_ro") -> Document:
    made = values(name)
    change(made)
    return read_document(json.dumps(made).encode())


def plain() -> dict[str, Any]:
    """The least that an invoice of EN 16931 can be made of."""
    party = {"name": "A", "idno": "1", "vat": "MD1", "address": {"country": "MD"}}
    return {
        "schema": "urn:ar-gateway:document:1", "type": "invoice", "id": "1", "number": "F-1", "currency": "EUR",
        "issue_date": "2026-11-24", "due_date": "2026-12-08", "seller": party, "customer": party | {"name": "B"},
        "lines": [{"description": "Work", "quantity": "2", "unit_price": "50", "tax_rate": "20"}],
        "taxes": [{"rate": "20", "amount": "20.00"}],
        "totals": {"total": "120.00"},
    }  # fmt: skip


def write(made: dict[str, Any]) -> str:
    """The XML, which has to be valid and to be read as the document's own amounts."""
    document = read_document(json.dumps(made).encode())
    xml = write_facturx(document, BRAND)
    assert complaints(xml) == []
    assert_same(document, xml)
    return re.sub(r"\s+xmlns:\w+=\"[^\"]*\"", "", xml.decode())


def assert_same(document: Document, xml: bytes) -> None:
    """What the document says, the XML says; it may say more, where that follows."""
    reading = explain_einvoice(xml)
    assert reading.errors == ()
    assert reading.document is not None
    said, read = facts_of(document), facts_of(reading.document)
    taxes = zip(said.pop("taxes"), read.pop("taxes"), strict=bool(document.taxes))
    items = zip(said.pop("items"), read.pop("items"), strict=True)
    for one, other in ((said, read), *taxes, *items):
        assert {name: (value, other[name]) for name, value in one.items() if value and value != other[name]} == {}
    unstated = ("/ram:SpecifiedProcuringProject/ram:Name", "/ram:ShipToTradeParty/ram:Name", "/ram:CountryID")
    assert [path for path in reading.lost if not path.endswith(unstated)] == []


@pytest.mark.parametrize("name", ["invoice_ro", "invoice_ru", "invoice_en", "invoice_long"])
def test_a_sample_is_valid_and_is_read_back_as_it_was(name: str) -> None:
    xml = write(values(name))
    assert "urn:cen.eu:en16931:2017<" in xml and ">380<" in xml


@pytest.mark.parametrize("name", ["credit_note_ro", "credit_note_ru", "credit_note_en"])
def test_a_credit_note_names_the_invoice_that_it_credits(name: str) -> None:
    made = values(name) | {"payment": {"terms": "Set off"}}
    xml = write(made)
    assert ">381<" in xml
    assert made["related"][0]["number"] in xml.partition("InvoiceReferencedDocument")[2]


def test_the_same_document_makes_the_same_bytes() -> None:
    document = read_document(json.dumps(values()).encode())
    assert write_facturx(document, BRAND) == write_facturx(document, BRAND)


def test_whatever_the_model_has_and_the_standard_knows_is_said() -> None:
    made = values() | {
        "delivery_date": "2026-11-20", "period": {"from": "2026-11-01", "to": "2026-11-30"}, "purchase_order": "PO-7",
        "buyer_reference": "04011000-1234", "terms": "Condiții generale",
        "related": [{"type": "invoice", "number": "CP-2026-0001", "date": "2026-01-05", "relation": "replaces"}],
        "metadata": {
            "accounting_cost": "ACC-1", "sales_order": "SO-2", "project": "PR-3", "despatch_advice": "DA-4",
            "receiving_advice": "RA-5", "tender": "T-6", "invoiced_object": "OBJ-8", "seller_tax_number": "FC-9",
            "creditor_id": "CRED-10", "mandate": "MAN-11", "delivery_country": "RO", "cost_center": "secret",
        },
    }  # fmt: skip
    made["customer"]["endpoint"] = {"scheme": "EM", "id": "ana.rusu@vinaria.example"}
    made["seller"]["trade_name"] = "Acme"
    made["lines"][0] |= {
        "price_base": "1", "adjustments": [{"charge": False, "amount": "0.00", "percent": "0", "reason": "Reducere"}],
        "metadata": {"standard_item": "4006381333931", "buyer_item": "B-12", "origin": "MD", "order_line": "3",
                     "object": "MTR-13", "accounting_cost": "ACC-14"},
    }  # fmt: skip
    xml = write(made)
    said = (
        "20261120", "20261101", "20261130", "PO-7", "04011000-1234", "Condiții generale", "CP-2026-0001", "20260105",
        ">384<", "ACC-1", "SO-2", "PR-3", "DA-4", "RA-5", "T-6", "OBJ-8", "FC-9", "CRED-10", "MAN-11", ">RO<", "Acme",
        "4006381333931", "B-12", "ACC-14", "MTR-13", "12/2026", "HOST-M", "MD24AG000225100013104168", "AGRNMD2X",
        "Achitare în 14 zile", "Ana Rusu", "office@acme.example", "str. Columna 101", "MD0600123", "1003600000017",
        "Vă mulțumim pentru colaborare.", 'unitCode="MON"', 'unitCode="HUR"', "20261208", "cus_17", "Reducere",
        'schemeID="0160"', 'schemeID="EM"', "Mutarea poștei",
    )  # fmt: skip
    assert [text for text in said if text not in xml] == []
    assert "secret" not in xml


# -- what follows


def test_the_least_document_is_completed_by_what_follows_from_it() -> None:
    xml = write(plain())
    assert "<ram:CategoryCode>S</ram:CategoryCode>" in xml  # a rate above zero
    assert "<ram:BasisAmount>100.00</ram:BasisAmount>" in xml  # two for fifty each
    assert "<ram:LineTotalAmount>100.00</ram:LineTotalAmount>" in xml
    assert "<ram:DuePayableAmount>120.00</ram:DuePayableAmount>" in xml
    assert 'unitCode="C62">2<' in xml  # without a unit: a count
    assert "<ram:LineID>1</ram:LineID>" in xml
    assert "<ram:ShipToTradeParty><ram:Name>B</ram:Name>" in xml  # the schema wants something here


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"amount": "100.00"}, (">1<", ">100.00<")),
        ({"quantity": "3", "amount": "100.00"}, ('BasisQuantity unitCode="C62">3<', "ChargeAmount>100.00<")),
        ({"quantity": "8", "amount": "100.00"}, ("ChargeAmount>12.5", 'BilledQuantity unitCode="C62">8<')),
        ({"unit_price": "25", "amount": "100.00"}, ("ChargeAmount>25<", 'BilledQuantity unitCode="C62">4<')),
        ({"quantity": "1000", "unit_price": "5", "price_base": "50"}, ('BasisQuantity unitCode="C62">50<', ">1000<")),
        ({"quantity": "4", "unit": "рейс", "amount": "100.00"}, ('unitCode="E54">4<',)),
        ({"quantity": "4", "unit": "кв. сажень", "amount": "100.00"}, ('unitCode="ZZ">4<', "Value>кв. сажень<")),
        ({"quantity": "4", "unit": "GB", "amount": "100.00"}, ('unitCode="ZZ">4<', "Value>GB<")),
        ({"quantity": "4", "unit": "Шт.", "amount": "100.00"}, ('unitCode="H87">4<',)),
        ({"quantity": "4", "unit": "KGM", "amount": "100.00"}, ('unitCode="KGM">4<',)),
        ({"amount": "100.00", "adjustments": [{"charge": False, "amount": "20.00"}]}, ("ReasonCode>95<", ">120.00<")),
    ],
)  # fmt: skip
def test_quantity_price_and_amount_follow_from_one_another(line: dict[str, Any], expected: tuple[str, ...]) -> None:
    xml = write(plain() | {"lines": [{"description": "Work", "tax_rate": "20"} | line]})
    assert [text for text in expected if text not in xml] == []


def test_a_price_below_zero_is_a_quantity_below_zero() -> None:
    lines = [
        {"description": "Work", "amount": "150.00"},
        {"description": "Returned", "quantity": "2", "unit_price": "-25.00", "amount": "-50.00"},
        {"description": "Discount", "amount": "0.00"},
    ]
    document = read_document(json.dumps(plain() | {"lines": lines}).encode())
    xml = write_facturx(document, BRAND)
    assert complaints(xml) == []
    assert b'unitCode="C62">-2' in xml and b"<ram:ChargeAmount>25.00<" in xml


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [("0600123", "MD", "MD0600123"), ("RO 123456", "MD", "RO123456"), ("123456789", "GR", "EL123456789"),
     ("EL123456789", "GR", "EL123456789"), ("atu12345678", "AT", "ATU12345678"), ("DE000000000", "DE", "DE000000000")],
)  # fmt: skip
def test_a_vat_number_has_the_country_of_its_owners_address(number: str, country: str, expected: str) -> None:
    made = plain()
    made["seller"] |= {"vat": number, "address": {"country": country}}
    assert f'schemeID="VA">{expected}<' in write(made)


def test_an_adjustment_belongs_to_the_only_tax_whose_base_it_explains() -> None:
    xml = write(values("invoice_ru"))
    discount = xml.partition("Скидка постоянному клиенту")[2].partition("</ram:SpecifiedTradeAllowanceCharge>")[0]
    assert "<ram:RateApplicablePercent>20</ram:RateApplicablePercent>" in discount


def test_a_discount_of_the_totals_is_said_when_the_net_amount_is_lowered_by_it() -> None:
    lines = [{"description": "Work", "amount": "110.00"}]
    totals = {"lines": "110.00", "discount": "10.00", "net": "100.00", "tax": "20.00", "total": "120.00"}
    assert "<ram:ReasonCode>95</ram:ReasonCode>" in write(plain() | {"lines": lines, "totals": totals})
    inside = plain() | {"totals": {"discount": "10.00", "net": "100.00", "total": "120.00"}}
    document = read_document(json.dumps(inside).encode())
    assert b"AllowanceTotalAmount" not in write_facturx(document, BRAND)  # it is inside the lines
    assert complaints(write_facturx(document, BRAND)) == []


def test_what_was_credited_counts_as_paid_and_rounding_is_of_what_is_due() -> None:
    totals = {"net": "100.00", "tax": "20.00", "total": "120.00", "paid": "20", "credited": "50.00", "rounding": "0.01"}
    document = read_document(json.dumps(plain() | {"totals": totals | {"balance": "50.01"}}).encode())
    xml = write_facturx(document, BRAND)
    assert complaints(xml) == []
    for text in (b"TotalPrepaidAmount>70.00<", b"RoundingAmount>0.01<", b"DuePayableAmount>50.01<"):
        assert text in xml


def test_taxes_that_are_not_given_are_those_of_the_lines_when_they_make_the_same_sum() -> None:
    made = plain()
    del made["taxes"]
    lines = [
        {"description": "A", "amount": "100.00", "tax_rate": "20"},
        {"description": "B", "amount": "50.00", "tax_rate": "8"},
    ]
    xml = write(made | {"lines": lines, "totals": {"tax": "24.00", "total": "174.00"}})
    assert "<ram:BasisAmount>50.00</ram:BasisAmount>" in xml


@pytest.mark.parametrize(
    ("category", "code"), [("AE", "VATEX-EU-AE"), ("G", "VATEX-EU-G"), ("E", "VATEX-EU-132-1I"), ("Z", "")]
)
def test_a_category_without_tax_says_why(category: str, code: str) -> None:
    tax = {"category": category, "base": "100.00", "amount": "0.00"} | ({"exemption": code} if category == "E" else {})
    lines = [{"description": "Work", "amount": "100.00"}]
    xml = write(plain() | {"lines": lines, "taxes": [tax], "totals": {"total": "100.00"}})
    assert ("ExemptionReasonCode" in xml) is bool(code)
    assert f">{code}<" in xml or not code


def test_what_is_not_subject_to_tax_has_neither_rate_nor_vat_numbers() -> None:
    made = plain() | {"lines": [{"description": "Work", "amount": "100.00"}], "totals": {"total": "100.00"}}
    made["taxes"] = [{"category": "O", "base": "100.00", "amount": "0.00", "exemption": "Neplătitor de TVA"}]
    for party in ("seller", "customer"):
        made[party] = {name: value for name, value in made[party].items() if name != "vat"}
    assert "RateApplicablePercent" not in write(made)


def test_a_supply_within_the_community_says_when_and_where() -> None:
    made = plain() | {"lines": [{"description": "Work", "amount": "100.00"}], "totals": {"total": "100.00"}}
    made["taxes"] = [{"category": "K", "base": "100.00", "amount": "0.00"}]
    made |= {"delivery_date": "2026-11-20", "metadata": {"delivery_country": "DE"}}
    assert "VATEX-EU-IC" in write(made)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({"type": "bank", "iban": "225100013104168"}, ">30<|ProprietaryID>225100013104168<"),
        ({"type": "link", "url": "https://pay.example/1", "label": "Pay"}, ">68<|https://pay.example/1"),
        ({"type": "cash", "note": "La casierie"}, ">10<|La casierie"),
        ({"type": "card"}, ">48<"),
        ({"type": "direct_debit"}, ">59<"),
        ({"type": "other", "note": "Barter"}, ">ZZZ<|Barter"),
    ],
)  # fmt: skip
def test_how_to_pay_has_its_code(method: dict[str, Any], expected: str) -> None:
    xml = write(plain() | {"payment": {"methods": [method, {"type": "other", "note": "Altfel"}]}})
    assert [text for text in expected.split("|") if text not in xml] == []
    assert "Altfel" not in xml or method["type"] == "other"  # an invoice has one means (CII-SR-467)


def test_a_document_without_a_seller_is_sold_by_the_tenant_as_on_its_page() -> None:
    made = plain()
    del made["seller"]
    document = read_document(json.dumps(made).encode())
    xml = write_facturx(document, dataclasses.replace(BRAND, country="MD", vat="0600123")).decode()
    assert complaints(xml.encode()) == []
    for text in ("Acme Servicii SRL", "office@acme.example", "str. Pușkin 1", "1010600000000", ">MD0600123<", ">MD<"):
        assert text in xml.partition("BuyerTradeParty")[0]


# -- what does not follow


def without(name: str) -> Change:
    """A change that takes `a.b.c` away."""
    *steps, last = name.split(".")

    def change(made: dict[str, Any]) -> None:
        for step in steps:
            made = made[int(step) if step.isdecimal() else step]
        del made[last]

    return change


def put(**more: Any) -> Change:
    return lambda made: made.update(more)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (without("issue_date"), "issue_date is missing"),
        (without("due_date"), "due_date is missing, and so is payment.terms"),
        (without("seller"), "gateway tenant set SLUG --country MD --vat 0600123"),
        (without("seller.address"), "seller.address.country is missing"),
        (without("customer.address.country"), "customer.address.country is missing"),
        (lambda made: made["seller"].pop("vat"), "seller.vat is missing"),
        (put(lines=[]), "lines is missing"),
        (without("taxes"), "taxes is missing"),
        (put(taxes=[{"rate": "0", "amount": "0"}], totals={"total": "100"}), "taxes[0].category is missing"),
        (put(taxes=[{"name": "Sales tax", "rate": "20", "amount": "20.00"}]), "taxes[0].category is missing, and"),
        (put(taxes=[{"category": "E", "amount": "0"}], totals={"total": "100"}), "taxes[0].exemption is missing"),
        (put(taxes=[{"category": "X", "rate": "20", "amount": "20.00"}]), "taxes[0].category"),
        (put(lines=[{"description": "Work", "quantity": "3", "unit_price": "0.3333"}]), "lines[0].amount is missing"),
        (put(lines=[{"description": "Work", "unit_price": "7", "amount": "100.00"}]), "lines[0].quantity is missing"),
        (put(lines=[{"description": "Work"}]), "lines[0].quantity is missing"),
        (put(adjustments=[{"charge": False, "amount": "1.005"}]), "adjustments[0].amount"),
        (put(totals={"total": "121.00"}), "totals.total"),
        (put(totals={"total": "120.00", "credited": "-5.00"}), "totals.credited is below zero"),
        (lambda made: made["customer"].update(address={"country": "XX"}), "customer.address.country"),
        (lambda made: made["seller"].update(endpoint={"scheme": "fax", "id": "1"}), "seller.endpoint.scheme"),
        (put(metadata={"delivery_country": "Germany"}), "metadata.delivery_country"),
    ],
)  # fmt: skip
def test_what_does_not_follow_is_refused_with_the_fields_name(change: Change, field: str) -> None:
    made = plain()
    change(made)
    document = read_document(json.dumps(made).encode())  # as a document it is right
    for refuse in (write_facturx, need_facturx):
        with pytest.raises(Refused) as told:
            refuse(document, BRAND)
        assert (told.value.reply.code, told.value.reply.enhanced) == (554, "5.6.0")
        assert "invoice F-1 cannot become Factur-X (EN 16931):\n" in told.value.reply.text
        assert field in told.value.reply.text


def test_an_adjustment_that_no_single_tax_explains_is_refused() -> None:
    made = plain() | {
        "lines": [
            {"description": "A", "amount": "100.00", "tax_rate": "20"},
            {"description": "B", "amount": "100.00", "tax_rate": "8"},
        ],
        "taxes": [{"rate": "20", "base": "90.00", "amount": "18.00"}, {"rate": "8", "base": "90.00", "amount": "7.20"}],
        "adjustments": [{"charge": False, "amount": "20.00"}], "totals": {"total": "205.20"},
    }  # fmt: skip
    with pytest.raises(Refused, match=r"adjustments\[0\]\.tax_category is missing"):
        need_facturx(read_document(json.dumps(made).encode()), BRAND)


def test_numbers_of_any_size_are_refused_or_written_and_never_crash() -> None:
    most, least = "9" * 15 + "." + "9" * 10, "0." + "0" * 9 + "1"
    for quantity in (most, least, f"-{most}", "0"):
        for price in (most, least, f"-{most}"):
            line = {"description": "Work", "quantity": quantity, "unit_price": price, "tax_rate": most}
            for more in ({}, {"price_base": least}, {"price_base": most}):
                document = read_document(json.dumps(plain() | {"lines": [line | more]}).encode())
                with pytest.raises(Refused):
                    need_facturx(document, BRAND)


@pytest.mark.parametrize("name", ["estimate_ro", "receipt_ro", "statement_ro", "refund_ro", "payment_plan_ro"])
def test_only_invoices_and_credit_notes_are_meant(name: str) -> None:
    assert not wants_facturx(read_document(json.dumps(values(name)).encode()), "factur-x")


def test_a_document_with_a_pdf_or_xml_of_its_own_gets_no_second_one() -> None:
    assert wants_facturx(read_document(json.dumps(values()).encode()), "factur-x")
    for role in ("pdf", "einvoice"):
        file = {"filename": "f.pdf", "role": role, "content": "JVBERi0="}
        assert not wants_facturx(read_document(json.dumps(values() | {"files": [file]}).encode()), "factur-x")
    assert not wants_facturx(read_document(json.dumps(values()).encode()), "")


# -- any document


AMOUNT = st.decimals("0.01", "99999", places=2).map(str)
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp")), min_size=1, max_size=30)
LINES = st.lists(
    st.fixed_dictionaries(
        {"description": TEXT.filter(str.strip), "tax_rate": st.sampled_from(("20", "8", "0.5"))},
        optional={
            "quantity": st.decimals("-50", "50", places=3).map(str),
            "unit_price": st.decimals(-9, 999, places=4).map(str),
            "amount": st.decimals("-999", "9999", places=2).map(str),
            "unit": st.sampled_from(("oră", "HUR", "x", "м²")), "details": TEXT,
            "price_base": st.sampled_from(("1", "100")),
            "adjustments": st.lists(st.fixed_dictionaries({"charge": st.booleans(), "amount": AMOUNT}), max_size=2),
        },
    ),
    min_size=1, max_size=5,
)  # fmt: skip


ADJUSTMENTS = st.lists(st.fixed_dictionaries({"charge": st.booleans(), "amount": AMOUNT}), max_size=2)


def test_whatever_is_written_is_valid() -> None:
    written = 0

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(LINES, ADJUSTMENTS, AMOUNT)
    def check(lines: list[dict[str, Any]], extra: list[dict[str, Any]], paid: str) -> None:
        nonlocal written
        try:
            xml = write_facturx(any_invoice(lines, extra, paid), BRAND)
        except Refused:
            return
        written += 1
        assert complaints(xml) == []
        assert explain_einvoice(xml).errors == ()

    check()
    assert written >= 20  # the rest does not follow from what is given


def any_invoice(lines: list[dict[str, Any]], extra: list[dict[str, Any]], paid: str) -> Document:
    """An invoice whose sums hold, of lines and adjustments that say as little as they like."""
    known = [line for line in lines if "amount" in line]
    sums: dict[str, Decimal] = {}
    for line in known:
        sums[line["tax_rate"]] = sums.get(line["tax_rate"], Decimal(0)) + Decimal(line["amount"])
    for one in extra[: 1 if len(sums) > 1 else 2]:
        rate = next(iter(sums), "20")
        sums[rate] = sums.get(rate, Decimal(0)) + Decimal(one["amount"]) * (1 if one["charge"] else -1)
    taxes = [
        {"rate": rate, "base": f"{base:.2f}", "amount": f"{base * Decimal(rate) / 100:.2f}"}
        for rate, base in sums.items()
    ]
    tax = sum((Decimal(one["amount"]) for one in taxes), Decimal(0))
    total = sum(sums.values(), Decimal(0)) + tax
    made = plain() | {"lines": known or lines, "taxes": taxes, "adjustments": extra[: 1 if len(sums) > 1 else 2]}
    made["totals"] = {"total": f"{total:.2f}", "paid": paid, "balance": f"{total - Decimal(paid):.2f}"}
    return read_document(json.dumps(made).encode())


# -- codes


def test_the_codes_are_those_of_the_schematron() -> None:
    known = codes()
    assert known.countries == code_list(7)
    assert known.units == code_list(8)
    assert known.endpoints == code_list(17)
    assert known.currencies == code_list(24)
    assert known.exemptions == code_list(26)
    assert (known.allowances, known.charges) == (code_list(29), code_list(30))
    assert set(CATEGORIES) == code_list(10)
    assert {*MEANS.values(), TRANSFER, ONLINE} <= code_list(25)
    assert set(known.words.values()) <= known.units


@pytest.mark.parametrize(
    ("unit", "code"),
    [("oră", "HUR"), ("Ore", "HUR"), ("час", "HUR"), ("шт", "H87"), ("buc.", "H87"), ("kg", "KGM"), ("m³", "MTQ"),
     ("mc", "MTQ"), ("MC", "ZZ"), ("", "C62"), ("C62", "C62"), ("XPP", "XPP"), ("lună", "MON"), ("Set", "SET")],
)  # fmt: skip
def test_a_units_word_has_its_code(unit: str, code: str) -> None:
    assert unit_code(unit) == code
