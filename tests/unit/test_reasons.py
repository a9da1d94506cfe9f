"""Why mail failed: every rule does what its example says, and only faults of an address may suppress it."""

from dataclasses import replace

import pytest

from gateway.mail.reasons import (
    RECIPIENT_FAULTS,
    SUPPRESSING,
    VOCABULARY,
    Rule,
    ask_first,
    explain,
    installed_rules,
    is_passing,
    is_recipient_fault,
    read_rules,
    read_words,
    reason_of,
)
from gateway.mail.received import judge_again, read_mail
from gateway.mail.status import Action, DeliveryStatus


@pytest.mark.parametrize("rule", installed_rules(), ids=lambda rule: rule.name)
def test_each_rule_is_the_first_to_speak_of_its_example(rule: Rule) -> None:
    assert explain(read_words(rule.example)) == (rule.reason, rule.name)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("550 5.1.1 The email account that you tried to reach does not exist", "mailbox_unknown"),
        ("550 No such user here", "mailbox_unknown"),
        ("550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", "mailbox_unknown"),
        ("552 5.2.2 The email account that you tried to reach is over quota", "mailbox_full"),
        ("452 4.2.2 The recipient's inbox is out of storage space", "mailbox_full"),
        ("550 5.7.1 Message rejected as spam", "spam_rejected"),
        ("550 5.7.26 DMARC policy of the domain", "auth_failed"),
        ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.spamcop.net", "ip_blocked"),
        ("554 5.7.1 <a@b.example>: Relay access denied", "relay_failed"),
        ("421 4.7.0 Too many connections from your IP", "rate_limited"),
        ("450 4.7.1 Greylisting in action, please come back later", "greylisted"),
        ("550 5.2.1 This mailbox is disabled", "mailbox_disabled"),
        ("552 5.3.4 Message too big for system", "too_large"),
        ("550 5.1.2 Host unknown", "domain_unknown"),
        ("4.4.1 connect to mx.b.example: Connection timed out", "unreachable"),
        ("550 Такого пользователя не существует", "mailbox_unknown"),
        ("550 Utilizator necunoscut", "mailbox_unknown"),
        ("552 Cutia poștală este plină", "mailbox_full"),
        ("554 5.6.0 Message header is malformed", "content_error"),
        ("blub", "unknown"),
    ],
)
def test_the_words_of_known_servers_have_their_reason(words: str, reason: str) -> None:
    assert read_words(words).reason == reason


def test_only_permanent_faults_of_the_address_may_suppress() -> None:
    assert is_recipient_fault(read_words("550 5.1.1 no such user"))
    for words in (
        "450 4.1.1 no such user",
        "552 5.2.2 mailbox full",
        "550 5.7.1 spam",
        "554 5.7.1 relay access denied",
        "blub",
    ):
        assert not is_recipient_fault(read_words(words)), words


def test_a_delivered_mail_has_no_reason_and_a_delayed_one_suppresses_nothing() -> None:
    assert reason_of(DeliveryStatus(Action.DELIVERED, "2.0.0", 250, "user unknown")) == ""
    assert not is_recipient_fault(DeliveryStatus(Action.DELAYED, "5.1.1", 550, "no such user"))


def test_codes_say_whether_it_passes_and_words_do_where_there_are_none() -> None:
    assert is_passing(DeliveryStatus(Action.FAILED, "4.4.7"))
    assert not is_passing(DeliveryStatus(Action.FAILED, "", 550))
    assert is_passing(read_words("Connection timed out"))
    assert not is_passing(read_words("User unknown"))


def test_rules_can_be_read_anew_and_a_wrong_one_is_named() -> None:
    (rule,) = read_rules('[[rule]]\nname = "x"\nreason = "expired"\ntext = "blub"\n')
    assert explain(read_words("blub"), [rule]) == ("expired", "x")
    for wrong in ('reason = "nope"', 'reason = "expired"\ntext = "("', 'reason = "expired"\ntypo = 1'):
        with pytest.raises(ValueError, match="'x'"):
            read_rules(f'[[rule]]\nname = "x"\n{wrong}\n')


def test_the_vocabulary_holds_its_parts() -> None:
    assert SUPPRESSING < RECIPIENT_FAULTS < VOCABULARY
    assert {rule.reason for rule in installed_rules()} | {"unknown", "blocked"} == VOCABULARY


def test_an_operators_own_rules_are_asked_before_ours_and_may_change() -> None:
    rules = ['[[rule]]\nname = "mine"\nreason = "policy_rejected"\ntext = "no such user"']
    words = read_words("550 5.1.1 no such user")
    ask_first(lambda: read_rules(rules[0]))
    try:
        assert explain(words) == ("policy_rejected", "mine")
        rules[0] = rules[0].replace("no such user", "tea time")
        assert explain(words)[0] == "mailbox_unknown"
        rules[0] = rules[0].replace("tea time", "user")
        raw = b"From: MAILER-DAEMON@x\nTo: a@b\nSubject: Undelivered\n\n<c@d.example>: 550 5.1.1 no such user\n"
        read = replace(read_mail(raw), subject="read in another process")
        report = judge_again(read).report
        assert report is not None
        assert [one.status.reason for one in report.recipients] == ["policy_rejected"]
    finally:
        ask_first(None)
    assert explain(words)[0] == "mailbox_unknown"
