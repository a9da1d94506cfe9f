"""The composition root: builds the rooms from the configuration, starts them, and stops them in good order.

`gateway serve` calls `run`; tests and `gateway run` open a `House` in their own event loop. Starting refuses in words:
a schema of another version, a data folder that another process holds, a port that is taken.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
import structlog.tracebacks
import uvicorn

from gateway.config import Config, ConfigError
from gateway.inbound.destinations import Names
from gateway.inbound.reception import Reception, Unreadable
from gateway.inbound.smtp_receiver import ReceiverDoorstep
from gateway.mail.address import parse_address
from gateway.mail.preferences import preferences_key
from gateway.mail.received import ReceivedMail, read_mail
from gateway.outbound.composition import Composition, compose
from gateway.outbound.delivery import Delivery, Pace
from gateway.outbound.desk import Desks
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.mx import Resolver
from gateway.outbound.reminder_runs import ReminderRuns
from gateway.outbound.retry import Retry
from gateway.outbound.routing import Route, Router
from gateway.outbound.smtp_submission import SubmissionDoorstep
from gateway.outbound.smtp_terms import Tls
from gateway.outbound.submission import Door
from gateway.store.database import Database
from gateway.store.schema import OPERATOR
from gateway.store.sealed import Seal, make_secret, read_key_file
from gateway.store.upgrade import outdated
from gateway.web.app import make_app
from gateway.wire.limits import FailedLogins, Limits
from gateway.wire.smtp_server import Listener, listen
from gateway.wire.workers import WorkerFailed, WorkerPool

log = structlog.get_logger()

DRAIN_SECONDS = 10.0
Hosts = Mapping[str, Sequence[tuple[str, str, int]]]


def utc_now() -> datetime:
    """The clock of loops and doorsteps."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the doorsteps listen; 0 for one that is off."""

    submission: int = 0
    submission_tls: int = 0
    receiver: int = 0
    lmtp: int = 0
    web: int = 0


@dataclass(frozen=True, slots=True)
class House:
    """A running gateway."""

    config: Config
    ports: Ports
    database: Database
    door: Door
    delivery: Delivery
    seal: Seal


@contextlib.asynccontextmanager
async def open_house(
    config: Config, *, clock: Callable[[], datetime] = utc_now, hosts: Hosts | None = None
) -> AsyncIterator[House]:
    """A gateway that runs while the context lasts.

    `hosts` are fixed mail hosts by domain ("*": all others) instead of DNS, for the demo and tests.
    Raises ConfigError when it cannot start.
    """
    async with contextlib.AsyncExitStack() as stack:
        seal = _read_seal(config)
        stack.enter_context(_lock(config))
        database = Database(config.database_url)
        stack.callback(database.close)
        if problem := outdated(database.engine):
            raise ConfigError(problem)
        workers = WorkerPool(config.workers.count, config.workers.memory, preload=_PRELOAD)
        stack.callback(workers.close)
        letterhead = _letterhead(config, await database.write(make_secret, seal, OPERATOR, "reply-key"))
        desks = Desks(database, seal, letterhead.shared)
        delivery = _delivery(config, database, letterhead, desks, workers, clock, hosts)
        door = Door(
            database, desks, letterhead, _retry(config), config.node, config.delivery.lease_seconds * 1000,
            delivery.offer, delivery.has_room, partial(workers.run, seconds=config.workers.parse_seconds),
            config.submission.max_recipients,
        )  # fmt: skip
        loop_task = asyncio.create_task(delivery.run(), name="delivery")
        stack.push_async_callback(_end, delivery, loop_task)
        reminders = asyncio.create_task(ReminderRuns(door, clock).run(), name="reminders")
        stack.push_async_callback(_end_task, reminders)
        ports = await _listen(stack, config, door, database, letterhead, workers, clock)
        log.info("gateway.ready", node=config.node, **{name: getattr(ports, name) for name in Ports.__slots__})
        yield House(config, ports, database, door, delivery, seal)
        log.info("gateway.stopping")


_PRELOAD = ("gateway.outbound.pdf", "gateway.mail.received", "gateway.outbound.handed_document")


def _read_seal(config: Config) -> Seal:
    try:
        return read_key_file(config.key_path)
    except ValueError as error:
        raise ConfigError(str(error)) from None


