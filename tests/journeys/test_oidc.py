"""Logging in by an identity provider, over real HTTP on loopback: who gets in, and every way in which nobody does."""

import base64
import hmac
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from joserfc import jwt
from journeys.inbox_seed import NOW, PASSWORD, House
from journeys.pages import FORM, ORIGIN, Clock, Seeded
from postroom.identity_provider import CLIENT, SECRET, IdentityProvider, make_key, slowly
from starlette.testclient import TestClient

from gateway.settings.workshop import Workshop
from gateway.store.database import Database, Transaction
from gateway.store.events import latest_house_events
from gateway.store.oidc_links import list_links
from gateway.store.schema import OPERATOR
from gateway.store.second_factors import begin_factor, confirm_factor, remove_factor
from gateway.store.tenants import hash_password, set_tenant
from gateway.store.totp import code_at, step_at
from gateway.store.users import User, add_user, change_user, find_user
from gateway.web.app import make_app
from gateway.web.oidc import provider as provider_module
from gateway.web.oidc.provider import Provider, Terms

CALLBACK = f"{ORIGIN}/login/oidc/callback"
HASH = hash_password(PASSWORD)


@pytest.fixture(scope="module")
def seeded(seeded_on_each: Seeded) -> Seeded:
    """On both databases."""
    return seeded_on_each


@pytest.fixture
def idp(clock: Clock) -> Iterator[IdentityProvider]:
    made = IdentityProvider(clock)
    yield made
    made.stop()


NUMBERS = iter(range(10**6))


@pytest.fixture
def who(database: Database, house: House, idp: IdentityProvider) -> User:
    """A clerk of alfa whom the provider knows."""
    number = next(NUMBERS)
    email = f"o{number}@alfa.example"
    idp.person = {"sub": f"subject-{number}", "email": email, "email_verified": True, "name": "Oana"}
    return database.write_now(add_user, NOW, house.tenant, email, PASSWORD, name="Oana", password_hash=HASH)


class Pages:
    """The pages with a provider, and browsers that go to it and come back."""

    def __init__(
        self, database: Database, clock: Clock, workshop: Workshop, idp: IdentityProvider, **terms: Any
    ) -> None:
        values = {"client_secret": idp.secret, **terms}
        self.provider = Provider(Terms(idp.issuer, CLIENT, CALLBACK, **values))
        self.idp = idp
        self.app: FastAPI = make_app(
            database, clock=clock, public_url=ORIGIN, workshop=workshop, provider=self.provider
        )

    def browser(self) -> TestClient:
        return TestClient(self.app, base_url=ORIGIN, follow_redirects=False)

    def log_in(self, browser: TestClient | None = None, wanted: str = "/inbox") -> tuple[int, str, TestClient]:
        """(status, where it leads or the page, the browser) of a whole login."""
        browser = browser or self.browser()
        sent = browser.get("/login/oidc", params={"next": wanted})
        assert sent.status_code == 303, sent.text
        return (*self.back(browser, self.idp.log_in(sent.headers["location"])), browser)

    def back(self, browser: TestClient, url: str) -> tuple[int, str]:
        """(status, where it leads or the page) of coming back: 403 or 503 when the login page says that it failed."""
        answer = browser.get(url)
        there = answer.headers.get("location", answer.text)
        if not there.startswith("/login?"):
            return answer.status_code, there
        page = browser.get(there).text
        assert 'role="alert"' in page and "code=" not in page and "state=" not in page
        return 503 if there.endswith("=away") else 403, page


@pytest.fixture
def pages(database: Database, clock: Clock, workshop: Workshop, idp: IdentityProvider) -> Pages:
    return Pages(database, clock, workshop, idp)


def told(tx: Transaction, house: House) -> list[tuple[str, str]]:
    return [(one.type, one.data["user"]) for one in latest_house_events(tx, house.tenant, "user.")]


# -- who gets in


