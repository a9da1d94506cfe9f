"""What clients write after MAIL, RCPT and AUTH, turned into values. Pure: text in, values out or `Refused`.

Used by `wire.smtp_conversation`. Implements the parameters of RFC 1870 (SIZE), 6152 (BODY), 6531 (SMTPUTF8),
3461 (RET, ENVID, NOTIFY, ORCPT) and 4954 (AUTH). Refuses unknown, repeated and malformed parameters in words.
"""

import base64
import binascii
import re
from functools import lru_cache

from gateway.mail.address import Address, parse_address
from gateway.mail.reply import Refused
from gateway.wire.smtp_session import Envelope, Recipient

_PATH = r"<((?:\"(?:[^\"\\]|\\.)*\"|[^\"<>\s])*)>(?: +(\S.*?))? *\Z"
_MAIL = re.compile(r"FROM: ?" + _PATH, re.IGNORECASE)
_RCPT = re.compile(r"TO: ?" + _PATH, re.IGNORECASE)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=\x00-\x1f\x7f][^\s\x00-\x1f\x7f]*))?\Z")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
_XTEXT_UTF8 = re.compile(r"(?:[!-*,-<>-~]|[^\x00-\x7f]|\+[0-9A-F]{2}|\\x\{[0-9A-F]{2,6}\})*\Z")
_HEX = re.compile(r"\+([0-9A-F]{2})|\\x\{([0-9A-F]{2,6})\}")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_PRINTABLE = re.compile(r"[ -~]*\Z")
ENVID_LENGTH = 100  # RFC 3461 §4.4
ORCPT_LENGTH = 500  # RFC 3461 §4.2


def parse_mail(argument: str, *, esmtp: bool, message_bytes: int) -> Envelope:
    """`FROM:<path> [parameters]` as an `Envelope` without recipients.

    Raises `Refused`: 501 5.5.2 and 5.1.7 syntax, 501 5.5.4 and 555 5.5.4 parameters, 552 5.3.4 when SIZE is over
    `message_bytes`, 553 5.6.7 for a non-ASCII address without SMTPUTF8 (RFC 6531 §3.5).
    """
    match = _MAIL.match(argument)
    if match is None:
        raise Refused(501, "5.5.2", "write MAIL FROM:<local@domain>, or MAIL FROM:<> for the null return path")
    path, text = match.groups()
    envelope = Envelope(return_path=None)
    if text:
        for name, value in _parameters(text, esmtp).items():
            _set_mail_parameter(envelope, name, value, message_bytes)
    if path:
        envelope.return_path = _parse_path(path, "5.1.7", envelope.smtputf8)
    return envelope


def parse_rcpt(argument: str, *, esmtp: bool, smtputf8: bool, hostname: str) -> Recipient:
    """`TO:<path> [parameters]` as a `Recipient`; `<postmaster>` is the postmaster of `hostname` (RFC 5321 §4.5.1).

    Raises `Refused` as `parse_mail` does, with 5.1.3 for the address.
    """
    match = _RCPT.match(argument)
    if match is None or not match[1]:
        raise Refused(501, "5.5.2", "write RCPT TO:<local@domain>")
    path, text = match.groups()
    if path.lower() == "postmaster":
        address = Address(path, hostname.lower())
    else:
        address = _parse_path(path, "5.1.3", smtputf8)
    notify = orcpt = ""
    if text:
        for name, value in _parameters(text, esmtp).items():
            if name == "NOTIFY":
                notify = _parse_notify(value)
            elif name == "ORCPT":
                orcpt = _parse_orcpt(value, smtputf8)
            else:
                raise Refused(555, "5.5.4", f"RCPT has no parameter {name[:40]} here; NOTIFY and ORCPT are understood")
    return Recipient(address, notify, orcpt)


def decode_plain(blob: bytes) -> tuple[str, str]:
    """The message of SASL PLAIN (RFC 4616) as (username, password). Raises `Refused` 501 5.5.2 when malformed."""
    parts = blob.split(b"\0")
    if len(parts) != 3:
        raise Refused(501, "5.5.2", "AUTH PLAIN takes base64 of NUL username NUL password")
    authorization, username, password = (decode_utf8(part) for part in parts)
    if authorization not in ("", username):
        raise Refused(535, "5.7.8", "logging in on behalf of somebody else is not supported")
    return username, password


