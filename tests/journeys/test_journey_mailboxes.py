"""What lies in a tenant's IMAP mailbox: reports and replies to our mail are taken, all other mail is left alone."""

import asyncio
from email import message_from_bytes

import pytest
from journeys.house import RETURNS, Clock, Journey, Place, Sent, open_journey
from journeys.letters import compose, in_thread, report
from journeys.mailboxes import QUICK, account, change, connect, in_a_loop, row, visited
from postroom.dovecot import Dovecot

from gateway.store.mailbox_account import ALL
from gateway.store.messages import get_message

USERS = iter(f"box{number}@acme.test" for number in range(1000))
CLIENT = "accept@client.test"


@pytest.fixture
def user(dovecot: Dovecot) -> str:
    """A fresh mailbox on the session's Dovecot."""
    return dovecot.add_user(next(USERS))


async def relayed(journey: Journey, subject: str = "Factura F-1") -> Sent:
    """A mail of ours that the world took."""
    sent = await journey.queue(compose(subject), CLIENT)
    await journey.settled(sent.message_id, "relayed")
    return sent


async def message_id(journey: Journey, sent: Sent) -> str:
    """Its Message-ID, as reports and replies name it."""
    found = await journey.house.database.read(get_message, journey.tenant_id, sent.message_id)
    assert found is not None
    return found.rfc_message_id


