"""Every fault that the hostile server can play, against a whole gateway: a message each, and canaries after it.

Nothing is lost, nothing is taken for delivered that is not, a copy too many is there only where a server took a mail
and did not say so, and whatever one server does, mail to another leaves at once. Skipped by name without hostile_mx.py,
which is no part of this project.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from journeys.house import Clock, Journey, Place, Sent, fill_place, open_journey
from journeys.letters import compose
from journeys.own_server import ADDRESS
from postroom.hostile import Hostile, Sink, faults_of
from sqlalchemy import select

from gateway.demo.world import start_world
from gateway.outbound.smtp_client import Timeouts
from gateway.store.database import Transaction
from gateway.store.routes import Secret, Server, put_server
from gateway.store.schema import attempt, delivery
from gateway.store.sealed import read_key_file
from gateway.store.tenants import add_credential, add_identity, add_tenant, set_tenant

pytestmark = pytest.mark.integration

Start = Callable[..., Hostile]
PASSWORD = "the tenant's password"
BRISK = Timeouts(connect=5, greeting=4, command=4, tls=4, data=4, body=4, after_dot=4, quit=2)

ANSWERS = (
    "451 550 421 drop reset hang stall stalldrop drip garbage flood longline nonutf8 mixed badcode lfonly extra "
    "crinject empty"
).split()
OF_STARTTLS = "inject plain tlsgarbage tlsdrop".split()
OF_BODY = "dropmid stallmid early550".split()
OF_DOT = "acc_drop acc_reset acc_hang acc_451 acc_554".split()
STAGES = "connect ehlo helo mail rcpt data dot rset quit any".split()
NEVER_SAID = {"noop", "lhlo"}  # we have no use for the one, and no route by LMTP

KEYS = {
    "stall": "sec=0.5",
    "stalldrop": "sec=0.5",
    "drip": "bps=400",
    "dropmid": "n=1000",
    "stallmid": "n=1000,sec=0.5",
}
LARGE = "Bună ziua!\n" + "Factura e atașată.\n" * 4000
# A server took the mail and then said nothing, or what is no answer: only asking again tells, and may make a copy.
SILENT = {"acc_drop", "acc_reset", "acc_hang", "acc_451", "garbage", "flood", "longline", "mixed", "badcode", "lfonly",
          "crinject", "empty"}  # fmt: skip
REFUSED = {f"{stage}=550" for stage in ("mail", "rcpt", "data", "dot", "any")} | {"dot=acc_554"}


@dataclass(frozen=True)
class Case:
    """One fault and the server that plays it once."""

    fault: str
    number: int

    @property
    def stage(self) -> str:
        return self.fault.partition("=")[0]

    @property
    def action(self) -> str:
        return self.fault.partition("=")[2]

    @property
    def domain(self) -> str:
        return f"f{self.number}.test"

    @property
    def people(self) -> tuple[str, str]:
        """Who meets the fault, and who writes to the same server afterwards."""
        return f"ana@{self.domain}", f"canary@{self.domain}"

    def sink(self, **options: Any) -> dict[str, Any]:
        keys = f",{KEYS[self.action]}" if self.action in KEYS else ""
        rules = [f"{self.fault},times=1{',every=4' if self.stage == 'any' else ''}{keys}"]
        if self.stage == "helo":  # which is said to those that do not know EHLO
            rules.append("ehlo=502")
        if self.stage == "rset":  # which is said after a recipient was refused
            rules.append("rcpt=550,times=1")
        return {"fault": rules, "tls": "on" if self.stage in ("starttls", "auth") else "off"} | options

    @property
    def delivery(self) -> int:
        """Which delivery of its message meets the fault."""
        return 2 if self.stage == "rset" else 1

    @property
    def copies(self) -> range:
        """How often the server may have taken the mail."""
        if self.fault == "dot=acc_554":
            return range(1, 2)
        if self.fault in REFUSED:
            return range(1)
        if self.fault == "body=early550":
            return range(2)
        return range(1, 3 if self.stage == "dot" and self.action in SILENT else 2)

    @property
    def states(self) -> set[str]:
        """How it may end: what is refused and hung up at once may reach us as a lost connection."""
        if self.fault == "body=early550":
            return {"failed", "relayed"}
        return {"failed" if self.fault in REFUSED else "relayed"}


def make_cases(faults: Sequence[str]) -> list[Case]:
    return [Case(fault, number) for number, fault in enumerate(faults)]


PLAIN = [f"{stage}={action}" for stage in STAGES for action in ANSWERS]
PLAIN += [f"body={action}" for action in OF_BODY] + [f"dot={action}" for action in OF_DOT]
STARTTLS = [f"starttls={action}" for action in (*ANSWERS, *OF_STARTTLS)]
AUTH = [f"auth={action}" for action in ANSWERS]


@pytest.fixture
def program(shared: Path) -> Path:
    path = shared / "tools" / "hostile_mx.py"
    if not path.exists():
        pytest.skip(f"{path} is not at hand")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A filled SQLite database; what is tried here is the same on both."""
    made = Place(tmp_path / "data", "")
    fill_place(made)
    return made


