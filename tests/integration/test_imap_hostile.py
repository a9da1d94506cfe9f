"""Every fault that the hostile IMAP server can play costs its mailbox a backoff; no mail is lost or comes twice.

The server (hostile_imap.py) is no part of this project; without it these tests are skipped by name. The poller runs
over a real database, with little patience and a clock that is moved ahead over its backoffs.
"""

import asyncio
import contextlib
import json
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from journeys.house import INBOX, RETURNS, Clock, Place, copy_folder, fill_place, make_config
from journeys.mailboxes import in_a_loop
from postroom.ports import free_port
from sqlalchemy import select

from gateway.inbound.destinations import Names
from gateway.inbound.imap_poller import ImapPoller, Pace
from gateway.inbound.imap_wire import Patience
from gateway.inbound.reception import Reception
from gateway.mail.received import ReceivedMail, read_mail
from gateway.store.database import Database, Transaction
from gateway.store.mailbox_account import ALL, Account
from gateway.store.mailboxes import Mailbox, add_mailbox, get_mailbox
from gateway.store.routes import Secret
from gateway.store.schema import message
from gateway.store.sealed import read_key_file
from gateway.store.tenants import find_tenant

pytestmark = pytest.mark.integration

BEFORE, LATER = 5, 6  # mails that lie there, and that come while the server misbehaves
IMPATIENT = Patience(connect=3, command=1.5, fetch=2.5, batch_mails=4)
FAULTS = """
greeting=bye greeting=tagged greeting=garbage greeting=stall,sec=3 greeting=inject_caps greeting=preauth
login=no login=stall,sec=3 login=drop
select=uidvalidity select=empty select=no select=stall,sec=3 select=drop select=uidnext_lie select=readonly
select=exists_lie
search=flood,n=400000 search=outofrange search=dup search=unsorted search=empty search=huge_number search=no search=drop
search=stall,sec=3 search=negative
fetch=drop_mid,n=200 fetch=literal_huge fetch=literal_short fetch=literal_long fetch=no_uid fetch=wrong_uid fetch=twice
fetch=unsolicited fetch=garbage fetch=stall,sec=4 fetch=size_lie fetch=nul fetch=nolf fetch=bad_tag fetch=deep_parens
fetch=long_line fetch=number_huge fetch=missing fetch=expunged fetch=reorder fetch=flags_only fetch=internaldate_bad
fetch=drip,n=20 fetch=quoted_body
any=drop,every=4 any=stall,sec=3,every=5 any=bye_then_ok,every=3 any=random_untagged
""".split()


@dataclass
class Hostile:
    """The server, and what it is told while it runs."""

    port: int
    control: int
    log: Path

    def __call__(self, **command: Any) -> Any:
        with socket.create_connection(("127.0.0.1", self.control), 10) as sock, sock.makefile("rwb") as wire:
            wire.write(json.dumps(command).encode() + b"\n")
            wire.flush()
            return json.loads(wire.readline())

    def fail(self, *faults: str) -> None:
        """Misbehave from now on."""
        self(cmd="faults", set=list(faults))

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """What it has noted of one kind."""
        found = [json.loads(line) for line in self.log.read_text().split("\n") if line]
        return [one for one in found if one["ev"] == kind]


@pytest.fixture
def start(tmp_path: Path, shared: Path) -> Iterator[Callable[..., Hostile]]:
    """Starts hostile servers with given options."""
    program = shared / "tools" / "hostile_imap.py"
    if not program.exists():
        pytest.skip("the hostile server (hostile_imap.py) is not at hand: set AR_SHARED")
    with contextlib.ExitStack() as stack:

        def begin(*options: str) -> Hostile:
            port, control = free_port(), free_port()
            made = Hostile(port, control, tmp_path / f"imap-{port}.jsonl")
            argv = [sys.executable, str(program), "--port", str(port), "--control", str(control), "--log",
                    str(made.log), "--generate", str(BEFORE), *options]  # fmt: skip
            process = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout is not None and "hostile_imap on" in process.stdout.readline()
            return made

        yield begin


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("hostile"), "")
    fill_place(made)
    return made


