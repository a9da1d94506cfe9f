"""What programs ask for over HTTP, made into the mail that the door takes: so both doorsteps mean the same.

Called by the HTTP API. `Wanted` is a request in the words of the X-AR-* fields; `take` hands it over and returns the
door's receipt. A document is named (then its stored state is sent) or brought along as data. Composed mail is written
here from its texts and files. Refuses in words; what the door refuses, it refuses here too.
"""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.mail.address import Address, parse_address
from gateway.mail.header import address_list, disposition, encode_text, with_parameters
from gateway.mail.header import date as date_field
from gateway.mail.header_mailboxes import Mailbox, read_mailboxes
from gateway.mail.message import read_head
from gateway.mail.reply import Refused
from gateway.outbound.automation import COMPOSED
from gateway.outbound.handed import Handed, Rcpt, Receipt
from gateway.outbound.handed_document import JSON_TYPES, find_document
from gateway.outbound.submission import BLOCKING, Door, accept
from gateway.store.documents import get_document
from gateway.wire.workers import WorkerFailed

MAIL = "message/rfc822"
_BARE = re.compile(rb"\x00|\r(?!\n)|(?<!\r)\n")
_TYPE = re.compile(r"[a-zA-Z0-9!#$&^_.+-]{1,60}/[a-zA-Z0-9!#$&^_.+-]{1,60}\Z")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the mail that is made: a text, a document, a file."""

    content_type: str
    data: bytes
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request to send, or to store. Addresses as people write them, `Ana <ana@x.example>`.

    `fields` are X-AR-* fields; `document` names a stored one; `pieces` are the texts, the document as data, files;
    `raw` is a whole mail instead. `digest` stands for all of it, for idempotency keys.
    """

    tenant_id: str
    credential: str
    peer: str
    digest: str
    fields: tuple[tuple[str, str], ...] = ()
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    author: str = ""
    subject: str = ""
    document: tuple[str, str] | None = None
    pieces: tuple[Piece, ...] = ()
    composed: bool = False
    raw: bytes = b""


async def take(door: Door, wanted: Wanted, now: datetime) -> Receipt:
    """Hand it over. Raises as `submission.accept` does; Refused 550 5.1.1 for a document that there is not."""
    return await accept(door, await hand_over(door, wanted, now), now)


async def hand_over(door: Door, wanted: Wanted, now: datetime) -> Handed:
    """A request as the mail that the door is handed. Raises Refused as `take` does."""
    pieces, state = wanted.pieces, ""
    if wanted.document is not None:
        stored, state = await _find(door, wanted)
        pieces = (stored, *pieces)
    author = await _author(door, wanted)
    size = len(wanted.raw) + sum(len(piece.data) for piece in pieces)
    task = (door, wanted, pieces, author, now)
    raw, recipients = await asyncio.to_thread(_write, *task) if size > BLOCKING else _write(*task)
    utf8 = any(not rcpt.address.ascii for rcpt in recipients)
    return Handed(wanted.tenant_id, wanted.credential, recipients, raw, wanted.peer, utf8, wanted.digest, state)


async def _find(door: Door, wanted: Wanted) -> tuple[Piece, str]:
    assert wanted.document is not None
    type, id = wanted.document
    found = await door.database.read(get_document, wanted.tenant_id, type, id)
    name = f"{type}/{id}"
    if found is None:
        raise Refused(550, "5.1.1", f"there is no document {name[:200]!r}; hand it over first")
    if found.body.startswith(COMPOSED):
        raise Refused(554, "5.6.0", f"{name} came as a composed mail; hand it over as data, then it can be sent again")
    return Piece(JSON_TYPES[0], found.body), found.sha256


async def _author(door: Door, wanted: Wanted) -> Mailbox:
    """Who a mail is from that names nobody: the tenant's own author."""
    if wanted.author:
        named = read_mailboxes(wanted.author, limit=2)
        if len(named) != 1:
            raise Refused(554, "5.6.0", f"{wanted.author[:100]!r} does not name exactly one author")
        return named[0]
    desk = await door.desks.get(wanted.tenant_id)
    return Mailbox("", desk.author if desk else door.letterhead.shared)


def _write(
    door: Door, wanted: Wanted, pieces: Sequence[Piece], author: Mailbox, now: datetime
) -> tuple[bytes, tuple[Rcpt, ...]]:
    boxes = {kind: _boxes(kind, getattr(wanted, kind)) for kind in ("to", "cc", "bcc")}
    raw = _with_line_ends(wanted.raw) if wanted.raw else b""
    if raw and not any(boxes.values()):
        head = read_head(raw)
        boxes = {kind: [*read_mailboxes(head.raw_value(kind))] for kind in boxes}
    recipients = tuple(Rcpt(box.address) for named in boxes.values() for box in named)
    for rcpt in recipients:
        door.letterhead.check_recipient(rcpt.address)
    if len(recipients) > door.most_recipients:
        raise Refused(452, "4.5.3", f"A message takes at most {door.most_recipients} recipients")
    if (wanted.composed or raw) and not recipients:
        raise Refused(554, "5.5.1", "no recipients; name whom the mail goes to")
    fields = [encode_text(name, value) for name, value in wanted.fields]
    if raw:
        return b"".join(fields) + raw, recipients
    fields.append(address_list("From", [author]))
    fields += [address_list(kind.capitalize(), boxes[kind]) for kind in ("to", "cc") if boxes[kind]]
    if wanted.composed and not boxes["to"]:
        fields.append(b"To: undisclosed-recipients:;\r\n")
    fields += [encode_text("Subject", wanted.subject), date_field(now), b"MIME-Version: 1.0\r\n"]
    return b"".join(fields) + _body(pieces, wanted.composed), recipients


