"""A finding: one thing about a domain's DNS that is wrong, or could be better, in words, with what to do about it.

Made by `outbound.domain_check`, `dkim_check` and `house_check`; kept with the domain, shown by `gateway domain check`,
`doctor` and `tenant show`. An *error* means that mail fails or is unaligned, a *warning* that some of it may, a *hint*
that nothing fails yet. What DNS did not answer is a finding of its own kind, *unknown*, and is held against nobody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

ERROR, WARNING, UNKNOWN, HINT = "error", "warning", "unknown", "hint"
ORDER = (ERROR, WARNING, UNKNOWN, HINT)


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` says in a word what it is, `name` which DNS name it is about, `todo` what to publish or do."""

    severity: str
    code: str
    name: str
    words: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """What a look at a domain found, worst first. `aligned`: whether its mail passes DKIM; None when nobody can say.

    `seen`: the selectors whose records are in DNS as they must be.
    """

    domain: str
    findings: tuple[Finding, ...]
    aligned: bool | None = None
    seen: tuple[str, ...] = ()
    told: bool = False  # whether its tenant was told that its mail stays on the shared address

    @property
    def state(self) -> str:
        """The worst severity, or ok."""
        return next((one for one in ORDER[:3] if any(f.severity == one for f in self.findings)), "ok")

    def as_json(self) -> dict[str, Any]:
        """For keeping."""
        found = [asdict(one) for one in self.findings]
        return {"aligned": self.aligned, "seen": list(self.seen), "told": self.told, "findings": found}


def read_check(domain: str, kept: Mapping[str, Any]) -> Check:
    """What was kept."""
    found = tuple(Finding(**one) for one in kept.get("findings", ()))
    return Check(domain, found, kept.get("aligned"), tuple(kept.get("seen", ())), bool(kept.get("told")))


def sort(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first, each once; silence is said once, about the first name and the number of others."""
    found = dict.fromkeys(findings)
    silent = [one for one in found if one.severity == UNKNOWN]
    if len(silent) > 1:
        others = len(silent) - 1
        said = replace(silent[0], words=f"{silent[0].words} (and {others} other name{'s' * (others > 1)})")
        found = dict.fromkeys([one for one in found if one.severity != UNKNOWN] + [said])
    return tuple(sorted(found, key=lambda one: ORDER.index(one.severity)))


def unknown(name: str, words: str) -> Finding:
    """DNS did not say."""
    todo = "it is asked again later; if this stays, look at delivery.resolver"
    return Finding(UNKNOWN, "dns-silent", name, f"nobody knows yet: {words}", todo)


def cut(text: str) -> str:
    """A foreign text as it may stand in a sentence."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:100])
    return f'"{shown}{"…" if len(text) > 100 else ""}"'
