"""How often somebody may try to log in: per network address and per e-mail, in bounded memory.

Called by `web.auth` before a password is verified. A try counts when it is made and is given back when it was right,
so that people who can log in never wait. A network address is limited first and hardest: whoever guesses from one
place cannot lock a colleague out from many. What is forgotten under pressure is what was tried longest ago.
"""

import ipaddress
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

REMEMBERED = 20_000  # addresses and e-mails


@dataclass(frozen=True, slots=True)
class Limit:
    """So many tries within so long a time."""

    tries: int
    within: timedelta


ADDRESS_LIMITS = (Limit(10, timedelta(minutes=1)), Limit(50, timedelta(days=1)))
EMAIL_LIMITS = (Limit(10, timedelta(minutes=10)),)


@dataclass
class LoginLimits:
    """The tries of late. Lives with the pages' process; used from its event loop only."""

    address_limits: tuple[Limit, ...] = ADDRESS_LIMITS
    email_limits: tuple[Limit, ...] = EMAIL_LIMITS
    remembered: int = REMEMBERED
    _tries: OrderedDict[str, deque[datetime]] = field(default_factory=OrderedDict)

    def take(self, address: str, email: str, now: datetime) -> int:
        """Count a try: 0 when it may be made, else in how many seconds the next may."""
        keys = ((f"a {network_of(address)}", self.address_limits), (f"e {email.lower()[:320]}", self.email_limits))
        wait = max(self._wait(key, limits, now) for key, limits in keys)
        if wait <= 0:
            for key, limits in keys:
                tries = self._tries.setdefault(key, deque(maxlen=max((limit.tries for limit in limits), default=0)))
                tries.append(now)
                self._tries.move_to_end(key)
            while len(self._tries) > self.remembered:
                self._tries.popitem(last=False)
        return wait

    def give_back(self, address: str, email: str) -> None:
        """The last try was right: it does not count."""
        for key in (f"a {network_of(address)}", f"e {email.lower()[:320]}"):
            tries = self._tries.get(key)
            if tries:
                tries.pop()

    def _wait(self, key: str, limits: tuple[Limit, ...], now: datetime) -> int:
        tries = self._tries.get(key, ())
        waits = [0]
        for limit in limits:
            recent = [at for at in tries if now - at < limit.within]
            if len(recent) >= limit.tries:
                waits.append(int((recent[-limit.tries] + limit.within - now).total_seconds()) + 1)
        return max(waits)


def network_of(address: str) -> str:
    """Whom a network address stands for: itself, or its /64 in IPv6, where one host owns as many as it likes."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
