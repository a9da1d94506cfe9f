"""What is said of a domain's DNS: every mistake that is made with DKIM, SPF, DMARC, MX, PTR, MTA-STS and BIMI records.

The zone is a table; the judges are the real ones, fed by `dns_answers.look` as DNS would.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from gateway.outbound.dns_answers import MOST_QUESTIONS, POLICY, Answer, Asker, Seen, is_reserved, look
from gateway.outbound.domain_check import House, check_author_domain
from gateway.outbound.domain_watch import DAILY, HOURLY, SOON, interval, say
from gateway.outbound.findings import Check, Finding, read_check, sort
from gateway.outbound.house_check import check_house
from gateway.outbound.signing import ED25519, RSA, generate_key, public_record
from gateway.outbound.spf import evaluate
from gateway.store.domains import StoredDomain, StoredKey

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUSE = House("mail.gw.md", "mail.gw.md", "gw.md", "return.gw.md", "inbox.gw.md")
ADDRESS = "192.0.2.10"
Zone = dict[tuple[str, str], list[str]]


@cache
def key(selector: str, algorithm: str = RSA, state: str = "active") -> StoredKey:
    """A key of acme.md."""
    return StoredKey("acme.md", selector, algorithm, public_record(generate_key(algorithm)), state)


KEYS = (key("s1"), key("s2", ED25519))


def good() -> Zone:
    """A zone in which everything is right."""
    zone: Zone = {(f"{one.selector}._domainkey.acme.md", "TXT"): [one.public_record] for one in KEYS}
    zone |= {
        ("mail.gw.md", "A"): [ADDRESS],
        (ADDRESS, "PTR"): ["mail.gw.md"],
        ("acme.md", "TXT"): ["v=spf1 a:mail.gw.md -all", "google-site-verification=x"],
        ("_dmarc.acme.md", "TXT"): ["v=DMARC1; p=reject; rua=mailto:dmarc@acme.md"],
        ("return.gw.md", "MX"): ["10 mail.gw.md"],
        ("return.gw.md", "TXT"): ["v=spf1 a:mail.gw.md -all"],
        ("inbox.gw.md", "MX"): ["10 mail.gw.md"],
        ("_mta-sts.inbox.gw.md", "TXT"): ["v=STSv1; id=20261124"],
        ("inbox.gw.md", POLICY): ["version: STSv1\nmode: enforce\nmx: mail.gw.md\nmax_age: 604800\n"],
        ("_smtp._tls.inbox.gw.md", "TXT"): ["v=TLSRPTv1; rua=mailto:tls@gw.md"],
    }
    return zone


def answers(zone: Zone, silent: tuple[str, ...] = ()):
    """DNS that has this zone and does not answer for `silent` names."""

    async def ask(name: str, kind: str) -> Answer:
        if name in silent:
            return Answer(words="no answer within 20 s")
        return Answer(tuple(zone.get((name, kind), ())), exists=any(owner == name for owner, _ in zone))

    return ask


def judged(zone: Zone, *, keys=KEYS, silent: tuple[str, ...] = (), authors: tuple[str, ...] = ("f@acme.md",)) -> Check:
    """What is said of acme.md."""
    return asyncio.run(
        look(answers(zone, silent), lambda seen: check_author_domain(seen, HOUSE, "acme.md", keys, authors))
    )


def house(zone: Zone, of: House = HOUSE) -> dict[str, Finding]:
    """What is said of the gateway's own names, by code."""
    return {one.code: one for one in asyncio.run(look(answers(zone), lambda seen: check_house(seen, of)))}


def codes(made: Check) -> dict[str, str]:
    """code → severity."""
    return {one.code: one.severity for one in made.findings}


def test_a_zone_that_is_right_has_no_findings() -> None:
    made = judged(good())
    assert (made.findings, made.aligned, made.state) == ((), True, "ok")
    assert made.seen == ("s1", "s2")
    assert house(good()) == {}