def test_an_existing_user_is_linked_by_a_verified_email_and_found_by_the_subject_from_then_on(
    pages: Pages, who: User, idp: IdentityProvider, database: Database, house: House
) -> None:
    page = pages.browser().get("/login?next=/inbox?view=all")
    assert 'href="/login/oidc?next=/inbox%3Fview%3Dall"' in page.text and "127.0.0.1</a>" in page.text
    status, there, browser = pages.log_in(wanted="/inbox?view=all")
    assert (status, there) == (303, "/inbox?view=all")
    assert browser.get("/inbox").status_code == 200
    assert "Oana" in browser.get("/account").text and idp.issuer in browser.get("/account").text
    assert [one.issuer for one in database.read_now(list_links, house.tenant, who.id)] == [idp.issuer]
    assert ("user.linked", who.email) in database.read_now(told, house)
    idp.person |= {"email": "renamed@elsewhere.example", "email_verified": False}
    assert pages.log_in()[0] == 303
    assert database.read_now(told, house).count(("user.linked", who.email)) == 1


def test_the_request_has_state_nonce_and_pkce_and_the_secret_stays_at_home(pages: Pages, who: User) -> None:
    browser = pages.browser()
    urls = [browser.get("/login/oidc").headers["location"] for _ in range(2)]
    for part in ("response_type=code", "code_challenge_method=S256", "scope=openid+email+profile", "state=", "nonce="):
        assert part in urls[0]
    assert "127.0.0.1%3A8025%2Flogin%2Foidc%2Fcallback" in urls[0]
    assert not set(re.findall(r"(?:state|nonce|code_challenge)=([\w-]{20,})", urls[0])) & set(
        re.findall(r"(?:state|nonce|code_challenge)=([\w-]{20,})", urls[1])
    )
    assert "s3cret" not in urls[0] and SECRET not in repr(pages.provider.terms)


@pytest.mark.parametrize(("algorithm", "kind"), [("RS256", "RSA"), ("PS384", "RSA"), ("ES256", "EC")])
def test_signatures_by_public_keys_are_taken(
    pages: Pages, who: User, idp: IdentityProvider, algorithm: str, kind: str
) -> None:
    idp.algorithm, idp.key = algorithm, make_key("k9", kind)
    idp.published = idp.key
    assert pages.log_in()[0] == 303


def test_a_new_key_of_the_provider_is_looked_for_but_not_at_every_token(
    pages: Pages, who: User, idp: IdentityProvider, clock: Clock
) -> None:
    assert pages.log_in()[0] == 303 and pages.log_in()[0] == 303
    assert idp.asked.count("/keys") == idp.asked.count("/.well-known/openid-configuration") == 1
    idp.key = idp.published = make_key("k2")
    assert pages.log_in()[0] == 403  # looked for a moment ago
    clock.now += timedelta(minutes=2)
    assert pages.log_in()[0] == 303
    assert idp.asked.count("/keys") == 2
    idp.key = make_key("k3")  # which it does not publish
    assert pages.log_in()[0] == 403 and pages.log_in()[0] == 403
    assert idp.asked.count("/keys") == 2


def test_a_public_client_and_one_that_posts_its_secret_get_in(
    database: Database, clock: Clock, workshop: Workshop, idp: IdentityProvider, who: User
) -> None:
    idp.document = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert Pages(database, clock, workshop, idp).log_in()[0] == 303
    idp.document, idp.secret = {}, ""
    assert Pages(database, clock, workshop, idp).log_in()[0] == 303


def test_an_email_that_only_userinfo_has_counts_when_it_is_of_the_same_subject(
    pages: Pages, who: User, idp: IdentityProvider, clock: Clock
) -> None:
    idp.userinfo = {**idp.person, "sub": "somebody else"}
    idp.person = {"sub": idp.person["sub"]}
    idp.document = {"userinfo_endpoint": f"{idp.issuer}/userinfo"}
    assert pages.log_in()[0] == 403
    idp.userinfo["sub"] = idp.person["sub"]
    assert pages.log_in()[0] == 303


# -- the second step


