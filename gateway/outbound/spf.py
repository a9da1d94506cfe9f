"""SPF (RFC 7208): what a domain's record means for mail that leaves from our addresses.

Called by `outbound.domain_check` with what DNS said (`Seen`); pure. Evaluates check_host() for each of our addresses,
with the limits of §4.6.4 (10 terms that ask DNS, 2 of them in vain), and remembers on the way what people must be told:
several records, an include that has none, `+all`. Macros other than those of addresses and names make a term unknown.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from gateway.outbound.dns_answers import Answer, Seen

LOOKUPS = 10  # §4.6.4
VOID = 2
DEPTH = 12
MOST_TERMS = 60

PASS, FAIL, SOFTFAIL, NEUTRAL, NONE = "pass", "fail", "softfail", "neutral", "none"
PERMERROR, UNKNOWN = "permerror", "unknown"  # unknown: DNS did not answer, so nobody can say

_RESULTS = {"+": PASS, "-": FAIL, "~": SOFTFAIL, "?": NEUTRAL}
_TERM = re.compile(
    r"([+\-~?]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:[:]([^/\s]*))?((?:/\d{1,3}){0,2}|//\d{1,3})\Z", re.I
)
_IP6 = re.compile(r"([+\-~?]?)(ip6|ip4):([0-9a-f:.]+)(/\d{1,3})?\Z", re.I)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)\Z", re.I)
_MACRO = re.compile(r"%\{([a-z])(\d*)(r?)([.\-+,/_=]*)\}", re.I)
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_-]{1,63})*\.?\Z", re.I)


@dataclass(slots=True)
class Verdict:
    """What came of it. `faults`: (kind, the name it is about, detail) in the order they were met."""

    result: str = NONE
    lookups: int = 0
    void: int = 0
    faults: list[tuple[str, str, str]] = field(default_factory=list)


def is_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record (§4.5)."""
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def evaluate(seen: Seen, domain: str, address: str) -> Verdict:
    """check_host() for one address, with the domain as that of the return path."""
    made = _Run(seen, ip_address(address), domain)
    made.verdict.result = made.host(domain, 0)
    return made.verdict


class _Stop(Exception):
    """The evaluation ends with this result."""

    def __init__(self, result: str) -> None:
        self.result = result


