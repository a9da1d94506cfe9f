"""The evidence of a document is what left and came, byte for byte, with every attempt and a manifest that is true."""

import asyncio
import csv
import hashlib
import io
import json
import zipfile
from typing import Any

import pypdf
import pytest
from journeys.api_client import make_program
from journeys.house import Journey, Place, open_journey
from journeys.letters import compose, read
from journeys.test_journey_api import WEB
from journeys.test_journey_customers import document, hand, thread_of
from journeys.test_journey_replies import reply_address

from gateway.inbox import evidence_file
from gateway.inbox.noting import add_note
from gateway.store.messages import get_content

ANA, GONE = "ana@client.test", "unknown@client.test"
TITLES = {"ro": "Cum a fost expediat", "ru": "Как это было отправлено", "en": "How it was mailed"}


async def told(journey: Journey) -> str:
    """A document that Ana got and answers, and that a second address refuses; its thread."""
    contacts = [{"name": "Ana", "email": ANA}, {"email": GONE}]
    made = document(1, customer={"id": "c-1", "name": "Țuică SRL", "contacts": contacts})
    await hand(journey, made | {"number": '../=2+"1"'})
    thread_id = await thread_of(journey)
    await journey.arrival(ANA)
    await journey.event(thread_id, "recipient.bounced")
    to = await reply_address(journey, ANA)
    assert (await journey.come(compose("Re: cont", "Plătim vineri.\n", author=ANA, to=to), to)).code == 250
    await journey.came(thread_id)
    await journey.write(add_note, journey.clock(), journey.tenant_id, thread_id, "a secret note", "maria@acme.test")
    return thread_id


def checked(raw: bytes) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    """The ZIP and its manifest, each file of which must be there and be what the manifest says."""
    opened = zipfile.ZipFile(io.BytesIO(raw))
    assert opened.testzip() is None
    manifest: dict[str, Any] = json.loads(opened.read("manifest.json"))
    assert {one["name"] for one in manifest["files"]} | {"manifest.json"} == set(opened.namelist())
    for one in manifest["files"]:
        data = opened.read(one["name"])
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one["size"], one["sha256"]), one
        assert one["origin"] in manifest["origins"]
        assert one["name"].isascii() and ".." not in one["name"] and not one["name"].startswith("/")
    return opened, manifest


def of(manifest: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return [one for one in manifest["files"] if one["what"] == what]


def test_the_zip_holds_the_bytes_that_left_and_came_and_says_so_in_three_languages(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            thread_id = await told(journey)
            program = await make_program(journey)
            answers = {}
            for language in ("en",) if place.database else TITLES:  # the words do not depend on the database
                answers[language] = await program("GET", f"/v1/threads/{thread_id}/evidence?language={language}")
            answer = answers["en"]
            assert answer.code == 200 and answer.headers["content-type"] == "application/zip"
            assert answer.headers["content-disposition"].startswith('attachment; filename="evidence-2_1-')
            opened, manifest = checked(answer.raw)
            await check_mails(journey, opened, manifest)
            check_attempts(opened, manifest)
            for language, given in answers.items():
                check_words(checked(given.raw)[0], language, TITLES[language])
            words = paper(opened)[1]
            assert "accepted by the recipient" in words and "no such mailbox here" in words
            assert of(manifest, "sent")[0]["sha256"] in words
            everything = words + answer.raw.decode("latin-1") + opened.read("events.json").decode()
            assert "secret note" not in everything and "delivered" not in words.lower()

            monkeypatch.setattr(evidence_file, "MOST_BYTES", of(manifest, "sent")[0]["size"] - 1)
            cut, told_of = checked((await program("GET", f"/v1/threads/{thread_id}/evidence?language=en")).raw)
            assert not told_of["complete"] and "sent" in [one["what"] for one in told_of["left_out"]]
            assert "Not everything fitted" in cut.read("README.txt").decode("utf-8-sig") and of(told_of, "reply")

    asyncio.run(run())


async def check_mails(journey: Journey, opened: zipfile.ZipFile, manifest: dict[str, Any]) -> None:
    [sent] = of(manifest, "sent")
    arrived = (await journey.arrival(ANA)).raw
    assert opened.read(sent["name"]) == arrived and sent["origin"] == "as sent" and "note" not in sent
    assert sent["signed"] and all("/" in one for one in sent["signed"])
    [attached] = [part for part in read(arrived).walk() if part.get_content_type() == "application/pdf"]
    [pdf] = of(manifest, "pdf")
    assert opened.read(pdf["name"]) == attached.get_payload(decode=True) and pdf["origin"] == "from the mail"
    [reply] = of(manifest, "reply")
    kept = await journey.house.database.read(get_content, journey.tenant_id, reply["message_id"])
    assert opened.read(reply["name"]) == kept and "vineri" in kept.decode()


def check_attempts(opened: zipfile.ZipFile, manifest: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(opened.read("attempts.csv").decode("utf-8-sig"))))
    by = {row["recipient"]: row for row in rows}
    assert by[ANA]["outcome"] == "accepted by the server" and by[ANA]["server"]
    assert by[GONE]["code"] == "550" and by[GONE]["time_utc"].endswith("Z")
    assert by[GONE]["time_local"][-6:] in ("+02:00", "+03:00")
    progress = {one["recipient"]: one["progress"] for one in manifest["deliveries"]}
    assert progress == {ANA: "accepted", GONE: "bounced"} and manifest["complete"]


def paper(opened: zipfile.ZipFile) -> tuple[pypdf.PdfReader, str]:
    found = pypdf.PdfReader(io.BytesIO(opened.read("timeline.pdf")))
    return found, " ".join(" ".join(page.extract_text() for page in found.pages).split())


def check_words(opened: zipfile.ZipFile, language: str, title: str) -> None:
    found, words = paper(opened)
    assert title in words and found.trailer["/Root"]["/Lang"] == language
    assert title in opened.read("README.txt").decode("utf-8-sig")
