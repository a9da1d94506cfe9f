"""What to do after a remote's words: every rule by its example, times that are named, and what no rule speaks of."""

import pytest

from gateway.mail.advice import ADVICE, LONGEST, SHORTEST, Advice, advise, installed_advice, read_advice
from gateway.mail.reasons import Rule, read_words
from gateway.mail.status import Action, DeliveryStatus


@pytest.mark.parametrize("rule", installed_advice(), ids=lambda rule: rule.name)
def test_a_rule_speaks_of_its_example(rule: Rule) -> None:
    found = advise(read_words(rule.example))
    assert (found.word, found.rule) == (rule.reason, rule.name)


def test_every_word_has_a_rule() -> None:
    assert {rule.reason for rule in installed_advice()} == ADVICE


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("451 4.7.1 Greylisted, please try again in 300 seconds", 300),
        ("450 4.2.0 Greylisting in action, retry in 5 minutes", 300),
        ("421 4.7.0 Try again later, closing connection; try again in 2 hours", 7200),
        ("451 please wait 90s before retrying", 90),
        ("421 Too many connections, come back in 1 min", 60),
        ("450 повторите попытку через 10 минут", 600),
        ("450 4.7.0 try again in 1 second", SHORTEST),
        ("450 4.7.0 try again in 999999 hours", LONGEST),
        ("450 4.2.1 mailbox busy, try again later", 0),
        ("451 4.7.1 error 300 seconds", 0),
        ("450 4.1.1 try 5 megabytes less", 0),
    ],
)
def test_a_time_that_is_named_is_honoured(words: str, seconds: int) -> None:
    found = advise(read_words(words))
    assert found.seconds == (seconds or found.seconds)
    if not seconds:
        assert found.seconds == next((r.seconds for r in installed_advice() if r.name == found.rule), 0)


def test_a_bad_address_is_no_reason_to_wait_for_others() -> None:
    for words in ("550 5.1.1 no such user", "552 5.2.2 mailbox full", "450 4.2.1 mailbox temporarily disabled"):
        assert advise(read_words(words)) == Advice()


def test_what_arrived_asks_for_nothing() -> None:
    assert advise(DeliveryStatus(Action.RELAYED, "2.0.0", 250, "throttled: try again in 5 minutes")) == Advice()


def test_an_operators_own_rules_count_alone() -> None:
    rules = read_advice('[[rule]]\nname = "mine"\nadvice = "pause"\nseconds = 7\ntext = "tea time"')
    assert advise(read_words("450 4.0.0 it is tea time"), rules) == Advice("pause", 7, "mine")
    assert advise(read_words("421 4.3.2 shutting down"), rules) == Advice()


@pytest.mark.parametrize("line", ['advice = "flee"', 'advice = "slow"\ntext = "("', 'advice = "slow"\nwhen = "now"'])
def test_a_rule_that_is_wrong_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="rule 'mine'"):
        read_advice(f'[[rule]]\nname = "mine"\n{line}')