@contextlib.contextmanager
def _lock(config: Config) -> Any:
    """One process per node and data folder: what this node had booked is taken back at the start."""
    config.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (config.data_path / f"{config.node}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"a gateway runs as node {config.node} in {config.data_path} already; stop it, or choose another node"
            ) from None
        file.write(str(os.getpid()))
        file.flush()
        yield


def _letterhead(config: Config, reply_key: bytes) -> Letterhead:
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


def _retry(config: Config) -> Retry:
    wanted = config.delivery
    return Retry(first=wanted.retry_first_seconds, longest=wanted.retry_longest_seconds, expire=wanted.expire_seconds)


def _delivery(
    config: Config,
    database: Database,
    letterhead: Letterhead,
    desks: Desks,
    workers: WorkerPool,
    clock: Callable[[], datetime],
    hosts: Hosts | None,
) -> Delivery:
    wanted = config.delivery
    composition = Composition(
        database, desks, letterhead, partial(workers.run, seconds=config.workers.render_seconds), clock,
        wanted.max_message,
    )  # fmt: skip
    return Delivery(
        database,
        letterhead,
        Router(_route(config), _resolver(config, hosts)),
        partial(compose, composition),
        node=config.node,
        retry=_retry(config),
        pace=Pace(wanted.connections, wanted.connections_per_destination, wanted.lease_seconds * 1000),
        clock=clock,
    )


def _route(config: Config) -> Route:
    wanted = config.delivery
    helo = wanted.helo or config.hostname
    if not wanted.relay:
        return Route(helo=helo, port=wanted.port)
    host, _, port = wanted.relay.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f'delivery.relay {wanted.relay!r} is not "host:port"')
    tls: Tls = {"off": "off", "required": "required"}.get(wanted.relay_tls, "opportunistic")  # type: ignore[assignment]
    return Route(helo=helo, relay=host.strip("[]"), port=int(port), tls=tls)


def _resolver(config: Config, hosts: Hosts | None) -> Resolver:
    servers = [part.strip() for part in config.delivery.resolver.split(",") if part.strip()]
    pairs = [server.rpartition(":") if ":" in server else (server, "", "53") for server in servers]
    if len({port for _, _, port in pairs}) > 1:
        raise ConfigError("delivery.resolver: all servers must use the same port")
    return Resolver(
        [host for host, _, _ in pairs],
        int(pairs[0][2]) if pairs else 53,
        hosts=hosts,
        own_names=(config.hostname.lower(),),
        allow=None if config.delivery.allow_private else _is_public,
    )


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Customers' mail hosts are on the Internet; an MX record that points inside is a mistake or an attack."""
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_global)


# -- doorsteps


async def _listen(
    stack: contextlib.AsyncExitStack,
    config: Config,
    door: Door,
    database: Database,
    letterhead: Letterhead,
    workers: WorkerPool,
    clock: Callable[[], datetime],
) -> Ports:
    tls = _tls_context(config)
    submission = await _listen_submission(stack, config, SubmissionDoorstep(door, clock), tls)
    read = partial(_read, workers, config.workers.parse_seconds)
    names = Names(letterhead.return_domain, letterhead.inbox_domain, letterhead.reply_key, letterhead.hostname)
    receiver = await _listen_receiver(stack, config, ReceiverDoorstep(Reception(database, read), names, clock), tls)
    return Ports(*submission, *receiver, await _serve_web(stack, config, database, letterhead, clock))


async def _read(workers: WorkerPool, seconds: float, raw: bytes) -> ReceivedMail:
    try:
        return await workers.run(read_mail, raw, seconds=seconds)
    except WorkerFailed as error:
        if error.kind != "crashed":
            raise Unreadable(error.kind) from None
    try:  # a worker may die for reasons that have nothing to do with this mail; twice, it is the mail
        return await workers.run(read_mail, raw, seconds=seconds)
    except WorkerFailed as error:
        await workers.run(read_mail, b"", seconds=seconds)  # if not even this can be read, it is we: 451
        raise Unreadable(error.kind) from None


