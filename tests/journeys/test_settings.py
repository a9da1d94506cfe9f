"""The settings as administrators use them: every change is seen by the next reader, and what must not be is refused."""

import re
from datetime import timedelta

from fastapi import FastAPI
from journeys.inbox_seed import NOW, House
from journeys.pages import FORM, Admin
from sqlalchemy import select

from gateway.outbound.suppression import list_suppressed
from gateway.outbound.triggers import choice_of
from gateway.settings.workshop import Workshop
from gateway.store.assets import get_logo
from gateway.store.database import Database
from gateway.store.domains import add_domain, get_domain
from gateway.store.mailboxes import get_mailbox, open_mailbox_secret
from gateway.store.routes import get_server, open_secret
from gateway.store.schema import message
from gateway.store.template_settings import list_settings
from gateway.store.tenants import find_login, get_tenant, list_identities, verify_password
from gateway.store.trials import begin_trial, get_trial, note_steps
from gateway.store.users import find_user, list_people

PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"
    b"\0\0\0\nIDATx\x9cc\0\x01\0\0\x05\0\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82"
)


# -- users, credentials


def test_a_user_is_added_with_a_password_that_is_shown_once_and_works(admin: Admin, database: Database) -> None:
    page = admin.post("/settings/users", 200, email="Noua@alfa.example", name="Noua", role="clerk")
    [password] = re.findall(r'<div class="secret".*?<code>([^<]+)</code>', page, re.S)
    found = database.read_now(find_user, "noua@alfa.example")
    assert found and verify_password(found[1], password) and found[0].role == "clerk"
    assert password not in admin.get("/settings/users")
    assert "este deja utilizator" in admin.post("/settings/users", 422, email="noua@alfa.example")


def test_a_changed_role_ends_the_sessions_of_its_user(app: FastAPI, admin: Admin, database: Database) -> None:
    admin.post("/settings/users", 200, email="alt@alfa.example", role="clerk")
    clerk = Admin(app, "alt@alfa.example")
    clerk.get("/inbox")
    found = database.read_now(find_user, "alt@alfa.example")
    assert found
    admin.post(f"/settings/users/{found[0].id}", role="auditor", may="yes")
    assert clerk.browser.get("/inbox").status_code == 303
    admin.post(f"/settings/users/{found[0].id}", role="auditor")
    assert database.read_now(find_user, "alt@alfa.example") is None, "who may not log in is not found"
    assert "nu se poate autentifica" in admin.get("/settings/users")


def test_the_last_administrator_stays_one(admin: Admin, database: Database, house: House) -> None:
    [me] = [one for one in database.read_now(list_people, house.tenant) if one.role == "admin"]
    for form in ({"role": "clerk", "may": "yes"}, {"role": "admin"}):
        assert "ultimul administrator" in admin.post(f"/settings/users/{me.id}", 422, **form)
    admin.get("/settings/users")


def test_a_login_for_a_billing_system_is_shown_once_works_and_is_revoked(admin: Admin, database: Database) -> None:
    page = admin.post("/settings/credentials", 200, label="1C", username="alfa-1c")
    [password] = re.findall(r'<div class="secret".*?<code>([^<]+)</code>', page, re.S)
    login = database.read_now(find_login, "alfa-1c")
    assert login and verify_password(login[2], password)
    assert password not in admin.get("/settings/credentials")
    admin.post("/settings/credentials/revoke", username="alfa-1c")
    assert database.read_now(find_login, "alfa-1c") is None
    assert "nu este o rețea" in admin.post("/settings/credentials", 422, networks="everything")


# -- stopped addresses, company


def test_addresses_are_stopped_found_exported_imported_and_let_go(
    admin: Admin, database: Database, house: House
) -> None:
    admin.post("/settings/suppressions", address="Stop@client.example", why="cerut", what="block")
    [entry] = [one for one in database.read_now(list_suppressed, house.tenant) if one.address == "stop@client.example"]
    assert entry.reason == "blocked" and entry.evidence == "ion@alfa.example: cerut"
    assert "stop@client.example" in admin.get("/settings/suppressions?part=stop")
    assert "stop@client.example" not in admin.get("/settings/suppressions?part=nobody")
    csv = "address,reason\nnou@client.example,mailbox_unknown\n=1+1,\n"
    page = admin.post("/settings/suppressions/import", 200, files={"file": ("list.csv", csv.encode())})
    assert "1 adăugate, 0 existau deja, 1 omise" in page
    out = admin.browser.get("/settings/suppressions.csv")
    assert "nou@client.example" in out.text and out.headers["content-disposition"].startswith("attachment")
    admin.post("/settings/suppressions/remove", address="stop@client.example")
    admin.post("/settings/suppressions/remove", 404, address="stop@client.example")


