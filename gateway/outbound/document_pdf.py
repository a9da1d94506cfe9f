"""The PDF of a document on its own: the one that was mailed, or the one that would be; and whether it can be made.

Called by `gateway document pdf`, and by the door, which refuses a document whose PDF is to be Factur-X and cannot be:
that is said when it is handed over, not when the mail is due. What was kept is given byte for byte (S5); else
`to_draw` says what a worker has to draw.
"""

from dataclasses import dataclass, replace

from gateway.mail.reply import Refused
from gateway.outbound.attachments import ascii_filename, own_pdf
from gateway.outbound.automation import COMPOSED
from gateway.outbound.brand import Brand
from gateway.outbound.desk import Desk
from gateway.outbound.documents import Document, read_document
from gateway.outbound.einvoice.facturx import FACTUR_X, TYPES, need_facturx, wants_facturx
from gateway.outbound.ingredients import brand_of, drawn_from, related_of, tenant_brand
from gateway.outbound.texts import language_of
from gateway.outbound.triggers import choice_of
from gateway.store.assets import get_logo
from gateway.store.database import Transaction
from gateway.store.documents import get_document, get_pdf, latest_pdf
from gateway.store.messages import Message
from gateway.store.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Drawing:
    """What `pdf.render_pdf` is to be called with."""

    document: Document
    brand: Brand
    language: str
    related: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class DocumentPdf:
    """A PDF by its file name: its bytes, or how to draw it."""

    filename: str
    data: bytes = b""
    to_draw: Drawing | None = None


def find_pdf(tx: Transaction, tenant: Tenant, type: str, document_id: str, *, facturx: bool = False) -> DocumentPdf:
    """The PDF that was kept last, else the document's own, else how to draw it.

    `facturx`: the one that carries the invoice as XML, whatever the tenant's option is. Raises Refused when there is no
    such document, when it is a draft, when its data are not known, and when it cannot become Factur-X.
    """
    stored = get_document(tx, tenant.id, type, document_id)
    name = f"{type}/{document_id}"
    if stored is None:
        raise Refused(550, "5.1.1", f"there is no document {name[:200]!r}; write type/id, see `gateway document list`")
    if stored.status == "draft":  # S1
        raise Refused(554, "5.6.0", f"{name} is a draft; it has a PDF when its status is open")
    kept = None if facturx else latest_pdf(tx, tenant.id, type, document_id)
    if kept:
        return DocumentPdf(*kept)
    if stored.body.startswith(COMPOSED):
        raise Refused(554, "5.6.0", f"{name} came as a composed mail; hand it over as data, then it has a PDF")
    document, brand = read_document(stored.body), tenant_brand(tenant, get_logo(tx, tenant.id))
    own = own_pdf(document)
    if own and not facturx:
        return DocumentPdf(own.filename, own.data)
    if facturx:
        _check_asked(document, brand, name)
        brand = replace(brand, einvoice=FACTUR_X)
    related = () if facturx else related_of(tx, tenant.id, document)
    language = language_of(document, brand.language)
    found = get_pdf(tx, tenant.id, (type, document_id, drawn_from(document, brand, language, related)))
    if found:
        return DocumentPdf(*found)
    return DocumentPdf(ascii_filename(document.number, "pdf"), to_draw=Drawing(document, brand, language, related))


def draw(drawing: Drawing) -> bytes:
    """Draw it; for a worker process."""
    from gateway.outbound.pdf import render_pdf  # loads Pango and fonts: 60 MB that only workers need

    return render_pdf(drawing.document, drawing.brand, drawing.language, drawing.related)


def _check_asked(document: Document, brand: Brand, name: str) -> None:
    if document.type not in TYPES:
        kinds = " and ".join(TYPES)
        raise Refused(554, "5.6.0", f"{name} cannot become Factur-X: EN 16931 is about {kinds} only")
    if not wants_facturx(document, FACTUR_X):
        raise Refused(554, "5.6.0", f"{name} came with a PDF or an e-invoice of its own, which is sent untouched")
    need_facturx(document, brand)


def need_einvoice(desk: Desk, document: Document, message: Message, event: str) -> None:
    """Refuse what is handed over when its PDF is to be Factur-X, and cannot be (554 5.6.0 with the fields' names).

    Not asked: a draft, what is stored only, and a mail without a PDF.
    """
    if not wants_facturx(document, str(desk.tenant.options.get("einvoice", ""))) or document.status == "draft":
        return
    if not message.template and event != "invoice.updated":  # which corrects a mail that may be waiting
        return
    chosen = choice_of(message.template, desk.settings).attach_pdf if message.template else True
    if message.detail.get("attach_pdf", chosen):
        need_facturx(document, brand_of(desk))
