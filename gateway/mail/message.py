"""A message read on its bytes: its header fields, and its MIME parts as offsets into the body.

Called by both doors (strictly for what is submitted, tolerantly for what is received), the branding and the report
reader. Promises linear time, bounds on size, fields, depth and parts, no copy of the body and no `email` objects (the
standard library's parser needs seconds for a long address list). Strictly read, a header that is none is refused with
its line number; tolerantly read, nothing is: what is no field ends the header, and bare CR or LF end lines.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.mail.header_mailboxes import Mailbox, read_mailboxes, read_message_ids
from gateway.mail.header_parameters import read_filename, read_parameters, read_type
from gateway.mail.header_text import decode_base64, decode_charset, decode_raw, decode_words
from gateway.mail.reply import Refused
from gateway.mail.status import clean

__all__ = ["Field", "Head", "Mailbox", "Part", "decode", "decode_text", "read_head", "read_mailboxes"]
__all__ += ["read_message_ids", "walk"]

HEAD_LIMIT = 100 * 1024
FIELD_LIMIT = 1_000
FALSE_BOUNDARY_LIMIT = 10_000  # lines that begin like a boundary and are none, before a multipart is taken as it is

# One line end: CRLF, the CRCRLF of double conversion, a bare LF or CR. Atomic, so that CR LF is never read as two.
_EOL = re.compile(rb"(?>\r{0,2}\n|\r)")
_FIELD = re.compile(
    rb"([!-9;-~]++)([ \t]*+):([^\r\n]*+(?:(?>\r{0,2}\n|\r)[ \t][^\r\n]*+)*+)(?:(?>\r{0,2}\n|\r)|\Z)", re.DOTALL
)
_CLEAN_FIELD = re.compile(rb"(([!-9;-~]++):[^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+\r\n)")
_MAILBOX_LINE = re.compile(rb">?From [^\r\n]*+(?>\r{0,2}\n|\r)")  # the separator of mbox files
_BOUNDARY_END = re.compile(rb"(--)?[ \t]*+(?:(?>\r{0,2}\n|\r)|\Z)")
_MESSAGE_TYPES = frozenset({"message/rfc822", "message/global"})
_IDENTITY = frozenset({"", "7bit", "8bit", "binary"})


@dataclass(frozen=True, slots=True)
class Field:
    """One header field. `name` is lower-case, `raw` the field with its folds and final CRLF."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """What stands after the colon, unfolded (RFC 5322 §2.2.3) and stripped."""
        return self.raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")


@dataclass(frozen=True, slots=True)
class Head:
    """A header: its fields in order, and where the body begins (offset into the bytes that were read)."""

    fields: tuple[Field, ...]
    body_at: int

    def all(self, name: str) -> Iterator[Field]:
        """The fields called `name` (any case), in order."""
        key = name.lower().encode()
        return (item for item in self.fields if item.name == key)

    def has(self, name: str) -> bool:
        """Whether a field of that name stands here."""
        return any(True for _ in self.all(name))

    def count(self, name: str) -> int:
        """How many fields of that name there are."""
        return sum(1 for _ in self.all(name))

    def raw_value(self, name: str) -> bytes:
        """The first value of that name, unfolded, undecoded; b"" when there is none."""
        return next((item.value for item in self.all(name)), b"")

    def text(self, name: str) -> str:
        """The first value of that name, decoded for people (RFC 2047), without control characters, bounded."""
        return next(iter(self.texts(name)), "")

    def texts(self, name: str) -> tuple[str, ...]:
        """Every value of that name as `text` gives it."""
        return tuple(decode_words(decode_raw(item.value)) for item in self.all(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A MIME part by offsets: its body is `raw[start:end]`, still encoded.

    `path` counts from 1 and is () for the whole message; the message inside a message/rfc822 part is its child 1.
    """

    path: tuple[int, ...]
    head: Head = field(repr=False)
    content_type: str  # lower case, "text/plain" when missing or malformed
    charset: str  # as declared, "" when not
    disposition: str  # "attachment", "inline", or ""
    filename: str  # decoded, without folders, "" when there is none
    encoding: str  # Content-Transfer-Encoding in lower case, "" when missing
    start: int
    end: int


