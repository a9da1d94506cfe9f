"""Factur-X: an invoice or credit note as XML of EN 16931, to be embedded in its own PDF.

Called by the PDF, by the door (a document of a tenant that asks for it is checked when it is handed over, so that no
mail fails days later) and by `gateway document pdf --factur-x`. Refuses (554 5.6.0) what EN 16931 wants and a document
lacks, with the field and what to hand over; nothing is invented. A document that came with an e-invoice or a PDF of its
own gets no second one.
"""

from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.documents import Document, Party, refuse
from gateway.outbound.documents.sums import Complaint
from gateway.outbound.einvoice.complete import complete
from gateway.outbound.einvoice.write_cii import write_cii

FACTUR_X = "factur-x"
TYPES = ("invoice", "credit_note")  # what EN 16931 is about; other documents have an ordinary PDF


def wants_facturx(document: Document, einvoice: str) -> bool:
    """Whether the PDF of a document is to carry it as XML, when the tenant's option is `einvoice`."""
    own = any(file.role in ("pdf", "einvoice") and file.content for file in document.files)
    return einvoice == FACTUR_X and document.type in TYPES and not own


def write_facturx(document: Document, brand: Brand) -> bytes:
    """The XML. Raises Refused 554 5.6.0 that names what is missing, in at most five lines."""
    return write_cii(need_facturx(document, brand))


def need_facturx(document: Document, brand: Brand) -> Document:
    """The document as it is written, complete. Raises what `write_facturx` would raise."""
    whole, complaints = complete(_sold(document, brand))
    if complaints:
        raise _refuse(document, complaints)
    return whole


def _sold(document: Document, brand: Brand) -> Document:
    """The document with its seller: the tenant, as on the page, where it names none."""
    if document.seller is not None:
        return document
    values: dict[str, object] = {
        "name": brand.company,
        "idno": brand.idno,
        "vat": brand.vat,
        "email": brand.contact_email,
        "phone": brand.phone,
    }
    if brand.country:
        values["address"] = {"lines": (brand.address,) if brand.address else (), "country": brand.country}
    seller = Party.model_validate({name: value for name, value in values.items() if value})
    return document.model_copy(update={"seller": seller})


def _refuse(document: Document, complaints: list[Complaint]) -> Refused:
    number = " ".join(document.number.split())[:60]
    text = refuse(complaints).reply.text
    if document.seller is None:
        text += (
            "\nthe seller is the tenant; what it lacks is set with: gateway tenant set SLUG --country MD --vat 0600123"
        )
    return Refused(554, "5.6.0", f"{document.type} {number} cannot become Factur-X (EN 16931):\n{text}")