@in_a_loop
async def test_a_report_in_the_mailbox_ends_in_its_thread_and_fails_the_delivery(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        sent = await relayed(journey)
        await connect(journey, place.folder, account(dovecot, user))
        raw = report((CLIENT, "failed", "5.1.1"), to=user, message_id=await message_id(journey, sent))
        await in_thread(dovecot.append, user, raw)
        row_ = await journey.settled(sent.message_id, "failed")
        assert row_["reason"] == "mailbox_unknown"
        thread = await journey.thread(sent.thread_id)
        assert (thread.state, thread.chip) == ("open", "mailbox_unknown")
        assert [one.kind for one in await journey.came(sent.thread_id)] == ["bounce"]
        again = await journey.queue(compose(), CLIENT)  # nobody's own return path said so: nothing is suppressed
        await journey.settled(again.message_id, "relayed")


@in_a_loop
async def test_a_reply_in_the_mailbox_opens_its_thread_by_references_or_by_our_address(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        sent, other = await relayed(journey), await relayed(journey, "Factura F-2")
        await connect(journey, place.folder, account(dovecot, user))
        answered = [("In-Reply-To", f"<{await message_id(journey, sent)}>")]
        raw = compose("Re: Factura", "Am achitat.", author="Ion <ion@client.test>", to=user, headers=answered)
        await in_thread(dovecot.append, user, raw)
        (came,) = await journey.came(sent.thread_id)
        assert (came.kind, came.body_text.strip()) == ("person", "Am achitat.")
        assert (await journey.thread(sent.thread_id)).chip == "reply"
        ours = (await journey.arrival(CLIENT, 1)).raw
        address = " ".join(str(message_from_bytes(ours)["Reply-To"]).split())
        raw = compose("ceva", "Da.", author="Ion <ion@client.test>", to=user, headers=[("Cc", address)])
        await in_thread(dovecot.append, user, raw)
        assert [one.body_text.strip() for one in await journey.came(other.thread_id)] == ["Da."]


@in_a_loop
async def test_ordinary_mail_and_copies_of_our_own_are_left_alone_and_stay_unread(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        sent = await relayed(journey)
        await connect(journey, place.folder, account(dovecot, user))
        before = await journey.counts()
        copy = (await journey.arrival(CLIENT)).raw  # as a Bcc to oneself is
        foreign = report(("x@else.test", "failed", "5.1.1"), to=user, message_id="other@else.test")
        for raw in (compose("Oferta de pret", to=user), copy, foreign):
            await in_thread(dovecot.append, user, raw)

        async def passed() -> bool:
            return (await row(journey)).passed == 3

        await journey.until(passed)
        assert await journey.counts() == before
        assert (await journey.delivery(sent.message_id))["state"] == "relayed"

        def flags() -> list[object]:
            with dovecot.login(user) as client:
                client.select_folder("INBOX", readonly=True)
                return [data[b"FLAGS"] for data in client.fetch(client.search(), ["FLAGS"]).values()]

        assert all(b"\\Seen" not in one for one in await in_thread(flags))  # type: ignore[operator]


@in_a_loop
async def test_a_report_that_came_by_its_return_path_too_has_no_second_effect(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        sent = await relayed(journey)
        await connect(journey, place.folder, account(dovecot, user))
        path = (await journey.delivery(sent.message_id))["token"]
        raw = report((CLIENT, "failed", "5.1.1"), to=user, message_id=await message_id(journey, sent))
        assert (await journey.come(raw, f"b+{path}@{RETURNS}")).code == 250
        await journey.settled(sent.message_id, "failed")
        events = len(await journey.events(sent.thread_id))
        await in_thread(dovecot.append, user, b"Delivered-To: someone@acme.test\r\n" + raw)

        async def passed() -> bool:
            return (await row(journey)).passed == 1

        await journey.until(passed)
        assert len(await journey.events(sent.thread_id)) == events
        assert len(await journey.came(sent.thread_id)) == 1


@in_a_loop
async def test_a_report_about_another_tenants_delivery_changes_nothing(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        sent = await journey.queue(compose(author="Beta <facturare@beta.test>"), CLIENT, tenant="beta")
        await journey.settled(sent.message_id, "relayed")
        found = await journey.house.database.read(get_message, journey.other_id, sent.message_id)
        assert found is not None
        path = (await journey.delivery(sent.message_id))["token"]
        await connect(journey, place.folder, account(dovecot, user))
        headers = f"Return-Path: <b+{path}@{RETURNS}>\nMessage-ID: <{found.rfc_message_id}>\n"
        raw = report((CLIENT, "failed", "5.1.1"), to=user, headers=headers)
        await in_thread(dovecot.append, user, raw)

        async def passed() -> bool:
            return (await row(journey)).passed == 1

        await journey.until(passed)
        assert (await journey.delivery(sent.message_id))["state"] == "relayed"


@in_a_loop
async def test_a_mailbox_that_gives_all_mail_begins_with_what_comes_from_now_on(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        await in_thread(dovecot.append, user, compose("veche", to=user))
        await connect(journey, place.folder, account(dovecot, user, takes=ALL, after="seen"))
        await in_thread(dovecot.append, user, compose("nou", to=user, author="Ion <ion@client.test>"))

        async def opened() -> bool:
            return [one.subject for one in await journey.threads() if one.chip == "reply"] == ["nou"]

        await journey.until(opened)
        found = await visited(journey)
        assert (found.taken, found.passed) == (1, 0)

        def seen() -> list[bool]:
            with dovecot.login(user) as client:
                client.select_folder("INBOX", readonly=True)
                return [b"\\Seen" in data[b"FLAGS"] for data in client.fetch(client.search(), ["FLAGS"]).values()]

        assert await in_thread(seen) == [False, True]


@in_a_loop
async def test_taken_mail_is_moved_or_deleted_only_when_that_was_asked_for(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK) as journey:
        moving = account(dovecot, user, takes=ALL, after="move", move_to="Junk")
        await connect(journey, place.folder, moving)
        await in_thread(dovecot.append, user, compose("una", to=user))
        await in_thread(dovecot.wait_for_folder, user, "Junk", 1)
        await change(journey, place.folder, account(dovecot, user, takes=ALL, after="delete"))
        await in_thread(dovecot.append, user, compose("doua", to=user))

        async def gone() -> bool:
            left = await in_thread(dovecot.fetch, user)
            return (await row(journey)).taken == 2 and not left

        await journey.until(gone)


@in_a_loop
async def test_a_login_that_is_refused_is_said_once_and_taken_back(place: Place, dovecot: Dovecot, user: str) -> None:
    clock = Clock()
    async with open_journey(place, clock=clock, imap=QUICK) as journey:
        await connect(journey, place.folder, account(dovecot, user))
        await change(journey, place.folder, account(dovecot, user), password="wrong")

        async def failed(times: int) -> bool:
            return (await row(journey)).failures == times

        await journey.until(lambda: failed(1))
        clock.move(hours=2)
        await journey.until(lambda: failed(2))
        (thread,) = [one for one in await journey.threads() if one.chip == "mailbox"]
        (said,) = await journey.events(thread.id, "mailbox.failed")
        assert thread.state == "open" and "login refused" in said.data["words"]
        assert "wrong" not in str(said.data)
        await change(journey, place.folder, account(dovecot, user), password="secret")
        await journey.event(thread.id, "mailbox.recovered")
        assert (await journey.thread(thread.id)).state == "closed"


@in_a_loop
async def test_a_mail_that_is_too_large_is_noted_and_the_others_are_taken(
    place: Place, dovecot: Dovecot, user: str
) -> None:
    async with open_journey(place, imap=QUICK | {"max_message": 50_000}) as journey:
        await connect(journey, place.folder, account(dovecot, user, takes=ALL))
        for text in ("x" * 70 + "\n") * 2000, "scurt\n":
            await in_thread(dovecot.append, user, compose("mare sau nu", text, to=user))

        async def told() -> bool:
            return any(one.chip == "mailbox" for one in await journey.threads())

        await journey.until(told)
        (thread,) = [one for one in await journey.threads() if one.chip == "mailbox"]
        (said,) = await journey.events(thread.id, "mailbox.skipped")
        assert said.data["size"] > 50_000 and said.data["subject"] == "mare sau nu"
        found = await visited(journey)
        assert (found.taken, found.passed) == (1, 1)


@in_a_loop
async def test_idle_brings_mail_within_seconds(place: Place, dovecot: Dovecot, user: str) -> None:
    async with open_journey(place, imap={"poll_seconds": 3000}) as journey:
        sent = await relayed(journey)
        await connect_idle(journey, place, dovecot, user)
        answered = [("In-Reply-To", f"<{await message_id(journey, sent)}>")]
        begun = asyncio.get_running_loop().time()
        await in_thread(dovecot.append, user, compose("Re: Factura", "Da.", to=user, headers=answered))
        await journey.came(sent.thread_id)
        assert asyncio.get_running_loop().time() - begun < 20  # nobody would look before an hour has passed


async def connect_idle(journey: Journey, place: Place, dovecot: Dovecot, user: str) -> None:
    """A mailbox whose first visit goes over into waiting."""
    try:
        await asyncio.wait_for(connect(journey, place.folder, account(dovecot, user)), 5)
    except TimeoutError:
        assert (await row(journey)).polled_at is not None