RECORD = KEYS[0].public_record
NAME = ("s1._domainkey.acme.md", "TXT")


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ([], "dkim-missing"),
        ([RECORD[:255]], "dkim-cut"),
        ([RECORD[:255], RECORD[255:]], "dkim-split"),
        ([RECORD, "v=DKIM1; k=rsa; p=MIIBother"], "dkim-several"),
        ([f'"{RECORD[:255]}" "{RECORD[255:]}"'], "dkim-quotes"),
        ([RECORD.replace(";", "\\;")], "dkim-quotes"),
        ([KEYS[1].public_record], "dkim-swapped"),
        (["v=DKIM1; k=rsa; p=MIIBother"], "dkim-other-key"),
        (["v=DKIM1; k=rsa; p="], "dkim-revoked"),
        ([RECORD.replace("DKIM1", "DKIM2")], "dkim-syntax"),
        ([RECORD.replace("k=rsa", "k=ed25519")], "dkim-syntax"),
        ([RECORD + "; h=sha1"], "dkim-syntax"),
        ([RECORD + "; s=tlsrpt"], "dkim-syntax"),
        ([RECORD[255:]], "dkim-cut"),
    ],
)
def test_a_dkim_record_that_is_not_our_key_makes_mail_unaligned(texts: list[str], code: str) -> None:
    zone = good() | {NAME: texts}
    made = judged(zone)
    assert codes(made) == {code: "error"}
    assert made.aligned is False
    assert "s1" not in made.seen
    (finding,) = made.findings
    assert finding.words
    assert finding.todo


@pytest.mark.parametrize(
    "text", [RECORD.replace("; ", ";"), RECORD.replace("p=", "p= ").replace("AQ", "AQ "), RECORD + ";"]
)
def test_blanks_that_the_standard_allows_are_no_fault(text: str) -> None:
    made = judged(good() | {NAME: [text, "unrelated"]})
    assert (codes(made), made.aligned) == ({}, True)


def test_a_name_with_the_domain_twice_is_recognised() -> None:
    zone = good() | {NAME: [], ("s1._domainkey.acme.md.acme.md", "TXT"): [RECORD]}
    (finding,) = judged(zone).findings
    assert finding.code == "dkim-doubled"
    assert "without acme.md" in finding.todo


def test_a_missing_ed25519_record_is_a_warning_and_a_missing_rsa_record_an_error() -> None:
    zone = good()
    del zone["s2._domainkey.acme.md", "TXT"]
    assert (codes(judged(zone)), judged(zone).aligned) == ({"dkim-missing": "warning"}, True)
    assert judged(zone, keys=KEYS[1:]).aligned is False, "it is the only key there is"


def test_a_test_flag_is_a_warning() -> None:
    assert codes(judged(good() | {NAME: [RECORD + "; t=y"]})) == {"dkim-testing": "warning"}


def test_a_pending_key_that_is_missing_is_a_hint_and_no_reason_to_be_unaligned() -> None:
    made = judged(good(), keys=(*KEYS, key("s3", RSA, "pending")))
    assert (codes(made), made.aligned) == ({"dkim-missing": "hint"}, True)


def test_a_domain_without_a_key_cannot_be_aligned() -> None:
    made = judged(good(), keys=())
    assert (codes(made)["dkim-no-key"], made.aligned) == ("error", False)


def test_silence_of_dns_is_held_against_nobody() -> None:
    made = judged(good(), silent=("s1._domainkey.acme.md", "acme.md", "_dmarc.acme.md"))
    assert made.aligned is None
    assert set(codes(made).values()) == {"unknown"}


SPF = ("acme.md", "TXT")


