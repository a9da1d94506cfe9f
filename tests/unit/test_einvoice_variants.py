"""E-invoices of every profile, syntax, spelling and encoding, as `einvoice_written` makes them: each is read as it is.

What is written is right by construction, so each must have exactly its facts (by the oracle, and by the numbers that
went in), and be storable as it was read. Spellings that mean the same read the same; what cannot be is refused.
"""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.outbound.documents import read_document
from gateway.outbound.einvoice import explain_einvoice
from tests.unit.einvoice_oracle import facts, facts_of
from tests.unit.einvoice_written import EN, PROFILES, RATES, Made, money, write


@st.composite
def invoices(draw: st.DrawFn) -> Made:
    syntax = draw(st.sampled_from(["CII", "UBL"]))
    sign = draw(st.sampled_from([1, 1, -1]))
    lines = []
    for _ in range(draw(st.integers(1, 5))):
        code = draw(st.sampled_from(sorted(RATES)))
        rate = draw(st.sampled_from(RATES[code]))
        lines.append((sign * draw(st.integers(0, 10**8)), code, rate))
    made = Made(
        syntax=syntax,
        profile=draw(st.sampled_from(PROFILES[syntax])),
        code=draw(st.sampled_from(["380", "381", "384", "386", "389", "326"])),
        currency=draw(st.sampled_from(["EUR", "MDL", "RON", "UAH", "SEK"])),
        lines=tuple(lines),
        discount=draw(st.sampled_from([0, 1, 100, 12345])),
        charge=draw(st.sampled_from([0, 3, 7000])),
        paid=draw(st.sampled_from([0, 500, 10**9])),
        rounding=draw(st.sampled_from([0, 0, -2, 40])),
        tax_currency=draw(st.sampled_from(["", "USD", "GBP"])),
        name=draw(st.sampled_from(["A & B <GmbH>", "Șerban SRL", "ООО «Днестр»"])),
    )
    if made.minimum:
        return replace(made, rounding=0, paid=0, discount=0, charge=0)
    return replace(made, rounding=0) if made.bare else made


@given(invoices())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_right_is_read_as_it_is_written(made: Made) -> None:
    data = write(made).encode()
    reading = explain_einvoice(data)
    assert reading.errors == (), made
    document = reading.document
    assert document is not None and document.totals is not None
    assert facts_of(document) == facts(data)
    for name, cents in made.sums().items():
        if getattr(document.totals, name):
            assert Decimal(getattr(document.totals, name)) == Decimal(cents).scaleb(-2), name
    assert document.seller and document.seller.name == made.name
    assert document.type == ("credit_note" if made.code == "381" else "invoice")
    assert read_document(document.canonical()) == document


@given(invoices(), st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_sum_of_a_strict_invoice_can_be_moved_by_a_cent(made: Made, data: st.DataObject) -> None:
    if not made.profile.startswith(EN) or "extended" in made.profile:
        return
    text = write(made)
    tags = ("LineTotalAmount", "TaxBasisTotalAmount", "GrandTotalAmount", "DuePayableAmount")
    ubl = ("LineExtensionAmount", "TaxExclusiveAmount", "TaxInclusiveAmount", "PayableAmount")
    tag = data.draw(st.sampled_from(tags if made.syntax == "CII" else ubl))
    end = text.rindex(f"</{'ram' if made.syntax == 'CII' else 'cbc'}:{tag}>")
    start = text.rindex(">", 0, end) + 1
    cents = int(Decimal(text[start:end]).scaleb(2)) + data.draw(st.sampled_from([-1, 1, 1000]))
    reading = explain_einvoice((text[:start] + money(cents) + text[end:]).encode())
    assert reading.document is None
    assert all("/" in message for _, message in reading.errors), reading.errors


SAMPLE = {
    syntax: Made(
        syntax, EN, "380", "EUR", ((10000, "S", "19"), (5000, "E", "0")), discount=1000, charge=50, paid=100,
        name="Mobel und Sohne",
    )
    for syntax in ("CII", "UBL")
}  # fmt: skip


def spellings(text: str) -> dict[str, bytes]:
    """The same XML, written otherwise."""
    prefixes = {"cac:": "x1:", "cbc:": "x2:", "ram:": "x1:", "udt:": "x2:", "rsm:": "x3:"}
    renamed = text
    for old, new in prefixes.items():
        renamed = renamed.replace(old, new).replace(f"xmlns:{old[:-1]}=", f"xmlns:{new[:-1]}=")
    head = '<?xml version="1.0" encoding="{}"?>\n'
    odd = "<!-- <!DOCTYPE> --><?target data?>" + text.replace("R-1", "R<!-- in the middle -->-<![CDATA[1]]>")
    return {
        "other prefixes": renamed.encode(),
        "comments, CDATA and instructions": odd.encode(),
        "utf-8": (head.format("UTF-8") + text).encode(),
        "utf-8 with a mark": b"\xef\xbb\xbf" + (head.format("utf-8") + text).encode(),
        "utf-16": (head.format("UTF-16") + text).encode("utf-16"),
        "latin-1": (head.format("ISO-8859-1") + text).encode("latin-1"),
        "cyrillic": (head.format("windows-1251") + text).encode("cp1251"),
        "spaces around": b"\n " + text.replace("><", ">\n\t<").encode() + b"\n",
        "entities of the standard": text.replace("Mobel", "&#77;obe&#x6C;").encode(),
    }


@pytest.mark.parametrize("syntax", ["CII", "UBL"])
def test_spellings_that_mean_the_same_read_the_same(syntax: str) -> None:
    plain = explain_einvoice(write(SAMPLE[syntax]).encode())
    assert plain.document is not None
    for name, data in spellings(write(SAMPLE[syntax])).items():
        assert explain_einvoice(data) == plain, name


@pytest.mark.parametrize("written", ["2026-11-24Z", "2026-11-24+02:00", " 2026-11-24 ", "2026-11-24-05:00"])
def test_a_date_with_a_time_zone_is_that_day(written: str) -> None:
    reading = explain_einvoice(write(SAMPLE["UBL"]).replace("2026-11-24", written).encode())
    assert reading.document is not None
    assert reading.document.issue_date == "2026-11-24"


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("610", "202611"),
        ("616", "202647"),
        ("203", "202611241200"),
        ("102", "2026-11-4"),
        ("", "24.11.26"),
        ("102", "20260230"),
    ],
)
def test_a_date_in_another_form_is_refused_with_the_right_one(form: str, written: str) -> None:
    text = write(SAMPLE["CII"]).replace('format="102">20261124', f'format="{form}">{written}')
    reading = explain_einvoice(text.encode())
    assert reading.document is None
    ((field, message),) = reading.errors
    assert field == "issue_date"
    assert "20261231" in message or "2026-12-31" in message


