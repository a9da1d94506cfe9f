"""A billing run of a thousand invoices, and a clerk's day with it: every bounce corrected, every answer read.

A hundred are documents of customers whose address is wrong, for four reasons; the others are mails that the billing
system composed, and forty of those who get one answer. The report adds up at each moment.
"""

import asyncio
import csv
import html
import io
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

from journeys.api_client import make_program
from journeys.clerk import Clerk, make_clerk
from journeys.house import Journey, Place, open_journey
from journeys.letters import compose
from journeys.test_journey_customers import document

from gateway.demo.samples import document_mail
from gateway.inbox.listing import list_page
from gateway.inbox.run_list import list_runs
from gateway.inbox.run_recipients import SINCE
from gateway.inbox.runs import RunReport, need_run, tell_run
from gateway.mail.address import parse_address
from gateway.outbound.handed import Handed, Rcpt
from gateway.outbound.submission import accept
from gateway.store.template_settings import change_setting

RUN, SIZE, BOUNCES, ANSWERS, PROMISES = "2026-11 invoices", 1000, 100, 40, 10
FAULTS = {
    "unknown": "mailbox_unknown", "disabled": "mailbox_disabled", "full-hard": "mailbox_full",
    "policy": "policy_rejected",
}  # fmt: skip


def wrong(number: int) -> str:
    return f"{list(FAULTS)[number % 4]}.{number}@firm{number}.test"


def right(number: int) -> str:
    return f"office@firm{number}.test"


async def bill(journey: Journey) -> None:
    """The run is handed over, many at a time."""
    for key in ("new_invoice", "unpaid_invoice", "late_payment_reminder"):  # drawing a thousand PDFs is another test
        await journey.write(change_setting, journey.tenant_id, key, "", {"attach_pdf": False})
    busy = asyncio.Semaphore(40)

    async def hand(number: int) -> None:
        if number < BOUNCES:
            to = wrong(number)
            who = {"id": f"c-{number}", "name": f"Firma {number} SRL", "contacts": [{"email": to}]}
            made = document(number, customer=who)
            raw = document_mail(made, now=datetime.now(UTC), headers={"X-AR-Run": RUN, "X-AR-Template": "new_invoice"})
        else:
            kind = "person" if number < BOUNCES + ANSWERS else "accept"
            to = f"{kind}.{number}@firm{number % 7}.test"
            said = {"Run": RUN, "Document": f"invoice/inv_{number}", "Number": f"F-{number}", "Amount": "100.00 MDL",
                    "Due": "2026-12-01"}  # fmt: skip
            raw = compose(f"Factura F-{number}", to=to, headers=[(f"X-AR-{name}", text) for name, text in said.items()])
        async with busy:
            handed = Handed(journey.tenant_id, "billing", (Rcpt(parse_address(to)),), raw)
            await accept(journey.house.door, handed, journey.clock())

    await asyncio.gather(*(hand(number) for number in range(SIZE)))


async def report(journey: Journey) -> RunReport:
    """The run's report, which must add up."""
    found = await journey.house.database.read(need_run, journey.tenant_id, RUN)
    assert found.total == sum(line.total for line in found.lines) == sum(found.columns)
    assert found.total == sum(count for _, count in found.final()) and not found.cut
    assert abs(sum(bar.width for bar in found.bars()) - 1000) < 1
    return found


async def wait_for(journey: Journey, **wanted: int) -> RunReport:
    """The report once it has these numbers."""

    async def ask() -> RunReport | None:
        await asyncio.sleep(0.3)  # reading it costs what the gateway needs just now
        found = await report(journey)
        return found if wanted.items() <= dict(found.final()).items() else None

    return await journey.until(ask, 60)


async def correct_every_bounce(clerk: Clerk) -> int:
    """Work through the worklist until it is empty."""
    done = 0
    while olds := re.findall(r'name="old" value="([^"]+)"', await clerk.get("/bounces")):
        for old in olds:
            await clerk.post("/bounces", old=html.unescape(old), new=right(int(old.split(".")[1].split("@")[0])))
            done += 1
    return done


async def read_every_answer(clerk: Clerk, journey: Journey) -> None:
    """Note the promises, write one answer, and be done with the others at once."""
    page = await journey.house.database.read(list_page, journey.tenant_id, view="replies", limit=200)
    threads = [line.thread.id for line in page.lines]
    assert len(threads) == ANSWERS and threads[0] in await clerk.get("/inbox?view=replies")
    by = (datetime.now(UTC) + timedelta(days=7)).date().isoformat()
    for thread_id in threads[:PROMISES]:
        await clerk.post(f"/inbox/{thread_id}/promise", on=by, amount="")
    rest = threads[PROMISES:]
    form = {
        name: field(await clerk.get(f"/inbox/{rest[0]}/reply"), name) for name in ("to", "subject", "message", "seen")
    }
    await clerk.post(f"/inbox/{rest[0]}/reply", **form, text="Mulțumim!", then="closed")
    await clerk.post("/inbox/act", action="close", view="replies", **{f"t.{one}": "1" for one in rest[1:]})


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*? value="([^"]*)"', page)
    assert found, name
    return html.unescape(found[1])


