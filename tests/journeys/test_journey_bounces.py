"""What comes back about a delivery: real reports by SMTP, twice, late, for one of three, forged, and of strangers."""

import asyncio

from journeys.house import INBOX, RETURNS, Journey, Place, count_messages, open_journey
from journeys.letters import compose, read, report

from gateway.mail.verp import reply_address, return_path
from gateway.outbound.suppression import list_suppressed


async def suppressed(journey: Journey, tenant_id: str = "") -> list[str]:
    found = await journey.house.database.read(list_suppressed, tenant_id or journey.tenant_id)
    return [one.address for one in found]


async def back(journey: Journey, message_id: str, number: int = 1) -> str:
    """The return path of a delivery."""
    return return_path((await journey.delivery(message_id, number))["token"], RETURNS)


def test_a_bounce_fails_its_delivery_opens_the_thread_and_suppresses_the_address(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="bounce@client.test"), "bounce@client.test")
            row = await journey.settled(sent.message_id, "failed")
            assert (row["reason"], row["status"], row["code"]) == ("mailbox_unknown", "5.1.1", 550)
            assert row["text"].endswith("No such mailbox here")
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip, thread.unread) == ("open", "mailbox_unknown", 1)
            [kept] = await journey.came(sent.thread_id)
            assert kept.kind == "bounce" and "MAILER-DAEMON@mx.world.example" in kept.author
            view = await journey.view(sent.thread_id)
            assert [one.number for one in view.messages[1].about] == [1]
            said = (await journey.answers("bounce@client.test"))[0]
            assert "bounced at" in said and "No such mailbox here" in said and "had accepted it at" in said
            assert await suppressed(journey) == ["bounce@client.test"]
            await _check_next_mail(journey)

    asyncio.run(run())


async def _check_next_mail(journey: Journey) -> None:
    """The next mail to the address is settled at once, visibly; another recipient of it gets it."""
    sent = await journey.queue(compose(to="bounce@client.test"), "Bounce@client.test", "accept@client.test")
    assert "Bounce@client.test is suppressed since" in sent.text and "No such mailbox here" in sent.text
    row = await journey.settled(sent.message_id, "failed")
    assert row["reason"] == "mailbox_unknown"
    [event] = await journey.events(sent.thread_id, "recipient.suppressed")
    assert "No such mailbox here" in event.data["words"]
    assert (await journey.thread(sent.thread_id)).state == "open"
    await journey.settled(sent.message_id, "relayed", 2)
    assert not journey.arrivals("Bounce@client.test") and len(journey.arrivals("bounce@client.test")) == 1
    assert any("not mailed" in said for said in await journey.answers(sent.message_id))


def test_a_full_mailbox_reported_later_fails_but_suppresses_nobody(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            address = "bounce-later-full@client.test"
            sent = await journey.queue(compose(to=address), address)
            row = await journey.settled(sent.message_id, "failed")
            assert row["reason"] == "mailbox_full"
            assert (await journey.thread(sent.thread_id)).chip == "mailbox_full"
            assert await suppressed(journey) == []

    asyncio.run(run())


def test_a_delay_then_a_success_report_leave_the_thread_closed_and_the_delivery_delivered(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="delay@client.test"), "delay@client.test")
            await journey.settled(sent.message_id, "delivered")
            assert [one.kind for one in await journey.came(sent.thread_id, 2)] == ["delay", "success"]
            assert (await journey.thread(sent.thread_id)).state == "closed"
            assert "in the mailbox, reported at" in (await journey.answers(sent.message_id))[0]

    asyncio.run(run())


