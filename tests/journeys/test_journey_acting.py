"""What clerks do with threads: states, snooze, assignees, tags, notes, promises, undo, presence; on both databases."""

import asyncio
from datetime import date, timedelta

import pytest
from journeys.house import INBOX, Journey, Place, open_journey
from journeys.letters import compose

from gateway.inbox import acting, noting, promising
from gateway.inbox.listing import VIEWS, count_views, list_page
from gateway.inbox.reading import read_thread
from gateway.mail.reply import Refused
from gateway.store.presence import ANSWERING, be_gone, be_present, who_is_present
from gateway.store.tags import list_tags
from gateway.store.threads import wake_threads
from gateway.store.users import add_user

BY = "maria@acme.test"


async def view(journey: Journey, name: str, user_id: str = "-") -> list[str]:
    page = await journey.house.database.read(list_page, journey.tenant_id, view=name, user_id=user_id)
    return [line.thread.id for line in page.lines]


async def letters(journey: Journey, count: int) -> list[str]:
    """Threads that a person's mail opened."""
    found = []
    for number in range(count):
        raw = compose(f"Întrebarea {number}", "Când?\n", author=f"ana{number}@client.test")
        answer = await journey.come(raw, f"acme@{INBOX}", return_path="ana@client.test")
        found.append(answer.word("thread"))
    return found


