"""DKIM signatures: dkimpy, which others wrote, verifies what we sign; tampering breaks it; the RFCs' examples hold."""

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.outbound.signing import (
    ED25519,
    OVERSIGNED,
    RSA,
    Signer,
    SigningKey,
    canonical_body,
    canonical_fields,
    generate_key,
    load_key,
    public_record,
    zone_text,
)

NOW = datetime(2026, 11, 24, 10, 19, 3, 999_999, tzinfo=UTC)
KEYS = [SigningKey("acme.example", name, kind, generate_key(kind)) for name, kind in (("r1", RSA), ("e1", ED25519))]
SIGNER = Signer(KEYS)
HEAD = (
    b"From: Acme <facturare@acme.example>\r\nTo: Ana <ana@client.example>,\r\n\tBob <b@y.example>\r\n"
    b"Subject:  Invoice  12 \t x \r\nDate: Tue, 24 Nov 2026 10:19:03 +0000\r\nMessage-ID: <1@acme.example>\r\n"
    b"Reply-To: <acme+token@inbox.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
)
BODY = b"Good day \r\n\r\n  the invoice\tis here \r\n\r\n\r\n"


def answer(name: bytes, timeout: int = 5) -> bytes:
    records = {key.record_name: public_record(key.private_key) for key in KEYS}
    return records[name.decode().rstrip(".")].encode()


def verdicts(raw: bytes) -> list[bool]:
    """What dkimpy says of each signature: the RSA one, the Ed25519 one."""
    found = []
    for index in range(2):
        try:
            found.append(dkim.DKIM(raw).verify(idx=index, dnsfunc=answer))
        except dkim.DKIMException:
            found.append(False)
    return found


def tags(raw: bytes, index: int = 0) -> dict[str, str]:
    fields = re.findall(rb"DKIM-Signature:((?:[^\r]|\r\n[ \t])*)\r\n", raw)
    pairs = (item.partition("=") for item in fields[index].decode().split(";"))
    return {name.strip(): re.sub(r"\s", "", value) for name, _, value in pairs}


LINE = st.lists(
    st.sampled_from([b" ", b"  ", b"\t", b"a", b"bc", b".", b"\xc4\x83", b"=", b"--b", b"\x0b"]), max_size=9
)
BODIES = st.tuples(
    st.lists(LINE.map(b"".join) | st.just(b""), max_size=9).map(b"\r\n".join), st.sampled_from([b"", b"\r\n", b" "])
).map(b"".join)
VALUE = st.lists(st.sampled_from([b" ", b"  ", b"\t", b"\r\n ", b"\r\n\t", b"word", b"=?utf-8?q?x?=", b":", b"\xff"]))
EXTRA = st.lists(
    st.tuples(st.sampled_from([b"Cc", b"cC", b"References", b"X-Any", b"List-Unsubscribe", b"feedback-ID"]), VALUE).map(
        lambda pair: pair[0] + b":" + b"".join(pair[1]) + b"x\r\n"
    ),
    max_size=4,
).map(b"".join)


@given(EXTRA, BODIES)
@example(b"", b"")
@example(b"", b"\r\n")
@example(b"", b"\r\n\r\n \r\n\t\r\n")
@example(b"", b" ")
@example(b"", b"a")
@example(b"", b"a\r\n\r\n")
@example(b"", b" a" * 400 + b"\r\n")
@settings(max_examples=150, deadline=None)
def test_dkimpy_verifies_both_signatures_of_any_message(extra: bytes, body: bytes) -> None:
    raw = HEAD + extra + b"\r\n" + body
    signed = SIGNER.sign(raw, NOW)
    assert signed.endswith(raw)
    # SMTP ends every message with a line end (RFC 5321 §4.1.1.4).
    assert verdicts(signed if signed.endswith(b"\r\n") else signed + b"\r\n") == [True, True]


def test_a_message_without_the_optional_fields_or_a_body_verifies() -> None:
    raw = b"From: a@acme.example\r\n"
    assert verdicts(SIGNER.sign(raw + b"\r\n", NOW)) == [True, True]
    assert verdicts(SIGNER.sign(raw, NOW) + b"\r\n") == [True, True]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"is here", b"is hers"),
        (b"Good day", b"Good  d ay"),
        (b"Invoice  12", b"Invoice  13"),
        (b"text/plain", b"text/html"),
        (b"acme+token", b"evil+token"),
        (b"ana@client", b"eva@client"),
        (b"t=1795515543", b"t=1795515544"),
        *((b"\r\nTo: ", b"\r\n" + name.title() + b": x@y.example\r\nTo: ") for name in OVERSIGNED),
    ],
)
def test_tampering_and_a_second_copy_of_an_oversigned_field_break_both(old: bytes, new: bytes) -> None:
    signed = SIGNER.sign(HEAD + b"\r\n" + BODY, NOW)
    assert old in signed and verdicts(signed) == [True, True]
    assert verdicts(signed.replace(old, new)) == [False, False]


@pytest.mark.parametrize("name", [b"Subject", b"To", b"Reply-To", b"Date", b"Message-ID", b"Content-Type"])
def test_an_oversigned_field_that_was_missing_cannot_be_added(name: bytes) -> None:
    signed = SIGNER.sign(b"From: a@acme.example\r\n\r\nx\r\n", NOW)
    assert verdicts(signed) == [True, True]
    assert verdicts(signed.replace(b"From: ", name + b": x\r\nFrom: ", 1)) == [False, False]