@pytest.mark.parametrize(
    "written", ["1e2", "1,234.00", "1.234,00", "1 234.00", "NaN", "INF", "0x10", "--5", "12.", "", "٣"]
)
@pytest.mark.parametrize("syntax", ["CII", "UBL"])
def test_an_amount_that_is_no_decimal_is_refused_and_never_guessed(syntax: str, written: str) -> None:
    tag = "ram:GrandTotalAmount" if syntax == "CII" else 'cbc:TaxInclusiveAmount currencyID="EUR"'
    text = write(SAMPLE[syntax])
    start = text.index(f"<{tag}>") + len(tag) + 2
    end = text.index("<", start)
    reading = explain_einvoice((text[:start] + written + text[end:]).encode())
    assert reading.document is None
    assert dict(reading.errors)["totals.total"]


@pytest.mark.parametrize(
    ("written", "digits"), [("+157.70", "157.70"), ("0157.700000000", "157.700000"), ("157.7", "157.7")]
)
def test_a_decimal_may_have_a_plus_and_zeros(written: str, digits: str) -> None:
    text = write(SAMPLE["CII"]).replace("GrandTotalAmount>157.70<", f"GrandTotalAmount>{written}<")
    reading = explain_einvoice(text.encode())
    assert reading.document and reading.document.totals
    assert reading.document.totals.total == digits


# -- limits


def many_lines(count: int, name: str = "Item") -> bytes:
    return (
        write(replace(SAMPLE["UBL"], lines=((100, "S", "19"),) * count))
        .replace("<cbc:Name>Item", f"<cbc:Name>{name}")
        .encode()
    )


def test_a_thousand_lines_are_read_and_more_are_refused_with_their_number() -> None:
    reading = explain_einvoice(many_lines(1000, "x" * 2000))
    assert reading.document is not None
    assert len(reading.document.lines) == 1000
    assert read_document(reading.document.canonical()) == reading.document  # as it will be when it is rendered
    assert "has 1001 items; at most 1000" in dict(explain_einvoice(many_lines(1001)).errors)["lines"]
    assert "has 10000 items" in dict(explain_einvoice(many_lines(10_000)).errors)["lines"]


def test_what_could_not_be_stored_is_refused_before() -> None:
    reading = explain_einvoice(many_lines(1000, "ș" * 3900))
    assert reading.document is None
    assert "at most 4194304 are taken, besides its files" in dict(reading.errors)[""]


def test_the_first_files_inside_travel_by_themselves_and_the_rest_is_listed() -> None:
    one = "<cac:AdditionalDocumentReference><cbc:ID>{0}</cbc:ID><cac:Attachment><cbc:EmbeddedDocumentBinaryObject "
    one += 'mimeCode="application/pdf" filename="{0}.pdf">QUJD</cbc:EmbeddedDocumentBinaryObject></cac:Attachment>'
    one += "</cac:AdditionalDocumentReference>"
    files = "".join(one.format(f"{number}" * 150) for number in range(10, 40))
    text = write(SAMPLE["UBL"]).replace("<cac:AccountingSupplierParty>", files + "<cac:AccountingSupplierParty>")
    reading = explain_einvoice(text.encode())
    assert reading.document is not None
    assert len(reading.document.files) == 19
    assert all(len(file.filename) <= 255 for file in reading.document.files)
    assert sum("EmbeddedDocumentBinaryObject" in path for path in reading.lost) == 11


@pytest.mark.parametrize("code", ["1A", "XK", "XI", "GR"])
def test_countries_that_the_standard_has_are_countries(code: str) -> None:
    reading = explain_einvoice(
        write(SAMPLE["UBL"]).replace("IdentificationCode>RO<", f"IdentificationCode>{code}<").encode()
    )
    assert reading.document and reading.document.seller and reading.document.seller.address
    assert reading.document.seller.address.country == code.replace("1A", "XK")


def test_what_includes_another_document_includes_nothing() -> None:
    include = (
        '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text">x</xi:include>'
    )
    text = write(SAMPLE["UBL"]).replace("<cbc:IssueDate>", include + "<cbc:IssueDate>", 1)
    reading = explain_einvoice(text.encode())
    assert reading.document is not None
    assert reading.document.notes == ""
    assert any("XInclude}include" in path for path in reading.lost)
