"""Who runs the gateway, in their pages and on both databases: they see what is there, and nobody else sees it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from journeys.bench_settings import make_bench
from journeys.house import Place, copy_folder, make_config
from journeys.inbox_seed import GREY, OK, UNKNOWN, House, attempt, come, send
from sqlalchemy import event
from starlette.testclient import TestClient

from gateway.inbox.measuring import measure_now
from gateway.outbound.queue import Booked, hold, settle
from gateway.outbound.retry import Retry
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.measures import Measure, list_measures, put_measures, slot_of
from gateway.store.messages import get_message
from gateway.store.nodes import note_node
from gateway.store.schema import OPERATOR, delivery
from gateway.store.tenants import add_tenant, get_tenant, need_tenant
from gateway.store.users import add_user, find_user, start_session
from gateway.web.app import make_app

NOW = datetime.now(UTC)  # again when a database is seeded: ids are made by the real clock, and plots find events by ids
ORIGIN = "http://127.0.0.1:8025"
FORM = {"origin": ORIGIN}
PASSWORD = "a long enough secret"
RESTS = {
    "key": "mx.client.example", "domain": "client.example", "way": "direct", "state": "rests", "connections": 0,
    "allowed": 0, "most": 20, "waiting": 0, "until": NOW.timestamp() + 3600, "words": "421 4.7.0 slow down",
}  # fmt: skip


REPORT = {
    "in_flight": 3, "connections": 2, "most_connections": 200, "database_ms": 1, "destinations": [RESTS],
    "findings": [
        {"what": "disk", "state": "wrong", "words": "%(free)s MB free in %(path)s",
         "todo": "make room (min_free is %(least)s MB)", "facts": {"free": 12, "path": "/data", "least": 512}},
        {"what": "older", "state": "warning", "words": "told by a process of before, 90% of it", "todo": ""},
    ],
}  # fmt: skip


class Pages:
    """The pages over a seeded database, as somebody who is logged in sees them."""

    def __init__(self, app: FastAPI, database: Database, house: House) -> None:
        self.app, self.database, self.house = app, database, house

    def log_in(self, email: str = "root@gateway.test") -> TestClient:
        browser, site = TestClient(self.app, base_url=ORIGIN, follow_redirects=False), self.app.state.site

        def start(tx: Transaction) -> str:
            found = find_user(tx, email)
            assert found
            return start_session(tx, NOW, found[0])[0]

        browser.cookies.set(site.session_cookie, self.database.write_now(start), domain="127.0.0.1")
        return browser

    def delivery(self, name: str) -> tuple[str, int, str]:
        """(hold, next attempt in ms, state) of the first delivery of a mail that the seed sent."""
        rows = self.database.read_now(_deliveries, self.house.messages[name])
        return rows[0]


def _deliveries(tx: Transaction, message_id: str) -> list[tuple[str, int, str]]:
    where = delivery.c.message_id == message_id
    return [(row.hold, row.next_attempt_at, row.state) for row in tx.all(delivery.select().where(where))]


def post(browser: TestClient, path: str, there: str = "", expect: int = 303, **form: str) -> str:
    """Send a form of ours; the place that it leads to, or the page when it leads nowhere."""
    found = re.search(r'name="csrf" value="([\w-]+)"', browser.get(there or path).text)
    assert found
    answer = browser.post(path, data={"csrf": found[1]} | form, headers=FORM)
    assert answer.status_code == expect, answer.text
    return answer.headers.get("location", answer.text)


def seed(tx: Transaction) -> House:
    house = House(need_tenant(tx, "acme").id, need_tenant(tx, "beta").id)
    add_user(tx, NOW, OPERATOR, "root@gateway.test", PASSWORD, name="Root", language="en")
    add_user(tx, NOW, OPERATOR, "vera@gateway.test", PASSWORD, name="Vera", language="ru")
    add_user(tx, NOW, house.tenant, "ion@acme.test", PASSWORD, role="admin")
    [sent] = send(tx, house, "sent", NOW - timedelta(seconds=4), ["ana@client.example"])
    settle(tx, to_ms(NOW), sent, attempt(OK), Retry())
    [bounced] = send(tx, house, "bounced", NOW, ["x@vechi.example"])
    settle(tx, to_ms(NOW), bounced, attempt(UNKNOWN), Retry())
    [late] = send(tx, house, "late", NOW - timedelta(hours=2), ["buh@client.example"], subject="A late one")
    settle(tx, to_ms(NOW), late, attempt(GREY), Retry())
    [parked] = send(tx, house, "parked", NOW, ["p@park.example"], subject="Parked mail", tenant=house.other)
    _hold(tx, parked, "the gateway failed 3 times while sending it; its log says why")
    thread = house.threads["late"]
    come(
        tx,
        house,
        "unreadable",
        NOW,
        thread,
        "unreadable",
        "",
        "(unreadable mail)",
        "",
        raw=b"From: a@b.example\r\n\r\nx",
    )
    note_node(tx, NOW, "mail.1", NOW - timedelta(days=1), REPORT)
    measure_now(tx, NOW)
    return house


def _hold(tx: Transaction, made: Booked, why: str) -> None:
    assert hold(tx, to_ms(NOW), made.tenant_id, (made.message_id, made.number), why)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    global NOW
    NOW = datetime.now(UTC)
    folder, url = tmp_path_factory.mktemp("operator") / "data", ""
    if request.param == "sqlite":
        copy_folder(request.getfixturevalue("sqlite_template"), folder)
    else:
        template, name = request.getfixturevalue("postgres_template")
        copy_folder(template, folder)
        url = request.getfixturevalue("postgres").create_database(name)
    database = Database(make_config(Place(folder, url)).database_url)
    try:
        house = database.write_now(seed)
        with make_bench(database, folder, lambda: NOW) as workshop:
            app = make_app(database, clock=lambda: NOW, public_url=ORIGIN, workshop=workshop)
            yield Pages(app, database, house)
    finally:
        database.close()


def test_the_operator_sees_what_there_is_and_acts_on_it(pages: Pages) -> None:
    browser, house = pages.log_in(), pages.house
    page = browser.get("/operator").text
    for words in (
        "client.example",
        "421 4.7.0 slow down",
        "12 MB free",
        "mail.1",
        "the gateway failed 3 times",
        "acme",
    ):
        assert words in page, words
    assert "told by a process of before, 90% of it" in page
    russian = pages.log_in("vera@gateway.test").get("/operator").text
    assert "12 МБ свободно в /data; освободите место (min_free — 512 МБ)" in russian
    assert "шлюз 3 раза не справился с отправкой" in russian
    assert 'role="img"' in page and "<polyline" in page and "style=" not in page
    # a destination that rests is tried again by the processes that know it, and its mail is due
    assert "did=asked" in post(
        browser, "/operator/destinations", "/operator", key=RESTS["key"], domain="client.example"
    )
    assert pages.delivery("late")[1] <= to_ms(NOW)
    assert pages.database.write_now(note_node, NOW, "mail.1", NOW, REPORT) == ["mx.client.example"]
    assert pages.database.write_now(note_node, NOW, "mail.1", NOW, REPORT) == []
    assert "did=nobody" in post(browser, "/operator/destinations", "/operator", key="gone", domain="")
    # what was parked goes again
    parked = f"{house.other}.{house.messages['parked']}.1"
    assert "did=release&count=1" in post(browser, "/operator/parked", "/operator", verb="release", id=parked)
    assert pages.delivery("parked")[0] == ""
    # mail that can be read since is read, once
    kept = {"tenant": house.tenant, "message": house.messages["unreadable"]}
    assert "did=read" in post(browser, "/operator/unreadable", "/operator", **kept)
    found = pages.database.read_now(get_message, house.tenant, house.messages["unreadable"])
    assert found and found.kind != "unreadable"
    post(browser, "/operator/unreadable", "/operator", 404, **kept)


def test_the_queue_is_filtered_and_changed_after_a_yes(pages: Pages) -> None:
    browser, house = pages.log_in(), pages.house
    everything = browser.get("/operator/queue").text
    assert "A late one" in everything and "Parked mail" in everything
    of_one = browser.get("/operator/queue?tenant=acme&to=@client.example&older=60&host=mx.vest").text
    assert "A late one" in of_one and "Parked mail" not in of_one
    assert "A late one" not in browser.get("/operator/queue?tenant=acme&held=yes").text
    assert "x@vechi.example" in browser.get("/operator/queue?state=failed").text
    assert browser.get("/operator/queue?state=other").status_code == 400
    assert "A late one" not in browser.get("/operator/queue?tenant=nobody").text
    # by filter: asked first, with how many
    wanted = {"tenant": "acme", "state": "queued", "to": "@client.example"}
    asked = post(browser, "/operator/queue", expect=200, verb="hold", **wanted)
    assert 'name="sure" value="hold"' in asked and ">1 deliveries" in asked.replace("means 1", "means >1")
    assert pages.delivery("late")[0] == ""
    assert "did=hold&count=1" in post(browser, "/operator/queue", verb="hold", sure="hold", **wanted)
    assert pages.delivery("late")[0] == "held by an admin"
    # by name: at once
    id = f"{house.tenant}.{house.messages['late']}.1"
    assert "did=release&count=1" in post(browser, "/operator/queue", verb="release", **wanted, **{f"d.{id}": "1"})
    assert "did=cancel&count=1" in post(browser, "/operator/queue", verb="cancel", **wanted, **{f"d.{id}": "1"})
    assert pages.delivery("late")[2] == "cancelled"
    again = {"verb": "retry", "state": "cancelled", f"d.{id}": "1"}
    assert "did=retry&count=1" in post(browser, "/operator/queue", **again)
    assert pages.delivery("late")[2] == "queued"
    assert "No delivery is meant" in post(browser, "/operator/queue", expect=200, verb="cancel", to="@none.example")
    post(browser, "/operator/queue", expect=400, verb="explode")


def test_a_tenants_limits_are_set(pages: Pages) -> None:
    browser, there = pages.log_in(), f"/operator/tenants/{pages.house.tenant}"
    assert "Acme Servicii SRL" in browser.get("/operator/tenants").text
    assert "did=saved" in post(browser, there, per_hour="120", per_day="")
    tenant = pages.database.read_now(get_tenant, pages.house.tenant)
    assert tenant and tenant.options["messages_per_hour"] == 120 and "messages_per_day" not in tenant.options
    assert "120" in browser.get(there).text
    assert "no number of messages" in post(browser, there, expect=422, per_hour="many")
    assert browser.get("/operator/tenants/nobody").status_code == 404


def test_mail_is_measured_by_tenant_and_in_all(pages: Pages) -> None:
    [whole] = [one for one in pages.database.read_now(list_measures, slot_of(NOW)) if one.queued is not None][-1:]
    assert (whole.relayed, whole.failed, whole.queued) == (1, 1, 2)
    assert (whole.half, whole.most) == (4000, 4000)
    [acme] = pages.database.read_now(list_measures, slot_of(NOW), pages.house.tenant)
    [beta] = pages.database.read_now(list_measures, slot_of(NOW), pages.house.other)
    assert whole.accepted == acme.accepted + beta.accepted and acme.queued is None and beta.relayed == 0
    pages.database.write_now(measure_now, NOW)  # counting again changes nothing
    assert whole in pages.database.read_now(list_measures, slot_of(NOW))
    pages.database.write_now(measure_now, NOW + timedelta(days=3))
    assert whole not in pages.database.read_now(list_measures, 0)


OF_THE_OPERATOR = (
    ("GET", "/operator"), ("GET", "/operator/queue"), ("GET", "/operator/tenants"), ("GET", "/operator/tenants/{id}"),
    ("POST", "/operator/destinations"), ("POST", "/operator/parked"), ("POST", "/operator/unreadable"),
    ("POST", "/operator/queue"), ("POST", "/operator/tenants/{id}"),
)  # fmt: skip


def test_nobody_else_has_these_pages_and_the_operator_has_no_others(pages: Pages) -> None:
    admin, operator = pages.log_in("ion@acme.test"), pages.log_in()
    stranger = TestClient(pages.app, base_url=ORIGIN, follow_redirects=False)
    found = re.search(r'name="csrf" value="([\w-]+)"', admin.get("/inbox").text)
    assert found
    for method, path in OF_THE_OPERATOR:
        there, form = path.format(id=pages.house.tenant), {"csrf": found[1]}
        assert admin.request(method, there, data=form if method == "POST" else None, headers=FORM).status_code == 404
        key = stranger.request(method, there, headers=FORM | {"authorization": "Bearer gw_live_x"})
        assert key.status_code == 404
        assert stranger.request(method, there, headers=FORM).headers["location"].startswith("/login")
    assert operator.get("/account").status_code == 200  # their own login
    for path in ("/inbox", "/bounces", "/settings/company", "/settings/users"):
        assert operator.get(path).status_code == 404, path
    assert operator.get("/").headers["location"] == "/operator"
    assert operator.post("/operator/parked", data={"verb": "cancel"}, headers=FORM).status_code == 403


def test_a_page_costs_the_same_however_much_there_is(pages: Pages) -> None:
    browser = pages.log_in()
    queries: list[str] = []
    event.listen(pages.database.engine, "before_cursor_execute", lambda c, cursor, sql, *_: queries.append(sql))
    paths = ("/operator", "/operator/queue", "/operator/tenants", f"/operator/tenants/{pages.house.tenant}")

    def count() -> list[int]:
        counts = []
        for path in paths:
            queries.clear()
            assert browser.get(path).status_code == 200
            counts.append(sum(sql.startswith("SELECT") for sql in queries))
        return counts

    before = count()
    pages.database.write_now(_more, pages.house)
    assert count() == before
    assert max(before) < 25


def _more(tx: Transaction, house: House) -> None:
    for n in range(8):
        house.other = add_tenant(tx, NOW, f"more{n}", f"More {n} SRL").id
        send(tx, house, f"m{n}", NOW, [f"a@m{n}.example"], tenant=house.other)
        note_node(tx, NOW, f"mail.{n + 2}", NOW, REPORT)
        put_measures(
            tx, [Measure(house.other, slot_of(NOW), accepted=1), Measure(OPERATOR, slot_of(NOW) - n, queued=n)]
        )