async def _listen_submission(
    stack: contextlib.AsyncExitStack, config: Config, doorstep: SubmissionDoorstep, tls: ssl.SSLContext | None
) -> tuple[int, int]:
    wanted = config.submission
    limits = Limits(
        message_bytes=wanted.max_message,
        recipients=wanted.max_recipients,
        connections=wanted.max_connections,
        connections_per_address=wanted.max_connections_per_address,
    )
    logins, ports = FailedLogins(), []
    for port, implicit in ((wanted.port, False), (wanted.tls_port, True)):
        if not port or (implicit and tls is None):
            ports.append(0)
            continue
        listener = await _bind(
            stack, doorstep, host=wanted.host, port=port, hostname=config.hostname, limits=limits, tls=tls,
            implicit_tls=implicit, auth="loopback", logins=logins,
        )  # fmt: skip
        ports.append(listener.port)
    return ports[0], ports[1]


async def _listen_receiver(
    stack: contextlib.AsyncExitStack, config: Config, doorstep: ReceiverDoorstep, tls: ssl.SSLContext | None
) -> tuple[int, int]:
    wanted = config.receiver
    limits = Limits(
        message_bytes=wanted.max_message,
        connections=wanted.max_connections,
        connections_per_address=wanted.max_connections_per_address,
    )
    ports = []
    for port, protocol in ((wanted.port, "smtp"), (wanted.lmtp_port, "lmtp")):
        if not port:
            ports.append(0)
            continue
        listener = await _bind(
            stack, doorstep, host=wanted.host, port=port, hostname=config.hostname, limits=limits, tls=tls,
            protocol=protocol,
        )  # fmt: skip
        ports.append(listener.port)
    return ports[0], ports[1]


async def _bind(stack: contextlib.AsyncExitStack, doorstep: Any, **options: Any) -> Listener:
    options["port"] = max(options["port"], 0)  # -1 asks for any free port (tests, the demo)
    try:
        listener = await listen(doorstep, **options)
    except OSError as error:
        where = f"{options['host']}:{options['port']}"
        raise ConfigError(f"cannot listen on {where}: {error.strerror or error}") from None
    stack.push_async_callback(listener.drain, DRAIN_SECONDS)
    return listener


def _tls_context(config: Config) -> ssl.SSLContext | None:
    certificate, key = config.certificate_paths
    if not certificate.exists():
        log.warning("gateway.no_certificate", path=str(certificate), effect="no STARTTLS, no TLS port")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the TLS certificate {certificate} cannot be used: {error.strerror or error}") from None
    return context


async def _serve_web(
    stack: contextlib.AsyncExitStack,
    config: Config,
    database: Database,
    letterhead: Letterhead,
    clock: Callable[[], datetime],
) -> int:
    if not config.web.port:
        return 0
    sock = socket.socket(socket.AF_INET6 if ":" in config.web.host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((config.web.host, max(config.web.port, 0)))
    except OSError as error:
        raise ConfigError(f"cannot listen on {config.web.host}:{config.web.port}: {error.strerror}") from None
    key = preferences_key(letterhead.reply_key)
    app = make_app(database, clock=clock, public_url=config.web.public_url, preferences_key=key)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=5,
            proxy_headers=bool(config.web.trusted_proxies),
            forwarded_allow_ips=config.web.trusted_proxies or None,
        )
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment] # signals are `run`'s
    task = asyncio.create_task(server.serve(sockets=[sock]), name="web")
    stack.push_async_callback(_end_web, server, task)
    return int(sock.getsockname()[1])


async def _end_web(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    server.should_exit = True
    await task


async def _end_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _end(delivery: Delivery, task: asyncio.Task[None]) -> None:
    await delivery.stop(DRAIN_SECONDS)
    await _end_task(task)


# -- the process


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError when it cannot start."""
    set_up_logging(config.log)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_told(config))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # not on Windows

    return uvloop.new_event_loop


async def _until_told(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_house(config):
        await stop.wait()


# A traceback names files and lines; the values of variables may be mail or secrets.
_WITHOUT_LOCALS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def set_up_logging(level: str, stream: Any = None) -> None:
    """One JSON object a line on standard error; control characters are escaped by JSON (security rule 14)."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _WITHOUT_LOCALS,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=stream or sys.stderr, format="%(message)s")