def read_head(raw: bytes, *, limit: int = HEAD_LIMIT, max_fields: int = FIELD_LIMIT, strict: bool = True) -> Head:
    """Read the header at the beginning of `raw`; `limit` in bytes.

    Raises `Refused` 554 5.6.0 with the line number for what is no header, too large or has too many fields. With
    `strict=False` it never raises: the header ends at the first line that is no field.
    """
    return _read_head(raw, 0, len(raw), limit, max_fields, strict)


def _read_head(raw: bytes, start: int, end: int, limit: int, max_fields: int, strict: bool) -> Head:
    stop = min(end, start + limit)
    if clean_head := _read_clean_head(raw, start, stop, max_fields):
        return clean_head
    fields: list[Field] = []
    at = start
    if not strict and (line := _MAILBOX_LINE.match(raw, at, stop)):
        at = line.end()
    while at < end:
        if blank := _EOL.match(raw, at, min(at + 3, end)):
            if strict and not fields:
                raise _refuse(raw, start, at, "the message has no header; begin with From: and end with an empty line")
            return Head(tuple(fields), blank.end())
        match = _FIELD.match(raw, at, stop)
        cut = at >= stop or (match is not None and match.end() == stop < end)
        if match is None or cut or len(fields) == max_fields or (strict and _is_odd(match)):
            if strict:
                raise _refuse(raw, start, at, _explain(raw, at, limit if cut else 0, max_fields, len(fields)))
            return Head(tuple(fields), at)
        fields.append(Field(match[1].lower(), _canonical(match)))
        at = match.end()
    if strict and not fields:
        raise Refused(554, "5.6.0", "The message is empty")
    return Head(tuple(fields), end)


def _read_clean_head(raw: bytes, start: int, stop: int, max_fields: int) -> Head | None:
    """What nearly all mail has, in one sweep: a header of nothing but fields with CRLF. None when it is not that."""
    blank = raw.find(b"\r\n\r\n", start, stop)
    if blank < 0:
        return None
    lines = raw[start : blank + 2]
    found = _CLEAN_FIELD.findall(lines)
    if len(found) > max_fields or sum(len(text) for text, _ in found) != len(lines) or b"\0" in lines:
        return None
    return Head(tuple([Field(name.lower(), text) for text, name in found]), blank + 4)


def _is_odd(match: re.Match[bytes]) -> bool:
    return bool(match[2]) or b"\0" in match[3]


def _canonical(match: re.Match[bytes]) -> bytes:
    """The field's bytes with every line end a CRLF, and no blank between its name and the colon."""
    whole = match[0]
    if whole.endswith(b"\r\n") and not match[2] and whole.count(b"\r\n") == whole.count(b"\n") == whole.count(b"\r"):
        return whole
    return match[1] + b":" + _EOL.sub(b"\r\n", match[3]) + b"\r\n"


def _refuse(raw: bytes, start: int, at: int, why: str) -> Refused:
    number = len(_EOL.findall(raw, start, at)) + 1
    return Refused(554, "5.6.0", f"Header line {number}: {why}")


def _explain(raw: bytes, at: int, limit: int, max_fields: int, count: int) -> str:
    if limit:
        return f"the header is larger than {limit} bytes, or the empty line after it is missing"
    if count == max_fields:
        return f"the header has more than {max_fields} fields"
    line = re.split(rb"[\r\n]", raw[at : at + 1000], maxsplit=1)[0]
    name, colon, _ = line.partition(b":")
    shown = clean(line[:60].decode("utf-8", "replace"), 60)
    if line[:1] in (b" ", b"\t") and not count:
        return "the message begins with a blank; a header begins with a field such as From:"
    if not colon:
        return f'"{shown}" has no colon; write Name: value, and an empty line between header and body'
    if not name.strip():
        return f'"{shown}" has no field name before its colon'
    if re.fullmatch(rb"[!-9;-~]+", name):
        return f'the value of "{clean(name.decode("ascii"), 60)}" holds a NUL'
    return f'the field name "{clean(name[:60].decode("utf-8", "replace"), 60)}" holds characters that no name may have'