@dataclass
class Desk:
    """A poller at work, and what it has taken."""

    database: Database
    clock: Clock
    tenant_id: str
    folder: Path

    async def add(self, server: Hostile, name: str = "box", **changes: Any) -> None:
        values: dict[str, Any] = {"host": "localhost", "port": server.port, "security": "none",
                  "username": "ar@tenant.test", "takes": ALL, "since": "2026-05-01"} | changes  # fmt: skip
        seal = read_key_file(self.folder / "gateway.key")
        args = (self.tenant_id, name, Account(**values), Secret(password="secret"))
        await self.database.write(add_mailbox, self.clock(), seal, *args)

    async def box(self, name: str = "box") -> Mailbox:
        found = await self.database.read(get_mailbox, self.tenant_id, name)
        assert found is not None
        return found

    async def taken(self) -> Counter[str]:
        return await self.database.read(_taken)

    async def until(self, ask: Callable[[Mailbox, Counter[str]], bool], seconds: float = 60, name: str = "box") -> None:
        """Move the clock over backoffs until it is so."""
        deadline = time.monotonic() + seconds
        while not ask(await self.box(name), await self.taken()):
            assert time.monotonic() < deadline, (await self.box(name), await self.taken())
            await asyncio.sleep(0.2)
            self.clock.move(minutes=5)


def _taken(tx: Transaction) -> Counter[str]:
    rows = tx.all(select(message.c.rfc_message_id).where(message.c.direction == "in"))
    return Counter(str(row[0]) for row in rows)


async def _read(raw: bytes) -> ReceivedMail:
    return read_mail(raw)


@contextlib.asynccontextmanager
async def polling(template: Place, folder: Path, **pace: Any) -> AsyncIterator[Desk]:
    """A poller that runs while the context lasts."""
    copy_folder(template.folder, folder)
    database, clock = Database(make_config(Place(folder, "")).database_url), Clock()
    tenant = await database.read(find_tenant, "acme")
    assert tenant is not None
    reception = Reception(database, _read, Names(RETURNS, INBOX, b"key"))
    options: dict[str, Any] = {"threads": 2, "idle_threads": 0, "every": 1.0, "patience": IMPATIENT} | pace
    poller = ImapPoller(reception, read_key_file(folder / "gateway.key"), "n1", clock, None, Pace(**options))
    task = asyncio.create_task(poller.run())
    try:
        yield Desk(database, clock, tenant.id, folder)
        assert not task.done(), "the poller died"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        database.close()


def everything(_: Mailbox, taken: Counter[str]) -> bool:
    return len(taken) >= BEFORE + LATER


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_a_backoff_and_every_mail_comes_once(
    fault: str, template: Place, tmp_path: Path, start: Callable[..., Hostile]
) -> None:
    @in_a_loop
    async def run() -> None:
        server = start()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with polling(template, tmp_path / "data") as desk:
            await desk.add(server)
            await desk.until(lambda box, taken: len(taken) == BEFORE)
            server.fail(f"{fault},times=3")
            server(cmd="add_generated", n=LATER)
            await desk.until(everything)
            await desk.until(lambda box, _: box.failures == 0 and box.state == "ok")
            taken = await desk.taken()
            assert set(taken.values()) == {1}, taken
            if "nul" not in fault:  # that one changes a Message-ID
                assert set(taken) == {f"imap-g-{uid}@customer.test" for uid in range(1, BEFORE + LATER + 1)}
        assert all(one["peek"] for one in server.lines("body")) and not server.lines("store")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000, "memory"

    run()


def test_a_server_that_mends_its_uids_loses_nothing_and_gives_nothing_twice(
    template: Place, tmp_path: Path, start: Callable[..., Hostile]
) -> None:
    @in_a_loop
    async def run() -> None:
        server = start()
        async with polling(template, tmp_path / "data") as desk:
            await desk.add(server)
            await desk.until(lambda box, taken: len(taken) == BEFORE)
            server(cmd="expunge", uid=2)
            server(cmd="renumber")
            server(cmd="add_generated", n=LATER)  # named by their new UIDs, some of which were others' before
            await desk.until(lambda box, taken: box.cursor is not None and box.cursor.last_uid == BEFORE - 1 + LATER)
            before = await desk.taken()
            server.fail("select=uidreuse,times=1")
            box = await desk.box()
            await desk.until(
                lambda one, _: one.polled_at is not None and one.polled_at > (box.polled_at or one.polled_at)
            )
            assert await desk.taken() == before and set(before.values()) == {1}

    run()


