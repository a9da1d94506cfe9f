"""Transfer encodings, charsets, encoded words and HTML of received mail, read as what they were meant to be.

Called by `mail.dsn.parts` and `mail.received`. Promises: any bytes give text, in time linear in their length; nothing
is raised. Unknown charsets are tried as UTF-8, then as Windows-1252.
"""

import base64
import binascii
import codecs
import html
import re

from gateway.mail.status import TEXT_LIMIT, clean

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\n]{0,2000})\?=")
_BETWEEN = re.compile(r"(\?=)\s+(=\?[^?\s]{1,60}\?[bBqQ]\?)")
_FOLD = re.compile(r"\n[ \t]*")
_NOT_BASE64 = bytes(code for code in range(256) if not (chr(code).isalnum() and code < 128) and code not in b"+/")
_BREAKS = re.compile(r"<(?:br|/?p|/?div|/?tr|/?li|/?h[1-6]|/?table|/?blockquote|/?pre|hr|/title)\b[^<>]{0,2000}>", re.I)
_PRE = re.compile(r"<pre\b[^<>]{0,2000}>|</pre>", re.I)  # where line ends begin and cease to matter
_TAG = re.compile(r"<[!/?a-zA-Z][^<>]{0,10000}>")
_CELL = re.compile(r"</t[dh]>", re.I)
_ALIASES = {
    "unicode-1-1-utf-7": "utf-7",
    "x-unknown": "",
    "unknown": "",
    "unknown-8bit": "",
    "8bit": "",
    "us-ascii": "",
    "ascii": "",
    "ansi_x3.4-1968": "",
    "iso-8859-8-i": "iso-8859-8",
    "x-sjis": "shift_jis",
    "ks_c_5601-1987": "cp949",
    "cp-850": "cp850",
    "windows-31j": "cp932",
}
_TEXT_CODECS: dict[str, str] = {}


def decode_body(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding; what cannot be undone is left as it is."""
    if encoding == "base64":
        return decode_base64(body)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding in ("x-uuencode", "uuencode", "x-uue"):
        return _decode_uu(body)
    return body


def decode_base64(body: bytes) -> bytes:
    """Base64 with anything else between (line ends, spaces, a footer that a scanner added)."""
    tail = body.find(b"=")
    if tail >= 0 and len(body) - tail > 4:
        body = body[:tail]  # what follows the padding is not ours
    kept = body.translate(None, _NOT_BASE64)
    kept = kept[: len(kept) - 1] if len(kept) % 4 == 1 else kept
    return base64.b64decode(kept + b"=" * (-len(kept) % 4))


def _decode_uu(body: bytes) -> bytes:
    found: list[bytes] = []
    for line in body.split(b"\n"):
        if line.startswith((b"begin ", b"end", b"`")) or not line:
            continue
        try:
            found.append(binascii.a2b_uu(line))
        except binascii.Error:
            continue
    return b"".join(found)


def decode_text(body: bytes, charset: str) -> str:
    """Bytes as text in `charset`; UTF-8 or Windows-1252 when it is unknown or wrong. NULs go."""
    name = _codec(charset)
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        name = "utf-16"
    try:
        text = body.decode(name or "utf-8")
    except (UnicodeError, ValueError):
        text = body.decode(name, "replace") if name and name != "utf-8" else body.decode("cp1252", "replace")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\x00", "") if "\x00" in text else text


def _codec(charset: str) -> str:
    """The name of a text codec Python has, or "" for the default."""
    key = charset.strip().strip("'\"").lower()[:60]
    known = _TEXT_CODECS.get(key)
    if known is not None:
        return known
    name = _ALIASES.get(key, key)
    try:
        info = codecs.lookup(name) if name else None
        # Only codecs from bytes to text: "zlib" and "hex" are codecs too. IDNA and punycode take quadratic time.
        good = (
            info is not None
            and getattr(info, "_is_text_encoding", True)
            and info.name
            not in ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem")
        )
    except (LookupError, ValueError, UnicodeError):
        good = False
    if len(_TEXT_CODECS) < 500:
        _TEXT_CODECS[key] = name if good else ""
    return name if good else ""


def decode_words(value: str) -> str:
    """A header field's value on one line, its encoded words (RFC 2047) decoded."""
    if "\n" in value:
        value = _FOLD.sub(" ", value)
    if "=?" not in value:
        return value.strip()
    return _WORD.sub(_decode_word, _BETWEEN.sub(r"\1\2", value)).strip()


def _decode_word(match: re.Match[str]) -> str:
    raw = match[3].encode("utf-8", "replace")
    body = decode_base64(raw) if match[2] in "bB" else binascii.a2b_qp(raw, header=True)
    return _FOLD.sub(" ", decode_text(body, match[1].partition("*")[0]))


def tidy(text: str, limit: int = TEXT_LIMIT) -> str:
    """A remote's words on one line, safe to store, log and show; cut at `limit` characters."""
    flat = " ".join(text[: limit * 2].split())[:limit]
    return flat if flat.isprintable() else clean(flat, limit)


def strip_html(source: str) -> str:
    """The text of an HTML part, line breaks where a reader sees them; entities decoded."""
    for opening, closing in (("<!--", "-->"), ("<style", "</style"), ("<script", "</script"), ("<head", "</head")):
        source = _cut(source, opening, closing)
    if _BREAKS.search(source):
        pieces = _PRE.split(source)  # what lies within stands at the odd places
        source = "\n".join(piece if place % 2 else piece.replace("\n", " ") for place, piece in enumerate(pieces))
    source = _TAG.sub("", _CELL.sub(" ", _BREAKS.sub("\n", source)))
    text = html.unescape(source).replace("\xa0", " ")
    return re.sub(r"[ \t]{2,100}", " ", re.sub(r"\n[ \t]{0,100}(?=\n)", "\n", text)).strip()


def _cut(source: str, opening: str, closing: str) -> str:
    """`source` without what stands from each `opening` to its `closing`, without regard to case."""
    lower = source.lower()
    if len(lower) != len(source) or opening not in lower:
        return source
    kept: list[str] = []
    at = 0
    while True:
        start = lower.find(opening, at)
        if start < 0:
            break
        if opening == "<head" and lower[start + 5 : start + 6] not in (">", " "):
            kept.append(source[at : start + 5])
            at = start + 5
            continue
        end = lower.find(closing, start)
        kept.append(source[at:start])
        if end < 0:
            return "".join(kept)
        at = source.find(">", end) + 1 or len(source)
    kept.append(source[at:])
    return "".join(kept)