@pytest.mark.parametrize(
    ("record", "more", "wanted"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", {}, set()),
        ("v=spf1 include:_spf.x.md ~all", {("_spf.x.md", "TXT"): ["v=spf1 a:mail.gw.md -all"]}, set()),
        ("v=spf1 redirect=_spf.x.md", {("_spf.x.md", "TXT"): ["v=spf1 mx:return.gw.md -all"]}, set()),
        ("v=spf1 exists:%{i}._e.acme.md -all", {("192.0.2.10._e.acme.md", "A"): ["127.0.0.2"]}, set()),
        ("v=spf1 exists:%{ir}.%{v}._e.%{d2} -all", {("10.2.0.192.in-addr._e.acme.md", "A"): ["127.0.0.2"]}, set()),
        ("v=spf1 a:mail.gw.md/24 -all", {}, set()),
        ("v=spf1 ip4:203.0.113.1 -all", {}, {"spf-not-us"}),
        ("v=spf1 ip4:203.0.113.1 ?all", {}, {"spf-not-us"}),
        ("v=spf1 -a:mail.gw.md ~all", {}, {"spf-not-us"}),
        ("v=spf1 +all", {}, {"spf-open"}),
        ("v=spf1 all", {}, {"spf-open"}),
        ("v=spf1 include:none.md -all", {}, {"spf-include"}),
        ("v=spf1 includ:x.md -all", {}, {"spf-syntax"}),
        ("v=spf1 ip4:192.0.2.300 -all", {}, {"spf-syntax"}),
        ("v=spf1 ptr a:mail.gw.md -all", {}, {"spf-ptr"}),
        ("v=spf1 a:v1.md a:v2.md a:v3.md a:mail.gw.md -all", {}, {"spf-void"}),
        (" ".join(["v=spf1", *(["a:mail.other.md"] * 11), "a:mail.gw.md -all"]),
         {("mail.other.md", "A"): ["203.0.113.9"]}, {"spf-lookups"}),
        ("v=spf1 include:acme.md -all", {}, {"spf-lookups"}),
    ],
)  # fmt: skip
def test_spf_is_judged_as_receivers_do(record: str, more: Zone, wanted: set[str]) -> None:
    made = judged(good() | {SPF: [record]} | more)
    found = {one.code for one in made.findings}
    assert found - {"spf-lookups"} == wanted - {"spf-lookups"}
    if "include:acme.md" not in record:
        assert found == wanted
    assert made.aligned is True, "the return path is ours: SPF of a tenant's domain never aligns"


def test_an_include_that_goes_round_in_a_circle_ends() -> None:
    zone = good() | {SPF: ["v=spf1 include:b.md -all"], ("b.md", "TXT"): ["v=spf1 include:acme.md -all"]}

    async def run() -> str:
        return await look(answers(zone), lambda seen: evaluate(seen, "acme.md", ADDRESS).result)

    assert asyncio.run(run()) == "permerror"


def test_several_spf_records_and_none_are_told() -> None:
    assert codes(judged(good() | {SPF: ["v=spf1 -all", "v=spf1 +mx -all"]})) == {"spf-several": "warning"}
    assert codes(judged(good() | {SPF: ["v=spf10 -all"]})) == {"spf-missing": "warning"}


def test_the_lookups_of_all_includes_are_counted() -> None:
    zone = good() | {SPF: ["v=spf1 a:mail.gw.md include:i0.md include:i1.md include:i2.md -all"]}
    for n in range(3):
        zone[f"i{n}.md", "TXT"] = ["v=spf1 a:h.md a:h.md mx:h.md -all"]
    (finding,) = judged(zone).findings
    assert (finding.code, "13 questions" in finding.words) == ("spf-lookups", True), "though our address matches first"


DMARC = ("_dmarc.acme.md", "TXT")


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ([], {"dmarc-missing": "warning"}),
        (["v=DMARC1; p=none"], {"dmarc-none": "hint", "dmarc-no-reports": "hint"}),
        (["v=DMARC1 p=none"], {"dmarc-syntax": "warning"}),
        (["v=DMARC1; p=rejct; rua=mailto:a@acme.md"], {"dmarc-syntax": "warning"}),
        (["v=DMARC1; rua=mailto:a@acme.md"], {"dmarc-syntax": "warning"}),
        (["v=DMARC1; p=reject; pct=1000; rua=mailto:a@acme.md"], {"dmarc-syntax": "warning"}),
        (["v=DMARC1; p=reject; rua=a@acme.md"], {"dmarc-rua": "warning"}),
        (["v=DMARC1; p=reject", "v=DMARC1; p=none"], {"dmarc-several": "warning"}),
    ],
)
def test_dmarc_is_judged(texts: list[str], wanted: dict[str, str]) -> None:
    assert codes(judged(good() | {DMARC: texts})) == wanted