def test_each_state_has_its_view_and_an_act_can_be_undone(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            write, now, tenant = journey.house.database.write, journey.clock, journey.tenant_id
            one, two, three = await letters(journey, 3)
            assert await view(journey, "todo") == [three, two, one] == await view(journey, "replies")
            for act, state, name in (
                (acting.close, "closed", "closed"),
                (acting.wait, "waiting", "waiting"),
                (acting.mark_spam, "spam", "spam"),
            ):
                done = await write(act, now(), tenant, [one, two], BY)
                assert done.threads == (one, two)
                assert await view(journey, name) == [two, one]
                assert await view(journey, "todo") == [three]
                assert (await journey.thread(one)).state == state
                assert await write(acting.undo, now(), tenant, done.undo, BY) == (one, two)
                assert await view(journey, "todo") == [three, two, one]
                assert (await journey.thread(one)).unread == 1
                with pytest.raises(Refused):  # once
                    await write(acting.undo, now(), tenant, done.undo, BY)
            done = await write(acting.close, now(), tenant, [one], BY)
            assert (await write(acting.close, now(), tenant, [one], BY)).threads == ()
            with pytest.raises(Refused):  # another's
                await write(acting.undo, now(), tenant, done.undo, "ion@acme.test")
            with pytest.raises(Refused):  # too late
                await write(acting.undo, now() + timedelta(seconds=16), tenant, done.undo, BY)
            with pytest.raises(Refused) as foreign:
                await write(acting.close, now(), journey.other_id, [two], BY)
            assert foreign.value.reply.code == 404
            closed = [event.data["by"] for event in await journey.events(one, "thread.closed")]
            assert closed == [BY, BY] and len(await journey.events(one, "thread.restored")) == 3
            assert await view(journey, "all") == [three, two, one]

    asyncio.run(run())


def test_mail_opens_what_waits_and_leaves_spam_alone(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            write, now, tenant = journey.house.database.write, journey.clock, journey.tenant_id
            one, two = await letters(journey, 2)
            await write(acting.wait, now(), tenant, [one], BY)
            await write(acting.mark_spam, now(), tenant, [two], BY)
            for number in (0, 1):
                first = (await journey.came((one, two)[number]))[0].rfc_message_id
                raw = compose("Re: x", "Da.\n", author="ana@client.test", headers=[("In-Reply-To", f"<{first}>")])
                await journey.come(raw, f"acme@{INBOX}", return_path="ana@client.test")
            assert [(await journey.thread(one)).state, (await journey.thread(two)).state] == ["open", "spam"]
            assert len(await journey.came(two)) == 2

    asyncio.run(run())


def test_a_snoozed_thread_wakes_by_itself(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            write, now, tenant = journey.house.database.write, journey.clock, journey.tenant_id
            one, two = await letters(journey, 2)
            until = now() + timedelta(hours=3)
            await write(acting.snooze, now(), tenant, [one], BY, until)
            await write(acting.snooze, now(), tenant, [two], BY, until - timedelta(hours=1))
            assert await view(journey, "snoozed") == [two, one] and await view(journey, "todo") == []
            assert await view(journey, "waiting") == []
            with pytest.raises(Refused):
                await write(acting.snooze, now(), tenant, [one], BY, now() - timedelta(minutes=1))
            woken = [await write(wake_threads, int(until.timestamp() * 1000) - 1, tenant)]
            woken.append(await write(wake_threads, int(until.timestamp() * 1000), tenant))
            assert woken == [1, 1]
            thread = await journey.thread(one)
            assert (thread.state, thread.chip, thread.snoozed_until) == ("open", "snooze_over", None)
            assert await view(journey, "todo") == [one, two]

    asyncio.run(run())


def test_assignees_tags_and_notes_are_told_with_who_and_never_leave(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            database, now, tenant = journey.house.database, journey.clock, journey.tenant_id
            write = database.write
            one, two = await letters(journey, 2)
            maria = await write(add_user, now(), tenant, "maria@acme.test", "a long enough secret", name="Maria")
            await write(acting.assign, now(), tenant, [one], BY, "Maria@acme.test")
            assert await view(journey, "mine", maria.id) == [one] and await view(journey, "unassigned") == [two]
            with pytest.raises(Refused):
                await write(acting.assign, now(), tenant, [one], BY, "nobody@acme.test")
            await write(acting.tag, now(), tenant, [one, two], BY, "Grupul  VIP")
            assert await database.read(list_tags, tenant) == [("grupul-vip", 2)]
            await write(acting.untag, now(), tenant, [two], BY, "grupul-vip")
            note = await write(noting.add_note, now(), tenant, one, "A sunat:\r\nplătește luni", BY)
            found = await database.read(read_thread, tenant, one)
            assert found is not None
            assert [one.text for one in found.notes] == ["A sunat:\nplătește luni"] and found.tags == ("grupul-vip",)
            assert len(found.entries()) == 2 and found.people[maria.id] == "Maria"
            with pytest.raises(Refused):
                await write(noting.remove_note, now(), tenant, note, "ion@acme.test")
            await write(noting.remove_note, now(), tenant, note, BY)
            counts = await database.read(count_views, tenant, maria.id)
            assert (counts["todo"], counts["mine"], counts["unassigned"], counts["scheduled"]) == (2, 1, 1, 0)
            told = {event.type: event.data for event in found.events}
            assert told["thread.assigned"]["to"] == "Maria" and told["note.added"] == {"by": BY, "note": note}
            await write(be_present, now(), tenant, one, maria.id, ANSWERING)
            [present] = (await database.read(who_is_present, now(), tenant, [one, two]))[one]
            assert (present.name, present.doing) == ("Maria", ANSWERING)
            assert await database.read(who_is_present, now(), tenant, [one], maria.id) == {}
            assert await database.read(who_is_present, now() + timedelta(seconds=61), tenant, [one]) == {}
            await write(be_gone, tenant, one, maria.id)
            assert await database.read(who_is_present, now(), tenant, [one]) == {}

    asyncio.run(run())


def test_a_promise_needs_a_document(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            write, now, tenant = journey.house.database.write, journey.clock, journey.tenant_id
            [one] = await letters(journey, 1)
            with pytest.raises(Refused) as refused:
                await write(promising.promise, now(), tenant, one, date(2030, 1, 1), BY)
            assert refused.value.reply.code == 409
            sent = await journey.queue(compose("Factura INV-77"), "accept@client.test")
            day = now().date() + timedelta(days=5)
            await write(promising.promise, now(), tenant, sent.thread_id, day, BY, amount="10.00")
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.promised_on, thread.promised_amount) == ("waiting", day.isoformat(), "10.00")
            assert await view(journey, "promised") == [sent.thread_id]
            assert await write(promising.forget_promise, now(), tenant, sent.thread_id, BY)
            assert await view(journey, "promised") == []

    asyncio.run(run())


def test_a_view_is_read_page_by_page_without_a_gap(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            read, write, now, tenant = (
                journey.house.database.read, journey.house.database.write, journey.clock, journey.tenant_id,
            )  # fmt: skip
            threads = await letters(journey, 5)
            for number, one in enumerate(threads[:4]):
                await write(acting.snooze, now(), tenant, [one], BY, now() + timedelta(hours=1 + number // 2))
            for name in VIEWS:
                whole = [line.thread.id for line in (await read(list_page, tenant, view=name)).lines]
                paged, cursor = [], ""
                for _ in range(6):
                    page = await read(list_page, tenant, view=name, cursor=cursor, limit=1)
                    paged += [line.thread.id for line in page.lines]
                    cursor = page.cursor
                    if not cursor:
                        break
                assert paged == whole, name

    asyncio.run(run())
