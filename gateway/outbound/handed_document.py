"""Where the document is in a mail that hands one over: JSON, an e-invoice in XML, or a PDF with one inside.

Called by the door; `look` is cheap and judges every mail by its parts, which the door needs anyway; `find_document`
runs in a worker process when XML or a PDF must be read. JSON wins wherever it stands; XML and PDF count only in a mail
without an HTML body, since a mail that somebody designed is sent as it is. A text/plain part beside the document is the
personal message; others travel on.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.mail.message import Part, decode, decode_text, walk
from gateway.mail.reply import Refused
from gateway.outbound.customers import Known
from gateway.outbound.documents import Document, read_document, refuse
from gateway.outbound.documents.model import File
from gateway.outbound.einvoice import explain_einvoice

JSON_TYPES = ("application/vnd.ar-gateway.document+json", "application/json")
XML_TYPES = ("application/xml", "text/xml")
PDF = "application/pdf"
MOST_FILES = 20
DEPTH, PARTS = 10, 50  # how much of a mail's tree is looked at; what lies beyond is found only if it is JSON
Where = Literal["nowhere", "here", "worker"]


@dataclass(frozen=True, slots=True)
class Found:
    """A document and the personal message beside it; `document` None: the mail hands none over."""

    document: Document | None = None
    personal: str = ""
    sent_before: bool = False  # found out by the door
    customer: Known = field(default_factory=Known)  # likewise: what is known beside the document


def look(raw: bytes) -> tuple[tuple[Part, ...], Where]:
    """(the parts of a mail, as many as are looked at; where its document may be)."""
    parts = walk(raw, depth=DEPTH, parts=PARTS)
    return parts, where(raw, parts)


def where(raw: bytes, parts: Sequence[Part]) -> Where:
    """Whether a mail may hold a document, and whether looking is cheap enough to be done at once."""
    types = {part.content_type for part in parts}
    cut = len(parts) >= PARTS or any(len(part.path) >= DEPTH for part in parts)
    if not types.isdisjoint(JSON_TYPES) or (cut and b"json" in raw.lower()):
        return "here"
    if types.isdisjoint((*XML_TYPES, PDF)) or _is_designed(parts):
        return "nowhere"
    return "worker" if any(_may_be_einvoice(raw, part) for part in parts) else "nowhere"


def _is_designed(parts: Sequence[Part]) -> bool:
    return any(part.content_type == "text/html" and part.disposition != "attachment" for part in parts)


def _may_be_einvoice(raw: bytes, part: Part) -> bool:
    if part.content_type in XML_TYPES:
        return True
    if part.content_type != PDF:
        return False
    data = decode(raw, part)
    return b"EmbeddedFile" in data or b"/ObjStm" in data  # the name may stand in a compressed object


def find_document(raw: bytes) -> Found:
    """The document of a mail. Raises Refused 554 5.6.0 for one that is broken."""
    parts = [part for part in walk(raw) if not part.content_type.startswith("multipart/")]
    found = _find_json(raw, parts) or _find_einvoice(raw, parts)
    if found is None:
        return Found()
    document, at = found
    personal, files = "", []
    for part in parts:
        if part is at:
            continue
        if part.content_type == "text/plain" and part.disposition != "attachment" and not personal:
            personal = decode_text(raw, part, limit=10_000).strip()
        else:
            files.append(_file(raw, part, "secondary"))
    if not files:
        return Found(document, personal)
    if len(document.files) + len(files) > MOST_FILES:
        raise Refused(554, "5.6.0", f"more than {MOST_FILES} files beside the document; send fewer")
    return Found(document.model_copy(update={"files": (*document.files, *files)}), personal)


def _find_json(raw: bytes, parts: list[Part]) -> tuple[Document, Part] | None:
    for part in parts:
        if part.content_type in JSON_TYPES:
            data = decode(raw, part)
            if part.content_type == JSON_TYPES[0] or b'"urn:ar-gateway:document:' in data:
                return read_document(data), part
    return None


def _find_einvoice(raw: bytes, parts: list[Part]) -> tuple[Document, Part] | None:
    if _is_designed(parts):
        return None
    for part in parts:
        if part.content_type not in (*XML_TYPES, PDF):
            continue
        reading = explain_einvoice(decode(raw, part))
        if not reading.kind:  # an ordinary PDF, or other XML
            continue
        if reading.document is None or reading.errors:
            raise refuse(reading.errors)
        role = "pdf" if part.content_type == PDF else "einvoice"
        files = (_file(raw, part, role), *reading.document.files)  # what was handed over reaches the customer untouched
        return reading.document.model_copy(update={"files": files[:MOST_FILES]}), part
    return None


def _file(raw: bytes, part: Part, role: str) -> File:
    name = part.filename or ("document.pdf" if part.content_type == PDF else "document.xml")
    content = base64.b64encode(decode(raw, part)).decode("ascii")
    return File(filename=name[:255], content_type=part.content_type, role=role, content=content)
