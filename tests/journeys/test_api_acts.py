"""What programs do over HTTP that people do on pages: acts on threads, searching, the texts of templates."""

import asyncio
from datetime import timedelta

from journeys.api_client import Program, make_program
from journeys.house import Journey, Place, open_journey
from journeys.test_journey_api import WEB, invoice


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


def test_a_key_is_told_whose_it_is(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ask = await make_program(journey, "threads:read")
            mine = (await ask("GET", "/v1/me")).data
            assert (mine["tenant"], mine["scopes"], mine["expires_at"]) == ("acme", ["threads:read"], None)

    asyncio.run(run())