def test_a_delay_report_then_a_failure_fails_once_and_a_second_failure_is_only_noted(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            await journey.settled(sent.message_id, "relayed")
            to = await back(journey, sent.message_id)
            for action, status, state in (
                ("delayed", "4.4.1", "relayed"),
                ("failed", "5.1.1", "failed"),
                ("failed", "5.2.1", "failed"),
                ("delivered", "2.0.0", "failed"),
            ):
                answer = await journey.come(report(("accept@client.test", action, status), to=to), to)
                assert answer.code == 250, answer
                assert (await journey.delivery(sent.message_id))["state"] == state
            row = await journey.delivery(sent.message_id)
            assert row["status"] == "5.1.1"  # the first failure stays
            assert len(await journey.events(sent.thread_id, "recipient.bounced")) == 1
            ignored = await journey.events(sent.thread_id, "report.ignored")
            assert [event.data["words"][:9] for event in ignored] == ["550 5.2.1", "550 2.0.0"]
            assert (await journey.thread(sent.thread_id)).unread == 1
            assert len(await journey.came(sent.thread_id)) == 4

    asyncio.run(run())


def test_the_same_report_twice_is_kept_once(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            await journey.settled(sent.message_id, "relayed")
            to = await back(journey, sent.message_id)
            raw = report(("accept@client.test", "failed", "5.1.1"), to=to)
            without_id = raw.replace(b"Message-ID: <", b"X-Not-It: <", 1)
            for one in (raw, without_id):
                before = await journey.house.database.read(count_messages, "in")
                first, again = await journey.come(one, to), await journey.come(one, to)
                assert first.code == again.code == 250 and first.word("as") == again.word("as")
                assert await journey.house.database.read(count_messages, "in") == before + 1
            assert len(await journey.events(sent.thread_id, "recipient.bounced")) == 1

    asyncio.run(run())


def test_a_report_about_one_of_three_recipients_touches_that_one_only(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            people = ("ana@client.test", "bounce@client.test", "ion@client.test")
            sent = await journey.queue(compose(to=", ".join(people)), *people)
            await journey.settled(sent.message_id, "failed", 2)
            for number in (1, 3):
                await journey.settled(sent.message_id, "relayed", number)
            assert await suppressed(journey) == ["bounce@client.test"]
            # one to the return path of the third that names all three is about the third alone
            to = await back(journey, sent.message_id, 3)
            rows = [(address, "failed", "5.1.1") for address in people]
            assert (await journey.come(report(*rows, to=to), to)).code == 250
            states = [row["state"] for row in await journey.deliveries(sent.message_id)]
            assert states == ["relayed", "failed", "failed"]

    asyncio.run(run())


def test_one_report_to_the_return_paths_of_two_recipients_counts_for_both_and_is_kept_once(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            people = ("ana@client.test", "ion@client.test")
            sent = await journey.queue(compose(to=", ".join(people)), *people)
            for number in (1, 2):
                await journey.settled(sent.message_id, "relayed", number)
            paths = [await back(journey, sent.message_id, number) for number in (1, 2)]
            rows = [(address, "failed", f"5.1.{number}") for number, address in enumerate(people, 1)]
            assert (await journey.come(report(*rows, to=paths[0]), *paths)).code == 250
            assert [row["state"] for row in await journey.deliveries(sent.message_id)] == ["failed", "failed"]
            assert [row["status"] for row in await journey.deliveries(sent.message_id)] == ["5.1.1", "5.1.2"]
            assert len(await journey.came(sent.thread_id)) == 1
            assert len((await journey.view(sent.thread_id)).messages[1].about) == 2

    asyncio.run(run())


def test_a_report_about_a_mail_whose_dot_went_unanswered_ends_its_delivery(place: Place) -> None:
    """The next hop took it and could not say so; or its report is faster than our own note of its 250."""

    async def run() -> None:
        async with open_journey(place) as journey:
            for action, status, state in (("failed", "5.1.1", "failed"), ("delivered", "2.0.0", "delivered")):
                address = f"drop-kept+{action}@client.test"
                sent = await journey.queue(compose(to=address), address)
                assert (await journey.tried(sent.message_id))["state"] == "queued"
                to = await back(journey, sent.message_id)
                assert (await journey.come(report((address, action, status), to=to), to)).code == 250
                assert (await journey.delivery(sent.message_id))["state"] == state
                thread = await journey.thread(sent.thread_id)
                assert thread.chip == ("mailbox_unknown" if action == "failed" else "")
            journey.clock.move(hours=6)
            await asyncio.sleep(1.5)  # longer than the queue looks away
            assert len(journey.world.received) == 2  # nothing was sent again
            assert await suppressed(journey) == ["drop-kept+failed@client.test"]

    asyncio.run(run())


def test_forged_addresses_are_refused_at_rcpt(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            reply_to = str(await _reply_to(journey, "accept@client.test"))
            token = (await journey.settled(sent.message_id, "relayed"))["token"]
            real = return_path(token, RETURNS)
            last = "a" if token[-1] != "a" else "b"
            local = reply_to.partition("@")[0]
            mac_end = "a" if local[-1] != "a" else "b"
            forged = [
                return_path(token[:-1] + last, RETURNS),
                f"b+{token}@{INBOX}",
                f"b+{token[:-1]}@{RETURNS}",
                f"{local[:-1]}{mac_end}@{INBOX}",
                f"beta{local[4:]}@{INBOX}",  # another tenant's name, a right thread
                reply_address("beta", b"guessed", journey.other_id, sent.thread_id, INBOX),
                f"{local}@{RETURNS}",
                f"nobody@{INBOX}",
                f"send@{INBOX}",
                "ana@client.test",
            ]
            for address in forged:
                answer = await journey.come(compose(to=address), address)
                assert (answer.stage, answer.code) == ("rcpt", 550), (address, answer)
                assert answer.text.startswith("5.1.1 "), answer
            for address in (real, real.upper(), reply_to, reply_to.swapcase(), f"acme@{INBOX}", f"ACME@{INBOX}"):
                answer = await journey.come(compose(to=address), address, return_path="a@client.test")
                assert answer.code == 250, (address, answer)

    asyncio.run(run())


async def _reply_to(journey: Journey, recipient: str) -> str:
    return str(read((await journey.arrival(recipient)).raw)["Reply-To"].addresses[0].addr_spec)


def test_nonsense_to_a_real_return_path_is_kept_and_suppresses_nobody(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            await journey.settled(sent.message_id, "relayed")
            to = await back(journey, sent.message_id)
            report_head = report(("x@y.test", "failed", "5.1.1"), to=to).partition(b"\r\n\r\n")[0]
            for body in (
                b"",
                b"\xff\xfe" * 500,
                b"--=b\r\nContent-Type: message/delivery-status\r\n\r\nAction: exploded\r\nStatus: 9.9.9\r\n",
                b"--=b\r\nContent-Type: message/delivery-status\r\n\r\n" + b"Final-Recipient: rfc822; " * 300,
            ):
                answer = await journey.come(report_head + b"\r\n\r\n" + body, to, return_path="s@stranger.test")
                assert answer.code == 250, answer
            assert await suppressed(journey) == []
            assert len(await journey.came(sent.thread_id)) >= 1

    asyncio.run(run())


def test_a_report_without_our_token_is_matched_by_message_id_and_never_suppresses(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            people = ("ana@client.test", "ion@client.test")
            sent = await journey.queue(compose(to=", ".join(people)), *people)
            for number in (1, 2):
                await journey.settled(sent.message_id, "relayed", number)
            message_id, to = f"{sent.message_id}@gateway.test", f"acme@{INBOX}"
            raw = report(("ion@client.test", "failed", "5.1.1"), to=to, message_id=message_id)
            assert (await journey.come(raw, to)).code == 250
            states = [row["state"] for row in await journey.deliveries(sent.message_id)]
            assert states == ["relayed", "failed"]
            assert (await journey.thread(sent.thread_id)).chip == "mailbox_unknown"
            assert [one.kind for one in await journey.came(sent.thread_id)] == ["bounce"]
            assert await suppressed(journey) == []
            # the same about another tenant's mail changes nothing, and a person of that tenant may look at it
            raw = report(("ana@client.test", "failed", "5.1.1"), to=f"beta@{INBOX}", message_id=message_id)
            assert (await journey.come(raw, f"beta@{INBOX}")).code == 250
            assert (await journey.delivery(sent.message_id, 1))["state"] == "relayed"
            assert [thread.chip for thread in await journey.threads(journey.other_id)] == ["unclear"]

    asyncio.run(run())


def complaint(about: str, to: str, kind: str = "abuse") -> bytes:
    """A feedback report (RFC 5965) about a mail with a Message-ID."""
    text = f"""From: Feedback <fbl@provider.test>
To: {to}
Subject: FW: complaint
Message-ID: <c-{kind}-{about[:20]}@provider.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="=b"

--=b
Content-Type: text/plain

This is an abuse report.

--=b
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Provider/1.0
Version: 1
Original-Rcpt-To: <ana@client.test>

--=b
Content-Type: text/rfc822-headers

Message-ID: <{about}>
To: ana@client.test
Subject: Factura

--=b--
"""
    return text.replace("\n", "\r\n").encode()


def test_a_complaint_is_its_recipients_event_opens_the_thread_and_suppresses_nobody(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="ana@client.test"), "ana@client.test", "bob@client.test")
            await journey.settled(sent.message_id, "relayed")
            own = read((await journey.arrival("ana@client.test")).raw)["Message-ID"].strip("<>")
            inbox = f"acme@{INBOX}"
            for kind, state in (("not-spam", "closed"), ("abuse", "open")):
                assert (await journey.come(complaint(own, inbox, kind), inbox)).code == 250
                assert (await journey.thread(sent.thread_id)).state == state
            events = await journey.events(sent.thread_id, "recipient.complained")
            assert [(one.message_id, one.number, one.data["kind"]) for one in events] == [(sent.message_id, 1, "abuse")]
            assert (await journey.thread(sent.thread_id)).chip == "complaint"
            assert await suppressed(journey) == []
            forged = complaint("guessed@acme.test", inbox)
            assert (await journey.come(forged, inbox)).code == 250
            assert len(await journey.events(sent.thread_id, "recipient.complained")) == 1
            assert (await journey.delivery(sent.message_id))["state"] == "relayed"

    asyncio.run(run())
