"""A destination: what waits for it, tenant by tenant in turn, and how much at once it bears (feedback).

Used by `outbound.delivery`, on the event loop only. A destination is a route, or a set of mail servers that may serve
many domains. Its `Flow` begins with a few connections and grows by one for each window of successes; trouble takes one
back, words that ask for less halve it, and a destination that nobody reached rests, longer each time, until one probe
comes through (the way of Postfix's scheduler, RFC 5321 §4.5.4.1). State in memory only: a restart begins anew, gently.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from gateway.mail.advice import OURS, PAUSE, SLOW, Advice
from gateway.mail.status import DeliveryStatus
from gateway.outbound.queue import Booked
from gateway.outbound.routing import Way
from gateway.outbound.smtp_terms import Timeouts

FIRST_REST = 30.0  # seconds after nobody was reached; doubles each time
LONGEST_REST = 900.0
REMEMBERED = 10_000  # destinations whose pace is kept
USUAL_PAUSE = 60.0  # when words ask for one and name no time
LINE = 1000  # deliveries of one tenant that wait for a destination in memory; more go back to the queue
SOON = 2.0  # seconds until the first of those is looked at again
LATEST = 900.0  # and until the last
MEASURED = 60.0  # seconds over which a destination's speed is counted
GUESSED = 50.0  # deliveries a second, until it was
FLOWS, RESTS, PROBED = "flows", "rests", "probed"  # how it is with a destination


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections at once: at first, and at the most."""

    first: int = 5
    most: int = 20


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once. `lease_ms` is how long a booked attempt is ours; `seats` share a tenant's own server."""

    connections: int = 200
    per_destination: int = 20
    lease_ms: int = 900_000
    seats: int = 1
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def attempt_seconds(self) -> float:
        """How long one attempt may take, its outcome written well before the lease ends. Opening has a third of it."""
        return max(self.lease_ms / 1000 - 40, 20.0)

    def bounds(self, way: Way) -> Bounds:
        """Of one destination: a relay has what was asked for, anybody else at most a tenth of all connections."""
        if way.server is not None:  # a company's account: few at once
            return Bounds(first=2, most=min(max(way.server.connections // self.seats, 1), self.per_destination))
        if not way.domain:
            return Bounds(most=self.per_destination)
        return Bounds(most=max(min(self.per_destination, self.connections // 10), 1))


class Flow:
    """How much a destination bears now. Times are seconds since 1970, by the house's clock."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.window = float(min(bounds.first, bounds.most))
        self.rest_until = 0.0
        self.why: DeliveryStatus | None = None  # what it rests for
        self._rests = 0
        self._failed = 0.0  # of the last window, as a share

    def rests(self, now: float) -> bool:
        """Whether nobody may speak to it now."""
        return now < self.rest_until

    def room(self, now: float) -> int:
        """How many connections it may have: none while it rests, one to probe it afterwards."""
        if self.rests(now):
            return 0
        return 1 if self._rests else max(int(self.window), 1)

    def state(self, now: float) -> str:
        """FLOWS, RESTS, or PROBED: it rested, and nothing came through since."""
        return RESTS if self.rests(now) else PROBED if self._rests else FLOWS

    def went_well(self) -> None:
        """A message was taken, or a recipient refused in good order."""
        self._rests, self._failed, self.why = 0, 0.0, None
        self.window = min(self.window + 1 / self.window, float(self.bounds.most))

    def was_unreachable(self, now: float, why: DeliveryStatus) -> None:
        """None of its servers could be spoken to."""
        self._rest(now, min(FIRST_REST * 2 ** min(self._rests, 10), LONGEST_REST), why)

    def broke(self, now: float, why: DeliveryStatus) -> None:
        """A connection was lost or out of step. A window of these in a row, and it rests."""
        self._failed += 1 / self.window
        self.window = max(self.window - 1, 1.0)
        if self._failed >= 1:
            self.was_unreachable(now, why)

    def was_told(self, now: float, advice: Advice, why: DeliveryStatus) -> None:
        """Its own words ask for less, or for a pause."""
        if advice.word == SLOW:
            self.window = max(self.window / 2, 1.0)
        elif advice.word in (PAUSE, OURS):
            self.window = max(self.window / 2, 1.0)
            self._rest(now, advice.seconds or min(USUAL_PAUSE * 2 ** min(self._rests, 4), LONGEST_REST), why)

    def _rest(self, now: float, seconds: float, why: DeliveryStatus) -> None:
        self._rests += 1
        self._failed = 0.0
        self.rest_until = max(self.rest_until, now + seconds)
        self.why = why

    def resume(self, now: float) -> None:
        """A person wants it tried again at once: one probe may go, and the rest once that came through."""
        self.rest_until = min(self.rest_until, now)


class Flows:
    """The pace of each destination that was met lately, by its key."""

    def __init__(self) -> None:
        self._flows: OrderedDict[str, Flow] = OrderedDict()

    def get(self, key: str, bounds: Bounds) -> Flow:
        """The pace of a destination; a fresh one for a new acquaintance."""
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = Flow(bounds)
            if len(self._flows) > REMEMBERED:
                self._flows.popitem(last=False)
        self._flows.move_to_end(key)
        return flow

    def known(self, key: str) -> Flow | None:
        """The pace of a destination that was met; looking at it makes it no newer."""
        return self._flows.get(key)

    def resting(self, now: float) -> list[str]:
        """The keys of those that rest, or wait for a probe to come through."""
        return [key for key, flow in self._flows.items() if flow.state(now) != FLOWS]


class Destination:
    """What waits for one destination, and who serves it."""

    def __init__(self, key: str, way: Way, flow: Flow) -> None:
        self.key = key
        self.way = way  # of whichever of its domains came last
        self.flow = flow
        self.serving = 0
        self.idle: list[asyncio.Future[Booked | None]] = []
        self._lines: OrderedDict[str, deque[Booked]] = OrderedDict()  # tenant -> its line, the next one first
        self._waiting = 0
        self._taken, self._since, self._speed = 0, 0.0, 0.0
        self._turn = 0.0

    def __len__(self) -> int:
        return self._waiting

    def add(self, made: Booked) -> None:
        """At the end of its tenant's line."""
        line = self._lines.get(made.tenant_id)
        if line is None:
            line = self._lines[made.tenant_id] = deque()
        line.append(made)
        self._waiting += 1

    def take(self) -> Booked | None:
        """The next one: tenants in turn, so that twenty thousand of one do not stand before the one of another."""
        if not self._lines:
            return None
        tenant_id, line = next(iter(self._lines.items()))
        made = line.popleft()
        self._waiting -= 1
        self._taken += 1
        if line:
            self._lines.move_to_end(tenant_id)
        else:
            del self._lines[tenant_id]
        return made

    def is_full(self, tenant_id: str) -> bool:
        """Whether a tenant has enough in line here: another's single invoice still has its place."""
        line = self._lines.get(tenant_id)
        return line is not None and len(line) >= LINE

    def turn(self, now: float) -> float:
        """When the next delivery that found its line full should come again (seconds since 1970).

        Twice as fast as the line moves: it never runs empty, and however many there are, what goes to and fro costs
        no more than twice what is sent.
        """
        elapsed = now - self._since
        if elapsed > MEASURED:
            self._speed = self._taken / elapsed if self._since else GUESSED
            self._taken, self._since = 0, now
        elif elapsed > SOON:
            self._speed = max(self._speed, self._taken / elapsed)
        speed = max(self._speed, LINE / LATEST)
        self._turn = max(self._turn, now + max(SOON, LINE / speed / 2)) + 1 / speed / 2
        return min(self._turn, now + LATEST)

    def take_all(self) -> list[Booked]:
        """Everything that waits; nothing does afterwards."""
        found = [made for line in self._lines.values() for made in line]
        self._lines.clear()
        self._waiting = 0
        return found
