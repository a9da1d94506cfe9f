"""TLS policies with real DNS: a signed Knot, a validating Unbound, policies over HTTPS, and servers right and wrong.

Every domain here has one mail host; what the host shows and what its domain demands decide whether mail leaves. The
servers stand on addresses of their own (127.0.0.x) and one port, as TLSA records name it.
"""

import asyncio
import contextlib
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from journeys.house import Clock, Journey, Place, fill_place, make_config, open_journey
from journeys.letters import compose
from journeys.shell import Shell
from postroom.authority import Issued, issue
from postroom.ports import free_port
from postroom.unbound import Dns
from sqlalchemy import select

from gateway.config import write_sample
from gateway.mail.reply import Reply
from gateway.outbound.queue import cancel
from gateway.outbound.smtp_opening import default_context
from gateway.outbound.tls_reporting import TlsReports, due_at
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.schema import attempt
from gateway.store.tls_results import list_ended, take_results
from gateway.wire.smtp_server import Envelope, Recipient, Session, listen

pytestmark = pytest.mark.integration

POLICY = "version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 604800\r\n"


@dataclass
class Mailbox:
    """A server that takes every mail; `tls` of each is the cipher that it came by, "" for none."""

    raw: list[bytes] = field(default_factory=list)
    tls: list[bool] = field(default_factory=list)
    connections: int = 0

    async def greet(self, session: Session) -> None:
        self.connections += 1

    async def authenticate(self, session: Session, username: str, password: str) -> object | None:
        return None

    async def mail(self, session: Session, envelope: Envelope) -> None:
        """Anybody may write."""

    async def rcpt(self, session: Session, envelope: Envelope, recipient: Recipient) -> None:
        """To anybody."""

    async def data(self, session: Session, envelope: Envelope, raw: bytes) -> Sequence[Reply]:
        self.raw.append(raw)
        self.tls.append(bool(session.tls))
        return [Reply(250, "2.0.0", "Taken")]


@dataclass
class Customer:
    """A domain: its records (with {port} and {other}), the TLS of its host, and the text of its policy."""

    records: str = ""
    tls: ssl.SSLContext | None = None
    policy: str = ""
    signed: bool = False
    box: Mailbox = field(default_factory=Mailbox)


