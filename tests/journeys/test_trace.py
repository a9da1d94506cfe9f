"""`trace` finds a mail by anything a person may hold in hand, and its first line answers "did they get it?"."""

import json
from datetime import timedelta

import pytest
from journeys.inbox_seed import NOW, OK, House, attempt, send
from journeys.pages import Seeded

from gateway.inbox.listing import VIEWS, list_page
from gateway.inbox.trace import to_json, to_text, trace
from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.queue import cancel, find_deliveries, hold, report, settle
from gateway.outbound.retry import Retry
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.tenants import list_tenants


@pytest.fixture(scope="module")
def seeded(seeded_on_each: Seeded) -> Seeded:
    """On both databases."""
    return seeded_on_each


def first(database: Database, house: House, query: str) -> str:
    return database.read_now(trace, house.tenant, query)[0].answers[0]


def test_did_they_get_invoice_117(database: Database, house: House) -> None:
    assert first(database, house, "2026-0117") == (
        "ana@client.example: accepted by mx.client.example at 2026-11-23 08:30:00 (250 2.0.0 OK queued as 4Bx7Qk2)"
    )


@pytest.mark.parametrize(
    "query",
    [
        "{mail}", "{MAIL}", "{mail}.1", "{thread}", "2026-0117", "inv_117", "invoice/inv_117", "ana@client.example",
        "Ana@Client.example", "<{mail}@mail.gateway.example>", "{mail}@mail.gateway.example", "paid@billing.example",
        "<paid@billing.example>", "{token}", "b+{token}@return.gateway.example", " {mail} ",
    ],
)  # fmt: skip
def test_one_mail_is_found_by_all_its_names(database: Database, house: House, query: str) -> None:
    mail, token = house.messages["paid"], house.tokens["ana@client.example"]
    names = {"mail": mail, "MAIL": mail.upper(), "thread": house.threads["paid"]}
    found = database.read_now(trace, house.tenant, query.format(token=token, **names))
    if "token" in query:  # the last mail to ana is beta's: its token says nothing to alfa
        assert house.messages["foreign"] not in [made.message_id for made in found]
        return
    assert [made.message_id for made in found] == [mail]


def test_a_return_path_finds_its_recipient_alone(database: Database, house: House) -> None:
    [found] = database.read_now(trace, house.tenant, house.tokens["director@vechi.example"])
    assert found.message_id == house.messages["bounced"]
    assert len(found.answers) == 1 and found.answers[0].startswith("director@vechi.example: accepted by")
    assert {line.number for line in found.lines} == {0, 2}


def test_a_reply_is_found_by_its_own_message_id_and_told_in_the_mail_it_answers(
    database: Database, house: House
) -> None:
    [found] = database.read_now(trace, house.tenant, "<answer@mail.client.example>")
    assert found.direction == "in" and found.answers[0].startswith("received from Ana Rusu <ana@client.example>")
    [sent] = database.read_now(trace, house.tenant, "inv_117")
    said = [(line.what, line.text) for line in sent.lines]
    assert ("reply.received", "reply from Ana Rusu <ana@client.example>: Re: Cont de plată 2026-0117 de la Alfa "
            "Consulting SRL") in said  # fmt: skip
    assert ("message.accepted", "accepted from billing-1c, recipients: 1, 457 bytes") in said
    assert [what for what, _ in said][-1] == "thread.opened"
    assert [line.at for line in sent.lines] == sorted(line.at for line in sent.lines)


def test_nothing_of_another_tenant_is_found_by_any_name(database: Database, house: House) -> None:
    for query in (house.messages["foreign"], house.threads["foreign"], "foreign@billing.example",
                  house.tokens["ana@client.example"], "foreign answer@mail.client.example"):  # fmt: skip
        assert database.read_now(trace, house.tenant, query) == ()
    [tenant] = [t for t in database.read_now(list_tenants) if t.id == house.other]
    assert len(database.read_now(trace, tenant.id, "2026-0117")) == 1


@pytest.mark.parametrize(
    "query", ["", "  ", "<>", "@", "x" * 5000, "'; drop table event; --", "%", "0" * 20, "no@body.example"]
)
def test_what_means_nothing_finds_nothing(database: Database, house: House, query: str) -> None:
    assert database.read_now(trace, house.tenant, query) == ()


