"""What is right and wrong with this installation: files, disk, clocks, domains, tenants, the queue, the search index.

Asked by `gateway doctor`, and every few minutes by a serving gateway, whose findings the operator's page shows. Looks
only, and waits for nobody but the database: DNS was asked by others, who kept what they found. A finding's words are
msgids with its facts beside them: the CLI fills them in as they stand, the pages in the reader's language.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from gateway.config import Config, ConfigError
from gateway.inbox.listing import count_views
from gateway.inbox.search import lag
from gateway.inbox.timeline import msgid
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
from gateway.store.spool import spool_depth
from gateway.store.tenants import list_credentials, list_identities, list_tenants
from gateway.store.users import list_users

LATE = timedelta(hours=1)
SERVING = msgid("is `gateway serve` running?")
Read = Callable[..., Any]
Facts = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ok, warning or wrong; `todo` says what to do. `facts` fill in all three texts."""

    what: str
    state: str
    words: str
    todo: str = ""
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def in_english(self) -> "Finding":
        """As the command line says it, every fact in its place."""
        return Finding(self.what % self.facts, self.state, self.words % self.facts, self.todo % self.facts)


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def examine(database: Database, config: Config) -> Iterator[Finding]:
    """All that the database tells, thing by thing."""
    yield from _look_at_clocks(database)
    looks = (
        _look_at_keys, _look_at_domains, _look_at_tenants, _look_at_queue, _look_at_search, _look_at_servers,
        _look_at_mailboxes, _look_at_spool, _look_at_postmaster,
    )  # fmt: skip
    for look in looks:
        yield from look(database.read_now, config)


def look_at_files(config: Config) -> Iterator[Finding]:
    """The key file, the data folder, its disk, the certificate."""
    what = msgid("key file")
    try:
        read_seal(config)
        yield Finding(what, "ok", "%(path)s", facts={"path": str(config.key_path)})
    except ConfigError as error:
        yield Finding(what, "wrong", msgid("cannot be used: %(error)s"), facts={"error": str(error)})
    folder = config.data_path
    if folder.exists() and folder.stat().st_mode & 0o077:
        words, todo = msgid("%(path)s is open to others"), "chmod 700 %(path)s"
        yield Finding(msgid("data folder"), "warning", words, todo, {"path": str(folder)})
    if folder.exists():
        yield _look_at_disk(config)
    yield from _look_at_certificate(config)


