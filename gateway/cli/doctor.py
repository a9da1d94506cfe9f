"""`gateway doctor`: what is wrong with this installation, in words, and what to do about it."""

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import click
from cryptography import x509

from gateway.cli.common import Context, json_option, pass_context, plain, show_json, utc_now
from gateway.config import Config, ConfigError
from gateway.inbox.reading import count_views
from gateway.mail.address import parse_address
from gateway.outbound.queue_list import Filter, list_queue
from gateway.store.domains import list_keys
from gateway.store.schema import OPERATOR
from gateway.store.tenants import list_credentials, list_tenants
from gateway.store.users import list_users

LATE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ok, warning or wrong; `todo` says what to do."""

    what: str
    state: str
    words: str
    todo: str = ""


@click.command()
@json_option
@pass_context
def doctor(context: Context, as_json: bool) -> None:
    """Look at everything that must be right; exit status 1 when something is wrong."""
    findings = list(_examine(context))
    if as_json:
        show_json(plain(findings))
    else:
        for one in findings:
            mark = {"ok": "ok     ", "warning": "WARNING", "wrong": "WRONG  "}[one.state]
            click.echo(f"{mark}  {one.what}: {one.words}{f'; {one.todo}' if one.todo else ''}")
    if any(one.state == "wrong" for one in findings):
        raise SystemExit(1)


def _examine(context: Context) -> Iterator[Finding]:
    try:
        config = context.config
    except ConfigError as error:
        yield Finding("configuration", "wrong", str(error))
        return
    yield Finding("configuration", "ok", str(context.path))
    yield from _look_at_names(config)
    yield from _look_at_files(context, config)
    try:
        database = context.database
    except (ConfigError, Exception) as error:  # whatever a database answers, the doctor goes on
        words = str(error) if isinstance(error, ConfigError) else f"cannot be opened ({type(error).__name__})"
        yield Finding("database", "wrong", words)
        return
    yield Finding("database", "ok", f"{database.dialect}, schema up to date")
    for look in (_look_at_keys, _look_at_tenants, _look_at_queue, _look_at_postmaster):
        yield from look(context, config)
    yield from _look_at_ports(config)


def _look_at_names(config: Config) -> Iterator[Finding]:
    names = (config.hostname, parse_address(config.shared_address).domain, config.return_domain, config.inbox_domain)
    examples = [name for name in names if name.endswith(".example")]
    if examples:
        yield Finding("names", "warning", f"{examples[0]} is an example", "put your own domain into the configuration")


def _look_at_files(context: Context, config: Config) -> Iterator[Finding]:
    try:
        _ = context.seal
        yield Finding("key file", "ok", str(config.key_path))
    except ConfigError as error:
        yield Finding("key file", "wrong", str(error))
    folder = config.data_path
    if folder.exists() and folder.stat().st_mode & 0o077:
        yield Finding("data folder", "warning", f"{folder} is open to others", f"chmod 700 {folder}")
    if folder.exists():
        free = shutil.disk_usage(folder).free
        state = "ok" if free > 2**30 else "warning" if free > 2**28 else "wrong"
        yield Finding("disk", state, f"{free // 2**20:,} MB free in {folder}", "" if state == "ok" else "make room")
    yield from _look_at_certificate(config)


def _look_at_certificate(config: Config) -> Iterator[Finding]:
    path, _ = config.certificate_paths
    if not path.exists():
        yield Finding("TLS certificate", "wrong", f"{path} is missing", "run `gateway init`, or set tls_certificate")
        return
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        yield Finding("TLS certificate", "wrong", f"{path} is not a PEM certificate")
        return
    left = certificate.not_valid_after_utc - utc_now()
    state = "ok" if left > timedelta(days=14) else "warning" if left > timedelta(0) else "wrong"
    words = f"valid until {certificate.not_valid_after_utc:%Y-%m-%d}"
    if certificate.issuer == certificate.subject:
        words += ", self-signed"
    yield Finding("TLS certificate", state, words, "" if state == "ok" else "renew it")


def _look_at_keys(context: Context, config: Config) -> Iterator[Finding]:
    shared = parse_address(config.shared_address).domain
    keys = [key for key in context.read(list_keys, OPERATOR, shared) if key.state == "active"]
    if not keys:
        yield Finding("DKIM", "wrong", f"{shared} has no signing key", f"run `gateway domain add {shared}`")
    else:
        yield Finding("DKIM", "ok", f"{shared} signs with {', '.join(f'{k.selector} ({k.algorithm})' for k in keys)}")


def _look_at_tenants(context: Context, config: Config) -> Iterator[Finding]:
    tenants = context.read(list_tenants)
    if not tenants:
        yield Finding("tenants", "warning", "none yet", "run `gateway tenant add SLUG --company NAME`")
    for tenant in tenants:
        lacks = []
        if not any(c.revoked_at is None for c in context.read(list_credentials, tenant.id)):
            lacks.append("no credential (`gateway credential add`)")
        if not context.read(list_users, tenant.id):
            lacks.append("no user (`gateway user add`)")
        state = "warning" if lacks else "ok"
        yield Finding(f"tenant {tenant.slug}", state, ", ".join(lacks) or "has credentials and users")


def _look_at_queue(context: Context, config: Config) -> Iterator[Finding]:
    for tenant in context.read(list_tenants):
        held = context.read(list_queue, tenant.id, Filter(held=True), 1000)
        if held:
            todo = f"see `gateway queue list --tenant {tenant.slug} --held`"
            yield Finding(f"queue of {tenant.slug}", "warning", f"{len(held)} held: {held[0].hold}", todo)
        late = [
            one
            for one in context.read(list_queue, tenant.id, Filter(held=False), 1)
            if one.next_attempt_at and one.next_attempt_at < utc_now() - LATE
        ]
        if late:
            words = f"due since {late[0].next_attempt_at:%Y-%m-%d %H:%M} UTC and not tried"
            yield Finding(f"queue of {tenant.slug}", "wrong", words, "is `gateway serve` running?")


def _look_at_postmaster(context: Context, config: Config) -> Iterator[Finding]:
    waiting = context.read(count_views, OPERATOR)["todo"]
    if waiting:
        todo = "see `gateway inbox list --tenant postmaster`"
        yield Finding("postmaster", "warning", f"{waiting} threads of mail to you are open", todo)


def _look_at_ports(config: Config) -> Iterator[Finding]:
    doors: list[tuple[str, str, int, Callable[[socket.socket], bool]]] = [
        ("submission", config.submission.host, config.submission.port, _greets),
        ("receiver", config.receiver.host, config.receiver.port, _greets),
        ("web", config.web.host, config.web.port, lambda _: True),
    ]
    for what, host, port, answers in doors:
        if port <= 0:
            continue
        where = f"{host}:{port}"
        try:
            with socket.create_connection((_reachable(host), port), timeout=3) as connection:
                good = answers(connection)
        except OSError as error:
            yield Finding(
                what, "warning", f"nothing answers at {where} ({error.strerror or error})", "run `gateway serve`"
            )
            continue
        yield Finding(
            what, "ok" if good else "wrong", f"answers at {where}" if good else f"{where} is not this gateway"
        )


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 what the operator wrote


def _greets(connection: socket.socket) -> bool:
    connection.settimeout(3)
    return connection.recv(4) == b"220 "
