"""When to try again: backoff that grows from 5 minutes to 4 hours, with jitter, for 5 days (RFC 5321 §4.5.4.1).

Pure: the queue gives the number of attempts and a random fraction. Jitter keeps a destination that was down from
being met by everything at once when it comes back. The house has one policy; a tenant's options may say otherwise, for
all its mail or for one route (`outbound.retry_options` reads and sets them).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.store.settings import EXPIRE, RETRY_FIRST, RETRY_LONGEST, ROUTE_RETRY


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy; times in seconds."""

    first: float = 300
    growth: float = 2
    longest: float = 4 * 3600
    expire: float = 5 * 86400
    jitter: float = 0.2  # the wait varies by so much, up and down
    late: float = 4 * 3600  # when a thread is told that its mail is late
    unclear: int = 2  # how often a mail is sent again whose final dot went unanswered: it may arrive as many times

    def wait(self, attempts: int, fraction: float) -> float:
        """Seconds until the next try after `attempts` failed ones; `fraction` is random in [0, 1)."""
        grown = min(self.first * self.growth ** min(max(attempts - 1, 0), 50), self.longest)
        return grown * (1 + self.jitter * (2 * fraction - 1))

    def chosen(self, options: Mapping[str, Any], route: str) -> "Retry":
        """The same as a tenant's options have it for a route: what they say of the route, else of all, else this."""
        said = {**options, **options.get(ROUTE_RETRY, {}).get(route, {})}
        first, longest = said.get(RETRY_FIRST, self.first), said.get(RETRY_LONGEST, self.longest)
        return replace(self, first=first, longest=max(longest, first), expire=said.get(EXPIRE, self.expire))
