"""Documents and customers in a real browser: the form opens over the list by mouse and by keys, shows the mail as it
will be, sends and takes back; without a script the same links lead to pages. No serious fault of access, no overflow.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.screens import picture
from integration.test_web_access import faults
from integration.test_web_chromium import Served, log_in
from journeys.bench_settings import make_bench
from journeys.document_seed import seed_documents
from journeys.inbox_seed import NOW, PASSWORD, House, open_house
from playwright.sync_api import expect
from postroom.chromium import Chromium

from gateway.store.database import Database
from gateway.store.documents import get_document

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path_factory.mktemp('documents') / 'gateway.db'}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def house(database: Database) -> House:
    return open_house(database)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def served(
    database: Database, house: House, pages: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("bench")
    with make_bench(database, folder, lambda: NOW) as workshop:
        pages |= asyncio.run(seed_documents(workshop.door, house.tenant))
        server = Served(database, workshop)
        yield server
        server.stop()


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_page_has_a_serious_fault_of_access_or_overflows(
    chromium: Chromium, served: Served, pages: dict[str, str], language: str, width: int
) -> None:
    with chromium.page(width=width, height=800) as page:
        complaints = log_in(page, served, language)
        for name, path in pages.items():
            page.goto(served.url + path)
            picture(page, name, language, width)
            for summary in page.locator("main summary").all():
                summary.click()
            assert faults(page) == [], name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        page.goto(f"{served.url}/documents?q=FA-1004")
        page.click(".icon[hx-get]")
        expect(page.locator("dialog.sheet")).to_be_visible()
        expect(page.frame_locator("dialog iframe").locator("body")).to_contain_text("FA-1004")
        picture(page, "dialog", language, width)
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert complaints == []  # no error, and no other origin was asked


def test_keys_alone_send_a_document_and_take_it_back(
    chromium: Chromium, served: Served, house: House, database: Database
) -> None:
    def sent() -> bool:
        found = database.read_now(get_document, house.tenant, "invoice", "1001")
        return bool(found and found.sent_at)

    with chromium.page() as page:
        complaints = log_in(page, served)
        page.goto(f"{served.url}/documents?state=overdue")
        page.keyboard.press("j")
        page.keyboard.press("s")
        sheet = page.locator("dialog.sheet")
        expect(sheet).to_be_visible()
        expect(sheet.locator("[name=to]")).to_be_focused()
        expect(sheet.locator("[name=to]")).to_have_value("Ana Rusu <ana@codru.example>")
        page.keyboard.press("Escape")
        expect(sheet).not_to_be_visible()
        assert page.evaluate("document.activeElement.closest('li').innerText.includes('FA-1001')")  # where one was
        page.keyboard.press("s")
        mail = page.frame_locator("dialog iframe").locator("body")
        expect(mail).to_contain_text("Bună ziua")
        sheet.locator("[name=language]").select_option("en")  # the preview follows
        expect(mail).to_contain_text("Hello")
        sheet.locator("[name=to]").press("Enter")
        notice = page.locator(".notice")
        expect(notice).to_contain_text("Pleacă în 10 secunde")
        assert "/documents?state=overdue" in page.url and sent()
        page.keyboard.press("y")
        expect(notice).to_contain_text("Retras")
        assert not sent() and complaints == []


def test_what_cannot_be_sent_is_said_where_it_was_asked(chromium: Chromium, served: Served) -> None:
    with chromium.page() as page:
        log_in(page, served)
        page.goto(f"{served.url}/documents?q=FA-1003")
        page.click(".icon[hx-get]")
        sheet = page.locator("dialog.sheet")
        expect(sheet.locator(".warning")).to_contain_text("nu conține adresa plătitorului")
        sheet.locator("button.main").click()
        assert page.evaluate("document.querySelector('dialog [name=to]').validity.valueMissing")
        expect(sheet).to_be_visible()
        page.context.clear_cookies()  # the session ended meanwhile: the same as a page, after a login
        page.keyboard.press("Escape")
        page.click(".icon[hx-get]")
        page.wait_for_url("**/login?next=*")


def test_without_a_script_the_same_is_done_on_pages(chromium: Chromium, served: Served) -> None:
    with chromium.browser() as browser:
        page = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740}).new_page()
        page.goto(f"{served.url}/documents?q=FA-1004")
        page.fill("#email", "maria@alfa.example")
        page.fill("#password", PASSWORD)
        page.click("main button")
        with page.expect_download() as download:
            page.locator("a.icon[download]").click()
        assert download.value.suggested_filename.endswith(".pdf")
        page.click("a.icon[hx-get]")
        assert page.url.startswith(f"{served.url}/documents/send")
        page.fill("[name=personal]", "Vă salut din nou")
        page.click("button[formaction='/documents/preview']")
        expect(page.frame_locator("iframe").locator("body")).to_contain_text("Vă salut din nou")
        page.click("form.write button.main")
        assert page.url.startswith(f"{served.url}/documents?q=FA-1004&sent=")
        page.click(".notice button")
        expect(page.locator(".notice")).to_contain_text("Retras")
