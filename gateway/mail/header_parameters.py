"""Values with parameters: Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2231), read tolerantly.

Called by `mail.message` for each part and by the branding. Understands quoted strings, RFC 2231 charsets and
continuations, RFC 2047 words in file names (against the rule, but everywhere). Never raises; keeps 100 parameters.
"""

import re
from urllib.parse import unquote_to_bytes

from gateway.mail.header_text import decode_charset, decode_raw, decode_words, scrub

PARAMETER_LIMIT = 100
FILENAME_LIMIT = 200  # characters

_PARAMETER = re.compile(r';\s*+([^\s=;"]{1,80})\s*+=\s*+("(?:[^"\\]++|\\.)*+"?|[^;]*+)', re.DOTALL)
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}\Z")
_CONTINUED = re.compile(r"(.+?)\*([0-9]{1,3})(\*?)\Z")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def read_parameters(value: bytes) -> tuple[str, dict[str, str]]:
    """(main value in lower case, parameters by lower-case name) of an unfolded value."""
    text = decode_raw(value)
    main, _, _ = text.partition(";")
    plain: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, bool, str]]] = {}
    for match in _PARAMETER.finditer(text):
        name, item = match[1].lower(), _unquote(match[2])
        if part := _CONTINUED.match(name):
            pieces.setdefault(part[1], []).append((int(part[2]), bool(part[3]), item))
        elif name.endswith("*"):
            pieces.setdefault(name[:-1], []).append((0, True, item))
        else:
            plain.setdefault(name, item)
        if len(plain) + len(pieces) >= PARAMETER_LIMIT:
            break
    # The extended form is the exact one; the plain one beside it is for old readers (RFC 6266 §4.3 says it best).
    return main.strip().lower(), plain | {name: _join(items) for name, items in pieces.items()}


def read_type(value: bytes, default: str = "text/plain") -> tuple[str, dict[str, str]]:
    """(media type, parameters) of a Content-Type value; `default` when it is missing or no type (RFC 2045 §5.2)."""
    kind, parameters = read_parameters(value) if value else ("", {})
    kind = kind.partition(" ")[0]
    return (kind, parameters) if _TYPE.match(kind) else (default, parameters)


def read_filename(disposition: dict[str, str], content_type: dict[str, str]) -> str:
    """The file name of a part, decoded, without folders; "" when there is none."""
    text = decode_words(disposition.get("filename", "") or content_type.get("name", ""))
    name = re.split(r"[/\\]", text)[-1].strip().strip(".").strip()
    if len(name) <= FILENAME_LIMIT:
        return name
    stem, dot, ending = name.rpartition(".")
    return stem[: FILENAME_LIMIT - 20] + dot + ending[:19] if dot and len(ending) < 20 else name[:FILENAME_LIMIT]


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text.strip()
    inner = text[1:-1] if len(text) > 1 and text.endswith('"') else text[1:]
    if "\\" in inner and not re.match(r"[A-Za-z]:\\", inner):  # C:\invoices\a.pdf of old mailers is no escape
        inner = _ESCAPED.sub(r"\1", inner)
    return inner


def _join(items: list[tuple[int, bool, str]]) -> str:
    """Put the pieces of an RFC 2231 value together; the charset stands in the first one."""
    charset, done = "", []
    for number, extended, text in sorted(items):
        if extended and number == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        done.append(unquote_to_bytes(text) if extended else text.encode("utf-8", "replace"))
    return scrub(decode_charset(b"".join(done), charset or "utf-8"))
