"""One's own account on both databases: password, sessions, the second step, and what administrators do about them."""

import base64
import itertools
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from fastapi import FastAPI
from journeys.inbox_seed import NOW, PASSWORD, House
from journeys.pages import FORM, ORIGIN, Clock, Seeded
from sqlalchemy import select
from starlette.testclient import TestClient

from gateway.settings.workshop import Workshop
from gateway.store.database import Database, Transaction
from gateway.store.events import latest_house_events
from gateway.store.schema import recovery_code, second_factor, session
from gateway.store.second_factors import begin_factor, confirm_factor, get_factor, remove_factor
from gateway.store.tenants import hash_password, set_tenant
from gateway.store.totp import code_at, step_at
from gateway.store.users import Proof, User, add_user, change_user, find_user, set_password, start_session
from gateway.web.app import make_app

NUMBERS, HASH = itertools.count(), hash_password(PASSWORD)
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"


@pytest.fixture(scope="module")
def seeded(seeded_on_each: Seeded) -> Seeded:
    """On both databases."""
    return seeded_on_each


@pytest.fixture
def who(database: Database, house: House) -> Iterator[User]:
    """A clerk of alfa who is there for one test."""
    email = f"ana.{next(NUMBERS)}@alfa.example"
    made = database.write_now(add_user, NOW, house.tenant, email, PASSWORD, name="Ana", password_hash=HASH)
    yield made
    database.write_now(change_user, NOW, house.tenant, made.id, role="clerk", disabled=True)


def latest(tx: Transaction, house: House) -> list[str]:
    return [f"{one.type} {one.data['user']} {one.data['by']}" for one in latest_house_events(tx, house.tenant, "user.")]


class Browser:
    """A browser that walks the pages by their forms."""

    def __init__(self, app: FastAPI, agent: str = FIREFOX) -> None:
        self.client = TestClient(app, base_url=ORIGIN, follow_redirects=False, headers={"user-agent": agent})

    def post(self, path: str, page: str = "/account", **form: str) -> tuple[int, str]:
        """(status, the page or where it leads) of a form that stands on `page`."""
        csrf = re.search(r'name="csrf" value="([\w-]+)"', self.client.get(page).text)
        assert csrf, page
        answer = self.client.post(path, data={"csrf": csrf[1], **form}, headers=FORM)
        return answer.status_code, answer.headers.get("location", answer.text)

    def get(self, path: str) -> tuple[int, str]:
        answer = self.client.get(path)
        return answer.status_code, answer.headers.get("location", answer.text)

    def log_in(self, who: User, password: str = PASSWORD) -> tuple[int, str]:
        return self.post("/login", "/login", email=who.email, password=password)

    @property
    def cookie(self) -> str:
        return str(self.client.cookies.get("gw_session", ""))


def logged_in(app: FastAPI, who: User, agent: str = FIREFOX) -> Browser:
    """A browser with a session, without the cost of a password."""
    browser, site = Browser(app, agent), app.state.site
    cookie, _ = site.database.write_now(start_session, site.clock(), who, Proof("192.0.2.7", agent))
    browser.client.cookies.set(site.session_cookie, cookie, domain="127.0.0.1")
    return browser


def code(secret: bytes, at: datetime) -> str:
    return code_at(secret, step_at(at))


def give_factor(database: Database, workshop: Workshop, who: User) -> tuple[bytes, list[str]]:
    """(secret, recovery codes) of a second step that was confirmed an hour ago."""

    def give(tx: Transaction) -> tuple[bytes, list[str]]:
        at = NOW - timedelta(hours=1)
        secret = begin_factor(tx, at, workshop.seal, who)
        assert secret
        codes = confirm_factor(tx, at, workshop.seal, who, code(secret, at))
        assert codes
        return secret, codes

    return database.write_now(give)


# -- name, language, password