class Town:
    """All customers, their DNS, and one web server for all policies and reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = issue("Test Root", authority=True)
        self.stranger = issue("Unknown Root", authority=True)
        (folder / "authorities.pem").write_text(self.root.pem)
        self.port, self.https_port = free_port(), free_port()
        self.customers: dict[str, Customer] = {}
        self.posted: list[tuple[str, bytes]] = []

    def mx(self, domain: str, *, by: Issued | None = None, **options: Any) -> Issued:
        """A certificate for the host of a domain, by the trusted root unless told otherwise."""
        return issue(f"mx.{domain}", by=by or self.root, **options)

    def sts(self, domain: str, mode: str, tls: ssl.SSLContext | None, mx: str = "") -> None:
        """A customer with MTA-STS and no DNSSEC."""
        records = '_mta-sts TXT "v=STSv1; id=1"\nmta-sts A 127.0.0.9'
        self.customers[domain] = Customer(records, tls, POLICY.format(mode=mode, mx=mx or f"mx.{domain}"))

    def dane(self, domain: str, tlsa: str, tls: ssl.SSLContext | None, more: str = "") -> None:
        """A customer with a signed zone and this TLSA record."""
        self.customers[domain] = Customer(f"_{self.port}._tcp.mx TLSA {tlsa}\n{more}", tls, signed=True)

    def start_dns(self, start: Callable[..., Dns], **more: str) -> Dns:
        """Everybody's zones; `more` are zones below them, which are bogus."""
        zones = {
            domain: f"@ MX 10 mx\nmx A {self.address(domain)}\n{customer.records}"
            for domain, customer in self.customers.items()
        }
        unsigned = tuple(domain for domain, customer in self.customers.items() if not customer.signed)
        return start(zones | more, unsigned=unsigned, bogus=tuple(more))

    def address(self, domain: str) -> str:
        return f"127.0.0.{11 + list(self.customers).index(domain)}"

    @contextlib.asynccontextmanager
    async def opened(self, *, web: bool = True) -> AsyncIterator[None]:
        """Their servers, while the context lasts."""
        async with contextlib.AsyncExitStack() as stack:
            for domain, customer in self.customers.items():
                listener = await listen(
                    customer.box, host=self.address(domain), port=self.port, hostname=f"mx.{domain}", tls=customer.tls
                )
                stack.callback(listener.close)
            for address, by in (("127.0.0.9", self.root), ("127.0.0.8", self.stranger)) if web else ():
                shown = issue(*(f"mta-sts.{domain}" for domain in self.customers), by=by).server(self.folder)
                server = await asyncio.start_server(self._serve, address, self.https_port, ssl=shown)
                stack.callback(server.close)
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        domain = fields["Host"].partition(":")[0].removeprefix("mta-sts.")
        if method == "POST":
            self.posted.append((fields["Content-Type"], await reader.readexactly(int(fields["Content-Length"]))))
            answer = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
        else:
            text = self.customers[domain].policy
            assert path == "/.well-known/mta-sts.txt"
            answer = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}"
        writer.write(answer.encode())
        writer.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A filled SQLite database; what is tried here is the same on both."""
    made = Place(tmp_path / "data", "")
    fill_place(made)
    return made


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """An empty town whose root this process trusts."""
    made = Town(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))
    default_context.cache_clear()
    yield made
    default_context.cache_clear()


def attempts(tx: Transaction, message_id: str) -> list[tuple[str, str, str]]:
    """(policy, TLS, words) of each attempt."""
    mine = attempt.c.message_id == message_id
    rows = tx.all(select(attempt.c.policy, attempt.c.tls, attempt.c.text).where(mine).order_by(attempt.c.attempt))
    return [(row[0], row[1], row[2]) for row in rows]


def visit(place: Place, town: Town, dns: Dns, clock: Clock, **options: Any) -> Any:
    """A gateway that finds this town by DNS."""
    delivery = {"resolver": dns.resolver, "port": town.port, "retry_first_seconds": 3600} | options
    hosts = {"nobody.invalid": [("nobody", "127.0.0.1", 9)]}  # all other domains are found by DNS
    return open_journey(place, clock=clock, hosts=hosts, https_port=town.https_port, delivery=delivery)


async def deliver(journey: Journey, town: Town) -> dict[str, tuple[str, str, str, str]]:
    """A mail to each customer: domain -> (state, policy, TLS, words)."""
    # No number in the subject: a second mail about the same document would join the thread of the first.
    sent = {domain: await journey.queue(compose("Bună ziua"), f"ana@{domain}") for domain in town.customers}
    found = {}
    for domain, one in sent.items():

        async def ended(message_id: str = one.message_id) -> dict[str, Any] | None:
            row = await journey.delivery(message_id)
            return row if row["state"] != "queued" or (row["attempts"] and not row["booked_by"]) else None

        row = await journey.until(ended)
        (how,) = await journey.house.database.read(attempts, one.message_id)
        found[domain] = (row["state"], *how)
        if row["state"] == "queued":
            assert row["status"] == "4.7.5", row
            assert [event.type for event in await journey.events(one.thread_id)].count("recipient.deferred") == 1
            await journey.write(cancel, to_ms(journey.clock()), journey.tenant_id, (one.message_id, 0), "seen")
    return found


def pin(one: Issued) -> str:
    """The TLSA record that pins a key."""
    return f"3 1 1 {sha256(one.spki).hexdigest()}"


def dane_town(town: Town) -> None:
    odd = issue("somebody.else", by=town.stranger, begin=-20, end=-10)  # EE: neither its name nor its date counts
    other = issue("other.test")
    town.dane("ee.test", pin(odd), odd.server(town.folder))
    town.dane("wrong.test", pin(other), odd.server(town.folder))
    town.dane("stripped.test", pin(odd), None)
    leaf = town.mx("ta.test", by=town.stranger)
    town.dane("ta.test", f"2 0 1 {sha256(town.stranger.der).hexdigest()}", leaf.server(town.folder, town.stranger))
    name = issue("not-it.test", by=town.stranger)
    town.dane("name.test", f"2 0 1 {sha256(town.stranger.der).hexdigest()}", name.server(town.folder, town.stranger))
    town.dane("unusable.test", f"1 1 1 {sha256(other.spki).hexdigest()}", odd.server(town.folder))
    town.dane("naked.test", f"1 1 1 {sha256(other.spki).hexdigest()}", None)
    below = f"_tcp.mx NS ns\n_tcp.mx DS 1 13 2 {'00' * 32}"  # a zone below it whose keys are not these
    town.customers["half.test"] = Customer(below, odd.server(town.folder), signed=True)
    unsigned = Customer(f"_{town.port}._tcp.mx TLSA {pin(other)}", odd.server(town.folder))
    town.customers["unsigned.test"] = unsigned
    town.customers["plain.test"] = Customer(signed=True)


def test_dane_is_demanded_where_dnssec_holds_and_nothing_is_sent_in_clear_then(
    place: Place, town: Town, start_dns: Callable[..., Dns]
) -> None:
    dane_town(town)
    bogus = {"_tcp.mx.half.test": f"_{town.port} TLSA 3 1 1 {'00' * 32}"}
    dns = town.start_dns(start_dns, **bogus)

    async def run() -> None:
        async with town.opened(), visit(place, town, dns, Clock()) as journey:
            found = await deliver(journey, town)
            shown = {domain: (state, how) for domain, (state, how, _, _) in found.items()}
            assert shown == {
                "ee.test": ("relayed", "dane"),
                "wrong.test": ("queued", "dane"),
                "stripped.test": ("queued", "dane"),
                "ta.test": ("relayed", "dane"),
                "name.test": ("queued", "dane"),
                "unusable.test": ("relayed", "dane"),
                "naked.test": ("queued", "dane"),
                "half.test": ("queued", "dane"),
                "unsigned.test": ("relayed", ""),
                "plain.test": ("relayed", ""),
            }
            assert all(tls.startswith("TLSv1.3") for state, how, tls, _ in found.values() if how and state == "relayed")
            for domain, customer in town.customers.items():
                assert len(customer.box.raw) == (found[domain][0] == "relayed"), domain
            assert "DANE of wrong.test demands TLS" in found["wrong.test"][3]
            assert "does not offer STARTTLS" in found["stripped.test"][3]
            assert "is not for mx.name.test" in found["name.test"][3]
            assert "TLSA records of mx.half.test cannot be had" in found["half.test"][3]
            assert town.customers["half.test"].box.connections == 0

    asyncio.run(run())
    counted = count_results(place)
    assert counted["ee.test", "tlsa", "success"] == 1, "what was counted is written when the house ends"
    assert counted["stripped.test", "tlsa", "starttls-not-supported"] == 1
    assert counted["name.test", "tlsa", "certificate-host-mismatch"] == 1
    assert counted["half.test", "tlsa", "dnssec-invalid"] >= 1
    assert counted["plain.test", "no-policy-found", "starttls-not-supported"] == 1
    assert counted["unsigned.test", "no-policy-found", "success"] == 1


def count_results(place: Place) -> dict[tuple[str, str, str], int]:
    """(domain, policy, result) -> sessions, as they are kept."""
    database = Database(make_config(place).database_url)
    try:
        ended = database.read_now(list_ended, "9999-12-31")
        rows = [row for one in ended for row in database.write_now(take_results, *one)]
    finally:
        database.close()
    return {(row.domain, row.policy, row.result): row.sessions for row in rows}


def test_dane_is_not_believed_when_it_is_off(place: Place, town: Town, start_dns: Callable[..., Dns]) -> None:
    odd = issue("somebody.else")
    town.dane("wrong.test", f"3 1 1 {'00' * 32}", odd.server(town.folder))
    dns = town.start_dns(start_dns)

    async def run() -> None:
        async with town.opened(), visit(place, town, dns, Clock(), dane="off") as journey:
            assert (await deliver(journey, town))["wrong.test"][:2] == ("relayed", "")

    asyncio.run(run())


def sts_town(town: Town) -> None:
    stranger = town.stranger
    town.sts("good.test", "enforce", town.mx("good.test").server(town.folder))
    town.sts("wild.test", "enforce", town.mx("wild.test").server(town.folder), "*.wild.test")
    town.sts("untrusted.test", "enforce", town.mx("untrusted.test", by=stranger).server(town.folder))
    town.sts("expired.test", "enforce", town.mx("expired.test", begin=-20, end=-10).server(town.folder))
    town.sts("name.test", "enforce", town.mx("elsewhere.test").server(town.folder))
    town.sts("stripped.test", "enforce", None)
    town.sts("unlisted.test", "enforce", town.mx("unlisted.test").server(town.folder), "mx.other.test")
    town.sts("testing.test", "testing", None)
    reports = "mailto:tls@good.test,https://mta-sts.good.test/report"
    town.customers["testing.test"].records += f'\n_smtp._tls TXT "v=TLSRPTv1; rua={reports}"'
    town.sts("lax.test", "testing", town.mx("lax.test", by=stranger).server(town.folder))
    town.sts("none.test", "none", None)
    town.sts("broken.test", "enforce", None)  # whoever serves its policy cannot prove it: so there is none
    town.customers["broken.test"].records = '_mta-sts TXT "v=STSv1; id=1"\nmta-sts A 127.0.0.8'
    good = town.mx("both.test", by=stranger)
    town.dane("both.test", f"3 1 1 {sha256(good.spki).hexdigest()}", good.server(town.folder),
              '_mta-sts TXT "v=STSv1; id=1"\nmta-sts A 127.0.0.9')  # fmt: skip
    town.customers["both.test"].policy = POLICY.format(mode="enforce", mx="mx.elsewhere.test")


STS_EXPECTED = {
    "good.test": ("relayed", "mta-sts"),
    "wild.test": ("relayed", "mta-sts"),
    "untrusted.test": ("queued", "mta-sts"),
    "expired.test": ("queued", "mta-sts"),
    "name.test": ("queued", "mta-sts"),
    "stripped.test": ("queued", "mta-sts"),
    "unlisted.test": ("queued", "mta-sts"),
    "testing.test": ("relayed", "mta-sts-testing"),
    "lax.test": ("relayed", "mta-sts-testing"),
    "none.test": ("relayed", ""),
    "broken.test": ("relayed", ""),
    "both.test": ("relayed", "dane"),
}


def test_mta_sts_is_enforced_kept_and_reported(
    place: Place, town: Town, start_dns: Callable[..., Dns], tmp_path: Path
) -> None:
    sts_town(town)
    dns, clock = town.start_dns(start_dns), Clock()

    async def run() -> None:
        async with town.opened(), visit(place, town, dns, clock) as journey:
            found = await deliver(journey, town)
            assert {domain: (one[0], one[1]) for domain, one in found.items()} == STS_EXPECTED
            for domain, customer in town.customers.items():
                assert len(customer.box.raw) == (found[domain][0] == "relayed"), domain
            assert town.customers["unlisted.test"].box.connections == 0
            assert "MTA-STS of untrusted.test demands TLS" in found["untrusted.test"][3]
            assert "does not name the host mx.unlisted.test" in found["unlisted.test"][3]
            assert town.customers["lax.test"].box.tls == [True]
            await report(journey, town, clock)
        async with town.opened(web=False), visit(place, town, dns, clock) as journey:  # nobody serves policies now
            before = {domain: len(customer.box.raw) for domain, customer in town.customers.items()}
            found = await deliver(journey, town)
            assert {domain: (one[0], one[1]) for domain, one in found.items()} == STS_EXPECTED
            for domain, customer in town.customers.items():
                assert len(customer.box.raw) - before[domain] == (found[domain][0] == "relayed"), domain

    asyncio.run(run())
    see_with_the_command(place, town, dns, tmp_path)


async def report(journey: Journey, town: Town, clock: Clock) -> None:
    """The day's reports leave once, by mail and by POST, and say what was seen."""
    house = journey.house
    router = house.delivery._router
    assert router.tally is not None
    await router.tally.flush()
    day = f"{clock():%Y-%m-%d}"
    clock.move(seconds=(due_at(day, "testing.test") - clock()).total_seconds() + 1)
    resolver = router._resolver
    reports = TlsReports(
        house.database, house.seal, house.door.letterhead, resolver.questions, resolver.addresses, town.https_port
    )
    assert await reports.round(clock()) == 1
    assert await reports.round(clock()) == 0, "one node, once"

    async def arrived() -> bytes | None:
        return next((raw for raw in town.customers["good.test"].box.raw if b"TLS-Report-Domain" in raw), None)

    raw = await journey.until(arrived)
    mail = message_from_bytes(raw, policy=policy.default)
    assert (mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]) == ("testing.test", "mail.gateway.test")
    assert mail.get_content_type() == "multipart/report" and mail["Content-Type"].params["report-type"] == "tlsrpt"
    assert b"d=gateway.test" in raw, "signed"
    _, packed = mail.iter_parts()
    assert packed.get_content_type() == "application/tlsrpt+gzip"
    made = json.loads(gzip.decompress(packed.get_content()))
    (kind, posted) = town.posted[0]
    assert (kind, json.loads(gzip.decompress(posted))) == ("application/tlsrpt+gzip", made)
    (one,) = made["policies"]
    assert one["policy"]["policy-type"] == "sts"
    assert one["policy"]["policy-string"] == [
        "version: STSv1", "mode: testing", "mx: mx.testing.test", "max_age: 604800"
    ]  # fmt: skip
    assert one["policy"]["mx-host"] == ["mx.testing.test"]
    assert one["summary"] == {"total-successful-session-count": 0, "total-failure-session-count": 1}
    assert one["failure-details"][0]["result-type"] == "starttls-not-supported"
    clock.move(days=1)
    await reports.round(clock())
    left = await house.database.read(list_ended, f"{clock():%Y-%m-%d}")
    assert left == [], "domains that want no report are forgotten"


def see_with_the_command(place: Place, town: Town, dns: Dns, folder: Path) -> None:
    """`gateway domain tls` says what the deliveries met."""
    changes = {"data": str(place.folder), "hostname": "mail.gateway.test", "delivery.resolver": dns.resolver,
               "delivery.port": town.port, "delivery.allow_private": True}  # fmt: skip
    (folder / "gateway.toml").write_text(write_sample(changes))
    shell = Shell(folder)
    for domain in ("good.test", "both.test"):
        (host,) = shell("domain", "tls", domain, "--json").json["hosts"]
        assert host["policy"] == STS_EXPECTED[domain][1], domain
    seen = shell("domain", "tls", "testing.test").out
    assert "MTA-STS: testing, id 1" in seen and "tls@good.test" in seen and "TLS reports go to" in seen
    assert "not dialled" in shell("domain", "tls", "unlisted.test").out
    assert "is not a domain" in shell("domain", "tls", "no domain", status=1).err