def _boxes(kind: str, addresses: Sequence[str]) -> list[Mailbox]:
    found = []
    for text in addresses:
        named = read_mailboxes(text, limit=2)
        if len(named) != 1:
            address: Address = parse_address(text)  # says what is wrong with it
            named = (Mailbox("", address),)
        found.append(named[0])
    return found


def _with_line_ends(raw: bytes) -> bytes:
    """A mail with CRLF; one with LF alone is taken as a file of a Unix, mixed ones are refused as SMTP does."""
    if b"\r" not in raw:
        raw = raw.replace(b"\n", b"\r\n")
    if found := _BARE.search(raw):
        line = raw.count(b"\n", 0, found.start()) + 1
        words = "NUL byte" if found.group() == b"\0" else "bare CR or LF"
        raise Refused(554, "5.6.0", f"{words} in line {line} of the message; end every line with CR LF")
    return raw


def _body(pieces: Sequence[Piece], composed: bool) -> bytes:
    """The parts: alternatives of a composed mail first, then files."""
    texts = [_part(one) for one in pieces if composed and not one.filename]
    files = [_part(one) for one in pieces if not composed or one.filename]
    parts = [_multipart("alternative", texts)] if len(texts) > 1 else texts
    parts += files
    return parts[0] if len(parts) == 1 else _multipart("mixed", parts)


def _part(piece: Piece) -> bytes:
    if not _TYPE.match(piece.content_type):
        raise Refused(554, "5.6.0", f"{piece.content_type[:60]!r} is no media type; write application/pdf")
    parameters = {"charset": "utf-8"} if piece.content_type.startswith("text/") and not piece.filename else {}
    head = with_parameters("Content-Type", piece.content_type, parameters)
    if piece.filename:
        head += disposition("attachment", piece.filename)
    coded = base64.b64encode(piece.data)
    lines = b"\r\n".join(coded[at : at + 76] for at in range(0, len(coded), 76))
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + lines + b"\r\n"


def _multipart(subtype: str, parts: Sequence[bytes]) -> bytes:
    mark = secrets.token_hex(16)
    body = b"".join(b"--" + mark.encode() + b"\r\n" + part for part in parts)
    head = f'Content-Type: multipart/{subtype}; boundary="{mark}"\r\n\r\n'
    return head.encode() + body + b"--" + mark.encode() + b"--\r\n"


async def store(
    door: Door, wanted: Wanted, name: tuple[str, str], content_type: str, data: bytes, now: datetime
) -> Receipt:
    """Hand a document over under the name (type, id) that its URL has; an e-invoice gets the id. Raises as `take`."""
    if content_type in JSON_TYPES:
        said = await asyncio.to_thread(_name_in, data) if len(data) > BLOCKING else _name_in(data)
        if said is not None and said != name:
            words = f"the document is {'/'.join(said)[:200]!r}, its URL says {'/'.join(name)[:200]!r}"
            raise Refused(554, "5.6.0", words)
    else:
        data = await _named(door, content_type, data, name)
    return await take(door, replace(wanted, pieces=(Piece(JSON_TYPES[0], data),)), now)


def _name_in(data: bytes) -> tuple[str, str] | None:
    """The type and id in a document's JSON; None when there are none, which the door says better."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return None
    found = (values.get("type"), values.get("id")) if isinstance(values, dict) else (None, None)
    return (found[0], found[1]) if isinstance(found[0], str) and isinstance(found[1], str) else None


async def _named(door: Door, content_type: str, data: bytes, name: tuple[str, str]) -> bytes:
    """An e-invoice as a document of ours, with its own XML as a file, under the given name."""
    mail = await asyncio.to_thread(_part, Piece(content_type, data))
    try:
        found = await (door.run(find_document, mail) if door.run else asyncio.to_thread(find_document, mail))
    except WorkerFailed as error:
        if error.kind == "crashed":
            raise
        raise Refused(554, "5.6.0", "the e-invoice is too large or too deep to be read in time") from None
    document = found.document
    if document is None:
        raise Refused(554, "5.6.0", "the XML is neither a UBL invoice or credit note nor a CII invoice")
    if document.type != name[0]:
        raise Refused(554, "5.6.0", f"the e-invoice is of type {document.type}, its URL says {name[0][:40]!r}")
    if not 1 <= len(name[1]) <= 191:
        raise Refused(554, "5.6.0", "the id in the URL is longer than 191 characters")
    made: bytes = await asyncio.to_thread(document.model_copy(update={"id": name[1]}).canonical)
    return made
