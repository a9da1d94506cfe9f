"""Logins and keys that are set on pages: a mailbox by OAuth, signing keys rotated, what a credential may hand over."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from journeys.inbox_seed import NOW, House
from journeys.pages import Admin
from journeys.token_endpoint import TokenEndpoint, token_endpoint

from gateway.outbound import oauth
from gateway.settings.workshop import Workshop
from gateway.store.database import Database
from gateway.store.domains import list_keys, set_key_state
from gateway.store.mailbox_account import Account
from gateway.store.mailboxes import add_mailbox, get_mailbox, open_mailbox_secret
from gateway.store.routes import Secret
from gateway.store.settings import CREDENTIAL_LIMITS
from gateway.store.tenants import get_tenant

FORM = {"username": "facturi@alfa.example", "takes": "reports_and_replies", "provider": "google", "client_id": "app"}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenEndpoint]:
    """A provider that answers where Google's would."""
    with token_endpoint() as made:
        here = replace(oauth.PROVIDERS["google"], token_url=made.url)
        monkeypatch.setitem(oauth.PROVIDERS, "google", here)
        yield made


def come_back(admin: Admin, url: str, expect: int = 303) -> str:
    """The browser, sent back by the provider: where it ends, or the page."""
    parts = urlsplit(url)
    answer = admin.browser.get(f"{parts.path}?{parts.query}")
    assert answer.status_code == expect, answer.text
    return answer.headers.get("location", answer.text)


def test_a_mailbox_is_read_by_oauth_once_a_person_allows_it(
    admin: Admin, database: Database, house: House, workshop: Workshop, endpoint: TokenEndpoint
) -> None:
    asked = admin.post("/settings/mailboxes/new", name="office", client_secret="app-secret", **FORM)
    assert asked.startswith("https://accounts.google.com/") and "mail.google.com" in asked
    assert database.read_now(get_mailbox, house.tenant, "office") is None  # nothing is kept before the consent
    assert come_back(admin, endpoint.allow(asked)).startswith("/settings/mailboxes/office")
    box = database.read_now(get_mailbox, house.tenant, "office")
    assert box and (box.account.host, box.account.port, box.account.auth) == ("imap.gmail.com", 993, "oauth")
    kept = database.read_now(open_mailbox_secret, workshop.seal, house.tenant, "office")
    assert (kept.refresh_token, kept.client_secret) == ("refresh-1", "app-secret")
    page = admin.get("/settings/mailboxes/office")
    assert "app-secret" not in page and "refresh-1" not in page and "good-1" not in page
    # what no consent was given for is changed at once; a login of somebody else's needs one, with the same application
    assert admin.post("/settings/mailboxes/office", after="seen", **FORM).startswith("/settings/mailboxes/office")
    box = database.read_now(get_mailbox, house.tenant, "office")
    assert box and box.account.after == "seen"
    assert database.read_now(open_mailbox_secret, workshop.seal, house.tenant, "office") == kept
    asked = admin.post("/settings/mailboxes/office", **FORM | {"username": "office@alfa.example"})
    come_back(admin, endpoint.allow(asked))
    assert endpoint.asked[-1]["client_secret"] == "app-secret"
    box = database.read_now(get_mailbox, house.tenant, "office")
    assert box and box.account.username == "office@alfa.example"


def test_a_consent_that_is_refused_forged_or_another_tenants_keeps_nothing(
    admin: Admin, database: Database, house: House, endpoint: TokenEndpoint
) -> None:
    asked = admin.post("/settings/mailboxes/new", name="other", **FORM)
    answer = endpoint.allow(asked)
    boss = Admin(admin.browser.app, "boss@beta.example")  # type: ignore[arg-type]
    come_back(boss, answer, 422)  # whose consent it is not
    endpoint.mood = "invalid_grant"
    assert 'role="alert"' in come_back(admin, answer, 422)
    come_back(admin, answer, 422)  # once
    for tenant in (house.tenant, house.other):
        assert database.read_now(get_mailbox, tenant, "other") is None
    admin.post("/settings/mailboxes/new", 422, name="other", **FORM | {"client_id": ""})
    admin.post("/settings/mailboxes/new", 400, name="other", **FORM | {"provider": "custom"})
    where = FORM | {"provider": "microsoft"}
    admin.post("/settings/mailboxes/new", 422, name="other", directory="x/../evil", **where)


