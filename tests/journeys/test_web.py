"""A clerk's way through the pages; what strangers, other tenants and forged forms get: in one process, on SQLite."""

import re
from datetime import datetime, timedelta

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from journeys.bench_settings import seed_foreign
from journeys.inbox_seed import NOW, PASSWORD, PDF, House, come
from journeys.pages import FORM, ORIGIN, Clock
from sqlalchemy import event
from starlette.testclient import TestClient

from gateway.inbox.listing import list_page
from gateway.inbox.reading import read_thread
from gateway.settings.workshop import Workshop
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.messages import get_message
from gateway.store.threads import add_thread, get_thread, open_thread
from gateway.store.users import find_user, start_session
from gateway.web.app import make_app


def visit(app: FastAPI) -> TestClient:
    """A browser that has not been here."""
    return TestClient(app, base_url=ORIGIN, follow_redirects=False)


def token(page: str) -> str:
    found = re.search(r'name="csrf" value="([\w-]+)"', page)
    assert found
    return found[1]


def log_in(app: FastAPI, email: str = "maria@alfa.example", language: str = "") -> TestClient:
    """A browser with a session, without the cost of a password."""
    browser, site = visit(app), app.state.site

    def start(tx: Transaction) -> str:
        found = find_user(tx, email)
        assert found
        return start_session(tx, site.clock(), found[0])[0]

    browser.cookies.set(site.session_cookie, site.database.write_now(start), domain="127.0.0.1")
    if language:
        form = {"csrf": token(browser.get("/inbox").text), "language": language}
        assert browser.post("/language", data=form, headers=FORM).status_code == 303
    return browser


@pytest.fixture
def clerk(app: FastAPI) -> TestClient:
    return log_in(app, language="ro")


# -- logging in


def test_a_stranger_is_sent_to_the_login_and_afterwards_to_the_page_wanted(app: FastAPI, house: House) -> None:
    browser = visit(app)
    sent = browser.get(f"/inbox/{house.threads['paid']}?view=all")
    assert sent.status_code == 303
    page = browser.get(sent.headers["location"])
    wanted = re.search(r'name="next" value="([^"]+)"', page.text)
    assert wanted
    form = {"csrf": token(page.text), "next": wanted[1], "email": "MARIA@alfa.example", "password": PASSWORD}
    done = browser.post("/login", data=form, headers=FORM)
    assert done.headers["location"] == f"/inbox/{house.threads['paid']}?view=all"
    assert browser.get(done.headers["location"]).status_code == 200


def test_an_unknown_user_and_a_wrong_password_get_one_answer(app: FastAPI) -> None:
    answers = set()
    for email in ("maria@alfa.example", "nobody@alfa.example"):
        browser = visit(app)
        form = {"csrf": token(browser.get("/login").text), "email": email, "password": "wrong wrong wrong"}
        answer = browser.post("/login", data=form, headers=FORM)
        answers.add((answer.status_code, re.sub(r'value="[^"]*"', "", answer.text)))
    assert len(answers) == 1
    assert answers.pop()[0] == 401


def test_too_many_tries_are_429_with_the_time_to_wait_and_end(app: FastAPI, clock: Clock) -> None:
    browser = visit(app)
    form = {"csrf": token(browser.get("/login").text), "email": "maria@alfa.example", "password": "wrong"}
    for _ in range(10):
        assert browser.post("/login", data=form, headers=FORM).status_code == 401
    right = form | {"password": PASSWORD}
    answer = browser.post("/login", data=right, headers=FORM)
    assert answer.status_code == 429
    clock.now += timedelta(seconds=int(answer.headers["retry-after"]))
    assert browser.post("/login", data=right, headers=FORM).status_code == 303


def test_a_login_is_a_new_session_and_ends_the_one_before(app: FastAPI) -> None:
    browser = log_in(app)
    first = browser.cookies["gw_session"]
    form = {"csrf": token(browser.get("/inbox").text), "email": "maria@alfa.example", "password": PASSWORD}
    assert browser.post("/login", data=form, headers=FORM).status_code == 303
    assert browser.cookies["gw_session"] != first
    assert browser.get("/inbox").status_code == 200
    other = visit(app)
    other.cookies.set("gw_session", first, domain="127.0.0.1")
    assert other.get("/inbox").headers["location"] == "/login"


