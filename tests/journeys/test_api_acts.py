"""What programs do over HTTP that people do on pages: acts on threads, searching, the texts of templates."""

import asyncio
import base64
from datetime import timedelta
from typing import Any

from journeys.api_client import Program, make_program
from journeys.house import Journey, Place, open_journey
from journeys.letters import read, words
from journeys.test_journey_api import WEB, invoice

from gateway.outbound.limits import set_limits


def test_a_thread_is_put_off_tagged_noted_promised_and_an_act_undone(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            sent = (await ask("POST", "/v1/messages", {"document": invoice(), "to": ["ana@client.test"]})).data
            await journey.settled(sent["message_id"], "relayed")
            thread, later = f"/v1/threads/{sent['thread_id']}", journey.clock() + timedelta(days=3)
            put_off = await ask("POST", f"{thread}:snooze", {"until": later.isoformat()})
            assert (put_off.code, put_off.data["changed"]) == (200, 1), put_off.data
            assert (await ask("GET", thread)).data["thread"]["snoozed_until"]
            other = await make_program(journey, tenant_id=journey.other_id)
            assert (await other("POST", "/v1/threads:undo", {"undo": put_off.data["undo"]})).code == 409
            assert (await ask("POST", "/v1/threads:undo", {"undo": put_off.data["undo"]})).data == {"changed": 1}
            assert (await ask("GET", thread)).data["thread"]["snoozed_until"] is None
            assert (await ask("POST", f"{thread}:tag", {"tag": "avocat"})).data["changed"] == 1
            assert (await ask("POST", f"{thread}:tag", {"tag": "avocat"})).data == {"changed": 0, "undo": ""}
            note = (await ask("POST", f"{thread}/notes", {"text": "Ana revine vineri."})).data["note_id"]
            promised = await ask("POST", f"{thread}:promise", {"on": f"{later:%Y-%m-%d}"})
            assert promised.data["changed"] == 1, promised.data
            whole = (await ask("GET", thread)).data
            assert (whole["tags"], whole["assignee"]) == (["avocat"], "")
            assert [one["text"] for one in whole["notes"]] == ["Ana revine vineri."]
            assert (whole["thread"]["promised_on"], whole["thread"]["state"]) == (f"{later:%Y-%m-%d}", "waiting")
            assert (await ask("POST", f"{thread}:forget-promise")).data == {"changed": 1}
            assert (await ask("POST", f"{thread}:untag", {"tag": "avocat"})).data["changed"] == 1
            assert (await ask("DELETE", f"/v1/notes/{note}")).data == {"changed": 1}
            assert (await ask("POST", f"{thread}:assign", {"to": "nobody@acme.test"})).code == 404
            await _of_searching(journey, ask, sent["thread_id"])

    asyncio.run(run())


async def _of_searching(journey: Journey, ask: Program, thread_id: str) -> None:
    async def found() -> bool:
        await asyncio.sleep(0.2)  # a key has so many requests in a minute
        data = (await ask("GET", "/v1/search?q=is:waiting%20to:ana")).data["data"]
        return [one["line"]["thread"]["id"] for one in data] == [thread_id]

    await journey.until(found)
    wrong = await ask("GET", "/v1/search?q=colour:red")
    assert (wrong.code, wrong.data["code"]) == (422, 501) and "colour" in wrong.data["detail"]


def test_a_template_says_something_else_which_is_tried_first(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask, path = await make_program(journey), "/v1/templates/new_invoice/texts/ro"
            before = (await ask("GET", f"{path}:lint")).data
            assert {one["own"] for one in before["parts"]} == {""} and before["findings"] == []
            seen = await ask("POST", f"{path}:preview", {"subject": "Cont {{ number }}"})
            assert seen.code == 200 and seen.data["subject"].startswith("Cont ") and seen.data["attachments"]
            wrong = await ask("PUT", path, {"subject": "Cont {{ nubmer }}"})
            assert wrong.code == 422 and "nubmer" in wrong.data["detail"], wrong.data
            assert (await ask("PUT", path, {"subject": "Cont {{ number }}"})).code == 200
            own = {one["name"]: one["own"] for one in (await ask("GET", path)).data["parts"]}
            assert own == dict.fromkeys(own, "") | {"subject": "Cont {{ number }}"}
            sent = (await ask("POST", "/v1/messages", {"document": invoice(), "to": ["ana@client.test"]})).data
            told = await journey.arrival("ana@client.test")
            assert b"Subject: Cont" in told.raw, sent
            assert (await ask("PUT", path, {"subject": ""})).code == 200
            assert {one["own"] for one in (await ask("GET", path)).data["parts"]} == {""}
            assert (await ask("GET", "/v1/templates/nothing/texts/ro")).code == 404

    asyncio.run(run())


def test_a_program_answers_with_files_as_a_clerk_does(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey)
            sent = (await ask("POST", "/v1/messages", {"document": invoice(), "to": ["ana@client.test"]})).data
            await journey.settled(sent["message_id"], "relayed")
            url = f"/v1/threads/{sent['thread_id']}:reply"
            file = {"filename": "Contract ș.txt", "content": base64.b64encode(b"doi ani").decode()}
            asked = {
                "to": ["Dan <dan@client.test>"],
                "text": "Iată contractul.",
                "attachments": [file],
                "then": "waiting",
            }
            made = await ask("POST", url, asked, headers={"Idempotency-Key": "answer-1"})
            assert (made.code, made.data["outcome"]) == (202, "held") and made.data["undo"], made.data
            again = await ask("POST", url, asked, headers={"Idempotency-Key": "answer-1"})
            assert (again.data["outcome"], again.data["message_id"]) == ("duplicate", made.data["message_id"])
            other = await ask("POST", url, asked | {"text": "Alt text."}, headers={"Idempotency-Key": "answer-1"})
            assert other.code == 422 and "idempotency key" in other.data["detail"]
            journey.clock.move(seconds=11)
            mail = read((await journey.arrival("dan@client.test")).raw)
            assert "Iată contractul." in words(mail) and mail["In-Reply-To"]
            [part] = mail.iter_attachments()
            assert (part.get_filename(), part.get_payload(decode=True)) == ("Contract_s.txt", b"doi ani")
            thread = (await ask("GET", f"/v1/threads/{sent['thread_id']}")).data
            assert thread["thread"]["state"] == "waiting"
            await _of_taking_back_and_refusing(journey, ask, url, asked)

    asyncio.run(run())


async def _of_taking_back_and_refusing(journey: Journey, ask: Program, url: str, asked: dict[str, Any]) -> None:
    made = (await ask("POST", url, asked | {"to": ["eva@client.test"], "then": "closed"})).data
    assert (await ask("POST", f"/v1/messages/{made['message_id']}:cancel")).data == {"changed": 1}
    assert (await ask("POST", "/v1/threads:undo", {"undo": made["undo"]})).data == {"changed": 1}
    program = {"filename": "factura.exe", "content": base64.b64encode(b"MZ" + bytes(200)).decode()}
    for change, code, told in (
        ({"attachments": [program]}, 422, "factura.exe"),
        ({"attachments": [program | {"content": "?"}]}, 422, "base64"),
        ({"attachments": [program] * 11}, 422, "/attachments"),
        ({"files_of": [{"message_id": made["message_id"], "number": 9}]}, 404, "no file 9"),
        ({"text": " "}, 422, "characters"),
        ({"seen": "0" * 20}, 409, "changed"),
    ):
        refused = await ask("POST", url, asked | change)
        assert refused.code == code and told in refused.data["detail"], (change, refused.data)
    half = await make_program(journey, "threads:write")
    refused = await half("POST", url, asked)
    assert refused.code == 403 and "messages:write" in refused.data["detail"]
    await journey.write(set_limits, journey.clock(), journey.tenant_id, "", 1, None)
    refused = await ask("POST", url, asked)
    assert refused.code == 429 and refused.headers["retry-after"]


def test_a_key_is_told_whose_it_is(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey, "threads:read")
            mine = (await ask("GET", "/v1/me")).data
            assert (mine["tenant"], mine["scopes"], mine["expires_at"]) == ("acme", ["threads:read"], None)

    asyncio.run(run())
