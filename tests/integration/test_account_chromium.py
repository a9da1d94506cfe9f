"""One's own account and the login of two steps in a real browser: set up with keys, used, and by a provider; axe-core
finds no serious fault, nothing overflows, no policy is broken. With GATEWAY_SCREENS set, pictures are written there.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.screens import picture
from integration.test_web_access import faults
from integration.test_web_chromium import Served
from journeys.bench_settings import make_bench
from journeys.inbox_seed import NOW, PASSWORD, House, open_house
from playwright.sync_api import Page, expect
from postroom.chromium import Chromium
from postroom.identity_provider import CLIENT, SECRET, IdentityProvider
from postroom.ports import free_port

from gateway.store.database import Database
from gateway.store.second_factors import remove_factor
from gateway.store.totp import code_at, step_at
from gateway.store.users import find_user, set_language
from gateway.web.oidc.provider import Provider, Terms

pytestmark = pytest.mark.integration
EMAIL = "ion@alfa.example"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("account") / "gateway.db"
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def house(database: Database) -> House:
    return open_house(database)


@pytest.fixture(scope="module")
def idp() -> Iterator[IdentityProvider]:
    made = IdentityProvider(lambda: NOW)
    made.person = {"sub": "ion", "email": EMAIL, "email_verified": True}
    made.document = {"end_session_endpoint": f"{made.issuer}/logout"}
    yield made
    made.stop()


@pytest.fixture(scope="module")
def served(
    database: Database, house: House, idp: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    port = free_port()
    redirect = f"http://127.0.0.1:{port}/login/oidc/callback"
    provider = Provider(Terms(idp.issuer, CLIENT, redirect, client_secret=SECRET, name="Alfa ID"))
    with make_bench(database, tmp_path_factory.mktemp("bench"), lambda: NOW) as workshop:
        server = Served(database, workshop, port=port, provider=provider)
        yield server
        server.stop()


class Walk:
    """A browser that looks at each page as it comes to it."""

    def __init__(self, page: Page, language: str) -> None:
        self.page, self.language = page, language
        self.complaints: list[str] = []
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def look(self, name: str) -> None:
        """The page that is shown has no serious fault, wide or narrow."""
        for width in (1280, 360):
            self.page.set_viewport_size({"width": width, "height": 800})
            picture(self.page, name, self.language, width)
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert faults(self.page) == [], name
        assert self.page.locator("html").get_attribute("lang") == self.language


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
def test_a_second_step_is_set_up_and_asked_for(
    chromium: Chromium, served: Served, database: Database, language: str
) -> None:
    found = database.read_now(find_user, EMAIL)
    assert found
    user = found[0]
    database.write_now(set_language, user.tenant_id, user.id, language)
    with chromium.page() as page:
        walk = Walk(page, language)
        page.goto(f"{served.url}/login")
        page.click(f".languages button[value={language}]")
        walk.look("login")
        page.fill("#email", EMAIL)
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{served.url}/inbox")
        page.goto(f"{served.url}/account")
        walk.look("account")
        page.goto(f"{served.url}/account/second-step")
        walk.look("second-step-off")
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator(".picture svg")).to_be_visible()
        walk.look("second-step-picture")
        secret = base64.b32decode(page.inner_text(".typed").replace(" ", ""))
        page.fill("#code", code_at(secret, step_at(NOW)))
        page.keyboard.press("Enter")
        expect(page.locator(".codes code")).to_have_count(10)
        walk.look("second-step-codes")
        recovery = page.locator(".codes code").first.inner_text()
        page.goto(f"{served.url}/account/second-step")
        walk.look("second-step-on")
        page.click("form.account[action='/logout'] button")
        page.fill("#email", EMAIL)
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("#code")).to_be_focused()
        walk.look("login-code")
        page.keyboard.type(code_at(secret, step_at(NOW)))  # the one of the set-up, which is used
        page.keyboard.press("Enter")
        expect(page.locator("[role=alert]")).to_be_visible()
        walk.look("login-code-wrong")
        page.keyboard.type(recovery)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{served.url}/inbox")
        database.write_now(remove_factor, NOW, user, user.email)
        assert [said for said in walk.complaints if "401" not in said] == []


def test_a_login_by_a_provider_comes_back_to_the_page_wanted(
    chromium: Chromium, served: Served, idp: IdentityProvider
) -> None:
    with chromium.page() as page:
        page.goto(f"{served.url}/bounces")
        page.click("a.provider")
        page.wait_for_url(f"{served.url}/bounces")
        assert {"/authorize", "/token", "/keys"} <= set(idp.asked)
        page.goto(f"{served.url}/account")
        assert idp.issuer in page.inner_text("main")
        assert faults(page) == []
        log_out(Walk(page, str(page.locator("html").get_attribute("lang"))), served, idp)


def log_out(walk: Walk, served: Served, idp: IdentityProvider) -> None:
    """Here, then there, and back to the page to log in."""

    def come_back() -> tuple[int, bytes]:
        idp.location = f"{served.url}/login"
        return 302, b""

    idp.answers["/logout"] = come_back
    page = walk.page
    page.route("**/realm/logout?*", lambda route: route.fulfill(status=204))  # there is time to look at our page
    page.click("form[action='/logout'] button")
    page.wait_for_selector("a.provider[href*='/realm/logout?']")
    walk.look("logged-out")
    page.unroute("**/realm/logout?*")
    page.click("a.provider")
    page.wait_for_url(f"{served.url}/login")
    assert "/logout" in idp.asked and walk.complaints == []
    page.goto(f"{served.url}/login/oidc")  # known there still, as here nothing is ended; then by itself
    page.wait_for_url(f"{served.url}/inbox")
    page.click("form[action='/logout'] button")
    page.wait_for_url(f"{served.url}/login")
    assert idp.asked.count("/logout") == 2
