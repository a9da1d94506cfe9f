"""The operator's pages in Chromium: three languages, wide and narrow, without a serious fault of access; they look at
themselves again by themselves, keep what is folded open, and work without JavaScript.

With GATEWAY_SCREENS set to a folder, pictures of every page are written there.
"""

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from integration.screens import picture
from integration.test_web_access import faults
from integration.test_web_chromium import Served
from journeys.inbox_seed import NOW, PASSWORD, House, open_house
from playwright.sync_api import Page, expect
from postroom.chromium import Chromium

from gateway.outbound.queue import hold
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.measures import Measure, put_measures, slot_of
from gateway.store.nodes import note_node
from gateway.store.schema import OPERATOR
from gateway.store.users import add_user

pytestmark = pytest.mark.integration
PAGES = {
    "operator": "/operator",
    "operator-queue": "/operator/queue",
    "operator-failed": "/operator/queue?state=failed&tenant=alfa",
    "operator-tenants": "/operator/tenants",
    "operator-tenant": "/operator/tenants/{tenant}",
}
WORDS = "421 4.7.28 Our system has detected an unusual rate of mail from your network, temporarily rate limited"


def destination(key: str, state: str, words: str = "", **more: object) -> dict[str, object]:
    until = (NOW + timedelta(minutes=7)).timestamp() if state == "rests" else 0.0
    usual = {"domain": key, "way": "direct", "connections": 0, "allowed": 1, "most": 20, "waiting": 0, "until": until}
    return {"key": f"mx1.{key} mx2.{key}", "state": state, "words": words} | usual | more


REPORT = {
    "in_flight": 214, "connections": 12, "most_connections": 200, "database_ms": 3,
    "destinations": [
        destination("client.example", "rests", WORDS, allowed=0),
        destination("vechi.example", "probed", "cannot be reached: connection refused"),
        destination("nord.example", "flows", connections=8, allowed=9, waiting=190),
    ],
    "findings": [
            {"what": "TLS certificate", "state": "wrong", "words": "valid until %(day)s", "todo": "renew it",
             "facts": {"day": "2026-11-20"}},
            {"what": "disk", "state": "warning", "words": "%(free)s MB free in %(path)s",
             "todo": "make room (min_free is %(least)s MB)", "facts": {"free": 812, "path": "/data", "least": 512}},
            {"what": "DNS", "state": "ok", "words": "answers within %(ms)s ms", "todo": "", "facts": {"ms": 12}},
        ],
}  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("operator") / "gateway.db"
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def house(database: Database) -> House:
    made = open_house(database)

    def work(tx: Transaction) -> None:
        add_user(tx, NOW, OPERATOR, "root@gateway.example", PASSWORD, name="Root")
        key = (made.messages["waiting"], 0)
        assert hold(tx, to_ms(NOW), made.tenant, key, "the gateway failed 3 times while sending it; its log says why")
        note_node(tx, NOW - timedelta(minutes=9), "mail2.1", NOW - timedelta(days=3), REPORT | {"destinations": []})
        note_node(tx, NOW, "mail1.1", NOW - timedelta(days=3), REPORT)
        put_measures(tx, [one for n in range(144) for one in measures(slot_of(NOW) - n, made.tenant)])

    database.write_now(work)
    return made


def measures(slot: int, tenant: str) -> list[Measure]:
    """Ten minutes of a day that rises and falls, with a slow hour in it."""
    many = int(900 * (1 + math.sin(slot / 23)) + 40 * (slot % 7))
    slow = 12 if slot % 144 in range(60, 66) else 1
    gone, back = many - many // 9, many // 30
    house = Measure(OPERATOR, slot, many, gone, back, 700 * slow, 2600 * slow, 60 * slow + slot % 40)
    return [house, Measure(tenant, slot, many // 3, gone // 3, back // 3)]


@pytest.fixture(scope="module")
def served(database: Database, house: House) -> Iterator[Served]:
    server = Served(database)
    yield server
    server.stop()


def log_in(page: Page, served: Served, language: str = "en") -> list[str]:
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(served.url) else None)
    page.goto(served.url)
    page.fill("#email", "root@gateway.example")
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url(f"{served.url}/operator")  # a login leads to one's own pages
    page.click(f".languages button[value={language}]")
    return complaints


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
def test_no_page_has_a_serious_fault_of_access_or_overflows(
    chromium: Chromium, served: Served, house: House, language: str
) -> None:
    for width in (1280, 360):
        with chromium.page(width=width, height=800) as page:
            complaints = log_in(page, served, language)
            for name, path in PAGES.items():
                page.goto(served.url + path.format(tenant=house.tenant))
                picture(page, name, language, width)
                for summary in page.locator("main summary").all():
                    summary.click()
                assert faults(page) == [], (name, width)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            assert complaints == []


def test_the_page_looks_again_by_itself_and_keeps_the_focus(
    chromium: Chromium, served: Served, house: House, database: Database
) -> None:
    with chromium.page() as page:
        page.clock.install()
        complaints = log_in(page, served)
        expect(page.locator("#live-destinations")).to_contain_text("unusual rate")
        page.click("details.numbers summary")
        fresh = REPORT | {"destinations": [destination("client.example", "flows"), destination("b.example", "probed")]}
        database.write_now(note_node, NOW, "mail1.1", NOW, fresh | {"in_flight": 98_765})
        page.clock.run_for(10_500)
        expect(page.locator("#live-nodes")).to_contain_text("98,765")
        expect(page.locator("#live-destinations")).not_to_contain_text("unusual rate")
        expect(page.locator("details.numbers table")).to_be_visible()  # what was folded open stays open
        assert complaints == []
        database.write_now(note_node, NOW, "mail1.1", NOW, REPORT)


def test_nothing_needs_a_script(chromium: Chromium, served: Served, house: House) -> None:
    with chromium.browser() as browser:
        page = browser.new_context(java_script_enabled=False).new_page()
        log_in(page, served)
        expect(page.locator("polyline").first).to_be_attached()
        page.click("text=Refresh")
        page.goto(f"{served.url}/operator/queue")
        page.select_option("select[name=state]", "failed")
        page.fill("input[name=tenant]", "alfa")
        page.click("form.filter button")
        expect(page.locator(".deliveries-of li").first).to_be_visible()