def test_name_and_language_are_ones_own(app: FastAPI, who: User, database: Database) -> None:
    browser = logged_in(app, who)
    assert browser.post("/account/profile", name="  Ana Ș. Rusu ", language="en") == (303, "/account?done=profile")
    status, page = browser.get("/account?done=profile")
    assert status == 200 and '<html lang="en">' in page and "Ana Ș. Rusu" in page
    for wrong in ("", " ", "x" * 101, "two\nlines"):
        assert browser.post("/account/profile", name=wrong, language="en")[0] == 422
    found = database.read_now(find_user, who.email)
    assert found and (found[0].name, found[0].language, found[0].role) == ("Ana Ș. Rusu", "en", "clerk")


def test_a_new_password_asks_for_the_old_one_and_ends_every_other_session(
    app: FastAPI, who: User, database: Database, house: House
) -> None:
    here, other = logged_in(app, who), logged_in(app, who)
    new = "quite another secret"
    for old, first, again in (("wrong", new, new), (PASSWORD, new, new + "x"), (PASSWORD, "short", "short"),
                              (PASSWORD, PASSWORD, PASSWORD)):  # fmt: skip
        assert here.post("/account/password", old=old, new=first, again=again)[0] == 422
    assert other.get("/inbox")[0] == 200
    before = here.cookie
    assert here.post("/account/password", old=PASSWORD, new=new, again=new) == (303, "/account?done=password")
    assert here.cookie != before and here.get("/inbox")[0] == 200
    assert other.get("/inbox") == (303, "/login")
    assert Browser(app).log_in(who)[0] == 401
    assert Browser(app).log_in(who, new)[0] == 303
    assert f"user.password_changed {who.email} {who.email}" in database.read_now(latest, house)


def test_guessing_the_old_password_is_limited_as_a_login_is(app: FastAPI, who: User) -> None:
    browser = logged_in(app, who)
    new = "quite another secret"
    for _ in range(8):
        app.state.site.limits.take("192.0.2.9", who.email, NOW)  # guesses at the login's page count as well
    statuses = [browser.post("/account/password", old="wrong", new=new, again=new)[0] for _ in range(3)]
    assert statuses == [422] * 2 + [429]
    assert browser.post("/account/password", old=PASSWORD, new=new, again=new)[0] == 429


# -- sessions