def test_a_session_ends_by_time_and_by_logging_out(app: FastAPI, clock: Clock) -> None:
    browser = log_in(app)
    kept = browser.cookies["gw_session"]
    csrf = token(browser.get("/inbox").text)
    assert browser.post("/logout", data={"csrf": csrf}, headers=FORM).status_code == 303
    browser.cookies.set("gw_session", kept, domain="127.0.0.1")
    assert browser.get("/inbox").status_code == 303
    browser = log_in(app)
    clock.now += timedelta(hours=13)
    assert browser.get("/inbox").status_code == 303


def test_the_cookie_is_host_bound_and_secure_over_https(database: Database, house: House, clock: Clock) -> None:
    secure = make_app(database, clock=clock, public_url="https://mail.alfa.example")
    browser = TestClient(secure, base_url="https://mail.alfa.example", follow_redirects=False)
    form = {"csrf": token(browser.get("/login").text), "email": "maria@alfa.example", "password": PASSWORD}
    done = browser.post("/login", data=form, headers={"origin": "https://mail.alfa.example"})
    [cookie] = [c for c in done.headers.get_list("set-cookie") if "session" in c]
    assert cookie.startswith("__Host-gw_session=")
    for part in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"):
        assert part in cookie
    assert "Domain" not in cookie
    assert "max-age=" in done.headers["strict-transport-security"]


# -- forms


OF_THE_SETTINGS = [
    *(f"/settings/{name}" for name in ("templates", "triggers", "delivery", "company", "suppressions", "users")),
    *(f"/settings/delivery/{name}" for name in ("contact", "authors", "server")),
    *(f"/settings/delivery/server/{name}" for name in ("test", "fallback", "remove")),
    *(f"/settings/templates/{{key}}{name}" for name in ("", "/mail")),
    *(f"/settings/users/{{user_id}}{name}" for name in ("", "/password", "/logins")),
    "/settings/users/demand",
    *(f"/settings/mailboxes/{{name}}{name}" for name in ("", "/test", "/remove")),
    *(
        "/settings/credentials",
        "/settings/credentials/limits",
        "/settings/credentials/revoke",
        "/settings/suppressions/remove",
    ),
    *("/settings/triggers/hour", "/settings/triggers/reminders", "/settings/company/logo/remove"),
    *("/settings/domains", "/settings/domains/{name}/check", "/settings/domains/{name}/rotate"),
    *("/settings/api-keys", "/settings/api-keys/revoke", "/settings/webhooks", "/settings/webhooks/{endpoint_id}"),
]
UPLOADS = ["/settings/company/logo", "/settings/suppressions/import"]  # tested in test_settings
OF_THE_OPERATOR = [  # for everybody else there are none: tested in test_operator
    *(f"/operator{name}" for name in ("", "/queue", "/tenants", "/tenants/{tenant_id}")),
    *(f"/operator/{name}" for name in ("destinations", "parked", "unreadable")),
]
WRITING = ("reply", "unsend", "correct")
OF_A_THREAD = [f"/inbox/{{thread_id}}/{what}" for what in ("move", "contact", "note", "promise", *WRITING)]
OF_DOCUMENTS = [*(f"/documents/{what}" for what in ("send", "preview", "unsend", "act")), "/customers/change"]
OF_THREADS = ["/bounces", "/inbox/search", "/inbox/act", "/inbox/undo", "/inbox/scheduled"]
OF_AN_ACCOUNT = [f"/account/{what}" for what in ("profile", "password", "sessions", "unlink")]
OF_AN_ACCOUNT += [f"/account/second-step/{what}" for what in ("begin", "confirm", "codes", "remove")]
CHANGES = ["/logout", "/language", *OF_AN_ACCOUNT, *OF_DOCUMENTS, *OF_THREADS, *OF_A_THREAD, *OF_THE_SETTINGS]


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    ("csrf", "headers"),
    [
        ("", FORM), ("wrong", FORM), ("right", {}), ("right", {"origin": "https://evil.example"}),
        ("right", {"origin": "null"}), ("right", {"referer": "https://evil.example/inbox"}),
    ],
)  # fmt: skip
def test_a_change_needs_the_token_and_our_own_origin(
    app: FastAPI, house: House, path: str, csrf: str, headers: dict[str, str]
) -> None:
    clerk = log_in(app, "ion@alfa.example", "ro")  # who may do anything
    right = token(clerk.get("/inbox").text)
    form = {"csrf": right if csrf == "right" else csrf, "language": "ro"}
    there = path.format(
        thread_id=house.threads["paid"], key="new_invoice", user_id=house.users["boss"], name="x", endpoint_id="x"
    )
    assert clerk.post(there, data=form, headers=headers).status_code == 403
    assert clerk.get("/inbox").status_code == 200