def test_bounces_tell_the_reason_the_words_and_that_it_had_been_accepted(database: Database, house: House) -> None:
    assert first(database, house, "2026-0119") == (
        "facturi@nord.example: bounced at 2026-11-23 11:30:00, mailbox_full (552 5.2.2 mailbox full (quota exceeded)); "
        "mx.client.example had accepted it at 2026-11-22 11:30:00"
    )
    [late] = database.read_now(trace, house.tenant, "2026-0119")
    assert [line.what for line in late.lines] == [
        "message.accepted", "attempt", "recipient.accepted", "report.received", "recipient.bounced", "thread.opened",
    ]  # fmt: skip
    assert "not mailed" in first(database, house, house.threads["suppressed"])
    assert "next attempt at" in first(database, house, "2026-0120")
    assert "450 4.2.0 Greylisted" in first(database, house, "2026-0120")


def test_delivered_is_said_only_after_a_success_report(database: Database, house: House) -> None:
    def go(tx: Transaction) -> None:
        [made] = send(tx, house, "success", NOW, ["dsn@client.example"], subject="With DSN")
        settle(tx, to_ms(NOW), made, attempt(OK), Retry())

    def succeed(tx: Transaction) -> None:
        [made] = find_deliveries(tx, house.tenant, house.messages["success"])
        status = DeliveryStatus(Action.DELIVERED, "2.1.5", 0, "OK", "mx.client.example")
        report(tx, to_ms(NOW + timedelta(minutes=1)), made, status, report_message_id="", trusted=True)

    database.write_now(go)
    [before] = database.read_now(trace, house.tenant, "success@billing.example")
    assert not any(
        "mailbox" in text or "delivered" in text for text in (*before.answers, *(x.text for x in before.lines))
    )
    database.write_now(succeed)
    assert "in the mailbox, reported at 2026-11-24 11:31:00" in first(database, house, "success@billing.example")


def test_held_and_cancelled_mail_says_so(database: Database, house: House) -> None:
    def go(tx: Transaction) -> None:
        [made] = send(tx, house, "held", NOW, ["held@client.example"], subject="Held")
        hold(tx, to_ms(NOW), house.tenant, (made.message_id, 0), "the limit of the day")

    database.write_now(go)
    assert first(database, house, "held@client.example") == "held@client.example: on hold, the limit of the day"
    database.write_now(cancel, to_ms(NOW), house.tenant, (house.messages["held"], 0), "maria")
    assert "cancelled" in first(database, house, "held@client.example")
    [found] = database.read_now(trace, house.tenant, "held@client.example")
    assert "cancelled by maria" in [line.text for line in found.lines]


def test_the_latest_mail_comes_first_and_all_is_plain_json_and_text(database: Database, house: House) -> None:
    found = database.read_now(trace, house.tenant, "contabil@vechi.example")
    assert [made.message_id for made in found] == [house.messages["suppressed"], house.messages["bounced"]]
    plain = json.loads(json.dumps(to_json(found)))
    assert plain[0]["answers"][0].startswith("contabil@vechi.example: not mailed")
    assert {line["what"] for line in plain[1]["timeline"]} >= {"message.accepted", "attempt", "recipient.bounced"}
    lines = to_text(found, "Europe/Chisinau")
    assert lines[0] == found[0].answers[0]


FILLED = ("todo", "unassigned", "bounced", "replies", "sent", "all")  # what the seed has threads for


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_read_page_by_page(database: Database, house: House, view: str) -> None:
    whole = [line.thread.id for line in database.read_now(list_page, house.tenant, view=view).lines]
    seen: list[str] = []
    page = database.read_now(list_page, house.tenant, view=view, limit=2)
    while True:
        seen += [line.thread.id for line in page.lines]
        if not page.cursor:
            break
        page = database.read_now(list_page, house.tenant, view=view, cursor=page.cursor, limit=2)
    assert seen == whole and (whole or view not in FILLED)
    assert database.read_now(list_page, "0" * 20, view=view).lines == ()
