"""What a mail about a document is made of, read in one transaction: the message, its document, the brand, the PDF.

Called by composition when a message is due, and by whoever wants the PDF of a document as its mail has it. Promises
that a state of a document which was drawn before, or came with a PDF of its own, brings that PDF along: it is drawn
once, and its bytes are the same in the mail, in every reminder and in the download (S5). Refuses nothing.
"""

import hashlib
import json
from dataclasses import dataclass

from gateway.outbound.attachments import Attachment, own_pdf
from gateway.outbound.automation import COMPOSED
from gateway.outbound.brand import Brand
from gateway.outbound.desk import Desk
from gateway.outbound.documents import Document, read_document
from gateway.outbound.einvoice.facturx import FACTUR_X, wants_facturx
from gateway.outbound.queue import Booked
from gateway.outbound.texts import language_of
from gateway.store.database import Transaction
from gateway.store.documents import DOCUMENT_TYPES, find_documents, get_document, get_pdf, get_state
from gateway.store.messages import Message, get_message
from gateway.store.tenants import Tenant

_ELSEWHERE = ("logo", "einvoice", "country")  # of a brand: a picture, and what only the XML inside shows
BUNDLED = ("receipt", "refund")  # their PDF holds the paid invoices too


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What one message is made of. `pdf` is at hand when this state was drawn before (`kept`) or came with its own."""

    message: Message
    document: Document
    related: tuple[Document, ...]
    brand: Brand
    digest: str  # of what the PDF shows
    pdf: Attachment | None = None
    kept: bool = False


def read_ingredients(tx: Transaction, made: Booked, desk: Desk) -> Ingredients | None:
    """What the message of a delivery is made of; None when it or its document is not there any more.

    Raises `Stale` when the tenant's settings are no longer those of the desk.
    """
    desk.check(tx)
    message = get_message(tx, made.tenant_id, made.message_id)
    stored = get_document(tx, made.tenant_id, message.document_type, message.document_id) if message else None
    if message is None or stored is None:
        return None
    state = str(message.detail.get("state", ""))
    body = stored.body if state in ("", stored.sha256) else get_state(tx, made.tenant_id, stored, state) or stored.body
    document, brand = _in_language(read_document(body), message), brand_of(desk)
    own = own_pdf(document)
    related = () if own else related_of(tx, made.tenant_id, document)  # its own PDF is all there is
    digest = drawn_from(document, brand, language_of(document, brand.language), related)
    found = get_pdf(tx, made.tenant_id, (document.type, document.id, digest))
    pdf = Attachment(found[0], "application/pdf", found[1]) if found else own
    return Ingredients(message, document, related, brand, digest, pdf, kept=found is not None)


def brand_of(desk: Desk) -> Brand:
    """What a rendered mail and a PDF show of the company."""
    return tenant_brand(desk.tenant, desk.logo)


def tenant_brand(tenant: Tenant, logo: bytes | None) -> Brand:
    """The same of a tenant and its logo."""
    known = {name: str(value) for name, value in tenant.brand.items()}
    return Brand(
        company=tenant.company,
        contact_email=tenant.contact_email,
        phone=known.get("phone", ""),
        address=known.get("address", ""),
        idno=known.get("idno", ""),
        vat=known.get("vat", ""),
        colour=known.get("colour", ""),
        logo=logo,
        language=tenant.language,
        country=known.get("country", ""),
        einvoice=str(tenant.options.get("einvoice", "")),
    )


def drawn_from(document: Document, brand: Brand, language: str, related: tuple[Document, ...] = ()) -> str:
    """The hash of all that a PDF shows: the same hash, the same bytes."""
    facts = [getattr(brand, name) for name in Brand.__dataclass_fields__ if name not in _ELSEWHERE]
    facts += [FACTUR_X, brand.country] if wants_facturx(document, brand.einvoice) and not related else []
    seen = [json.dumps([language, *facts], ensure_ascii=False).encode(), brand.logo or b"", document.canonical()]
    return hashlib.sha256(b"\n".join([*seen, *(one.canonical() for one in related)])).hexdigest()


def without_files(document: Document) -> Document:
    """The document as words need it: what came with it stays here."""
    return document.model_copy(update={"files": ()})


def _in_language(document: Document, message: Message) -> Document:
    """The document in its mail's language: X-AR-Language, its own as it is now, or its customer's as known (S80)."""
    wanted = str(message.detail.get("language", "")) or language_of(document, message.language)
    if not wanted or language_of(document, "") == wanted:
        return document
    return document.model_copy(update={"language": wanted})


def related_of(tx: Transaction, tenant_id: str, document: Document) -> tuple[Document, ...]:
    """The documents that a receipt or refund is about, as far as they were handed over: they go with it (S35)."""
    if document.type not in BUNDLED:
        return ()
    found = []
    for one in document.related:
        type = one.type if one.type in DOCUMENT_TYPES else "invoice"  # else it is what people call an invoice
        stored = get_document(tx, tenant_id, type, one.id) if one.id else None
        if stored is None:
            stored = next((s for s in find_documents(tx, tenant_id, one.number) if s.type == type), None)
        if stored is not None and not stored.body.startswith(COMPOSED):
            found.append(read_document(stored.body))
    return tuple(found)
