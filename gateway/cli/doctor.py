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
from gateway.inbox.listing import count_views
from gateway.inbox.search import lag
from gateway.mail.address import parse_address
from gateway.outbound.desk import parents
from gateway.outbound.domain_watch import say
from gateway.outbound.findings import read_check
from gateway.outbound.queue_list import Filter, list_queue
from gateway.store.database import Transaction, to_ms
from gateway.store.domains import all_domains, list_keys
from gateway.store.event_feed import CLOCK_MS
from gateway.store.mailboxes import list_mailboxes
from gateway.store.routes import get_server, list_servers
from gateway.store.schema import OPERATOR
from gateway.store.tenants import list_credentials, list_identities, list_tenants
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
    looks = (
        _look_at_clocks, _look_at_keys, _look_at_domains, _look_at_tenants, _look_at_queue, _look_at_search,
        _look_at_servers, _look_at_mailboxes, _look_at_postmaster,
    )  # fmt: skip
    for look in looks:
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
        least = config.min_free
        state = "ok" if free > max(2 * least, 2**30) else "warning" if free > max(least, 2**28) else "wrong"
        words = f"{free // 2**20:,} MB free in {folder}" + (": mail is put off with 452" if free < least else "")
        yield Finding("disk", state, words, "" if state == "ok" else f"make room (min_free is {least // 2**20:,} MB)")
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


def _look_at_clocks(context: Context, config: Config) -> Iterator[Finding]:
    """The feed of events is complete only while nodes' clocks and roles are as `store.event_feed` relies on."""
    if context.database.dialect != "postgresql":
        return
    before = to_ms(utc_now())
    theirs = context.read(Transaction.clock_ms)
    off = min(abs(theirs - before), abs(theirs - to_ms(utc_now())))
    state = "ok" if off <= CLOCK_MS // 2 else "warning" if off < CLOCK_MS else "wrong"
    words = f"this machine's is {off / 1000:.1f} s off the database server's"
    todo = f"set both by NTP: beyond {CLOCK_MS // 1000} s, webhooks and the API may miss events"
    yield Finding("clocks", state, words, "" if state == "ok" else todo)
    if others := context.read(Transaction.foreign_writers):
        words = f"{others} connections of other nodes log in as a role whose doings this one may not see"
        yield Finding("database role", "wrong", words, "use one role on every node, or GRANT pg_read_all_stats")


def _look_at_keys(context: Context, config: Config) -> Iterator[Finding]:
    shared = parse_address(config.shared_address).domain
    keys = [key for key in context.read(list_keys, OPERATOR, shared) if key.state == "active"]
    if not keys:
        yield Finding("DKIM", "wrong", f"{shared} has no signing key", f"run `gateway domain add {shared}`")
    else:
        yield Finding("DKIM", "ok", f"{shared} signs with {', '.join(f'{k.selector} ({k.algorithm})' for k in keys)}")


def _look_at_domains(context: Context, config: Config) -> Iterator[Finding]:
    """What the last look at DNS found of each domain, and authors that have no key at all."""
    known = context.read(all_domains)
    for one in known:
        what, made = f"domain {one.name}", read_check(one.name, one.kept)
        todo = f"gateway domain check {one.name}"
        if one.checked_at is None:
            yield Finding(what, "warning", "its DNS was never looked at", todo)
        elif made.state == "ok":
            yield Finding(what, "ok", f"its DNS was right at {one.checked_at:%Y-%m-%d %H:%M} UTC")
        else:
            yield Finding(what, "wrong" if made.state == "error" else "warning", say(made), todo)
    names = {one.name for one in known}
    for tenant in context.read(list_tenants):
        if tenant.sending != "own" or context.read(get_server, tenant.id) is not None:
            continue
        for author in context.read(list_identities, tenant.id):
            name = parse_address(author).domain
            if not names & {name, *parents(name)}:
                stays = "" if config.delivery.relay else ": its mail leaves from the shared address"
                words = f"the author {author} has no signing key here{stays}"
                yield Finding(f"tenant {tenant.slug}", "warning", words, f"gateway domain add -t {tenant.slug} {name}")


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


def _look_at_servers(context: Context, config: Config) -> Iterator[Finding]:
    """Tenants' own SMTP servers."""
    names = {tenant.id: tenant.slug for tenant in context.read(list_tenants)}
    for kept in context.read(list_servers):
        slug = names.get(kept.tenant_id, "?")
        failed = kept.state == "failed"
        todo = f"gateway tenant smtp test {slug}" if failed or not kept.tested_at else ""
        words = f"{kept.server.host} fails: {kept.words}" if failed else f"{kept.server.host} works"
        words = words if kept.state else f"{kept.server.host} was not tried yet"
        yield Finding(f"SMTP of {slug}", "wrong" if failed else "warning" if todo else "ok", words, todo)


def _look_at_mailboxes(context: Context, config: Config) -> Iterator[Finding]:
    """Tenants' IMAP mailboxes."""
    names = {tenant.id: tenant.slug for tenant in context.read(list_tenants)}
    for box in context.read(list_mailboxes):
        what, server = f"mailbox {box.name} of {names.get(box.tenant_id, '?')}", box.account.host
        todo = f"gateway mailbox test {box.name} --tenant {names.get(box.tenant_id, '?')}"
        late = (box.next_poll_at or utc_now()) < utc_now() - LATE
        if box.failures:
            yield Finding(what, "wrong" if box.state == "failed" else "warning", f"{server} fails: {box.words}", todo)
        elif late and config.imap.threads:
            yield Finding(what, "wrong", "was not looked at for an hour", "is `gateway serve` running?")
        elif not config.imap.threads:
            yield Finding(what, "warning", "nobody looks at mailboxes here (imap.threads is 0)")
        else:
            yield Finding(what, "ok", f"{server} works" if box.state else f"{server} was not looked at yet")


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


def _look_at_search(context: Context, config: Config) -> Iterator[Finding]:
    """Whether what is new can be found."""
    behind, complete = context.read(lag, utc_now())
    if behind > LATE.total_seconds() / 6:
        words = f"the index is {behind // 60} minutes behind what happens"
        yield Finding(
            "search", "warning", words, "it catches up when less mail goes through; is `gateway serve` running?"
        )
    elif not complete:
        yield Finding("search", "warning", "old threads are still being indexed", "`gateway inbox reindex` does it now")
    else:
        yield Finding("search", "ok", "the index is up to date")


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
