"""The SMTP client and servers that keep the rules: what is sent, whose fault a refusal is, LMTP, and a witness.

The language of the scripts is told in smtp_script.py.
"""

import importlib.util

import pytest
from journeys.smtp_script import (
    ACCEPT,
    BOTH,
    ENVELOPE,
    HASTY,
    HELLO,
    MAIL,
    PIPE,
    QUICK,
    RAW,
    STEP,
    TWO,
    Script,
    exchange,
    fail_to_connect,
    interleaved,
    play_on,
    until_dot,
)

from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.smtp_client import Transaction, connect


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request):
    """Runs a coroutine on one of the two loops."""
    return play_on(request.param)


# -- a good day -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hello", [PIPE, STEP])
def test_a_message_is_relayed_when_the_dot_is_answered_with_2xx(play, hello):
    steps = [*ENVELOPE, *ACCEPT] if hello is PIPE else interleaved(ENVELOPE, ACCEPT)
    script = Script([*hello, *steps])
    (outcome,), reusable = play(exchange(script, MAIL))
    assert outcome.recipient == "a@x.test"
    assert outcome.status == DeliveryStatus(Action.RELAYED, "2.0.0", 250, "2.0.0 taken as 7", "mx.test [127.0.0.1]")
    assert (outcome.stage, outcome.unclear, outcome.tls, reusable) == ("dot", False, "", True)
    assert script.messages == [RAW + b".\r\n"]


def test_a_connection_carries_many_messages(play):
    script = Script([*PIPE, *[*ENVELOPE, *ACCEPT] * 3])
    outcomes, reusable = play(exchange(script, MAIL, MAIL, MAIL))
    assert [outcome.status.action for outcome in outcomes] == [Action.RELAYED] * 3
    assert reusable


def test_the_whole_envelope_goes_in_one_write_when_the_server_pipelines(play):
    received = []

    class Segments(Script):
        async def segment(self, _):
            received.append(await self.reader.read(65536))

    script = Segments([*PIPE, "segment", *ACCEPT])
    play(exchange(script, MAIL))
    assert received == [b"MAIL FROM:<b@us.test> SIZE=21\r\nRCPT TO:<a@x.test>\r\nDATA\r\n"]


@pytest.mark.parametrize(
    ("raw", "wire"),
    [
        (b"a\r\n.b\r\n..c\r\n", b"a\r\n..b\r\n...c\r\n.\r\n"),
        (b".a\r\n", b"..a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a.b. \r\n", b"a.b. \r\n.\r\n"),
        (b"a\r\n.\r\n" + b"." * 300 + b"\r\n", b"a\r\n..\r\n" + b"." * 301 + b"\r\n.\r\n"),
        (b"." * 300 + b"\r\nx.", b"." * 301 + b"\r\nx.\r\n.\r\n"),
        (b"x\r\n" + b"y" * 131_071 + b"\r\n.z\r\n" * 9, b"x\r\n" + b"y" * 131_071 + b"\r\n..z\r\n" * 9 + b".\r\n"),
    ],
)
def test_dots_are_stuffed_once_and_the_end_is_crlf_dot_crlf(play, raw, wire):
    script = Script([*PIPE, *ENVELOPE, *ACCEPT])
    play(exchange(script, Transaction("b@us.test", ("a@x.test",), raw)))
    assert script.messages == [wire]


def test_a_large_message_arrives_whole(play):
    raw = b"".join(b"%07d .line of text\r\n.dot\r\n" % number for number in range(100_000))
    script = Script(
        [*HELLO, "> 250-mx.test|250 PIPELINING", *ENVELOPE, "> 250 ok", "> 250 ok", "> 354 go", "big", "> 250 ok"]
    )

    async def big(_):
        script.messages.append(b"".join([line async for line in until_dot(script.reader)]))

    script.big = big
    (outcome,), _ = play(exchange(script, Transaction("b@us.test", ("a@x.test",), raw)))
    assert outcome.status.action is Action.RELAYED
    assert script.messages[0] == raw.replace(b"\r\n.", b"\r\n..")


def test_a_null_return_path_is_written_empty(play):
    script = Script([*PIPE, "< MAIL FROM:<> SIZE=21", *ENVELOPE[1:], *ACCEPT])
    (outcome,), _ = play(exchange(script, Transaction("", ("a@x.test",), RAW)))
    assert outcome.status.action is Action.RELAYED