def test_the_token_of_another_session_is_no_token(app: FastAPI, clerk: TestClient) -> None:
    other = token(log_in(app).get("/inbox").text)
    assert clerk.post("/language", data={"csrf": other, "language": "en"}, headers=FORM).status_code == 403


def test_every_post_route_is_among_the_tested_changes(app: FastAPI) -> None:
    posts = {route.path for route in routes(app) if "POST" in (route.methods or ())}
    of_tenants = {*CHANGES, *UPLOADS, "/login", "/login/code", "/preferences/{token}"}
    assert posts - {*OF_THE_OPERATOR} == of_tenants


def test_a_clerk_has_no_settings_and_an_auditor_only_looks(app: FastAPI, house: House) -> None:
    clerk, auditor = log_in(app), log_in(app, "audit@alfa.example")
    ids = {"key": "new_invoice", "user_id": house.users["boss"], "name": "beta.example", "endpoint_id": "x"}
    for route in routes(app):
        if not route.path.startswith("/settings"):
            continue
        for method in route.methods or ():
            there = route.path.format(**ids)
            for browser in (clerk, auditor):
                form = {"csrf": token(browser.get("/inbox").text)}
                data = form if method == "POST" else None
                answer = browser.request(method, there, data=data, headers=FORM)
                refused = browser is clerk or method == "POST" or route.path.endswith("oauth")
                assert (answer.status_code == 403) == refused, (method, there, answer.status_code)


def test_a_form_is_bounded_and_must_be_a_form(clerk: TestClient) -> None:
    csrf = token(clerk.get("/inbox").text)
    large = {"csrf": csrf, "language": "ro", "more": "x" * 70_000}
    assert clerk.post("/language", data=large, headers=FORM).status_code == 413
    assert clerk.post("/language", json={"csrf": csrf}, headers=FORM).status_code == 415
    many = {"csrf": csrf} | {f"f{n}": "" for n in range(100)}
    assert clerk.post("/language", data=many, headers=FORM).status_code == 400


def test_an_auditor_reads_and_changes_nothing(app: FastAPI, house: House, database: Database) -> None:
    auditor = log_in(app, "audit@alfa.example")
    page = auditor.get(f"/inbox/{house.threads['late']}")
    assert page.status_code == 200
    assert 'action="/inbox/act"' not in page.text
    form = {"csrf": token(page.text), "action": "close", f"t.{house.threads['late']}": "1"}
    assert auditor.post("/inbox/act", data=form, headers=FORM).status_code == 403
    thread = database.read_now(get_thread, house.tenant, house.threads["late"])
    assert thread and thread.state == "open" and thread.unread


# -- another tenant's


def routes(app: FastAPI) -> list[APIRoute]:
    found: list[APIRoute] = []

    def walk(items: object) -> None:
        for item in items:  # type: ignore[attr-defined]
            if isinstance(item, APIRoute):
                found.append(item)
            elif hasattr(item, "original_router"):  # routers are kept as they were included
                walk(item.original_router.routes)
            elif hasattr(item, "routes"):
                walk(item.routes)

    walk(app.routes)
    assert found
    return found


