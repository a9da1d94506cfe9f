"""Never silent: what is not sent is said in the answer, kept as an event, and opens a thread where a person must act.

The rows are those of the table "What is not sent" in docs/smtp.md, which is compared with them.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from journeys.house import INBOX, PASSWORD, Clock, Journey, Place, open_journey
from journeys.letters import AUTHOR, Answer, compose, hand_over, in_thread
from journeys.test_journey_triggers import EVENT, document

from gateway.demo.samples import document_mail
from gateway.inbox.timeline import timeline
from gateway.outbound.limits import set_limits
from gateway.outbound.suppression import suppress
from gateway.store.template_settings import change_setting
from gateway.store.tenants import set_tenant
from gateway.store.thread_lists import list_threads
from gateway.store.threads import Thread

ANA, SEND = "ana@client.test", f"send@{INBOX}"
BY_HAND = {"X-AR-Template": "new_invoice"}
Give = Callable[[Journey], Awaitable[Answer]]


@dataclass(frozen=True)
class Case:
    """One row: what is handed over, the answer, the event with what it says, and the chip ("" stays closed)."""

    row: str
    give: Give
    code: int
    words: str
    event: str
    chip: str
    options: tuple[tuple[str, Any], ...] = ()


def given(headers: dict[str, str], to: str = ANA, contacts: int = 1, **changes: Any) -> Give:
    """A document with so many contacts."""
    made = document(**changes)
    made.pop("payer", None)
    made["customer"].pop("email", None)
    made["customer"]["contacts"] = [{"email": f"c{n}@client.test"} for n in range(contacts)]
    raw = document_mail(made, now=datetime.now(UTC), headers=headers)
    return lambda journey: journey.submit(raw, to)


def mailed(*headers: tuple[str, str], to: tuple[str, ...] = (ANA,), raw: bytes = b"", **options: Any) -> Give:
    """A composed mail."""
    return lambda journey: journey.submit(raw or compose("Bună ziua", headers=headers), *to, **options)


def setting(key: str, values: dict[str, Any], then: Give) -> Give:
    async def give(journey: Journey) -> Answer:
        await journey.write(change_setting, journey.tenant_id, key, "", values)
        return await then(journey)

    return give


async def to_suppressed(journey: Journey) -> Answer:
    await journey.write(
        suppress, 1, journey.tenant_id, ANA, reason="mailbox_unknown", evidence="550 5.1.1 gone", message_id=""
    )
    return await journey.submit(compose("Bună ziua", to=ANA), ANA)


async def limited(journey: Journey) -> Answer:
    await journey.write(set_limits, journey.clock(), journey.tenant_id, "", None, 1)
    await journey.queue(compose("Bună ziua"), "b@client.test")
    return await journey.submit(compose("Bună ziua"), ANA)


async def suspended(journey: Journey) -> Answer:
    await journey.write(set_tenant, journey.tenant_id, suspended_at=datetime.now(UTC))
    return await journey.submit(compose("Bună ziua"), ANA)


async def declared_too_large(journey: Journey) -> Answer:
    login = ("acme-billing", PASSWORD)
    port = journey.house.ports.submission
    return await in_thread(hand_over, port, compose(), [ANA], login=login, options=["SIZE=99000000"])


def signed() -> bytes:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["Subject"], mail["X-AR-Button"], mail["X-AR-View-URL"] = AUTHOR, "x", "Pay", "https://a.test/"
    mail.set_content("-----BEGIN PGP SIGNED MESSAGE-----\nHi\n")
    return mail.as_bytes()


LARGE = compose() + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 2000
ON = {"automatic": True}
REFUSED, STORED = "message.refused", "message.stored"
CASES = (
    Case(
        "a document names no address, by hand", given(BY_HAND, SEND, 0), 554, "names no address", REFUSED, "no_address"
    ),
    Case(
        "a document names no address, by event",
        setting("new_invoice", ON, given(EVENT, SEND, 0)),
        250,
        "Stored only: the document names no address",
        STORED,
        "no_address",
    ),
    Case(
        "the address is suppressed", to_suppressed, 250, "and was not mailed", "recipient.suppressed", "mailbox_unknown"
    ),
    Case(
        "too many recipients in the envelope",
        mailed(to=(ANA, "b@client.test", "c@client.test", "d@client.test")),
        452,
        "at most 3 recipients",
        REFUSED,
        "",
        (("submission", {"max_recipients": 3}),),
    ),
    Case(
        "a document names too many recipients",
        given(BY_HAND, SEND, 4),
        554,
        "names 4 recipients",
        REFUSED,
        "refused",
        (("submission", {"max_recipients": 3}),),
    ),
    Case("the message is declared too large", declared_too_large, 552, "at most 26214400", REFUSED, "refused"),
    Case(
        "the message is too large",
        mailed(raw=LARGE),
        552,
        "larger than",
        REFUSED,
        "refused",
        (("submission", {"max_message": 100 * 1024}),),
    ),
    Case("a limit on messages is reached", limited, 451, "Daily limit of 1 reached", REFUSED, "refused"),
    Case("the trigger is off", given(EVENT), 250, "Stored only: the trigger invoice.issued is off", STORED, ""),
    Case(
        "the template is off, by event",
        setting("new_invoice", {"enabled": False}, given(EVENT)),
        250,
        "Stored only: the template new_invoice is off",
        STORED,
        "",
    ),
    Case(
        "the template is off, by hand",
        setting("new_invoice", {"enabled": False}, given(BY_HAND)),
        550,
        "the template new_invoice is off",
        REFUSED,
        "refused",
    ),
    Case(
        "the template of a composed mail is off",
        setting("new_invoice", {"enabled": False}, mailed(("X-AR-Template", "new_invoice"))),
        550,
        "the template new_invoice is off",
        REFUSED,
        "refused",
    ),
    Case(
        "a draft, by event",
        setting("new_invoice", ON, given(EVENT, status="draft")),
        250,
        "Stored only: the document is draft",
        STORED,
        "",
    ),
    Case("a draft, by hand", given(BY_HAND, status="draft"), 554, "draft", REFUSED, "refused"),
    Case(
        "X-AR-Template: none", mailed(("X-AR-Template", "none")), 250, "Stored only: X-AR-Template is none", STORED, ""
    ),
    Case("an unknown language", mailed(("X-AR-Language", "de")), 554, "one of ro, ru, en", REFUSED, "refused"),
    Case(
        "an unknown event, template or field",
        mailed(("X-AR-Documnet", "invoice/1")),
        554,
        "did you mean X-AR-Document",
        REFUSED,
        "refused",
    ),
    Case("a document with a fault", given(BY_HAND, currency="XXZ"), 554, "currency", REFUSED, "refused"),
    Case(
        "a button without a link",
        mailed(("X-AR-Button", "Pay")),
        554,
        "add X-AR-View-URL or X-AR-Pay-URL",
        REFUSED,
        "refused",
    ),
    Case("a button in a signed mail", mailed(raw=signed()), 554, "signed or encrypted", REFUSED, "refused"),
    Case("a mail to our own domain", mailed(to=(f"acme@{INBOX}",)), 550, "own domain", REFUSED, "refused"),
    Case("no document, only `send@`", mailed(to=(SEND,)), 554, "hands over no document", REFUSED, "refused"),
    Case("the account is suspended", suspended, 550, "suspended", REFUSED, "refused"),
    Case("`X-AR-Test`", mailed(("X-AR-Test", "yes")), 250, "nothing leaves", "message.canceled", ""),
)


@pytest.mark.parametrize("case", CASES, ids=[case.row for case in CASES])
def test_what_is_not_sent_is_said_noted_and_shown(place: Place, case: Case) -> None:
    async def run() -> None:
        async with open_journey(place, clock=Clock(), **dict(case.options)) as journey:
            answer = await case.give(journey)
            assert answer.code == case.code and case.words in answer.text, answer
            thread = await journey.until(lambda: _thread_with(journey, case.event))
            [event] = await journey.events(thread.id, case.event)
            if case.event in ("message.refused", "message.stored"):
                assert str(event.data["why"])[:60] in answer.text, event.data
            assert (thread.state, thread.chip) == (("open", case.chip) if case.chip else ("closed", "")), thread
            assert not journey.arrivals(ANA)
            lines = [line for line in timeline(await journey.view(thread.id)) if line.what == case.event]
            assert lines and all(case.event not in line.text and " ?" not in line.text for line in lines)

    asyncio.run(run())


async def _thread_with(journey: Journey, event: str) -> Thread | None:
    for thread in await journey.house.database.read(list_threads, journey.tenant_id):
        if await journey.events(thread.id, event):
            return thread
    return None


def test_the_page_has_these_rows() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "smtp.md").read_text("utf-8")
    found = re.search(r"^\| what is not sent \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.M)
    assert found
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].strip().split("\n")]
    said = {row[0]: (row[1][:3], row[2].strip("`"), row[3].strip("`")) for row in rows}
    assert said == {case.row: (str(case.code), case.event, case.chip or "stays closed") for case in CASES} | {
        "the address is suppressed": ("250", "recipient.suppressed", "the reason")
    }


def test_the_same_refusal_is_one_line_an_hour(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            for _ in range(3):
                await mailed(("X-AR-Language", "de"))(journey)
            [thread] = await journey.threads()
            assert len(await journey.events(thread.id, "message.refused")) == 1
            clock.move(minutes=61)
            await mailed(("X-AR-Language", "de"))(journey)
            assert len(await journey.events(thread.id, "message.refused")) == 2
            assert not await journey.threads(journey.other_id)

    asyncio.run(run())


def test_a_stranger_without_a_login_leaves_no_line(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            before = await journey.counts()
            answer = await journey.submit(compose(), ANA, login=None)
            assert answer.code == 530
            answer = await journey.come(compose(), "nobody@elsewhere.test")
            assert answer.code == 550
            assert await journey.counts() == before and not await journey.threads()

    asyncio.run(run())