def test_an_upload_needs_the_token_our_origin_and_a_small_file(admin: Admin) -> None:
    path, file = "/settings/company/logo", {"file": ("a.png", PNG)}
    for data, headers in (({"csrf": "wrong"}, FORM), ({"csrf": admin.csrf}, {"origin": "https://evil.example"})):
        assert admin.browser.post(path, data=data, files=file, headers=headers).status_code == 403
    admin.post(path, 413, files={"file": ("a.png", PNG + b"x" * 400_000)})
    assert admin.browser.post(path, data={"csrf": admin.csrf}, headers=FORM).status_code == 415


def test_the_company_and_its_logo_are_changed_and_what_is_wrong_is_said(
    admin: Admin, database: Database, house: House
) -> None:
    form = {"company": "Alfa Nouă SRL", "contact_email": "c@alfa.example", "language": "ro",
            "timezone": "Europe/Chisinau", "colour": "#1f4fa3", "einvoice": "on"}  # fmt: skip
    admin.post("/settings/company", **form)
    tenant = database.read_now(get_tenant, house.tenant)
    assert tenant and tenant.company == "Alfa Nouă SRL" and tenant.brand["colour"] == "#1f4fa3"
    assert tenant.options["einvoice"] == "factur-x"
    admin.post("/settings/company", **{name: text for name, text in form.items() if name != "einvoice"})
    assert "nu are forma #1a2b3c" in admin.post("/settings/company", 422, **form | {"colour": "red"})
    admin.post("/settings/company/logo", files={"file": ("a.png", PNG)})
    assert database.read_now(get_logo, house.tenant) == PNG
    assert admin.browser.get("/settings/company/logo").headers["content-type"] == "image/png"
    assert "nici PNG, nici JPEG" in admin.post("/settings/company/logo", 422, files={"file": ("a.svg", b"<svg/>")})
    admin.post("/settings/company/logo/remove")
    assert database.read_now(get_logo, house.tenant) is None


# -- templates, triggers


def test_a_template_is_switched_and_its_pdf_left_out(admin: Admin, database: Database, house: House) -> None:
    admin.post("/settings/templates", template="statement", enabled="on")
    choice = choice_of("statement", database.read_now(list_settings, house.tenant))
    assert choice.enabled and not choice.attach_pdf
    admin.post("/settings/templates", 404, template="no_such")
    page = admin.get("/settings/templates")
    for name in ("Factură nouă", "Memento de plată întârziată", "Mulțumesc", "Incorporarea planului de plată"):
        assert name in page


def test_a_text_is_tried_kept_previewed_and_forgotten(admin: Admin, database: Database, house: House) -> None:
    here, mine = "/settings/templates/new_invoice", "Contul {{ number }} de la noi"
    shown = admin.post(f"{here}/mail", 200, language="ro", subject=mine)
    assert re.search("Contul .+ de la noi", shown)
    assert ("new_invoice", "ro") not in database.read_now(list_settings, house.tenant), "a preview keeps nothing"
    page = admin.post(here, 200, language="ro", subject=mine, action="save")
    assert "Am salvat. Totuși, verificați:" in page, "it is another sentence than in ru and en"
    assert database.read_now(list_settings, house.tenant)["new_invoice", "ro"]["subject"] == mine
    assert re.search("Contul .+ de la noi", admin.get(f"{here}/mail?language=ro"))
    page = admin.post(here, 422, language="ro", subject="{{ nothing_known }}", action="save")
    assert "nothing_known" in page
    assert database.read_now(list_settings, house.tenant)["new_invoice", "ro"]["subject"] == mine
    admin.post(here, language="ro", action="default")
    assert not database.read_now(list_settings, house.tenant)["new_invoice", "ro"]


