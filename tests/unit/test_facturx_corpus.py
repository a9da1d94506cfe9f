"""E-invoices that others published, written again as Factur-X: valid, with the same facts, or refused in words.

The corpus lies where AR_SHARED points, or in ../shared beside the checkout; without it these tests are skipped by name.
"""

import os
from collections import Counter
from pathlib import Path

import pytest
from unit.einvoice_oracle import facts_of
from unit.facturx_validator import complaints

from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.documents import Document
from gateway.outbound.einvoice import explain_einvoice
from gateway.outbound.einvoice.facturx import write_facturx

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("AR_SHARED") or ROOT.parent / "shared") / "corpus" / "invoices"
FILES = sorted(path for path in CORPUS.rglob("*") if path.suffix in (".xml", ".pdf"))
BRAND = Brand(company="Nobody")  # a seller is in each of them
# What a document has no place for, or has no code for any more: file, and what is said.
REFUSED = {
    "Innergemeinschaftliche_Lieferungen": "metadata.delivery_country is missing",
    "ElektronischeAdresse": 'customer.endpoint.scheme "9958" is not in the list EAS',
    "RechnungsUebertragung": 'customer.endpoint.scheme "9958" is not in the list EAS',
}

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not FILES, reason="the corpus of invoices is absent (AR_SHARED)"),
]


def test_every_invoice_that_is_read_is_written_as_valid_factur_x_or_refused_in_words() -> None:
    counted: Counter[str] = Counter()
    for path in FILES:
        document = explain_einvoice(path.read_bytes()).document
        if document is None:
            continue
        try:
            xml = write_facturx(document, BRAND)
        except Refused as refused:
            expected = next((words for name, words in REFUSED.items() if name in path.name), "none was expected")
            assert expected in refused.reply.text, f"{path.name}: {refused}"
            counted["refused"] += 1
            continue
        assert complaints(xml) == [], path.name
        read = explain_einvoice(xml)
        assert read.errors == () and read.document is not None, path.name
        assert _facts(read.document) == _facts(document), path.name
        counted["valid"] += 1
    print(f"\nFactur-X of {sum(counted.values())} invoices: {counted['valid']} valid, {counted['refused']} refused")
    assert counted["valid"] >= 75 and counted["refused"] <= 4


def _facts(document: Document) -> dict[str, object]:
    """The facts, with what a sum of nothing is: 0; category O has no rate (BR-O-05)."""
    found = facts_of(document)
    found |= {name: found[name] or 0 for name in ("discount", "charges", "tax", "paid", "rounding")}
    found["taxes"] = [one | ({"rate": None} if one["category"] == "O" else {}) for one in found["taxes"]]
    return found
