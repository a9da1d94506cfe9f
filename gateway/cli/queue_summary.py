"""What `gateway queue summary` says of each domain: counted from the groups that the queue gives."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from gateway.outbound.queue_list import Waiting

HELD, SENDING, AHEAD, UNTRIED = "held", "being sent", "for later", "not tried yet"


def by_domain(groups: Iterable[Waiting]) -> list[dict[str, Any]]:
    """A row for each domain, the fullest first: how many wait and are held, since when, and what for.

    `why` counts each reason, the most frequent first; `words` is an example of what a server said, or of a hold.
    """
    domains: dict[str, list[Waiting]] = {}
    for one in groups:
        domains.setdefault(one.domain, []).append(one)
    rows = [_row(domain, found) for domain, found in domains.items()]
    return sorted(rows, key=lambda row: (-row["waiting"] - row["held"], row["domain"]))


def _row(domain: str, groups: list[Waiting]) -> dict[str, Any]:
    why: Counter[str] = Counter()
    for one in groups:
        why.update(_why(one))
    free = [one for one in groups if not one.hold]
    telling = max(groups, key=lambda one: (bool(one.hold or one.words), one.count))
    said = f"{telling.host.partition(' ')[0]}: {telling.words}" if telling.host and telling.words else telling.words
    return {
        "domain": domain,
        "waiting": sum(one.count for one in free),
        "held": sum(one.count for one in groups if one.hold),
        "oldest": min(one.oldest for one in groups),
        "next_attempt_at": min((one.next_attempt_at for one in free), default=None),
        "why": dict(why.most_common()),
        "words": telling.hold or said,
    }


def _why(group: Waiting) -> dict[str, int]:
    if group.hold:
        return {HELD: group.count}
    rest = group.count - group.under_way - group.ahead
    counts = {SENDING: group.under_way, AHEAD: group.ahead, group.reason or UNTRIED: rest}
    return {name: count for name, count in counts.items() if count}