def test_a_second_step_is_asked_for_unless_the_provider_made_one(
    pages: Pages, who: User, idp: IdentityProvider, database: Database, workshop: Workshop, house: House
) -> None:
    def give(tx: Transaction) -> bytes:
        secret = begin_factor(tx, NOW - timedelta(hours=1), workshop.seal, who)
        assert secret
        at = NOW - timedelta(hours=1)
        assert confirm_factor(tx, at, workshop.seal, who, code_at(secret, step_at(at)))
        return secret

    secret = database.write_now(give)
    status, there, browser = pages.log_in(wanted="/bounces")
    assert (status, there) == (303, "/login/code") and browser.get("/inbox").status_code == 303
    csrf = re.search(r'name="csrf" value="([\w-]+)"', browser.get("/login/code").text)
    assert csrf
    form = {"csrf": csrf[1], "code": code_at(secret, step_at(NOW))}
    assert browser.post("/login/code", data=form, headers=FORM).headers["location"] == "/bounces"
    idp.person["amr"] = ["pwd", "mfa"]
    assert pages.log_in()[1] == "/inbox"
    database.write_now(remove_factor, NOW, who, "x")
    database.write_now(set_tenant, house.tenant, options={"second_step": True})
    try:
        assert pages.log_in()[2].get("/inbox").status_code == 200  # the provider's counts where one is demanded
        idp.person["amr"] = ["pwd"]
        assert pages.log_in()[2].get("/inbox").headers["location"] == "/account/second-step"
    finally:
        database.write_now(set_tenant, house.tenant, options={"second_step": None})


# -- who does not


def test_nobody_is_made_in_silence(pages: Pages, who: User, idp: IdentityProvider, database: Database) -> None:
    idp.person |= {"sub": "new", "email": "new.one@alfa.example"}
    status, page, browser = pages.log_in()
    assert status == 403 and "new.one" not in page and browser.get("/inbox").status_code == 303
    assert database.read_now(find_user, "new.one@alfa.example") is None


@pytest.mark.parametrize("verified", [False, None, "yes", 1.5, "false"])
def test_an_email_that_is_not_verified_links_nobody(
    pages: Pages, who: User, idp: IdentityProvider, verified: Any, database: Database
) -> None:
    idp.person["email_verified"] = verified
    assert pages.log_in()[0] == 403
    assert database.read_now(list_links, who.tenant_id, who.id) == []


def test_another_subject_with_the_same_email_is_not_that_user(
    pages: Pages, who: User, idp: IdentityProvider, database: Database
) -> None:
    assert pages.log_in()[0] == 303
    first, idp.person["sub"] = idp.person["sub"], "who has the address now"
    assert pages.log_in()[0] == 403
    idp.person["sub"] = first
    browser = pages.log_in()[2]
    csrf = re.search(r'name="csrf" value="([\w-]+)"', browser.get("/account").text)
    assert csrf
    wrong = browser.post("/account/unlink", data={"csrf": csrf[1], "password": "wrong"}, headers=FORM)
    assert wrong.status_code == 422
    done = browser.post("/account/unlink", data={"csrf": csrf[1], "password": PASSWORD}, headers=FORM)
    assert done.headers["location"] == "/account?done=unlinked"
    idp.person["sub"] = "who has the address now"
    assert pages.log_in()[0] == 303


def test_no_provider_vouches_for_who_runs_the_gateway(pages: Pages, idp: IdentityProvider, database: Database) -> None:
    email = f"runs{next(NUMBERS)}@gateway.example"
    database.write_now(add_user, NOW, OPERATOR, email, PASSWORD, password_hash=HASH)
    idp.person = {"sub": email, "email": email, "email_verified": True}
    assert pages.log_in()[0] == 403


def test_who_may_not_log_in_does_not_by_a_provider(pages: Pages, who: User, database: Database) -> None:
    assert pages.log_in()[0] == 303
    database.write_now(change_user, NOW, who.tenant_id, who.id, role="clerk", disabled=True)
    assert pages.log_in()[0] == 403


