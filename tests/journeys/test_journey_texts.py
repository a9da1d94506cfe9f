"""A tenant's own words in its mail: they hold for the next message, follow ours elsewhere, and lose no mail."""

import asyncio
import json
from typing import Any

from journeys.house import Journey, Place, open_journey
from journeys.letters import read, words

from gateway.demo.samples import document_mail
from gateway.outbound.queue import release
from gateway.outbound.tenant_texts import SAMPLES, change_texts, check_texts
from gateway.store.database import to_ms
from gateway.store.template_settings import list_settings


def invoice(language: str = "ro", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((SAMPLES / f"invoice_{language}.json").read_text("utf-8"))
    return made | changes


async def say(journey: Journey, language: str = "ro", **texts: str) -> None:
    """What the command does: look at it, then keep it."""
    check_texts("new_invoice", language, {part: text for part, text in texts.items() if text})
    await journey.write(change_texts, journey.tenant_id, "new_invoice", language, texts)


async def arrive(journey: Journey, recipient: str, made: dict[str, Any]) -> tuple[str, str, str]:
    """(subject, text, HTML) of the mail about a document."""
    await journey.queue(document_mail(made, now=journey.clock()), recipient)
    arrived = read((await journey.arrival(recipient)).raw)
    return str(arrived["Subject"]), words(arrived, "plain"), words(arrived, "html")


def test_a_tenants_words_hold_for_its_next_message_and_ours_for_the_rest(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            before = await arrive(journey, "one@client.test", invoice(id="a"))
            assert before[0].startswith("Cont de plată CP-2026-0042 de la")
            await say(
                journey, subject="{{ company }}: {{ number }}", text="Dragă {{ contact }},\n\n{{ button }}\n\nCu drag."
            )
            subject, text, page = await arrive(journey, "two@client.test", invoice(id="b"))
            assert subject == "Acme Servicii SRL: CP-2026-0042"
            assert "Dragă Ana Rusu," in text and "Am emis" not in text + page
            view = invoice()["links"]["view"]
            assert page.index("Dragă") < page.index(view) < page.index("Cu drag.")
            assert "Vizualizați contul de plată" in page  # the button's words are ours
            russian = await arrive(journey, "three@client.test", invoice("ru", id="c"))
            assert "Мы выставили" in russian[1] and "Acme Servicii SRL:" not in russian[0]
            settings = await journey.house.database.read(list_settings, journey.tenant_id)
            assert set(settings["new_invoice", "ro"]) == {"subject", "text"}  # nothing of ours is kept
            assert (await journey.house.database.read(list_settings, journey.other_id)) == {}
            await say(journey, subject="", text="")
            assert await arrive(journey, "four@client.test", invoice(id="d")) == before

    asyncio.run(run())


def test_a_mail_whose_text_needs_what_its_document_lacks_is_held_in_sight_and_goes_when_it_is_mended(
    place: Place,
) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await say(journey, text="Vă rugăm să achitați până la {{ due_date }}.")
            made = {name: value for name, value in invoice().items() if name != "due_date"}
            sent = await journey.queue(document_mail(made, now=journey.clock()), "ana@client.test")
            [_held] = await journey.event(sent.thread_id, "message.held")
            [row] = await journey.deliveries(sent.message_id)
            assert row["state"] == "queued" and "has no due_date" in row["hold"] and "{% if due_date %}" in row["hold"]
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip) == ("open", "render_failed")
            await say(journey, text="Vă rugăm să achitați{% if due_date %} până la {{ due_date }}{% endif %}.")
            now_ms = to_ms(journey.clock())
            assert await journey.write(release, now_ms, journey.tenant_id, (sent.message_id, 0), "maria") == 1
            arrived = read((await journey.arrival("ana@client.test")).raw)
            assert "Vă rugăm să achitați." in words(arrived, "plain")

    asyncio.run(run())