OWN = {  # of the tenant as a whole
    *OF_THE_SETTINGS, *UPLOADS, "/settings", "/account", "/account/second-step", *OF_AN_ACCOUNT,
    "/settings/templates/{key}/mail.pdf", "/settings/triggers/forecast",
    "/settings/suppressions.csv", "/settings/delivery/oauth",
}  # fmt: skip
OPEN = {  # name nothing that has an owner
    "/", "/inbox", "/bounces", "/bounces.csv", "/documents", "/customers", "/runs",
    "/inbox/search", "/inbox/news", "/inbox/undo",
    "/login", "/login/code", "/login/oidc", "/login/oidc/callback", "/logout",
    "/language", "/health", "/static/{name}",
}  # fmt: skip
PROVEN = {"/preferences/{token}", "/f/{token}"}  # the address itself is the proof, for customers: journeys forge it
OWNED = {
    "/inbox/{thread_id}": "/inbox/{foreign}",
    "/inbox/{thread_id}/presence": "/inbox/{foreign}/presence",
    "/inbox/{thread_id}/reply": "/inbox/{foreign}/reply",
    "/inbox/{thread_id}/unsend": "/inbox/{foreign}/unsend",
    "/inbox/{thread_id}/correct": "/inbox/{foreign}/correct",
    "/inbox/{thread_id}/note": "/inbox/{foreign}/note",
    "/inbox/{thread_id}/promise": "/inbox/{foreign}/promise",
    "/inbox/act": "/inbox/act",  # whose thread, or mail, the form says
    "/inbox/scheduled": "/inbox/scheduled",
    "/inbox/{thread_id}/move": "/inbox/{foreign}/move",
    "/inbox/{thread_id}/contact": "/inbox/{foreign}/contact",
    "/inbox/messages/{message_id}/source.eml": "/inbox/messages/{mail}/source.eml",
    "/inbox/messages/{message_id}/parts/{number}": "/inbox/messages/{mail}/parts/1",
    "/inbox/messages/{message_id}/html": "/inbox/messages/{mail}/html",
    "/documents/{type}/{name:path}": "/documents/invoice/only_beta.pdf",
    "/runs/{name}": "/runs/run of beta",
    "/runs/{name}/recipients.csv": "/runs/run of beta/recipients.csv",
    "/threads/{thread_id}/evidence.zip": "/threads/{foreign}/evidence.zip",
    "/documents/{type}/{document_id:path}/evidence.zip": "/documents/invoice/only_beta/evidence.zip",
    "/documents/send": "/documents/send?document=invoice/only_beta",
    "/documents/preview": "/documents/preview?document=invoice/only_beta",
    "/documents/unsend": "/documents/unsend",  # whose mail, or document, the form says
    "/documents/act": "/documents/act",
    "/customers/{key:path}": "/customers/id:beta",
    "/customers/change": "/customers/change",
    "/settings/webhooks/{endpoint_id}": "/settings/webhooks/{hook}",
    "/settings/users/{user_id}": "/settings/users/{boss}",
    "/settings/users/{user_id}/password": "/settings/users/{boss}/password",
    "/settings/users/{user_id}/logins": "/settings/users/{boss}/logins",
    "/settings/domains/{name}": "/settings/domains/beta.example",
    "/settings/domains/{name}/check": "/settings/domains/beta.example/check",
    "/settings/domains/{name}/rotate": "/settings/domains/beta.example/rotate",
    "/settings/mailboxes/{name}": "/settings/mailboxes/beta",
    "/settings/mailboxes/{name}/test": "/settings/mailboxes/beta/test",
    "/settings/mailboxes/{name}/remove": "/settings/mailboxes/beta/remove",
}
OPEN |= (OWN - OWNED.keys()) | {*OF_THE_OPERATOR}
MAILBOX = {"host": "127.0.0.1", "port": "9", "username": "b", "password": "x", "takes": "all"}


def test_what_is_another_tenants_is_not_found_on_every_route(
    app: FastAPI, house: House, database: Database, workshop: Workshop
) -> None:
    clerk, owner = log_in(app, "ion@alfa.example", "ro"), log_in(app, "boss@beta.example")
    hook = database.write_now(seed_foreign, workshop.seal, house)
    names = {"foreign": house.threads["foreign"], "mail": house.messages["foreign answer"], "hook": hook, **house.users}
    assert {route.path for route in routes(app)} == OPEN | PROVEN | set(OWNED)
    for route in routes(app):
        if route.path in OPEN | PROVEN:
            continue
        path = OWNED[route.path].format(**names)
        for method in route.methods or ():
            answers = {}
            for browser in (clerk, owner):
                form = {"csrf": token(browser.get("/inbox").text), "message": names["mail"],
                        "to": "" if path.endswith("/reply") else names["foreign"],
                        f"t.{names['foreign']}": "1", "action": "send" if "scheduled" in path else "close",
                        "text": "x", "on": "2026-12-01", "since": "2026-12-01"}  # fmt: skip
                form |= MAILBOX | {"role": "to" if "customers" in path else "admin", "may": "yes", "key": "id:beta",
                                   "document": "invoice/only_beta", "email": "x@beta.example"}  # fmt: skip
                data = form if method == "POST" else None
                answers[browser] = browser.request(method, path, data=data, headers=FORM)
                if path.endswith(("/password", "/logins")) and browser is owner:  # whose sessions end by it
                    owner = browser = log_in(app, "boss@beta.example")
                    answers[browser] = answers.popitem()[1]
            assert answers[clerk].status_code == 404, (method, path)
            assert "secret" not in answers[clerk].text.lower()
            # to take back, to correct, or to send, though the thread, or the document, is there
            nothing = path.endswith(("/unsend", "/correct")) or path.startswith("/documents/send")
            assert answers[owner].status_code in (200, 303, *((404, 409) if nothing else ())), (method, path)