def test_users_are_made_where_that_is_configured_for_the_tenant_of_their_domain_or_claim(
    database: Database, clock: Clock, workshop: Workshop, idp: IdentityProvider, who: User, house: House
) -> None:
    pages = Pages(
        database, clock, workshop, idp, create="clerk", tenants={"new.example": "beta", "alfa.example": "beta"}
    )
    number = next(NUMBERS)
    idp.person = {"sub": f"n{number}", "email": f"N{number}@new.example", "email_verified": True, "name": "Nina"}
    status, _, browser = pages.log_in()
    found = database.read_now(find_user, f"n{number}@new.example")
    assert status == 303 and found
    assert (found[0].tenant_id, found[0].role, found[0].name, found[1]) == (house.other, "clerk", "Nina", "")
    page = browser.get("/account").text
    assert 'name="old"' not in page  # there is no old password to ask for
    form = {"csrf": re.findall(r'name="csrf" value="([\w-]+)"', page)[0]}
    assert browser.post("/account/unlink", data=form, headers=FORM).status_code == 422  # or nobody would get in again
    for refused in ({"email_verified": False}, {"email": f"x{number}@unknown.example"}, {"email": who.email}):
        idp.person = {"sub": f"r{number}", "email": f"r{number}@new.example", "email_verified": True} | refused
        assert pages.log_in()[0] == 403, refused  # the last is a user of another tenant than its domain says
    pages = Pages(database, clock, workshop, idp, create="auditor", tenant_claim="company")
    idp.person = {"sub": f"c{number}", "email": f"c{number}@any.example", "email_verified": True, "company": "alfa"}
    assert pages.log_in()[0] == 303
    made = database.read_now(find_user, f"c{number}@any.example")
    assert made and (made[0].tenant_id, made[0].role) == (house.tenant, "auditor")
    idp.person |= {"sub": f"d{number}", "email": f"d{number}@any.example", "company": ["alfa"]}
    assert pages.log_in()[0] == 403


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def part(value: dict[str, Any]) -> str:
    return encode(json.dumps(value).encode())


DOMAINS = ("new.example", "alfa.example")