def test_a_login_of_the_application_itself_stays_the_operators(
    admin: Admin, database: Database, house: House, workshop: Workshop
) -> None:
    account = Account(
        host="imap.house.example", username="all@alfa.example", auth="oauth", provider="custom", client_id="app",
        grant="client_credentials", token_url="https://login.house.example/token",
    )  # fmt: skip
    secret = Secret(client_secret="theirs")
    database.write_now(add_mailbox, NOW, workshop.seal, house.tenant, "house", account, secret)
    form = FORM | {"provider": "custom", "username": "all@alfa.example"}
    admin.post("/settings/mailboxes/house", host="imap.house.example", folder="Bounces", **form)
    box = database.read_now(get_mailbox, house.tenant, "house")
    assert box and box.account.folder == "Bounces" and box.account.grant == "client_credentials"
    admin.post("/settings/mailboxes/house", 422, host="imap.evil.example", **form)
    box = database.read_now(get_mailbox, house.tenant, "house")
    assert box and box.account.host == "imap.house.example"


def test_signing_keys_are_rotated_and_the_old_ones_stay_until_dns_has_the_new(
    admin: Admin, database: Database, house: House
) -> None:
    admin.post("/settings/domains", name="alfa.example")
    before = database.read_now(list_keys, house.tenant, "alfa.example")
    assert {key.state for key in before} == {"active"}
    assert "done=keys" in admin.post("/settings/domains/alfa.example/rotate")
    keys = database.read_now(list_keys, house.tenant, "alfa.example")
    pending = [key for key in keys if key.state == "pending"]
    assert len(pending) == 2 and sum(key.state == "active" for key in keys) == 2
    page = admin.get("/settings/domains/alfa.example")
    assert all(f"{key.selector}._domainkey.alfa.example" in page for key in keys)
    admin.post("/settings/domains/alfa.example/rotate")  # those that are pending are not made again
    assert len(database.read_now(list_keys, house.tenant, "alfa.example")) == 4
    for key in pending:
        database.write_now(set_key_state, NOW, house.tenant, "alfa.example", key.selector, "retired")
    admin.post("/settings/domains/alfa.example/rotate", stolen="yes")
    keys = database.read_now(list_keys, house.tenant, "alfa.example")
    assert {key.state for key in keys if key in before or key.selector in {one.selector for one in before}} == {
        "replaced"
    }
    assert sum(key.state == "active" for key in keys) == 2
    assert "nu mai semnează" in admin.get("/settings/domains/alfa.example").lower()
    admin.post("/settings/domains/beta.example/rotate", 404)


def test_what_a_credential_may_hand_over_is_limited_on_its_page(admin: Admin, database: Database, house: House) -> None:
    limits = {"username": "billing-1c", "per_hour": "100", "per_day": "1 000"}
    admin.post("/settings/credentials/limits", **limits)
    tenant = database.read_now(get_tenant, house.tenant)
    assert tenant and tenant.options[CREDENTIAL_LIMITS] == {
        "billing-1c": {"messages_per_hour": 100, "messages_per_day": 1000}
    }
    page = admin.get("/settings/credentials")
    assert "din 100 mesaje" in page and "din 1.000 mesaje" in page
    admin.post("/settings/credentials/limits", 422, **limits | {"per_hour": "lots"})
    admin.post("/settings/credentials/limits", 404, **limits | {"username": "nobody"})
    admin.post("/settings/credentials/limits", 404, **limits | {"username": ""})
    admin.post("/settings/credentials/limits", username="billing-1c")
    tenant = database.read_now(get_tenant, house.tenant)
    assert tenant and CREDENTIAL_LIMITS not in tenant.options
