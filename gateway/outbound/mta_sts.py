"""MTA-STS (RFC 8461): reads the record and the policy of a domain, and says which mail hosts a policy allows.

Pure, but for `fetch_policy`, which `outbound.tls_policy` calls. Hostile texts end in ValueError or "there is none". A
policy comes over HTTPS from `mta-sts.DOMAIN` with a certificate that the system trusts, as text/plain, never by way of
a redirect (§3.3); what it says is bounded before it is read.
"""

import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.outbound.https import Unfetched, fetch

ENFORCE, TESTING, NONE = "enforce", "testing", "none"
LONGEST_AGE = 31_557_600  # seconds (§3.2): a year
POLICY_BYTES = 64 * 1024
PATH = "/.well-known/mta-sts.txt"
MOST_PATTERNS = 100
FETCH_ERROR, INVALID, NO_CERTIFICATE = "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_PATTERN = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+\Z")
_ID = re.compile(r"[a-zA-Z0-9]{1,32}\Z")
_FIELD = re.compile(r"([a-zA-Z0-9][a-zA-Z0-9_.-]{0,31})[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\Z")


@dataclass(frozen=True, slots=True)
class Policy:
    """A domain's policy. `mx`: patterns in lower case; `max_age` in seconds."""

    mode: str  # enforce | testing | none
    mx: tuple[str, ...]
    max_age: int

    def allows(self, host: str) -> bool:
        """Whether a mail host fits one of the patterns; `*.` stands for exactly one label (§4.1)."""
        name = host.lower().rstrip(".")
        label, _, beyond = name.partition(".")
        wild = f"*.{beyond}" if label else ""
        return any(pattern in (name, wild) for pattern in self.mx if name)


def read_record(texts: Sequence[str]) -> str:
    """The id of a policy, from the TXT records of `_mta-sts.DOMAIN` (§3.1); "" when there is no one valid record."""
    found = [text for text in texts if re.match(r"v[ \t]*=[ \t]*STSv1[ \t]*(?:;|\Z)", text)]
    if len(found) != 1:
        return ""
    for part in found[0].split(";")[1:]:
        name, equals, value = part.partition("=")
        if equals and name.strip() == "id":
            return value.strip() if _ID.match(value.strip()) else ""
    return ""


def read_policy(text: str) -> Policy:
    """A policy file (§3.2). Raises ValueError; unknown fields are passed over, of repeated ones the first counts."""
    found: dict[str, str] = {}
    mx: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip(" \t"):
            continue
        field = _FIELD.match(line)
        if field is None:
            raise ValueError(f"the line {line[:60]!r} is not a field of a policy")
        name, value = field.groups()
        if name == "mx":
            mx.append(_pattern(value))
        else:
            found.setdefault(name, value)
    return _judge(found, tuple(dict.fromkeys(mx)))


def _pattern(value: str) -> str:
    pattern = value.lower().rstrip(".")
    if not _PATTERN.match(pattern) or len(pattern) > 253:
        raise ValueError(f"mx {value[:60]!r} is no host name")
    return pattern


def _judge(found: dict[str, str], mx: tuple[str, ...]) -> Policy:
    mode, age = found.get("mode", ""), found.get("max_age", "")
    if found.get("version") != "STSv1":
        raise ValueError("its version is not STSv1")
    if mode not in (ENFORCE, TESTING, NONE):
        raise ValueError(f"its mode {mode[:20]!r} is not one of enforce, testing, none")
    if not re.fullmatch(r"[0-9]{1,10}", age):
        raise ValueError("its max_age is not a number of seconds")
    if not mx and mode != NONE:
        raise ValueError("it names no mx")
    if len(mx) > MOST_PATTERNS:
        raise ValueError(f"it names more than {MOST_PATTERNS} mx")
    return Policy(mode, mx, min(int(age), LONGEST_AGE))


async def fetch_policy(
    domain: str,
    find: Callable[[str], Awaitable[Sequence[str]]],
    *,
    port: int = 443,
    context: ssl.SSLContext | None = None,
    seconds: float = 60,
) -> tuple[Policy, str]:
    """(the policy of a domain, its text). `find` gives addresses that may be dialled for a host.

    Raises Unfetched, whose `fault` is a type of RFC 8460 §4.3.2.2.
    """
    host = f"mta-sts.{domain}"
    addresses = await find(host)
    answer = await fetch(host, addresses, PATH, port=port, context=context, limit=POLICY_BYTES, seconds=seconds)
    if answer.code != 200:
        raise Unfetched(FETCH_ERROR, f"https://{host} answered {answer.code}; a policy comes with 200, unredirected")
    if answer.content_type != "text/plain":
        raise Unfetched(INVALID, f"https://{host} answered {answer.content_type[:60] or 'no type'}, not text/plain")
    try:
        text = answer.body.decode("ascii")
        return read_policy(text), text
    except ValueError as error:
        raise Unfetched(INVALID, f"the policy at https://{host} is not valid: {error}") from error
