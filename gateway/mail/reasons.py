"""Why mail failed, in one vocabulary, by rules that are data (`reasons.toml`): for live SMTP replies and for reports.

Called by `outbound.delivery` (a reply), `mail.dsn.read` (a report) and `gateway bounce try`. Promises a word of
`VOCABULARY` for every status, the same each time, and the rule that gave it. An operator's own rules come first
(`ask_first`, given once at the start): they may change while the program runs, and are the only state here.
"""

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from gateway.mail.dsn.codes import find_codes
from gateway.mail.status import Action, DeliveryStatus

BLOCKED = "blocked"  # a person stopped mail to the address: the one reason that no rule gives
RECIPIENT_FAULTS = frozenset({"mailbox_unknown", "domain_unknown", "mailbox_disabled", "mailbox_full", "too_large"})
PASSING = frozenset({"rate_limited", "greylisted", "unreachable"})  # by their nature, when no code says
SUPPRESSING = frozenset(
    {"mailbox_unknown", "domain_unknown", "mailbox_disabled"}
)  # the address itself is bad, for good
VOCABULARY = RECIPIENT_FAULTS | {
    "spam_rejected",
    "policy_rejected",
    "auth_failed",
    "ip_blocked",
    "relay_failed",
    "content_error",
    "rate_limited",
    "greylisted",
    "unreachable",
    "expired",
    "unknown",
    BLOCKED,
}
_ADDRESS = re.compile(r"[^\s<>@\"(),:;]{1,64}@[\w.-]{1,255}")  # its words are a name's: spam@client.example
_FOR_A_WHILE = re.compile(  # a fault that passes by its nature, however often it was met
    r"\btemporar|\btransient|\bpersistent|\bretry time(?:out)?\b|failing for a long time|временно|vorübergehend"
)
TEXT_LIMIT = 600  # characters of a remote's words that the rules look at


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: all that it names must match. `reason` is its word, of whichever vocabulary its file has."""

    name: str
    reason: str
    example: str
    statuses: tuple[re.Pattern[str], ...] = ()
    codes: frozenset[int] = frozenset()
    text: re.Pattern[str] | None = None
    passing: bool | None = None
    seconds: int = 0

    def matches(self, status: DeliveryStatus, words: str) -> bool:
        """Whether this rule speaks of `status`."""
        if self.passing is not None and self.passing is not is_passing(status):
            return False
        if self.codes and status.code not in self.codes:
            return False
        if self.statuses and not any(pattern.match(status.status) for pattern in self.statuses):
            return False
        return self.text is None or bool(self.text.search(words))


def read_rules(source: str, words: frozenset[str] = VOCABULARY, key: str = "reason") -> tuple[Rule, ...]:
    """Rules from TOML. Raises ValueError for a rule with an unknown reason, key or pattern, naming the rule."""
    return tuple(_read_rule(row, words, key) for row in tomllib.loads(source).get("rule", ()))


def _read_rule(row: dict[str, Any], words: frozenset[str], key: str) -> Rule:
    name = str(row.get("name", "?"))
    unknown = row.keys() - {"name", key, "example", "status", "code", "text", "passing", "seconds"}
    if unknown or row.get(key) not in words:
        raise ValueError(f"rule {name!r}: {', '.join(sorted(unknown)) or row.get(key)!r} is not known")
    try:
        text = re.compile(rf"(?<![a-zа-я])(?:{row['text']})") if "text" in row else None
    except re.error as error:
        raise ValueError(f"rule {name!r}: {error}") from error
    return Rule(
        name=name,
        reason=row[key],
        example=row.get("example", ""),
        statuses=tuple(re.compile(re.escape(one).replace(r"\*", r"\d{1,3}") + r"\Z") for one in row.get("status", ())),
        codes=frozenset(row.get("code", ())),
        text=text,
        passing=row.get("passing"),
        seconds=int(row.get("seconds", 0)),
    )


@cache
def installed_rules() -> tuple[Rule, ...]:
    """The rules that come with the package."""
    return read_rules(files("gateway.mail").joinpath("reasons.toml").read_text("utf-8"))


_asked_first: list[Callable[[], Iterable[Rule]]] = []


def ask_first(source: Callable[[], Iterable[Rule]] | None) -> None:
    """Ask these rules, as they then are, before the installed ones; None: no more."""
    _asked_first[:] = [source] if source else []


def rules_now() -> tuple[Rule, ...]:
    """The rules as they hold in this process."""
    return (*(rule for source in _asked_first for rule in source()), *installed_rules())


def first_match(status: DeliveryStatus, rules: Iterable[Rule]) -> Rule | None:
    """The first rule that speaks of an outcome."""
    words = _ADDRESS.sub("<>", " ".join(status.text[:TEXT_LIMIT].lower().split()))
    return next((rule for rule in rules if rule.matches(status, words)), None)


def explain(status: DeliveryStatus, rules: Iterable[Rule] | None = None) -> tuple[str, str]:
    """(reason, name of the rule that gave it) of an outcome; ("unknown", "") when no rule speaks of it."""
    rule = first_match(status, rules_now() if rules is None else rules)
    return (rule.reason, rule.name) if rule else ("unknown", "")


def reason_of(status: DeliveryStatus) -> str:
    """The reason of an outcome, a word of `VOCABULARY`; "" when the mail was delivered."""
    if status.action in (Action.DELIVERED, Action.RELAYED, Action.EXPANDED):
        return ""
    return explain(status)[0]


def is_passing(status: DeliveryStatus) -> bool:
    """True when the remote's codes say that trying again may help (4xx); without codes its words, reason or action."""
    lead = status.status[:1] or str(status.code or "")[:1]
    if lead in ("4", "5"):
        return lead == "4"
    words = status.text.lower()
    if status.action is Action.DELAYED or _FOR_A_WHILE.search(words):
        return True
    return status.reason in PASSING and "permanent" not in words


def is_recipient_fault(status: DeliveryStatus) -> bool:
    """True when the address itself is bad for good; only such an outcome may suppress it."""
    reason = status.reason or reason_of(status)
    return status.action is Action.FAILED and reason in SUPPRESSING and not is_passing(status)


def read_words(words: str) -> DeliveryStatus:
    """A remote's words as an outcome with its reason, for `gateway bounce try`: `550 5.1.1 no such user`."""
    code, status = find_codes(words)
    lead = status[:1] or str(code or "")[:1]
    outcome = DeliveryStatus(Action.DELAYED if lead == "4" else Action.FAILED, status, code, words[:TEXT_LIMIT])
    return outcome.because(reason_of(outcome))