def test_parameters_are_used_only_when_offered(play):
    tx = Transaction(
        "b@us.test", ("é@x.test",), RAW, smtputf8=True, eightbit=True, envid="a+b é", notify="FAILURE,DELAY"
    )
    offer = "> 250-mx.test|250-PIPELINING|250-SMTPUTF8|250-8BITMIME|250 DSN"
    mail = r"< MAIL FROM:<b@us\.test> BODY=8BITMIME SMTPUTF8 ENVID=a\+2Bb\+20\+C3\+A9"
    script = Script([*HELLO, offer, mail, "< RCPT TO:<é@x.test> NOTIFY=FAILURE,DELAY", "< DATA", *ACCEPT])
    (outcome,), _ = play(exchange(script, tx))
    assert outcome.status.action is Action.RELAYED
    plain = Transaction("b@us.test", ("a@x.test",), RAW, envid="x", notify="FAILURE")
    script = Script([*HELLO, "> 250-mx.test|250 PIPELINING", "< MAIL FROM:<b@us.test>", *ENVELOPE[1:], *ACCEPT])
    (outcome,), _ = play(exchange(script, plain))
    assert outcome.status.action is Action.RELAYED


def test_a_server_without_ehlo_is_greeted_with_helo(play):
    hello = ["> 220 old", "< EHLO me.test", "> 502 what?", "< HELO me.test", "> 250 old"]
    script = Script([*hello, *interleaved(["< MAIL FROM:<b@us.test>", *ENVELOPE[1:]], ACCEPT)])
    (outcome,), _ = play(exchange(script, MAIL))
    assert outcome.status.action is Action.RELAYED


def test_what_the_server_offers_can_be_asked(play):
    async def ask():
        async with Script(PIPE) as script:
            connection = await connect(script.target(), QUICK)
            assert connection.server == "mx.test"
            assert connection.offers("pipelining")
            assert not connection.offers("STARTTLS")
            connection.abort()
            assert not connection.reusable

    play(ask())


@pytest.mark.parametrize("answer", [["> 221 bye"], ["> 500 no"], ["> 451 wait"], ["raw junk"], ["close"], []])
def test_what_the_server_says_to_quit_does_not_matter(play, answer):
    async def part():
        async with Script([*PIPE, "< QUIT", *answer]) as script:
            connection = await connect(script.target(), HASTY)
            await connection.quit()
            assert not connection.reusable
            await connection.quit()

    play(part())


# -- whose fault a refusal is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("stage", "reply", "action"),
    [
        ("mail", "550 5.7.1 not you", Action.FAILED),
        ("mail", "451 4.3.0 later", Action.DELAYED),
        ("rcpt", "550 5.1.1 nobody", Action.FAILED),
        ("rcpt", "450 4.2.1 busy", Action.DELAYED),
        ("rcpt", "552 too many recipients", Action.DELAYED),
        ("rcpt", "552 5.2.2 full", Action.FAILED),
        ("data", "554 5.7.1 no", Action.FAILED),
        ("data", "451 4.3.0 later", Action.DELAYED),
        ("dot", "554 5.7.1 spam", Action.FAILED),
        ("dot", "452 4.3.1 disk", Action.DELAYED),
    ],
)
def test_a_refusal_from_mail_on_is_final_when_it_is_5xx(play, pipelining, stage, reply, action):
    replies = {
        "mail": [f"> {reply}", "> 503 5.5.1 no MAIL", "> 503 5.5.1 no RCPT"],
        "rcpt": ["> 250 ok", f"> {reply}", "> 503 5.5.1 no RCPT"],
        "data": ["> 250 ok", "> 250 ok", f"> {reply}"],
        "dot": ["> 250 ok", "> 250 ok", "> 354 go", "<.", f"> {reply}"],
    }[stage]
    asked = {"mail": 1, "rcpt": 2}.get(stage, 3)
    steps = (
        [*ENVELOPE, *replies] if pipelining else interleaved(ENVELOPE[:asked], replies[: 5 if asked == 3 else asked])
    )
    clean = stage == "dot" or (stage == "mail" and not pipelining)
    reset = [] if clean else ["< RSET", "> 250 ok"]
    again = [*ENVELOPE, *ACCEPT] if pipelining else interleaved(ENVELOPE, ACCEPT)
    script = Script([*(PIPE if pipelining else STEP), *steps, *reset, *again])
    (outcome, second), reusable = play(exchange(script, MAIL, MAIL))
    assert outcome.status.action is action
    assert outcome.status.words == reply
    assert (outcome.stage, outcome.unclear) == (stage, False)
    assert second.status.action is Action.RELAYED  # a refusal costs no connection
    assert reusable


