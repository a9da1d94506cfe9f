"""The pages around the inbox in a real browser: settings, bounces, search, answering, the own account. axe-core finds
no serious fault, nothing is wider than the screen, no other origin is asked; an answer is written with keys alone.

With GATEWAY_SCREENS set to a folder (`make screens`), pictures of every page are written there.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from integration.screens import picture
from integration.test_web_access import faults
from integration.test_web_chromium import Served
from journeys.bench_settings import make_bench
from journeys.inbox_seed import NOW, House, open_house
from playwright.sync_api import Page, expect
from postroom.chromium import Chromium

from gateway.inbox.canning import add_canned
from gateway.inbox.indexing import index_threads
from gateway.outbound.findings import ERROR, HINT, WARNING, Check, Finding
from gateway.settings.workshop import Workshop
from gateway.store.api_keys import add_api_key
from gateway.store.database import Database, Transaction, new_id, to_ms
from gateway.store.domains import add_domain, get_domain, keep_check
from gateway.store.mailbox_account import Account
from gateway.store.mailboxes import add_mailbox
from gateway.store.routes import Secret
from gateway.store.search_progress import begin_following
from gateway.store.users import find_user, set_language, start_session
from gateway.store.webhooks import DELIVERED, RETRIED, Endpoint, HookAttempt, add_endpoint, fail_endpoint, log_attempt
from gateway.web.settings.places import PLACES

pytestmark = pytest.mark.integration
ADMIN = "ion@alfa.example"


@dataclass
class Site:
    """The pages as served, and the paths of those that are looked at."""

    database: Database
    house: House
    served: Served
    pages: dict[str, str] = field(default_factory=dict)

    def enter(self, page: Page, email: str, language: str) -> list[str]:
        """Be logged in; what the browser complains about is noted in the list returned."""

        def start(tx: Transaction) -> str:
            found = find_user(tx, email)
            assert found
            set_language(tx, found[0].tenant_id, found[0].id, language)
            return start_session(tx, NOW, found[0])[0]

        complaints: list[str] = []
        page.context.add_cookies(
            [{"name": self.served.cookie, "value": self.database.write_now(start), "url": self.served.url}]
        )
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: complaints.append(asked.url) if self._foreign(asked.url) else None)
        return complaints

    def _foreign(self, url: str) -> bool:
        return not url.startswith((self.served.url, "data:", "blob:"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pages")
    database = Database(f"sqlite:///{folder / 'gateway.db'}")
    house = open_house(database)
    with make_bench(database, folder, lambda: NOW) as workshop:
        pages = furnish(database, house, workshop)
        served = Served(database, workshop)
        yield Site(database, house, served, pages)
        served.stop()
    database.close()


FOUND = (
    Finding(ERROR, "dkim-no-key", "alfa.example", "alfa.example has no key to sign with",
            "make some: gateway domain rotate alfa.example"),
    Finding(WARNING, "spf-missing", "alfa.example", "alfa.example has no SPF record",
            'publish at alfa.example the TXT "v=spf1 a:mail.gateway.test -all"'),
    Finding(HINT, "dmarc-none", "_dmarc.alfa.example",
            "alfa.example asks receivers to do nothing with forged mail (p=none)",
            "when its reports show only your own mail: p=quarantine, then p=reject"),
)  # fmt: skip


def furnish(database: Database, house: House, workshop: Workshop) -> dict[str, str]:
    """Something on every page; the paths by name."""
    tenant, seal = house.tenant, workshop.seal

    def work(tx: Transaction) -> str:
        add_canned(tx, NOW, tenant, ADMIN, lang="ro", name="Confirmare", body="Am primit plata pentru {number}.")
        add_api_key(tx, NOW, tenant, label="ERP", scopes=("events:read",), by=ADMIN)
        add_domain(tx, NOW, tenant, "alfa.example")
        if known := get_domain(tx, tenant, "alfa.example"):
            keep_check(tx, NOW, known, Check("alfa.example", FOUND, aligned=False).as_json())
        account = Account(host="imap.alfa.example", port=993, username="facturi", security="tls")
        add_mailbox(tx, NOW, seal, tenant, "facturi", account, Secret(password="x"))
        begin_following(tx, 120_000)
        types = frozenset(("recipient.bounced", "reply.received"))
        add_endpoint(tx, NOW, seal, tenant, "https://crm.example/events", types=types)
        return call_hook(tx, add_endpoint(tx, NOW, seal, tenant, "https://erp.example/hook")[0])

    endpoint = database.write_now(work)
    asyncio.run(index_threads(database, tenant, list(house.threads.values())))
    found = {f"settings-{place.path.rpartition('/')[2]}": place.path for place in PLACES}
    found |= {
        "settings-template": "/settings/templates/new_invoice",
        "settings-forecast": "/settings/triggers/forecast",
        "settings-server": "/settings/delivery/server",
        "settings-domain": "/settings/domains/alfa.example",
        "settings-mailbox": "/settings/mailboxes/facturi",
        "settings-webhook": f"/settings/webhooks/{endpoint}",
        "bounces": "/bounces",
        "search": "/inbox/search?q=factura OR plata",
        "search-wrong": "/inbox/search?q=amount:many",
        "answer": f"/inbox/{house.threads['paid']}/reply",
        "account": "/account",
    }
    return found


def call_hook(tx: Transaction, one: Endpoint) -> str:
    """An endpoint that took two events, then failed twice; its id."""
    key = (one.tenant_id, one.id)
    said = (
        ("message.accepted", 204, DELIVERED, ""),
        ("recipient.bounced", 200, DELIVERED, ""),
        ("reply.received", 503, RETRIED, "Service Unavailable"),
        ("reply.received", 0, RETRIED, "no answer"),
    )
    for number, (type, code, outcome, words) in enumerate(said):
        at = NOW - timedelta(minutes=9 - number)
        log_attempt(tx, key, HookAttempt(new_id(), new_id(), type, at, 40 + number, code, outcome, words))
    fail_endpoint(tx, to_ms(NOW), key, "no answer", for_good=False)
    return one.id


@pytest.mark.parametrize(("language", "width"), [("ro", 1280), ("ru", 360), ("en", 1280)])
def test_no_page_has_a_serious_fault_of_access_or_overflows(
    chromium: Chromium, site: Site, language: str, width: int
) -> None:
    wrong: list[object] = []
    with chromium.page(width=width, height=800) as page:
        complaints = site.enter(page, ADMIN, language)
        for name, path in site.pages.items():
            look(page, site, name, path, (language, width), wrong)
    assert wrong == []
    assert [
        said for said in complaints if "400" not in said and not said.startswith("[DOM]")
    ] == []  # no error, and no other origin was asked


def look(page: Page, site: Site, name: str, path: str, way: tuple[str, int], wrong: list[object]) -> None:
    """Open a page, keep its picture, and note what is wrong with it."""
    answer = page.goto(site.served.url + path)
    if answer is None or answer.status not in (200, 400):
        wrong.append((name, "status", answer and answer.status))
        return
    picture(page, name, *way)
    wrong += [(name, *fault) for fault in faults(page)]
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > way[1]:
        wrong.append((name, "wide", wide))


def test_an_answer_with_a_file_is_written_and_taken_back_with_keys_alone(
    chromium: Chromium, site: Site, tmp_path: Path
) -> None:
    with chromium.page() as page:
        complaints = site.enter(page, ADMIN, "ro")
        page.goto(f"{site.served.url}/inbox/{site.house.threads['paid']}")
        page.keyboard.press("r")
        expect(page.locator("textarea[name=text]")).to_be_focused()
        page.keyboard.type("Am primit plata, atașez actul.")
        page.keyboard.press("Tab")
        expect(page.locator("#files")).to_be_focused()
        act, program = tmp_path / "Act de verificare.pdf", tmp_path / "act.pdf"
        act.write_bytes(b"%PDF-1.7 act")
        program.write_bytes(b"MZ\x90")
        page.set_input_files("#files", [program])
        page.locator("button.main").press("Enter")
        expect(page.locator("[role=alert]:visible")).to_contain_text("conține un program")  # sent and shown by htmx
        expect(page.locator("textarea[name=text]")).to_have_value("Am primit plata, atașez actul.")
        page.set_input_files("#files", [act])
        page.locator("button.main").press("Enter")
        expect(page.locator(".mail", has_text="Act_de_verificare.pdf").first).to_be_visible()
        page.locator(".notice button").first.press("Enter")
        expect(page.locator("input[name=kept]")).to_be_checked()
        expect(page.locator("textarea[name=text]")).to_have_value("Am primit plata, atașez actul.")
        assert [said for said in complaints if "409" not in said] == []


def test_files_that_are_too_large_are_told_before_they_are_sent(chromium: Chromium, site: Site, tmp_path: Path) -> None:
    large = tmp_path / "large.pdf"
    large.write_bytes(b"%PDF-1.7" + b"x" * 16_000_000)
    with chromium.page() as page:
        site.enter(page, ADMIN, "ro")
        page.goto(f"{site.served.url}/inbox/{site.house.threads['late']}/reply")
        page.fill("textarea[name=text]", "Vedeți.")
        page.set_input_files("#files", [large])
        expect(page.locator("[data-too-much]")).to_be_visible()
        page.click("button.main")
        page.wait_for_timeout(300)
        assert page.url.endswith("/reply")
        expect(page.locator("textarea[name=text]")).to_have_value("Vedeți.")
