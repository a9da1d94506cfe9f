"""What is wrong with the DNS of a domain that mail is sent from, in words: DKIM, SPF, DMARC and BIMI.

Called by `outbound.domain_watch` and `gateway domain check`, within `dns_answers.look`; pure: it judges what DNS said.
Whether mail of the domain is *aligned* depends on DKIM alone: its return path is the gateway's, so SPF cannot align
with a tenant's author (RFC 7489 §3.1.2). What DNS did not answer is never held against the domain.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.mail.dmarc import tags_of
from gateway.outbound import spf
from gateway.outbound.dkim_check import check_key
from gateway.outbound.dns_answers import Seen
from gateway.outbound.findings import ERROR, HINT, WARNING, Check, Finding, cut, sort, unknown
from gateway.outbound.signing import RSA
from gateway.store.domains import ACTIVE, PENDING, RETIRED, StoredKey

_URI = re.compile(r"mailto:[^@\s,!]+@[^@\s,!]+(?:![0-9]+[kmgt]?)?\Z", re.I)


@dataclass(frozen=True, slots=True)
class House:
    """The names of this gateway. `relay`: the host that takes all mail, "" when it goes to MX hosts."""

    hostname: str
    helo: str
    shared: str  # the shared address's domain
    return_domain: str
    inbox_domain: str
    relay: str = ""
    fronted: bool = False  # a mail server stands in front and hands over by LMTP

    @property
    def sends_from(self) -> str:
        """The host whose addresses our mail comes from."""
        return self.relay or self.hostname


def check_author_domain(
    seen: Seen, house: House, domain: str, keys: Sequence[StoredKey], authors: Sequence[str]
) -> Check:
    """What is to be said of a domain that is the author of mail. `authors`: addresses in it, or below it."""
    aligned, present, findings = _check_keys(seen, domain, keys)
    findings += check_spf(seen, house, domain, WARNING)
    findings += check_dmarc(seen, house, domain, authors)
    findings += check_bimi(seen, domain)
    return Check(domain, sort(findings), aligned, present)


# -- DKIM


def _check_keys(
    seen: Seen, domain: str, keys: Sequence[StoredKey]
) -> tuple[bool | None, tuple[str, ...], list[Finding]]:
    """(aligned, selectors that are right, findings). One right RSA key is enough: hardly anybody checks Ed25519."""
    others = {key.public_record.partition("p=")[2]: key.selector for key in keys}
    right: dict[StoredKey, bool | None] = {}
    told: dict[StoredKey, list[Finding]] = {}
    for key in keys:
        if key.state != RETIRED:
            right[key], told[key] = check_key(seen, key, others)
    deciding = [key for key in right if key.state == ACTIVE and key.algorithm == RSA]
    deciding = deciding or [key for key in right if key.state == ACTIVE]
    aligned = _any(right[key] for key in deciding)
    findings: list[Finding] = []
    for key, said in told.items():
        grave = HINT if key.state == PENDING else WARNING if key not in deciding or aligned else ERROR
        findings += [_softened(one, grave) for one in said]
    if not deciding:
        todo = f"make some: gateway domain rotate {domain}"
        findings.append(Finding(ERROR, "dkim-no-key", domain, f"{domain} has no key to sign with", todo))
    return aligned, tuple(key.selector for key in right if right[key]), findings


def _any(values: Iterator[bool | None]) -> bool | None:
    found = list(values)
    return True if True in found else None if None in found else False


def _softened(one: Finding, severity: str) -> Finding:
    """The same, less grave: another key makes up for it, or it signs nothing yet."""
    return Finding(severity, one.code, one.name, one.words, one.todo) if one.severity == ERROR else one


# -- SPF


def check_spf(seen: Seen, house: House, domain: str, worst: str) -> list[Finding]:
    """What is to be said of a domain's SPF record; `worst` is how grave it is when we are not in it."""
    answer = seen.ask(domain, "TXT")
    if not answer.known:
        return [unknown(domain, answer.words)]
    term = f"a:{house.sends_from}"
    records = [text for text in answer.records if spf.is_spf(text)]
    if not records:
        words = f"{domain} has no SPF record"
        return [Finding(worst, "spf-missing", domain, words, f'publish at {domain} the TXT "v=spf1 {term} -all"')]
    if len(records) > 1:
        words = f"{domain} has {len(records)} SPF records; receivers then use none (RFC 7208 §4.5)"
        return [Finding(worst, "spf-several", domain, words, f"merge them into one: {cut(records[0])} and the others")]
    return list(_judge_spf(seen, house, domain, worst, term))


