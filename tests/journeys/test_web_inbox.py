"""What clerks do in the inbox, through its pages without a script: on SQLite, in one process."""

import re
from datetime import timedelta

import pytest
from fastapi import FastAPI
from journeys.inbox_seed import NOW, House
from journeys.test_web import FORM, Clock, log_in, new_thread, token
from starlette.testclient import TestClient

from gateway.inbound.destinations import Destination, Names
from gateway.inbound.reception import take
from gateway.inbox.reading import read_thread
from gateway.mail.received import read_mail
from gateway.outbound.queue import hold
from gateway.store.database import Database, to_ms
from gateway.store.mailbox_account import OF_MAILBOX
from gateway.store.messages import get_message
from gateway.store.threads import add_thread, get_thread


@pytest.fixture
def clerk(app: FastAPI) -> TestClient:
    return log_in(app, language="ro")


def test_images_load_only_when_asked_for_and_learn_of_no_page_of_ours(clerk: TestClient, house: House) -> None:
    thread, mail = house.threads["paid"], house.messages["answer"]
    page = clerk.get(f"/inbox/{thread}").text
    assert "?images=1" not in page and f"?images={mail}#" in page
    page = clerk.get(f"/inbox/{thread}?images={mail}").text
    assert re.findall(r'src="(/inbox/[^"]*)\?images=1"', page) == [f"/inbox/messages/{mail}/html"]
    answer = clerk.get(f"/inbox/messages/{mail}/html?images=1")
    policy = answer.headers["content-security-policy"]
    assert "img-src https: data:;" in policy and policy.startswith("sandbox; default-src 'none'")
    assert "allow-" not in policy and "script-src" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "http://t.example" not in answer.text and "<script" not in answer.text  # not by https: left out for good


def act(clerk: TestClient, action: str, *threads: str, **more: str) -> str:
    """Do it as the list's form does; where the browser is sent."""
    form = {"csrf": token(clerk.get("/inbox").text), "action": action, **{f"t.{one}": "1" for one in threads}, **more}
    answer = clerk.post("/inbox/act", data=form, headers=FORM)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def test_many_threads_are_done_at_once_and_come_back_within_ten_seconds(
    clerk: TestClient, house: House, database: Database, clock: Clock
) -> None:
    ids = [database.write_now(new_thread, house.tenant, f"bulk {n}") for n in range(50)]  # as many as a page shows
    sent = act(clerk, "close", *ids)
    page = clerk.get(sent).text
    undo = re.search(r'name="undo" value="([^"]+)"', page)
    assert undo and 'data-seconds="10"' in page
    assert {database.read_now(get_thread, house.tenant, one).state for one in ids} == {"closed"}  # type: ignore[union-attr]
    form = {"csrf": token(page), "undo": undo[1]}
    assert clerk.post("/inbox/undo", data=form, headers=FORM).status_code == 303
    assert {database.read_now(get_thread, house.tenant, one).state for one in ids} == {"open"}  # type: ignore[union-attr]
    late = re.search(r'name="undo" value="([^"]+)"', clerk.get(act(clerk, "close", *ids)).text)
    assert late
    clock.now += timedelta(seconds=16)  # and five for a click on its way
    answer = clerk.post("/inbox/undo", data={"csrf": form["csrf"], "undo": late[1]}, headers=FORM)
    assert answer.status_code == 409 and "prea târziu" in answer.text


def test_a_thread_is_put_off_until_the_morning_of_a_day_assigned_and_tagged(
    clerk: TestClient, house: House, database: Database
) -> None:
    one = database.write_now(new_thread, house.tenant, "to put off")
    act(clerk, "assign", one, to="maria@alfa.example")
    act(clerk, "tag", one, tag="Avocat ")
    act(clerk, "snooze", one, until="2026-11-30")
    found = database.read_now(get_thread, house.tenant, one)
    assert found and found.snoozed_until and found.snoozed_until.isoformat() == "2026-11-30T06:00:00+00:00"
    assert "to put off" in clerk.get("/inbox?view=snoozed").text
    page = clerk.get(f"/inbox/{one}").text
    assert ">avocat<" in page and "Maria Ceban" in page
    act(clerk, "reopen", one)
    assert "to put off" in clerk.get("/inbox?view=mine").text
    form = {"csrf": token(page), "action": "snooze", f"t.{one}": "1"}
    for until in ("", "yesterday", "2026-11-23", "2031-01-01"):
        assert clerk.post("/inbox/act", data=form | {"until": until}, headers=FORM).status_code == 409, until


