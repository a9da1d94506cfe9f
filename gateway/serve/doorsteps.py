"""Where the gateway listens: submission, receiver and web pages, each on its own ports and with its own limits.

Called when a house is opened; every listener drains when it ends. Refuses, with ConfigError, a port that is taken and a
certificate that cannot be used.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
import structlog.tracebacks
import uvicorn

from gateway.config import Config, ConfigError
from gateway.inbound.reception import Reception
from gateway.inbound.smtp_receiver import ReceiverDoorstep
from gateway.mail.preferences import preferences_key
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.smtp_submission import SubmissionDoorstep
from gateway.outbound.submission import Door
from gateway.serve.ports import bind_port
from gateway.serve.seat import Seat
from gateway.serve.signing_in import make_provider
from gateway.settings.workshop import Workshop
from gateway.store.database import Database
from gateway.web.api.callers import Api
from gateway.web.app import make_app
from gateway.wire.capacity import Capacity
from gateway.wire.limits import Admission, FailedLogins, Limits
from gateway.wire.rates import Rate
from gateway.wire.smtp_server import Listener, listen

log = structlog.get_logger()

DRAIN_SECONDS = 10.0  # for connections to end by themselves


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the doorsteps listen; 0 for one that is off."""

    submission: int = 0
    submission_tls: int = 0
    receiver: int = 0
    lmtp: int = 0
    web: int = 0


async def open_doorsteps(
    stack: contextlib.AsyncExitStack,
    config: Config,
    door: Door,
    reception: Reception,
    database: Database,
    letterhead: Letterhead,
    clock: Callable[[], datetime],
    seat: Seat,
    workshop: Workshop,
) -> Ports:
    """Listen everywhere the configuration says, until the stack ends. Raises ConfigError."""
    tls = tls_context(config)
    submission = await _listen_submission(stack, config, SubmissionDoorstep(door, clock), tls, seat)
    receiver = await _listen_receiver(stack, config, _receiver(config, reception, clock), tls, seat)
    api = _make_api(config, workshop, clock, seat)
    web = await _serve_web(stack, config, database, letterhead, clock, seat, workshop, api)
    return Ports(*submission, *receiver, web)


def _receiver(config: Config, reception: Reception, clock: Callable[[], datetime]) -> ReceiverDoorstep:
    wanted = config.receiver
    return ReceiverDoorstep(reception, clock, Rate(wanted.connections_per_minute), Rate(wanted.messages_per_minute))


def _make_api(config: Config, workshop: Workshop, clock: Callable[[], datetime], seat: Seat) -> Api:
    """The HTTP API, with the limits of the submission ports and memory of its own."""
    wanted = config.submission
    capacity = Capacity(wanted.max_memory, config.data_path, config.min_free)
    most = seat.share(config.web.api_requests)
    return Api(workshop, clock, wanted.max_message, most, capacity)


async def _listen_submission(
    stack: contextlib.AsyncExitStack, config: Config, doorstep: SubmissionDoorstep, tls: ssl.SSLContext | None,
    seat: Seat,
) -> tuple[int, int]:  # fmt: skip
    wanted, usual = config.submission, Limits()
    limits = Limits(
        message_bytes=wanted.max_message,
        recipients=wanted.max_recipients,
        auth_per_minute=seat.share(usual.auth_per_minute),
        auth_per_day=seat.share(usual.auth_per_day),
        connections=wanted.max_connections,
        connections_per_address=wanted.max_connections_per_address,
    )
    shared, ports = {**_shared(config, limits, wanted.max_memory), "logins": FailedLogins()}, []
    for port, implicit in ((wanted.port, False), (wanted.tls_port, True)):
        if not port or (implicit and tls is None):
            ports.append(0)
            continue
        listener = await _bind(
            stack, doorstep, host=wanted.host, port=port, hostname=config.hostname, limits=limits, tls=tls,
            implicit_tls=implicit, auth="loopback", reuse_port=not seat.alone, **shared,
        )  # fmt: skip
        ports.append(listener.port)
    return ports[0], ports[1]


async def _listen_receiver(
    stack: contextlib.AsyncExitStack, config: Config, doorstep: ReceiverDoorstep, tls: ssl.SSLContext | None,
    seat: Seat,
) -> tuple[int, int]:  # fmt: skip
    wanted = config.receiver
    limits = Limits(
        message_bytes=wanted.max_message,
        connections=wanted.max_connections,
        connections_per_address=wanted.max_connections_per_address,
    )
    shared, ports = _shared(config, limits, wanted.max_memory), []
    for port, protocol in ((wanted.port, "smtp"), (wanted.lmtp_port, "lmtp")):
        if not port:
            ports.append(0)
            continue
        listener = await _bind(
            stack, doorstep, host=wanted.host, port=port, hostname=config.hostname, limits=limits, tls=tls,
            protocol=protocol, reuse_port=not seat.alone, **shared,
        )  # fmt: skip
        ports.append(listener.port)
    return ports[0], ports[1]


def _shared(config: Config, limits: Limits, memory: int) -> dict[str, Any]:
    """What the ports of a section have together: its connections, and room for its messages."""
    return {"admission": Admission(limits), "capacity": Capacity(memory, config.data_path, config.min_free)}


async def _bind(stack: contextlib.AsyncExitStack, doorstep: Any, **options: Any) -> Listener:
    options["port"] = max(options["port"], 0)  # -1 asks for any free port (tests, the demo)
    try:
        listener = await listen(doorstep, **options)
    except OSError as error:
        where = f"{options['host']}:{options['port']}"
        raise ConfigError(f"cannot listen on {where}: {error.strerror or error}") from None
    stack.push_async_callback(listener.drain, DRAIN_SECONDS)
    return listener


def tls_context(config: Config) -> ssl.SSLContext | None:
    """TLS 1.2 or later with our certificate; None, and a warning, without one. Raises ConfigError."""
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
    seat: Seat,
    workshop: Workshop,
    api: Api,
) -> int:
    if not config.web.port:
        return 0
    sock = bind_port(config.web.host, config.web.port, shared=not seat.alone)
    key = preferences_key(letterhead.reply_key)
    url = config.web.public_url
    app = make_app(
        database, clock=clock, public_url=url, preferences_key=key, workshop=workshop, api=api,
        provider=make_provider(config),
    )  # fmt: skip
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
