"""The SMTP client and servers that are silent, leave, or say what is no SMTP: nothing lost, nothing bounced for it.

The language of the scripts is told in smtp_script.py.
"""

import asyncio
import socket

import pytest
from journeys.smtp_script import (
    ACCEPT,
    BIG,
    BOTH,
    ENVELOPE,
    GO,
    HASTY,
    MAIL,
    PIPE,
    QUICK,
    STEP,
    TWO,
    Loose,
    Script,
    exchange,
    fail_to_connect,
    play_on,
    until_dot,
)

from gateway.mail.status import Action
from gateway.outbound.smtp_client import Target, Timeouts, connect
from gateway.outbound.smtp_wire import Wire


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request):
    """Runs a coroutine on one of the two loops."""
    return play_on(request.param)


# -- the network ------------------------------------------------------------------------------------------------------


def test_nobody_at_the_port_is_4_4_1(play):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets it
        status = play(connect(Target("mx.test", "127.0.0.1", taken.getsockname()[1], helo="me.test"), QUICK))
    assert (status.action, status.status, status.reason) == (Action.DELAYED, "4.4.1", "unreachable")
    assert "refused" in status.text


@pytest.mark.parametrize(
    "script",
    [
        ["sleep 5"],
        ["drip 220 a very slow greeting"],
        ["> 220 mx", "< EHLO me.test", "sleep 5"],
        ["> 220 mx", "< EHLO me.test", "raw 250-mx\\r\\n", "sleep 5"],
        ["close"],
        ["reset"],
        ["> 220 mx", "< EHLO me.test", "close"],
        ["> 220 mx", "< EHLO me.test", "raw 250-mx\\r\\n", "close"],
    ],
)
def test_a_server_that_is_silent_or_leaves_before_mail_is_4_4_2(play, script):
    assert play(fail_to_connect(Script(script), HASTY)).status == "4.4.2"


@pytest.mark.parametrize("end", ["sleep 5", "close", "reset", "drip 250-ok very slowly and without an end"])
@pytest.mark.parametrize(
    ("replies", "stage"),
    [
        ([], "mail"),
        (["> 250 ok"], "rcpt"),
        (["> 250 ok", "> 250 ok"], "data"),
        (["> 250 ok", "> 250 ok", "> 354 go", "<."], "dot"),
    ],
)
def test_only_after_the_dot_is_a_lost_answer_unclear(play, replies, stage, end):
    script = Script([*PIPE, *ENVELOPE, *replies, end])
    (outcome,), reusable = play(exchange(script, MAIL, timeouts=HASTY))
    assert (outcome.status.action, outcome.status.status) == (Action.DELAYED, "4.4.2")
    assert (outcome.stage, outcome.unclear) == (stage, stage == "dot")
    assert not reusable


def test_a_server_that_closes_right_after_its_answer_has_answered(play):
    script = Script(
        [*PIPE, *ENVELOPE, *ACCEPT, "close"], [*PIPE, *ENVELOPE, "> 250 ok", "> 550 5.1.1 no", "> 503 no", "close"]
    )
    (outcome,), _ = play(exchange(script, MAIL))
    assert outcome.status.action is Action.RELAYED
    script = Script([*PIPE, *ENVELOPE, "> 250 ok", "> 550 5.1.1 no", "> 503 no", "close"])
    (outcome,), _ = play(exchange(script, MAIL))
    assert outcome.status.action is Action.FAILED


def test_a_refusal_stands_when_the_connection_is_lost_after_it(play):
    script = Script([*PIPE, *TWO, "> 250 ok", "> 550 5.1.1 nobody", "> 250 ok", "close"])
    (first, second), _ = play(exchange(script, BOTH))
    assert (first.status.action, first.status.code) == (Action.FAILED, 550)
    assert (second.status.action, second.status.status, second.unclear) == (Action.DELAYED, "4.4.2", False)


@pytest.mark.parametrize(
    ("end", "action", "code"),
    [
        (["> 550 5.7.1 no more", "close"], Action.FAILED, 550),
        (["> 550 5.7.1 no more", "sleep 5"], Action.FAILED, 550),
        (["> 451 4.3.0 no more", "sleep 5"], Action.DELAYED, 451),
        (["> 250 taken", "sleep 5"], Action.DELAYED, 0),
        (["> 354 more", "sleep 5"], Action.DELAYED, 0),
        (["> 550 no", "> 250 taken", "sleep 5"], Action.DELAYED, None),
        (["raw junk", "sleep 5"], Action.DELAYED, 0),
        (["close"], Action.DELAYED, 0),
        (["reset"], Action.DELAYED, 0),
        (["sleep 5"], Action.DELAYED, 0),
    ],
)
def test_what_comes_while_the_message_is_being_written_is_noticed(play, end, action, code):
    if end[0] == "> 550 no":
        end, code = ["raw 550 no\\r\\n250 taken\\r\\n", "sleep 5"], 0
    script = Script([*GO, "take 100000", *end])
    (outcome,), reusable = play(exchange(script, BIG, timeouts=HASTY))
    assert (outcome.status.action, outcome.status.code) == (action, code)
    assert (outcome.stage, outcome.unclear) == ("body", False)
    assert not reusable