def walk(raw: bytes, *, depth: int = 50, parts: int = 1000) -> tuple[Part, ...]:
    """The MIME tree of a message, parents before children, at most `parts` of them and `depth` levels; never raises.

    Multiparts are cut at their boundaries (RFC 2046 §5.1), a missing last boundary is forgiven; attached messages are
    entered. What lies deeper than the limits stays undivided in its parent.
    """
    found: list[Part] = []
    todo: list[tuple[tuple[int, ...], int, int, str]] = [((), 0, len(raw), "text/plain")]
    while todo and len(found) < parts:
        path, start, end, default = todo.pop()
        part, boundary = _read_part(raw, path, start, end, default)
        found.append(part)
        if len(path) >= depth:
            continue
        if part.content_type.startswith("multipart/") and boundary:
            kind = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
            room = parts - len(found) - len(todo)
            spans = list(_cut(raw, part.start, part.end, b"--" + boundary.encode("utf-8", "replace"), room))
            todo += [((*path, i), *span, kind) for i, span in reversed(list(enumerate(spans, 1)))]
        elif part.content_type in _MESSAGE_TYPES and part.encoding in _IDENTITY:
            todo.append(((*path, 1), part.start, part.end, "text/plain"))
    return tuple(found)


def _read_part(raw: bytes, path: tuple[int, ...], start: int, end: int, default: str) -> tuple[Part, str]:
    head = _read_head(raw, start, end, HEAD_LIMIT, FIELD_LIMIT, strict=False)
    content_type, parameters = read_type(head.raw_value("content-type"), default)
    disposition, more = read_parameters(head.raw_value("content-disposition"))
    encoding = decode_raw(head.raw_value("content-transfer-encoding")[:40]).partition(";")[0].strip().lower()
    part = Part(
        path=path,
        head=head,
        content_type=content_type,
        charset=parameters.get("charset", "")[:60],
        disposition=disposition if disposition in ("attachment", "inline") else ("attachment" if disposition else ""),
        filename=read_filename(more, parameters),
        encoding=encoding,
        start=head.body_at,
        end=end,
    )
    return part, parameters.get("boundary", "")[:200]


def _cut(raw: bytes, start: int, end: int, delimiter: bytes, room: int) -> Iterator[tuple[int, int]]:
    """The (start, end) of each part between `delimiter` lines in raw[start:end], at most `room`."""
    opened, at, false, given = -1, start, 0, 0
    while (found := raw.find(delimiter, at, end)) >= 0 and given < room and false < FALSE_BOUNDARY_LIMIT:
        at = found + len(delimiter)
        line = _BOUNDARY_END.match(raw, at, end)
        if line is None or (found > start and raw[found - 1] not in b"\r\n"):
            false += 1
            continue
        if opened >= 0:
            yield opened, max(opened, _before_eol(raw, found))
            given += 1
        opened, at = line.end(), line.end()
        if line[1]:
            return
    if opened >= 0 and given < room:
        yield opened, end


def _before_eol(raw: bytes, at: int) -> int:
    """Where the line end before `at` begins; it belongs to the boundary, not to the part."""
    if raw[at - 1 : at] == b"\n":
        at -= 1
        return at - 1 if raw[at - 1 : at] == b"\r" else at
    return at - 1


def decode(raw: bytes, part: Part) -> bytes:
    """The content of `part` with its transfer encoding undone; broken base64 or quoted-printable gives what it can."""
    body = raw[part.start : part.end]
    if part.encoding == "base64":
        return decode_base64(body)
    if part.encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    return body


def decode_text(raw: bytes, part: Part, *, limit: int = 1_000_000) -> str:
    """The text of `part`, from its first `limit` decoded bytes, lines ending in \\n; an unknown charset is guessed."""
    text = decode_charset(decode(raw, part)[:limit], part.charset)
    return text.replace("\r\n", "\n").replace("\r", "\n")