def _judge_spf(seen: Seen, house: House, domain: str, worst: str, term: str) -> Iterator[Finding]:
    addresses, known = seen.addresses(house.sends_from)
    if not addresses and not known:
        yield unknown(house.sends_from, "DNS does not say from which addresses our mail comes")
    count = spf.count_lookups(seen, domain)
    if count > spf.LOOKUPS:
        words = f"the SPF record of {domain} needs {count} questions to DNS; receivers give up after {spf.LOOKUPS}"
        yield Finding(worst, "spf-lookups", domain, words,
                      "take out includes that nobody uses, or write their addresses as ip4: and ip6:")  # fmt: skip
    for address in addresses:
        verdict = spf.evaluate(seen, domain, address)
        yield from _of_faults(verdict, domain, worst)
        if verdict.result in (spf.FAIL, spf.SOFTFAIL, spf.NEUTRAL):
            severity = HINT if house.relay else worst  # the relay's way out may be another address
            words = f"the SPF record of {domain} does not name our address {address} ({verdict.result})"
            yield Finding(severity, "spf-not-us", domain, words, f"put {term} into it, before its all")


def _of_faults(verdict: spf.Verdict, domain: str, worst: str) -> Iterator[Finding]:
    """The faults of one evaluation in words."""
    for kind, name, detail in verdict.faults:
        if kind == "open":
            words = f"the SPF record of {name} ends in {detail}: anybody may send as {domain}"
            yield Finding(worst, "spf-open", name, words, "end it in -all or ~all")
        elif kind == "ptr":
            yield Finding(WARNING, "spf-ptr", name, f"the SPF record of {name} uses ptr, which many receivers ignore",
                          "name addresses instead")  # fmt: skip
        elif kind == "voids":
            words = f"the SPF record of {domain} asks for more than {spf.VOID} names that DNS does not have, as {name}"
            yield Finding(worst, "spf-void", name, words, "take out terms that name nothing")
        elif kind == "no-record":
            words = (
                f"the SPF record of {domain} has {detail}, but {name} has no SPF record: receivers take it for broken"
            )
            yield Finding(worst, "spf-include", name, words, f"take {detail} out")
        elif kind == "several":
            words = f"{name}, which the SPF record of {domain} includes, has several SPF records"
            yield Finding(worst, "spf-include", name, words, "tell whoever runs it, or take it out")
        elif kind == "syntax":
            words = f"the SPF record of {name} has a term that means nothing: {cut(detail)}"
            yield Finding(worst, "spf-syntax", name, words, "mend or remove it")


# -- DMARC


def check_dmarc(seen: Seen, house: House, domain: str, authors: Sequence[str]) -> list[Finding]:
    """What is to be said of the DMARC policy that holds for a domain."""
    own = f"_dmarc.{domain}"
    todo = f'publish at {own} the TXT "v=DMARC1; p=none; rua=mailto:postmaster@{domain}"'
    where, texts, silent = find_dmarc(seen, domain)
    if silent:
        return [unknown(where, silent)]
    grave = ERROR if domain == house.shared else WARNING
    if not texts:
        words = f"{domain} has no DMARC record; large receivers ask for one"
        return [Finding(grave, "dmarc-missing", own, words, todo)]
    if len(texts) > 1:
        words = f"{where} has {len(texts)} DMARC records; receivers then use none"
        return [Finding(grave, "dmarc-several", where, words, "leave one")]
    tags, wrong = read_dmarc(texts[0])
    if wrong:
        return [Finding(grave, "dmarc-syntax", where, f"the DMARC record at {where} {wrong}", todo)]
    return list(_judge_dmarc(house, domain, authors, where, tags))


def find_dmarc(seen: Seen, domain: str) -> tuple[str, list[str], str]:
    """(name, DMARC records there, why nobody knows): at the domain, else at the nearest one above it that has any."""
    labels = domain.split(".")
    for skip in range(max(1, min(len(labels) - 1, 8))):
        name = "_dmarc." + ".".join(labels[skip:])
        answer = seen.ask(name, "TXT")
        if not answer.known:
            return name, [], answer.words
        texts = [text for text in answer.records if re.match(r"v\s*=\s*DMARC1\b", text, re.I)]
        if texts:
            return name, texts, ""
    return f"_dmarc.{domain}", [], ""