def test_previews_stand_in_a_sandbox_and_dark_mode_is_decided_here(admin: Admin) -> None:
    here = "/settings/templates/new_invoice/mail?language=ru&look="
    light, dark = (admin.browser.get(f"{here}{look}") for look in ("desktop", "dark"))
    for answer in (light, dark):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'") and "allow-" not in policy
        assert "prefers-color-scheme: dark)" not in answer.text
    assert "@media not all" in light.text and "@media all" in dark.text
    assert "<pre" in admin.get(f"{here}text")
    assert admin.browser.get("/settings/templates/new_invoice/mail.pdf").content.startswith(b"%PDF")
    assert all('sandbox=""' in one for one in re.findall("<iframe[^>]*>", admin.get("/settings/templates/new_invoice")))


def test_a_test_mail_goes_to_whoever_asks(admin: Admin, database: Database, house: House) -> None:
    assert "done=sent" in admin.post("/settings/templates/new_invoice", language="ro", action="test")
    query = select(message.c.recipients, message.c.subject).where(message.c.tenant_id == house.tenant)
    rows = database.read_now(lambda tx: tx.all(query.where(message.c.subject.startswith("[Test]"))))
    assert [row[0] for row in rows] == ["ion@alfa.example"]


def test_triggers_and_reminders_are_set_and_looked_ahead(admin: Admin, database: Database, house: House) -> None:
    assert "Trimite automat atunci când se emite o nouă factură" in admin.get("/settings/triggers")
    admin.post("/settings/triggers", group="issue", new_invoice="on")
    settings = database.read_now(list_settings, house.tenant)
    assert choice_of("new_invoice", settings).automatic and not choice_of("estimate", settings).automatic
    assert choice_of("payment_receipt", settings).automatic, "the other group stays as it was"
    admin.post("/settings/triggers/reminders", template="unpaid_invoice", days_before="5", every_days="2", maximum="3")
    choice = choice_of("unpaid_invoice", database.read_now(list_settings, house.tenant))
    assert (choice.days_before, choice.every_days, choice.maximum, choice.start) == (5, 2, 3, "2026-11-24")
    wrong = {"template": "unpaid_invoice", "days_before": "900"}
    assert "nu este un număr" in admin.post("/settings/triggers/reminders", 422, **wrong)
    admin.post("/settings/triggers/hour", hour="11")
    tenant = database.read_now(get_tenant, house.tenant)
    assert tenant and tenant.options["reminder_hour"] == 11
    assert "nu se trimite nimic" in admin.get("/settings/triggers/forecast?on=2026-12-01")


# -- delivery


SERVER = {"host": "smtp.alfa.example", "security": "starttls", "username": "office@alfa.example"}


def test_a_server_is_kept_its_secret_never_comes_back_and_no_other_host_gets_it(
    admin: Admin, database: Database, house: House, workshop: Workshop
) -> None:
    here = "/settings/delivery/server"
    admin.post(here, **SERVER, password="s3cret-of-alfa")
    kept = database.read_now(get_server, house.tenant)
    assert kept and kept.server.port == 587 and kept.server.address == "office@alfa.example"
    tenant = database.read_now(get_tenant, house.tenant)
    assert tenant and tenant.sending == "own"
    assert "s3cret-of-alfa" not in admin.get(here)
    admin.post(here, **SERVER, fallback="30m")  # the password stays
    assert database.read_now(open_secret, workshop.seal, house.tenant).password == "s3cret-of-alfa"
    assert "parola este goală" in admin.post(here, 422, **SERVER | {"host": "smtp.evil.example"})
    admin.post("/settings/delivery/server/fallback", fallback="always")
    kept = database.read_now(get_server, house.tenant)
    assert kept and kept.server.fallback == "always"
    assert "office@alfa.example" in admin.get("/settings/delivery")
    admin.post("/settings/delivery/server/remove")
    assert database.read_now(get_server, house.tenant) is None


def test_nobody_sends_as_the_gateway_itself(admin: Admin, database: Database, house: House) -> None:
    form = SERVER | {"username": "boss@gateway.test", "password": "x"}
    admin.post("/settings/delivery/server", 422, **form)
    for name in ("gateway.test", "sub.gateway.test", "inbox.gateway.test"):
        admin.post("/settings/domains", 422, name=name)
    for address in ("boss@gateway.test", "boss@unknown.example"):
        admin.post("/settings/delivery/authors", 422, address=address)
    assert not {"boss@gateway.test", "boss@unknown.example"} & set(database.read_now(list_identities, house.tenant))


