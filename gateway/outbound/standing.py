"""How a node stands with the destinations that it sends to, for whoever runs the gateway to see.

Made from what `outbound.delivery` has in memory, on the event loop: those that rest come first, then the busiest.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gateway.outbound.destinations import FLOWS, Destination, Flow, Flows

MOST = 100  # destinations that are told of


@dataclass(frozen=True, slots=True)
class Standing:
    """One destination. `state` is flows, rests or probed; `until` is when its rest ends, seconds since 1970."""

    key: str
    domain: str  # one of those it serves; "" for a relay or a tenant's own server, and when nothing is for it now
    way: str  # direct, relay or smtp; "" when nothing is for it now
    state: str
    connections: int
    allowed: int  # connections that it bears now
    most: int
    waiting: int  # in this node's memory
    until: float
    words: str  # why it rests


def standings(flows: Flows, destinations: Mapping[str, Destination], now: float) -> list[dict[str, Any]]:
    """The destinations that there is something to say of, as JSON."""
    keys = dict.fromkeys([*flows.resting(now), *destinations])
    found = [_standing(key, flows.known(key), destinations.get(key), now) for key in keys]
    found.sort(key=lambda one: (one.state == FLOWS, -one.waiting - one.connections, one.key))
    return [asdict(one) for one in found[:MOST]]


def _standing(key: str, flow: Flow | None, met: Destination | None, now: float) -> Standing:
    flow = met.flow if met is not None else flow
    assert flow is not None
    rests = flow.state(now) != FLOWS
    return Standing(
        key, met.way.domain if met else "", met.way.name if met else "", flow.state(now), met.serving if met else 0,
        flow.room(now), flow.bounds.most, len(met) if met else 0, flow.rest_until if rests else 0.0,
        flow.why.words[:300] if rests and flow.why else "",
    )  # fmt: skip
