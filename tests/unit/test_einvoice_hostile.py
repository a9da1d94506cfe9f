"""Hostile e-invoices: bombs, depth, encodings, mutations. A refusal in words or a right document, and nothing else."""

import random
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.outbound.documents import read_document
from gateway.outbound.einvoice import Reading, explain_einvoice
from gateway.outbound.einvoice.xml import MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS
from tests.unit.einvoice_oracle import facts, facts_of

SAMPLES = Path(__file__).parents[1] / "corpus" / "einvoices"
UBL = (SAMPLES / "ubl_invoice.xml").read_text()
CII = (SAMPLES / "cii_invoice.xml").read_text()
ROOT = "<Invoice xmlns='urn:oasis:names:specification:ubl:schema:xsd:Invoice-2'>"


def refused(data: bytes) -> str:
    reading = explain_einvoice(data)
    assert reading.document is None
    return reading.errors[0][1]


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE Invoice>",
        "<!DOCTYPE Invoice SYSTEM 'file:///etc/passwd'>",
        "<!DOCTYPE Invoice [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>",
        "<!DOCTYPE Invoice [<!ENTITY % p SYSTEM 'http://127.0.0.1/x'> %p;]>",
    ],
)
def test_a_doctype_is_refused_before_it_is_read(doctype: str) -> None:
    assert "has a DOCTYPE" in refused(f"{doctype}{ROOT}&b;</Invoice>".encode())


def test_an_entity_that_is_declared_nowhere_is_refused() -> None:
    assert "undefined entity" in refused(f"{ROOT}&a;</Invoice>".encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ROOT + "<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH + "</Invoice>", "levels deep"),
        (ROOT + "<a>" * 500_000, "levels deep"),
        (ROOT + "<a/>" * MAX_ELEMENTS + "</Invoice>", "elements"),
        (ROOT + "<a " + " ".join(f"b{n}=''" for n in range(MAX_ATTRIBUTES + 1)) + "/></Invoice>", "attributes"),
        (ROOT + f"<{'a' * 1000}/></Invoice>", "letters"),
        (ROOT + " " * MAX_BYTES, "bytes"),
    ],
    ids=["depth", "unclosed", "elements", "attributes", "name", "bytes"],
)
def test_more_than_an_invoice_needs_is_refused(data: str, words: str) -> None:
    assert words in refused(data.encode())


def test_a_large_attribute_and_a_large_text_cost_little() -> None:
    big = "x" * 4_000_000
    for data in (UBL.replace('name="Transfer bancar"', f'name="{big}"'), UBL.replace("Livrat", big)):
        reading = explain_einvoice(data.encode())
        assert reading.document is not None or reading.errors


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_an_invoice_reads_the_same_in_every_encoding_of_unicode(encoding: str) -> None:
    declared = {"utf-8-sig": "utf-8", "utf-16-le": "utf-16", "utf-16-be": "utf-16"}.get(encoding, encoding)
    bom = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(encoding, "")
    data = (bom + UBL.replace('encoding="UTF-8"', f'encoding="{declared}"')).encode(encoding)
    assert explain_einvoice(data) == explain_einvoice(UBL.encode())


@pytest.mark.parametrize(
    ("declared", "encoding", "words"),
    [
        ("UTF-8", "utf-16-le", "not well-formed"),  # says one thing and is another
        ("UTF-16", "utf-8", "not well-formed"),
        ("UTF-8", "latin-1", "not well-formed"),
        ("UTF-8", "utf-32", "not well-formed"),
        ("klingon", "utf-8", "encoding that the XML declares is unknown"),
        ("rot13", "utf-8", "encoding that the XML declares is unknown"),
        ("gb18030", "utf-8", "cannot be read: multi-byte encodings are not supported"),
    ],
)
def test_a_wrong_encoding_is_refused_in_words(declared: str, encoding: str, words: str) -> None:
    text = CII.replace('encoding="UTF-8"', f'encoding="{declared}"')
    data = text.encode(encoding)
    if encoding.startswith("utf"):
        assert words in refused(data) or encoding == "utf-16-le"
    else:
        assert words in refused(data)
    assert isinstance(explain_einvoice(data), Reading)


def test_control_characters_and_bidi_overrides_are_refused() -> None:
    assert "U+202E" in refused(UBL.replace("Lacul Mare", "Lacul \u202eeraM").encode())
    assert "not well-formed" in refused(UBL.replace("Lacul Mare", "Lacul \x00").encode())


# -- mutations: whatever is accepted says what the XML says


def places(root: ET.Element) -> list[tuple[ET.Element, ET.Element]]:
    return [(parent, child) for parent in root.iter() for child in parent]


TEXTS = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1e5",
        "NaN",
        "12.345",
        "1,5",
        "9" * 40,
        "20261131",
        "2026-11-05",
        "S",
        "EUR",
        "true",
        "x" * 400,
        "<&>",
    ]
)


@given(st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_mutated_invoice_is_refused_or_says_what_its_xml_says(data: st.DataObject) -> None:
    root = ET.fromstring(data.draw(st.sampled_from([UBL, CII])))
    for _ in range(data.draw(st.integers(1, 3))):
        parent, child = data.draw(st.sampled_from(places(root)))
        kind = data.draw(st.sampled_from(["remove", "text", "double", "attribute"]))
        if kind == "remove":
            parent.remove(child)
        elif kind == "text":
            child.text = data.draw(TEXTS | st.text(max_size=10).filter(lambda text: text.isprintable()))
        elif kind == "double":
            parent.append(child)
        else:
            child.set(data.draw(st.sampled_from(["currencyID", "schemeID", "format", "unitCode"])), data.draw(TEXTS))
    mutated = ET.tostring(root, encoding="utf-8")
    reading = explain_einvoice(mutated)
    if reading.document is None:
        assert reading.errors
        assert all("\n" not in message and len(message) < 1000 for _, message in reading.errors)
        return
    assert read_document(reading.document.canonical()) == reading.document  # it can be stored, and rendered later
    told, said = facts(mutated), facts_of(reading.document)
    for name in ("number", "currency", "seller", "customer", "lines", "net", "total", "balance", "issue_date"):
        assert said[name] == told[name], name


@given(st.integers(0, 2**32), st.sampled_from([UBL, CII]))
@settings(max_examples=200, deadline=None)
def test_broken_bytes_never_raise(seed: int, text: str) -> None:
    rnd, raw = random.Random(seed), text.encode()
    for _ in range(rnd.randint(1, 6)):
        at = rnd.randrange(len(raw))
        put = rnd.choice(
            [b"", b"\x00", b"\xff\xfe", b"<", b"</", b"]]>", b"<![CDATA[", b"&#0;", b"&lt;", rnd.randbytes(8)]
        )
        raw = raw[:at] + put + raw[at + rnd.randint(0, 200) :]
    reading = explain_einvoice(raw)
    assert reading.document is not None or reading.errors
