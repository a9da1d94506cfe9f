"""Header fields written: folded, encoded, safe.

Called by the branding, the rendering and the report writer. Each function returns one whole field with its CRLF.
Promises lines of 76 characters where words allow and never over 998 bytes (RFC 5322 §2.1.1), encoded words cut at
character borders (RFC 2047 §5), and that no value can end a line: control characters become blanks. A field name that
is none, and an address with a line end, are a bug of the caller: ValueError.
"""

import base64
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from urllib.parse import quote

from gateway.mail.address import Address
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.header_text import scrub

WIDTH = 76  # RFC 2047 §2: a line with an encoded word has at most 76 characters
WORD_LIMIT = 900  # a longer word cannot be folded and is encoded instead
DISPLAY_LIMIT = 200
FILENAME_BYTES = 200

_NAME = re.compile(r"[!-9;-~]{1,76}\Z")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,70}\Z")
_PIECE = re.compile(r" +[^ ]+")
_Q_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # RFC 2047 §5 (3)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def fold(name: str, pieces: Iterable[str]) -> bytes:
    """`name`: and the pieces, each beginning with the blank before which a line may be folded (RFC 5322 §2.2.3).

    Raises ValueError for a name that is no field name and for a piece with a line end or NUL.
    """
    if not _NAME.match(name):
        raise ValueError(f"{name[:80]!r} is not a field name")
    lines, line = [], name + ":"
    for i, piece in enumerate(pieces):
        if len(line) + len(piece) > (WIDTH if i else 998):
            lines.append(line)
            line = piece
        else:
            line += piece
    text = "\r\n".join([*lines, line])
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError(f"a line end inside the value of {name}")
    return text.encode("utf-8") + b"\r\n"


def encode_text(name: str, text: str) -> bytes:
    """A field of free text (Subject, Comments, X-…)."""
    text = scrub(text).strip()
    if text.isascii() and "=?" not in text and all(len(word) <= WORD_LIMIT for word in text.split(" ")):
        return fold(name, _PIECE.findall(" " + text))
    return fold(name, (f" {word}" for word in _encode_words(text, len(name) + 2)))


def mailbox(display: str, address: Address) -> str:
    """`display <address>` on one line; ASCII unless the address itself is not (RFC 6531)."""
    return "".join(_mailbox_pieces(display, address)).lstrip()


def address_list(name: str, mailboxes: Iterable[Mailbox]) -> bytes:
    """A field of addresses (From, To, Reply-To …)."""
    return fold(name, _list_pieces(mailboxes))


def message_ids(name: str, ids: Iterable[str]) -> bytes:
    """A field of message ids (Message-ID, In-Reply-To, References), given without <>."""
    return fold(name, (f" <{item}>" for item in ids))


def date(when: datetime) -> bytes:
    """A Date field (RFC 5322 §3.3). Raises ValueError for a time without zone."""
    return fold("Date", [f" {date_text(when)}"])


def date_text(when: datetime) -> str:
    """`when` as RFC 5322 writes it: `Tue, 24 Nov 2026 10:19:03 +0200`. Raises ValueError for a time without zone."""
    if when.utcoffset() is None:
        raise ValueError("a date in a header needs its zone")
    clock = when.strftime("%H:%M:%S %z")[:14]  # a zone has no seconds in mail
    return f"{_DAYS[when.weekday()]}, {when.day} {_MONTHS[when.month - 1]} {when.year:04d} {clock}"


def disposition(kind: str, filename: str) -> bytes:
    """Content-Disposition with a file name: ASCII for old readers and, when it differs, RFC 2231 beside it."""
    return with_parameters("Content-Disposition", kind, {"filename": _cut_filename(filename)} if filename else {})


def with_parameters(name: str, value: str, parameters: dict[str, str]) -> bytes:
    """A field such as Content-Type with its parameters (RFC 2045 §5.1; RFC 2231 for what is not ASCII)."""
    pieces = [f" {scrub(value)}"]
    for key, item in parameters.items():
        for text in _parameter(key, scrub(item)):
            pieces[-1] += ";"
            pieces.append(f" {text}")
    return fold(name, pieces)


def _parameter(key: str, value: str) -> Iterator[str]:
    if _TOKEN.match(value):
        yield f"{key}={value}"
    elif value.isascii():
        yield f"{key}={_quote(value)}"
    else:
        if key in ("filename", "name"):
            yield f"{key}={_quote(_ascii_name(value))}"
        # Undivided (RFC 2231 §3 would allow pieces): fewer readers put pieces together than read a long line.
        yield f"{key}*=UTF-8''{quote(value, safe='', errors='replace')}"


def _ascii_name(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c if c.isascii() else "_" for c in plain if not unicodedata.combining(c))


def _cut_filename(text: str) -> str:
    text = re.sub(r'[/\\:*?"<>|]', "_", scrub(text)).strip(" .") or "file"
    if len(text.encode()) <= FILENAME_BYTES:
        return text
    stem, dot, ending = text.rpartition(".")
    ending = dot + ending if stem and len(ending) <= 10 else ""
    stem = stem if ending else text
    return stem.encode()[: FILENAME_BYTES - len(ending.encode())].decode("utf-8", "ignore") + ending


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _list_pieces(mailboxes: Iterable[Mailbox]) -> Iterator[str]:
    """Each mailbox's pieces; a comma ends every mailbox but the last."""
    held = ""
    for item in mailboxes:
        if held:
            yield held + ","
        *pieces, held = _mailbox_pieces(item.display, item.address)
        yield from pieces
    if held:
        yield held


def _mailbox_pieces(display: str, address: Address) -> list[str]:
    spec = f"{address.local}@{address.ascii_domain if address.ascii else address.domain}"
    display = " ".join(scrub(display).split())[:DISPLAY_LIMIT].strip()
    if not display:
        return [f" {spec}"]
    if display.isascii() and "=?" not in display:
        phrase = _PIECE.findall(" " + (display if _ATOMS.match(display) else _quote(display)))
    else:
        phrase = [f" {word}" for word in _encode_words(display, 14)]
    return [*phrase, f" <{spec}>"]


def _encode_words(text: str, used: int) -> Iterator[str]:
    """`text` as encoded words in UTF-8, the first after `used` characters; B or Q, whichever is shorter."""
    data = text.encode("utf-8")
    q_length = sum(1 if chr(byte) in _Q_SAFE or byte == 32 else 3 for byte in data)
    b = (len(data) + 2) // 3 * 4 < q_length
    room = max(WIDTH - used - 12, 24)
    word, length = "", 0
    for char in text:
        cost = len(char.encode("utf-8")) if b else len(_q(char))
        if length + cost > (room // 4 * 3 if b else room):
            yield _word(word, b)
            word, length, room = "", 0, WIDTH - 1 - 12
        word += char
        length += cost
    yield _word(word, b)


def _word(text: str, b: bool) -> str:
    if b:
        return f"=?UTF-8?B?{base64.b64encode(text.encode()).decode('ascii')}?="
    return f"=?UTF-8?Q?{''.join(_q(char) for char in text)}?="


def _q(char: str) -> str:
    if char in _Q_SAFE:
        return char
    return "_" if char == " " else "".join(f"={byte:02X}" for byte in char.encode("utf-8"))