def none_signed(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{part({'alg': 'none'})}.{part(claims)}."


FORGED: dict[str, dict[str, Any]] = {
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "another client": {"claims": {"aud": "other"}},
    "several audiences without azp": {"claims": {"aud": [CLIENT, "other"]}},
    "another azp": {"claims": {"azp": "other"}},
    "no audience": {"claims": {"aud": None}},
    "expired": {"claims": {"exp": int(NOW.timestamp()) - 61}},
    "without an end": {"claims": {"exp": None}},
    "of the future": {"claims": {"iat": int(NOW.timestamp()) + 120}},
    "not yet": {"claims": {"nbf": int(NOW.timestamp()) + 120}},
    "an end that is text": {"claims": {"exp": "9999999999"}},
    "another nonce": {"claims": {"nonce": "x" * 43}},
    "no nonce": {"claims": {"nonce": None}},
    "nobody": {"claims": {"sub": ""}},
    "unsigned": {"sign": none_signed},
    "no token": {"sign": lambda header, claims: "a.b"},
    "huge": {"claims": {"more": "x" * 40_000}},
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_token_that_proves_nothing_opens_nothing(
    pages: Pages, who: User, idp: IdentityProvider, forged: str, database: Database
) -> None:
    for name, value in FORGED[forged].items():
        setattr(idp, name, value)
    status, page, browser = pages.log_in()
    assert status == 403 and browser.get("/inbox").status_code == 303
    assert "evil" not in page and "nonce" not in page
    assert database.read_now(list_links, who.tenant_id, who.id) == []


def test_a_key_of_ours_is_no_secret_of_theirs(pages: Pages, who: User, idp: IdentityProvider) -> None:
    """HS256 with the public key as its secret, a foreign key under the right name, a changed payload."""
    public, foreign = idp.key.as_pem(private=False), make_key("k1")

    def confused(header: dict[str, Any], claims: dict[str, Any]) -> str:
        body = f"{part(header | {'alg': 'HS256'})}.{part(claims)}"
        return f"{body}.{encode(hmac.digest(public, body.encode(), 'sha256'))}"

    def by_another(header: dict[str, Any], claims: dict[str, Any]) -> str:
        return jwt.encode(header, claims, foreign, algorithms=["RS256"])

    def changed(header: dict[str, Any], claims: dict[str, Any]) -> str:
        head, _, signature = jwt.encode(header, claims, idp.key, algorithms=["RS256"]).split(".")
        return f"{head}.{part(claims | {'sub': 'admin'})}.{signature}"

    for forged in (confused, by_another, changed):
        idp.sign = forged
        assert pages.log_in()[0] == 403, forged.__name__


def test_an_answer_counts_only_in_the_browser_that_asked_and_only_for_what_it_asked(
    pages: Pages, who: User, idp: IdentityProvider, clock: Clock
) -> None:
    browser, victim = pages.browser(), pages.browser()
    back = idp.log_in(browser.get("/login/oidc").headers["location"])
    assert pages.back(victim, back)[0] == 403  # login CSRF: somebody else's code
    victim.get("/login/oidc")
    assert pages.back(victim, back)[0] == 403
    assert pages.back(browser, re.sub("state=[^&]+", "state=x", back))[0] == 403
    assert pages.back(browser, back)[0] == 403  # what was begun is used up
    back = idp.log_in(browser.get("/login/oidc").headers["location"])
    assert pages.back(browser, re.sub("iss=[^&]+", "iss=https%3A%2F%2Fevil.example", back))[0] == 403
    back = idp.log_in(browser.get("/login/oidc").headers["location"])
    clock.now += timedelta(minutes=11)
    assert pages.back(browser, back)[0] == 403
    sent = browser.get("/login/oidc").headers["location"]
    state = re.search("state=([^&]+)", sent)
    assert state
    denied = f"/login/oidc/callback?error=access_denied&error_description=evil&state={state[1]}"
    status, page = pages.back(browser, denied)
    assert status == 403 and "evil" not in page and "nu a confirmat cine" in page
    back = idp.log_in(browser.get("/login/oidc").headers["location"])
    assert pages.back(browser, back)[0] == 303
    again = browser.get("/login/oidc/callback?code=x&state=x")
    assert again.headers["location"] == "/login?problem=stale"


@pytest.mark.parametrize("wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_no_login_leads_away_from_here(pages: Pages, who: User, wanted: str) -> None:
    assert pages.log_in(wanted=wanted)[:2] == (303, "/inbox")


# -- a provider that does not behave


BAD = {
    "gone": (lambda: (503, b""), "/.well-known/openid-configuration"),
    "a redirect": (lambda: (302, b"{}"), "/.well-known/openid-configuration"),
    "no object": (lambda: (200, b"[1]"), "/.well-known/openid-configuration"),
    "no JSON": (lambda: (200, b"\xff{"), "/.well-known/openid-configuration"),
    "too large": (lambda: (200, b" " * 300_000 + b"{}"), "/.well-known/openid-configuration"),
    "slow": (slowly, "/.well-known/openid-configuration"),
    "deep": (lambda: (200, b"[" * 100_000), "/.well-known/openid-configuration"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_provider_that_does_not_behave_is_said_and_left_alone_for_a_while(
    pages: Pages, idp: IdentityProvider, clock: Clock, bad: str, monkeypatch: pytest.MonkeyPatch, who: User
) -> None:
    monkeypatch.setattr(provider_module, "SECONDS", 0.5)
    answer, path = BAD[bad]
    idp.answers[path] = answer
    browser = pages.browser()
    for _ in range(3):
        page = browser.get("/login/oidc")
        assert page.status_code == 503 and 'name="password"' in page.text
    assert len(idp.asked) == 1
    del idp.answers[path]
    clock.now += timedelta(seconds=16)
    assert pages.log_in()[0] == 303


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"}, {"issuer": None}, {"token_endpoint": "ftp://127.0.0.1/x"},
        {"jwks_uri": "http://evil.example/keys"}, {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://a.example/\r\nset-cookie: x"}, {"token_endpoint": 5},
    ],
)  # fmt: skip
def test_a_document_that_leads_elsewhere_is_not_followed(
    pages: Pages, idp: IdentityProvider, document: dict[str, Any]
) -> None:
    idp.document = document
    assert pages.browser().get("/login/oidc").status_code == 503


def test_a_token_endpoint_that_fails_lets_nobody_in(pages: Pages, who: User, idp: IdentityProvider) -> None:
    for answer, status in (((400, b'{"error": "invalid_grant"}'), 403), ((500, b""), 503), ((200, b"{}"), 403)):
        idp.answers["/token"] = lambda answer=answer: answer
        assert pages.log_in()[0] == status
    del idp.answers["/token"]
    assert pages.log_in()[0] == 303


def test_without_a_provider_there_is_no_way_to_one(database: Database, clock: Clock, workshop: Workshop) -> None:
    app = make_app(database, clock=clock, public_url=ORIGIN, workshop=workshop)
    browser = TestClient(app, base_url=ORIGIN, follow_redirects=False)
    assert browser.get("/login/oidc").status_code == browser.get("/login/oidc/callback").status_code == 404
    assert "/login/oidc" not in browser.get("/login").text


def test_going_there_and_back_is_limited(pages: Pages, who: User) -> None:
    browser = pages.browser()
    statuses = [browser.get("/login/oidc").status_code for _ in range(61)]
    assert statuses == [303] * 60 + [429]
