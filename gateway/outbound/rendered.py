"""A rendered mail, and the MIME message made of it.

`rendering` returns `Rendered` from a worker process; composition adds the header fields and gets the message's bytes.
Promises lines of at most 76 characters in the body, CRLF only, and the same bytes for the same input: boundaries come
from the Message-ID. Escapes nothing and checks nothing: what it is given was made by `rendering`.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway.mail.header import address_list, disposition, encode_text
from gateway.mail.header_mailboxes import Mailbox
from gateway.outbound.attachments import Attachment

LOGO_ID = "logo"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail without its header: `subject` and the parts. `logo` is shown in the HTML as `cid:logo@…`, or None."""

    subject: str
    html: str
    text: str
    attachments: tuple[Attachment, ...]
    language: str
    logo: Attachment | None = None


def compose(rendered: Rendered, to: Sequence[Mailbox], cc: Sequence[Mailbox], fields: Iterable[bytes]) -> bytes:
    """The message (RFC 5322, MIME): `fields` as they are, To, Cc, Subject, then the parts. CRLF; body lines ≤ 76.

    Boundaries come from the Message-ID among `fields`, so that the same input gives the same bytes.
    """
    head = b"".join(fields)
    seed = re.search(rb"(?im)^message-id:\s*(\S+)", head)
    mark = sha256(seed[1] if seed else rendered.subject.encode()).hexdigest()[:24]
    head += address_list("To", to) if to else b"To: undisclosed-recipients:;\r\n"
    if cc:
        head += address_list("Cc", cc)
    head += encode_text("Subject", rendered.subject) + b"MIME-Version: 1.0\r\n"
    html = rendered.html.replace(f"cid:{LOGO_ID}", f"cid:{LOGO_ID}.{mark}@mail") if rendered.logo else rendered.html
    body = _quoted("html", html)
    if rendered.logo:
        content_id = b"Content-ID: <" + f"{LOGO_ID}.{mark}@mail".encode() + b">\r\n"
        body = _multipart("related", f"r-{mark}", [body, _file(rendered.logo, "inline", content_id)])
    body = _multipart("alternative", f"a-{mark}", [_quoted("plain", rendered.text), body])
    if rendered.attachments:
        files = [_file(item, "attachment", b"") for item in rendered.attachments]
        body = _multipart("mixed", f"m-{mark}", [body, *files])
    return head + body + (b"" if body.endswith(b"\r\n") else b"\r\n")


def _quoted(subtype: str, text: str) -> bytes:
    """A text part in quoted-printable (RFC 2045 §6.7): it survives every relay, and DKIM with it."""
    body = binascii.b2a_qp(text.encode(), istext=True).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    return head.encode() + body


def _file(item: Attachment, kind: str, more: bytes) -> bytes:
    coded = base64.b64encode(item.data)
    lines = b"\r\n".join(coded[at : at + 76] for at in range(0, len(coded), 76))
    head = f"Content-Type: {item.media_type}\r\nContent-Transfer-Encoding: base64\r\n".encode()
    return head + disposition(kind, item.filename) + more + b"\r\n" + lines


def _multipart(subtype: str, boundary: str, parts: list[bytes]) -> bytes:
    line = b"--" + boundary.encode()
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'.encode()
    body = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)  # the last CRLF is the boundary's
    return head + body + line + b"--"
