"""Customers through the whole house: learned from mail, mailed when a document names nobody, and free to say no."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from journeys.house import INBOX, Clock, Journey, Place, open_journey
from journeys.letters import Answer, compose, in_thread, read, words
from journeys.web_client import ask

from gateway.demo.samples import document_mail, sample_documents
from gateway.store.customers import Contact, add_contact, get_customer, list_contacts, put_customer
from gateway.store.database import Transaction, to_ms
from gateway.store.documents import get_document, set_customer
from gateway.store.template_settings import change_setting

ANA, ION = "ana@client.test", "ion@client.test"
SEND = f"send@{INBOX}"
WEB = {"port": -1, "public_url": "http://127.0.0.1:8025"}
KEY = "id:c-77"
LINK = re.compile(r"http://127\.0\.0\.1:8025(/preferences/[0-9a-z]{66})")
ONE_CLICK = b"List-Unsubscribe=One-Click"


def document(number: int = 1, type: str = "invoice", **changes: Any) -> dict[str, Any]:
    """An invoice of one customer, who has Ana and, in copy, Ion."""
    found = dict(sample_documents(datetime.now(UTC).date())[0].document)
    made: dict[str, Any] = json.loads(json.dumps(found)) | {
        "id": f"inv_{number}", "number": f"F-{number}", "status": "open", "type": type, "customer": customer(),
    }  # fmt: skip
    made.pop("language", None)
    return made | changes


def customer(*contacts: dict[str, str], **changes: Any) -> dict[str, Any]:
    named = contacts or ({"name": "Ana Rusu", "email": ANA}, {"email": ION, "send": "cc"})
    return {"id": "c-77", "name": "Codrul Verde SRL", "contacts": list(named), **changes}


def unaddressed(**changes: Any) -> dict[str, Any]:
    """The customer as a document says that names no address."""
    return {"id": "c-77", "name": "Codrul Verde SRL", "contacts": [], **changes}


def walk(place: Place, story: Callable[[Journey, Clock], Awaitable[None]], **changes: Any) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock, **changes) as journey:
            await story(journey, clock)

    asyncio.run(run())


async def hand(journey: Journey, made: dict[str, Any], *to: str, **headers: str) -> Answer:
    """Hand a document over, by default "to the contacts of the document"."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await journey.submit(document_mail(made, now=datetime.now(UTC), headers=named), *(to or (SEND,)))
    assert answer.code == 250, answer
    return answer


async def contacts(journey: Journey, key: str = KEY) -> dict[str, tuple[str, str, str]]:
    found = await journey.house.database.read(list_contacts, journey.tenant_id, key)
    return {one.address: (one.role, one.name, one.source) for one in found}


async def thread_of(journey: Journey, number: int = 1, type: str = "invoice") -> str:
    found = await journey.house.database.read(get_document, journey.tenant_id, type, f"inv_{number}")
    assert found is not None
    return found.thread_id


async def reminder(journey: Journey, number: int = 1, to: str = ANA) -> Any:
    """A reminder that arrived, parsed."""
    before = len(journey.arrivals(to))
    await hand(journey, document(number), X_AR_Template="late_payment_reminder")
    return read((await journey.arrival(to, before)).raw)


def path_of(mail: Any) -> str:
    found = LINK.search(str(mail["List-Unsubscribe"]))
    assert found, mail["List-Unsubscribe"]
    return found[1]


async def opted_out(journey: Journey, key: str = KEY) -> str:
    found = await journey.house.database.read(get_customer, journey.tenant_id, key)
    return found.opted_out_why if found and found.opted_out_at else ""


# -- who they are