def test_a_server_that_reads_slowly_but_reads_gets_its_message(play):
    stalls = ["take 3000000", "sleep 0.4"] * 4  # together longer than the deadline, which begins anew with each part
    script = Script([*GO, *stalls, "rest", "> 250 ok"])

    async def rest(_):
        async for _ in until_dot(script.reader):
            pass

    script.rest = rest
    (outcome,), _ = play(exchange(script, BIG, timeouts=Timeouts(body=1)))
    assert outcome.seconds > 1
    assert outcome.status.action is Action.RELAYED


@pytest.mark.parametrize(
    ("end", "codes", "words"),
    [
        (["> 550 5.7.1 no more", "sleep 5"], [550], ""),
        (["close"], [], "lost"),
        (["reset"], [], "lost"),
        (["sleep 5"], [], "no answer within 0.6 s"),
    ],
)
def test_a_last_part_that_has_not_left_is_not_sent(play, end, codes, words):
    """The kernel's buffers are large: only a part larger than they are shows the last bytes waiting."""

    async def pour():
        loop = asyncio.get_running_loop()
        async with Script(["> 220 mx", "take 100000", *end]) as script:
            _, wire = await loop.create_connection(lambda: Wire(loop), "127.0.0.1", script.port)
            await wire.greeting(5)
            replies = await wire.pour([(BIG.raw, b".\r\n")], 0.6, 5, 1)
            trouble = wire.trouble
            wire.abort()
        assert [reply.code for reply in replies] == codes
        assert not wire.sent
        assert words in trouble.text if words else trouble is None

    play(pour())


def test_a_transaction_may_not_take_for_ever(play):
    step = "drip 250 okay\r\n"  # each answer in time, all together too late
    script = Script([*STEP, ENVELOPE[0], step, ENVELOPE[1], step, ENVELOPE[2], step])
    (outcome,), _ = play(exchange(script, MAIL, timeouts=Timeouts(total=0.3)))
    assert outcome.status.words == "4.4.2 not sent within 0.3 s (at RCPT)"


def test_the_wait_after_the_dot_is_not_part_of_the_total(play):
    script = Script([*PIPE, *ENVELOPE, *ACCEPT[:-1], "sleep 0.5", "> 250 ok"])
    (outcome,), _ = play(exchange(script, MAIL, timeouts=Timeouts(total=0.3)))
    assert outcome.status.action is Action.RELAYED


def test_a_cancelled_send_closes_the_connection(play):
    async def cancel():
        async with Script([*PIPE, *ENVELOPE, "> 250 ok"]) as script:
            connection = await connect(script.target(), QUICK)
            task = asyncio.ensure_future(connection.send(MAIL))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not connection.reusable
            (outcome,) = await connection.send(MAIL)
            assert outcome.status.action is Action.DELAYED

    play(cancel())


def test_two_tasks_cannot_share_a_connection(play):
    async def clash():
        async with Script([*PIPE, *ENVELOPE, *ACCEPT]) as script:
            connection = await connect(script.target(), QUICK)
            first = asyncio.ensure_future(connection.send(MAIL))
            await asyncio.sleep(0)
            assert not connection.reusable
            with pytest.raises(RuntimeError):
                await connection.send(MAIL)
            assert (await first)[0].status.action is Action.RELAYED
            connection.abort()

    play(clash())


@pytest.mark.parametrize("word", ["raw 421 4.4.2 idle too long\\r\\n", "close", "reset", "> 250 hello?", "raw junk"])
def test_an_idle_connection_on_which_anything_happens_is_not_used_again(play, word):
    async def idle():
        async with Script([*PIPE, *ENVELOPE, *ACCEPT, "sleep 0.1", word]) as script:
            connection = await connect(script.target(), QUICK)
            await connection.send(MAIL)
            assert connection.reusable
            await asyncio.sleep(0.3)
            assert not connection.reusable
            (outcome,) = await connection.send(MAIL)
            assert (outcome.status.action, outcome.stage, outcome.unclear) == (Action.DELAYED, "mail", False)
            assert connection.sent == 2

    play(idle())


# -- answers that are none --------------------------------------------------------------------------------------------

