"""The daily report of how TLS went with a domain's mail hosts (RFC 8460): where it is wanted, its JSON, its mail.

Pure; used by `outbound.tls_reporting`. A record that is not one valid TLSRPTv1 wants nothing; addresses and URLs in it
are bounded and checked, for anybody may write there what they like.
"""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway.mail.address import Address, parse_address
from gateway.mail.reply import Refused
from gateway.outbound.mta_sts import read_policy
from gateway.outbound.tls_tally import SUCCESS
from gateway.store.tls_results import TlsResult

MEDIA_TYPE = "application/tlsrpt+gzip"
MOST_PLACES = 5
_URL = re.compile(r"https://[a-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[!-~]{0,500})?\Z", re.I)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a domain wants its reports: addresses, and (host, port, path) of web servers."""

    mail: tuple[Address, ...] = ()
    web: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who reports: our host name, and whom to ask."""

    hostname: str
    contact: str


def read_record(texts: Sequence[str]) -> Wanted:
    """The places named by the TXT records of `_smtp._tls.DOMAIN` (§3); none when there is not exactly one."""
    found = [text for text in texts if re.match(r"v[ \t]*=[ \t]*TLSRPTv1[ \t]*;", text)]
    if len(found) != 1 or len(found[0]) > 4000:
        return Wanted()
    for part in found[0].split(";")[1:]:
        name, equals, value = part.partition("=")
        if equals and name.strip() == "rua":
            return _places(value.strip().split(",")[:MOST_PLACES])
    return Wanted()


def _places(uris: Sequence[str]) -> Wanted:
    mail: list[Address] = []
    web: list[tuple[str, int, str]] = []
    for uri in (one.strip() for one in uris):
        if uri[:7].lower() == "mailto:":
            try:
                address = parse_address(unquote(uri[7:].partition("?")[0]))
            except Refused:
                continue
            if address.ascii and address not in mail:
                mail.append(address)
        elif _URL.match(uri):
            parts = urlsplit(uri)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            try:
                web.append((parts.hostname or "", parts.port or 443, path))
            except ValueError:  # a port beyond 65535
                continue
    return Wanted(tuple(mail), tuple(web))


def make_report(results: Sequence[TlsResult], by: Submitter) -> dict[str, Any]:
    """The report of one day and domain (§4). `results` are not empty."""
    day, domain = results[0].day, results[0].domain
    begin = datetime.combine(date.fromisoformat(day), time(), UTC)
    end = begin + timedelta(days=1) - timedelta(seconds=1)
    return {
        "organization-name": by.hostname,
        "date-range": {"start-datetime": _stamp(begin), "end-datetime": _stamp(end)},
        "contact-info": by.contact,
        "report-id": f"{day}.{domain}@{by.hostname}",
        "policies": [_policy(domain, *group) for group in _by_policy(results)],
    }


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _by_policy(results: Sequence[TlsResult]) -> list[tuple[str, str, list[TlsResult]]]:
    """(type, the policy's lines, its results): hosts under the same policy together."""
    lines = {(one.policy, one.host): one.words for one in results if one.result == SUCCESS}
    found: dict[tuple[str, str], list[TlsResult]] = {}
    for one in results:
        found.setdefault((one.policy, lines.get((one.policy, one.host), "")), []).append(one)
    return [(*key, group) for key, group in found.items()]


def _policy(domain: str, kind: str, lines: str, results: Sequence[TlsResult]) -> dict[str, Any]:
    policy: dict[str, Any] = {"policy-type": kind, "policy-domain": domain}
    if lines and kind != "no-policy-found":
        policy["policy-string"] = lines.split("\n")
    if lines and kind == "sts":
        policy["mx-host"] = _patterns(lines)
    failures = [one for one in results if one.result != SUCCESS]
    made: dict[str, Any] = {
        "policy": policy,
        "summary": {
            "total-successful-session-count": sum(one.sessions for one in results if one.result == SUCCESS),
            "total-failure-session-count": sum(one.sessions for one in failures),
        },
    }
    if failures:
        made["failure-details"] = [_failure(one) for one in failures]
    return made


def _patterns(lines: str) -> list[str]:
    try:
        return list(read_policy(lines).mx)
    except ValueError:  # it was cut when it was kept
        return []


def _failure(one: TlsResult) -> dict[str, Any]:
    made = {
        "result-type": one.result,
        "receiving-mx-hostname": one.host,
        "failed-session-count": one.sessions,
    }
    return made | ({"failure-reason-code": one.words[:250]} if one.words else {})


def pack(report: dict[str, Any]) -> bytes:
    """A report as it travels: JSON, gzipped (§4.1, §5.2); the same bytes for the same report."""
    return gzip.compress(json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode(), mtime=0)


def make_mail(
    report: dict[str, Any], domain: str, to: Address, author: Address, message_id: str, now: datetime
) -> bytes:
    """The mail that carries a report (§5.3), before it is signed."""
    submitter, report_id = report["organization-name"], report["report-id"]
    limits = [datetime.fromisoformat(report["date-range"][f"{end}-datetime"]) for end in ("start", "end")]
    name = f"{submitter}!{domain}!{limits[0].timestamp():.0f}!{limits[1].timestamp():.0f}.json.gz"
    boundary = f"report-{message_id.partition('@')[0]}"
    body = base64.encodebytes(pack(report)).decode("ascii").replace("\n", "\r\n")
    lines = [
        f"From: <{author}>", f"To: <{to}>", f"Date: {now.astimezone(UTC):%a, %d %b %Y %H:%M:%S +0000}",
        f"Subject: Report Domain: {domain}\r\n Submitter: {submitter}\r\n Report-ID: <{report_id}>",
        f"Message-ID: <{message_id}>", f"TLS-Report-Domain: {domain}", f"TLS-Report-Submitter: {submitter}",
        "Auto-Submitted: auto-generated", "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type="tlsrpt";\r\n boundary="{boundary}"', "",
        f"--{boundary}", "Content-Type: text/plain; charset=us-ascii", "",
        f"This is an aggregate TLS report from {submitter} (RFC 8460).",
        f"It tells how TLS went with the mail servers of {domain} on {limits[0]:%Y-%m-%d} (UTC).", "",
        f"--{boundary}", f"Content-Type: {MEDIA_TYPE}", "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment;\r\n filename="{name}"', "", f"{body}--{boundary}--", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode("ascii")
