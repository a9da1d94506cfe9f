"""What the rooms are given, made from the configuration: names, routes, paces, resolvers, policies.

Called when a house is opened, and by the commands that ask DNS without one. Nothing here runs or listens. Refuses, with
ConfigError, what a configuration says and nobody can use.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from gateway.config import Config, ConfigError
from gateway.mail.address import parse_address
from gateway.mail.reasons import Rule
from gateway.outbound.advice_file import AdviceFile
from gateway.outbound.composition import Composition, compose
from gateway.outbound.delivery import Delivery
from gateway.outbound.desk import Desks
from gateway.outbound.destinations import Pace
from gateway.outbound.dns_answers import Asker
from gateway.outbound.domain_check import House as OwnNames
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.mta_sts import fetch_policy
from gateway.outbound.mx import Resolver, is_public
from gateway.outbound.retry import Retry
from gateway.outbound.routing import Route, Router
from gateway.outbound.smtp_terms import Tls
from gateway.outbound.submission import Door
from gateway.outbound.tls_policy import TlsPolicies
from gateway.outbound.webhook_post import Post
from gateway.serve.seat import Seat
from gateway.store.database import Database
from gateway.store.sealed import Seal, read_key_file
from gateway.wire.workers import WorkerPool

Hosts = Mapping[str, Sequence[tuple[str, str, int]]]


def read_seal(config: Config) -> Seal:
    """What opens the sealed secrets. Raises ConfigError."""
    try:
        return read_key_file(config.key_path)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def make_letterhead(config: Config, reply_key: bytes) -> Letterhead:
    """The gateway's names, as every mail has them."""
    return Letterhead(
        hostname=config.hostname,
        shared=parse_address(config.shared_address),
        return_domain=config.return_domain.lower(),
        inbox_domain=config.inbox_domain.lower(),
        reply_key=reply_key,
        public_url=_url_for_customers(config),
    )


def _url_for_customers(config: Config) -> str:
    """Where customers reach the pages. On loopback they cannot, unless mail stays near as well (the demo, tests)."""
    url = config.web.public_url.rstrip("/")
    if url.startswith("https://"):
        return url
    return url if config.web.port and config.delivery.allow_private else ""


def make_retry(config: Config) -> Retry:
    """When deliveries are tried again, and given up."""
    wanted = config.delivery
    return Retry(
        first=wanted.retry_first_seconds,
        longest=wanted.retry_longest_seconds,
        expire=wanted.expire_seconds,
        late=wanted.late_seconds,
        unclear=wanted.unclear_retries,
    )


def make_delivery(
    config: Config,
    database: Database,
    letterhead: Letterhead,
    desks: Desks,
    router: Router,
    workers: WorkerPool,
    clock: Callable[[], datetime],
    seat: Seat,
    former: Sequence[str],
) -> Delivery:
    """The loop that sends; it takes back what `former` names had booked. Raises ConfigError."""
    wanted = config.delivery
    composition = Composition(
        database, desks, letterhead, partial(workers.run, seconds=config.workers.render_seconds), clock,
        wanted.max_message,
    )  # fmt: skip
    return Delivery(
        database,
        letterhead,
        router,
        partial(compose, composition),
        node=config.node,
        former=former,
        retry=make_retry(config),
        pace=Pace(wanted.connections, wanted.connections_per_destination, wanted.lease_seconds * 1000, seat.of),
        clock=clock,
        rules=_advice(config),
    )


def make_door(
    config: Config, database: Database, letterhead: Letterhead, desks: Desks, delivery: Delivery, workers: WorkerPool
) -> Door:
    """The one door out; what it books for this node goes to the delivery."""
    return Door(
        database, desks, letterhead, make_retry(config), config.node, config.delivery.lease_seconds * 1000,
        delivery.offer, delivery.has_room, partial(workers.run, seconds=config.workers.parse_seconds),
        config.submission.max_recipients, most_bytes=config.delivery.max_message,
    )  # fmt: skip


def _advice(config: Config) -> Callable[[], Iterable[Rule] | None]:
    if not config.delivery.advice:
        return lambda: None
    try:
        return AdviceFile(config.path(config.delivery.advice))
    except (OSError, ValueError) as error:
        raise ConfigError(f"delivery.advice cannot be used: {error}") from None


def make_route(config: Config) -> Route:
    """The way of mail that has no server of its own. Raises ConfigError."""
    wanted = config.delivery
    helo = wanted.helo or config.hostname
    if not wanted.relay:
        return Route(helo=helo, port=wanted.port)
    host, _, port = wanted.relay.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f'delivery.relay {wanted.relay!r} is not "host:port"')
    tls: Tls = {"off": "off", "required": "required"}.get(wanted.relay_tls, "opportunistic")  # type: ignore[assignment]
    return Route(helo=helo, relay=host.strip("[]"), port=int(port), tls=tls)


def make_policies(config: Config, database: Database, resolver: Resolver, https_port: int = 443) -> TlsPolicies:
    """The TLS policies of the recipients' domains."""
    fetch = partial(fetch_policy, find=resolver.addresses, port=https_port)
    return TlsPolicies(database, resolver.questions, fetch, config.delivery.port)


def make_post(config: Config, resolver: Resolver, https_port: int = 443) -> Post:
    """The way to endpoints of webhooks: into private networks, and without TLS, only where mail may go there too."""
    return Post(resolver.addresses, resolver.allows, config.delivery.allow_private, https_port)


def house_names(config: Config) -> OwnNames:
    """The gateway's own names, as the domain checks want them."""
    return OwnNames(
        hostname=config.hostname.lower(),
        helo=(config.delivery.helo or config.hostname).lower(),
        shared=parse_address(config.shared_address).domain,
        return_domain=config.return_domain.lower(),
        inbox_domain=config.inbox_domain.lower(),
        relay=make_route(config).relay,
        fronted=bool(config.receiver.lmtp_port),
    )


def make_asker(config: Config, resolver: Resolver) -> Asker:
    """Asks DNS for the domain checks; only a resolver of one's own knows names that public DNS never has."""
    return Asker(resolver.questions, resolver.addresses, inner=bool(config.delivery.resolver))


def make_resolver(config: Config, hosts: Hosts | None = None) -> Resolver:
    """Finds mail hosts as the configuration says. Raises ConfigError."""
    servers = [part.strip() for part in config.delivery.resolver.split(",") if part.strip()]
    pairs = [server.rpartition(":") if ":" in server else (server, "", "53") for server in servers]
    if len({port for _, _, port in pairs}) > 1:
        raise ConfigError("delivery.resolver: all servers must use the same port")
    return Resolver(
        [host for host, _, _ in pairs],
        int(pairs[0][2]) if pairs else 53,
        hosts=hosts,
        own_names=(config.hostname.lower(),),
        allow=None if config.delivery.allow_private else is_public,
        validates=config.delivery.dane == "auto",
    )