def test_blanks_and_lines_that_relays_change_do_not_break_it() -> None:
    signed = SIGNER.sign(HEAD + b"\r\n" + BODY, NOW)
    changed = signed.replace(b"Good day \r\n", b"Good   day\r\n").replace(b"Invoice  12 \t x ", b"Invoice 12\r\n x")
    assert changed != signed and verdicts(changed + b"\r\n\r\n") == [True, True]


def test_the_signature_says_what_we_promise_and_no_more() -> None:
    signed = SIGNER.sign(HEAD + b"Cc: c@y.example\r\nX-Mailer: x\r\nReceived: y\r\n\r\n" + BODY, NOW)
    for index, key in enumerate(KEYS):
        found = tags(signed, index)
        assert set(found) == {"v", "a", "c", "d", "s", "t", "h", "bh", "b"}  # no l=, x=, i=, q=
        assert (found["v"], found["a"], found["c"]) == ("1", key.algorithm, "relaxed/relaxed")
        assert (found["d"], found["s"], found["t"]) == ("acme.example", key.selector, "1795515543")
        names = found["h"].split(":")
        assert all(names.count(name.decode()) == 2 for name in OVERSIGNED)
        assert names.count("cc") == names.count("mime-version") == 1
        assert "x-mailer" not in names and "received" not in names
    head = signed[: signed.index(b"\r\n\r\n")]
    assert all(len(line) <= 78 for line in head.split(b"\r\n"))


def test_the_same_message_signed_at_once_in_threads_is_the_same() -> None:
    raw = HEAD + b"\r\n" + BODY
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: SIGNER.sign(raw, NOW), range(40)))) == 1


def test_the_examples_of_rfc_6376_3_4_5_hold() -> None:
    assert canonical_body(b" C \r\nD \t E\r\n\r\n\r\n") == b" C\r\nD E\r\n"
    assert list(canonical_fields(b"A: X\r\nB : Y\t\r\n\tZ  \r\n")) == [(b"a", b"X"), (b"b", b"Y Z")]


def test_an_empty_body_has_the_hash_that_rfc_6376_3_4_4_gives() -> None:
    for body in (b"", b"\r\n", b"\r\n\r\n", b" \r\n\t\r\n"):
        digest = base64.b64encode(hashlib.sha256(canonical_body(body)).digest())
        assert digest == b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@pytest.mark.parametrize("body", [b"a\r\r\n", b"a\r\n\r\r\n", b"a\n\r\n\r\n", b"a\n\n"])
def test_lone_line_end_characters_are_content(body: bytes) -> None:
    assert canonical_body(body) == re.sub(rb"(?:\r\n)*\Z", b"", body) + b"\r\n"


def test_the_test_vector_of_rfc_8463_appendix_a_holds() -> None:
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = SigningKey("football.example.com", "brisbane", ED25519, Ed25519PrivateKey.from_private_bytes(seed))
    assert public_record(key.private_key) == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    body = canonical_body(b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n")
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert digest == "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    head = (
        b"From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n"
        b"Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
        b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
        b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; "
        b"i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
        b" subject : date : message-id : from : subject : date;\r\n bh=" + digest.encode() + b";\r\n b=\r\n"
    )
    data = b"\r\n".join(b":".join(field) for field in canonical_fields(head))
    expected = "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    assert base64.b64encode(key.sign(data)).decode() == expected


@pytest.mark.parametrize("algorithm", [RSA, ED25519])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_key_is_loaded_from_pem_and_der_once(algorithm: str, encoding: Encoding) -> None:
    key = generate_key(algorithm)
    secret = key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
    loaded = load_key(secret)
    assert public_record(loaded) == public_record(key) and load_key(secret) is loaded


@pytest.mark.parametrize(
    "secret",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nSECRETSECRET\n-----END PRIVATE KEY-----\n",
        generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        X25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    ],
    ids=["empty", "broken", "short", "foreign"],  # never the random bytes: every test process must name tests alike
)
def test_a_short_or_foreign_or_broken_key_is_refused_without_showing_it(secret: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        load_key(secret)
    assert "SECRET" not in str(caught.value) and caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("domain", "selector", "algorithm"),
    [
        ("acme.example\r\n", "s", ED25519),
        ("Acme.example", "s", ED25519),
        ("ăcme.example", "s", ED25519),
        ("acme.example", "s; x=1", ED25519),
        ("acme.example", "", ED25519),
        ("acme.example", "s", RSA),
    ],
)
def test_a_key_with_a_name_that_is_none_or_another_algorithm_is_refused(
    domain: str, selector: str, algorithm: str
) -> None:
    with pytest.raises(ValueError, match=r"must be DNS names|is not for"):
        SigningKey(domain, selector, algorithm, KEYS[1].private_key)


def test_a_key_does_not_show_its_secret() -> None:
    assert "private_key" not in repr(KEYS[0]) and KEYS[0].record_name == "r1._domainkey.acme.example"


def test_an_unknown_algorithm_is_not_generated() -> None:
    with pytest.raises(ValueError, match="rsa-sha1"):
        generate_key("rsa-sha1")


def test_a_long_record_is_split_into_strings_that_fit_a_zone_file() -> None:
    record = public_record(KEYS[0].private_key)
    strings = re.findall(r'"([^"]*)"', zone_text(record))
    assert len(strings) == 2 and all(len(item) <= 255 for item in strings) and "".join(strings) == record
    assert zone_text("v=DKIM1") == '"v=DKIM1"'
