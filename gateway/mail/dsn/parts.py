"""A reader of received mail that never fails: cuts bytes into parts in one pass, whatever the bytes are.

Called by `mail.received` and the rest of `mail.dsn`. Promises: no exception, no recursion, time linear in the size;
limits of 25 MB, 100 KB of header, 50 levels and 1,000 parts, behind which the rest is one opaque part. Bare LF, bare
CR, CRLF, UTF-16, mbox lines, missing or wrong boundaries are read as what they were meant to be. It keeps no bytes of
its own: a part is an offset into the normalised mail. It refuses nothing and judges nothing.
"""

import re
from dataclasses import dataclass, field

from gateway.mail.dsn.decode import decode_body, decode_text, decode_words

SIZE_LIMIT = 25 * 1024 * 1024
HEADER_LIMIT = 100 * 1024
FIELD_LIMIT = 1000
DEPTH_LIMIT = 50
PART_LIMIT = 1000
DELIMITER_LIMIT = 100_000  # lines that begin with "--" and could be one

_FIELD = re.compile(r"^([!-9;-~]{1,100})[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)", re.M)
_NOT_FIELD = re.compile(rb"\n(?![!-9;-~]{1,100}[ \t]*:|[ \t]|$)")
_GOES_ON = re.compile(rb"\n(?:from|to|subject|date|message-id|content-type|received|mime-version)[ \t]*:", re.I)
_PARAM = re.compile(
    r""";\s*([\w!#$%&'+.^`|~-]{1,40}\*?(?:\d{1,2}\*?)?)\s*=\s*(?:"((?:[^"\\]|\\.){0,2000})"|([^\s;"]{0,2000}))"""
)
MESSAGE_TYPES = ("message/rfc822", "message/global", "message/news", "message/partial")

Fields = dict[str, list[str]]


@dataclass(slots=True)
class Part:
    """One part: its header, and where its body lies in `Mail.data`. `parent` is an index of `parts`, -1 at the top."""

    fields: Fields
    kind: str  # media type, lower-case, "text/plain" when none is given
    params: dict[str, str]
    parent: int
    depth: int
    start: int
    end: int
    message: bool = False  # it is the top of a message: the mail itself, or one inside message/rfc822
    inside: int = -1  # index of the message/rfc822 part it lies in, -1 for the outer mail

    def first(self, name: str) -> str:
        """The first field of that (lower-case) name, decoded and on one line; "" when there is none."""
        found = self.fields.get(name)
        return decode_words(found[0]) if found else ""

    @property
    def encoding(self) -> str:
        """Content-Transfer-Encoding, lower-case."""
        found = self.fields.get("content-transfer-encoding")
        return found[0].strip().lower() if found else ""


@dataclass(slots=True)
class Mail:
    """A mail cut into parts; `parts[0]` is its top."""

    data: bytes
    parts: list[Part] = field(default_factory=list)
    words: dict[int, tuple[str, str]] = field(default_factory=dict)  # what `dsn.read.split_words` found, by message

    @property
    def top(self) -> Part:
        """The mail's own header and body."""
        return self.parts[0]

    def body(self, part: Part) -> bytes:
        """The decoded bytes of a part."""
        return decode_body(self.data[part.start : part.end], part.encoding)

    def text(self, part: Part, limit: int = 0) -> str:
        """A text part as text, at most about `limit` characters when that is given."""
        end = min(part.end, part.start + limit * 2) if limit else part.end
        return decode_text(decode_body(self.data[part.start : end], part.encoding), part.params.get("charset", ""))


def read_parts(raw: bytes) -> Mail:
    """Cut a mail into its parts, those of enclosed messages included."""
    mail = Mail(_normalise(raw[:SIZE_LIMIT]))
    data = mail.data
    # Boundaries that are open, inner last: boundary -> index of its multipart.
    open_boundaries: dict[bytes, int] = {}
    leaf = _open(mail, 0, len(data), -1, -1, open_boundaries)
    at, seen = mail.parts[leaf].start - 1, 0
    while open_boundaries and seen < DELIMITER_LIMIT:
        at = data.find(b"\n--", at) if at >= 0 else (0 if data.startswith(b"--") else data.find(b"\n--"))
        if at < 0:
            break
        seen += 1
        line_at = at + 1 if at or data[:1] == b"\n" else at
        line_end = data.find(b"\n", line_at)
        line_end = len(data) if line_end < 0 else line_end
        line = data[line_at + 2 : min(line_end, line_at + 300)].rstrip()
        closing = line not in open_boundaries and line.endswith(b"--") and line[:-2] in open_boundaries
        boundary = line[:-2] if closing else line
        owner = open_boundaries.get(boundary)
        at = line_end
        if owner is None:
            continue
        _close(mail, owner, max(line_at - 1, 0))
        for inner in reversed(list(open_boundaries)):
            if inner == boundary:
                break
            del open_boundaries[inner]
        if closing:
            del open_boundaries[boundary]
        elif len(mail.parts) < PART_LIMIT:
            parent = mail.parts[owner]
            leaf = _open(mail, min(line_end + 1, len(data)), len(data), owner, parent.inside, open_boundaries)
            at = max(line_end, mail.parts[leaf].start - 1)
    return mail