def test_strict_alignment_is_an_error_for_authors_below_the_domain_only() -> None:
    zone = good() | {DMARC: ["v=DMARC1; p=reject; adkim=s; rua=mailto:a@acme.md"]}
    assert codes(judged(zone)) == {}
    assert codes(judged(zone, authors=("f@acme.md", "f@ro.acme.md"))) == {"dmarc-strict": "error"}


@pytest.mark.parametrize(
    ("record", "policy", "wanted"),
    [
        ("v=BIMI1; l=https://acme.md/logo.svg; a=https://acme.md/vmc.pem", "reject", set()),
        ("v=BIMI1; l=https://acme.md/logo.svg;", "reject", {"bimi-certificate"}),
        ("v=BIMI1; l=http://acme.md/logo.png; a=x", "reject", {"bimi-logo"}),
        ("v=BIMI1; l=https://acme.md/logo.svg; a=x", "none", {"bimi-dmarc", "dmarc-none"}),
    ],
)
def test_bimi_is_judged_when_there_is_a_record(record: str, policy: str, wanted: set[str]) -> None:
    zone = good() | {("default._bimi.acme.md", "TXT"): [record]}
    zone[DMARC] = [f"v=DMARC1; p={policy}; rua=mailto:a@acme.md"]
    assert codes(judged(zone)).keys() == wanted


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({("return.gw.md", "MX"): []}, "mx-missing", "error"),
        ({("inbox.gw.md", "MX"): ["0 "]}, "mx-null", "error"),
        ({("inbox.gw.md", "MX"): ["10 mx.other.md"]}, "mx-other", "error"),
        ({("inbox.gw.md", "MX"): ["10 mail.gw.md", "20 mx.other.md"]}, "mx-beside", "warning"),
        ({("return.gw.md", "TXT"): []}, "spf-missing", "error"),
        ({("return.gw.md", "TXT"): ["v=spf1 mx:other.md -all"]}, "spf-not-us", "error"),
        ({("mail.gw.md", "A"): []}, "address-missing", "error"),
        ({("mail.gw.md", "A"): ["10.0.0.5"]}, "address-inner", "warning"),
        ({(ADDRESS, "PTR"): []}, "ptr-missing", "error"),
        ({(ADDRESS, "PTR"): ["host.isp.md"]}, "ptr-unconfirmed", "error"),
        ({(ADDRESS, "PTR"): ["host.isp.md"], ("host.isp.md", "A"): [ADDRESS]}, "ptr-other", "warning"),
        ({("_mta-sts.inbox.gw.md", "TXT"): []}, "sts-missing", "hint"),
        ({("_mta-sts.inbox.gw.md", "TXT"): ["v=STSv1; id=!"]}, "sts-syntax", "warning"),
        ({("inbox.gw.md", POLICY): ["! nobody answers"]}, "sts-policy", "warning"),
        ({("inbox.gw.md", POLICY): ["version: STSv1\nmode: enforce\nmx: x.md\nmax_age: 9\n"]}, "sts-mx", "error"),
        ({("_smtp._tls.inbox.gw.md", "TXT"): []}, "tlsrpt-missing", "hint"),
        ({("_smtp._tls.inbox.gw.md", "TXT"): ["v=TLSRPTv1; rua=tls@gw.md"]}, "tlsrpt-syntax", "warning"),
    ],
)
def test_our_own_names_are_judged(change: Zone, code: str, severity: str) -> None:
    found = house(good() | change)
    assert found[code].severity == severity