def test_a_consent_begins_at_the_providers_own_address(admin: Admin) -> None:
    form = {"security": "tls", "username": "office@alfa.example", "client_id": "id-1"}
    to = admin.post("/settings/delivery/server", provider="google", **form)
    assert to.startswith("https://accounts.google.com/") and "settings%2Fdelivery%2Foauth" in to
    to = admin.post("/settings/delivery/server", provider="microsoft", **form)
    assert to.startswith("https://login.microsoftonline.com/common/")
    admin.post("/settings/delivery/server", 422, provider="microsoft", directory="x/../evil", **form)
    admin.post("/settings/delivery/server", 400, provider="custom", **form)
    answer = admin.browser.get("/settings/delivery/oauth?code=c&state=forged")
    assert answer.status_code == 422


def test_a_domain_shows_its_records_and_its_authors_are_its_own(admin: Admin, database: Database, house: House) -> None:
    assert admin.post("/settings/domains", name="Alfa.example").startswith("/settings/domains/alfa.example")
    page = admin.get("/settings/domains/alfa.example")
    assert "v=DKIM1" in page and "._domainkey.alfa.example" in page and "_dmarc.alfa.example" in page
    admin.post("/settings/delivery/authors", address="facturi@alfa.example")
    assert "facturi@alfa.example" in database.read_now(list_identities, house.tenant)
    admin.post("/settings/delivery/authors", address="facturi@alfa.example", action="remove")
    database.write_now(add_domain, NOW, house.other, "beta.example")
    assert "aparține altei companii" in admin.post("/settings/domains", 422, name="beta.example")
    assert database.read_now(get_domain, house.tenant, "beta.example") is None


def test_a_mailbox_is_added_changed_and_removed(
    admin: Admin, database: Database, house: House, workshop: Workshop
) -> None:
    form = {"host": "imap.alfa.example", "username": "office@alfa.example", "takes": "reports_and_replies"}
    admin.post("/settings/mailboxes/new", name="office", password="imap-secret", **form)
    box = database.read_now(get_mailbox, house.tenant, "office")
    assert box and box.account.port == 993 and box.account.folder == "INBOX"
    assert "imap-secret" not in admin.get("/settings/mailboxes/office")
    admin.post("/settings/mailboxes/office", after="seen", **form)
    secret = database.read_now(open_mailbox_secret, workshop.seal, house.tenant, "office")
    assert secret.password == "imap-secret"
    admin.post("/settings/mailboxes/office", 422, **form | {"host": "imap.evil.example"})
    admin.post("/settings/mailboxes/office/remove")
    assert database.read_now(get_mailbox, house.tenant, "office") is None


def test_a_trial_is_told_as_it_goes_and_runs_once_at_a_time(admin: Admin, database: Database, house: House) -> None:
    admin.post("/settings/delivery/server", **SERVER, password="x")
    assert database.write_now(begin_trial, NOW, house.tenant, "server", "ion@alfa.example")
    assert not database.write_now(begin_trial, NOW, house.tenant, "server", "other")
    steps = [("connection", "ok", "smtp.alfa.example:587, <TLS>")]
    database.write_now(note_steps, house.tenant, "server", steps, None)
    answer = admin.browser.get("/settings/delivery/server")
    assert answer.headers["refresh"] == "2", "without a script, the page looks again"
    assert "Conexiunea și autentificarea" in answer.text and "&lt;TLS&gt;" in answer.text
    database.write_now(note_steps, house.tenant, "server", [*steps, ("mail", "wrong", "550 no")], NOW)
    answer = admin.browser.get("/settings/delivery/server")
    assert "refresh" not in answer.headers and "550 no" in answer.text
    later = NOW + timedelta(minutes=11)
    assert database.write_now(begin_trial, later, house.tenant, "server", "other"), "one that died is no hindrance"
    found = database.read_now(get_trial, house.tenant, "server")
    assert found and found.steps == ()
    admin.post("/settings/delivery/server/remove")