@pytest.mark.parametrize("pipelining", [True, False])
def test_each_recipient_has_its_own_outcome(play, pipelining):
    replies = ["> 250 ok", "> 550 5.1.1 nobody", "> 250 ok", "> 354 go", "<.", "> 250 2.0.0 taken"]
    steps = [*TWO, *replies] if pipelining else interleaved(TWO, replies)
    script = Script([*(PIPE if pipelining else STEP), *steps])
    (first, second), reusable = play(exchange(script, BOTH))
    assert (first.recipient, first.status.action, first.stage) == ("a@x.test", Action.FAILED, "rcpt")
    assert (second.recipient, second.status.action, second.stage) == ("b@x.test", Action.RELAYED, "dot")
    assert reusable


def test_when_all_are_refused_and_data_is_not_an_empty_message_ends_it(play):
    replies = ["> 250 ok", "> 550 5.1.1 a", "> 450 4.2.1 b", "> 354 go", "< [.]", "> 554 5.5.1 for nobody"]
    script = Script([*PIPE, *TWO, *replies, *ENVELOPE, *ACCEPT])
    (first, second, third), reusable = play(exchange(script, BOTH, MAIL))
    assert [first.status.action, second.status.action] == [Action.FAILED, Action.DELAYED]
    assert third.status.action is Action.RELAYED
    assert reusable


def test_an_empty_message_never_goes_to_a_recipient_that_was_accepted(play):
    script = Script([*PIPE, *ENVELOPE, "> 550 not you", "> 250 ok", "> 354 go"])
    (outcome,), reusable = play(exchange(script, MAIL))
    assert outcome.status.action is Action.FAILED
    assert not reusable
    assert "." not in script.said


@pytest.mark.parametrize(
    "replies",
    [
        ["> 421 4.3.2 going"],
        ["> 250 ok", "> 421 4.3.2 going"],
        ["> 250 ok", "> 250 ok", "> 421 4.3.2 going"],
        ["> 250 ok", "> 250 ok", "> 250 ok", "> 421 4.3.2 going"],
        ["> 250 ok", "> 250 ok", "> 250 ok", "> 354 go", "<.", "> 421 4.3.2 going"],
    ],
)
def test_421_anywhere_is_passing_for_all_that_are_left_and_closes(play, replies):
    script = Script([*PIPE, *TWO, *replies])
    outcomes, reusable = play(exchange(script, BOTH))
    assert [outcome.status.words for outcome in outcomes] == ["421 4.3.2 going"] * 2
    assert {outcome.status.action for outcome in outcomes} == {Action.DELAYED}
    assert not any(outcome.unclear for outcome in outcomes)
    assert not reusable


def test_a_recipient_refused_before_421_stays_refused(play):
    script = Script([*PIPE, *TWO, "> 250 ok", "> 550 5.1.1 nobody", "> 421 going"])
    outcomes, _ = play(exchange(script, BOTH))
    assert [outcome.status.code for outcome in outcomes] == [550, 421]


@pytest.mark.parametrize(
    "script",
    [
        ["> 554 5.7.1 go away"],
        ["> 421 4.3.2 busy"],
        ["> 250 what"],
        ["> 354 what"],
        ["> 220 mx", "< EHLO me.test", "> 450 4.7.1 later"],
        ["> 220 mx", "< EHLO me.test", "> 550 no", "< HELO me.test", "> 550 5.7.1 no"],
        ["> 220 mx", "< EHLO me.test", "> 354 what"],
        ["> 220 mx|220 mx again"],
    ],
)
def test_a_refusal_before_mail_is_never_final(play, script):
    status = play(fail_to_connect(Script(script)))
    if script[-1].startswith(("> 5", "> 4")):
        assert status.words == script[-1][2:]
    else:
        assert status.status == "4.5.0"


def test_a_long_reply_of_many_lines_is_kept_cleaned_and_cut(play):
    script = Script(
        [*PIPE, *ENVELOPE, "> 250 ok", "> 550-5.1.1 \x1b[31m" + "x" * 300 + "|550 5.1.1 " + "y" * 600, "> 503 no"]
    )
    (outcome,), _ = play(exchange(script, MAIL))
    assert outcome.status.status == "5.1.1"
    assert outcome.status.text.startswith("5.1.1 \\x1b[31mxxx")
    assert len(outcome.status.text) == 500


