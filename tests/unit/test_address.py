"""Addresses: what is one mailbox, and what is refused in words."""

import pytest

from gateway.mail.address import Address, parse_address
from gateway.mail.reply import Refused
from gateway.mail.verp import (
    base32,
    read_reply_address,
    read_return_path,
    reply_address,
    return_path,
    return_token,
    same_mac,
    thread_mac,
)

KEY = b"k" * 32
TENANT, THREAD = "0" * 20, "6c3zb2em5ptn5kqjgmj3"


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("ana@x.example", "ana", "x.example"),
        (" <Ana.Rusu+x@X.Example.> ", "Ana.Rusu+x", "x.example"),
        ('"ana maria"@x.example', '"ana maria"', "x.example"),
        ("ana@[192.0.2.1]", "ana", "[192.0.2.1]"),
        ("ana@[IPv6:2001:db8::1]", "ana", "[ipv6:2001:db8::1]"),
        ("анна@почта.example", "анна", "почта.example"),
        ("ana@localhost", "ana", "localhost"),
    ],
)
def test_a_mailbox_is_split_at_its_last_at(text: str, local: str, domain: str) -> None:
    assert parse_address(text) == Address(local, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ana",
        "@x.example",
        "ana@",
        "ana@@x.example",
        "ana rusu@x.example",
        "ana@x..example",
        "ana@-x.example",
        ".ana@x.example",
        "ana.@x.example",
        "a..b@x.example",
        "ana@x.example\r\nRCPT TO:<b@x.example>",
        "ana\x00@x.example",
        f"{'a' * 65}@x.example",
        f"ana@{'a' * 64}.example",
        "ana@[300]",
    ],
)
def test_what_is_no_mailbox_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_address(text)
    assert refused.value.reply.code == 501
    assert refused.value.reply.enhanced == "5.1.3"


def test_two_spellings_of_a_mailbox_have_one_key() -> None:
    assert parse_address("Ana@X.example").key == parse_address("ana@x.EXAMPLE").key


def test_an_idn_domain_needs_no_smtputf8_but_a_local_part_does() -> None:
    assert parse_address("ana@почта.example").ascii
    assert parse_address("ana@почта.example").ascii_domain == "xn--80a1acny.example"
    assert not parse_address("анна@x.example").ascii


def test_a_return_path_brings_its_token_back_whatever_case_it_comes_in() -> None:
    token = return_token(b"0123456789")
    address = parse_address(return_path(token, "return.example"))
    assert read_return_path(address) == token
    assert read_return_path(Address(address.local.upper(), address.domain)) == token


@pytest.mark.parametrize(
    "local", ["b", "b+", "b+short", "x+aaaaaaaaaaaaaaaa", "b+aaaaaaaaaaaaaaa1", "b+aaaaaaaaaaaaaaaa0"]
)
def test_what_is_no_return_path_has_no_token(local: str) -> None:
    assert read_return_path(Address(local, "return.example")) == ""


def test_a_reply_address_names_tenant_and_thread_and_proves_it() -> None:
    address = parse_address(reply_address("acme", KEY, TENANT, THREAD, "inbox.example"))
    slug, thread_id, mac = read_reply_address(address)
    assert (slug, thread_id) == ("acme", THREAD)
    assert same_mac(mac, thread_mac(KEY, TENANT, THREAD))
    assert not same_mac(mac, thread_mac(KEY, "1" * 20, THREAD))
    assert not same_mac(mac, thread_mac(b"other", TENANT, THREAD))


def test_the_longest_reply_address_fits_a_local_part() -> None:
    address = reply_address("a" * 30, KEY, TENANT, THREAD, "inbox.example")
    assert len(address.partition("@")[0]) == 64
    parse_address(address)


def test_base32_is_that_of_rfc_4648_in_lower_case() -> None:
    assert base32(b"foobar", 10) == "mzxw6ytboi"