def test_behind_a_relay_nobody_sees_our_address() -> None:
    relayed = House("mail.gw.md", "mail.gw.md", "gw.md", "return.gw.md", "inbox.gw.md", relay="smtp.isp.md")
    zone = good() | {(ADDRESS, "PTR"): [], ("smtp.isp.md", "A"): ["203.0.113.7"]}
    assert {code: one.severity for code, one in house(zone, relayed).items()} == {"spf-not-us": "hint"}


def test_the_shared_domain_must_have_dmarc_that_passes() -> None:
    shared = StoredKey("gw.md", "s1", RSA, RECORD, "active")
    zone = {
        ("s1._domainkey.gw.md", "TXT"): [RECORD],
        ("gw.md", "TXT"): ["v=spf1 a:mail.gw.md -all"],
        ("mail.gw.md", "A"): [ADDRESS],
    }

    def said() -> dict[str, str]:
        return codes(
            asyncio.run(look(answers(zone), lambda seen: check_author_domain(seen, HOUSE, "gw.md", (shared,), ())))
        )

    assert said() == {"dmarc-missing": "error"}
    zone["_dmarc.gw.md", "TXT"] = ["v=DMARC1; p=reject; aspf=s; rua=mailto:a@gw.md"]
    assert said() == {"dmarc-strict-spf": "warning"}


def test_a_judge_that_asks_without_end_is_stopped() -> None:
    asked = []

    async def ask(name: str, kind: str) -> Answer:
        asked.append(name)
        return Answer((f"{name}x",))

    def judge(seen: Seen) -> int:
        for first in range(20):
            name = f"{first}."
            while (answer := seen.ask(name, "TXT")).known and len(name) < 300:
                name = answer.records[0]
        return 1

    assert asyncio.run(look(ask, judge)) == 1
    assert len(asked) <= MOST_QUESTIONS


def test_hostile_records_do_not_break_a_check() -> None:
    for text in (
        "v=spf1 " + "include:%{x} " * 100,
        "v=spf1 ip6:::::: a/////",
        "v=spf1 include:" + "a" * 5000,
        "v=spf1 a:\x00 -all",
    ):
        judged(good() | {SPF: [text]})
    for text in ("v=DKIM1; p==;;=;", "p=" + "A" * 60_000, "v=DMARC1;;;=;p", "\x1b[31mp=1"):
        made = judged(good() | {NAME: [text], DMARC: [text]})
        assert all(len(one.words) < 400 and one.words.isprintable() for one in made.findings)


def test_reserved_names_are_not_asked_of_the_public_dns() -> None:
    assert is_reserved("acme.test.") and is_reserved("EXAMPLE.com") and not is_reserved("latest.md")
    answer = asyncio.run(Asker(None, None)("acme.test", "TXT"))  # type: ignore[arg-type]
    assert not answer.known


def test_a_check_is_kept_and_read_back() -> None:
    made = judged(good() | {NAME: [], SPF: []})
    assert read_check("acme.md", made.as_json()) == made
    assert [one.severity for one in sort(made.findings)] == ["error", "warning"]
    assert say(made).endswith("(and 1 more)")


def test_looks_are_frequent_while_something_is_wrong_and_daily_otherwise() -> None:
    def wait(aligned: bool | None, *states: str, age: timedelta = timedelta(hours=1)) -> timedelta:
        one = StoredDomain("t", "acme.md", NOW - age, NOW, {"aligned": aligned, "seen": ["s"] if aligned else []})
        keys = [StoredKey("acme.md", "s", RSA, "", state, NOW - age) for state in states]
        return interval(one, keys, NOW)

    assert wait(True, "active") == DAILY
    assert wait(False, "active") == wait(None, "active") == wait(True, "active", "pending") == SOON
    assert wait(False, "active", age=timedelta(days=30)) == HOURLY
    assert wait(True, "active", "replaced") == HOURLY
    stolen = StoredDomain("t", "acme.md", NOW, NOW, {"aligned": True, "seen": ["old"]})
    assert interval(stolen, [StoredKey("acme.md", "new", RSA, "", "active", NOW, NOW)], NOW) == SOON