# -- what we refuse ourselves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hello", "tx", "status", "reason"),
    [
        ("250 SIZE 20", MAIL, "5.3.4", "too_large"),
        ("250 8BITMIME", Transaction("b@us.test", ("a@x.test",), RAW, smtputf8=True), "5.6.7", "content_error"),
        ("250 8BITMIME", Transaction("b@us.test", ("é@x.test",), RAW), "5.6.7", "content_error"),
        ("250 PIPELINING", Transaction("b@us.test", ("a@x.test",), b"caf\xc3\xa9\r\n"), "5.6.3", "content_error"),
        ("250 PIPELINING", Transaction("b@us.test", ("a@x.test",), RAW, eightbit=True), "5.6.3", "content_error"),
        (
            "250 PIPELINING",
            Transaction("b@us.test", ("a@x.test>\r\nRCPT TO:<c@x.test",), RAW),
            "5.1.3",
            "content_error",
        ),
        ("250 PIPELINING", Transaction("b@us.test> X", ("a@x.test",), RAW), "5.1.3", "content_error"),
        ("250 PIPELINING", Transaction("b@us.test", ("",), RAW), "5.1.3", "content_error"),
    ],
)
def test_what_the_server_cannot_take_is_not_sent(play, hello, tx, status, reason):
    script = Script([*HELLO, f"> 250-mx.test|{hello}"])
    (outcome,), reusable = play(exchange(script, tx))
    assert (outcome.status.action, outcome.status.status) == (Action.FAILED, status)
    assert (outcome.status.reason, outcome.status.code) == (reason, 0)
    assert reusable
    assert len(script.said) == 1


def test_a_recipient_that_cannot_be_written_costs_the_others_nothing(play):
    tx = Transaction("b@us.test", ("a b@x.test", '"a b"@x.test', "a@bücher.test"), RAW)
    lines = ["< MAIL .*", '< RCPT TO:<"a b"@x.test>', "< RCPT TO:<a@xn--bcher-kva.test>", "< DATA"]
    script = Script([*PIPE, *lines, "> 250 ok", *ACCEPT])
    outcomes, _ = play(exchange(script, tx))
    assert [outcome.status.action for outcome in outcomes] == [Action.FAILED, Action.RELAYED, Action.RELAYED]


# -- LMTP -------------------------------------------------------------------------------------------------------------

LMTP = ["> 220 lmtp.test", "< LHLO me.test", "> 250-lmtp.test|250 PIPELINING"]
TAKE = ["> 250 ok", "> 250 ok", "> 250 ok", "> 354 go", "<."]


def test_lmtp_answers_the_dot_once_for_each_recipient(play):
    script = Script([*LMTP, *TWO, *TAKE, "> 250 2.1.5 taken", "> 552 5.2.2 full"])
    outcomes, reusable = play(exchange(script, BOTH, lmtp=True))
    assert [outcome.status.words for outcome in outcomes] == ["250 2.1.5 taken", "552 5.2.2 full"]
    assert [outcome.status.action for outcome in outcomes] == [Action.RELAYED, Action.FAILED]
    assert reusable


def test_lmtp_answers_only_for_those_it_accepted(play):
    steps = ["> 250 ok", "> 550 5.1.1 nobody", "> 250 ok", "> 354 go", "<.", "> 250 taken"]
    outcomes, reusable = play(exchange(Script([*LMTP, *TWO, *steps]), BOTH, lmtp=True))
    assert [outcome.status.code for outcome in outcomes] == [550, 250]
    assert reusable


def test_lmtp_is_unclear_only_for_whom_no_answer_came(play):
    script = Script([*LMTP, *TWO, *TAKE, "> 250 taken", "close"])
    (first, second), _ = play(exchange(script, BOTH, lmtp=True))
    assert (first.status.action, first.unclear) == (Action.RELAYED, False)
    assert (second.status.action, second.unclear) == (Action.DELAYED, True)


# -- another client as a witness --------------------------------------------------------------------------------------


@pytest.mark.skipif(importlib.util.find_spec("aiosmtplib") is None, reason="aiosmtplib is not installed")
@pytest.mark.parametrize("raw", [RAW, b".\r\n..\r\nx", b"a\r\n.b\r\n" * 400 + b"."])
def test_what_arrives_is_what_another_client_would_have_sent(play, raw):
    import aiosmtplib

    async def both():
        steps = [*STEP, *interleaved(["< MAIL .*", "< RCPT .*", "< DATA"], ACCEPT)]
        async with Script(steps, [*steps, "< QUIT", "> 221 bye"]) as script:
            connection = await connect(script.target(), QUICK)
            await connection.send(Transaction("b@us.test", ("a@x.test",), raw))
            connection.abort()
            client = aiosmtplib.SMTP(
                hostname="127.0.0.1", port=script.port, local_hostname="me.test", use_tls=False, start_tls=False
            )
            await client.connect()
            await client.sendmail("b@us.test", ["a@x.test"], raw)
            await client.quit()
            ours, theirs = script.messages
            assert ours == theirs

    play(both())
