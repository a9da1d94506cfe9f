"""`gateway customer` as an admin types it: who is billed, at which addresses, in which language; reminders again."""

import json
from pathlib import Path

import pytest
from journeys.forked import ROOT
from journeys.shell import Shell

from gateway.store.customers import opt_out
from gateway.store.database import Database
from gateway.store.tenants import find_tenant

DOCUMENT = ROOT / "tests" / "corpus" / "documents" / "invoice_ro.json"
KEY = "id:c-1"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An installation whose one tenant has handed an invoice of one customer over."""
    made = Shell(tmp_path_factory.mktemp("cli-customer"))
    made("init", "--domain", "gateway.test")
    made("tenant", "add", "acme", "--company", "Acme Servicii SRL", "--contact", "office@acme.test")
    path = made.folder / "invoice.json"
    invoice = json.loads(DOCUMENT.read_text("utf-8"))
    contacts = [{"name": "Ana Rusu", "email": "Ana@client.test"}]
    invoice["customer"] = {"id": "c-1", "name": "Codrul Verde SRL", "contacts": contacts}
    path.write_text(json.dumps(invoice), "utf-8")
    made("send", str(path))
    return made


def database_of(shell: Shell) -> Database:
    return Database(f"sqlite:///{Path(shell.data) / 'gateway.db'}")


def test_customers_are_listed_and_found_by_name_key_and_address(shell: Shell) -> None:
    assert [one["key"] for one in shell("customer", "list", "--json").json] == [KEY]
    for words in ("Codrul", "c-1", "ana@client"):
        assert "Codrul Verde SRL" in shell("customer", "list", words).out
    assert "no customers" in shell("customer", "list", "%").out


def test_a_customer_is_shown_with_its_contacts(shell: Shell) -> None:
    found = shell("customer", "show", KEY, "--json").json
    assert (found["name"], found["opted_out_at"]) == ("Codrul Verde SRL", None)
    [contact] = found["contacts"]
    assert (contact["email"], contact["role"], contact["source"]) == ("Ana@client.test", "to", "document")
    assert "Ana Rusu" in shell("customer", "show", KEY).out


def test_an_unknown_customer_is_refused_with_what_is_near(shell: Shell) -> None:
    assert "did you mean id:c-1?" in shell("customer", "show", "c-1", status=1).err
    assert "gateway customer list" in shell("customer", "resume", "id:nobody", status=1).err


def test_language_and_contacts_are_set_and_forgotten(shell: Shell) -> None:
    assert "language ru" in shell("customer", "set", KEY, "--language", "ru").out
    assert shell("customer", "set", KEY, "--no-language", "--json").json["language"] == ""
    shell("customer", "set", KEY, status=2)
    shell("customer", "contact", "add", KEY, "ion@client.test", "--role", "cc", "--name", "Ion", "--language", "en")
    rows = {one["email"]: one for one in shell("customer", "show", KEY, "--json").json["contacts"]}
    added = rows["ion@client.test"]
    assert (added["role"], added["name"], added["language"], added["source"]) == ("cc", "Ion", "en", "tenant")
    assert "not a mail address" in shell("customer", "contact", "add", KEY, "ion@", status=1).err
    assert shell("customer", "contact", "remove", KEY, "Ion@client.test", "--json").json["removed"]
    assert "has no contact" in shell("customer", "contact", "remove", KEY, "ion@client.test", status=1).err


def test_reminders_are_turned_on_again_once(shell: Shell) -> None:
    database = database_of(shell)
    tenant = database.read_now(find_tenant, "acme")
    assert tenant is not None
    database.write_now(opt_out, 1_700_000_000_000, tenant.id, KEY, "one click in the mail program")
    database.close()
    assert shell("customer", "show", KEY, "--json").json["opted_out_why"] == "one click in the mail program"
    assert "gets reminders again" in shell("customer", "resume", KEY).out
    assert shell("customer", "resume", KEY, "--json").json["resumed"] is False
