"""The inbox for everybody: axe-core finds no serious fault on any page, in three languages, wide and narrow; keys alone
are enough; nothing is asked of another origin, and the pages weigh little.

With GATEWAY_SCREENS set to a folder (docs/screens, `make screens`), pictures of every page are written there.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from integration.screens import picture
from integration.test_web_chromium import Served, log_in
from journeys.inbox_seed import NOW, House, open_house
from playwright.sync_api import Page, expect
from postroom.chromium import Chromium

from gateway.inbox import acting, noting, promising
from gateway.outbound.queue import hold
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.threads import get_thread

pytestmark = pytest.mark.integration
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text("utf-8")
GRAVE = ("serious", "critical")
WEIGHT = 150 * 1024  # bytes of the inbox with all that it loads

# in order: no page changes what a later one shows
PAGES = {
    "inbox": "/inbox",
    "all": "/inbox?view=all",
    "promised": "/inbox?view=promised",
    "scheduled": "/inbox?view=scheduled",
    "thread": "/inbox/{paid}",
    "bounce": "/inbox/{bounced}",
    "report": "/inbox/{late}",
    "hostile": "/inbox/{hostile}",
    "waiting": "/inbox/{waiting}",
    "nothing": "/inbox/none",
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("access") / "gateway.db"
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def house(database: Database) -> House:
    made = open_house(database)

    def work(tx: Transaction) -> None:
        by, tenant = "maria@alfa.example", made.tenant
        acting.assign(tx, NOW, tenant, [made.threads["paid"]], by, by)
        acting.tag(tx, NOW, tenant, [made.threads["paid"], made.threads["late"]], by, "avocat")
        noting.add_note(tx, NOW, tenant, made.threads["paid"], "Am vorbit cu Ana: ordinul e de azi.", by)
        promising.promise(tx, NOW, tenant, made.threads["bounced"], date(2026, 12, 4), by, amount="5000")
        acting.reopen(tx, NOW, tenant, [made.threads["bounced"]], by)
        hold(tx, to_ms(NOW), tenant, (made.messages["waiting"], 0), "looked at before it goes")

    database.write_now(work)
    return made


@pytest.fixture(scope="module")
def served(database: Database, house: House) -> Iterator[Served]:
    server = Served(database)
    yield server
    server.stop()


def faults(page: Page) -> list[tuple[str, str, str]]:
    """The serious faults that axe-core finds: (rule, what it says, where). Evaluated, so the page's policy stays."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false})")
    return [
        (fault["id"], fault["help"], node["html"][:200])
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_page_has_a_serious_fault_of_access_or_overflows(
    chromium: Chromium, served: Served, house: House, language: str, width: int
) -> None:
    with chromium.page(width=width, height=800) as page:
        complaints = log_in(page, served, language)
        for name, path in PAGES.items():
            page.goto(served.url + path.format(**house.threads))
            picture(page, name, language, width)
            for summary in page.locator("main summary").all():
                summary.click()
            assert faults(page) == [], name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert [said for said in complaints if "404" not in said] == []  # no error, and no other origin was asked


def test_axe_finds_what_is_wrong(chromium: Chromium) -> None:
    with chromium.page() as page:
        page.set_content("<main><img src='data:,'><p style='color:#ccc;background:#fff'>faint</p><input></main>")
        assert {rule for rule, _, _ in faults(page)} >= {"image-alt", "color-contrast", "label"}


def test_the_inbox_weighs_little_with_all_that_it_loads(chromium: Chromium, served: Served) -> None:
    with chromium.page() as page:
        log_in(page, served)
        weights: dict[str, int] = {}
        page.on("response", lambda got: weights.update({got.url: len(got.body())}))
        page.goto(f"{served.url}/inbox?view=all", wait_until="networkidle")
        assert any("htmx.js" in url for url in weights) and any("style.css" in url for url in weights)
        assert sum(weights.values()) <= WEIGHT, weights


def test_letters_walk_the_list_open_a_thread_and_close_it(
    chromium: Chromium, served: Served, house: House, database: Database
) -> None:
    with chromium.page() as page:
        complaints = log_in(page, served)
        page.goto(f"{served.url}/inbox")
        page.keyboard.press("?")
        expect(page.locator("dialog.keys")).to_be_visible()
        assert faults(page) == []
        picture(page, "keys")
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        first = page.locator(".threads li a.who").first
        expect(first).to_be_focused()
        page.keyboard.press("o")
        expect(page.locator(".mails")).to_be_visible()
        thread_id = page.url.split("/inbox/")[1][:20]
        page.keyboard.press("e")
        expect(page.locator(".notice")).to_be_visible()
        closed = database.read_now(get_thread, house.tenant, thread_id)
        assert closed and closed.state == "closed"
        page.keyboard.press("y")
        expect(page.locator(".threads li, .mails").first).to_be_visible()
        page.wait_for_timeout(300)
        opened = database.read_now(get_thread, house.tenant, thread_id)
        assert opened and opened.state == "open"
        assert complaints == []


def test_whoever_turns_the_letters_off_keeps_them_off(chromium: Chromium, served: Served) -> None:
    with chromium.page() as page:
        log_in(page, served)
        page.goto(f"{served.url}/inbox")
        page.click("#keys-open")
        page.uncheck("dialog.keys input")
        page.keyboard.press("Escape")
        page.reload()
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.tagName") == "BODY"
        page.keyboard.press("?")  # the help still comes, and the way back is in it
        expect(page.locator("dialog.keys input")).not_to_be_checked()
