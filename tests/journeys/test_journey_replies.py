"""People and their machines answer: into the right thread, opening it only when a person is needed."""

import asyncio
from datetime import date
from email.message import EmailMessage

import pytest
from journeys.house import INBOX, RETURNS, Journey, Place, open_journey
from journeys.letters import compose, read, report

from gateway.inbound.reception import replay
from gateway.mail.verp import return_path
from gateway.serve.parts import make_letterhead
from gateway.serve.receiving import make_reception
from gateway.store.messages import get_content, list_received
from gateway.store.schema import OPERATOR
from gateway.store.sealed import make_secret
from gateway.wire.workers import WorkerPool

NAMES = {"ro": "Factura", "ru": "Счёт", "en": "Invoice"}


async def reply_address(journey: Journey, recipient: str) -> str:
    """The Reply-To of the mail that the recipient got."""
    arrived = read((await journey.arrival(recipient)).raw)
    return str(arrived["Reply-To"].addresses[0].addr_spec)


def answer_to(arrived: EmailMessage, to: str, text: str, author: str, **fields: str) -> bytes:
    headers = [("In-Reply-To", arrived["Message-ID"]), ("References", arrived["Message-ID"])]
    return compose(f"Re: {arrived['Subject']}", text, author=author, to=to, headers=[*headers, *fields.items()])


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
def test_a_persons_reply_opens_its_thread_with_the_new_words_apart_from_the_quote(place: Place, language: str) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            original = compose(
                f"{NAMES[language]} 7", "Suma: 7,00 MDL\n", to="Ana <person@client.test>",
                headers=[("X-AR-Language", language)],
            )  # fmt: skip
            sent = await journey.queue(original, "person@client.test")
            [kept] = await journey.came(sent.thread_id)
            assert (kept.kind, kept.author) == ("person", "Ana <person@client.test>")
            assert kept.subject == f"Re: {NAMES[language]} 7"
            assert kept.body_text.strip() and "7,00 MDL" not in kept.body_text
            assert "7,00 MDL" in kept.detail["quoted"] and ">" in kept.detail["quoted"]
            assert kept.detail["from_unknown"] is False
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip, thread.unread) == ("open", "reply", 1)
            assert len(await journey.events(sent.thread_id, "reply.received")) == 1
            assert len(await journey.threads()) == 1

    asyncio.run(run())


def test_an_out_of_office_answer_is_noted_and_opens_nothing(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="away@client.test"), "away@client.test")
            [kept] = await journey.came(sent.thread_id)
            assert kept.kind == "auto_reply"
            assert date.fromisoformat(kept.detail["absence"]["back_on"]) > date.today()
            assert (await journey.thread(sent.thread_id)).state == "closed"
            assert len(await journey.events(sent.thread_id, "autoreply.received")) == 1
            assert (await journey.delivery(sent.message_id))["state"] == "relayed"

    asyncio.run(run())


def test_a_reply_from_an_address_that_the_thread_never_wrote_to_is_flagged(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            to = await reply_address(journey, "accept@client.test")
            for author, unknown in (("Ion <ion@evil.test>", True), ("ACCEPT@Client.Test", False)):
                raw = compose("Re: Factura", "Da.\n", author=author, to=to)
                assert (await journey.come(raw, to, return_path="ion@evil.test")).code == 250
                kept = (await journey.came(sent.thread_id))[-1]
                assert kept.detail["from_unknown"] is unknown, author

    asyncio.run(run())


def test_a_reply_to_the_inbox_address_finds_its_thread_by_what_it_answers(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="accept@client.test"), "accept@client.test")
            arrived = read((await journey.arrival("accept@client.test")).raw)
            ours, root, theirs = arrived["Message-ID"], arrived["References"], read(compose())["Message-ID"]
            for number, headers in enumerate(
                (
                    [("In-Reply-To", ours)],
                    [("References", f"{root} <other@x.test> {ours}")],
                    [("In-Reply-To", "<gone@x.test>"), ("References", root)],  # a client that lost all but the root
                    [("In-Reply-To", theirs), ("References", f"{theirs} {root}")],
                ),
                1,
            ):
                raw = compose("Re: x", f"Răspuns {number}\n", author="accept@client.test", headers=headers)
                answer = await journey.come(raw, f"acme@{INBOX}", return_path="accept@client.test")
                assert answer.word("thread") == sent.thread_id, headers
                assert len(await journey.came(sent.thread_id)) == number
            assert len(await journey.threads()) == 1

    asyncio.run(run())


