"""DMARC (RFC 9989): what a domain's record says, and whether a name that was proven speaks for the author's domain.

Pure: `gateway.inbound.sender_checks` asks DNS; `outbound.domain_check` reads a tenant's own record. `read_dmarc` is
lenient where the RFC says so: unknown tags are skipped, an unknown policy is "none".
"""

from collections.abc import Mapping
from dataclasses import dataclass

LABELS = 8  # the tree walk asks no more names than this (RFC 9989 §4.10)
POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """`psd` is "y" for a public suffix, "n" for an organisation's top, "u" when the record does not say."""

    policy: str = "none"
    subdomains: str = ""
    strict_dkim: bool = False
    strict_spf: bool = False
    psd: str = "u"


def read_dmarc(texts: list[str]) -> DmarcRecord | None:
    """The record among a name's TXT records; None when there is none, or more than one."""
    found = [text for text in texts if text.replace(" ", "").lower().startswith("v=dmarc1")]
    if len(found) != 1:
        return None
    tags = {name: value.lower() for name, value in tags_of(found[0]).items()}
    policy = tags.get("p", "none")
    subdomains = tags.get("sp", "")
    return DmarcRecord(
        policy if policy in POLICIES else "none",
        subdomains if subdomains in POLICIES else "",
        tags.get("adkim") == "s",
        tags.get("aspf") == "s",
        tags["psd"] if tags.get("psd") in ("y", "n") else "u",
    )


def tags_of(text: str) -> dict[str, str]:
    """The tags of a record, by their names in lower case; the first of each (RFC 9989 §4.7)."""
    tags: dict[str, str] = {}
    for part in text.split(";")[:50]:
        name, _, value = part.partition("=")
        tags.setdefault(name.strip().lower(), value.strip())
    return tags


def walk(domain: str) -> list[str]:
    """The names whose records are asked for, the domain first, the top last (RFC 9989 §4.10)."""
    labels = domain.lower().strip(".").split(".")
    above = labels[1:] if len(labels) < LABELS else labels[-(LABELS - 1) :]
    return [".".join(labels), *(".".join(above[at:]) for at in range(len(above)))]


def organisation(domain: str, records: Mapping[str, DmarcRecord | None]) -> str:
    """The organisational domain, given the records of `walk(domain)` (RFC 9989 §4.10.2)."""
    names = walk(domain)
    for at, name in enumerate(names):
        record = records.get(name)
        if record is not None and record.psd == "n":
            return name
        if record is not None and record.psd == "y" and at > 0:
            return ".".join(domain.lower().strip(".").split(".")[-(name.count(".") + 2) :])
    named = [name for name in names if records.get(name) is not None]
    return named[-1] if named else names[0]


def policy_of(domain: str, records: Mapping[str, DmarcRecord | None]) -> tuple[DmarcRecord, str] | None:
    """(the record that holds for a domain, its policy there); None when nobody publishes one."""
    names = walk(domain)
    own = records.get(names[0])
    if own is not None:
        return own, own.policy
    top = records.get(organisation(domain, records))
    return (top, top.subdomains or top.policy) if top is not None else None