class _Run:
    """One evaluation."""

    def __init__(self, seen: Seen, address: IPv4Address | IPv6Address, domain: str) -> None:
        self.seen, self.address, self.domain = seen, address, domain
        self.verdict = Verdict()

    def host(self, domain: str, depth: int) -> str:
        """The result of one domain's record."""
        try:
            return self._record(domain, depth)
        except _Stop as stop:
            if depth:
                raise
            return stop.result

    def _record(self, domain: str, depth: int) -> str:
        answer = self.seen.ask(domain, "TXT")
        if not answer.known:
            raise _Stop(UNKNOWN)
        records = [text for text in answer.records if is_spf(text)]
        if len(records) > 1:
            self._error("several", domain, "")
        if not records or depth > DEPTH:
            return NONE
        redirect = ""
        terms = records[0].split()[1:]
        for term in terms[:MOST_TERMS]:
            modifier = _MODIFIER.match(term)
            if modifier:
                redirect = modifier[2] if modifier[1].lower() == "redirect" else redirect
                continue
            result = self._term(term, domain, depth)
            if result:
                return result
        return self._redirect(redirect, domain, depth) if redirect else NEUTRAL

    def _redirect(self, target: str, domain: str, depth: int) -> str:
        self._count(f"redirect={target}")
        name = self._expand(target, domain)
        found = self.host(name, depth + 1)
        if found == NONE:
            self._error("no-record", name, f"redirect={target}")
        return found

    def _term(self, term: str, domain: str, depth: int) -> str:
        """The result when a mechanism matches, else ""."""
        found = _IP6.match(term) or _TERM.match(term)
        if not found or (found[2].lower() in ("include", "exists") and not found[3]):
            self._error("syntax", domain, term)
        assert found
        kind, value, prefix = found[2].lower(), found[3] or "", found[4] or ""
        matches = self._matches(kind, value, prefix, domain, depth)
        if matches and kind == "all" and _RESULTS[found[1] or "+"] == PASS:
            self.verdict.faults.append(("open", domain, term))
        return _RESULTS[found[1] or "+"] if matches else ""

    def _matches(self, kind: str, value: str, prefix: str, domain: str, depth: int) -> bool:
        if kind == "all":
            return True
        if kind in ("ip4", "ip6"):
            return self._in_network(value, prefix, domain)
        self._count(f"{kind}:{value}" if value else kind)
        if kind == "ptr":
            self.verdict.faults.append(("ptr", domain, ""))
            return False
        name = self._expand(value, domain) if value else domain
        if kind == "include":
            return self._include(name, depth)
        if kind == "mx":
            return any(self._has(host, prefix, void=False) for host in self._exchanges(name))
        return self._exists(name) if kind == "exists" else self._has(name, prefix)

    def _include(self, name: str, depth: int) -> bool:
        found = self.host(name, depth + 1)
        if found == NONE:
            self._error("no-record", name, f"include:{name}")
        return found == PASS

    def _exchanges(self, name: str) -> Iterator[str]:
        answer = self._known(self.seen.ask(name, "MX"), name)
        for record in answer.records[:10]:
            yield record.split()[-1]

    def _exists(self, name: str) -> bool:
        return bool(self._known(self.seen.ask(name, "A"), name).records)

    def _has(self, name: str, prefix: str, *, void: bool = True) -> bool:
        """Whether our address is among those of a host, or near one as the prefix lengths say."""
        kind = "A" if self.address.version == 4 else "AAAA"
        found = self._known(self.seen.ask(name, kind), name if void else "")
        four, _, six = prefix.removeprefix("/").partition("//") if "//" in prefix else (prefix.strip("/"), "", "")
        length = (four if self.address.version == 4 else six) or str(self.address.max_prefixlen)
        return any(self._near(one, length) for one in found.records)

    def _near(self, address: str, length: str) -> bool:
        try:
            return self.address in ip_network(f"{address}/{length}", strict=False)
        except ValueError:
            return False

    def _in_network(self, value: str, prefix: str, domain: str) -> bool:
        try:
            network = ip_network(value + prefix, strict=False)
        except ValueError:
            self._error("syntax", domain, f"{value}{prefix}")
        return self.address.version == network.version and self.address in network

    def _known(self, answer: Answer, name: str) -> Answer:
        if not answer.known:
            raise _Stop(UNKNOWN)
        if name and not answer.records:
            self.verdict.void += 1
            self.verdict.faults.append(("void", name, ""))
            if self.verdict.void > VOID:
                self._error("voids", name, str(self.verdict.void))
        return answer

    def _count(self, term: str) -> None:
        self.verdict.lookups += 1
        if self.verdict.lookups > LOOKUPS:
            self._error("lookups", self.domain, term)

    def _error(self, kind: str, name: str, detail: str) -> None:
        self.verdict.faults.append((kind, name, detail))
        raise _Stop(PERMERROR)

    def _expand(self, text: str, domain: str) -> str:
        """A domain with its macros (§7): those of our address and the domain; any other makes the term unknown."""
        dotted = str(self.address) if self.address.version == 4 else ".".join(self.address.exploded.replace(":", ""))
        known = {"d": domain, "o": self.domain, "h": self.domain, "l": "postmaster", "s": f"postmaster@{self.domain}",
                 "i": dotted, "v": "in-addr" if self.address.version == 4 else "ip6"}  # fmt: skip

        def one(found: re.Match[str]) -> str:
            value = known.get(found[1].lower())
            if value is None:
                raise _Stop(UNKNOWN)
            parts = re.split(f"[{re.escape(found[4] or '.')}]", value)
            parts = parts[::-1] if found[3] else parts
            return ".".join(parts[-int(found[2]) :] if found[2] and int(found[2]) else parts)

        made = _MACRO.sub(one, text).replace("%%", "%")
        if not _NAME.match(made):
            self._error("syntax", domain, text)
        return made


def count_lookups(seen: Seen, domain: str) -> int:
    """How many terms ask DNS when nothing matches before the end: what the worst receiver needs. Bounded."""
    seen_names: set[str] = set()

    def walk(name: str, depth: int) -> int:
        if depth > DEPTH or name in seen_names or len(seen_names) > MOST_TERMS:
            return 0
        seen_names.add(name)
        record = next((text for text in seen.ask(name, "TXT").records if is_spf(text)), "")
        total = 0
        for term in record.split()[1:][:MOST_TERMS]:
            bare = term.lstrip("+-~?").lower()
            kind, target = re.split("[:=/]", bare)[0], re.split("[:=]", bare, maxsplit=1)[-1]
            if kind in ("include", "redirect"):
                total += 1 + (walk(target, depth + 1) if _NAME.match(target) else 0)
            elif kind in ("a", "mx", "ptr", "exists"):
                total += 1
        return total

    return walk(domain, 0)