def test_sessions_are_listed_in_plain_words_and_ended_one_by_one_or_all_others(
    app: FastAPI, who: User, clock: Clock, database: Database, house: House
) -> None:
    here = logged_in(app, who)
    phone = logged_in(app, who, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Safari/604.1")
    third = logged_in(app, who, "<b>curl</b>")
    here.post("/account/profile", name="Ana", language="en")
    page = here.get("/account")[1]
    assert "Firefox on Windows" in page and "Safari on iPhone" in page and "An unknown browser" in page
    assert page.count("this browser") == 1 and "<b>curl" not in page and "192.0.2.7" in page
    ids = re.findall(r'name="end" value="(\w{64})"', page)
    assert len(ids) == 2
    assert here.post("/account/sessions", end=ids[0]) == (303, "/account?done=session")
    assert sorted([phone.get("/inbox")[0], third.get("/inbox")[0]]) == [200, 303]
    assert here.post("/account/sessions") == (303, "/account?done=sessions")
    assert [one.get("/inbox")[0] for one in (here, phone, third)] == [200, 303, 303]
    assert database.read_now(latest, house).count(f"user.sessions_ended {who.email} {who.email}") == 2


def test_a_session_of_somebody_else_is_not_ended(app: FastAPI, who: User, database: Database) -> None:
    colleague = database.read_now(find_user, "ion@alfa.example")
    assert colleague
    other = logged_in(app, colleague[0])
    id = database.read_now(
        lambda tx: tx.first(select(session.c.session_id).where(session.c.user_id == colleague[0].id))
    )
    logged_in(app, who).post("/account/sessions", end=id[0])
    assert other.get("/inbox")[0] == 200


def test_a_session_notes_now_and_then_that_it_is_in_use(
    app: FastAPI, who: User, clock: Clock, database: Database
) -> None:
    browser = logged_in(app, who)
    mine = select(session.c.seen_at, session.c.created_at).where(session.c.user_id == who.id)
    for minutes, moved in ((5, 0), (12, 12), (20, 12)):
        clock.now = NOW + timedelta(minutes=minutes)
        browser.get("/inbox")
        seen, created = database.read_now(lambda tx: tx.first(mine))
        assert seen - created == moved * 60_000


# -- the second step


def test_a_second_step_is_set_up_with_the_password_and_a_first_code(
    app: FastAPI, who: User, clock: Clock, database: Database, workshop: Workshop
) -> None:
    here, other = logged_in(app, who), logged_in(app, who)
    at = "/account/second-step"
    assert here.post(f"{at}/begin", at, password="wrong")[0] == 422
    assert "<svg" not in here.get(at)[1]
    assert here.post(f"{at}/begin", at, password=PASSWORD) == (303, at)
    page = here.get(at)[1]
    typed = re.search(r'class="typed">([A-Z2-7 ]+)<', page)
    assert typed and "<svg" in page and "style=" not in page
    assert Browser(app).log_in(who) == (303, "/inbox")  # nothing is asked for yet
    secret = base64.b32decode(typed[1].replace(" ", ""))
    assert here.post(f"{at}/confirm", at, code="000000")[0] == 422
    before = here.cookie
    status, page = here.post(f"{at}/confirm", at, code=code(secret, NOW))
    assert status == 200 and len(re.findall(r"<code>[a-z0-9-]{19}</code>", page)) == 10
    assert here.cookie != before and here.get("/inbox")[0] == 200 and other.get("/inbox")[0] == 303
    assert "<code>" not in here.get(at)[1]
    kept = database.read_now(
        lambda tx: tx.first(select(second_factor.c.secret_sealed).where(second_factor.c.user_id == who.id))
    )
    assert secret not in bytes(kept[0])
    assert workshop.seal.open(kept[0], who.tenant_id, "second_factor", who.id) == secret


def test_a_secret_that_waits_too_long_is_gone(app: FastAPI, who: User, clock: Clock) -> None:
    browser = logged_in(app, who)
    at = "/account/second-step"
    browser.post(f"{at}/begin", at, password=PASSWORD)
    assert "<svg" in browser.get(at)[1]
    clock.now += timedelta(hours=1, seconds=1)
    assert "<svg" not in browser.get(at)[1]


def test_a_login_asks_for_the_code_and_takes_each_once(
    app: FastAPI, who: User, clock: Clock, database: Database, workshop: Workshop
) -> None:
    secret, _ = give_factor(database, workshop, who)
    browser = Browser(app)
    csrf = re.search(r'name="csrf" value="([\w-]+)"', browser.get("/login")[1])
    assert csrf
    form = {"csrf": csrf[1], "email": who.email, "password": PASSWORD, "next": "/inbox?view=all"}
    assert browser.client.post("/login", data=form, headers=FORM).headers["location"] == "/login/code"
    assert not browser.cookie and browser.get("/inbox")[0] == 303  # a password alone opens nothing
    assert browser.post("/login/code", "/login/code", code="123456")[0] == 401
    now = code(secret, NOW)
    assert browser.post("/login/code", "/login/code", code=f"{now[:3]} {now[3:]}") == (303, "/inbox?view=all")
    assert browser.cookie and browser.get("/inbox")[0] == 200
    again = Browser(app)
    again.log_in(who)
    assert again.post("/login/code", "/login/code", code=now)[0] == 401  # a replay
    assert again.post("/login/code", "/login/code", code=code(secret, NOW - timedelta(seconds=30)))[0] == 401  # older
    clock.now += timedelta(seconds=30)
    assert again.post("/login/code", "/login/code", code=code(secret, clock.now))[0] == 303


def test_a_recovery_code_is_right_once_however_it_is_typed(
    app: FastAPI, who: User, database: Database, workshop: Workshop, house: House
) -> None:
    _, codes = give_factor(database, workshop, who)
    for typed, status in ((f" {codes[0].upper()} ", 303), (codes[0], 401), (codes[1].replace("-", " "), 303)):
        browser = Browser(app)
        browser.log_in(who)
        assert browser.post("/login/code", "/login/code", code=typed)[0] == status
    factor = database.read_now(get_factor, house.tenant, who.id)
    assert factor and factor.codes == 8
    kept = database.read_now(
        lambda tx: tx.all(select(recovery_code.c.code_hash).where(recovery_code.c.user_id == who.id))
    )
    assert not {row[0] for row in kept} & set(codes)
    assert f"user.recovery_code_used {who.email} {who.email}" in database.read_now(latest, house)


def test_wrong_codes_are_limited_for_the_person_whoever_tries(
    app: FastAPI, who: User, clock: Clock, database: Database, workshop: Workshop
) -> None:
    secret, _ = give_factor(database, workshop, who)
    browser = Browser(app)
    browser.log_in(who)
    statuses = [browser.post("/login/code", "/login/code", code="000000")[0] for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert browser.post("/login/code", "/login/code", code=code(secret, NOW))[0] == 429  # a right one waits as well
    fresh = Browser(app)
    fresh.log_in(who)  # the password is right, and brings no new tries
    assert fresh.post("/login/code", "/login/code", code=code(secret, NOW))[0] == 429
    clock.now += timedelta(minutes=11)
    fresh.log_in(who)
    assert fresh.post("/login/code", "/login/code", code=code(secret, clock.now))[0] == 303


def test_what_waits_for_a_code_ends_by_time_by_a_new_password_and_is_no_session(
    app: FastAPI, who: User, clock: Clock, database: Database, workshop: Workshop
) -> None:
    secret, _ = give_factor(database, workshop, who)
    browser, stranger = Browser(app), Browser(app)
    browser.log_in(who)
    step = str(browser.client.cookies["gw_step"])
    assert who.email not in step and who.id not in step
    for forged in (step[:-4] + "AAAA", "x", step[:40]):
        stranger.client.cookies.set("gw_step", forged, domain="127.0.0.1")
        assert stranger.get("/login/code") == (303, "/login")
    stranger.client.cookies.set("gw_session", step, domain="127.0.0.1")
    assert stranger.get("/inbox")[0] == 303
    clock.now += timedelta(minutes=6)
    assert browser.get("/login/code") == (303, "/login")
    browser.log_in(who)
    database.write_now(set_password, clock.now, who.tenant_id, who.email, "quite another secret")
    assert browser.get("/login/code") == (303, "/login")
    assert secret


def test_turning_it_off_asks_for_password_and_code(
    app: FastAPI, who: User, clock: Clock, database: Database, workshop: Workshop, house: House
) -> None:
    secret, codes = give_factor(database, workshop, who)
    browser, at = Browser(app), "/account/second-step"
    browser.log_in(who)
    browser.post("/login/code", "/login/code", code=codes[0])
    assert browser.post(f"{at}/codes", at, code="000000")[0] == 422
    status, page = browser.post(f"{at}/codes", at, code=codes[1])
    fresh = re.findall(r"<code>([a-z0-9-]{19})</code>", page)
    assert status == 200 and len(fresh) == 10 and not set(fresh) & set(codes)
    assert browser.post(f"{at}/remove", at, password="wrong", code=fresh[0])[0] == 422
    assert browser.post(f"{at}/remove", at, password=PASSWORD, code=codes[2])[0] == 422  # one of the old codes
    assert browser.post(f"{at}/remove", at, password=PASSWORD, code=fresh[0]) == (303, "/account?done=off")
    assert database.read_now(get_factor, house.tenant, who.id) is None
    assert logged_in(app, who).get("/inbox")[0] == 200
    assert secret


def test_over_https_every_cookie_of_a_login_is_bound_to_the_host(
    who: User, clock: Clock, database: Database, workshop: Workshop
) -> None:
    give_factor(database, workshop, who)
    secure = make_app(database, clock=clock, public_url="https://mail.alfa.example", workshop=workshop)
    browser = TestClient(secure, base_url="https://mail.alfa.example", follow_redirects=False)
    page = browser.get("/login")
    csrf = re.search(r'name="csrf" value="([\w-]+)"', page.text)
    assert csrf
    form = {"csrf": csrf[1], "email": who.email, "password": PASSWORD}
    answer = browser.post("/login", data=form, headers={"origin": "https://mail.alfa.example"})
    given = page.headers.get_list("set-cookie") + answer.headers.get_list("set-cookie")
    assert {cookie.partition("=")[0] for cookie in given} == {"__Host-gw_form", "__Host-gw_step"}
    for cookie in given:
        assert all(part in cookie for part in ("HttpOnly", "Secure", "Path=/", "SameSite=lax")), cookie
        assert "Domain" not in cookie


def test_a_page_with_a_secret_in_it_is_kept_nowhere_and_runs_nothing(app: FastAPI, who: User) -> None:
    browser, at = logged_in(app, who), "/account/second-step"
    browser.post(f"{at}/begin", at, password=PASSWORD)
    answer = browser.client.get(at)
    assert "<svg" in answer.text and answer.headers["cache-control"] == "no-store"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"\s(?:style|on\w+)=|<style|<script(?! src=)", answer.text)


# -- administrators


def test_a_tenant_that_demands_a_second_step_lets_nobody_on_without_one(
    app: FastAPI, who: User, database: Database, workshop: Workshop, house: House
) -> None:
    browser, boss = logged_in(app, who), database.read_now(find_user, "ion@alfa.example")
    assert boss
    admin = logged_in(app, boss[0])
    assert admin.post("/settings/users/demand", "/settings/users", second_step="all")[0] == 303
    try:
        for path in ("/inbox", "/bounces", f"/inbox/{house.threads['paid']}", "/settings/users"):
            assert browser.get(path) == (303, "/account/second-step"), path
        assert admin.get("/settings/users") == (303, "/account/second-step")  # administrators too
        part = browser.client.get("/inbox", headers={"hx-request": "true"})
        assert part.status_code == 401
        assert browser.client.post("/inbox/act", data={}, headers=FORM).headers["location"] == "/account/second-step"
        assert browser.get("/account")[0] == 200
        give_factor(database, workshop, who)
        again = Browser(app)
        again.log_in(who)
        assert again.get("/login/code")[0] == 200
    finally:
        database.write_now(set_tenant, house.tenant, options={"second_step": None})
    assert browser.get("/inbox")[0] == 200


def test_an_administrator_ends_sessions_and_resets_the_second_step(
    app: FastAPI, who: User, database: Database, workshop: Workshop, house: House
) -> None:
    boss = database.read_now(find_user, "ion@alfa.example")
    assert boss
    admin, browser = logged_in(app, boss[0]), logged_in(app, who)
    give_factor(database, workshop, who)
    page = admin.get("/settings/users")[1]
    assert f'action="/settings/users/{who.id}/logins"' in page
    assert admin.post(f"/settings/users/{who.id}/logins", "/settings/users")[0] == 303
    assert browser.get("/inbox")[0] == 303
    assert Browser(app).log_in(who) == (303, "/login/code")
    assert admin.post(f"/settings/users/{who.id}/logins", "/settings/users", what="second_step")[0] == 303
    assert logged_in(app, who).get("/inbox")[0] == 200
    told = database.read_now(latest, house)
    assert f"user.sessions_ended {who.email} ion@alfa.example" in told
    assert f"user.second_step_off {who.email} ion@alfa.example" in told
    assert database.write_now(remove_factor, NOW, who, "nobody") is False


def test_an_auditor_changes_their_own_account_and_nothing_else(app: FastAPI, database: Database) -> None:
    found = database.read_now(find_user, "audit@alfa.example")
    assert found
    browser = logged_in(app, found[0])
    assert browser.post("/account/profile", name="Ion Auditor", language="ro")[0] == 303
    assert browser.post("/settings/users/demand", second_step="all")[0] == 403
