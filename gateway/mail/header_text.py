"""The text of header values: raw bytes and RFC 2047 encoded words made into safe strings.

Called by `mail.message`, `mail.header_mailboxes` and `mail.header_parameters`. Promises never to raise, to be linear,
and that what it returns has no control characters, no lone surrogates and no bidirectional overrides, so that it can
be stored, logged and written into another header. An unknown charset is guessed, an undecodable byte is replaced.
"""

import binascii
import encodings.aliases
import re

TEXT_LIMIT = 20_000  # bytes of one value that are ever decoded for people

_WORD = re.compile(r"=\?([^?*\s]{1,60})(?:\*[^?\s]{0,60})?\?([bBqQ])\?([^?]*)\?=")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_OVERRIDE = re.compile("[\u202a-\u202e\u2066-\u2069]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CYRILLIC_RUN = re.compile(rb"[\xa8\xb8\xc0-\xff]{3}")
_ASCII = bytes(range(128))
_ROMANIAN = frozenset(b"\xaa\xba\xc2\xc3\xce\xde\xe2\xe3\xee\xfe")  # ŞşÂĂÎŢâăîţ in windows-1250
_ONLY_ROMANIAN = frozenset(b"\xaa\xba\xc3\xde\xe3\xfe")

# Only names from this table reach the codec registry: it remembers every unknown name for ever, and some of its codecs
# are no charsets (punycode is quadratic). Where a superset is what mailers mean, the superset is used (WHATWG).
_NOT_CHARSETS = frozenset(
    "idna punycode unicode_escape raw_unicode_escape mbcs oem undefined "
    "base64_codec bz2_codec hex_codec quopri_codec rot_13 uu_codec zlib_codec".split()
)
_CHARSETS = {name: name for name in encodings.aliases.aliases.values()} | encodings.aliases.aliases
_CHARSETS |= {name: name for name in ("koi8_u", "koi8_t", "cp737", "cp856", "cp874", "cp720", "utf_8_sig")}
_CHARSETS |= {
    "ascii": "utf_8",
    "us_ascii": "utf_8",
    "latin_1": "cp1252",
    "latin1": "cp1252",
    "iso_8859_1": "cp1252",
    "iso8859_1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601_1987": "cp949",
    "euc_kr": "cp949",
    "iso_8859_8_i": "iso8859_8",
    "windows_874": "cp874",
    "x_mac_cyrillic": "mac_cyrillic",
    "unicode_1_1_utf_7": "utf_7",
    "unicode_1_1_utf_8": "utf_8",
    "utf8mb4": "utf_8",
}


def scrub(text: str) -> str:
    """`text` without control characters (a blank each run), bidirectional overrides and lone surrogates."""
    if text.isprintable():
        return text
    return _SURROGATE.sub("\ufffd", _OVERRIDE.sub("", _CONTROL.sub(" ", text)))


def guess_charset(raw: bytes) -> str:
    """The likely charset of text that names none: UTF-8 when most of its high characters are, else by content.

    Three high letters in a row are Cyrillic (windows-1251); lone ones that are all Romanian letters are windows-1250;
    the rest is Western (windows-1252). Enough for invoices in Romanian, Russian and English; never raises.
    """
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "replace")
    else:
        return "utf-8"
    if len(text) - len(text.encode("ascii", "ignore")) > 2 * text.count("\ufffd"):
        return "utf-8"
    if _CYRILLIC_RUN.search(raw):
        return "windows-1251"
    high = set(raw.translate(None, _ASCII))
    return "windows-1250" if high <= _ROMANIAN and high & _ONLY_ROMANIAN else "windows-1252"


def decode_charset(raw: bytes, charset: str) -> str:
    """`raw` in `charset`; in the guessed one when the name is empty or unknown. Bad bytes become U+FFFD."""
    codec = _CHARSETS.get(re.sub(r"[^a-z0-9]+", "_", charset[:60].lower()).strip("_"), "")
    if codec in _NOT_CHARSETS or codec in ("", "utf_8"):  # many say UTF-8 or ASCII and are neither
        codec = guess_charset(raw)
    try:
        return raw.decode(codec, "replace")
    except (LookupError, UnicodeError, ValueError):
        return raw.decode("utf-8", "replace")


def decode_raw(value: bytes, limit: int = TEXT_LIMIT) -> str:
    """A header value's first bytes as they stand (encoded words untouched): UTF-8, else guessed (`guess_charset`)."""
    value = value[:limit]
    return value.decode("ascii") if value.isascii() else value.decode(guess_charset(value), "replace")


def decode_words(text: str) -> str:
    """`text` with its encoded words decoded (RFC 2047 §6.2), scrubbed.

    Adjacent words of one charset are joined before decoding, since many mailers cut within a character; words with
    blanks inside and in quoted strings are decoded too, as every mail client does.
    """
    if "=?" not in text:
        return scrub(text)
    done: list[str] = []
    pending, charset, at = b"", "", 0
    for match in _WORD.finditer(text):
        gap = text[at : match.start()]
        if gap.strip() or match[1].lower() != charset:
            done.append(decode_charset(pending, charset) if pending else "")
            pending, charset = b"", match[1].lower()
            done.append(gap if gap.strip() or not at else "")  # blanks between two encoded words vanish
        pending += _payload(match[2], match[3])
        at = match.end()
    done.append(decode_charset(pending, charset) if pending else "")
    done.append(text[at:])
    return scrub("".join(done))


def decode_base64(raw: bytes) -> bytes:
    """`raw` from base64, ignoring what is not of its alphabet and repairing the padding; never raises."""
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        letters = re.sub(rb"[^A-Za-z0-9+/]+", b"", raw)
    if len(letters) % 4 == 1:  # six bits are no byte
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def _payload(encoding: str, text: str) -> bytes:
    data = text.encode("ascii", "ignore")
    return decode_base64(data) if encoding in "bB" else binascii.a2b_qp(data, header=True)
