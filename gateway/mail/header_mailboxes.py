"""Mailboxes and message ids out of header values, tolerant and in linear time.

Called by `mail.message` (which exports these names), the doors and the branding. RFC 5322 §3.4 with the obsolete forms
of §4.4: groups are flattened, comments and routes skipped, old-style `address (name)` understood, what is no mailbox
skipped. Never raises; refuses nothing: whoever needs exactly one mailbox counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from gateway.mail.address import Address, parse_address
from gateway.mail.header_text import decode_raw, decode_words, scrub
from gateway.mail.reply import Refused

MAILBOX_LIMIT = 1_000
ID_LIMIT = 200
DISPLAY_LIMIT = 500  # characters of a display name that are kept
VALUE_LIMIT = 100 * 1024  # bytes or characters of one value that are read
SHORT = 200  # bytes or characters of a value that is remembered: one mail's From and To are read again and again

# Possessive and bounded everywhere: each character is looked at a constant number of times.
_TOKEN = re.compile(
    r"""(?P<blank>\s++)
    | (?P<word>=\?[^?\s]{1,60}\?[bBqQ]\?[^?\s]*+\?=)
    | (?P<quoted>"(?P<inner>(?:[^"\\]++|\\.)*+)(?P<close>")?)
    | (?P<literal>\[[^\[\]\s]{0,100}\])
    | (?P<special>[(),:;<>\\])
    | (?P<atom>[^\s"(),:;<>\\\[]++|\[)""",
    re.VERBOSE | re.DOTALL,
)
_PAREN = re.compile(r"[()]|\\.", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BARE_ID = re.compile(r"\s*+<?([^<>\s@]{1,500}@[^<>\s]{1,490})>?\s*+")
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,990})>")

Token = tuple[str, str]  # kind (a group of _TOKEN, or "comment") and text


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name, decoded ("" when there is none), and an address."""

    display: str
    address: Address


def read_mailboxes(value: bytes | str, *, limit: int = MAILBOX_LIMIT) -> tuple[Mailbox, ...]:
    """The mailboxes in an unfolded value of From, To, Cc …, in order, at most `limit` of them."""
    return (_read_short if len(value) <= SHORT else _read)(value, limit)


def _read(value: bytes | str, limit: int) -> tuple[Mailbox, ...]:
    found: list[Mailbox] = []
    text = decode_raw(value, VALUE_LIMIT) if isinstance(value, bytes) else value[:VALUE_LIMIT]
    for segment in _split(_tokenise(text)):
        mailbox = _read_segment(segment)
        if mailbox:
            found.append(mailbox)
            if len(found) >= limit:
                break
    return tuple(found)


_read_short = lru_cache(maxsize=1024)(_read)


def read_message_ids(value: bytes | str) -> tuple[str, ...]:
    """The ids in a value of Message-ID, In-Reply-To or References, without <>, at most 200 (the first and the last).

    A value that is one bare word with an @ counts as an id, as old mailers wrote it.
    """
    text = decode_raw(value, VALUE_LIMIT) if isinstance(value, bytes) else value[:VALUE_LIMIT]
    ids = [item for item in _MESSAGE_ID.findall(text) if item.isprintable()]
    if not ids and (bare := _BARE_ID.fullmatch(text)) and bare[1].isprintable():
        ids = [bare[1]]
    return tuple(ids if len(ids) <= ID_LIMIT else ids[:1] + ids[1 - ID_LIMIT :])


def _tokenise(text: str) -> Iterator[Token]:
    at = 0
    while match := _TOKEN.match(text, at):
        kind, piece = match.lastgroup or "", match[0]
        if kind == "quoted" and match["close"] is None:
            text = text[:at] + text[at:].replace('"', " ")  # never closed: from here on a quote means nothing
            continue
        if piece == "(" and kind == "special":
            end = _comment_end(text, at)
            if end < 0:
                text = text[:at] + re.sub("[()]", " ", text[at:])
                continue
            yield "comment", text[at + 1 : end]
            at = end + 1
            continue
        yield kind, piece
        at = match.end()


def _comment_end(text: str, at: int) -> int:
    """Where the comment that opens at `at` closes, comments nested in it included; -1 when it never does."""
    depth = 0
    for match in _PAREN.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    return -1


def _split(tokens: Iterator[Token]) -> Iterator[list[Token]]:
    """Cut tokens at the commas and semicolons between mailboxes; the names of groups are dropped."""
    segment: list[Token] = []
    inside = route = False
    for kind, piece in tokens:
        if kind == "special":
            if piece in ",;" and not route:
                yield segment
                segment, inside = [], False
                continue
            if piece == ":" and not inside:
                segment = []
                continue
            inside = piece == "<" or (inside and piece != ">")
            route = route and inside and piece != ":"
        elif inside and piece.startswith("@") and segment and segment[-1][1] == "<":
            route = True
        segment.append((kind, piece))
    yield segment


def _read_segment(segment: list[Token]) -> Mailbox | None:
    opening = next((i for i, item in enumerate(segment) if item == ("special", "<")), -1)
    notes = " ".join(piece for kind, piece in segment if kind == "comment")
    if opening >= 0:
        display, spec = segment[:opening], _join_spec(segment[opening + 1 :])
        if spec.startswith("@"):
            spec = spec.partition(":")[2]
    else:
        display, spec = _find_spec(segment)
    if "@" not in spec or len(spec) > 400:
        return None
    try:
        address = parse_address(spec)
    except Refused:
        return None
    return Mailbox(_read_phrase(display) or " ".join(decode_words(notes).split())[:DISPLAY_LIMIT], address)


def _join_spec(tokens: list[Token]) -> str:
    parts: list[str] = []
    for kind, piece in tokens:
        if kind == "special" and piece in "<>":
            break
        if kind not in ("blank", "comment"):
            parts.append(piece)
    return "".join(parts)


def _find_spec(segment: list[Token]) -> tuple[list[Token], str]:
    """The address of a mailbox without angle brackets: its last word with an @; the other words are its name."""
    words: list[list[Token]] = [[]]
    for item in segment:
        if item[0] in ("blank", "comment"):
            words.append([])
        else:
            words[-1].append(item)
    for i in range(len(words) - 1, -1, -1):
        spec = "".join(piece for _, piece in words[i])
        if "@" in spec:
            if spec.startswith("@") or spec.endswith("@"):  # `ana @ x.example`, RFC 5322 §4.4
                return [], "".join(piece for word in words for _, piece in word)
            return [item for word in words[:i] for item in [*word, ("blank", " ")]], spec
    return [], ""


def _read_phrase(tokens: list[Token]) -> str:
    parts: list[str] = []
    for kind, piece in tokens:
        if kind == "quoted":
            parts.append(_ESCAPED.sub(r"\1", piece[1:-1]))
        elif kind == "blank":
            parts.append(" ")
        elif kind != "comment" and piece != "\\":
            parts.append(piece)
    text = "".join(parts)[: DISPLAY_LIMIT * 8]
    return " ".join(scrub(decode_words(text)).split())[:DISPLAY_LIMIT]