@contextlib.asynccontextmanager
async def gateway_among(
    place: Place, cases: Sequence[Case], sinks: Sequence[Sink], **changes: Any
) -> AsyncIterator[Journey]:
    """A gateway to which each case's domain is served by its sink, and all others by a world that is well."""
    clock = Clock()
    world = await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=0)
    hosts = {
        case.domain: [(f"mx.{case.domain}", "127.0.0.1", sink.port)] for case, sink in zip(cases, sinks, strict=True)
    }
    # The test moves the clock while attempts are under way, which no lease of a real house sees. With one connection
    # to a server, what it did to one mail is there for the next.
    wanted = {"lease_seconds": 10 * 86_400, "connections_per_destination": 1} | changes
    try:
        async with open_journey(
            place,
            clock=clock,
            world=world,
            hosts=hosts | {"*": [("mx.well.test", "127.0.0.1", world.port)]},
            delivery=wanted,
        ) as journey:
            sending = journey.house.delivery
            sending._pace = replace(sending._pace, timeouts=BRISK)
            yield journey
    finally:
        await world.stop()


async def meet(journey: Journey, case: Case, tenant: str) -> tuple[Sent, Sent]:
    """The mail that meets the fault, once it was tried; another for that server; and one elsewhere, which leaves."""
    faulty, canary = case.people
    large = LARGE if case.stage == "body" else "Bună ziua!\n"
    before = [f"gone@{case.domain}"] if case.stage == "rset" else []
    sent = await journey.queue(compose(text=large), *before, faulty, tenant=tenant)

    async def tried() -> bool:
        row = await journey.delivery(sent.message_id, case.delivery)
        return row["state"] != "queued" or bool(row["attempts"] and not row["booked_by"])

    await journey.until(tried)
    after = await journey.queue(compose(), canary, tenant=tenant)
    well = await journey.queue(compose(), f"accept@well{case.number}.test")
    row = await journey.settled(well.message_id, "relayed")
    assert row["attempts"] == 1, case
    return sent, after


