"""Reads e-invoices into documents: UBL 2.1, UN/CEFACT CII (XRechnung, ZUGFeRD 2, Factur-X), and PDFs that embed one.

Called by the submission door, the HTTP API and `gateway validate`; data of others is read in a worker process. Amounts,
dates and names are those of the XML; what a document has no place for is listed in `lost`, never dropped in silence.
Refused in words, with the field and its XPath: missing members, sums that do not hold, codes that contradict.
A billing system's key is not in an e-invoice: `id` is the invoice number (BT-1). Under self-billing the buyer numbers
the invoices of many sellers, so there the seller's own id stands before it: `RO123/7`.
"""

from gateway.outbound.documents import Document, refuse
from gateway.outbound.einvoice.reading import SYNTAXES, Reading, read_tree
from gateway.outbound.einvoice.xml import Element, read_xml

__all__ = ["Reading", "explain_einvoice", "read_einvoice", "recognise"]

SNIFFED = 16 * 1024
MARKS = (
    (b"CrossIndustryInvoice", "CII"),
    (b"ubl:schema:xsd:Invoice-2", "UBL Invoice"),
    (b"ubl:schema:xsd:CreditNote-2", "UBL CreditNote"),
)


def read_einvoice(data: bytes) -> Document:
    """The document in an XML or a PDF. Raises `Refused` 554 5.6.0 with at most five complaints, a line each."""
    reading = explain_einvoice(data)
    if reading.document is None:
        raise refuse(reading.errors)
    return reading.document


def explain_einvoice(data: bytes) -> Reading:
    """What an XML or a PDF says, with all that is wrong with it; never raises on any bytes."""
    from gateway.outbound.einvoice.hybrid import extract_invoice  # a reader of PDFs, for which commands need not wait

    hybrid = recognise(data) == "pdf"
    try:
        inside = extract_invoice(data) if hybrid else data
    except ValueError as error:
        return Reading(errors=(("", str(error)),), hybrid=True)
    if inside is None:
        return Reading(errors=(("", "the PDF has no invoice embedded (factur-x.xml, xrechnung.xml)"),), hybrid=True)
    try:
        root = read_xml(inside)
    except ValueError as error:
        return Reading(_meant(inside), errors=(("", str(error)),), hybrid=hybrid)
    if root.name not in SYNTAXES:
        return Reading("CII" if hybrid else "", errors=(("", _unknown(root)),), hybrid=hybrid)
    return read_tree(root, hybrid)


def _meant(data: bytes) -> str:
    """The kind of invoice that a broken XML was meant to be, by the names it begins with."""
    head = data[:SNIFFED].replace(b"\0", b"")
    return next((kind for mark, kind in MARKS if mark in head), "")


def recognise(data: bytes) -> str:
    """What some bytes are by their first ones: "pdf", "xml", "json" or "" for anything else."""
    if b"%PDF-" in data[:1024]:
        return "pdf"
    head = data[:1024].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
    return {b"<": "xml", b"{": "json"}.get(head[:1], "")


def _unknown(root: Element) -> str:
    if root.name.startswith("ferd:"):
        return "this is ZUGFeRD 1, which has no EN 16931; send ZUGFeRD 2 or Factur-X"
    name = root.name.removeprefix("Q{}")[:100] + (" without a namespace" if root.name.startswith("Q{}") else "")
    return f"the XML is a {name}; UBL 2.1 Invoice and CreditNote, and CII CrossIndustryInvoice are read"
