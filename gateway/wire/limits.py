"""What one client may cost us: the numbers of security rule 5, and the two tables that enforce them across connections.

`Limits` is what an operator sets. `FailedLogins` remembers wrong passwords per client address; `Admission` counts
connections. Both are used by every listener of a process and hold bounded memory whatever clients do. They keep no
password, only keyed digests under a key that dies with the process. Clocks are passed in as monotonic seconds.
"""

import asyncio
import hashlib
import ipaddress
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

AUTH_LINE_BYTES = 12288  # RFC 4954 §4.5.1
KNOWN_ADDRESSES = 10_000
KNOWN_GOOD = 32
STALL_SECONDS = 2.0  # a command line or DATA that stands still this long may be displaced when its address is full
PATIENCE_SECONDS = 3.0  # how long a newcomer waits for such a place
WAITING = 20  # newcomers that may wait at a time


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one listener; seconds and bytes. The defaults are those of security rule 5."""

    message_bytes: int = 25 * 2**20
    header_bytes: int = 100 * 1024
    recipients: int = 1000
    line_bytes: int = 4096  # a command; AUTH may have AUTH_LINE_BYTES
    errors: int = 20
    junk: int = 150  # NOOP, RSET, VRFY, HELP, another EHLO: since the last accepted message
    auth_tries: int = 5  # per connection
    auth_per_minute: int = 10  # failed, per client address
    auth_per_day: int = 50
    idle_seconds: float = 300
    min_bytes_per_second: int = 500  # within DATA
    rate_seconds: float = 60  # the window over which that is measured
    connections: int = 1000
    connections_per_address: int = 100


def client_key(host: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address (one customer's network)."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


@dataclass(slots=True)
class _Record:
    minute_at: float = 0.0
    in_minute: int = 0
    day_at: float = 0.0
    bad: set[bytes] = field(default_factory=set)  # distinct wrong guesses of the day
    good: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class FailedLogins:
    """Wrong passwords per client address.

    The minute bounds the work of hashing, so every failed try counts. The day bounds guessing, so the same wrong
    pair counts once: a billing system with a stale password that retries all night must not lock its office out.
    While the minute is used up, a pair that has worked from this address before is still let in, and any other pair is
    a guess that uses up the day; when the day is used up, nothing is let in. So a guesser never gets more answers
    than the day allows, and a neighbour behind the same address survives a burst.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def turn(self, client: str, username: str, password: str) -> asyncio.Lock:
        """Hold this while trying: one try at a time per client, or many connections would guess before one is counted.

        A pair that is known to work does not queue.
        """
        record = self._record(client)
        return asyncio.Lock() if self._digest(username, password) in record.good else record.turn

    def wait_seconds(self, client: str, username: str, password: str, limits: Limits, now: float) -> float:
        """0 when this try may be checked, else how many seconds the client has to wait. `client` is a `client_key`."""
        record = self._records.get(client)
        if record is None:
            return 0.0
        self._age(record, now)
        if len(record.bad) >= limits.auth_per_day:
            return record.day_at + 86400 - now
        if record.in_minute < limits.auth_per_minute:
            return 0.0
        pair = self._digest(username, password)
        if pair in record.good:
            return 0.0
        record.bad.add(pair)
        return max(record.minute_at + 60 - now, 1.0)

    def failed(self, client: str, username: str, password: str, now: float) -> None:
        """Count a wrong pair."""
        record = self._record(client)
        self._age(record, now)
        if not record.in_minute:
            record.minute_at = now
        if not record.bad:
            record.day_at = now
        record.in_minute += 1
        pair = self._digest(username, password)
        record.bad.add(pair)
        record.good.pop(pair, None)  # it was revoked

    def succeeded(self, client: str, username: str, password: str) -> None:
        """Remember that this pair works from this address."""
        record = self._record(client)
        pair = self._digest(username, password)
        record.good[pair] = None
        record.good.move_to_end(pair)
        if len(record.good) > KNOWN_GOOD:
            record.good.popitem(last=False)

    def _record(self, client: str) -> _Record:
        record = self._records.setdefault(client, _Record())
        self._records.move_to_end(client)
        if len(self._records) > KNOWN_ADDRESSES:
            self._records.popitem(last=False)
        return record

    @staticmethod
    def _age(record: _Record, now: float) -> None:
        if now - record.minute_at >= 60:
            record.in_minute = 0
        if now - record.day_at >= 86400:
            record.bad.clear()

    def _digest(self, username: str, password: str) -> bytes:
        name = username.encode()
        text = len(name).to_bytes(4, "big") + name + password.encode()
        return hashlib.blake2b(text, key=self._key, digest_size=16).digest()


class Guest(Protocol):
    """A connection, as `Admission` sees it."""

    @property
    def client(self) -> str:
        """The `client_key` of its peer."""

    def stalled_seconds(self, now: float) -> float:
        """How long it has stood still in the middle of a command line or of DATA; 0 when it has not."""

    def displace(self) -> None:
        """Leave at once, with a 421."""


class Admission:
    """Who is connected to one listener, and whether one more may be.

    An address (or the listener) that is full refuses a newcomer, unless one of its connections stands still in the
    middle of a line or of DATA, as slow-drip attacks do: that one is displaced.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.guests: set[Guest] = set()
        self._clients: dict[str, set[Guest]] = {}
        self._waiting = 0

    async def admit(self, guest: Guest) -> bool:
        """Count `guest` in, perhaps after a wait of PATIENCE_SECONDS; False: refuse it."""
        if self._enter(guest):
            return True
        client, loop = guest.client, asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while (now := loop.time()) < until and (worst := self._worst(client, now)):
            if worst.stalled_seconds(now) >= STALL_SECONDS:
                self.leave(worst)
                worst.displace()
            elif self._waiting >= WAITING:
                return False
            else:
                self._waiting += 1
                try:
                    await asyncio.sleep(0.25)
                finally:
                    self._waiting -= 1
            if self._enter(guest):
                return True
        return False

    def leave(self, guest: Guest) -> None:
        """Forget `guest`; harmless when it was not counted."""
        self.guests.discard(guest)
        others = self._clients.get(guest.client)
        if others is not None:
            others.discard(guest)
            if not others:
                del self._clients[guest.client]

    def _enter(self, guest: Guest) -> bool:
        others = self._clients.get(guest.client, ())
        if len(self.guests) >= self._limits.connections or len(others) >= self._limits.connections_per_address:
            return False
        self.guests.add(guest)
        self._clients.setdefault(guest.client, set()).add(guest)
        return True

    def _worst(self, client: str, now: float) -> Guest | None:
        """The connection that has stood still longest, among those whose leaving would make room for `client`."""
        own = self._clients.get(client, set())
        among = own if len(own) >= self._limits.connections_per_address else self.guests
        worst = max(among, key=lambda guest: guest.stalled_seconds(now), default=None)
        return worst if worst is not None and worst.stalled_seconds(now) > 0 else None