def _normalise(raw: bytes) -> bytes:
    """LF line ends, and UTF-8 where the whole mail is UTF-16."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raw = raw.decode("utf-16", "replace").encode("utf-8", "replace")
    elif raw[:200:2].count(0) > 40 or raw[1:200:2].count(0) > 40:
        order = "utf-16-be" if raw[:200:2].count(0) > 40 else "utf-16-le"
        raw = raw.decode(order, "replace").encode("utf-8", "replace")
    if raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    if b"\r" in raw:
        raw = raw.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return raw.lstrip(b"\n")


def _open(mail: Mail, start: int, end: int, parent: int, inside: int, boundaries: dict[bytes, int]) -> int:
    """Add the part that begins at `start`, and what it holds at once (an enclosed message); return the innermost."""
    while True:
        depth = mail.parts[parent].depth + 1 if parent >= 0 else 0
        message = parent < 0 or mail.parts[parent].kind in MESSAGE_TYPES
        fields, body_at = read_fields(mail.data, start, end, message)
        kind, params = read_type(fields)
        if kind == "text/plain" and "content-type" not in fields and parent >= 0 and not message:
            kind = "message/rfc822" if mail.parts[parent].kind == "multipart/digest" else kind
        index = len(mail.parts)
        mail.parts.append(Part(fields, kind, params, parent, depth, body_at, end, message, inside))
        if depth >= DEPTH_LIMIT or len(mail.parts) >= PART_LIMIT:
            return index
        if kind.startswith("multipart/"):
            boundary = params.get("boundary", "").encode("utf-8", "surrogateescape").rstrip()
            if not boundary or mail.data.find(b"--" + boundary, body_at, end) < 0:
                boundary = _guess_boundary(mail.data, body_at, end)
            if boundary:
                boundaries.pop(boundary, None)
                boundaries[boundary] = index
            return index
        if kind not in MESSAGE_TYPES or mail.parts[index].encoding in ("base64", "quoted-printable"):
            return index
        start, parent, inside = body_at, index, index


def _guess_boundary(data: bytes, start: int, end: int) -> bytes:
    """The boundary of a multipart whose header names none, or one that never comes: its first line of `--…`."""
    at = start if data.startswith(b"--", start) else data.find(b"\n--", start, min(end, start + 4000)) + 1
    if not data.startswith(b"--", at) or (at == 0 and start):
        return b""
    line = data[at + 2 : min(end, at + 300)].split(b"\n", 1)
    following = line[1][:9].lower() if len(line) > 1 else b""
    found = line[0].rstrip()
    return found if len(found) > 3 and following.startswith((b"content-", b"\n", b"mime-")) else b""


def _close(mail: Mail, owner: int, end: int) -> None:
    """End every part below `owner` that is still open at `end`."""
    for index in range(len(mail.parts) - 1, owner, -1):
        part = mail.parts[index]
        if part.end <= end:
            if part.parent == owner:
                break
            continue
        part.end = max(end, part.start)


def read_fields(data: bytes, start: int, end: int, message: bool = True) -> tuple[Fields, int]:
    """The header at `start`, and where the body begins. A line that is no field ends it, unless more fields follow."""
    if message and data.startswith((b"From ", b">From "), start):
        line_end = data.find(b"\n", start, end)
        start = line_end + 1 if line_end >= 0 else end
    if data.startswith(b"\n", start):
        return {}, start + 1
    limit = min(end, start + HEADER_LIMIT)
    blank = data.find(b"\n\n", start, limit)
    head_end = blank if blank >= 0 else limit
    broken = _NOT_FIELD.search(data, start, head_end)
    body_at = min(head_end + 2, end) if blank >= 0 else head_end
    if not message and not _looks_like_field(data, start, head_end):
        return {}, start
    if broken and broken.start() < head_end and not _GOES_ON.search(data, broken.start() + 1, head_end):
        head_end = broken.start()
        body_at = head_end + 1
    fields: Fields = {}
    for count, match in enumerate(_FIELD.finditer(decode_text(data[start:head_end], ""))):
        if count >= FIELD_LIMIT:
            break
        fields.setdefault(match[1].lower(), []).append(match[2])
    return fields, body_at


def _looks_like_field(data: bytes, start: int, end: int) -> bool:
    line_end = data.find(b"\n", start, end)
    line = data[start : line_end if line_end >= 0 else end][:200]
    name, colon, _ = line.partition(b":")
    return bool(colon) and 0 < len(name.strip()) <= 100 and b" " not in name.strip()


def read_type(fields: Fields) -> tuple[str, dict[str, str]]:
    """Media type and parameters of a header (RFC 2045 §5), continuations (RFC 2231 §3) joined; lower-case names."""
    values = fields.get("content-type")
    if not values:
        return "text/plain", {}
    value = values[0][:8000].replace("\n", " ")
    kind = value.partition(";")[0].strip().lower()
    if not re.match(r"[\w.+-]+/[\w.+-]+\Z", kind):
        kind = {"text": "text/plain", "multipart": "multipart/mixed"}.get(
            kind.split("/")[0], "application/octet-stream" if kind else "text/plain"
        )
    return kind, read_params(value)


def read_params(value: str) -> dict[str, str]:
    """The parameters of a structured field, names lower-case, RFC 2231 continuations joined in order."""
    params: dict[str, str] = {}
    for match in _PARAM.finditer(value[:8000]):
        text = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        name, star, _ = match[1].lower().partition("*")
        if star:
            params[name] = params.get(name, "") + text
        else:
            params.setdefault(name, text)
    return params