def test_mail_to_the_inbox_address_that_answers_nothing_begins_a_thread(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            raw = compose("O întrebare", "Când?\n", author="Ana <ana@client.test>", to=f"acme@{INBOX}")
            answer = await journey.come(raw, f"acme@{INBOX}", return_path="ana@client.test")
            thread = await journey.thread(answer.word("thread"))
            assert thread.id != sent.thread_id
            assert (thread.state, thread.chip, thread.subject, thread.customer) == (
                "open",
                "reply",
                "O întrebare",
                "Ana",
            )
            [kept] = await journey.came(thread.id)
            assert kept.detail["from_unknown"] is True
            # another tenant's references mean nothing here
            ours = read((await journey.arrival("accept@client.test")).raw)["Message-ID"]
            raw = compose("Re: x", author="ana@client.test", headers=[("In-Reply-To", ours), ("References", ours)])
            answer = await journey.come(raw, f"beta@{INBOX}", return_path="ana@client.test")
            assert (await journey.thread(answer.word("thread"), journey.other_id)).subject == "Re: x"

    asyncio.run(run())


def test_the_address_of_a_thread_counts_wherever_it_stands_and_whatever_the_headers_say(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            first = await journey.queue(compose(to="ana@client.test"), "ana@client.test")
            second = await journey.queue(compose(to="ion@client.test"), "ion@client.test")
            to, other = await reply_address(journey, "ana@client.test"), await reply_address(journey, "ion@client.test")
            # in Cc, in Bcc (the envelope alone), beside the inbox address that is named first
            for number, recipients in enumerate(([to], [f"acme@{INBOX}", to], [to, f"acme@{INBOX}"]), 1):
                headers = [("Cc", to)] if number == 1 else []
                raw = compose("Re: x", f"{number}\n", author="ana@client.test", to="boss@client.test", headers=headers)
                answer = await journey.come(raw, *recipients, return_path="ana@client.test")
                assert answer.word("thread") == first.thread_id
                assert len(await journey.came(first.thread_id)) == number
            assert len(await journey.threads()) == 2
            # the token wins over References of another thread
            arrived = read((await journey.arrival("ion@client.test")).raw)
            raw = answer_to(arrived, to, "Da.\n", "ion@client.test")
            assert (await journey.come(raw, to, return_path="ion@client.test")).word("thread") == first.thread_id
            # one mail for two threads is kept in both
            raw = compose("Re: amândouă", author="ana@client.test", to=f"{to}, {other}")
            assert (await journey.come(raw, to, other, return_path="ana@client.test")).code == 250
            for sent in (first, second):
                assert (await journey.came(sent.thread_id))[-1].subject == "Re: amândouă"

    asyncio.run(run())


def test_the_same_reply_twice_is_kept_once(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            to = await reply_address(journey, "accept@client.test")
            raw = compose("Re: x", author="accept@client.test", to=to)
            bare = raw.replace(b"Message-ID: <", b"X-Not-It: <", 1)
            for one in (raw, raw, bare, bare):
                assert (await journey.come(one, to, return_path="accept@client.test")).code == 250
            assert len(await journey.came(sent.thread_id)) == 2
            assert (await journey.thread(sent.thread_id)).unread == 2

    asyncio.run(run())


def test_a_reply_with_odd_characters_is_kept_whole(place: Place) -> None:
    """NUL and lone surrogates are what a database may refuse; nobody's mail may be refused for them."""

    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            to = await reply_address(journey, "accept@client.test")
            odd = (
                b"From: =?utf-8?q?A=00na?= <accept@client.test>\r\nTo: x\r\nSubject: =?utf-8?q?NUL_=00_=ED=A0=80?=\r\n"
                b"Message-ID: <odd=00\xff@x.test>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
                b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
                b"a=00b =ED=A0=80 \xff c\r\n--b\r\nContent-Type: application/x=00; name*=utf-8''%00%ED%A0%80.pdf\r\n"
                b"Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n"
            )
            utf16 = (
                b"From: accept@client.test\r\nSubject: =?utf-16?b?AAAAAA==?= =?utf-7?q?+2AA-?=\r\n"
                b"Content-Type: text/plain; charset=utf-16-le\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                b"AAAA2EEA\r\n"
            )
            for number, raw in enumerate((odd, utf16), 1):
                answer = await journey.come(raw, to, return_path="accept@client.test")
                assert answer.code == 250, answer
                kept = (await journey.came(sent.thread_id, number))[-1]
                assert await journey.house.database.read(get_content, journey.tenant_id, kept.id) == raw
                assert "\0" not in kept.subject + kept.body_text + kept.author

    asyncio.run(run())


def test_mail_that_cannot_be_read_within_its_limits_is_kept_and_shown(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            to = await reply_address(journey, "accept@client.test")
        async with open_journey(place, workers={"parse_seconds": 0.0001}) as journey:
            raw = compose("Re: x", "cuvinte\n" * 5000, author="accept@client.test", to=to)
            answer = await journey.come(raw, to, return_path="accept@client.test")
            assert answer.code == 250 and answer.word("thread") == sent.thread_id
            again = await journey.come(raw, to, return_path="accept@client.test")
            assert again.word("as") == answer.word("as")
            [kept] = await journey.came(sent.thread_id)
            assert kept.kind == "unreadable"
            assert await journey.house.database.read(get_content, journey.tenant_id, kept.id) == raw
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip) == ("open", "unreadable")
            await journey.view(sent.thread_id)
            answer = await journey.come(raw, f"acme@{INBOX}", return_path="accept@client.test")
            assert answer.code == 250
        async with open_journey(place) as journey:  # the workers are well again, and so is the next mail
            raw = compose("Re: y", author="accept@client.test", to=to)
            assert (await journey.come(raw, to, return_path="accept@client.test")).code == 250
            assert (await journey.came(sent.thread_id))[-1].kind == "person"

    asyncio.run(run())


def test_mail_that_could_not_be_read_has_its_effects_once_it_is_read_again(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="ana@client.test"), "ana@client.test")
            await journey.settled(sent.message_id, "relayed")
            back = return_path((await journey.delivery(sent.message_id))["token"], RETURNS)
        async with open_journey(place, workers={"parse_seconds": 0.0001}) as journey:
            bounced = report(("ana@client.test", "failed", "5.1.1"), to=back)
            assert (await journey.come(bounced, back)).code == 250
            letter = compose("Bună ziua", author="ion@client.test")
            assert (await journey.come(letter, f"acme@{INBOX}", return_path="ion@client.test")).code == 250
            assert (await journey.delivery(sent.message_id))["state"] == "relayed"
        async with open_journey(place) as journey:
            database, pool = journey.house.database, WorkerPool(1)
            letterhead = make_letterhead(
                journey.house.config, await database.write(make_secret, journey.house.seal, OPERATOR, "reply-key")
            )
            reception = make_reception(journey.house.config, database, letterhead, pool, None)
            kept = await database.read(list_received, journey.tenant_id, "unreadable")
            assert len(kept) == 2
            for one in (*kept, kept[0]):
                raw = await database.read(get_content, journey.tenant_id, one.id)
                await replay(reception, one, raw, journey.clock())
            pool.close()
            assert (await journey.delivery(sent.message_id))["state"] == "failed"
            assert (await journey.thread(sent.thread_id)).chip == "mailbox_unknown"
            subjects = {thread.subject: thread.state for thread in await journey.threads()}
            assert subjects["Bună ziua"] == "open" and subjects["(unreadable mail)"] == "closed"
            assert not await database.read(list_received, journey.tenant_id, "unreadable")
            assert len(await journey.came(sent.thread_id)) == 1

    asyncio.run(run())


def test_a_mail_loop_is_refused(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            hops = b"Received: from a.test by b.test; Tue, 24 Nov 2026 10:00:00 +0000\r\n"
            before = await journey.counts()
            answer = await journey.come(hops * 51 + compose(), f"acme@{INBOX}", return_path="a@b.test")
            assert answer.code == 554 and answer.text.startswith("5.4.6 "), answer
            assert await journey.counts() == before
            answer = await journey.come(hops * 50 + compose(), f"acme@{INBOX}", return_path="a@b.test")
            assert answer.code == 250

    asyncio.run(run())


def test_lmtp_answers_for_every_recipient(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "accept@client.test")
            to = await reply_address(journey, "accept@client.test")
            raw = compose("Re: x", author="accept@client.test", to=to)
            everybody = (to, f"acme@{INBOX}", f"beta@{INBOX}")
            answer = await journey.come(raw, *everybody, return_path="accept@client.test", lmtp=True)
            assert [code for code, _ in answer.all] == [250, 250, 250]
            assert sent.thread_id in answer.all[0][1] and sent.thread_id in answer.all[1][1]
            [beta] = await journey.threads(journey.other_id)
            assert beta.id in answer.all[2][1]
            answer = await journey.come(raw, f"nobody@{INBOX}", return_path="accept@client.test", lmtp=True)
            assert (answer.stage, answer.code) == ("rcpt", 550)

    asyncio.run(run())