def test_a_stranger_gets_nothing_on_any_route(app: FastAPI, house: House) -> None:
    names = {
        "foreign": house.threads["foreign"],
        "mail": house.messages["foreign answer"],
        "key": "refund",
        "hook": "x",
        **house.users,
    }
    browser = visit(app)
    for route in routes(app):
        if route.path in OWNED or route.path in OWN or route.path == "/inbox":
            for method in route.methods or ():
                path = OWNED.get(route.path, route.path).format(**names)
                answer = browser.request(method, path, headers=FORM)
                assert answer.status_code == 303 and answer.headers["location"].startswith("/login"), path


def test_lists_hold_only_the_tenants_own(clerk: TestClient, app: FastAPI) -> None:
    assert "Secret" not in clerk.get("/inbox?view=all").text
    assert "Secret Customer" in log_in(app, "olga@beta.example").get("/inbox?view=all").text


# -- pages


def test_the_views_show_what_they_say_with_their_counts(clerk: TestClient, house: House, database: Database) -> None:
    counts = database.read_now(list_page, house.tenant).counts
    assert {view: count for view, count in counts.items() if count} == {
        "todo": 5,
        "bounced": 3,
        "replies": 2,
        "unassigned": 5,
    }
    ids = {name: f"/inbox/{house.threads[name]}?" for name in house.threads}
    shown = {view: clerk.get(f"/inbox?view={view}").text for view in ("todo", "bounced", "replies", "sent", "all")}
    for view, names in {
        "todo": {"paid", "bounced", "late", "suppressed", "hostile"},
        "bounced": {"bounced", "late", "suppressed"},
        "replies": {"paid", "hostile"},
        "sent": {"waiting"},
        "all": {"paid", "bounced", "late", "suppressed", "hostile", "waiting"},
    }.items():
        assert {name for name, link in ids.items() if link in shown[view]} == names, view
    assert clerk.get("/inbox?view=nonsense&cursor=../../x").status_code == 200


SAID = {
    "ro": ["Adresa nu există la destinatar.", "acceptat de serverul destinatarului", "Cont de plată", "18.450,50 MDL",
           "marți, 24 noiembrie 2026, 06:30", "Cereți clientului adresa corectă"],
    "ru": ["Такого адреса у получателя нет.", "принято сервером получателя", "Счёт на оплату", "18 450,50 MDL",
           "вторник, 24 ноября 2026, 06:30", "Уточните у клиента правильный адрес"],
    "en": ["The address does not exist.", "accepted by the recipient&#39;s server", "Invoice", "MDL 18,450.50",
           "Tuesday, 24 November 2026, 06:30", "Ask the customer for the right address"],
}  # fmt: skip


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
def test_a_thread_tells_what_became_of_each_recipient(app: FastAPI, house: House, language: str) -> None:
    page = log_in(app, language=language).get(f"/inbox/{house.threads['bounced']}").text
    text = page.replace("\u00a0", " ")
    assert f'<html lang="{language}">' in page
    for said in SAID[language]:
        assert said in text, said
    assert "550 5.1.1 &lt;contabil@vechi.example&gt;: Recipient address rejected: User unknown" in page
    assert '<time datetime="2026-11-24T04:30:00+00:00"' in page
    assert not re.search("livrat(?! )ă|delivered", page.lower().replace("message could not be delivered", ""))


def test_a_reply_is_shown_with_its_quote_folded_and_a_report_with_its_reason(clerk: TestClient, house: House) -> None:
    page = clerk.get(f"/inbox/{house.threads['paid']}").text
    assert "Plata a fost efectuată astăzi" in page
    assert re.search(r'<details class="quoted">.*Am emis contul', page, re.S)
    assert "ordin de plată.pdf" in page
    assert "Sunt în concediu" in page
    page = clerk.get(f"/inbox/{house.threads['late']}").text
    assert "Cutia poștală a destinatarului este plină." in page
    assert "Inițial, serverul lor îl acceptase:" in page