@pytest.mark.parametrize(("fault", "after"), [
    ("store=no", "seen"), ("store=lie", "seen"), ("store=drop", "seen"), ("store=stall,sec=3", "delete"),
    ("expunge=no", "delete"), ("expunge=drop", "delete"), ("move=no", "move"), ("move=drop", "move"),
])  # fmt: skip
def test_mail_is_taken_once_although_nothing_can_be_done_with_it_there(
    fault: str, after: str, template: Place, tmp_path: Path, start: Callable[..., Hostile]
) -> None:
    @in_a_loop
    async def run() -> None:
        server = start("--fault", f"{fault},times=2")
        async with polling(template, tmp_path / "data") as desk:
            await desk.add(server, after=after, move_to="Processed" if after == "move" else "")
            server(cmd="add_generated", n=LATER)
            await desk.until(everything)
            await desk.until(lambda box, _: box.failures == 0 and box.state == "ok")
            assert set((await desk.taken()).values()) == {1}

    run()


@pytest.mark.parametrize("fault", ["hang", "silent", "flood", "bye,sec=1", "drop_after,sec=1", "garbage"])
def test_a_server_that_fails_while_it_idles_is_looked_at_again(
    fault: str, template: Place, tmp_path: Path, start: Callable[..., Hostile], monkeypatch: pytest.MonkeyPatch
) -> None:
    @in_a_loop
    async def run() -> None:
        monkeypatch.setattr("gateway.inbound.imap_poller.IDLE_SECONDS", 3.0)
        server = start("--fault", f"idle={fault},times=2")
        async with polling(template, tmp_path / "data", idle_threads=1) as desk:
            await desk.add(server)
            await desk.until(lambda box, taken: len(taken) == BEFORE)
            await asyncio.sleep(1)
            server(cmd="add_generated", n=LATER)
            await desk.until(everything)
            assert set((await desk.taken()).values()) == {1}

    run()


@pytest.mark.parametrize("fault", ["strip", "inject", "bad", "tlsdrop"])
def test_no_password_is_said_before_tls_is_proven(
    fault: str, template: Place, tmp_path: Path, start: Callable[..., Hostile]
) -> None:
    @in_a_loop
    async def run() -> None:
        trusted = (template.folder / "tls.crt").read_text()
        pair = [str(template.folder / name) for name in ("tls.crt", "tls.key")]
        server = start("--starttls", "--cert", pair[0], "--key", pair[1], "--fault", f"starttls={fault},times=2")
        async with polling(template, tmp_path / "data") as desk:
            await desk.add(server, security="starttls", trusted=trusted)
            await desk.until(lambda box, _: box.failures > 0)
            assert not server.lines("login")
            await desk.until(lambda box, taken: len(taken) == BEFORE)
            assert all(one["tls"] for one in server.lines("login"))
            await desk.add(server, "untrusted", security="starttls")  # the certificate is nobody's
            await desk.until(lambda box, _: "certificate" in box.words, name="untrusted")
            assert (await desk.box("untrusted")).state == "failed"

    run()


def test_servers_that_do_not_answer_leave_a_thread_for_the_others(
    template: Place, tmp_path: Path, start: Callable[..., Hostile]
) -> None:
    @in_a_loop
    async def run() -> None:
        dead, good = start("--fault", "greeting=stall,sec=60"), start()
        async with polling(template, tmp_path / "data") as desk:
            for number in range(6):
                await desk.add(dead, f"dead{number}")
            await desk.add(good)
            await desk.until(lambda box, taken: len(taken) == BEFORE)
            for number in range(6):
                await desk.until(lambda box, _: box.failures > 0, name=f"dead{number}")

    run()


def test_a_mail_that_cannot_be_fetched_is_said_and_the_others_are_taken(
    template: Place, tmp_path: Path, start: Callable[..., Hostile]
) -> None:
    @in_a_loop
    async def run() -> None:
        server = start()
        async with polling(template, tmp_path / "data") as desk:
            await desk.add(server)
            await desk.until(lambda box, taken: len(taken) == BEFORE)
            server(cmd="add", eml="From: a@b.test\r\nMessage-ID: <bad@x.test>\r\n no end of line")  # nobody's mail
            server(cmd="add_generated", n=LATER)
            server.fail("fetch=drop_mid,n=10,every=2,after=1,times=5")
            await desk.until(everything)
            assert set((await desk.taken()).values()) == {1}

    run()
