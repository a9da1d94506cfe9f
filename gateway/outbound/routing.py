"""Where a delivery goes: its `Way` (what shares connections and a pace), and the servers to dial for it, best first.

A route is data: the recipient's own servers by MX, or a relay for everything. Domains that are served by the same set
of mail hosts are one destination. Called by `outbound.delivery`. Trouble in DNS is a `DeliveryStatus`, like every other
outcome.
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


@dataclass(frozen=True, slots=True)
class Way:
    """How one delivery goes. `key` names what shares connections; `domain` is the recipient's, "" with a relay."""

    key: str
    domain: str
    route: Route


class Router:
    """Finds the way of a delivery, and the servers at its end."""

    def __init__(self, route: Route, resolver: Resolver) -> None:
        self.route = route
        self._resolver = resolver

    def known(self, made: Booked, now: datetime) -> Way | None:
        """The way when it can be told at once; None when somebody must be asked (`find`)."""
        route = self.route
        if route.relay:
            return Way(f"relay {route.relay}:{route.port}", "", route)
        domain = parse_address(made.recipient).domain
        servers = self._resolver.known_set(domain, now)
        return Way(servers, domain, route) if servers else None

    async def find(self, made: Booked, now: datetime) -> Way | DeliveryStatus:
        """The way of a delivery, or why there is none."""
        way = self.known(made, now)
        if way is not None:
            return way
        domain = parse_address(made.recipient).domain
        hosts = await self._resolver.find(domain, now)
        if isinstance(hosts, DeliveryStatus):
            return hosts
        return Way(self._resolver.known_set(domain, now) or domain, domain, self.route)

    async def targets(self, way: Way, now: datetime) -> Sequence[Target] | DeliveryStatus:
        """The servers to dial, best first."""
        route = way.route
        if route.relay:
            hosts = await _find_relay(route)
        else:
            hosts = await self._resolver.find(way.domain, now)
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
