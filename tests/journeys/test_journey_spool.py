"""Mail that is stored and not judged yet: each is judged once, by one node; what cannot be judged holds up no other.

The loop that judges runs here over a real database, with mail that was stored as a pull stores it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from journeys.house import INBOX, RETURNS, Clock, Place, make_config
from journeys.letters import compose
from journeys.mailboxes import in_a_loop
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from gateway.config import Config
from gateway.inbound.destinations import Names
from gateway.inbound.imap_reading import Reader
from gateway.inbound.reception import UNREADABLE, Reception, replay
from gateway.inbound.spooling import Spooling
from gateway.mail.received import ReceivedMail, read_mail
from gateway.serve.health import examine
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.messages import Message, get_content, list_received
from gateway.store.schema import content, message
from gateway.store.spool import add_spooled, claim_spooled, spool_depth, spool_depths
from gateway.store.tenants import find_tenant

BOX = "facturare"


@dataclass
class Spool:
    """A database, and nodes that judge what is stored in it."""

    database: Database
    tenant_id: str
    config: Config
    clock: Clock = field(default_factory=Clock)
    read: Counter[str] = field(default_factory=Counter)  # Message-IDs that were read, by any node
    slow: float = 0.0
    nodes: list[Spooling] = field(default_factory=list)

    async def put(self, raws: Sequence[bytes], box: str = BOX) -> None:
        """Store mails as a pull does."""
        mails = list(enumerate(raws, 1))
        await self.database.write(add_spooled, self.clock(), (self.tenant_id, box), mails, 0)

    def node(self, name: str, database: Database | None = None) -> Spooling:
        """One that judges."""
        self.nodes.append(Spooling(Reader(self.reception(database)), name, self.clock))
        return self.nodes[-1]

    def reception(self, database: Database | None = None) -> Reception:
        return Reception(database or self.database, self._read, Names(RETURNS, INBOX, b"key"))

    async def _read(self, raw: bytes) -> ReceivedMail:
        mail = read_mail(raw)
        self.read[mail.message_id] += 1
        await asyncio.sleep(self.slow)
        return mail

    async def until(self, left: int = 0, seconds: float = 30) -> None:
        """Wait until no more than so many wait, letting so much time pass again and again."""
        async with asyncio.timeout(30):
            while (await self.database.read(spool_depth)).mails > left:
                await asyncio.sleep(0.05)
                self.clock.move(seconds=seconds)
                for one in self.nodes:
                    one.wake()

    async def kept(self) -> Counter[str]:
        """Subjects of what was kept."""
        return Counter(one.subject for one in await self.of_kind("person") + await self.of_kind(UNREADABLE))

    async def of_kind(self, kind: str) -> list[Message]:
        return await self.database.read(list_received, self.tenant_id, kind)

    async def bytes_are_of_messages(self) -> bool:
        """Whether nothing lies in `content` that is no message."""
        counts = await self.database.read(lambda tx: [tx.first(select(func.count()).select_from(t))[0]
                                                      for t in (message, content)])  # fmt: skip
        return counts[0] == counts[1]


@contextlib.asynccontextmanager
async def open_spool(place: Place) -> AsyncIterator[Spool]:
    config = make_config(place)
    database = Database(config.database_url)
    tenant = await database.read(find_tenant, "acme")
    assert tenant is not None
    try:
        yield Spool(database, tenant.id, config)
    finally:
        database.close()


@contextlib.asynccontextmanager
async def judging(*nodes: Spooling) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in nodes]
    try:
        yield
        assert not any(one.done() for one in tasks), "a loop died"
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def letters(*subjects: str) -> list[bytes]:
    return [compose(one, "Bună!\n", author="Ion <ion@client.test>") for one in subjects]


@in_a_loop
async def test_stored_mail_is_judged_once_and_what_is_known_is_forgotten(place: Place) -> None:
    async with open_spool(place) as spool:
        mails = letters("unu", "doi")
        await spool.put([*mails, mails[0], b"X-By: mail.client.test\r\n" + mails[1]])  # and as they came on other ways
        (depth,) = (await spool.database.read(spool_depths)).values()
        assert (depth.mails, await spool.kept()) == (4, Counter())
        began = spool.clock()
        async with judging(spool.node("n1")):
            await spool.until()
        assert await spool.kept() == Counter(["unu", "doi"])
        assert await spool.bytes_are_of_messages()
        first = min(await spool.of_kind("person"), key=lambda one: one.id)
        assert await spool.database.read(get_content, spool.tenant_id, first.id) == mails[0]
        assert abs(first.created_at - began) < timedelta(seconds=5)  # when it came, not when it was judged


@in_a_loop
async def test_mail_that_cannot_be_judged_is_parked_and_replayed_and_holds_up_no_other(place: Place) -> None:
    async with open_spool(place) as spool:
        await spool.database.write(_forbid, "otravă")
        await spool.put(letters("unu", "otravă", "doi"))
        with capture_logs() as said:
            async with judging(spool.node("n1")):
                await spool.until(1)
                assert await spool.kept() == Counter(["unu", "doi"])
                await spool.until()
        assert Counter(one["event"] for one in said)["imap.parked"] == 1
        assert await spool.kept() == Counter(["unu", "doi", ""])
        (parked,) = await spool.of_kind(UNREADABLE)
        assert spool.read.most_common(1)[0][1] == 3  # tries
        assert await spool.bytes_are_of_messages()
        await spool.database.write(_allow)
        raw = await spool.database.read(get_content, spool.tenant_id, parked.id)
        again = await replay(spool.reception(), parked, raw, spool.clock())
        assert again is not None and again.kind == "person"
        assert await spool.kept() == Counter(["unu", "otravă", "doi"])


def _forbid(tx: Transaction, subject: str) -> None:
    """Mail of a subject cannot be kept: the database refuses the row."""
    if tx.skips_locked:
        tx.change(text(f"ALTER TABLE message ADD CONSTRAINT poison CHECK (subject <> '{subject}')"))
    else:
        tx.change(text(f"CREATE TRIGGER poison BEFORE INSERT ON message WHEN NEW.subject = '{subject}' "
                       "BEGIN SELECT RAISE(ABORT, 'poison'); END"))  # fmt: skip


def _allow(tx: Transaction) -> None:
    tx.change(text("ALTER TABLE message DROP CONSTRAINT poison" if tx.skips_locked else "DROP TRIGGER poison"))


def test_what_is_stored_is_judged_at_once_and_not_at_the_next_look(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.inbound.spooling.TICK", 60.0)

    @in_a_loop
    async def run() -> None:
        async with open_spool(place) as spool:
            node = spool.node("n1")
            async with judging(node):
                await asyncio.sleep(0.1)
                await spool.put(letters("unu"))
                node.wake()
                async with asyncio.timeout(10):  # some ten milliseconds, on a machine that has nothing else to do
                    while not await spool.kept():  # noqa: ASYNC110
                        await asyncio.sleep(0.01)

    run()


@in_a_loop
async def test_two_nodes_share_the_spool_and_none_judges_what_the_other_has(place: Place) -> None:
    async with open_spool(place) as spool:
        spool.slow = 0.005
        subjects = [f"scrisoarea {number}" for number in range(120)]
        await spool.put(letters(*subjects))
        other = Database(spool.config.database_url)
        try:
            async with judging(spool.node("n1"), spool.node("n2", other)):
                await spool.until(seconds=0)  # no lease may end meanwhile
        finally:
            other.close()
        assert await spool.kept() == Counter(subjects)
        assert set(spool.read.values()) == {1}


@in_a_loop
async def test_what_a_dead_node_had_booked_is_judged_when_its_lease_ends_and_its_own_at_once(place: Place) -> None:
    async with open_spool(place) as spool:
        await spool.put(letters("unu", "doi"))
        now, until = to_ms(spool.clock()), to_ms(spool.clock() + timedelta(minutes=5))
        assert len(await spool.database.write(claim_spooled, now, "dead", until, 1, patient=False)) == 1
        async with judging(spool.node("n1")):
            await spool.until(1, seconds=0)
            await asyncio.sleep(0.2)
            assert (await spool.kept()).total() == 1
        async with judging(spool.node("dead")):
            await spool.until(seconds=0)
        assert await spool.kept() == Counter(["unu", "doi"])
        await spool.put(letters("trei"))
        await spool.database.write(claim_spooled, to_ms(spool.clock()), "dead", until, 1, patient=False)
        async with judging(spool.node("n1")):
            await spool.until()
        assert (await spool.kept())["trei"] == 1


@in_a_loop
async def test_a_mail_that_comes_alone_goes_before_the_rest_of_a_mailbox_that_brings_many(place: Place) -> None:
    async with open_spool(place) as spool:
        await spool.put(letters(*(f"vechi {number}" for number in range(400))))
        spool.clock.move(milliseconds=100)
        await spool.put(letters("nou"), "altul")
        now = to_ms(spool.clock())
        first = await spool.database.write(claim_spooled, now, "n1", now + 1, 32, patient=True)
        assert "altul" in {one.mailbox for one in first} and len(first) < 32


def test_the_doctor_says_what_waits_and_for_how_long(place: Place) -> None:
    @in_a_loop
    async def run() -> None:
        async with open_spool(place) as spool:
            spool.clock.move(hours=-2)
            await spool.put(letters("unu", "doi"))
            (said,) = [one for one in examine(spool.database, spool.config) if one.what == "mail of mailboxes"]
            assert said.state == "wrong" and said.facts["mails"] == 2
            assert 7200 <= int(said.facts["seconds"]) < 7300

    run()
