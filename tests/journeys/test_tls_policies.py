"""Policies of TLS are fetched with care, kept while they hold, and asked for again when they should be."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from journeys.dns_script import DnsScript, dns_script
from journeys.house import Place, make_config
from postroom.authority import Issued, issue

from gateway.outbound.https import Unfetched
from gateway.outbound.mta_sts import POLICY_BYTES, Policy, fetch_policy
from gateway.outbound.mx import Host, Resolver
from gateway.outbound.tls_policy import Demands, TlsPolicies
from gateway.store.database import Database
from gateway.store.tls_policies import get_policy
from gateway.store.tls_results import TlsResult, add_results, list_ended, take_results

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DOMAIN = "a.test"
TEXT = "version: STSv1\nmode: enforce\nmx: mx.a.test\nmax_age: 1000000\n"
OK = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


class Web:
    """A web server that says `answer` to everything, slowly when told to."""

    def __init__(self) -> None:
        self.answer = f"{OK}\r\n{TEXT}".encode()
        self.asked = 0
        self.request = ""
        self.seconds = 0.0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            self.request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked += 1
            await asyncio.sleep(self.seconds)
            writer.write(self.answer)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def web(folder: Path, root: Issued, name: str = "mta-sts.a.test") -> AsyncIterator[Web]:
    made = Web()
    shown = issue(name, by=root).server(folder)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=shown)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


ROOT = issue("Root", authority=True)
TRUST = ssl.create_default_context(cadata=ROOT.pem)


async def here(host: str) -> list[str]:
    return ["127.0.0.1"]


def fetched(folder: Path, answer: bytes | None = None, *, name: str = "mta-sts.a.test", seconds: float = 0.0) -> Policy:
    async def run() -> Policy:
        async with web(folder, ROOT, name) as server:
            server.answer = server.answer if answer is None else answer
            server.seconds = seconds
            policy, _ = await fetch_policy(DOMAIN, here, port=server.port, context=TRUST, seconds=2)
            assert server.request.startswith("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.a.test")
            return policy

    return asyncio.run(run())


CHUNKED = (
    "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    f"{len(TEXT):x}\r\n{TEXT}\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("answer", [None, CHUNKED.encode(), f"{OK}Content-Length: {len(TEXT)}\r\n\r\n{TEXT}".encode()])
def test_a_policy_comes_in_every_form_of_http(tmp_path: Path, answer: bytes | None) -> None:
    assert fetched(tmp_path, answer) == Policy("enforce", ("mx.a.test",), 1_000_000)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 301 Moved\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n", "sts-policy-fetch-error"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n" + TEXT.encode(), "sts-policy-fetch-error"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + TEXT.encode(), "sts-policy-invalid"),
        (f"{OK}\r\nversion: STSv9\n".encode(), "sts-policy-invalid"),
        (f"{OK}\r\n{TEXT}".encode() + b"\xff\xfe", "sts-policy-invalid"),
        (f"{OK}\r\n{TEXT}".encode() + b"x: y\n" * POLICY_BYTES, "sts-policy-invalid"),
        (f"{OK}Content-Length: 5000\r\n\r\n{TEXT}".encode(), "sts-policy-fetch-error"),
        (b"SSH-2.0-OpenSSH\r\n", "sts-policy-fetch-error"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000, "sts-policy-fetch-error"),
        (b"", "sts-policy-fetch-error"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_policy_is_refused_in_words(tmp_path: Path, answer: bytes, fault: str) -> None:
    with pytest.raises(Unfetched) as refused:
        fetched(tmp_path, answer)
    assert refused.value.fault == fault and "a.test" in str(refused.value)


def test_a_web_server_that_proves_another_name_or_is_slow_or_inside_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(Unfetched) as refused:
        fetched(tmp_path, name="www.a.test")
    assert refused.value.fault == "sts-webpki-invalid"
    with pytest.raises(Unfetched, match="within 2 s"):
        fetched(tmp_path, seconds=30)

    async def nowhere(host: str) -> list[str]:
        return []

    with pytest.raises(Unfetched, match="no address that may be dialled"):
        asyncio.run(fetch_policy(DOMAIN, nowhere))


# -- how long a policy holds


class Desk:
    """The policies of one process, its DNS, and the web server that they come from."""

    def __init__(self, database: Database, dns: DnsScript, server: Web) -> None:
        self.database, self.dns, self.server = database, dns, server
        self.begin()

    def begin(self) -> None:
        """As after a restart."""

        async def fetch(domain: str) -> tuple[Policy, str]:
            return await fetch_policy(domain, here, port=self.server.port, context=TRUST, seconds=5)

        self.resolver = Resolver(["127.0.0.1"], self.dns.port, validates=True, timeout=2)
        self.policies = TlsPolicies(self.database, self.resolver.questions, fetch)

    async def ask(self, **later: float) -> Demands:
        now = NOW + timedelta(**later)
        hosts = await self.resolver.find(DOMAIN, now)
        assert isinstance(hosts, tuple), hosts
        found = await self.policies.find(DOMAIN, hosts, now)
        known = self.policies.known(DOMAIN, hosts, now)
        assert known == found, "what was found is known"
        return found

    async def policy(self, **later: float) -> str:
        """The name of what is demanded of the mail host."""
        return (await self.ask(**later)).of("mx.a.test").policy


@pytest.fixture
def play(place: Place, tmp_path: Path) -> Iterator[Callable[[Callable[[Desk], Awaitable[None]]], None]]:
    """Runs a story at a desk."""
    database = Database(make_config(place).database_url)

    def run(story: Callable[[Desk], Awaitable[None]]) -> None:
        async def main() -> None:
            async with dns_script() as dns, web(tmp_path, ROOT) as server:
                dns.zone = {(DOMAIN, "MX"): ["10 mx.a.test."], ("mx.a.test", "A"): ["192.0.2.1"],
                            ("_mta-sts.a.test", "TXT"): ['"v=STSv1; id=1"']}  # fmt: skip
                await story(Desk(database, dns, server))

        asyncio.run(main())

    yield run
    database.close()


Play = Callable[[Callable[[Desk], Awaitable[None]]], None]


def test_a_policy_outlives_its_record_its_web_server_and_a_restart(play: Play) -> None:
    async def story(desk: Desk) -> None:
        assert await desk.policy() == "mta-sts"
        assert await desk.policy(minutes=4) == "mta-sts"
        assert (desk.server.asked, desk.dns.asked["_mta-sts.a.test", "TXT"]) == (1, 1)
        del desk.dns.zone["_mta-sts.a.test", "TXT"]
        desk.server.answer = b""
        desk.begin()
        assert await desk.policy(hours=3) == "mta-sts"
        desk.dns.silent.add("_mta-sts.a.test")
        assert await desk.policy(hours=30) == "mta-sts"
        assert await desk.policy(seconds=1_000_001) == "", "max_age is over"

    play(story)


def test_a_new_id_brings_the_new_policy_at_once_and_a_bad_one_changes_nothing(play: Play) -> None:
    async def story(desk: Desk) -> None:
        assert await desk.policy() == "mta-sts"
        desk.dns.zone["_mta-sts.a.test", "TXT"] = ['"v=STSv1; id=2"']
        desk.server.answer = b"HTTP/1.1 500 Broken\r\n\r\n"
        found = await desk.ask(hours=2)
        assert (found.of("mx.a.test").policy, found.sts.flaw) == ("mta-sts", "")
        desk.server.answer = f"{OK}\r\n{TEXT.replace('enforce', 'none')}".encode()
        assert await desk.policy(hours=4) == ""
        asked = desk.server.asked
        assert await desk.policy(hours=6) == "" and desk.server.asked == asked

    play(story)


def test_without_a_policy_a_failure_means_none_and_is_asked_again_after_five_minutes(play: Play) -> None:
    async def story(desk: Desk) -> None:
        good, desk.server.answer = desk.server.answer, b"HTTP/1.1 500 Broken\r\n\r\n"
        found = await desk.ask()
        assert (found.of("mx.a.test").policy, found.sts.flaw) == ("", "sts-policy-fetch-error")
        desk.server.answer = good
        assert await desk.policy(minutes=4) == "" and desk.server.asked == 1
        assert await desk.policy(minutes=6) == "mta-sts" and desk.server.asked == 2

    play(story)


def test_a_policy_is_fetched_again_when_half_of_its_time_is_over(play: Play) -> None:
    async def story(desk: Desk) -> None:
        await desk.ask()
        await desk.policies.refresh(NOW + timedelta(days=5))
        assert desk.server.asked == 1
        await desk.policies.refresh(NOW + timedelta(days=6))
        assert desk.server.asked == 2
        kept = await desk.database.read(get_policy, NOW + timedelta(days=12), DOMAIN)
        assert kept is not None and kept.fetched_at == NOW + timedelta(days=6)
        await desk.policies.refresh(NOW + timedelta(days=30))
        assert await desk.database.read(get_policy, NOW, DOMAIN) is None

    play(story)


def test_many_who_ask_at_once_cause_one_question(play: Play) -> None:
    async def story(desk: Desk) -> None:
        desk.server.seconds = 0.2
        assert {one.key for one in await asyncio.gather(*(desk.ask() for _ in range(20)))} != {""}
        assert (desk.server.asked, desk.dns.asked["_mta-sts.a.test", "TXT"]) == (1, 1)

    play(story)


def test_connections_are_shared_only_where_the_same_is_demanded(play: Play) -> None:
    async def story(desk: Desk) -> None:
        hosts = [Host("mx.a.test", "192.0.2.1"), Host("mx2.a.test", "192.0.2.2")]
        keys = []
        for id, change in enumerate(
            [("", ""), ("enforce", "testing"), ("mx: mx.a.test", "mx: *.a.test"), ("enforce", "none")]
        ):
            desk.dns.zone["_mta-sts.a.test", "TXT"] = [f'"v=STSv1; id=n{id}"']
            desk.server.answer = f"{OK}\r\n{TEXT.replace(*change) if change[0] else TEXT}".encode()
            keys.append((await desk.policies.find(DOMAIN, hosts, NOW + timedelta(hours=2 * id))).key)
        assert len(set(keys)) == 4 and keys[3] == "", keys

    play(story)


def test_tlsa_counts_only_with_the_validation_of_a_resolver_on_this_machine(play: Play) -> None:
    async def story(desk: Desk) -> None:
        del desk.dns.zone["_mta-sts.a.test", "TXT"]
        desk.dns.zone["_25._tcp.mx.a.test", "TLSA"] = ["3 1 1 " + "ab" * 32]
        assert await desk.policy() == "", "no AD bit"
        desk.dns.validates = True
        assert await desk.policy(hours=2) == "dane"
        assert (await desk.ask(hours=2)).of("mx.a.test").records[0].data == b"\xab" * 32
        desk.dns.silent.add("_25._tcp.mx.a.test")
        found = (await desk.ask(hours=4)).of("mx.a.test")
        assert "cannot be had" in found.barred and found.fault == "dnssec-invalid"
        elsewhere = Resolver(["192.0.2.53"], 53, validates=True)
        assert not elsewhere.questions.trusted
        assert not Resolver([], validates=True).questions.trusted, "who knows whom the system asks"

    play(story)


def test_counts_add_up_and_leave_once(place: Place) -> None:
    database = Database(make_config(place).database_url)
    one = TlsResult("2026-11-24", DOMAIN, "sts", "mx.a.test", "success", 2, "version: STSv1")
    bad = TlsResult("2026-11-24", DOMAIN, "sts", "mx.a.test", "certificate-expired", 1, "old")
    try:
        database.write_now(add_results, [one, bad])
        none = TlsResult("2026-11-23", DOMAIN, "no-policy-found", "mx.a.test", "starttls-not-supported", 1)
        database.write_now(add_results, [one, none])
        assert database.read_now(list_ended, "2026-11-23") == []
        assert database.read_now(list_ended, "2026-11-25") == [("2026-11-23", DOMAIN), ("2026-11-24", DOMAIN)]
        assert database.write_now(take_results, "2026-11-23", DOMAIN) == [none]
        taken = database.write_now(take_results, "2026-11-24", DOMAIN)
        assert [(row.result, row.sessions, row.words) for row in taken] == [
            ("certificate-expired", 1, "old"), ("success", 4, "version: STSv1")
        ]  # fmt: skip
        assert database.write_now(take_results, "2026-11-24", DOMAIN) == []
    finally:
        database.close()