def _open_rows(tx: Transaction) -> list[tuple[str, str, str]]:
    rows = tx.all(
        select(delivery.c.recipient, delivery.c.booked_by, delivery.c.text).where(delivery.c.state == "queued")
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _dot_attempts(tx: Transaction, message_id: str) -> list[tuple[str, int]]:
    mine = attempt.c.message_id == message_id
    rows = tx.all(select(attempt.c.stage, attempt.c.unclear).where(mine).order_by(attempt.c.attempt))
    return [(row[0], row[1]) for row in rows]


async def wait_for_all(journey: Journey) -> None:
    """Let days pass, an hour at a time, until nothing waits any more."""
    for _ in range(40):

        async def at_rest() -> list[list[tuple[str, str, str]]]:
            rows = await journey.house.database.read(_open_rows)
            return [] if any(row[1] for row in rows) else [rows]

        [rows] = await journey.until(at_rest)
        if not rows:
            return
        journey.clock.move(hours=1)
        await asyncio.sleep(1.2)  # the queue looks every second for what is due
    raise AssertionError(f"still waiting: {rows}")


async def meet_all(journey: Journey, cases: Sequence[Case], tenants: dict[int, str]) -> list[tuple[Sent, Sent]]:
    room = asyncio.Semaphore(40)

    async def one(case: Case) -> tuple[Sent, Sent]:
        async with room:
            return await meet(journey, case, tenants.get(case.number, "acme"))

    sent = await asyncio.gather(*(one(case) for case in cases))
    await wait_for_all(journey)
    return sent


async def check_books(
    journey: Journey, cases: Sequence[Case], sinks: Sequence[Sink], sent: Sequence[tuple[Sent, Sent]]
) -> None:
    """What the gateway says of each mail agrees with what its server took."""
    wrong = []
    for case, sink, (faulty, canary) in zip(cases, sinks, sent, strict=True):
        row, other = await journey.delivery(faulty.message_id, case.delivery), await journey.delivery(canary.message_id)
        copies = [sink.copies(person) for person in case.people]
        if case.action not in sink.played():
            wrong.append(f"{case.fault}: never played")
        if row["state"] not in case.states or copies[0] not in case.copies:
            wrong.append(f"{case.fault}: {row['state']} {row['code']} {row['text']}, {copies[0]} copies")
        if (row["state"] == "relayed") != (copies[0] > 0) and case.fault != "dot=acc_554":
            wrong.append(f"{case.fault}: {row['state']}, and it took {copies[0]}")
        if (other["state"], copies[1]) != ("relayed", 1):
            wrong.append(f"{case.fault}: the next mail is {other['state']} {other['text']}, {copies[1]} copies")
        if copies[0] == 2:
            tries = await journey.house.database.read(_dot_attempts, faulty.message_id)
            if not (tries[0] == ("dot", 1) or case.action == "acc_451"):
                wrong.append(f"{case.fault}: sent twice, and no attempt says that it is unclear: {tries}")
        if row["state"] == "failed":
            assert (await journey.thread(faulty.thread_id)).state == "open", case
    assert not wrong, "\n".join(wrong)


def test_these_are_all_the_faults_that_the_hostile_server_can_play(program: Path) -> None:
    stages, actions = faults_of(program)
    assert stages == {*STAGES, "starttls", "auth", "body"} | NEVER_SAID
    known = {*ANSWERS, *OF_STARTTLS, *OF_BODY, *OF_DOT} - {"451", "550", "421"}
    assert actions <= known, actions - known
    assert known - actions <= {"acc_drop", "acc_451", "acc_554"}, known - actions


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "step"])
def test_no_fault_of_a_server_loses_mail_or_holds_up_others(
    place: Place, program: Path, start_hostile: Start, pipelining: bool
) -> None:
    cases = make_cases(PLAIN)
    hostile = start_hostile(program, [case.sink(pipelining=pipelining) for case in cases])

    async def run() -> None:
        async with gateway_among(place, cases, hostile.sinks) as journey:
            sent = await meet_all(journey, cases, {})
            await check_books(journey, cases, hostile.sinks, sent)

    asyncio.run(run())


def test_no_fault_of_starttls_loses_mail(place: Place, program: Path, start_hostile: Start) -> None:
    cases = make_cases(STARTTLS)
    certificate = {"cert": str(place.folder / "tls.crt"), "key": str(place.folder / "tls.key")}
    hostile = start_hostile(program, [case.sink(**certificate) for case in cases])

    async def run() -> None:
        async with gateway_among(place, cases, hostile.sinks) as journey:
            sent = await meet_all(journey, cases, {})
            await check_books(journey, cases, hostile.sinks, sent)

    asyncio.run(run())


