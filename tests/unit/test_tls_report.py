"""TLS reports: where they go, what they say, and that the mail is what RFC 8460 describes."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest

from gateway.mail.address import parse_address
from gateway.outbound.tls_report import Submitter, make_mail, make_report, pack, read_record
from gateway.outbound.tls_reporting import due_at
from gateway.store.tls_results import TlsResult

BY = Submitter("mail.gateway.test", "postmaster@gateway.test")
STS = "version: STSv1\nmode: testing\nmx: *.mail.company-y.example\nmax_age: 86400"


def result(policy: str, host: str, result: str, sessions: int, words: str = "") -> TlsResult:
    return TlsResult("2026-11-24", "company-y.example", policy, host, result, sessions, words)


RESULTS = [
    result("sts", "mx1.mail.company-y.example", "success", 5326, STS),
    result("sts", "mx1.mail.company-y.example", "certificate-expired", 100),
    result("sts", "mx2.mail.company-y.example", "starttls-not-supported", 200, "no STARTTLS"),
    result("sts", "mx2.mail.company-y.example", "success", 0, STS),
    result("tlsa", "mx3.company-y.example", "success", 7, "3 1 1 aa"),
    result("no-policy-found", "mx4.company-y.example", "success", 1),
]


@pytest.mark.parametrize(
    ("texts", "mail", "web"),
    [
        (["v=TLSRPTv1;rua=mailto:reports@example.com"], ["reports@example.com"], []),
        (
            ["v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"],
            [],
            [("reporting.example.com", 443, "/v1/tlsrpt")],
        ),
        (["v=TLSRPTv1; rua=mailto:a@x.test, https://x.test:8443/a?b=c"], ["a@x.test"], [("x.test", 8443, "/a?b=c")]),
        (["v=TLSRPTv1; rua=mailto:a%40b@x.test"], [], []),
        (["v=TLSRPTv1; rua=mailto:a@x.test?subject=hi"], ["a@x.test"], []),
        (["v=TLSRPTv1; rua=mailto:a@x.test%0d%0aBcc:b@y.test"], [], []),
        (["v=TLSRPTv1; rua=http://x.test/, ftp://x.test/, nonsense"], [], []),
        (["v=TLSRPTv1; rua=https://user:pass@x.test/"], [], []),
        (["v=TLSRPTv1; rua=https://x.test:99999/"], [], []),
        (["v=TLSRPTv1; rua=https://x.test/a b"], [], []),
        (["v=TLSRPTv1; rua=mailto:a@x.test", "v=TLSRPTv1; rua=mailto:b@x.test"], [], []),
        (["v=TLSRPTv2; rua=mailto:a@x.test"], [], []),
        (["v=TLSRPTv1;"], [], []),
        ([], [], []),
    ],
)
def test_a_record_names_places_and_hostile_ones_are_none(
    texts: list[str], mail: list[str], web: list[tuple[str, int, str]]
) -> None:
    wanted = read_record(texts)
    assert [str(address) for address in wanted.mail] == mail
    assert list(wanted.web) == web


def test_a_record_of_many_places_is_cut() -> None:
    many = ",".join(f"mailto:a{n}@x.test" for n in range(50))
    assert len(read_record([f"v=TLSRPTv1; rua={many}"]).mail) == 5


def test_a_report_has_the_form_of_the_rfc() -> None:
    report = make_report(RESULTS, BY)
    assert report["date-range"] == {"start-datetime": "2026-11-24T00:00:00Z", "end-datetime": "2026-11-24T23:59:59Z"}
    assert (report["organization-name"], report["contact-info"]) == ("mail.gateway.test", "postmaster@gateway.test")
    assert report["report-id"] == "2026-11-24.company-y.example@mail.gateway.test"
    sts, tlsa, none = report["policies"]
    assert sts["policy"] == {
        "policy-type": "sts",
        "policy-string": STS.split("\n"),
        "policy-domain": "company-y.example",
        "mx-host": ["*.mail.company-y.example"],
    }
    assert sts["summary"] == {"total-successful-session-count": 5326, "total-failure-session-count": 300}
    assert sts["failure-details"] == [
        {
            "result-type": "certificate-expired",
            "receiving-mx-hostname": "mx1.mail.company-y.example",
            "failed-session-count": 100,
        },
        {
            "result-type": "starttls-not-supported",
            "receiving-mx-hostname": "mx2.mail.company-y.example",
            "failed-session-count": 200,
            "failure-reason-code": "no STARTTLS",
        },
    ]
    assert tlsa["policy"]["policy-string"] == ["3 1 1 aa"] and "failure-details" not in tlsa
    assert none["policy"] == {"policy-type": "no-policy-found", "policy-domain": "company-y.example"}


def test_the_mail_carries_the_report_as_the_rfc_says() -> None:
    report = make_report(RESULTS, BY)
    to, author = parse_address("reports@company-y.example"), parse_address("noreply@gateway.test")
    now = datetime(2026, 11, 25, 1, tzinfo=UTC)
    raw = make_mail(report, "company-y.example", to, author, "abc@gateway.test", now)
    assert all(len(line) <= 998 for line in raw.split(b"\r\n")) and b"\n" not in raw.replace(b"\r\n", b"")
    mail = message_from_bytes(raw, policy=policy.default)
    assert mail.get_content_type() == "multipart/report" and mail["Content-Type"].params["report-type"] == "tlsrpt"
    assert (mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]) == ("company-y.example", "mail.gateway.test")
    assert " ".join(mail["Subject"].split()) == (
        "Report Domain: company-y.example Submitter: mail.gateway.test "
        "Report-ID: <2026-11-24.company-y.example@mail.gateway.test>"
    )
    words, packed = mail.iter_parts()
    assert words.get_content_type() == "text/plain"
    assert packed.get_content_type() == "application/tlsrpt+gzip"
    assert packed.get_filename() == "mail.gateway.test!company-y.example!1795478400!1795564799.json.gz"
    assert json.loads(gzip.decompress(packed.get_content())) == report
    assert packed.get_content() == pack(report)


def test_reports_leave_after_midnight_spread_over_four_hours_and_alike_on_every_node() -> None:
    midnight = datetime(2026, 11, 25, tzinfo=UTC)
    times = [due_at("2026-11-24", f"d{n}.example") for n in range(200)]
    assert all(midnight + timedelta(minutes=5) <= at < midnight + timedelta(hours=4, minutes=5) for at in times)
    assert max(times) - min(times) > timedelta(hours=3)
    assert due_at("2026-11-24", "d1.example") == times[1]
