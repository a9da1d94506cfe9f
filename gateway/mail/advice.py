"""What to do after a remote's words, beside trying again: by rules that are data (`advice.toml`).

Called by `outbound.delivery` for each outcome that may pass or is about us, and by `gateway bounce try`. Promises a
word of `ADVICE` for every status, with the rule that gave it; a time that the remote names ("try again in 5 minutes")
is honoured within bounds. The rules can be read again from an operator's file while the gateway runs.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from gateway.mail.reasons import Rule, first_match, is_passing, read_rules
from gateway.mail.status import Action, DeliveryStatus

LATER, SLOW, PAUSE, STOP, OURS = "later", "slow", "pause", "stop", "ours"
ADVICE = frozenset((LATER, SLOW, PAUSE, STOP, OURS))
SHORTEST, LONGEST = 5, 6 * 3600  # seconds: what a remote may ask of us

_UNITS = {"s": 1, "m": 60, "h": 3600, "с": 1, "м": 60, "ч": 3600}
_TIME = re.compile(
    r"(?:(?:try|retry)(?:ing)?(?: again| later| back)*|come back|wait|again|повторите[^\n]{0,30}?|через)"
    r"[^\n0-9]{0,30}?(?P<n>\d{1,6})\s*(?P<unit>s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?|rs?)?|сек|мин|час)"
    r"(?![a-zа-я]{3})"
)


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do. `seconds`: how long the recipient (later) or the destination (pause, ours) waits; 0: as usual."""

    word: str = LATER
    seconds: int = 0
    rule: str = ""


def read_advice(source: str) -> tuple[Rule, ...]:
    """Rules from TOML. Raises ValueError for a rule with an unknown word, key or pattern, naming the rule."""
    return read_rules(source, ADVICE, "advice")


@cache
def installed_advice() -> tuple[Rule, ...]:
    """The rules that come with the package."""
    return read_advice(files("gateway.mail").joinpath("advice.toml").read_text("utf-8"))


def advise(status: DeliveryStatus, rules: Iterable[Rule] | None = None) -> Advice:
    """The advice for an outcome; that of the first rule that matches, else LATER."""
    if status.action not in (Action.DELAYED, Action.FAILED):
        return Advice()
    rule = first_match(status, installed_advice() if rules is None else rules)
    named = _named_seconds(status) if is_passing(status) else 0
    if rule is None:
        return Advice(LATER, named)
    return Advice(rule.reason, named or rule.seconds, rule.name)


def _named_seconds(status: DeliveryStatus) -> int:
    """The time that the remote's words ask us to wait, in seconds; 0 when they name none."""
    found = _TIME.search(" ".join(status.text[:600].lower().split()))
    if found is None:
        return 0
    return min(max(int(found["n"]) * _UNITS[found["unit"][0]], SHORTEST), LONGEST)
