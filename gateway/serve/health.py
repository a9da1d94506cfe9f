"""What is right and wrong with this installation: files, disk, clocks, domains, tenants, the queue, the search index.

Asked by `gateway doctor`, and every few minutes by a serving gateway, whose findings the operator's page shows. Looks
only, and waits for nobody but the database: DNS was asked by others, who kept what they found.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from gateway.config import Config, ConfigError
from gateway.inbox.listing import count_views
from gateway.inbox.search import lag
from gateway.mail.address import parse_address
from gateway.outbound.desk import parents
from gateway.outbound.domain_watch import say
from gateway.outbound.findings import read_check
from gateway.outbound.queue_list import Filter, list_queue
from gateway.serve.parts import read_seal
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.domains import all_domains, list_keys
from gateway.store.event_feed import CLOCK_MS
from gateway.store.mailboxes import list_mailboxes
from gateway.store.routes import get_server, list_servers
from gateway.store.schema import OPERATOR
from gateway.store.tenants import list_credentials, list_identities, list_tenants
from gateway.store.users import list_users

LATE = timedelta(hours=1)
Read = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ok, warning or wrong; `todo` says what to do."""

    what: str
    state: str
    words: str
    todo: str = ""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def examine(database: Database, config: Config) -> Iterator[Finding]:
    """All that the database tells, thing by thing."""
    yield from _look_at_clocks(database)
    looks = (
        _look_at_keys, _look_at_domains, _look_at_tenants, _look_at_queue, _look_at_search, _look_at_servers,
        _look_at_mailboxes, _look_at_postmaster,
    )  # fmt: skip
    for look in looks:
        yield from look(database.read_now, config)


def look_at_files(config: Config) -> Iterator[Finding]:
    """The key file, the data folder, its disk, the certificate."""
    try:
        read_seal(config)
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


def _look_at_clocks(database: Database) -> Iterator[Finding]:
    """The feed of events is complete only while nodes' clocks and roles are as `store.event_feed` relies on."""
    if database.dialect != "postgresql":
        return
    before = to_ms(utc_now())
    theirs = database.read_now(Transaction.clock_ms)
    off = min(abs(theirs - before), abs(theirs - to_ms(utc_now())))
    state = "ok" if off <= CLOCK_MS // 2 else "warning" if off < CLOCK_MS else "wrong"
    words = f"this machine's is {off / 1000:.1f} s off the database server's"
    todo = f"set both by NTP: beyond {CLOCK_MS // 1000} s, webhooks and the API may miss events"
    yield Finding("clocks", state, words, "" if state == "ok" else todo)
    if others := database.read_now(Transaction.foreign_writers):
        words = f"{others} connections of other nodes log in as a role whose doings this one may not see"
        yield Finding("database role", "wrong", words, "use one role on every node, or GRANT pg_read_all_stats")


def _look_at_keys(read: Read, config: Config) -> Iterator[Finding]:
    shared = parse_address(config.shared_address).domain
    keys = [key for key in read(list_keys, OPERATOR, shared) if key.state == "active"]
    if not keys:
        yield Finding("DKIM", "wrong", f"{shared} has no signing key", f"run `gateway domain add {shared}`")
    else:
        yield Finding("DKIM", "ok", f"{shared} signs with {', '.join(f'{k.selector} ({k.algorithm})' for k in keys)}")


def _look_at_domains(read: Read, config: Config) -> Iterator[Finding]:
    """What the last look at DNS found of each domain, and authors that have no key at all."""
    known = read(all_domains)
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
    for tenant in read(list_tenants):
        if tenant.sending != "own" or read(get_server, tenant.id) is not None:
            continue
        for author in read(list_identities, tenant.id):
            name = parse_address(author).domain
            if not names & {name, *parents(name)}:
                stays = "" if config.delivery.relay else ": its mail leaves from the shared address"
                words = f"the author {author} has no signing key here{stays}"
                yield Finding(f"tenant {tenant.slug}", "warning", words, f"gateway domain add -t {tenant.slug} {name}")


def _look_at_tenants(read: Read, config: Config) -> Iterator[Finding]:
    tenants = read(list_tenants)
    if not tenants:
        yield Finding("tenants", "warning", "none yet", "run `gateway tenant add SLUG --company NAME`")
    for tenant in tenants:
        lacks = []
        if not any(c.revoked_at is None for c in read(list_credentials, tenant.id)):
            lacks.append("no credential (`gateway credential add`)")
        if not read(list_users, tenant.id):
            lacks.append("no user (`gateway user add`)")
        state = "warning" if lacks else "ok"
        yield Finding(f"tenant {tenant.slug}", state, ", ".join(lacks) or "has credentials and users")


def _look_at_servers(read: Read, config: Config) -> Iterator[Finding]:
    """Tenants' own SMTP servers."""
    names = {tenant.id: tenant.slug for tenant in read(list_tenants)}
    for kept in read(list_servers):
        slug = names.get(kept.tenant_id, "?")
        failed = kept.state == "failed"
        todo = f"gateway tenant smtp test {slug}" if failed or not kept.tested_at else ""
        words = f"{kept.server.host} fails: {kept.words}" if failed else f"{kept.server.host} works"
        words = words if kept.state else f"{kept.server.host} was not tried yet"
        yield Finding(f"SMTP of {slug}", "wrong" if failed else "warning" if todo else "ok", words, todo)


def _look_at_mailboxes(read: Read, config: Config) -> Iterator[Finding]:
    """Tenants' IMAP mailboxes."""
    names = {tenant.id: tenant.slug for tenant in read(list_tenants)}
    for box in read(list_mailboxes):
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


def _look_at_queue(read: Read, config: Config) -> Iterator[Finding]:
    for tenant in read(list_tenants):
        held = read(list_queue, tenant.id, Filter(held=True), 1000)
        if held:
            todo = f"see `gateway queue list --tenant {tenant.slug} --held`"
            yield Finding(f"queue of {tenant.slug}", "warning", f"{len(held)} held: {held[0].hold}", todo)
        late = [
            one
            for one in read(list_queue, tenant.id, Filter(held=False), 1)
            if one.next_attempt_at and one.next_attempt_at < utc_now() - LATE
        ]
        if late:
            words = f"due since {late[0].next_attempt_at:%Y-%m-%d %H:%M} UTC and not tried"
            yield Finding(f"queue of {tenant.slug}", "wrong", words, "is `gateway serve` running?")


def _look_at_search(read: Read, config: Config) -> Iterator[Finding]:
    """Whether what is new can be found."""
    behind, complete = read(lag, utc_now())
    if behind > LATE.total_seconds() / 6:
        words = f"the index is {behind // 60} minutes behind what happens"
        yield Finding(
            "search", "warning", words, "it catches up when less mail goes through; is `gateway serve` running?"
        )
    elif not complete:
        yield Finding("search", "warning", "old threads are still being indexed", "`gateway inbox reindex` does it now")
    else:
        yield Finding("search", "ok", "the index is up to date")


def _look_at_postmaster(read: Read, config: Config) -> Iterator[Finding]:
    waiting = read(count_views, OPERATOR)["todo"]
    if waiting:
        todo = "see `gateway inbox list --tenant postmaster`"
        yield Finding("postmaster", "warning", f"{waiting} threads of mail to you are open", todo)