async def add_company(journey: Journey, place: Place, number: int, port: int) -> str:
    """A tenant whose own server is a sink; its slug."""
    now, seal, slug = journey.clock(), read_key_file(place.folder / "gateway.key"), f"company{number}"
    server = Server(host="localhost", port=port, username=ADDRESS, address=ADDRESS,
                    trusted=(place.folder / "tls.crt").read_text())  # fmt: skip

    def add(tx: Transaction) -> None:
        made = add_tenant(tx, now, slug, f"Company {number}")
        add_credential(tx, now, made.id, username=f"{slug}-billing", password="journey-password")
        add_identity(tx, now, made.id, ADDRESS)
        put_server(tx, now, seal, made.id, server, Secret(password=PASSWORD))
        set_tenant(tx, made.id, sending="own")

    await journey.write(add)
    return slug


def test_no_fault_of_a_login_at_a_tenants_own_server_loses_mail(
    place: Place, program: Path, start_hostile: Start
) -> None:
    cases = make_cases(AUTH)
    options = {"cert": str(place.folder / "tls.crt"), "key": str(place.folder / "tls.key"), "user": ADDRESS,
               "password": PASSWORD, "auth_required": True}  # fmt: skip
    hostile = start_hostile(program, [case.sink(**options) for case in cases])

    async def run() -> None:
        async with gateway_among(place, cases, hostile.sinks) as journey:
            tenants = {
                case.number: await add_company(journey, place, case.number, sink.port)
                for case, sink in zip(cases, hostile.sinks, strict=True)
            }
            sent = await meet_all(journey, cases, tenants)
            await check_books(journey, cases, hostile.sinks, sent)

    asyncio.run(run())


@pytest.mark.parametrize("retries", [0, 2])
def test_a_server_that_never_answers_the_final_dot_gets_as_many_copies_as_the_setting_says(
    place: Place, program: Path, start_hostile: Start, retries: int
) -> None:
    cases = make_cases(["dot=acc_drop", "dot=acc_reset", "dot=acc_hang", "dot=empty"])
    hostile = start_hostile(program, [{"fault": [case.fault]} for case in cases])

    async def run() -> None:
        async with gateway_among(place, cases, hostile.sinks, unclear_retries=retries) as journey:
            sent = [await journey.queue(compose(), case.people[0]) for case in cases]
            await asyncio.sleep(0.1)
            await wait_for_all(journey)
            for case, sink, one in zip(cases, hostile.sinks, sent, strict=True):
                row = await journey.delivery(one.message_id)
                assert (row["state"], row["unclear"]) == ("unclear", retries + 1), (case, row)
                assert sink.copies(case.people[0]) == retries + 1, case
                assert len(await journey.events(one.thread_id, "recipient.unclear")) == 1
                thread = await journey.thread(one.thread_id)
                assert (thread.state, thread.chip) == ("open", "unanswered")

    asyncio.run(run())


SLOW = {  # rules: the stage that ends it, and what is said of it
    "connect=hang": ("connect", "no session within"),
    "connect=stall,sec=4 ehlo=stall,sec=4": ("connect", "no session within"),
    "mail=stall,sec=5 rcpt=stall,sec=5 data=stall,sec=5": ("data", "not sent within"),
    "data=stall,sec=5 dot=hang": ("dot", "no answer before the time for this attempt was over"),
}


def test_a_server_that_is_slow_at_every_step_costs_one_attempt_and_is_no_fault_of_ours(
    place: Place, program: Path, start_hostile: Start
) -> None:
    """Each answer would come in time; all of them together outlast the lease of the attempt."""
    cases = make_cases(list(SLOW))
    hostile = start_hostile(program, [{"fault": case.fault.split(), "pipelining": False} for case in cases])

    async def run() -> None:
        async with gateway_among(place, cases, hostile.sinks, lease_seconds=60) as journey:
            journey.house.delivery._pace = replace(journey.house.delivery._pace, timeouts=Timeouts())
            sent = [await journey.queue(compose(), case.people[0]) for case in cases]
            for one, (stage, words) in zip(sent, SLOW.values(), strict=True):
                row = await journey.tried(one.message_id)
                assert (row["state"], row["reason"], row["status"]) == ("queued", "unreachable", "4.4.2"), row
                assert words in row["text"]
                tries = await journey.house.database.read(_dot_attempts, one.message_id)
                assert tries == [(stage, int(stage == "dot"))]

    asyncio.run(run())
