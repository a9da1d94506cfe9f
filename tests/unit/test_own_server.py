"""Tenants' own servers without a socket: what their refusals mean, and the words of every login."""

import base64

import pytest

from gateway.mail.reasons import Rule, read_words
from gateway.outbound.own_sending import SENDER, US, about, author_of, installed_rules
from gateway.outbound.smtp_opening import Ended, auth_steps, bearer_error
from gateway.outbound.smtp_terms import Login, Target

TARGET = Target("smtp.acme.test", "127.0.0.1", 587)


@pytest.mark.parametrize("rule", installed_rules(), ids=lambda rule: rule.name)
def test_a_rule_speaks_of_its_example(rule: Rule) -> None:
    status = read_words(rule.example)
    first = next(one for one in installed_rules() if one.matches(status, status.text.lower()))
    assert (about(status), first.name) == (rule.reason, rule.name)


def test_both_meanings_have_rules() -> None:
    assert {rule.reason for rule in installed_rules()} == {SENDER, US}


@pytest.mark.parametrize(
    "words",
    [
        "550 5.1.1 <ana@client.test>: Recipient address rejected: User unknown",
        "552 5.2.2 mailbox full",
        "550 5.1.1 the account that you tried to reach does not exist",
        "550 5.2.1 this account is disabled",
        "552 5.3.4 message size exceeds fixed limit",
        "554 5.7.1 message content rejected as spam",
        "450 4.2.0 greylisted, try again later",
        "250 2.0.0 sender not allowed, they said, and took it",
    ],
)
def test_what_concerns_the_recipient_or_the_message_is_no_fault_of_ours(words: str) -> None:
    assert about(read_words(words)) == ""


def test_a_password_is_said_by_plain_else_by_login() -> None:
    login = Login("ana", "sesam, öffne")
    assert auth_steps(login, TARGET, ["LOGIN", "PLAIN"]) == [
        b"AUTH PLAIN " + base64.b64encode("\0ana\0sesam, öffne".encode())
    ]
    assert [base64.b64decode(step) for step in auth_steps(login, TARGET, ["LOGIN"])[1:]] == [
        b"ana",
        "sesam, öffne".encode(),
    ]


def test_a_token_is_said_by_oauthbearer_else_by_xoauth2() -> None:
    login = Login("a=b,c@acme.test", "token", "BEARER")
    [step] = auth_steps(login, TARGET, ["PLAIN", "XOAUTH2", "OAUTHBEARER"])
    said = base64.b64decode(step.removeprefix(b"AUTH OAUTHBEARER "))
    assert said == b"n,a=a=3Db=2Cc@acme.test,\1host=smtp.acme.test\1port=587\1auth=Bearer token\1\1"
    [step] = auth_steps(login, TARGET, ["PLAIN", "XOAUTH2"])
    assert base64.b64decode(step.removeprefix(b"AUTH XOAUTH2 ")) == b"user=a=b,c@acme.test\1auth=Bearer token\1\1"


@pytest.mark.parametrize("mechanism", ["PASSWORD", "BEARER"])
def test_a_secret_is_never_said_by_a_mechanism_of_the_other_kind(mechanism: str) -> None:
    login = Login("ana", "secret", mechanism)  # type: ignore[arg-type]
    with pytest.raises(Ended) as ended:
        auth_steps(login, TARGET, ["OAUTHBEARER", "XOAUTH2"] if mechanism == "PASSWORD" else ["PLAIN", "LOGIN"])
    assert ended.value.status.reason == "auth_failed" and "secret" not in ended.value.status.words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"status":"invalid_token","schemes":"bearer"}', "invalid_token"),
        ('{"status":"401","error":"old","error_description":"since\\r\\nyesterday"}', "401, old, since yesterday"),
        ("[]", "token refused"),
        ("{}", "token refused"),
        ("not json", "token refused"),
    ],
)
def test_the_reason_of_a_refused_token_is_read(answer: str, words: str) -> None:
    assert bearer_error(base64.b64encode(answer.encode()).decode()) == words


def test_what_is_no_base64_is_a_refused_token_all_the_same() -> None:
    assert bearer_error("go ahead ü") == "token refused"


def test_the_author_is_read_from_the_message() -> None:
    assert author_of(b"From: Acme <facturare@acme.test>\r\n\r\n") == "facturare@acme.test"
    assert author_of(b"Subject: x\r\n\r\n") == ""
