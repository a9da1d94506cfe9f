"""Where the gateway listens: submission, receiver and web pages, each on its own ports and with its own limits.

Called when a house is opened; every listener drains when it ends. Refuses, with ConfigError, a port that is taken and a
certificate that cannot be used.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import structlog
import structlog.tracebacks
import uvicorn

from gateway.config import Config, ConfigError
from gateway.inbound.destinations import Names
from gateway.inbound.reception import Reception, Unreadable
from gateway.inbound.smtp_receiver import ReceiverDoorstep
from gateway.mail.preferences import preferences_key
from gateway.mail.received import ReceivedMail, read_mail
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.smtp_submission import SubmissionDoorstep
from gateway.outbound.submission import Door
from gateway.store.database import Database
from gateway.web.app import make_app
from gateway.wire.limits import FailedLogins, Limits
from gateway.wire.smtp_server import Listener, listen
from gateway.wire.workers import WorkerFailed, WorkerPool

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
    database: Database,
    letterhead: Letterhead,
    workers: WorkerPool,
    clock: Callable[[], datetime],
) -> Ports:
    """Listen everywhere the configuration says, until the stack ends. Raises ConfigError."""
    tls = tls_context(config)
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