def test_a_note_is_kept_and_a_promise_lets_the_thread_wait(clerk: TestClient, house: House, database: Database) -> None:
    one = house.threads["bounced"]
    form = {"csrf": token(clerk.get("/inbox").text)}
    assert clerk.post(f"/inbox/{one}/note", data=form | {"text": "<b>sunat</b>"}, headers=FORM).status_code == 303
    assert "&lt;b&gt;sunat&lt;/b&gt;" in clerk.get(f"/inbox/{one}").text
    assert clerk.post(f"/inbox/{one}/note", data=form | {"text": " "}, headers=FORM).status_code == 409
    promised = form | {"on": "2026-12-04", "amount": "1.200,50"}
    assert clerk.post(f"/inbox/{one}/promise", data=promised, headers=FORM).status_code == 303
    found = database.read_now(read_thread, house.tenant, one)
    assert found and (found.thread.state, found.thread.promised_on) == ("waiting", "2026-12-04")
    assert "1.200,50 MDL" in clerk.get(f"/inbox/{one}").text.replace("\u00a0", " ")
    assert clerk.post(f"/inbox/{one}/promise", data=promised | {"amount": "much"}, headers=FORM).status_code == 409
    assert clerk.post(f"/inbox/{one}/promise", data=form | {"forget": "1"}, headers=FORM).status_code == 303
    found = database.read_now(read_thread, house.tenant, one)
    assert found and found.thread.promised_on == ""


def test_two_clerks_see_each_other_and_nobody_sees_themselves(app: FastAPI, clerk: TestClient, house: House) -> None:
    one = house.threads["late"]
    clerk.get(f"/inbox/{one}")
    part = log_in(app, "audit@alfa.example", "en").get(f"/inbox/{one}/presence").text
    assert "Maria Ceban is looking at it too." in part and "Auditor" not in part and "<html" not in part
    assert "Ion Auditor" in clerk.get(f"/inbox/{one}").text


def test_scheduled_mail_goes_now_or_never(clerk: TestClient, house: House, database: Database) -> None:
    message = house.messages["waiting"]
    database.write_now(hold, to_ms(NOW), house.tenant, (message, 0), "looked at first")
    page = clerk.get("/inbox?view=scheduled").text
    assert "looked at first" in page and message in page
    form = {"csrf": token(page), "message": message}
    assert clerk.post("/inbox/scheduled", data=form | {"action": "send"}, headers=FORM).status_code == 303
    assert message not in clerk.get("/inbox?view=scheduled").text
    assert clerk.post("/inbox/scheduled", data=form | {"action": "cancel"}, headers=FORM).status_code == 303
    assert database.read_now(get_message, house.tenant, message)
    assert "anulat" in clerk.get(f"/inbox/{house.threads['waiting']}").text


AWAY = b"""From: Ana <ana@client.example>\r
Message-ID: <away@client.example>\r
Date: Tue, 24 Nov 2026 11:00:00 +0200\r
Auto-Submitted: auto-replied\r
Subject: Automatic reply\r
\r
I am out of office until 3 December 2026. Please contact maria@client.example.\r
"""


def test_an_out_of_office_line_is_read_without_opening_the_answer(
    clerk: TestClient, database: Database, house: House
) -> None:
    thread = house.threads["late"]
    to = Destination(house.tenant, thread)
    database.write_now(take, Names("r.test", "i.test", b"k"), AWAY, read_mail(AWAY), to, NOW, "")
    page = clerk.get(f"/inbox/{thread}").text
    folded = page[page.index("Automatic reply") :]
    line = folded[folded.index("</details>") :].partition("</article>")[0]
    assert "Lipsește până la 03.12.2026." in line and "maria@client.example" in line


def test_the_alarm_of_a_mailbox_says_where_mail_is_and_names_no_customer(
    clerk: TestClient, database: Database, house: House
) -> None:
    key = OF_MAILBOX + "facturi"
    made = database.write_now(add_thread, to_ms(NOW), house.tenant, key=key, subject="IMAP facturi", customer="facturi")
    page = clerk.get(f"/inbox/{made}").text
    assert "Cât timp căsuța nu poate fi citită" in page and 'class="facts"' not in page
    assert "/settings/mailboxes/" not in page  # a clerk may not open them