def test_hostile_words_are_words(clerk: TestClient, house: House) -> None:
    for path in ("/inbox?view=all", f"/inbox/{house.threads['hostile']}"):
        page = clerk.get(path).text
        assert "&lt;script&gt;alert" in page
        assert not re.search(r"<script(?! src=\"/static/)|<img src=x|<b>quoted|<[^>]*\s(on\w+|style)=", page)
    assert "Verificați adresa înainte de a răspunde" in clerk.get(f"/inbox/{house.threads['hostile']}").text


def test_a_clerk_closes_a_thread_and_takes_it_back(clerk: TestClient, house: House, database: Database) -> None:
    thread_id = database.write_now(new_thread, house.tenant, "to close")
    page = clerk.get(f"/inbox/{thread_id}?view=replies")
    read = database.read_now(get_thread, house.tenant, thread_id)
    assert read and read.unread == 0 and read.state == "open"
    form = {"csrf": token(page.text), "view": "replies", f"t.{thread_id}": "1"}
    done = clerk.post("/inbox/act", data=form | {"action": "close"}, headers=FORM)
    assert done.headers["location"].startswith("/inbox?view=replies&did=close&undo=")
    listed = clerk.get(done.headers["location"]).text
    assert "to close" in listed and 'action="/inbox/undo"' in listed
    closed = database.read_now(read_thread, house.tenant, thread_id)
    assert closed and closed.thread.state == "closed"
    assert [dict(e.data) for e in closed.events if e.type == "thread.closed"] == [{"by": "maria@alfa.example"}]
    assert clerk.post("/inbox/act", data=form | {"action": "reopen"}, headers=FORM).status_code == 303
    again = database.read_now(get_thread, house.tenant, thread_id)
    assert again and again.state == "open" and again.chip == "reply"
    clerk.post("/inbox/act", data=form | {"action": "close"}, headers=FORM)


def new_thread(tx: Transaction, tenant: str, subject: str, at: datetime = NOW) -> str:
    thread_id = add_thread(tx, to_ms(at), tenant, subject=subject)
    open_thread(tx, to_ms(at), tenant, thread_id, "reply")
    return thread_id


