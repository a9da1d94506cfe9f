"""Who really sent a mail that came to us by SMTP: SPF, DKIM and DMARC, for the person who reads it.

Called by `reception` beside the reading of the mail. Nothing is refused for it: the results stand in the thread. DNS is
asked here with a limit of time; signatures are verified in a worker, with the keys that DNS gave. Promises: never
raises; what could not be found out in time is "temperror" or not there.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import dkim
import structlog
from spftrace import BaseResolver, Evaluator, Limits

from gateway.mail.dmarc import DmarcRecord, organisation, policy_of, read_dmarc, walk
from gateway.wire.workers import WorkerFailed

log = structlog.get_logger()

SECONDS = 5.0
SIGNATURES = 5  # of one mail that are verified
HEADER_LIMIT = 100_000
_SIGNATURE = re.compile(rb"^dkim-signature:((?:[^\r\n]|\r?\n[ \t])*)", re.I | re.M)
_TAG = re.compile(rb"(?:^|;)\s*([sd])\s*=\s*([^;\s]+)")

Lookup = Callable[[str, str], Awaitable[tuple[str, list[str]]]]
"""(rcode as NOERROR, NXDOMAIN, SERVFAIL or TIMEOUT, records as text) of a name and a type."""


@dataclass(frozen=True, slots=True)
class Source:
    """The SMTP session that brought a mail. `return_path` "" is the null return path."""

    host: str
    helo: str
    return_path: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The results, in the words of RFC 8601; "" for what was not asked."""

    spf: str = ""
    spf_domain: str = ""
    dkim: tuple[tuple[str, str], ...] = ()  # (domain, result)
    dmarc: str = ""  # pass | fail | none | temperror
    policy: str = ""  # what the author's domain wants done with mail that fails

    def as_detail(self) -> dict[str, Any]:
        """As it is kept beside the mail."""
        return asdict(self)


class _Dns(BaseResolver):
    def __init__(self, lookup: Lookup) -> None:
        self._ask = lookup

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        return await self._ask(name, rtype)


class SenderChecks:
    """Checks mails. `run` runs a function in a worker process, with a limit of time."""

    def __init__(self, lookup: Lookup, run: Callable[..., Awaitable[Any]]) -> None:
        self._lookup, self._run = lookup, run

    async def check(self, raw: bytes, source: Source, author: str) -> Checked:
        """What SPF, DKIM and DMARC say of a mail by this author."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._check(raw, source, author.rpartition("@")[2].lower())
        except TimeoutError:
            return Checked("temperror", dmarc="temperror")
        except Exception as error:  # a library met bytes that its author had not thought of; the mail stays
            log.warning("inbound.check_failed", error=type(error).__name__, exc_info=True)
            return Checked("temperror", dmarc="temperror")

    async def _check(self, raw: bytes, source: Source, domain: str) -> Checked:
        spf_domain = source.return_path.rpartition("@")[2].lower() or source.helo.lower()
        spf, signatures = await asyncio.gather(self._spf(source), self._dkim(raw))
        made = Checked(spf, spf_domain, signatures)
        if not domain:
            return made
        records = await self._records(domain, spf_domain, *(name for name, _ in signatures))
        found = policy_of(domain, records)
        if found is None:
            return Checked(spf, spf_domain, signatures, "none")
        record, policy = found
        aligned = any(
            result == "pass" and _aligned(domain, name, strict, records)
            for name, result, strict in (
                (spf_domain, spf, record.strict_spf),
                *((name, result, record.strict_dkim) for name, result in signatures),
            )
        )
        return Checked(spf, spf_domain, signatures, "pass" if aligned else "fail", policy)

    async def _spf(self, source: Source) -> str:
        sender = source.return_path or f"postmaster@{source.helo}"
        found = await Evaluator(_Dns(self._lookup), Limits(time_limit=SECONDS - 1)).evaluate(
            source.host, sender, source.helo
        )
        return str(found.verdict)

    async def _dkim(self, raw: bytes) -> tuple[tuple[str, str], ...]:
        named = names_of_signatures(raw)
        if not named:
            return ()
        places = [f"{selector}._domainkey.{domain}" for domain, selector in named]
        answers = await asyncio.gather(*(self._lookup(place, "TXT") for place in places))
        keys = {place: records for place, (rcode, records) in zip(places, answers, strict=True) if rcode == "NOERROR"}
        lost = {place for place, (rcode, _) in zip(places, answers, strict=True) if rcode in ("SERVFAIL", "TIMEOUT")}
        try:
            results = await self._run(verify_signatures, raw, keys, len(named), seconds=SECONDS)
        except WorkerFailed:
            return tuple((domain, "temperror") for domain, _ in named)
        return tuple(
            (domain, "temperror" if place in lost else result)
            for (domain, _), place, result in zip(named, places, results, strict=True)
        )

    async def _records(self, *domains: str) -> dict[str, DmarcRecord | None]:
        names = list(dict.fromkeys(name for domain in domains if domain for name in walk(domain)))
        answers = await asyncio.gather(*(self._lookup(f"_dmarc.{name}", "TXT") for name in names))
        if any(rcode in ("SERVFAIL", "TIMEOUT") for rcode, _ in answers[:1]):
            raise TimeoutError
        return {name: read_dmarc(texts) for name, (_, texts) in zip(names, answers, strict=True)}


def _aligned(author: str, proven: str, strict: bool, records: Mapping[str, DmarcRecord | None]) -> bool:
    """Whether a proven name speaks for the author's domain (RFC 9989 §3.2.10)."""
    if strict or author == proven:
        return author == proven
    return organisation(author, records) == organisation(proven, records)


def names_of_signatures(raw: bytes) -> list[tuple[str, str]]:
    """(domain, selector) of a mail's first signatures, in their order; "" for what one does not say."""
    head = raw[:HEADER_LIMIT].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    found = []
    for match in list(_SIGNATURE.finditer(head))[:SIGNATURES]:
        tags = {key: value.decode("ascii", "replace").lower() for key, value in _TAG.findall(match[1])}
        found.append((tags.get(b"d", "")[:253], tags.get(b"s", "")[:253]))
    return found


def verify_signatures(raw: bytes, keys: Mapping[str, list[str]], count: int) -> list[str]:
    """The results of a mail's first signatures, in the words of RFC 8601 §2.7.1; runs in a worker."""
    return [_verify_one(raw, keys, at) for at in range(count)]


def _verify_one(raw: bytes, keys: Mapping[str, list[str]], at: int) -> str:
    def answer(name: bytes, timeout: float = 0) -> bytes | None:
        records = keys.get(name.decode("ascii", "replace").rstrip(".").lower(), [])
        return next((record.encode("latin-1", "replace") for record in records if "p=" in record), None)

    try:
        return "pass" if dkim.DKIM(raw, minkey=1024).verify(idx=at, dnsfunc=answer) else "fail"
    except (dkim.ValidationError, dkim.KeyFormatError, dkim.MessageFormatError, dkim.ParameterError):
        return "permerror"
    except dkim.DKIMException:
        return "neutral"
    except Exception:  # dkimpy lets some faults of a signature through as they are
        return "permerror"