def decode_base64(text: bytes) -> bytes:
    """Strict base64 (RFC 4954 §4). Raises `Refused` 501 5.5.2."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(501, "5.5.2", "that is not base64") from None


def decode_utf8(blob: bytes) -> str:
    """A username or password. Raises `Refused` 501 5.5.2 when it is not UTF-8 or holds a NUL."""
    try:
        text = blob.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Refused(501, "5.5.2", "username and password must be UTF-8")
    return text


@lru_cache(maxsize=1024)  # a billing system says the same return path all day; a refusal is not kept
def _parse_path(path: str, status: str, smtputf8: bool) -> Address:
    if not smtputf8 and not path.isascii():
        raise Refused(553, "5.6.7", "an address outside ASCII needs the SMTPUTF8 parameter of MAIL (RFC 6531)")
    try:
        return parse_address(path)
    except Refused as refused:
        raise Refused(501, status, refused.reply.text) from None


def _parameters(text: str, esmtp: bool) -> dict[str, str]:
    if not esmtp:
        raise Refused(555, "5.5.4", "parameters need EHLO instead of HELO")
    found: dict[str, str] = {}
    for word in text.split():
        match = _PARAMETER.match(word)
        if match is None:
            raise Refused(501, "5.5.4", f"{word[:40]!r} is not a parameter; write NAME=value after the address")
        name = match[1].upper()
        if name in found:
            raise Refused(501, "5.5.4", f"{name[:40]} is given twice")
        found[name] = match[2] or ""
    return found


def _set_mail_parameter(envelope: Envelope, name: str, value: str, message_bytes: int) -> None:
    if name == "SIZE":
        envelope.size = _parse_size(value, message_bytes)
    elif name == "BODY":
        envelope.body = _one_of(name, value, ("7BIT", "8BITMIME"))
    elif name == "SMTPUTF8":
        if value:
            raise Refused(501, "5.5.4", "SMTPUTF8 takes no value")
        envelope.smtputf8 = True
    elif name == "RET":
        envelope.ret = _one_of(name, value, ("FULL", "HDRS"))
    elif name == "ENVID":
        envelope.envid = _decode_xtext(name, value, ENVID_LENGTH)
        if not _PRINTABLE.match(envelope.envid):
            raise Refused(501, "5.5.4", "ENVID may hold printable ASCII only (RFC 3461)")
    elif name == "AUTH":
        _decode_xtext(name, value, ORCPT_LENGTH)  # RFC 4954 §5: whom it came from; we trust our own login only
    else:
        known = "SIZE, BODY, SMTPUTF8, RET, ENVID and AUTH"
        raise Refused(555, "5.5.4", f"MAIL has no parameter {name[:40]} here; {known} are understood")


def _parse_size(value: str, message_bytes: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 20):  # RFC 1870 §3
        raise Refused(501, "5.5.4", "SIZE takes a number of bytes")
    if int(value) > message_bytes:
        raise Refused(552, "5.3.4", f"a message of {int(value)} bytes is too large; at most {message_bytes} are taken")
    return int(value)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    word = value.upper()
    if word not in allowed:
        raise Refused(501, "5.5.4", f"{name} takes {' or '.join(allowed)}")
    return word


def _parse_notify(value: str) -> str:
    words = value.upper().split(",")
    valid = words == ["NEVER"] or (set(words) <= {"SUCCESS", "FAILURE", "DELAY"} and len(set(words)) == len(words))
    if not valid:
        raise Refused(501, "5.5.4", "NOTIFY takes NEVER, or a list of SUCCESS, FAILURE and DELAY")
    return ",".join(words)


def _parse_orcpt(value: str, smtputf8: bool) -> str:
    kind, semicolon, text = value.partition(";")
    if not semicolon or not _ADDRESS_TYPE.match(kind) or not text:
        raise Refused(501, "5.5.4", "ORCPT takes rfc822; and an address as xtext (RFC 3461)")
    decoded = _decode_xtext("ORCPT", text, ORCPT_LENGTH - len(kind) - 1, utf8=smtputf8 or kind.lower() == "utf-8")
    if not decoded.isprintable():
        raise Refused(501, "5.5.4", "ORCPT holds characters that no address may")
    return f"{kind.lower()};{decoded}"


def _decode_xtext(name: str, value: str, length: int, utf8: bool = False) -> str:
    """RFC 3461 §4, and RFC 6533 §3 when `utf8`."""
    if not value or len(value) > length or not (_XTEXT_UTF8 if utf8 else _XTEXT).match(value):
        raise Refused(501, "5.5.4", f"{name} takes at most {length} characters of xtext (RFC 3461)")
    return _HEX.sub(lambda match: _character(name, int(match[1] or match[2], 16)), value)


def _character(name: str, code: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise Refused(501, "5.5.4", f"{name} holds a character that does not exist")
    return chr(code)