def read_dmarc(text: str) -> tuple[dict[str, str], str]:
    """(tags, what is wrong, or ""), RFC 9989 §4.7."""
    tags = tags_of(text)
    if no_tag := next((part.strip() for part in text.split(";") if part.strip() and "=" not in part), ""):
        return tags, f"has {cut(no_tag)}, which is no tag=value; tags are parted by ;"
    if not text.startswith("v=DMARC1") or tags.get("v") != "DMARC1":
        return tags, "must begin with v=DMARC1;"
    for name, allowed in (
        ("p", "none quarantine reject"),
        ("sp", "none quarantine reject"),
        ("adkim", "r s"),
        ("aspf", "r s"),
    ):
        if name in tags and tags[name].lower() not in allowed.split():
            return tags, f"has {name}={cut(tags[name])}; {' or '.join(allowed.split())} is allowed"
    if "p" not in tags:
        return tags, "has no p="
    if "pct" in tags and not (tags["pct"].isascii() and tags["pct"].isdigit() and int(tags["pct"][:9]) <= 100):
        return tags, f"has pct={cut(tags['pct'])}, not a number up to 100"
    return tags, ""


def policy_of(domain: str, where: str, tags: dict[str, str]) -> str:
    """What the record asks to be done with mail of the domain that fails."""
    return (tags["p"] if where == f"_dmarc.{domain}" else tags.get("sp", tags["p"])).lower()


def _judge_dmarc(
    house: House, domain: str, authors: Sequence[str], where: str, tags: dict[str, str]
) -> Iterator[Finding]:
    policy = policy_of(domain, where, tags)
    if policy == "none":
        yield Finding(HINT, "dmarc-none", where, f"{domain} asks receivers to do nothing with forged mail (p=none)",
                      "when its reports show only your own mail: p=quarantine, then p=reject")  # fmt: skip
    if not tags.get("rua"):
        yield Finding(HINT, "dmarc-no-reports", where, f"the DMARC record at {where} asks for no reports",
                      f"add rua=mailto:postmaster@{domain}")  # fmt: skip
    elif not all(_URI.match(uri.strip()) for uri in tags["rua"].split(",")):
        yield Finding(
            WARNING, "dmarc-rua", where, f"rua={cut(tags['rua'])} is not a list of mailto: addresses", "mend it"
        )
    below = sorted({one.rpartition("@")[2] for one in authors} - {domain})
    if tags.get("adkim", "r").lower() == "s" and below:
        words = f"{where} says adkim=s, so mail of {below[0]}, which is signed by {domain}, fails DMARC"
        yield Finding(ERROR, "dmarc-strict", where, words,
                      f"say adkim=r, or give {below[0]} keys of its own: gateway domain add {below[0]}")  # fmt: skip
    if domain == house.shared and (tags.get("aspf", "r").lower() == "s" and house.return_domain != domain):
        words = f"{where} says aspf=s, so SPF of {house.return_domain} does not count for {domain}; only DKIM does"
        yield Finding(WARNING, "dmarc-strict-spf", where, words, "say aspf=r")


# -- BIMI


def check_bimi(seen: Seen, domain: str) -> list[Finding]:
    """What is to be said of a BIMI record, when there is one."""
    name = f"default._bimi.{domain}"
    texts = [text for text in seen.ask(name, "TXT").records if re.match(r"v\s*=\s*BIMI1\b", text, re.I)]
    if not texts:
        return []
    tags = {part.partition("=")[0].strip(): part.partition("=")[2].strip() for part in texts[0].split(";")}
    found = []
    if len(texts) > 1:
        found.append(
            Finding(WARNING, "bimi-several", name, f"there are {len(texts)} BIMI records at {name}", "leave one")
        )
    if tags.get("l") and not re.match(r"https://\S+\.svgz?\Z", tags["l"], re.I):
        found.append(Finding(WARNING, "bimi-logo", name, f"the logo {cut(tags['l'])} is not an https address of an SVG",
                             "publish it as SVG Tiny PS under https"))  # fmt: skip
    where, policies, silent = find_dmarc(seen, domain)
    read = read_dmarc(policies[0])[0] if len(policies) == 1 else {}
    if not silent and ("p" not in read or policy_of(domain, where, read) == "none" or read.get("pct", "100") != "100"):
        words = f"{domain} has a logo (BIMI), but nobody shows it without DMARC"
        found.append(Finding(WARNING, "bimi-dmarc", name, words, "set p=quarantine or p=reject, for all of the mail"))
    if not tags.get("a"):
        found.append(
            Finding(HINT, "bimi-certificate", name, "Gmail and Apple show a logo only with a mark certificate (a=)")
        )
    return found
