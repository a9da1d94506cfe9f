"""DANE: a chain is proved by the TLSA records that name it, and by nothing else; certificates are real ones."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from postroom.authority import Issued, issue

from gateway.outbound.dane import Proof, usable
from gateway.outbound.dns_questions import TlsaRecord

NOW = datetime.now(UTC)
NAMES = ("mx.example.com", "example.com")
ROOT = issue("Root", authority=True)
MIDDLE = issue("Middle", by=ROOT, authority=True)
LEAF = issue("mx.example.com", by=MIDDLE)
OTHER = issue("mx.example.com")


def record(usage: int, selector: int, matching: int, one: Issued) -> TlsaRecord:
    data = one.spki if selector else one.der
    digests = {1: hashlib.sha256, 2: hashlib.sha512}
    return TlsaRecord(usage, selector, matching, digests[matching](data).digest() if matching else data)


def judge(records: Sequence[TlsaRecord], *chain: Issued, names: tuple[str, ...] = NAMES, days: int = 0) -> str:
    """The type of the fault; "" when the chain is proved."""
    found = Proof(tuple(records), names, NOW + timedelta(days=days))([one.der for one in chain])
    return found[0] if found else ""


FORMS = [(selector, matching) for selector in (0, 1) for matching in (0, 1, 2)]


@pytest.mark.parametrize(("selector", "matching"), FORMS)
@pytest.mark.parametrize("usage", [2, 3])
def test_each_selector_and_matching_proves_what_it_names_and_nothing_else(
    usage: int, selector: int, matching: int
) -> None:
    right = record(usage, selector, matching, LEAF if usage == 3 else ROOT)
    wrong = record(usage, selector, matching, OTHER)
    assert judge([right], LEAF, MIDDLE, ROOT) == ""
    assert judge([wrong], LEAF, MIDDLE, ROOT) != ""
    assert judge([wrong, right], LEAF, MIDDLE, ROOT) == ""


@pytest.mark.parametrize(
    ("one", "is_usable"),
    [
        (TlsaRecord(0, 1, 1, b"x" * 32), False),
        (TlsaRecord(1, 1, 1, b"x" * 32), False),
        (TlsaRecord(3, 1, 1, b"x" * 32), True),
        (TlsaRecord(2, 0, 2, b"x" * 64), True),
        (TlsaRecord(3, 1, 1, b"x" * 31), False),
        (TlsaRecord(3, 1, 2, b"x" * 32), False),
        (TlsaRecord(3, 2, 1, b"x" * 32), False),
        (TlsaRecord(3, 1, 3, b"x" * 32), False),
        (TlsaRecord(4, 1, 1, b"x" * 32), False),
        (TlsaRecord(255, 0, 0, b"x"), False),
        (TlsaRecord(3, 0, 0, b""), False),
    ],
)
def test_records_that_smtp_cannot_use_are_not_used(one: TlsaRecord, is_usable: bool) -> None:
    assert usable(one) is is_usable


def test_of_an_end_entity_neither_name_nor_date_counts() -> None:
    odd = issue("elsewhere.test", begin=-20, end=-10)
    assert judge([record(3, 1, 1, odd)], odd) == ""


def test_an_end_entity_record_does_not_name_an_authority() -> None:
    assert judge([record(3, 0, 1, ROOT)], LEAF, MIDDLE, ROOT) != ""
    assert judge([record(2, 0, 1, OTHER)], LEAF, MIDDLE, OTHER) == "certificate-not-trusted"


def test_under_an_authority_the_name_must_fit() -> None:
    anchor = [record(2, 0, 1, ROOT)]
    chain = (MIDDLE, ROOT)
    assert judge(anchor, issue("example.com", by=MIDDLE), *chain) == ""
    assert judge(anchor, issue("*.example.com", by=MIDDLE), *chain) == ""
    assert judge(anchor, issue("elsewhere.test", by=MIDDLE), *chain) == "certificate-host-mismatch"
    assert judge(anchor, issue("*.com", by=MIDDLE), *chain, names=("mx.com.md",)) == "certificate-host-mismatch"
    assert judge(anchor, issue("*.md", by=MIDDLE), *chain, names=("mx.md",)) == "certificate-host-mismatch"
    assert judge(anchor, issue("*.example.com", by=MIDDLE), *chain, names=("a.b.example.com",)) != ""


def test_under_an_authority_the_dates_count() -> None:
    anchor = [record(2, 0, 1, ROOT)]
    assert judge(anchor, LEAF, MIDDLE, ROOT, days=40) == "certificate-expired"
    assert judge(anchor, LEAF, MIDDLE, ROOT, days=-5) == "certificate-expired"
    old = issue("Old", by=ROOT, authority=True, begin=-20, end=-10)
    assert judge(anchor, issue("mx.example.com", by=old), old, ROOT) == "certificate-expired"


def test_an_authority_that_stands_in_dns_whole_need_not_be_shown() -> None:
    assert judge([record(2, 0, 0, ROOT)], LEAF, MIDDLE) == ""
    assert judge([record(2, 0, 1, ROOT)], LEAF, MIDDLE) == "certificate-not-trusted"
    broken = TlsaRecord(2, 0, 0, b"no certificate")
    assert judge([broken, record(2, 0, 0, ROOT)], LEAF, MIDDLE) == ""


def test_an_authority_in_the_middle_is_enough() -> None:
    assert judge([record(2, 1, 1, MIDDLE)], LEAF, MIDDLE) == ""


def test_a_certificate_beside_the_chain_proves_nothing() -> None:
    mallory = issue("mx.example.com")
    assert judge([record(2, 0, 1, ROOT)], mallory, MIDDLE, ROOT) == "certificate-not-trusted"
    forged = issue("mx.example.com", by=Issued(MIDDLE.certificate, ec.generate_private_key(ec.SECP256R1())))
    assert judge([record(2, 0, 1, ROOT)], forged, MIDDLE, ROOT) == "certificate-not-trusted"


def test_a_server_s_certificate_issues_no_other() -> None:
    under = issue("mx.example.com", by=LEAF)
    assert judge([record(2, 0, 1, ROOT)], under, LEAF, MIDDLE, ROOT) == "certificate-not-trusted"


def test_a_path_length_and_a_key_usage_bind() -> None:
    short = issue("Short", authority=True, path_length=0)
    below = issue("Below", by=short, authority=True)
    assert judge([record(2, 0, 1, short)], issue("mx.example.com", by=short), short) == ""
    assert judge([record(2, 0, 1, short)], issue("mx.example.com", by=below), below, short) != ""
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    unfit = issue("Unfit", authority=True, more=((usage, True),))
    assert judge([record(2, 0, 1, unfit)], issue("mx.example.com", by=unfit), unfit) != ""


def test_an_extension_that_is_critical_and_not_understood_is_refused() -> None:
    names = x509.NameConstraints(permitted_subtrees=[x509.DNSName("elsewhere.test")], excluded_subtrees=None)
    bound = issue("Bound", authority=True, more=((names, True),))
    assert judge([record(2, 0, 1, bound)], issue("mx.example.com", by=bound), bound) == "validation-failure"


def test_a_certificate_for_something_else_is_no_server_s() -> None:
    use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    signer = issue("mx.example.com", by=ROOT, more=((use, False),))
    assert judge([record(2, 0, 1, ROOT)], signer, ROOT) == "validation-failure"


def test_chains_that_are_empty_long_knotted_or_garbage_end_in_words() -> None:
    anchor = [record(2, 0, 1, ROOT)]
    assert judge(anchor) == "validation-failure"
    assert judge(anchor, LEAF, *[MIDDLE] * 10) == "validation-failure"
    assert Proof(tuple(anchor), NAMES, NOW)([b"garbage", ROOT.der]) is not None
    assert Proof((record(3, 1, 1, LEAF),), NAMES, NOW)([b"garbage"]) is not None
    assert Proof(tuple(anchor), NAMES, NOW)([LEAF.der, b"garbage", MIDDLE.der, ROOT.der]) is None
    key = ec.generate_private_key(ec.SECP256R1())
    knot = [issue("Knot", authority=True, key=key) for _ in range(8)]  # each seems to have issued each
    leaf = issue("mx.example.com", by=knot[0])
    assert judge([record(2, 0, 1, ROOT)], leaf, *knot, ROOT) == "certificate-not-trusted"
