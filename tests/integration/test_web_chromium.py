"""The pages in a real browser: from the login to a closed thread, with a mouse and with keys, narrow and wide, in three
languages; nothing overflows, nothing is blocked, and a mail's HTML stays in its sandbox.

With GATEWAY_SCREENS set to a folder, pictures of every page are written there.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from journeys.inbox_seed import NOW, PASSWORD, House, open_house
from playwright.sync_api import Page, expect
from postroom.chromium import Chromium
from postroom.ports import free_port, wait_port

from gateway.settings.workshop import Workshop
from gateway.store.database import Database
from gateway.store.threads import get_thread
from gateway.web.app import make_app
from gateway.web.oidc.provider import Provider

pytestmark = pytest.mark.integration
SCREENS = os.environ.get("GATEWAY_SCREENS", "")


class Served:
    """The pages on a port of their own, until `stop`."""

    def __init__(
        self, database: Database, workshop: Workshop | None = None, *, port: int = 0, provider: Provider | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        app = make_app(database, clock=lambda: NOW, public_url=self.url, workshop=workshop, provider=provider)
        self.cookie = app.state.site.session_cookie
        self._server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_config=None, lifespan="off"))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()), daemon=True)
        self._thread.start()
        wait_port(self.port)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(15)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("chromium") / "gateway.db"
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def house(database: Database) -> House:
    return open_house(database)


@pytest.fixture(scope="module")
def served(database: Database, house: House) -> Iterator[Served]:
    server = Served(database)
    yield server
    server.stop()


def log_in(page: Page, served: Served, language: str = "ro") -> list[str]:
    """Log in; what the browser complains about is noted in the list returned."""
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(served.url) else None)
    page.goto(served.url)
    page.click(f".languages button[value={language}]")
    page.fill("#email", "maria@alfa.example")
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.click(f".languages button[value={language}]")
    return complaints


def test_a_clerk_logs_in_reads_a_thread_and_closes_it(
    chromium: Chromium, served: Served, database: Database, house: House
) -> None:
    with chromium.page() as page:
        complaints = log_in(page, served)
        expect(page.locator(".threads li")).to_have_count(5)
        page.click("text=Client SRL")
        expect(page.locator(".mail.in")).to_contain_text("Plata a fost efectuată astăzi")
        expect(page.locator(".delivery .progress")).to_contain_text("acceptat de serverul destinatarului")
        page.click(".in details.html summary")
        frame = page.frame_locator(".in iframe")
        expect(frame.locator("p")).to_contain_text("Bună ziua")
        assert frame.locator("script").count() == 0
        with page.expect_download() as download:
            page.click("text=ordin de plată.pdf")
        assert download.value.suggested_filename == "ordin de plată.pdf"
        page.click("button.main")
        expect(page.locator(".notice")).to_contain_text("Client SRL")
        expect(page.locator(".threads li")).to_have_count(4)
        thread = database.read_now(get_thread, house.tenant, house.threads["paid"])
        assert thread and thread.state == "closed"
        page.click(".notice button")  # and takes it back
        page.goto(f"{served.url}/inbox")
        expect(page.locator(".threads li")).to_have_count(5)
        assert complaints == []


def test_keys_alone_are_enough(chromium: Chromium, served: Served, house: House) -> None:
    with chromium.page() as page:
        log_in(page, served)
        page.goto(f"{served.url}/inbox")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.className") == "who":
                break
        outline = page.evaluate("getComputedStyle(document.activeElement, '::after').outlineWidth")
        assert outline == "2px"
        page.keyboard.press("Enter")
        expect(page.locator(".mails .mail").first).to_be_visible()


PAGES = {
    "list": "/inbox?view=all",
    "reply": "/inbox/{paid}",
    "bounce": "/inbox/{bounced}",
    "report": "/inbox/{late}",
    "hostile": "/inbox/{hostile}",
    "waiting": "/inbox/{waiting}",
    "nothing": "/inbox/none",
}


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (360, False), (360, True)])
def test_no_page_overflows_and_every_word_can_be_read(
    chromium: Chromium, served: Served, house: House, language: str, width: int, dark: bool
) -> None:
    with chromium.page(width=width, height=800, dark=dark) as page:
        log_in(page, served, language)
        for name, path in PAGES.items():
            page.goto(served.url + path.format(**house.threads))
            for summary in page.locator("main summary").all():
                summary.click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert page.evaluate(FAINT) == [], name
            if SCREENS:
                file = Path(SCREENS) / f"{name}-{language}-{width}-{'dark' if dark else 'light'}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=str(file), full_page=True)


# Texts whose contrast with their ground is below WCAG AA (4.5, or 3 for large ones).
FAINT = """() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const linear = v => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.map(linear);
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] === 1) return c;
    }
    return [255, 255, 255, 1]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = [];
  while (walker.nextNode()) {
    const text = walker.currentNode, e = text.parentElement;
    if (!text.data.trim() || !e.checkVisibility() || e.closest('.hidden')) continue;
    const style = getComputedStyle(e), a = light(parse(style.color)), b = light(ground(e));
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (contrast < (large ? 3 : 4.5)) faint.push([text.data.trim().slice(0, 40), contrast.toFixed(2)]);
  }
  return faint;
}"""
