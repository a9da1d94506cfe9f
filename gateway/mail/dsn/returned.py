"""Reads what came back of the mail that a report is about: its Message-ID, recipients, subject, and our own addresses.

Called by `mail.dsn.read` with an enclosed message, an enclosed header, or the tail of a text. Keeps values only.
"""

import re

from gateway.mail.dsn.addresses import find_addresses
from gateway.mail.dsn.dates import read_date
from gateway.mail.dsn.decode import decode_words
from gateway.mail.dsn.parts import Fields
from gateway.mail.dsn.report import Returned

_ID = re.compile(r"<([^<>\s]{1,990})>")
_BARE_ID = re.compile(r"[^\s<>\"(),;]{1,500}@[^\s<>\"(),;]{1,400}")
_TO = (
    "to",
    "cc",
    "x-envelope-to",
    "envelope-to",
    "x-original-to",
    "original-recipient",
    "x-failed-recipients",
    "resent-to",
    "x-rcpt-to",
    "delivered-to",
    "bcc",
    "x-receiver",
)
_ANY = (
    *_TO,
    "return-path",
    "reply-to",
    "from",
    "sender",
    "errors-to",
    "x-sender",
    "x-envelope-from",
    "resent-from",
    "list-unsubscribe",
)
_FIELD = re.compile(r"^[ \t>|]{0,8}([A-Za-z][A-Za-z0-9-]{1,60})[ \t]?:[ \t]{0,8}(.*)$")
_FOR = re.compile(r"\bfor\s+<?([^\s<>;]{1,300}@[^\s<>;]{1,255})")
_KNOWN = frozenset(
    (
        "received return-path from to cc subject date message-id mime-version content-type reply-to"
        " sender x-mailer dkim-signature x-received delivered-to user-agent references in-reply-to"
    ).split()
)
_TELLING = frozenset("received return-path message-id mime-version dkim-signature x-received content-type".split())
LINE_LIMIT = 2000


def read_returned(fields: Fields) -> Returned:
    """What the header of the returned mail says."""
    to = _addresses(fields, _TO)
    received = " ".join(fields.get("received", [])[:50])[:50_000]
    envelope = [match[1] for match in _FOR.finditer(received)]
    return Returned(
        message_id=read_id(_first(fields, "message-id")),
        subject=decode_words(_first(fields, "subject"))[:1000],
        date=read_date(_first(fields, "date")),
        return_path=next(iter(_addresses(fields, ("return-path",))), ""),
        author=next(iter(_addresses(fields, ("from",))), ""),
        to=to,
        addresses=tuple(dict.fromkeys((*_addresses(fields, _ANY), *envelope)))[:200],
        references=read_ids([*fields.get("in-reply-to", []), *fields.get("references", [])]),
    )


def _first(fields: Fields, name: str) -> str:
    found = fields.get(name)
    return found[0] if found else ""


def _addresses(fields: Fields, names: tuple[str, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names:
        for value in fields.get(name, ())[:20]:
            for hit in find_addresses(decode_words(value[:20_000]), 200):
                found.setdefault(hit.address)
    return tuple(found)


def read_id(value: str) -> str:
    """A Message-ID without its angle brackets; a bare one is taken too."""
    value = value[:2000]
    match = _ID.search(value.replace("\n", ""))
    if match:
        return match[1]
    bare = _BARE_ID.search(value)
    return bare[0] if bare else value.strip().strip("<>")[:500]


def read_ids(values: list[str]) -> tuple[str, ...]:
    """Every Message-ID in References or In-Reply-To, in order, each once; at most 200."""
    found: dict[str, None] = {}
    for value in values[:20]:
        for match in _ID.finditer(value[:50_000]):
            found.setdefault(match[1])
    return tuple(found)[:200]


def read_header_text(text: str) -> Fields:
    """The header that a text holds, after any words before it; {} when three lines of it cannot be found."""
    fields: Fields = {}
    name = ""
    for count, line in enumerate(text[:200_000].split("\n")):
        if count > LINE_LIMIT:
            break
        match = _FIELD.match(line[:4000])
        if match:
            name = match[1].lower()
            fields.setdefault(name, []).append(match[2])
        elif line[:1] in (" ", "\t") and name and line.strip():
            fields[name][-1] += "\n" + line.rstrip()
        elif not line.strip():
            name = ""
            if len(_KNOWN & fields.keys()) >= 3:
                break
        else:
            name = ""
            if not (_KNOWN & fields.keys()):
                fields.clear()
    return fields


def header_at(lines: list[str]) -> int:
    """The line where a header lies in prose: three known fields within the next lines; -1 when there is none."""
    run: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        match = _FIELD.match(line[:200])
        name = match[1].lower() if match else ""
        if name in _KNOWN and line[:1] not in (" ", "\t"):
            run = [(at, known) for at, known in run[-20:] if number - at < 40] + [(number, name)]
            if len(run) >= 3 and any(known in _TELLING for _, known in run):
                return run[0][0]
        elif run and not line.strip() and number - run[-1][0] > 1:
            run = []
    return -1