def test_paging_shows_each_thread_once_with_a_constant_number_of_queries(database: Database, house: House) -> None:
    def many(tx: Transaction) -> None:
        for number in range(60):  # several of the same moment
            new_thread(tx, house.other, f"thread {number}", NOW + timedelta(minutes=number // 3))

    queries: list[str] = []
    database.write_now(many)
    event.listen(database.engine, "before_cursor_execute", lambda c, cursor, sql, *_: queries.append(sql))
    for view in ("todo", "all"):
        seen: list[str] = []
        cursor, counts = "", set()
        while True:
            queries.clear()
            page = database.read_now(list_page, house.other, view=view, cursor=cursor, limit=25)
            counts.add(len(queries))
            seen += [line.thread.id for line in page.lines]
            cursor = page.cursor
            if not cursor:
                break
        assert len(seen) == len(set(seen)) >= 60
        assert len(counts) == 1


def test_a_thread_is_read_with_a_constant_number_of_queries(database: Database, house: House) -> None:
    queries: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda c, cursor, sql, *_: queries.append(sql))
    counts = []
    for _ in range(2):
        queries.clear()
        assert database.read_now(read_thread, house.tenant, house.threads["waiting"])
        counts.append(len(queries))
        for n in range(5):
            thread = house.threads["waiting"]
            database.write_now(come, house, f"more {n}", NOW, thread, "auto_reply", "x@y.example", "s", "t")
    assert counts[0] == counts[1]


# -- what can be taken out


def test_files_are_downloads_under_a_safe_name_and_never_pages(clerk: TestClient, house: House) -> None:
    for path, content, name in (
        (
            f"/inbox/messages/{house.messages['answer']}/parts/1",
            b"%PDF-1.4 payment order",
            "ordin%20de%20plat%C4%83.pdf",
        ),
        ("/documents/invoice/inv_117.pdf", PDF, "Cont%20de%20plat%C4%83%202026-0117.pdf"),
        (f"/inbox/messages/{house.messages['answer']}/source.eml", None, f"{house.messages['answer']}.eml"),
    ):
        answer = clerk.get(path)
        assert answer.status_code == 200
        assert content is None or answer.content == content
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert name in answer.headers["content-disposition"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "text/html" not in answer.headers["content-type"]
        assert answer.headers["content-security-policy"].startswith("sandbox")
    for path in ("parts/2", "parts/0", "parts/x", "parts/99999"):
        assert clerk.get(f"/inbox/messages/{house.messages['answer']}/{path}").status_code == 404
    assert clerk.get("/documents/invoice/inv_117.exe").status_code == 404


def test_a_mails_html_is_cleaned_and_has_a_policy_of_its_own(clerk: TestClient, house: House) -> None:
    answer = clerk.get(f"/inbox/messages/{house.messages['answer']}/html")
    assert "Bună ziua," in answer.text
    assert "<script" not in answer.text and "t.example" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'") and "allow-" not in policy
    page = clerk.get(f"/inbox/{house.threads['paid']}").text
    assert all('sandbox=""' in frame for frame in re.findall("<iframe[^>]*>", page))


# -- the wall


@pytest.mark.parametrize("path", ["/inbox", "/login", "/nothing", "/inbox/" + "0" * 20])
def test_every_answer_has_the_strict_headers(clerk: TestClient, path: str) -> None:
    headers = clerk.get(path).headers
    policy = headers["content-security-policy"]
    for part in ("default-src 'none'", "style-src 'self'", "img-src 'self'", "form-action 'self'", "base-uri 'none'",
                 "frame-ancestors 'none'", "font-src 'self'"):  # fmt: skip
        assert part in policy
    assert "unsafe" not in policy and "script-src 'self';" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_pages_load_only_from_here_and_weigh_little(clerk: TestClient) -> None:
    page = clerk.get("/inbox?view=all").text
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert loaded and not re.search(r'(?:src|href|action)="(?:https?:)?//', page)
    sizes = [len(clerk.get(url).content) for url in set(loaded)]
    assert sum(sizes) + len(page.encode()) < 150_000
    assert "immutable" in clerk.get(loaded[0]).headers["cache-control"]
    for name in ("..%2f..%2fapp.py", "app.py", "../app.py"):
        assert clerk.get(f"/static/{name}").status_code == 404


def test_a_fault_of_ours_is_500_in_three_languages_without_a_word_of_it(
    app: FastAPI, clerk: TestClient, database: Database, house: House
) -> None:
    def break_it() -> None:
        raise RuntimeError("a secret path /etc/gateway")

    app.add_api_route("/broken", break_it)
    answer = clerk.get("/broken")
    assert answer.status_code == 500
    for text in ("Ceva nu a funcționat", "У нас что-то не сработало", "Something failed"):
        assert text in answer.text
    assert "secret" not in answer.text and "RuntimeError" not in answer.text
    assert answer.headers["content-security-policy"]


def test_health_needs_no_login(app: FastAPI) -> None:
    assert visit(app).get("/health").json() == {"status": "ok"}


def test_the_language_is_kept_for_the_user_and_before_the_login(app: FastAPI) -> None:
    browser = visit(app)
    page = browser.get("/login?next=/inbox")
    assert '<html lang="ro">' in page.text
    form = {"csrf": token(page.text), "language": "ru", "back": "//evil.example"}
    assert browser.post("/language", data=form, headers=FORM).headers["location"] == "/inbox"
    assert '<html lang="ru">' in browser.get("/login").text
    log_in(app, language="en")
    assert '<html lang="en">' in log_in(app).get("/inbox").text
    assert '<html lang="ru">' in log_in(app, "olga@beta.example").get("/inbox").text  # the tenant's


# -- last, since it changes what the others look at


def test_a_mail_is_moved_to_a_thread_of_the_tenant_and_to_no_other(
    clerk: TestClient, house: House, database: Database
) -> None:
    source, to, mail = house.threads["paid"], house.threads["late"], house.messages["answer"]
    form = {"csrf": token(clerk.get("/inbox").text), "message": mail}
    for wrong in ({"to": house.threads["foreign"]}, {"to": to, "message": house.messages["foreign answer"]}):
        assert clerk.post(f"/inbox/{source}/move", data=form | wrong, headers=FORM).status_code == 404
    done = clerk.post(f"/inbox/{source}/move", data=form | {"to": to}, headers=FORM)
    assert done.status_code in (200, 303)
    kept = database.read_now(get_message, house.tenant, mail)
    assert kept is not None and kept.thread_id == to and kept.detail["placed_by"] == "person"
    thread = database.read_now(get_thread, house.tenant, to)
    assert thread is not None and (thread.state, thread.chip) == ("open", "reply")
