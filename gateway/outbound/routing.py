"""Where a delivery goes: a `Destination` (what shares connections) and the servers to dial for it, best first.

A route is data: the recipient's own servers by MX, or a relay for everything. Called by `outbound.delivery`. Trouble in
DNS is a `DeliveryStatus`, like every other outcome.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.mail.address import parse_address
from gateway.mail.status import DeliveryStatus
from gateway.outbound.mx import Host, Resolver
from gateway.outbound.queue import Booked
from gateway.outbound.smtp_terms import Login, Target, Tls, passing


@dataclass(frozen=True, slots=True)
class Route:
    """How mail leaves. Without a `relay` host it goes to the recipient's servers."""

    helo: str
    relay: str = ""
    port: int = 25
    tls: Tls = "opportunistic"
    login: Login | None = None

    def destination(self, made: Booked) -> str:
        """The key of what shares connections: the relay, or the recipient's domain."""
        return f"relay {self.relay}:{self.port}" if self.relay else parse_address(made.recipient).domain


class Router:
    """Finds the servers of a destination."""

    def __init__(self, route: Route, resolver: Resolver) -> None:
        self.route = route
        self._resolver = resolver

    async def find(self, made: Booked, now: datetime) -> Sequence[Target] | DeliveryStatus:
        """The servers to dial for this delivery, best first."""
        route = self.route
        if route.relay:
            hosts = await _find_relay(route)
        else:
            hosts = await self._resolver.find(parse_address(made.recipient).domain, now)
        if isinstance(hosts, DeliveryStatus):
            return hosts
        return [
            Target(
                host=host.name,
                address=host.address,
                port=route.port if host.port == 25 else host.port,
                tls=route.tls,
                login=route.login,
                helo=route.helo,
            )
            for host in hosts
        ]


async def _find_relay(route: Route) -> Sequence[Host] | DeliveryStatus:
    """The relay's addresses, as this machine knows them (its hosts file counts)."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(route.relay, route.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return passing("4.4.3", f"the relay {route.relay} has no address: {error.strerror}", route.relay)
    return [Host(route.relay, str(address[0]), route.port) for *_, address in found]