NONSENSE = [
    "raw 250 ok\\n",
    "raw \\r\\n",
    "raw 250-ok\\r\\n550 no\\r\\n",
    "raw 2x9 hm\\r\\n",
    "raw 250 ok\\r550 5.0.0 fake\\n250 2.0.0 done\\r\\n",
    "raw \\x16\\x03\\x01\\x00\\x00",
    "raw 250 " + "y" * 20_000 + "\\r\\n",
    "flood 250-" + "y" * 500 + "\r\n",
]


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize(
    ("replies", "stage"),
    [
        ([], "mail"),
        (["> 250 ok"], "rcpt"),
        (["> 250 ok", "> 550 5.1.1 a", "> 250 ok"], "data"),
        (["> 250 ok", "> 250 ok", "> 250 ok", "> 354 go", "<."], "dot"),
    ],
)
def test_an_answer_that_is_no_smtp_is_passing_for_all_and_closes(play, nonsense, replies, stage):
    script = Script([*PIPE, *TWO, *replies, nonsense])
    outcomes, reusable = play(exchange(script, BOTH))
    assert [outcome.status.action for outcome in outcomes] == [Action.DELAYED] * 2
    assert {outcome.status.status for outcome in outcomes} == {"4.5.0"}
    assert {outcome.stage for outcome in outcomes} == {stage}
    assert {outcome.unclear for outcome in outcomes} == {stage == "dot"}
    assert not reusable


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_greeting_that_is_no_smtp_is_passing(play, nonsense):
    assert play(fail_to_connect(Script([nonsense]))).status == "4.5.0"


@pytest.mark.parametrize("hello", [PIPE, STEP])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_reply_too_many_makes_no_refusal_final(play, hello, at):
    """Each of these replies may answer another command than it seems to: nobody may bounce for it."""
    replies = ["> 250 ok", "> 550 5.1.1 a", "> 250 ok", "> 354 go"]
    replies[at] += "|250 and another"
    steps = [*TWO, *replies] if hello is PIPE else [step for pair in zip(TWO, replies, strict=True) for step in pair]
    outcomes, reusable = play(exchange(Loose([*hello, *steps]), BOTH))
    assert [outcome.status.action for outcome in outcomes] == [Action.DELAYED] * 2
    assert not any(outcome.unclear for outcome in outcomes)
    assert not reusable


@pytest.mark.parametrize(
    ("replies", "unclear"),
    [
        (["> 354 go", "> 250 ok", "> 354 go"], False),
        (["> 250 ok", "> 354 go", "> 354 go"], False),
        (["> 250 ok", "> 250 ok", "> 250 ok"], False),
        (["> 250 ok", "> 250 ok", "> 354 go", "<.", "> 354 go"], True),
    ],
)
def test_a_reply_in_the_wrong_place_is_passing_and_closes(play, replies, unclear):
    (outcome,), reusable = play(exchange(Script([*PIPE, *ENVELOPE, *replies]), MAIL))
    assert (outcome.status.action, outcome.status.status) == (Action.DELAYED, "4.5.0")
    assert outcome.unclear is unclear
    assert not reusable


def test_bytes_that_are_no_utf8_are_shown_and_do_no_harm(play):
    script = Script([*PIPE, *ENVELOPE, *ACCEPT[:-1], "raw 250 \\xff caf\\xe9 \\x1b[31m\\x07\\x00\\r\\n"])
    (outcome,), reusable = play(exchange(script, MAIL))
    assert outcome.status.action is Action.RELAYED
    assert outcome.status.text == "\\xff caf\\xe9 \\x1b[31m\\x07\\x00"
    assert reusable


def test_a_reset_that_is_refused_ends_the_connection(play):
    script = Script([*PIPE, *ENVELOPE, "> 250 ok", "> 550 no", "> 503 no", "< RSET", *ENVELOPE, *["> 500 what"] * 4])
    (_, outcome), reusable = play(exchange(script, MAIL, MAIL))
    assert outcome.status.action is Action.DELAYED
    assert not reusable


def test_a_reply_too_many_behind_the_last_does_not_undo_it_but_costs_the_connection(play):
    script = Script([*PIPE, *ENVELOPE, *ACCEPT[:-1], "> 250 2.0.0 taken|250 and another"])
    (outcome,), reusable = play(exchange(script, MAIL))
    assert outcome.status.action is Action.RELAYED
    assert not reusable
    script = Script([*PIPE, *ENVELOPE, *ACCEPT[:-1], "> 550 5.7.1 no|250 and another"])
    (outcome,), reusable = play(exchange(script, MAIL))
    assert (outcome.status.action, outcome.unclear) == (Action.DELAYED, False)
    assert not reusable
