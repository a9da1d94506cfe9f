"""Where a delivery goes: its `Way` (what shares connections and a pace), and the servers to dial for it, best first.

A route is data: the recipient's own servers by MX, a relay for everything, or the tenant's own SMTP server, which takes
the messages that were framed for it (`OWN_SERVER`; a switch holds for the next message, what is queued stays as it is).
Domains that are served by the same set of mail hosts are one destination. Called by `outbound.delivery`. Trouble in DNS
is a `DeliveryStatus`, like every other outcome.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from gateway.mail.address import Address, parse_address
from gateway.mail.status import DeliveryStatus
from gateway.outbound.mx import Host, Resolver
from gateway.outbound.queue import Booked
from gateway.outbound.smtp_opening import default_context
from gateway.outbound.smtp_terms import Login, Target, Tls, passing
from gateway.outbound.tenant_routes import Own, TenantRoutes
from gateway.outbound.tls_policy import NOTHING, REPORTS, Demands, TlsPolicies
from gateway.outbound.tls_tally import Tally
from gateway.outbound.tls_targets import demanded
from gateway.store.messages import OWN_SERVER
from gateway.store.routes import Server
from gateway.store.schema import OPERATOR

_TLS: dict[str, Tls] = {
    "tls": "implicit",
    "starttls": "required",
    "starttls-if-offered": "opportunistic",
    "none": "off",
}


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
    tenant_id: str = ""  # whose own server it is; "" for a way of the house
    server: Server | None = None
    demands: Demands = NOTHING  # of TLS with the recipient's servers

    @property
    def name(self) -> str:
        """How attempts name it: direct, relay, or smtp for a tenant's own server."""
        return "smtp" if self.tenant_id else "relay" if self.route.relay else "direct"