def test_a_document_makes_its_customer_and_its_contacts_keep_what_the_tenant_said(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await hand(journey, document(1))
        assert await contacts(journey) == {ANA: ("to", "Ana Rusu", "document"), ION: ("cc", "", "document")}
        now = datetime.now(UTC)
        named = {"role": "bcc", "name": "Ion Rusu", "language": ""}
        await journey.write(add_contact, now, journey.tenant_id, KEY, ION, **named)
        maria = {"name": "Maria", "email": "Maria@Client.test"}
        await hand(journey, document(2, customer=customer(maria, {"email": ION, "send": "to"}, name="Codrul Verde SA")))
        assert await contacts(journey) == {
            "maria@client.test": ("to", "Maria", "document"),
            ION: ("bcc", "Ion Rusu", "tenant"),
            ANA: ("alternate", "Ana Rusu", "document"),
        }
        found = await journey.house.database.read(get_customer, journey.tenant_id, KEY)
        assert found is not None and found.name == "Codrul Verde SA"
        stored = await journey.house.database.read(get_document, journey.tenant_id, "invoice", "inv_2")
        assert stored is not None and stored.customer_key == KEY
        assert await journey.house.database.read(get_customer, journey.other_id, KEY) is None

    walk(place, story)


def test_a_composed_mail_with_the_fields_makes_its_customer_and_one_without_makes_none(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        before = (await journey.counts())["customer"]
        await journey.queue(compose(to=ANA), ANA)
        assert (await journey.counts())["customer"] == before
        named = [("X-AR-Customer", "c-9"), ("X-AR-Customer-Name", "Vlad SRL"), ("X-AR-Document", "invoice/x9")]
        raw = compose(to=f"Vlad <{ION}>", headers=[*named, ("Cc", ANA)])
        await journey.queue(raw, ION, ANA, "archive@acme.test")
        assert await contacts(journey, "id:c-9") == {ION: ("to", "Vlad", "document"), ANA: ("cc", "", "document")}
        stored = await journey.house.database.read(get_document, journey.tenant_id, "invoice", "x9")
        assert stored is not None and stored.customer_key == "id:c-9"

    walk(place, story)


# -- whom a document goes to, and in which language


def test_a_document_without_an_address_goes_to_the_customers_known_contacts_and_says_so(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await hand(journey, document(1))
        await journey.arrival(ANA)
        await journey.write(_add_alternate)
        answer = await hand(journey, document(2, customer=unaddressed()))
        assert f"goes to the customer's known contacts ({ANA}, {ION})" in answer.text
        arrived = read((await journey.arrival(ANA, 1)).raw)
        assert (arrived["To"], arrived["Cc"]) == (f"Ana Rusu <{ANA}>", ION)
        [accepted] = await journey.events(await thread_of(journey, 2), "message.accepted")
        assert "known contacts" in accepted.data["reply"]
        assert (await contacts(journey))["old@client.test"][0] == "alternate"
        assert journey.arrivals("old@client.test") == []

    def _add_alternate(tx: Transaction) -> None:
        now = datetime.now(UTC)
        add_contact(tx, now, journeys_tenant[0], KEY, "old@client.test", role="alternate", name="", language="")

    journeys_tenant: list[str] = []

    async def begin(journey: Journey, clock: Clock) -> None:
        journeys_tenant.append(journey.tenant_id)
        await story(journey, clock)

    walk(place, begin)


def test_alternates_alone_are_nobody_and_the_thread_opens(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await journey.write(change_setting, journey.tenant_id, "new_invoice", "", {"automatic": True})
        await hand(journey, document(1, customer=customer({"email": ANA, "send": "none"})), X_AR_Event="invoice.issued")
        answer = await hand(journey, document(2, customer=unaddressed()), X_AR_Event="invoice.issued")
        assert "Stored only: the document names no address to send to" in answer.text
        assert (await journey.thread(await thread_of(journey, 2))).chip == "no_address"

    walk(place, story)


@pytest.mark.parametrize(
    ("document_says", "party_says", "field", "expected"),
    [("en", "ro", "", "en"), ("", "ru", "", "ru"), ("", "", "", "ru"), ("ro", "", "en", "en")],
)
def test_the_language_is_the_fields_the_documents_the_partys_the_known_one(
    place: Place, document_says: str, party_says: str, field: str, expected: str
) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await hand(journey, document(1, customer=customer(language="ru")))
        assert read((await journey.arrival(ANA)).raw)["Content-Language"] == "ru"
        made = document(2, customer=customer(language=party_says) if party_says else customer())
        made |= {"language": document_says} if document_says else {}
        await hand(journey, made, **({"X_AR_Language": field} if field else {}))
        arrived = read((await journey.arrival(ANA, 1)).raw)
        assert arrived["Content-Language"] == expected
        assert {"ro": "Bună", "ru": "Здравствуйте", "en": "Hello"}[expected] in words(arrived)

    walk(place, story)


def test_the_language_that_the_tenant_set_holds_where_documents_say_none(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await hand(journey, document(1))
        assert read((await journey.arrival(ANA)).raw)["Content-Language"] == "ro"  # the tenant's
        await journey.write(put_customer, to_ms(clock()), journey.tenant_id, KEY, language="en")
        await hand(journey, document(2))
        assert read((await journey.arrival(ANA, 1)).raw)["Content-Language"] == "en"

    walk(place, story)


# -- reminders off, and on again


def test_only_mail_that_a_customer_may_do_without_carries_the_way_out(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        mail = await reminder(journey)
        url, mailto = re.findall(r"<([^>]+)>", str(mail["List-Unsubscribe"]))
        assert LINK.fullmatch(url)
        assert mailto == f"mailto:{mail['Reply-To'].addresses[0].addr_spec}?subject=unsubscribe"
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        for signature in mail.get_all("DKIM-Signature"):  # RFC 8058 §4
            signed = re.sub(r"\s", "", re.search(r"h=([^;]+);", str(signature))[1]).lower().split(":")  # type: ignore[index]
            assert {"list-unsubscribe", "list-unsubscribe-post"} <= set(signed)
        for part in ("plain", "html"):
            assert url in mail.get_body((part,)).get_content(), part
        await hand(journey, document(2))
        invoice = read((await journey.arrival(ANA, 1)).raw)
        assert "List-Unsubscribe" not in invoice
        assert "/preferences/" not in invoice.get_body(("plain",)).get_content()  # type: ignore[union-attr]

    walk(place, story, web=WEB)


def test_without_pages_only_an_address_is_named(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        mail = await reminder(journey)
        assert re.fullmatch(r"<mailto:acme\+[0-9a-z]{33}@\S+\?subject=unsubscribe>", mail["List-Unsubscribe"])
        assert "List-Unsubscribe-Post" not in mail

    walk(place, story)


def test_one_click_turns_reminders_off_at_once_and_shows_in_the_thread(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        mail = await reminder(journey)
        port, path = journey.house.ports.web, path_of(mail)
        waiting = await hand(journey, document(3), X_AR_Template="unpaid_invoice", X_AR_Delay="2h")
        invoice = await hand(journey, document(4), X_AR_Delay="2h")
        for method in ("GET", "HEAD", "OPTIONS"):  # scanners follow links
            await in_thread(ask, port, path, method)
        assert await opted_out(journey) == ""
        answer = await in_thread(ask, port, path, "POST", ONE_CLICK)
        assert (answer.code, answer.cookies) == (200, [])
        assert await opted_out(journey) == "one click in the mail program"
        [event] = await journey.events(await thread_of(journey), "reminder.paused")
        assert (event.data["by"], event.data["why"]) == ("the customer", "one click in the mail program")
        held = re.search(r"([0-9a-z]{20}); cancel", waiting.text), re.search(r"([0-9a-z]{20}); cancel", invoice.text)
        assert held[0] and (await journey.delivery(held[0][1]))["state"] == "cancelled"
        assert held[1] and (await journey.delivery(held[1][1]))["state"] == "queued"  # an invoice still goes
        [cancelled] = await journey.events(await thread_of(journey, 3), "message.canceled")
        assert cancelled.data["why"] == "the customer, who wants no reminders"
        again = await in_thread(ask, port, path, "POST", ONE_CLICK)  # providers do so twice
        assert again.code == 200 and len(await journey.events(await thread_of(journey), "reminder.paused")) == 1

    walk(place, story, web=WEB)


def test_what_an_event_asks_for_is_then_stored_only_and_a_person_may_still_send_it(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        for key in ("late_payment_reminder", "unpaid_invoice"):
            await journey.write(change_setting, journey.tenant_id, key, "", {"automatic": True})
        path = path_of(await reminder(journey))
        multipart = (b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
                     "multipart/form-data; boundary=x")  # fmt: skip
        port = journey.house.ports.web
        assert (await in_thread(ask, port, path, "POST", *multipart)).code == 200
        for event in ("invoice.past_due", "invoice.due_soon"):
            answer = await hand(journey, document(2), X_AR_Event=event)
            assert "Stored only: the customer wants no reminders" in answer.text, answer
        [stored, _] = await journey.events(await thread_of(journey, 2), "message.stored")
        assert stored.data["why"].startswith("the customer wants no reminders")
        assert "List-Unsubscribe" in await reminder(journey, 2)  # by hand
        page = await in_thread(ask, port, path)
        assert "Memento-urile sunt oprite" in page.text and 'value="resume"' in page.text
        back = await in_thread(ask, port, path, "POST", b"reminders=resume")
        assert back.code == 200 and "Memento-urile sunt repornite" in back.text
        assert await opted_out(journey) == ""
        assert await journey.events(await thread_of(journey), "reminder.resumed")
        answer = await hand(journey, document(5), X_AR_Event="invoice.past_due")
        assert "wants no reminders" not in answer.text

    walk(place, story, web=WEB)


def test_statements_by_an_event_are_unwanted_too(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await journey.write(change_setting, journey.tenant_id, "statement", "", {"automatic": True})
        path = path_of(await reminder(journey))
        await in_thread(ask, journey.house.ports.web, path, "POST", ONE_CLICK)
        made = {
            "schema": "urn:ar-gateway:document:1", "type": "statement", "id": "st_1", "number": "E-1",
            "currency": "MDL", "issue_date": "2026-11-24", "customer": customer(),
            "statement": {"from": "2026-10-01", "to": "2026-10-31", "closing_balance": "0.00"},
        }  # fmt: skip
        answer = await hand(journey, made, X_AR_Event="statement.ready")
        assert "Stored only: the customer wants no statements (since " in answer.text

    walk(place, story, web=WEB)


def test_a_forged_token_a_strange_body_and_too_many_changes_do_nothing(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        path = path_of(await reminder(journey))
        port, flipped = journey.house.ports.web, path[:-1] + ("a" if path[-1] != "a" else "b")
        foreign = path.replace(journey.tenant_id, journey.other_id)
        for wrong in (flipped, foreign, path[:-1], path + "a", path.upper(), "/preferences/x", "/preferences/%00"):
            for method, body in (("GET", b""), ("POST", ONE_CLICK)):
                answer = await in_thread(ask, port, wrong, method, body)
                assert (answer.code, "Acme" in answer.text) == (404, False), wrong
        for body, kind, code in (
            (b"", "application/x-www-form-urlencoded", 400),
            (b"List-Unsubscribe=No", "application/x-www-form-urlencoded", 400),
            (b"{}", "application/json", 415),
            (b"x" * 5000, "application/x-www-form-urlencoded", 413),
            (b"--y\r\nbroken", "multipart/form-data; boundary=x", 400),
            (b"--x", "multipart/form-data", 400),
        ):
            assert (await in_thread(ask, port, path, "POST", body, kind)).code == code, body
        assert await opted_out(journey) == ""
        codes = [
            (await in_thread(ask, port, path, "POST", b"reminders=" + word)).code
            for word in (b"stop", b"resume") * 6
        ]  # fmt: skip
        assert codes == [200] * 10 + [429, 200]  # the last asks for what is so already
        assert len(await journey.events(await thread_of(journey), "reminder.paused")) == 5

    walk(place, story, web=WEB)


def test_mail_to_the_address_turns_them_off_too_and_opens_the_thread_only_when_it_says_more(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        mail = await reminder(journey)
        to = str(mail["Reply-To"].addresses[0].addr_spec)
        asked = compose("Re: unsubscribe", "nu e subiectul\n", author=ANA, to=to)
        await journey.come(asked, f"acme@{INBOX}", return_path=ANA)
        assert await opted_out(journey) == ""
        assert (await journey.come(compose("Unsubscribe", "\n", author=ANA, to=to), to, return_path=ANA)).code == 250
        assert await opted_out(journey) == "a message that asks for it"
        thread_id = await thread_of(journey)
        found = [event.type for event in await journey.events(thread_id, "reminder.paused", "thread.opened")]
        assert found == ["thread.opened", "reminder.paused"], "only the letter that was no wish opened the thread"
        view = await journey.view(thread_id)
        assert any(one.message.subject == "Unsubscribe" for one in view.messages)
        said = compose("unsubscribe", "Am plătit ieri!\n", author=ANA, to=to)
        await journey.come(said, to, return_path=ANA)
        assert (await journey.thread(thread_id)).chip == "reply"

    walk(place, story)


def test_a_document_of_an_earlier_version_gets_its_customer_when_a_reminder_goes(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await hand(journey, document(1))
        waiting = await hand(journey, document(1), X_AR_Template="unpaid_invoice", X_AR_Delay="1h")
        await journey.write(set_customer, journey.tenant_id, "invoice", "inv_1", "")
        assert "Held until" in waiting.text
        await journey.arrival(ANA)
        clock.move(hours=2)
        mail = read((await journey.arrival(ANA, 1)).raw)
        assert (await in_thread(ask, journey.house.ports.web, path_of(mail), "POST", ONE_CLICK)).code == 200
        assert await opted_out(journey)

    walk(place, story, web=WEB)


def test_a_contact_of_the_tenant_is_mailed_where_documents_name_nobody(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await hand(journey, document(1, customer=unaddressed()), ION, X_AR_Template="none")
        made = Contact(ANA, ANA, "Ana", "to", "en", "tenant")
        await journey.write(
            add_contact, clock(), journey.tenant_id, KEY, made.email, role="to", name="Ana", language="en"
        )
        await hand(journey, document(2, customer=unaddressed()))
        assert read((await journey.arrival(ANA)).raw)["Content-Language"] == "en"

    walk(place, story)
