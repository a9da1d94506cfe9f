"""X-AR-Button: a button in the body of a mail that a billing system composed, and a line with its link in the text.

Called by the door before the mail is framed and signed. Promises that only the text and HTML bodies change, each in its
own charset and transfer encoding (UTF-8 and quoted-printable when the label or the link does not fit them), and that
every other byte, attachments above all, stays as it is. Refuses (554 5.6.0, in words) a mail that is signed or
encrypted, that has no body to put the button into, and a link that is missing or not https. Pure.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

from gateway.mail.header import fold, with_parameters
from gateway.mail.header_parameters import read_type
from gateway.mail.header_text import decode_charset, guess_charset, scrub
from gateway.mail.message import Field, Part, decode, walk
from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.branding import LINE_LIMIT
from gateway.outbound.control import Control
from gateway.outbound.documents import Document
from gateway.outbound.documents.model import Links
from gateway.outbound.texts import templates

_SEALED = ("multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")
_PGP = re.compile(rb"^-----BEGIN PGP (?:SIGNED )?MESSAGE-----", re.M)
_CLOSING = re.compile(rb"</body\s*+>|</html\s*+>", re.I)
_SIGNATURE = re.compile(rb"\r\n-- \r\n")
_BODIES = ("text/plain", "text/html")
_ENCODINGS = ("", "7bit", "8bit", "binary", "base64", "quoted-printable")
# In these an ASCII letter is its byte; a body in any other charset is made UTF-8.
_PLAIN = re.compile(r"(?:us-)?ascii\Z|utf-?8\Z|iso-8859-[0-9]{1,2}\Z|(?:windows-|cp)125[0-8]\Z|koi8-[ru]\Z", re.I)
_FONT = "Arial,Helvetica,sans-serif"


def link_of(control: Control) -> str:
    """The link of a composed mail's button: where the document can be seen, else where it can be paid.

    Raises Refused when there is none, or when it is no web address over https.
    """
    name, link = ("X-AR-View-URL", control.view_url) if control.view_url else ("X-AR-Pay-URL", control.pay_url)
    if not link:
        raise _refuse("X-AR-Button needs a link to open: add X-AR-View-URL or X-AR-Pay-URL with an https address")
    try:
        parts = urlsplit(link)
        host = parts.hostname if parts.scheme == "https" else ""
    except ValueError:
        host = ""
    if not host or not link.isascii() or not link.isprintable():
        raise _refuse(f'{name} "{link[:100]}" cannot be a button\'s link; write https://… in ASCII, percent-encoded')
    return link


def with_links(document: Document, control: Control, template: str) -> Document:
    """A document with the links of the X-AR fields, where it has none of its own.

    Raises Refused for a label (X-AR-Button) when the mail would have no button to bear it.
    """
    links = document.links or Links()
    given = {"view": links.view or control.view_url, "pay": links.pay or control.pay_url}
    if given != {"view": links.view, "pay": links.pay}:
        document = document.model_copy(update={"links": links.model_copy(update=given)})
    if control.button and template:
        wanted = templates()[template].link
        if not wanted:
            raise _refuse(f"X-AR-Button: a mail of the template {template} has no button")
        if not getattr(document.links or Links(), wanted):
            field = {"view": " or X-AR-View-URL", "pay": " or X-AR-Pay-URL"}.get(wanted, "")
            raise _refuse(f"X-AR-Button needs a link to open: add links.{wanted} to the document{field}")
    return document


def add_button(raw: bytes, label: str, link: str, brand: Brand) -> bytes:
    """The mail with the button at the end of its HTML body and the link at the end of its text.

    Raises Refused 554 5.6.0 for what must not or cannot be changed.
    """
    parts = walk(raw)
    bodies = _bodies(parts)
    if any(part.content_type in _SEALED for part in parts) or any(_PGP.search(decode(raw, part)) for part in bodies):
        raise _refuse("X-AR-Button: the mail is signed or encrypted, and a button would break that; send it without")
    if not bodies:
        raise _refuse("X-AR-Button: the mail has no text or HTML body that a button could stand in")
    label = " ".join(scrub(label).split()) or link
    for part in reversed(bodies):  # from the end, so that offsets hold
        raw = _change(raw, part, label, link, brand)
    return raw


def _bodies(parts: Sequence[Part]) -> list[Part]:
    """The text and the HTML that a reader shows first: never an attachment, never what an attached mail holds."""
    below: dict[tuple[int, ...], list[Part]] = {}
    for part in parts:
        if part.path:
            below.setdefault(part.path[:-1], []).append(part)
    found: list[Part] = []

    def look(part: Part) -> None:
        if part.content_type.startswith("multipart/"):
            for child in below.get(part.path, ()):
                before = len(found)
                look(child)
                if len(found) > before and part.content_type != "multipart/alternative":
                    return  # what follows stands below it, or belongs to it
        elif part.content_type in _BODIES and part.disposition != "attachment" and not part.filename:
            found.append(part)

    look(parts[0])
    return found


def _change(raw: bytes, part: Part, label: str, link: str, brand: Brand) -> bytes:
    """One body changed, and its header where charset or encoding had to change."""
    if part.encoding not in _ENCODINGS:
        raise _refuse(f"X-AR-Button: the text's encoding {part.encoding!r} is not one that mail knows; use base64")
    content = decode(raw, part)
    html = part.content_type == "text/html"
    piece = _html(label, link, brand) if html else f"{label}: {link}"
    made, charset = _insert(content, part.charset, piece, html=html)
    encoding = part.encoding
    if encoding not in ("base64", "quoted-printable") and (
        (not made.isascii() and content.isascii())
        or any(len(line) > LINE_LIMIT for line in made.split(b"\r\n"))
        or encoding == "binary"
    ):
        encoding = "quoted-printable"
    head = _head(raw, part, charset, encoding)
    body = _encode(made, encoding)
    if not raw[part.start : part.end].endswith(b"\r\n") and part.path:
        body = body.removesuffix(b"\r\n")  # the line end before a boundary belongs to the boundary
    return raw[: part.start - len(head[0])] + head[1] + body + raw[part.end :]


def _insert(content: bytes, charset: str, piece: str, *, html: bool) -> tuple[bytes, str]:
    """(the content with the piece in its place, the charset that it is in now)."""
    if charset and not _PLAIN.match(charset):
        content, charset = decode_charset(content, charset).encode(), "utf-8"
    try:
        data = piece.encode(charset or "ascii")
    except (UnicodeEncodeError, LookupError):
        known = charset or guess_charset(content)
        content = content if content.isascii() else decode_charset(content, known).encode()
        data, charset = piece.encode(), "utf-8"
    if html:
        places = list(_CLOSING.finditer(content))
        body = next((one for one in reversed(places) if b"body" in one[0].lower()), None)
        at = body.start() if body else places[-1].start() if places else len(content)
        return content[:at] + b"\r\n" + data + b"\r\n" + content[at:], charset
    signed = [found.start() for found in _SIGNATURE.finditer(content)]
    text, rest = (content[: signed[-1]], content[signed[-1] :]) if signed else (content, b"")
    return text.rstrip() + b"\r\n\r\n" + data + b"\r\n" + rest, charset


def _html(label: str, link: str, brand: Brand) -> str:
    """The button as mail clients show it: a table of one cell, everything inline, ASCII only."""
    words = escape(label).encode("ascii", "xmlcharrefreplace").decode("ascii")
    accent, ink = brand.accent, brand.on_accent
    return (
        '<table role="presentation" align="center" cellpadding="0" cellspacing="0" border="0"'
        ' style="margin:24px auto">\r\n'
        f'<tr><td align="center" bgcolor="{accent}" style="border-radius:6px;background:{accent}">\r\n'
        f'<a href="{escape(link)}"\r\n target="_blank" style="display:inline-block;padding:13px 30px;'
        f'border-radius:6px;font:bold 16px/22px {_FONT};color:{ink};text-decoration:none">\r\n'
        f"<!--[if mso]>&nbsp;&nbsp;&nbsp;<![endif]-->{words}<!--[if mso]>&nbsp;&nbsp;&nbsp;<![endif]-->"
        "</a></td></tr></table>"
    )


def _encode(data: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        coded = base64.b64encode(data)
        return b"".join(coded[at : at + 76] + b"\r\n" for at in range(0, len(coded), 76))
    if encoding == "quoted-printable":
        lines = data.replace(b"\r\n", b"\n")
        return binascii.b2a_qp(lines, istext=True).replace(b"\n", b"\r\n")
    return data


def _head(raw: bytes, part: Part, charset: str, encoding: str) -> tuple[bytes, bytes]:
    """(the part's header as it stands, as it is to be)."""
    if charset == part.charset and encoding == part.encoding:
        return b"", b""
    before = b"".join(item.raw for item in part.head.fields) + b"\r\n"
    if raw[part.start - len(before) : part.start] != before:
        raise _refuse("X-AR-Button: the header of the mail's text is malformed, so its charset cannot be changed")
    kind, parameters = read_type(part.head.raw_value("content-type"), part.content_type)
    if charset:
        parameters["charset"] = charset
    new = {b"content-type": with_parameters("Content-Type", kind, parameters)}
    if encoding != part.encoding:
        new[b"content-transfer-encoding"] = fold("Content-Transfer-Encoding", [f" {encoding}"])
    fields = [item if item.name not in new else Field(item.name, new.pop(item.name)) for item in part.head.fields]
    return before, b"".join([item.raw for item in fields] + list(new.values())) + b"\r\n"


def _refuse(text: str) -> Refused:
    return Refused(554, "5.6.0", text)