def _look_at_disk(config: Config) -> Finding:
    free, least = shutil.disk_usage(config.data_path).free, config.min_free
    state = "ok" if free > max(2 * least, 2**30) else "warning" if free > max(least, 2**28) else "wrong"
    words = msgid("%(free)s MB free in %(path)s")
    if free < least:
        words = msgid("%(free)s MB free in %(path)s: mail is put off with 452")
    todo = "" if state == "ok" else msgid("make room (min_free is %(least)s MB)")
    facts: Facts = {"free": free // 2**20, "path": str(config.data_path), "least": least // 2**20}
    return Finding(msgid("disk"), state, words, todo, facts)


def _look_at_certificate(config: Config) -> Iterator[Finding]:
    what, path = msgid("TLS certificate"), config.certificate_paths[0]
    if not path.exists():
        todo = msgid("run `gateway init`, or set tls_certificate")
        yield Finding(what, "wrong", msgid("%(path)s is missing"), todo, {"path": str(path)})
        return
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        yield Finding(what, "wrong", msgid("%(path)s is not a PEM certificate"), facts={"path": str(path)})
        return
    left = certificate.not_valid_after_utc - utc_now()
    state = "ok" if left > timedelta(days=14) else "warning" if left > timedelta(0) else "wrong"
    words = msgid("valid until %(day)s")
    if certificate.issuer == certificate.subject:
        words = msgid("valid until %(day)s, self-signed")
    facts = {"day": f"{certificate.not_valid_after_utc:%Y-%m-%d}"}
    yield Finding(what, state, words, "" if state == "ok" else msgid("renew it"), facts)


def _look_at_clocks(database: Database) -> Iterator[Finding]:
    """The feed of events is complete only while nodes' clocks and roles are as `store.event_feed` relies on."""
    if database.dialect != "postgresql":
        return
    before = to_ms(utc_now())
    theirs = database.read_now(Transaction.clock_ms)
    off = min(abs(theirs - before), abs(theirs - to_ms(utc_now())))
    state = "ok" if off <= CLOCK_MS // 2 else "warning" if off < CLOCK_MS else "wrong"
    words = msgid("this machine's is %(seconds)s s off the database server's")
    todo = msgid("set both by NTP: beyond %(most)s s, webhooks and the API may miss events")
    facts: Facts = {"seconds": f"{off / 1000:.1f}", "most": CLOCK_MS // 1000}
    yield Finding(msgid("clocks"), state, words, "" if state == "ok" else todo, facts)
    if others := database.read_now(Transaction.foreign_writers):
        words = msgid("connections of other nodes that log in as a role whose doings this one may not see: %(many)s")
        todo = msgid("use one role on every node, or GRANT pg_read_all_stats")
        yield Finding(msgid("database role"), "wrong", words, todo, {"many": others})


def _look_at_keys(read: Read, config: Config) -> Iterator[Finding]:
    shared = parse_address(config.shared_address).domain
    keys = [key for key in read(list_keys, OPERATOR, shared) if key.state == "active"]
    facts = {"domain": shared, "keys": ", ".join(f"{key.selector} ({key.algorithm})" for key in keys)}
    if not keys:
        words, todo = msgid("%(domain)s has no signing key"), msgid("run `gateway domain add %(domain)s`")
        yield Finding("DKIM", "wrong", words, todo, facts)
    else:
        yield Finding("DKIM", "ok", msgid("%(domain)s signs with %(keys)s"), facts=facts)


def _look_at_domains(read: Read, config: Config) -> Iterator[Finding]:
    """What the last look at DNS found of each domain, and authors that have no key at all."""
    known = read(all_domains)
    for one in known:
        what, made, facts = msgid("domain %(domain)s"), read_check(one.name, one.kept), {"domain": one.name}
        todo = "gateway domain check %(domain)s"
        if one.checked_at is None:
            yield Finding(what, "warning", msgid("its DNS was never looked at"), todo, facts)
        elif made.state == "ok":
            facts["at"] = f"{one.checked_at:%Y-%m-%d %H:%M} UTC"
            yield Finding(what, "ok", msgid("its DNS was right at %(at)s"), facts=facts)
        else:
            state, facts["dns"] = "wrong" if made.state == "error" else "warning", say(made)
            yield Finding(what, state, msgid("its DNS: %(dns)s"), todo, facts)
    yield from _look_at_authors(read, config, {one.name for one in known})


def _look_at_authors(read: Read, config: Config, names: set[str]) -> Iterator[Finding]:
    words = msgid("the author %(author)s has no signing key here: its mail leaves from the shared address")
    if config.delivery.relay:
        words = msgid("the author %(author)s has no signing key here")
    for tenant in read(list_tenants):
        if tenant.sending != "own" or read(get_server, tenant.id) is not None:
            continue
        for author in read(list_identities, tenant.id):
            name = parse_address(author).domain
            if not names & {name, *parents(name)}:
                facts = {"tenant": tenant.slug, "author": author, "domain": name}
                todo = "gateway domain add -t %(tenant)s %(domain)s"
                yield Finding(msgid("tenant %(tenant)s"), "warning", words, todo, facts)


def _look_at_tenants(read: Read, config: Config) -> Iterator[Finding]:
    tenants = read(list_tenants)
    if not tenants:
        todo = msgid("run `gateway tenant add SLUG --company NAME`")
        yield Finding(msgid("tenants"), "warning", msgid("none yet"), todo)
    for tenant in tenants:
        what, facts, fine = msgid("tenant %(tenant)s"), {"tenant": tenant.slug}, True
        if not any(c.revoked_at is None for c in read(list_credentials, tenant.id)):
            fine = False
            yield Finding(what, "warning", msgid("no credential"), "gateway credential add %(tenant)s", facts)
        if not read(list_users, tenant.id):
            fine = False
            yield Finding(what, "warning", msgid("no user"), "gateway user add", facts)
        if fine:
            yield Finding(what, "ok", msgid("has credentials and users"), facts=facts)


def _look_at_servers(read: Read, config: Config) -> Iterator[Finding]:
    """Tenants' own SMTP servers."""
    names = {tenant.id: tenant.slug for tenant in read(list_tenants)}
    for kept in read(list_servers):
        facts = {"tenant": names.get(kept.tenant_id, "?"), "host": kept.server.host, "words": kept.words}
        failed = kept.state == "failed"
        words = msgid("%(host)s fails: %(words)s") if failed else msgid("%(host)s works")
        words = words if kept.state else msgid("%(host)s was not tried yet")
        todo = "gateway tenant smtp test %(tenant)s" if failed or not kept.tested_at else ""
        state = "wrong" if failed else "warning" if todo else "ok"
        yield Finding(msgid("SMTP of %(tenant)s"), state, words, todo, facts)


def _look_at_mailboxes(read: Read, config: Config) -> Iterator[Finding]:
    """Tenants' IMAP mailboxes."""
    names = {tenant.id: tenant.slug for tenant in read(list_tenants)}
    for box in read(list_mailboxes):
        what, todo = msgid("mailbox %(name)s of %(tenant)s"), "gateway mailbox test %(name)s --tenant %(tenant)s"
        facts = {"name": box.name, "tenant": names.get(box.tenant_id, "?"), "host": box.account.host,
                 "words": box.words}  # fmt: skip
        late = (box.next_poll_at or utc_now()) < utc_now() - LATE
        if box.failures:
            state = "wrong" if box.state == "failed" else "warning"
            yield Finding(what, state, msgid("%(host)s fails: %(words)s"), todo, facts)
        elif late and config.imap.threads:
            yield Finding(what, "wrong", msgid("was not looked at for an hour"), SERVING, facts)
        elif not config.imap.threads:
            words = msgid("nobody looks at mailboxes here (imap.threads is 0)")
            yield Finding(what, "warning", words, facts=facts)
        else:
            words = msgid("%(host)s works") if box.state else msgid("%(host)s was not looked at yet")
            yield Finding(what, "ok", words, facts=facts)


def _look_at_spool(read: Read, config: Config) -> Iterator[Finding]:
    """Mail of mailboxes that is stored and not judged."""
    what, found = msgid("mail of mailboxes"), read(spool_depth)
    if found.since is None:
        yield Finding(what, "ok", msgid("none waits to be judged"))
        return
    seconds = max(int((utc_now() - found.since).total_seconds()), 0)
    facts = {"mails": found.mails, "mb": found.size // 2**20, "seconds": seconds}
    words = msgid("%(mails)s (%(mb)s MB) wait to be judged, the oldest for %(seconds)s s")
    if seconds > LATE.total_seconds():
        yield Finding(what, "wrong", words, SERVING, facts)
    elif found.size >= config.imap.max_spool:
        todo = msgid("no more is fetched meanwhile (imap.max_spool); more processes (workers.count) judge faster")
        yield Finding(what, "warning", words, todo, facts)
    else:
        yield Finding(what, "ok", words, facts=facts)


def _look_at_queue(read: Read, config: Config) -> Iterator[Finding]:
    what = msgid("queue of %(tenant)s")
    for tenant in read(list_tenants):
        facts: Facts = {"tenant": tenant.slug}
        held = read(list_queue, tenant.id, Filter(held=True), 1000)
        if held:
            todo = msgid("see `gateway queue list --tenant %(tenant)s --held`")
            facts |= {"many": len(held), "why": held[0].hold}
            yield Finding(what, "warning", msgid("%(many)s held: %(why)s"), todo, facts)
        late = [
            one
            for one in read(list_queue, tenant.id, Filter(held=False), 1)
            if one.next_attempt_at and one.next_attempt_at < utc_now() - LATE
        ]
        if late:
            facts |= {"at": f"{late[0].next_attempt_at:%Y-%m-%d %H:%M} UTC"}
            yield Finding(what, "wrong", msgid("due since %(at)s and not tried"), SERVING, facts)


def _look_at_search(read: Read, config: Config) -> Iterator[Finding]:
    """Whether what is new can be found."""
    what = msgid("search")
    behind, complete = read(lag, utc_now())
    if behind > LATE.total_seconds() / 6:
        words = msgid("the index is %(minutes)s minutes behind what happens")
        todo = msgid("it catches up when less mail goes through; is `gateway serve` running?")
        yield Finding(what, "warning", words, todo, {"minutes": behind // 60})
    elif not complete:
        words, todo = msgid("old threads are still being indexed"), msgid("`gateway inbox reindex` does it now")
        yield Finding(what, "warning", words, todo)
    else:
        yield Finding(what, "ok", msgid("the index is up to date"))


def _look_at_postmaster(read: Read, config: Config) -> Iterator[Finding]:
    waiting = read(count_views, OPERATOR)["todo"]
    if waiting:
        words, todo = msgid("open threads of mail to you: %(many)s"), "gateway inbox list --tenant postmaster"
        yield Finding("postmaster", "warning", words, todo, {"many": waiting})
