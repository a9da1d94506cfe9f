"""What a server says: bytes in, whole SMTP replies out. Pure: no socket, no clock.

Fed by `outbound.smtp_wire`; its replies are judged by `outbound.smtp_opening` and `outbound.smtp_transaction`.
Promises bounded memory whatever the server sends: 16 KB a line, 256 KB a reply (security rule 3).
Refuses by `Malformed` all that RFC 5321 §4.2 does not allow: bare LF or CR, an empty line, a code that is none, two
codes in one reply. It is stricter than it need be to read mail, for what it reads decides whether mail was taken.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from gateway.mail.reply import Reply

LINE_LIMIT = 16 * 1024  # bytes, CRLF included; RFC 5321 §4.5.3.1.5 asks for 512
REPLY_LIMIT = 256 * 1024  # bytes of all lines of one reply
_SHORT = 40  # bytes of a line worth remembering

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r\n]*))?\Z")
_START = re.compile(rb"[2-5](?:[0-9](?:[0-9](?:[ \-\r]|\Z)|\Z)|\Z)")  # what the beginning of a good line looks like
_ENHANCED = re.compile(r"([245])\.(?:0|[1-9][0-9]{0,2})\.(?:0|[1-9][0-9]{0,2})(?=\s|\Z)")


class Malformed(Exception):
    """What came is no SMTP reply. Its text says why, in our words only."""


class ReplyReader:
    """Cuts a stream into replies. After `Malformed` the stream is out of step and the reader must not be fed again."""

    __slots__ = ("_code", "_pending", "_size", "_texts")

    def __init__(self) -> None:
        self._pending = b""  # an unfinished line
        self._code = b""  # of the unfinished reply
        self._texts: list[str] = []
        self._size = 0

    @property
    def idle(self) -> bool:
        """True between two replies: nothing was begun and left unfinished."""
        return not self._pending and not self._code

    def feed(self, data: bytes, replies: list[Reply], most: int) -> None:
        """Append to `replies` what `data` completes, until there are `most`; raises `Malformed`.

        Bytes beyond those replies stay unread (and make `idle` false), so that a flood of replies costs nothing.
        """
        buffer = self._pending + data if self._pending else data
        start = 0
        while len(replies) < most:
            end = buffer.find(b"\n", start)
            if end < 0:
                break
            if end == start or buffer[end - 1] != 13:
                raise Malformed("a line ends in a bare LF")
            if end - start >= LINE_LIMIT:
                raise Malformed("a line of more than 16 KB")
            line = buffer[start : end - 1]
            reply = (_short_reply(line) if len(line) <= _SHORT and not self._code else None) or self._add(line)
            if reply is not None:
                replies.append(reply)
            start = end + 1
        self._pending = buffer[start:]
        if len(replies) < most:
            self._check_pending()

    def _check_pending(self) -> None:
        """Refuse what can no longer become a good line, before the deadline does."""
        if len(self._pending) >= LINE_LIMIT:
            raise Malformed("a line of more than 16 KB")
        if self._pending and not _START.match(self._pending):
            raise Malformed("a line without a reply code")

    def _add(self, line: bytes) -> Reply | None:
        match = _LINE.match(line)
        if match is None:
            raise Malformed("a bare CR in a line" if b"\r" in line else "a line without a reply code")
        code, mark, text = match.groups()
        if self._code and code != self._code:
            raise Malformed("two codes in one reply")
        self._size += len(line) + 2
        if self._size > REPLY_LIMIT:
            raise Malformed("a reply of more than 256 KB")
        # What is not UTF-8 stays visible as \xNN: nothing that a remote said is lost, nothing is guessed.
        self._texts.append((text or b"").decode("utf-8", "backslashreplace"))
        if mark == b"-":
            self._code = code
            return None
        reply = Reply(int(code), enhanced_code(line[0] - 48, self._texts), "\n".join(self._texts))
        self._code, self._texts, self._size = b"", [], 0
        return reply


@lru_cache(512)
def _short_reply(line: bytes) -> Reply | None:
    """A whole reply of one short line, or None. Most replies are such, and the same ones again and again."""
    match = _LINE.match(line)
    if match is None or match[2] == b"-":
        return None
    text = (match[3] or b"").decode("utf-8", "backslashreplace")
    return Reply(int(match[1]), enhanced_code(line[0] - 48, [text]), text)


def enhanced_code(digit: int, texts: list[str]) -> str:
    """The RFC 2034 code of the first line that has one whose class agrees with the reply's first digit; else ""."""
    for text in texts:
        match = _ENHANCED.match(text)
        if match and int(match[1]) == digit:
            return match[0]
    return ""


def parse_extensions(reply: Reply) -> dict[str, str]:
    """The extensions of an EHLO reply (RFC 5321 §4.1.1.1): keyword in upper case to its parameters.

    The first line is the server's name, not an extension. `AUTH=PLAIN`, an old form, is read as `AUTH PLAIN`.
    """
    found: dict[str, str] = {}
    for line in reply.text.split("\n")[1:]:
        keyword, _, parameters = line.strip().replace("=", " ", 1).partition(" ")
        keyword = keyword.upper()
        if keyword:
            found[keyword] = f"{found[keyword]} {parameters}".strip() if keyword in found else parameters.strip()
    return found


def size_limit(extensions: Mapping[str, str]) -> int:
    """The largest message in bytes that the server takes (SIZE, RFC 1870); 0 when it states none."""
    match = re.match(r"[0-9]{1,18}\Z", extensions.get("SIZE", ""))
    return int(match[0]) if match else 0