def test_a_clerks_day_ends_with_every_bounce_corrected_and_the_run_adds_up(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web={"port": -1}) as journey:
            await bill(journey)
            found = await wait_for(journey, relayed=SIZE - BOUNCES - ANSWERS, failed=BOUNCES, answered=ANSWERS)
            assert (found.messages, found.total, found.accepted) == (SIZE, SIZE, SIZE - BOUNCES)
            failed = {line.reason: line.total for line in found.lines if line.state == "failed"}
            assert failed == dict.fromkeys(FAULTS.values(), BOUNCES // 4)

            clerk = await make_clerk(journey)
            assert RUN in await clerk.get("/runs")
            assert await correct_every_bounce(clerk) == BOUNCES
            await read_every_answer(clerk, journey)

            found = await wait_for(journey, corrected=BOUNCES, promised=PROMISES, answered=ANSWERS - PROMISES)
            told = tell_run(found)
            assert told["final"] == {"promised": 10, "answered": 30, "corrected": 100, "accepted": 860}
            assert dict(zip(SINCE, found.columns, strict=True))["nothing"] == 860
            assert {one["reason"]: one["corrected"] for one in told["lines"] if one["reason"]} == failed
            await check_the_world(journey)
            await check_pages(clerk, journey)
            await check_api(clerk, journey)

    asyncio.run(run())


async def check_the_world(journey: Journey) -> None:
    """Each corrected address got its invoice, once; nobody has anything left to do."""

    async def all_arrived() -> bool:
        return len([one for one in journey.world.received if one.recipient.startswith("office@")]) >= BOUNCES

    await journey.until(all_arrived)
    got = Counter(one.recipient for one in journey.world.received)
    assert [got[right(number)] for number in range(BOUNCES)] == [1] * BOUNCES
    page = await journey.house.database.read(list_page, journey.tenant_id, view="todo")
    assert page.lines == ()


async def check_pages(clerk: Clerk, journey: Journey) -> None:
    page = await clerk.get("/runs/2026-11%20invoices")
    foot = re.search(r"<tfoot>.*?</tfoot>", page, re.S)
    assert foot and re.findall(r"<b>(\d+)</b>", foot[0]) == ["10", "30", "100", "860", "1000"]
    rows = list(csv.DictReader(io.StringIO(await clerk.get("/runs/2026-11%20invoices/recipients.csv"))))
    assert Counter(row["since"] for row in rows) == {"promised": 10, "answered": 30, "corrected": 100, "nothing": 860}
    assert {row["corrected_to"] for row in rows if row["outcome"] == "bounced"} == {right(n) for n in range(BOUNCES)}
    [listed] = (await journey.house.database.read(list_runs, journey.tenant_id)).lines
    assert (listed.name, listed.messages, listed.states) == (RUN, SIZE, {"relayed": 900, "failed": 100})
    assert (await journey.house.database.read(list_runs, journey.other_id)).lines == ()


async def check_api(clerk: Clerk, journey: Journey) -> None:
    """The API says the same, page by page, and the feed names the run of what it tells."""
    ask, url = await make_program(journey), "/v1/runs/2026-11%20invoices"
    [listed] = (await ask("GET", "/v1/runs")).data["data"]
    assert (listed["name"], listed["messages"], listed["recipients"]) == (RUN, SIZE, SIZE)
    told = (await ask("GET", url)).data
    assert told["final"] == {"promised": 10, "answered": 30, "corrected": 100, "accepted": 860} and told["complete"]
    got, after = [], ""
    while after is not None:
        page = (await ask("GET", f"{url}/recipients?limit=150&after={after}")).data
        got, after = got + page["data"], page["next"]
    rows = list(csv.DictReader(io.StringIO(await clerk.get("/runs/2026-11%20invoices/recipients.csv"))))
    names = ("outcome", "reason", "since", "corrected_to", "promised_on", "document", "customer")
    assert [[one["address"], *(one[name] for name in names)] for one in got] == [
        [row["recipient"], *(row[name] for name in names)] for row in rows
    ]
    journey.clock.move(minutes=1)
    taken = (await ask("GET", "/v1/events?type=message.accepted&limit=200")).data["data"]
    assert {one["run"] for one in taken} == {RUN}
