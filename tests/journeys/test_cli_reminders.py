"""`gateway reminders` as an admin types it: what would go and why not, and what stops it."""

import base64
import json
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from journeys.forked import ROOT
from journeys.shell import Shell

DOCUMENT = ROOT / "tests" / "corpus" / "documents" / "invoice_ro.json"
TODAY = datetime.now(ZoneInfo("Europe/Chisinau")).date()  # the tenant's
DUE = TODAY + timedelta(days=20)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An installation with a tenant that reminds seven days after an invoice was due, and two stored invoices."""
    made = Shell(tmp_path_factory.mktemp("cli-reminders"))
    made("init", "--domain", "gateway.test")
    made("tenant", "add", "acme", "--company", "Acme Servicii SRL", "--contact", "office@acme.test")
    made("template", "set", "late_payment_reminder", "--every-days", "7", "--maximum", "3")
    for number in (1, 2):
        store(made, number)
    return made


def store(shell: Shell, number: int, **changes: Any) -> None:
    """Hand an invoice over that is only stored, as a billing system does."""
    invoice = json.loads(DOCUMENT.read_text("utf-8")) | {
        "id": f"inv_{number}", "number": f"CP-{number}", "issue_date": TODAY.isoformat(), "due_date": DUE.isoformat(),
        "status": "open",
    } | changes  # fmt: skip
    invoice["customer"] = {"id": f"c-{number}", "name": "Codrul Verde", "contacts": [{"email": "ana@client.test"}]}
    invoice = {name: value for name, value in invoice.items() if value is not None}
    body = base64.encodebytes(json.dumps(invoice).encode()).decode()
    head = "From: billing@acme.test\nTo: send@inbox.gateway.test\nContent-Transfer-Encoding: base64\n"
    head += "X-AR-Template: none\nContent-Type: application/vnd.ar-gateway.document+json\n\n"
    said = shell("send", "--json", "-", given=head + body).json
    assert "Stored only" in said[0]["text"], said


def dry_run(shell: Shell, day: date) -> dict[str, tuple[str, str]]:
    rows = shell("reminders", "--dry-run", "--on", day.isoformat(), "--json").json
    return {row["document"]: (row["result"], row["reason"]) for row in rows}


def test_a_template_shows_its_reminders_and_refuses_what_is_none(shell: Shell) -> None:
    [late] = [r for r in shell("template", "list", "--json").json if r["template"] == "late_payment_reminder"]
    assert (late["every_days"], late["maximum"]) == (7, 3)
    assert late["start"] >= TODAY.isoformat(), "documents from before are not reminded of"
    assert "reminds of nothing" in shell("template", "set", "statement", "--every-days", "7", status=1).err
    assert "from 0 to 365" in shell("template", "set", "estimate", "--every-days", "-1", status=1).err
    assert "write 2026-12-01" in shell("template", "set", "estimate", "--start", "1.12.2026", status=1).err
    assert "0 to 23" in shell("tenant", "set", "acme", "--reminder-hour", "24", status=1).err
    shell("tenant", "set", "acme", "--reminder-hour", "10")


def test_a_dry_run_says_what_goes_on_a_day_and_why_the_rest_does_not(shell: Shell) -> None:
    assert "nothing is due" in shell("reminders", "--dry-run").out
    late = DUE + timedelta(days=7)
    assert dry_run(shell, late) == {"invoice/inv_1": ("would go", ""), "invoice/inv_2": ("would go", "")}
    shell("reminders", "pause", "invoice/inv_1", "--why", "still talking")
    shell("reminders", "promise", "invoice/inv_2", "--on", (late + timedelta(days=1)).isoformat())
    assert dry_run(shell, late) == {
        "invoice/inv_1": ("held back", "paused"),
        "invoice/inv_2": ("held back", "promised"),
    }
    assert "reminders are paused: still talking" in shell("reminders", "run", "--dry-run", "--on", str(late)).out
    for name in ("invoice/inv_1", "invoice/inv_2"):
        assert shell("reminders", "resume", name, "--json").json["changed"]
    assert "nothing was promised" in shell("reminders", "resume", "invoice/inv_1").out
    store(shell, 2, status="voided")
    assert dry_run(shell, late) == {"invoice/inv_1": ("would go", ""), "invoice/inv_2": ("settled", "settled")}


def test_the_list_tells_the_next_reminder_of_open_documents(shell: Shell) -> None:
    store(shell, 3, due_date=None)
    rows = {row["document"]: row for row in shell("reminders", "list", "--json").json}
    assert rows["invoice/inv_3"]["reason"] == "no_day"
    assert rows["invoice/inv_1"]["about"] == DUE.isoformat()
    assert "does not say when it is due" in shell("reminders", "list").out


def test_a_run_hands_over_what_is_due_once(shell: Shell) -> None:
    shell("template", "set", "unpaid_invoice", "--days-before", "20", "--start", "2020-01-01")
    store(
        shell, 4, issue_date=(TODAY - timedelta(days=30)).isoformat(), due_date=(TODAY + timedelta(days=19)).isoformat()
    )
    sent = [row["document"] for row in shell("reminders", "run", "--json").json if row["result"] == "sent"]
    assert sent == ["invoice/inv_4"]
    assert "nothing was due" in shell("reminders", "run").out
    [queued] = shell("queue", "list", "--json").json
    assert queued["recipient"] == "ana@client.test"


def test_what_makes_no_sense_is_refused_in_words(shell: Shell) -> None:
    assert "say --dry-run" in shell("reminders", status=2).err
    assert "--on is for --dry-run" in shell("reminders", "run", "--on", "2026-12-01", status=2).err
    assert "there is no document" in shell("reminders", "pause", "invoice/none", "--why", "x", status=1).err
    store(shell, 2, status="voided")
    late = ("reminders", "promise", "invoice/inv_1", "--on")
    assert "is past" in shell(*late, "2020-01-01", status=1).err
    assert "write 1200.00" in shell(*late, DUE.isoformat(), "--amount", "1,5", status=1).err
    assert "nothing to promise" in shell("reminders", "promise", "invoice/inv_2", "--on", str(DUE), status=1).err
