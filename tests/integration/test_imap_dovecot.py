"""Tenants' mailboxes on a real Dovecot: numbered anew, expunged under us, read by token, and a kill -9 in the middle.

Whatever happens there, each mail is taken once. The killed process is the real command.
"""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from journeys.house import Clock, Journey, Place, fill_place, open_journey
from journeys.letters import compose, in_thread
from journeys.mailboxes import QUICK, account, change, connect, in_a_loop, row, visited
from journeys.token_endpoint import token_endpoint
from postroom.dovecot import PASSWORD, Dovecot

from gateway.inbound.destinations import Names
from gateway.inbound.imap_poller import ImapPoller, Pace
from gateway.inbound.imap_wire import Patience
from gateway.inbound.reception import Reception
from gateway.mail.received import ReceivedMail, read_mail
from gateway.store.database import Database, to_ms
from gateway.store.mailbox_account import ALL
from gateway.store.mailboxes import add_mailbox
from gateway.store.routes import Secret
from gateway.store.sealed import read_key_file
from gateway.store.spool import spool_depth, spool_depths
from gateway.store.tenants import find_tenant

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
USERS = iter(f"real{number}@acme.test" for number in range(1000))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A filled SQLite database; what is tried here is the same on both."""
    made = Place(tmp_path / "data", "")
    fill_place(made)
    return made


@pytest.fixture
def user(dovecot: Dovecot) -> str:
    return dovecot.add_user(next(USERS))


def letters(user: str, *subjects: str) -> list[bytes]:
    return [compose(subject, "Bună!\n", author="Ion <ion@client.test>", to=user) for subject in subjects]


async def put(dovecot: Dovecot, user: str, *subjects: str, folder: str = "INBOX") -> None:
    for raw in letters(user, *subjects):
        await in_thread(dovecot.append, user, raw, folder)


def make_folder(dovecot: Dovecot, user: str, name: str) -> None:
    with dovecot.login(user) as client:
        client.create_folder(name)


async def taken(journey: Journey, count: int) -> Counter[str]:
    """The subjects of the threads that replies opened, once there are so many."""

    async def ask() -> Counter[str] | None:
        found = Counter(one.subject for one in await journey.threads() if one.chip == "reply")
        return found if found.total() >= count else None

    return await journey.until(ask)


@in_a_loop
async def test_a_folder_that_is_numbered_anew_loses_nothing_and_gives_nothing_twice(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        await in_thread(make_folder, dovecot, user, "Work")
        await put(dovecot, user, "before", folder="Work")
        first = await connect(journey, place.folder, account(dovecot, user, takes=ALL, folder="Work"))
        await put(dovecot, user, "one", "two", folder="Work")
        await taken(journey, 2)

        def rebuild() -> None:
            """As a restore does it: the same mails, numbered anew, and one that came meanwhile."""
            with dovecot.login(user) as client:
                client.select_folder("Work")
                mails = client.fetch(client.search(), ["BODY.PEEK[]", "INTERNALDATE"])
                client.close_folder()
                client.rename_folder("Work", "Old")
                client.create_folder("Work")
                for uid in sorted(mails, reverse=True):
                    client.append("Work", mails[uid][b"BODY[]"], msg_time=mails[uid][b"INTERNALDATE"])
                client.append("Work", letters(user, "three")[0])

        await in_thread(rebuild)
        journey.clock.move(minutes=2)  # over the backoff, if it was looked at in the middle
        await put(dovecot, user, "four", folder="Work")
        assert await taken(journey, 4) == Counter(["one", "two", "three", "four"])
        found = await visited(journey)
        assert first.cursor and found.cursor and found.cursor.uidvalidity != first.cursor.uidvalidity
        await visited(journey)
        assert (await taken(journey, 4)).total() == 4


@in_a_loop
async def test_mail_that_is_expunged_under_us_is_passed_over(place: Place, dovecot: Dovecot, user: str) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        await connect(journey, place.folder, account(dovecot, user, takes=ALL))

        def come_and_go() -> None:
            with dovecot.login(user) as client:
                for raw in letters(user, "gone", "stays", "gone too"):
                    client.append("INBOX", raw)
                client.select_folder("INBOX")
                client.delete_messages(client.search(["SUBJECT", "gone"]))
                client.expunge()

        await in_thread(come_and_go)
        await put(dovecot, user, "later")
        found = await taken(journey, 2)
        assert {"stays", "later"} <= set(found) and set(found.values()) == {1}


@in_a_loop
async def test_a_mailbox_reads_from_a_day_on_when_it_is_asked_to(place: Place, dovecot: Dovecot, user: str) -> None:
    async with open_journey(place, imap=QUICK) as journey:

        def lay() -> None:
            with dovecot.login(user) as client:
                for raw, at in zip(letters(user, "old", "new"), (40, 2), strict=True):
                    client.append("INBOX", raw, msg_time=Clock()() - timedelta(days=at))

        await in_thread(lay)
        since = f"{Clock()() - timedelta(days=10):%Y-%m-%d}"
        await connect(journey, place.folder, account(dovecot, user, takes=ALL, since=since))
        await put(dovecot, user, "now")
        assert set(await taken(journey, 2)) == {"new", "now"}


@pytest.mark.parametrize("mechanisms", [" oauthbearer", " xoauth2"])
def test_a_mailbox_is_read_by_tokens_that_are_renewed(
    place: Place, start_dovecot: Callable[..., Dovecot], mechanisms: str
) -> None:
    @in_a_loop
    async def run() -> None:
        with token_endpoint() as endpoint:
            introspect = endpoint.url.replace("/token", "/introspect")
            dovecot = start_dovecot(introspect=introspect, mechanisms=mechanisms)
            dovecot.add_user(endpoint.user)
            async with open_journey(place, imap=QUICK) as journey:
                made = account(dovecot, endpoint.user, takes=ALL, auth="oauth", provider="custom", client_id="app",
                               grant="authorization_code", token_url=endpoint.url)  # fmt: skip
                soon = to_ms(journey.clock()) + 60_000
                await connect(journey, place.folder, made, access_token="old", refresh_token="refresh-0",
                              expires_at=soon)  # fmt: skip
                assert endpoint.tokens == 1
                await put(dovecot, endpoint.user, "by token")
                assert set(await taken(journey, 1)) == {"by token"}
                endpoint.valid.clear()  # taken back before its time: the next login asks for another

                async def renewed() -> bool:
                    journey.clock.move(minutes=5)
                    return endpoint.tokens >= 2 and (await row(journey)).failures == 0

                await journey.until(renewed)
                endpoint.mood, endpoint.valid = "revoked", set()

                async def told() -> bool:
                    journey.clock.move(minutes=30)
                    words = (await row(journey)).words
                    return "gateway mailbox set facturare --connect" in words

                await journey.until(told)
                assert (await row(journey)).state == "failed"

    run()


@in_a_loop
async def test_a_mailbox_by_starttls_and_in_the_clear_when_it_is_asked_for(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        plain = account(dovecot, user, takes=ALL, port=dovecot.imap_port, security="starttls")
        await connect(journey, place.folder, plain)
        await put(dovecot, user, "starttls")
        await taken(journey, 1)
        await change(journey, place.folder, account(dovecot, user, takes=ALL, port=dovecot.imap_port, security="none"))
        await put(dovecot, user, "clear")
        assert set(await taken(journey, 2)) == {"starttls", "clear"}


MAILS, KILLS = 500, 3


@pytest.mark.timeout(400)
def test_a_kill_in_the_middle_loses_nothing_and_takes_nothing_twice(
    place: Place, dovecot: Dovecot, user: str, tmp_path: Path
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'hostname = "mail.gateway.test"\nshared_address = "noreply-invoice@gateway.test"\ndata = "{place.folder}"\n'
        'inbox_domain = "inbox.gateway.test"\nreturn_domain = "return.gateway.test"\nlog = "error"\n'
        "[submission]\nport = 0\ntls_port = 0\n[receiver]\nport = 0\n[web]\nport = 0\n[workers]\ncount = 1\n"
        "[delivery]\nallow_private = true\n[imap]\npoll_seconds = 1\nidle_threads = 0\n"
    )
    command = [sys.executable, str(ROOT / "cli.py"), "-c", str(config)]
    with dovecot.login(user) as client:
        for raw in letters(user, *(f"mail {number}" for number in range(MAILS))):
            client.append("INBOX", raw)
    trust = str(dovecot.cert)
    subprocess.run(
        [*command, "mailbox", "add", "box", "-t", "acme", "--host", "127.0.0.1", "--port", str(dovecot.imaps_port),
         "--username", user, "--password-stdin", "--trust", trust, "--takes", ALL, "--since", "2026-01-01"],
        input=PASSWORD + "\n", text=True, check=True, capture_output=True,
    )  # fmt: skip
    pending = []
    for number in range(KILLS):
        process = subprocess.Popen([*command, "serve"], start_new_session=True)
        before, until = count(place), time.monotonic() + 60
        while count(place) <= before and count(place) < MAILS and time.monotonic() < until:
            if number == 0 and waiting(place):  # stored, and not judged
                break
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.3) if number else 0)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        pending.append(waiting(place))
    assert any(pending), "no kill came between storing and judging"
    process = subprocess.Popen([*command, "serve"], start_new_session=True)
    try:
        until = time.monotonic() + 60
        while count(place) < MAILS and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(2)  # another look or two
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    found = Counter(subjects(place))
    assert set(found) == {f"mail {number}" for number in range(MAILS)} and set(found.values()) == {1}
    assert waiting(place) == 0 and ask(place, "SELECT COUNT(*) FROM content") == [MAILS]


@contextlib.asynccontextmanager
async def polling(place: Place, clock: Clock, go_on: asyncio.Event) -> AsyncIterator[Database]:
    """A poller whose spool has room for nothing beside what is in it, and that reads no mail before it may."""

    async def read(raw: bytes) -> ReceivedMail:
        await go_on.wait()
        return read_mail(raw)

    database, seal = Database(f"sqlite:///{place.folder}/gateway.db"), read_key_file(place.folder / "gateway.key")
    pace = Pace(2, 0, 1.0, Patience(batch_mails=10), 1)
    poller = ImapPoller(Reception(database, read, Names("r.test", "i.test", b"key")), seal, "n1", clock, None, pace)
    task = asyncio.create_task(poller.run())
    try:
        yield database
        assert not task.done(), "the poller died"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        database.close()


@in_a_loop
async def test_a_pull_pauses_while_the_spool_is_full_and_a_mail_that_comes_alone_does_not(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    lay = [f"mail {number}" for number in range(60)]
    with dovecot.login(user) as client:
        for raw in letters(user, *lay):
            client.append("INBOX", raw)
    clock, go_on, other = Clock(), asyncio.Event(), dovecot.add_user(next(USERS))
    await put(dovecot, other, "alone")
    async with polling(place, clock, go_on) as database:
        tenant = await database.read(find_tenant, "acme")
        assert tenant is not None

        async def add(name: str, who: str) -> None:
            made, seal = (
                account(dovecot, who, takes=ALL, since="2026-01-01"),
                read_key_file(place.folder / "gateway.key"),
            )
            await database.write(add_mailbox, clock(), seal, tenant.id, name, made, Secret(password=PASSWORD))

        async def until(so: Callable[[int], bool]) -> None:
            async with asyncio.timeout(30):
                while not so((await database.read(spool_depth)).mails):
                    await asyncio.sleep(0.05)
                    clock.move(seconds=2)

        await add("many", user)
        await until(lambda depth: depth >= 10)
        await asyncio.sleep(1)
        begun = (await database.read(spool_depth)).mails  # what was under way when the spool became full
        assert begun <= 40
        await add("few", other)
        await until(lambda depth: depth == begun + 1)
        for _ in range(10):  # it is looked at again, and nothing is fetched
            await asyncio.sleep(0.1)
            clock.move(seconds=6)
        assert {key[1]: one.mails for key, one in (await database.read(spool_depths)).items()} == {
            "many": begun,
            "few": 1,
        }
        assert count(place) == 0
        go_on.set()
        await until(lambda depth: depth == 0 and count(place) == 61)
    assert Counter(subjects(place)) == Counter([*lay, "alone"])


def count(place: Place) -> int:
    return len(subjects(place))


def waiting(place: Place) -> int:
    """Mails that are stored and not judged."""
    return int(ask(place, "SELECT COUNT(*) FROM spool")[0])


def subjects(place: Place) -> list[str]:
    return ask(place, "SELECT subject FROM message WHERE direction = 'in'")


def ask(place: Place, sql: str) -> list[Any]:
    with sqlite3.connect(f"file:{place.folder / 'gateway.db'}?mode=ro", uri=True, timeout=20) as database:
        return [row[0] for row in database.execute(sql)]
