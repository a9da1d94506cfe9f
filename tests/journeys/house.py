"""A whole gateway with its outside world, in the test's own event loop: what every journey begins with.

`open_journey` is used by tests/journeys and tests/integration. A `Place` is a filled database and a data folder (the
fixtures copy it from a template); the clock runs with the real one and can be moved ahead. Everything that is asked
here waits for its answer and fails in words: no test sleeps for what it can see.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from journeys.letters import SECONDS, Answer, hand_over, in_thread
from sqlalchemy import func, select

from gateway.cli.domain import make_domain
from gateway.cli.setup import make_installation
from gateway.config import Config, Delivery, Receiver, Submission, Web, Workers
from gateway.demo.mails import Received
from gateway.demo.world import World, start_world
from gateway.inbox.reading import read_thread
from gateway.inbox.trace import trace
from gateway.inbox.views import ThreadView
from gateway.serve.house import House, open_house
from gateway.serve.parts import Hosts
from gateway.store.database import Database, Transaction, open_engine
from gateway.store.events import Event, list_events
from gateway.store.messages import Message, list_messages
from gateway.store.schema import delivery, event, message, metadata, thread
from gateway.store.tenants import add_credential, add_tenant, find_tenant, set_tenant
from gateway.store.thread_lists import list_threads
from gateway.store.threads import Thread, get_thread

T = TypeVar("T")

HOSTNAME = "mail.gateway.test"
SHARED = "noreply-invoice@gateway.test"
RETURNS = "return.gateway.test"
INBOX = "inbox.gateway.test"
PASSWORD = "journey-password"


@dataclass(frozen=True)
class Place:
    """A database with its schema and sample tenants, and the data folder that belongs to it."""

    folder: Path
    database: str


@dataclass
class Clock:
    """The real time, moved ahead as a test likes."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def move(self, **units: float) -> None:
        """Let time pass: `move(days=5)`."""
        self.ahead += timedelta(**units)


def make_config(place: Place, **changes: Any) -> Config:
    """The configuration of a journey: everything on loopback, on free ports. `changes` by key, or section."""
    made = Config(
        hostname=HOSTNAME,
        shared_address=SHARED,
        return_domain=RETURNS,
        inbox_domain=INBOX,
        data=str(place.folder),
        database=place.database,
        submission=Submission(port=-1, tls_port=-1),
        receiver=Receiver(port=-1, lmtp_port=-1),
        delivery=Delivery(allow_private=True),
        web=Web(port=0),
        workers=Workers(count=1),
    )
    for name, value in changes.items():
        made = replace(made, **{name: replace(getattr(made, name), **value) if isinstance(value, dict) else value})
    return made


def fill_place(place: Place) -> None:
    """Schema, keys, certificate and two tenants, `acme` and `beta`, each with a credential `NAME-billing`."""
    config = make_config(place)
    make_installation(config)
    database = Database(config.database_url)
    try:
        database.write_now(_add_tenants)
    finally:
        database.close()


def _add_tenants(tx: Transaction) -> None:
    now = datetime.now(UTC)
    for slug, company in (("acme", "Acme Servicii SRL"), ("beta", "Beta Construct SRL")):
        if find_tenant(tx, slug):
            continue
        made = add_tenant(tx, now, slug, company, contact_email=f"contabilitate@{slug}.test")
        set_tenant(tx, made.id)
        add_credential(tx, now, made.id, username=f"{slug}-billing", password=PASSWORD, label="billing system")