class Router:
    """Finds the way of a delivery, and the servers at its end."""

    def __init__(
        self,
        route: Route,
        resolver: Resolver,
        tenants: TenantRoutes | None = None,
        policies: TlsPolicies | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.route = route
        self.tenants = tenants
        self.policies = policies
        self.tally = tally
        self._resolver = resolver

    def known(self, made: Booked, now: datetime) -> Way | None:
        """The way when it can be told at once; None when somebody must be asked (`find`)."""
        if self.tenants is not None and (made.raw is None or made.flags & OWN_SERVER):
            own = self.tenants.known(made.tenant_id)
            if own is None or (own.server is not None and made.raw is None):
                return None
            if own.server is not None:
                return self.own_way(own)
        return self._house_way(made, now)

    def suits(self, way: Way, made: Booked) -> bool:
        """Whether a message that was read since may go this way: it may have been framed for another."""
        if made.flags & OWN_SERVER:
            own = self.tenants.known(made.tenant_id) if self.tenants is not None else None
            return bool(way.tenant_id) or (own is not None and own.server is None) or self.tenants is None
        return not way.tenant_id

    async def note_unreached(self, way: Way, status: DeliveryStatus) -> None:
        """No session with a tenant's own server: what that is a sign of, is told to whoever keeps count."""
        if self.tenants is not None and way.server is not None:
            await self.tenants.went_wrong(way.tenant_id, way.server.version, status)
            if status.reason == "auth_failed" and way.server.auth == "oauth":
                await self.tenants.doubt(way.tenant_id)

    def own_way(self, own: Own) -> Way:
        """The way through a tenant's own server."""
        server = own.server
        assert server is not None
        route = replace(self.route, relay=server.host, port=server.port, tls=_TLS[server.security])
        return Way(f"smtp {own.tenant_id} {server.version}", "", route, own.tenant_id, server)

    async def _find_own(self, made: Booked) -> Way | None:
        """The way through the tenant's server, for a message that was framed for it; None for any other."""
        assert self.tenants is not None
        own = await self.tenants.get(made.tenant_id)
        if own.server is None:  # it was taken away: what was framed for it leaves by ours, with the same author
            return None
        framed = bool(made.flags & OWN_SERVER)
        if made.raw is None:
            framed = await self.tenants.is_for_own(made.tenant_id, made.message_id, own)
        return self.own_way(own) if framed else None

    def _house_way(self, made: Booked, now: datetime) -> Way | None:
        route = self.route
        if route.relay:
            return Way(f"relay {route.relay}:{route.port}", "", route)
        domain = parse_address(made.recipient).domain
        servers = self._resolver.known_set(domain, now)
        if not servers:
            return None
        demands = self._known_demands(made, domain, now)
        return Way(servers + demands.key, domain, route, demands=demands) if demands is not None else None

    def _known_demands(self, made: Booked, domain: str, now: datetime) -> Demands | None:
        if self.policies is None or self._resolver.is_fixed(domain):
            return NOTHING
        if made.tenant_id == OPERATOR:
            return REPORTS
        return self.policies.known(_ascii(domain), self._resolver.known_hosts(domain, now), now)

    async def find(self, made: Booked, now: datetime) -> Way | DeliveryStatus:
        """The way of a delivery, or why there is none."""
        if self.tenants is not None and (made.raw is None or made.flags & OWN_SERVER):
            own = await self._find_own(made)
            if own is not None:
                return own
        way = self._house_way(made, now)
        if way is not None:
            return way
        domain = parse_address(made.recipient).domain
        hosts = await self._resolver.find(domain, now)
        if isinstance(hosts, DeliveryStatus):
            return hosts
        demands = REPORTS if made.tenant_id == OPERATOR else await self._find_demands(domain, hosts, now)
        servers = self._resolver.known_set(domain, now) or domain
        return Way(servers + demands.key, domain, self.route, demands=demands)

    async def _find_demands(self, domain: str, hosts: Sequence[Host], now: datetime) -> Demands:
        if self.policies is None or self._resolver.is_fixed(domain):
            return NOTHING
        return await self.policies.find(_ascii(domain), hosts, now)

    async def targets(self, way: Way, now: datetime) -> Sequence[Target] | DeliveryStatus:
        """The servers to dial, best first."""
        if way.tenant_id:
            return await self._own_targets(way)
        route = way.route
        if route.relay:
            hosts = await _find_relay(route)
        else:
            hosts = await self._resolver.find(way.domain, now)
        if isinstance(hosts, DeliveryStatus):
            return hosts
        targets = [
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
        if route.relay or way.demands is REPORTS:
            return targets
        demands = await self._find_demands(way.domain, hosts, now)
        if demands.key != way.demands.key:  # its connections would be shared with what was promised something else
            return passing("4.7.5", f"the TLS policy of {way.domain} has just changed", way.domain)
        return targets if demands is NOTHING else demanded(targets, demands, now, self.tally)

    async def _own_targets(self, way: Way) -> Sequence[Target] | DeliveryStatus:
        """A tenant's server, with its login: a token that holds, and only the certificates that may prove it."""
        assert self.tenants is not None and way.server is not None
        hosts = await _find_relay(way.route, "server")
        if isinstance(hosts, DeliveryStatus):
            return hosts
        public = [host for host in hosts if self._resolver.allows(host.address)]
        if not public:
            words = f"the server {way.route.relay} is at a private address; delivery.allow_private permits that"
            return passing("4.4.3", words, way.route.relay, "relay_failed")
        login = await self.tenants.login(way.tenant_id)
        if isinstance(login, DeliveryStatus):
            return login
        route, trust = way.route, trust_of(way.server.trusted)
        return [
            Target(
                host=host.name,
                address=host.address,
                port=route.port,
                tls=route.tls,
                verify=way.server.security in ("tls", "starttls"),
                login=login,
                helo=route.helo,
                trust=trust,
            )
            for host in public
        ]


def _ascii(domain: str) -> str:
    """A domain as DNS and certificates write it."""
    return domain if domain.isascii() else Address("", domain).ascii_domain


@lru_cache(256)
def trust_of(pem: str) -> ssl.SSLContext | None:
    """A TLS context that believes these certificates beside the system's; None for the usual one."""
    if not pem:
        return None
    context = default_context.__wrapped__(True)
    context.load_verify_locations(cadata=pem)
    return context


async def _find_relay(route: Route, what: str = "relay") -> Sequence[Host] | DeliveryStatus:
    """The relay's addresses, as this machine knows them (its hosts file counts)."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(route.relay, route.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return passing("4.4.3", f"the {what} {route.relay} has no address: {error.strerror}", route.relay)
    return [Host(route.relay, str(address[0]), route.port) for *_, address in found]
