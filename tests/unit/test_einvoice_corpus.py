"""E-invoices that others published (not in this repository): each valid one is read as it is, each broken one refused.

The corpus lies where AR_SHARED points, or in ../shared beside the checkout; without it these tests are skipped by name.
"""

import os
from pathlib import Path

import pytest

from gateway.outbound.einvoice import explain_einvoice
from tests.unit.einvoice_oracle import facts, facts_of

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("AR_SHARED") or ROOT.parent / "shared") / "corpus" / "invoices"
FILES = sorted(path for path in CORPUS.rglob("*") if path.suffix in (".xml", ".pdf"))
VALID = [path for path in FILES if "not_validating" not in path.name]
BROKEN = [path for path in FILES if "not_validating" in path.name]

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not FILES, reason="the corpus of invoices is absent (AR_SHARED)"),
]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.name)
def test_a_valid_invoice_is_read_with_its_own_amounts_dates_parties_and_number(path: Path) -> None:
    data = path.read_bytes()
    reading = explain_einvoice(data)
    assert reading.errors == ()
    assert reading.document is not None
    assert facts_of(reading.document) == facts(data)
    assert reading.hybrid == (path.suffix == ".pdf")


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.name)
def test_a_broken_invoice_is_refused_with_the_field(path: Path) -> None:
    reading = explain_einvoice(path.read_bytes())
    assert reading.document is None
    assert reading.errors
    assert all(field and "/" in message for field, message in reading.errors)