def copy_folder(template: Path, folder: Path) -> None:
    """The data folder of a template for one test; its SQLite database too, when it has one."""
    shutil.copytree(template, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock"))


class Journey:
    """A running gateway and its world, and the questions that a test asks of them."""

    def __init__(self, house: House, world: World, clock: Clock, tenant_id: str, other_id: str) -> None:
        self.house = house
        self.world = world
        self.clock = clock
        self.tenant_id = tenant_id
        self.other_id = other_id  # of the tenant `beta`

    # -- doing

    async def submit(self, raw: bytes, *recipients: str, tenant: str = "acme", **options: Any) -> Answer:
        """Hand a mail over by SMTP with AUTH, as the tenant's billing system."""
        options.setdefault("login", (f"{tenant}-billing", PASSWORD))
        return await in_thread(hand_over, self.house.ports.submission, raw, recipients, **options)

    async def queue(self, raw: bytes, *recipients: str, **options: Any) -> "Sent":
        """Submit a mail that must be accepted; its ids."""
        answer = await self.submit(raw, *recipients, **options)
        assert answer.code == 250, answer
        return Sent(answer.word("Queued"), answer.word("thread"), answer.text)

    async def come(self, raw: bytes, *recipients: str, return_path: str = "", **options: Any) -> Answer:
        """Hand a mail to the receiver, as somebody's server."""
        port = self.house.ports.lmtp if options.get("lmtp") else self.house.ports.receiver
        return await in_thread(hand_over, port, raw, recipients, return_path=return_path, **options)

    async def write(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Do in the database what a command of the CLI does."""
        return await self.house.database.write(function, *args, **options)

    async def domain(self, name: str, algorithms: tuple[str, ...] = ("rsa",), tenant_id: str = "") -> None:
        """Give a tenant a domain with fresh keys, as the CLI does."""
        owner = tenant_id or self.tenant_id
        await asyncio.to_thread(make_domain, self.house.database, self.house.seal, owner, name, algorithms)

    # -- asking

    async def arrival(self, recipient: str, number: int = 0) -> Received:
        """The mail of that number which the world took for a recipient, waited for."""

        async def arrived() -> Received | None:
            found = self.arrivals(recipient)
            return found[number] if len(found) > number else None

        return await self.until(arrived)

    def arrivals(self, recipient: str) -> list[Received]:
        """All mail that the world took for a recipient."""
        return [mail for mail in self.world.received if mail.recipient == recipient]

    async def until(self, ask: Callable[[], Awaitable[T | None]], seconds: float = SECONDS) -> T:
        """The first true answer. Raises TimeoutError with the last one."""
        deadline = time.monotonic() + seconds
        while True:
            answer = await ask()
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"still {answer!r}")
            await asyncio.sleep(0.03)

    async def deliveries(self, message_id: str) -> list[dict[str, Any]]:
        """The rows of a message's deliveries, in order."""
        return await self.house.database.read(_deliveries, message_id)

    async def delivery(self, message_id: str, number: int = 1) -> dict[str, Any]:
        """One of these rows."""
        return (await self.deliveries(message_id))[number - 1]

    async def settled(self, message_id: str, state: str, number: int = 1) -> dict[str, Any]:
        """The row of a delivery once it has this state."""
        last: dict[str, Any] = {}

        async def ask() -> dict[str, Any] | None:
            last.update(await self.delivery(message_id, number))
            return last if last["state"] == state else None

        try:
            return await self.until(ask)
        except TimeoutError:
            raise AssertionError(f"wanted {state}: {last}") from None

    async def tried(self, message_id: str, attempts: int = 1, number: int = 1) -> dict[str, Any]:
        """The row of a delivery that waits again after so many attempts."""

        async def ask() -> dict[str, Any] | None:
            row = await self.delivery(message_id, number)
            return row if row["attempts"] >= attempts and not row["booked_by"] else None

        return await self.until(ask)

    async def given_back(self, message_id: str, number: int = 1) -> dict[str, Any]:
        """The row of a delivery that was booked and not tried, and says what it waits for."""

        async def ask() -> dict[str, Any] | None:
            row = await self.delivery(message_id, number)
            return row if row["text"] and row["attempts"] == 0 and not row["booked_by"] else None

        return await self.until(ask)

    async def thread(self, thread_id: str, tenant_id: str = "") -> Thread:
        """A thread's row."""
        found = await self.house.database.read(get_thread, tenant_id or self.tenant_id, thread_id)
        assert found is not None, thread_id
        return found

    async def threads(self, tenant_id: str = "") -> list[Thread]:
        """All threads of a tenant."""
        return await self.house.database.read(list_threads, tenant_id or self.tenant_id)

    async def view(self, thread_id: str, tenant_id: str = "") -> ThreadView:
        """A thread as the inbox shows it."""
        found = await self.house.database.read(read_thread, tenant_id or self.tenant_id, thread_id)
        assert found is not None, thread_id
        return found

    async def events(self, thread_id: str, *types: str) -> list[Event]:
        """The events of a thread, all or some types of them."""
        found = await self.house.database.read(list_events, self.tenant_id, thread_id=thread_id)
        return [event for event in found if not types or event.type in types]

    async def event(self, thread_id: str, type: str, count: int = 1) -> list[Event]:
        """The events of one type, once there are `count` of them."""

        async def ask() -> list[Event] | None:
            found = await self.events(thread_id, type)
            return found if len(found) >= count else None

        return await self.until(ask)

    async def came(self, thread_id: str, count: int = 1, tenant_id: str = "") -> list[Message]:
        """The mails that came into a thread, once there are `count` of them."""

        async def ask() -> list[Message] | None:
            found = await self.house.database.read(list_messages, tenant_id or self.tenant_id, thread_id)
            found = [one for one in found if one.direction == "in"]
            return found if len(found) >= count else None

        return await self.until(ask)

    async def answers(self, query: str, tenant_id: str = "") -> list[str]:
        """The sentences with which `gateway trace` begins."""
        found = await self.house.database.read(trace, tenant_id or self.tenant_id, query)
        return [sentence for one in found for sentence in one.answers]

    async def counts(self) -> dict[str, int]:
        """How many rows every table has, those of sessions and summaries aside."""
        return await self.house.database.read(_counts)


@dataclass(frozen=True)
class Sent:
    """An accepted message: its ids, and the sentence it was accepted with."""

    message_id: str
    thread_id: str
    text: str


def _deliveries(tx: Transaction, message_id: str) -> list[dict[str, Any]]:
    names = [column.name for column in delivery.columns]
    rows = tx.all(select(*delivery.columns).where(delivery.c.message_id == message_id).order_by(delivery.c.number))
    return [dict(zip(names, row, strict=True)) for row in rows]


def _counts(tx: Transaction) -> dict[str, int]:
    """Rows of each table, without the lines and threads in which refusals are shown to the tenant."""
    own = ("search_", "node", "measure")  # these follow the clock, not what is asked
    tables = {name: table for name, table in metadata.tables.items() if not name.startswith(own)}
    counts = {name: tx.first(select(func.count()).select_from(table))[0] for name, table in tables.items()}
    shown = [row[0] for row in tx.all(select(thread.c.thread_id).where(thread.c.chip == "refused"))]
    counts["thread"] -= len(shown)
    counts["event"] -= tx.first(select(func.count()).select_from(event).where(event.c.thread_id.in_(shown)))[0]
    return counts


async def _tenant_ids(database: Database) -> list[str]:
    found = [await database.read(find_tenant, slug) for slug in ("acme", "beta")]
    return [one.id for one in found if one is not None]


@contextlib.asynccontextmanager
async def open_journey(
    place: Place,
    *,
    pace: float = 0.0,
    clock: Clock | None = None,
    world: World | None = None,
    hosts: Hosts | None = None,
    https_port: int = 443,
    **changes: Any,
) -> AsyncIterator[Journey]:
    """A gateway and a world (or the one that is given) while the context lasts; `hosts` in place of the world's."""
    clock = clock or Clock()
    ours = world or await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=pace)
    hosts = hosts or {"*": [("mx.world.example", "127.0.0.1", ours.port)]}
    try:
        async with open_house(make_config(place, **changes), clock=clock, hosts=hosts, https_port=https_port) as house:
            ours.return_to = ("127.0.0.1", house.ports.receiver)
            yield Journey(house, ours, clock, *await _tenant_ids(house.database))
    finally:
        if world is None:
            await ours.stop()


def rename_table(place: Place, before: str, after: str) -> None:
    """Take a table away from under the gateway, or put it back."""
    engine = open_engine(make_config(place).database_url)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {after}")
    finally:
        engine.dispose()


def end_connections(place: Place) -> None:
    """What a restart of the PostgreSQL server does to everybody."""
    engine = open_engine(make_config(place).database_url)
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    finally:
        engine.dispose()


def count_messages(tx: Transaction, direction: str) -> int:
    """How many messages of all tenants left or came."""
    return int(tx.first(select(func.count()).where(message.c.direction == direction))[0])
