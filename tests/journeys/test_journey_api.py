"""The HTTP API over a real socket: what is handed over, what becomes of it, and what is refused in which words."""

import asyncio
import base64
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from journeys.api_client import Program, make_program
from journeys.house import Journey, Place, open_journey
from journeys.letters import read, words

from gateway.demo.samples import sample_documents
from gateway.store.api_keys import add_api_key, list_api_keys, revoke_api_key
from gateway.store.template_settings import change_setting

WEB = {"port": -1}


def invoice(**changes: Any) -> dict[str, Any]:
    """The sample invoice."""
    found = dict(sample_documents(datetime.now(UTC).date())[0].document)
    made: dict[str, Any] = json.loads(json.dumps(found | {"id": "inv_1"} | changes))
    return made


def composed(**changes: Any) -> dict[str, Any]:
    """A mail with words of its own."""
    return {"to": ["Ana <ana@client.test>"], "subject": "Bună ziua", "text": "Vă mulțumim.\n"} | changes


async def settled(journey: Journey, taken: dict[str, Any]) -> None:
    await journey.settled(taken["message_id"], "relayed")


def test_a_document_is_handed_over_sent_by_name_and_read_back(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            made = invoice()
            kept = await ask("PUT", "/v1/documents/invoice/inv_1", made)
            assert (kept.code, kept.data["outcome"], kept.data["message_id"]) == (200, "stored", "")
            shown = (await ask("GET", "/v1/documents/invoice/inv_1")).data
            assert shown["document"]["number"] == made["number"] and shown["thread_id"] == kept.data["thread_id"]
            seen = await ask("POST", "/v1/messages:preview", {"document": "invoice/inv_1", "language": "en"})
            assert seen.code == 200 and made["number"] in seen.data["subject"] and seen.data["html"]
            sent = await ask("POST", "/v1/messages", {"document": "invoice/inv_1", "to": ["ana@client.test"],
                                                      "tags": ["spring"], "meta": {"run": "7"}})  # fmt: skip
            assert (sent.code, sent.data["outcome"]) == (202, "queued")
            mail = read((await journey.arrival("ana@client.test")).raw)
            assert made["number"] in str(mail["Subject"])
            await settled(journey, sent.data)
            told = (await ask("GET", f"/v1/messages/{sent.data['message_id']}")).data
            assert told["deliveries"][0]["progress"] == "accepted" and told["message"]["template"] == "new_invoice"
            pdf = await ask("GET", "/v1/documents/invoice/inv_1:pdf")
            attached = next(part for part in mail.walk() if part.get_content_type() == "application/pdf")
            assert pdf.raw == attached.get_payload(decode=True)
            assert (await ask("GET", "/v1/documents/invoice/inv_2")).code == 404

    asyncio.run(run())


def test_the_message_of_a_document_brought_along_and_of_a_composed_mail(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            sent = await ask("POST", "/v1/messages", {"document": invoice(id="inv_2"), "to": ["dan@client.test"],
                                                      "text": "Un mesaj personal."})  # fmt: skip
            assert sent.code == 202, sent.data
            assert "Un mesaj personal." in words(read((await journey.arrival("dan@client.test")).raw))
            file = {"filename": "contract ș.txt", "content_type": "text/plain",
                    "content": base64.b64encode(b"one\r\ntwo").decode()}  # fmt: skip
            sent = await ask("POST", "/v1/messages", composed(html="<p>Vă mulțumim.</p>", attachments=[file],
                                                              cc=["eva@client.test"]))  # fmt: skip
            assert sent.code == 202, sent.data
            mail = read((await journey.arrival("eva@client.test")).raw)
            assert str(mail["Subject"]) == "Bună ziua" and "Vă mulțumim." in words(mail)
            assert [part.get_payload(decode=True) for part in mail.iter_attachments()] == [b"one\r\ntwo"]
            assert "filename*=UTF-8''contract%20%C8%99.txt" in mail.as_string()
            raw = b"From: a@b.test\nTo: fin@client.test\nBcc: hid@client.test\nSubject: raw\n\nbody\n"
            sent = await ask("POST", "/v1/messages", raw, kind="message/rfc822")
            assert sent.code == 202, sent.data
            assert b"hid@client.test" not in (await journey.arrival("hid@client.test")).raw.partition(b"\r\n\r\n")[0]

    asyncio.run(run())


def test_an_event_goes_by_the_triggers_and_a_held_mail_is_cancelled_and_tried_again(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            await journey.write(change_setting, journey.tenant_id, "new_invoice", "", {"automatic": True})
            ask = await make_program(journey)
            await ask("PUT", "/v1/documents/invoice/inv_1", invoice())
            held = await ask("POST", "/v1/events", {"type": "invoice.issued", "document": "invoice/inv_1"})
            assert (held.code, held.data["outcome"]) == (202, "held"), held.data
            path = f"/v1/messages/{held.data['message_id']}"
            assert (await ask("GET", "/v1/deliveries?state=queued")).data["data"][0]["message_id"] in path
            assert (await ask("POST", f"{path}:cancel")).data == {"changed": 1}
            again = await ask("POST", f"{path}:cancel")
            assert (again.code, again.data["code"]) == (409, 409)
            assert (await ask("POST", f"{path}:retry")).data == {"changed": 1}
            await settled(journey, held.data)
            assert (await ask("POST", f"{path}:retry")).code == 409
            wrong = await ask("POST", "/v1/events", {"type": "invoice.eaten", "document": "invoice/inv_1"})
            assert (wrong.code, wrong.data["enhanced"]) == (422, "5.6.0") and "invoice.issued" in wrong.data["detail"]

    asyncio.run(run())


def test_an_idempotency_key_gets_the_first_answer_and_other_content_is_refused(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            await ask("PUT", "/v1/documents/invoice/inv_1", invoice())
            body, key = {"document": "invoice/inv_1", "to": ["ana@client.test"]}, {"Idempotency-Key": "k-1"}
            first = await ask("POST", "/v1/messages", body, headers=key)
            changed = invoice(notes="corrected meanwhile")
            assert (await ask("PUT", "/v1/documents/invoice/inv_1", changed)).code == 200
            again = await ask("POST", "/v1/messages", body, headers=key)
            assert (again.code, again.data["outcome"]) == (202, "duplicate")
            assert again.data["message_id"] == first.data["message_id"]
            other = await ask("POST", "/v1/messages", body | {"cc": ["x@client.test"]}, headers=key)
            assert (other.code, other.data["code"]) == (422, 554) and "k-1" in other.data["detail"]
            await settled(journey, first.data)
            assert len(journey.arrivals("ana@client.test")) == 1

    asyncio.run(run())


def test_an_xml_invoice_gets_the_id_of_its_url(place: Place) -> None:
    xml = (
        b'<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"><ID '
        b'xmlns="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">1</ID></Invoice>'
    )

    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            answer = await ask("PUT", "/v1/documents/invoice/inv_9", xml, kind="application/xml")
            assert (answer.code, answer.data["code"]) == (422, 554), answer.data
            broken = await ask("PUT", "/v1/documents/invoice/inv_9", b"<a>", kind="text/xml")
            assert (broken.code, broken.data["code"]) == (422, 554)

    asyncio.run(run())


def test_threads_customers_suppressions_templates_and_events_are_read_and_changed(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            sent = await ask("POST", "/v1/messages", {"document": invoice(), "to": ["ana@client.test"]})
            await settled(journey, sent.data)
            thread = f"/v1/threads/{sent.data['thread_id']}"
            assert (await ask("POST", f"{thread}:reopen")).data["changed"] == 1
            listed = (await ask("GET", "/v1/threads?view=todo&limit=1")).data
            assert listed["data"][0]["thread"]["id"] == sent.data["thread_id"] and listed["next"] is None
            assert (await ask("POST", f"{thread}:close")).data["changed"] == 1
            whole = (await ask("GET", thread)).data
            assert [one["message"]["id"] for one in whole["messages"]] == [sent.data["message_id"]]
            assert any(one["data"].get("by", "").startswith("test (api:") for one in whole["events"])
            await _of_customers(ask)
            await _of_suppressions(ask)
            templates = (await ask("GET", "/v1/templates")).data["data"]
            assert {one["template"] for one in templates} >= {"new_invoice", "statement"}
            await _of_the_feed(journey, ask)

    asyncio.run(run())


async def _of_customers(ask: Program) -> None:
    found = (await ask("GET", "/v1/customers?limit=1")).data
    key = found["data"][0]["key"]
    path = f"/v1/customers/{key}"
    put = await ask("PUT", f"{path}/contacts/sef@client.test", {"role": "cc", "name": "Șef"})
    assert (put.code, put.data["role"]) == (200, "cc")
    assert "sef@client.test" in [one["email"] for one in (await ask("GET", path)).data["contacts"]]
    assert (await ask("DELETE", f"{path}/contacts/sef@client.test")).data == {"changed": 1}
    assert (await ask("DELETE", f"{path}/contacts/sef@client.test")).code == 404


async def _of_suppressions(ask: Program) -> None:
    path = "/v1/suppressions/Gone@client.test"
    assert (await ask("GET", path)).code == 404
    assert (await ask("PUT", path, {"reason": "blocked", "note": "left"})).data["evidence"] == "left"
    assert [one["address"] for one in (await ask("GET", "/v1/suppressions")).data["data"]] == ["gone@client.test"]
    assert (await ask("DELETE", path)).data == {"changed": 1}


async def _of_the_feed(journey: Journey, ask: Program) -> None:
    journey.clock.move(minutes=1)  # the horizon passes what was committed
    seen: list[str] = []
    cursor = ""

    async def all_of_it() -> bool:
        nonlocal cursor
        page = (await ask("GET", f"/v1/events?after={cursor}&limit=3")).data
        seen.extend(one["type"] for one in page["data"])
        cursor = page["next"]
        return "thread.closed" in seen

    await journey.until(all_of_it)
    assert seen.index("document.received") < seen.index("message.accepted") < seen.index("recipient.accepted")


def test_a_key_is_shown_once_holds_until_it_is_revoked_and_may_do_what_its_scopes_say(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey, "threads:read")
            assert (await ask("GET", "/v1/threads")).code == 200
            denied = await ask("POST", "/v1/messages", composed())
            assert (denied.code, denied.data["enhanced"]) == (403, "5.7.1")
            assert "messages:write" in denied.data["detail"] and "threads:read" in denied.data["detail"]
            kept = await journey.house.database.read(list_api_keys, journey.tenant_id)
            assert ask.key not in str(kept) and kept[0].last_used_at is not None
            prefix = ask.key.split("_")[1]
            assert not await journey.write(revoke_api_key, journey.clock(), journey.other_id, prefix)
            assert await journey.write(revoke_api_key, journey.clock(), journey.tenant_id, prefix)
            journey.clock.move(seconds=6)
            gone = await ask("GET", "/v1/threads")
            assert gone.code == 401 and gone.headers["www-authenticate"].startswith("Bearer")
            answers = {gone.raw}
            for wrong in ("", "gwk_x", "gwk_" + "a" * 12 + "_" + "b" * 43):
                answers.add((await ask("GET", "/v1/threads", key=wrong)).raw)
            assert len(answers) == 1
            now = journey.clock()
            _, short = await journey.write(
                add_api_key, now, journey.tenant_id, label="", scopes=(), expires_at=now + timedelta(hours=1)
            )
            assert (await ask("GET", "/v1/threads", key=short)).code == 200
            journey.clock.move(hours=2)
            assert (await ask("GET", "/v1/threads", key=short)).code == 401

    asyncio.run(run())


def test_guesses_from_one_address_end_in_429_and_a_key_that_worked_still_does(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            assert (await ask("GET", "/v1/templates")).code == 200
            codes = [(await ask("GET", "/v1/templates", key=f"gwk_{n}")).code for n in range(35)]
            assert codes[:30] == [401] * 30 and codes[30:] == [429] * 5
            assert (await ask("GET", "/v1/templates")).code == 200

    asyncio.run(run())


def test_a_key_has_so_many_requests_a_minute_and_is_told_how_many_are_left(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB | {"api_requests": 3}) as journey:
            ask = await make_program(journey)
            answers = [await ask("GET", "/v1/templates") for _ in range(4)]
            assert [one.code for one in answers] == [200, 200, 200, 429]
            assert answers[0].headers["ratelimit"].startswith('"requests";r=2;t=')
            assert 1 <= int(answers[3].headers["retry-after"]) <= 60
            journey.clock.move(seconds=61)
            assert (await ask("GET", "/v1/templates")).code == 200

    asyncio.run(run())


REFUSED: tuple[tuple[str, str, bytes | None, str, int], ...] = (
    ("GET", "/v1/nothing", None, "", 404),
    ("GET", "/v1/threads/short", None, "", 404),
    ("DELETE", "/v1/messages", None, "", 405),
    ("POST", "/v1/messages", b"a=b", "application/x-www-form-urlencoded", 415),
    ("POST", "/v1/messages", b"{", "application/json", 422),
    ("POST", "/v1/messages", b'{"to": ["a@b.test"], "sbject": "x"}', "application/json", 422),
    ("POST", "/v1/messages", b'{"to": ["nobody"], "text": "x"}', "application/json", 422),
    ("POST", "/v1/messages", b'{"text": "x"}', "application/json", 422),
    ("POST", "/v1/messages", b'{"document": "invoice/none"}', "application/json", 404),
    ("POST", "/v1/messages", b"From: a@b.test\r\n\nx\r\n", "message/rfc822", 422),
    ("POST", "/v1/messages", b"<html/>", "text/xml", 422),
    ("PUT", "/v1/documents/invoice/inv_1", b'{"type": "invoice", "id": "inv_2"}', "application/json", 422),
    ("POST", "/v1/messages", b" " * 3000, "application/json", 413),
    ("GET", "/v1/threads?limit=1000", None, "", 422),
    ("GET", "/v1/threads?cursor=x", None, "", 422),
    ("GET", "/v1/threads?view=x", None, "", 422),
    ("GET", "/v1/customers/id:nobody", None, "", 404),
)


def test_what_is_refused_is_a_problem_with_the_codes_of_smtp(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB, submission={"max_message": 2000}) as journey:
            ask = await make_program(journey)
            for method, path, body, kind, code in REFUSED:
                answer = await ask(method, path, body, kind=kind)
                assert (answer.code, answer.data["status"]) == (code, code), (path, answer.data)
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.data["detail"] and answer.data["code"] >= 400 and answer.data["enhanced"]
                if code == 405:
                    assert answer.headers["allow"] == "POST"
            assert (await ask("GET", "/v1/openapi.json", key="")).data["openapi"] == "3.1.0"

    asyncio.run(run())


def test_another_tenants_things_are_not_found(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            sent = (await ask("POST", "/v1/messages", {"document": invoice(), "to": ["ana@client.test"]})).data
            foreign = await make_program(journey, tenant_id=journey.other_id)
            assert (await foreign("GET", f"/v1/messages/{sent['message_id']}")).code == 404
            assert (await foreign("POST", "/v1/messages", {"document": "invoice/inv_1"})).code == 404

    asyncio.run(run())


def test_what_handing_over_would_do_is_seen_beforehand_and_nothing_stays(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            await ask("PUT", "/v1/suppressions/gone@client.test", {"reason": "blocked"})
            journey.clock.move(minutes=1)
            before = (await ask("GET", "/v1/events")).data["data"]
            file = {"filename": "contract.txt", "content_type": "text/plain", "content": "MQ=="}
            asked = composed(html="<p>Vă mulțumim.</p>", cc=["gone@client.test"], attachments=[file], button="Vezi",
                             view_url="https://acme.test/1", number="FV-1")  # fmt: skip
            seen = (await ask("POST", "/v1/messages:preview", asked)).data
            assert (seen["outcome"], seen["thread_id"], seen["subject"]) == ("queued", "", "Bună ziua")
            assert seen["answer"].startswith("Queued; gone@client.test is suppressed since"), seen["answer"]
            assert seen["recipients"] == ["ana@client.test", "gone@client.test"]
            assert seen["stopped"] == ["gone@client.test"]
            assert "Vă mulțumim." in seen["text"] and "https://acme.test/1" in seen["html"], "with its button"
            assert seen["attachments"] == ["contract.txt"]
            header = {field["name"]: field["value"] for field in seen["header"]}
            assert header["To"] == "Ana <ana@client.test>" and header["Auto-Submitted"] == "auto-generated"
            raw = b"From: a@b.test\nTo: fin@client.test\nBcc: hid@client.test\nSubject: raw\n\nbody\n"
            seen = (await ask("POST", "/v1/messages:preview", raw, kind="message/rfc822")).data
            assert seen["recipients"] == ["fin@client.test", "hid@client.test"] and seen["text"].strip() == "body"
            assert "hid@client.test" not in json.dumps(seen["header"])
            later = composed(send_at=f"{journey.clock() + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}")
            seen = (await ask("POST", "/v1/messages:preview", later)).data
            assert seen["outcome"] == "held" and "cancel" not in seen["answer"]
            wrong = (composed(attach_pdf=True), composed(to=["no address"]), {"document": "invoice/none"})
            refused = [await ask("POST", "/v1/messages:preview", one) for one in wrong]
            journey.clock.move(minutes=1)
            assert (await ask("GET", "/v1/events")).data["data"] == before, "nothing stays, not even of what is refused"
            assert (await ask("GET", "/v1/threads?view=all")).data["data"] == []
            for one, body in zip(refused, wrong, strict=True):
                sent = await ask("POST", "/v1/messages", body)
                assert (one.code, one.data) == (sent.code, sent.data) and one.code >= 400

    asyncio.run(run())


def test_a_documents_mail_is_seen_beforehand_before_it_is_handed_over(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            made = invoice(id="inv_9")
            asked = {"document": made, "to": ["dan@client.test"], "text": "Un mesaj.", "language": "en"}
            seen = (await ask("POST", "/v1/messages:preview", asked)).data
            assert made["number"] in seen["subject"] and "Un mesaj." in seen["text"] and "Un mesaj." in seen["html"]
            assert (seen["template"], seen["language"], seen["outcome"]) == ("new_invoice", "en", "queued")
            assert [name for name in seen["attachments"] if name.endswith(".pdf")], "as the template has it"
            header = {field["name"]: field["value"] for field in seen["header"]}
            assert header["To"] == "dan@client.test" and made["number"] in header["Subject"]
            assert (await ask("GET", "/v1/documents/invoice/inv_9")).code == 404
            kept = (await ask("PUT", "/v1/documents/invoice/inv_9", made)).data
            seen = (await ask("POST", "/v1/messages:preview", {**asked, "document": "invoice/inv_9",
                                                               "template": "unpaid_invoice"})).data  # fmt: skip
            assert seen["thread_id"] == kept["thread_id"] and f"thread {kept['thread_id']}" in seen["answer"]
            listed = [field["value"] for field in seen["header"] if field["name"] == "List-Unsubscribe"]
            assert listed and re.findall(r"/preferences/([\w.-]+)", seen["html"])[0] in listed[0]
            unsent = {"document": made | {"status": "draft"}, "event": "invoice.issued"}
            seen = (await ask("POST", "/v1/messages:preview", unsent)).data
            assert seen["outcome"] == "stored" and seen["answer"].startswith("Stored only: ")

    asyncio.run(run())
