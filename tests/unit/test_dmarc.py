"""DMARC: what a record says, where the organisation's domain is, and which policy holds."""

import pytest

from gateway.mail.dmarc import DmarcRecord, organisation, policy_of, read_dmarc, walk


def test_a_record_is_read_leniently_and_only_one_counts() -> None:
    assert read_dmarc(["v=DMARC1; p=Reject; sp=none; adkim=s; zz=1"]) == DmarcRecord("reject", "none", True, False, "u")
    assert read_dmarc(["v=spf1 -all", "v=DMARC1; p=quarantine; psd=n"]) == DmarcRecord("quarantine", psd="n")
    assert read_dmarc(["v=DMARC1; p=burn; sp=burn; psd=x"]) == DmarcRecord()
    assert read_dmarc(["v=DMARC1; p=none", "v=DMARC1; p=reject"]) is None
    assert read_dmarc([]) is None and read_dmarc(["v=DMARC2; p=none"]) is None


def test_the_walk_asks_at_most_eight_names() -> None:
    assert walk("mail.acme.md") == ["mail.acme.md", "acme.md", "md"]
    long = walk("a.b.c.d.e.f.g.h.i.acme.md")
    assert len(long) == 8 and long[:2] == ["a.b.c.d.e.f.g.h.i.acme.md", "f.g.h.i.acme.md".replace("f.", "e.f.", 1)]
    assert long[-1] == "md"


@pytest.mark.parametrize(
    ("records", "organisation_of"),
    [
        ({"acme.md": DmarcRecord("reject")}, "acme.md"),
        ({}, "billing.acme.md"),
        ({"billing.acme.md": DmarcRecord("none"), "acme.md": DmarcRecord("none")}, "acme.md"),
        ({"billing.acme.md": DmarcRecord("none", psd="n"), "acme.md": DmarcRecord("none")}, "billing.acme.md"),
        ({"md": DmarcRecord("none", psd="y")}, "acme.md"),
    ],
)
def test_the_organisation_is_where_the_walk_ends(records: dict[str, DmarcRecord], organisation_of: str) -> None:
    assert organisation("billing.acme.md", records) == organisation_of


def test_a_domain_without_a_record_has_the_policy_for_subdomains_of_its_organisation() -> None:
    top = DmarcRecord("reject", "quarantine")
    assert policy_of("acme.md", {"acme.md": top}) == (top, "reject")
    assert policy_of("billing.acme.md", {"acme.md": top}) == (top, "quarantine")
    bare = DmarcRecord("reject")
    assert policy_of("billing.acme.md", {"acme.md": bare}) == (bare, "reject")
    assert policy_of("acme.md", {}) is None
