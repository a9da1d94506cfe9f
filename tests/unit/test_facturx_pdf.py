"""The PDF that carries its invoice: what PDF/A-3u, PDF/UA-1 and Factur-X ask of the file, and that the pages stay."""

import dataclasses
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import facturx
import pypdf
import pytest
from unit.facturx_validator import complaints

from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.documents import Document, read_document
from gateway.outbound.einvoice import explain_einvoice
from gateway.outbound.einvoice.facturx import write_facturx
from gateway.outbound.ingredients import drawn_from
from gateway.outbound.pdf import render_pdf

SAMPLES = Path(__file__).parents[1] / "corpus" / "documents"
PLAIN = Brand(company="Acme Servicii SRL", contact_email="office@acme.example")
BRAND = dataclasses.replace(PLAIN, einvoice="factur-x")
FX = "{urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
PDFA, PDFUA = "{http://www.aiim.org/pdfa/ns/id/}", "{http://www.aiim.org/pdfua/ns/id/}"
SCHEMA = "{http://www.aiim.org/pdfa/ns/schema#}"


def sample(name: str, **more: Any) -> Document:
    return read_document(json.dumps(json.loads((SAMPLES / f"{name}.json").read_text()) | more).encode())


def logo() -> bytes:
    """A PNG of four pixels, two of them half transparent."""
    rows = zlib.compress(b"\0\xff\0\0\x80\0\xff\0\xff" * 2)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 6, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def read(pdf: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(pdf))


def words(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in read(pdf).pages)


@pytest.fixture(scope="module", params=["ro", "ru", "en"])
def made(request: pytest.FixtureRequest) -> tuple[str, Document, bytes]:
    document = sample(f"invoice_{request.param}")
    return request.param, document, render_pdf(document, dataclasses.replace(BRAND, logo=logo()), request.param)


def test_the_xml_inside_is_the_invoice(made: tuple[str, Document, bytes]) -> None:
    _, document, pdf = made
    [(name, [xml])] = read(pdf).attachments.items()
    assert (name, xml) == ("factur-x.xml", write_facturx(document, BRAND))
    assert complaints(xml) == []
    reading = explain_einvoice(pdf)
    assert reading.hybrid and reading.errors == () and reading.document is not None
    assert (reading.document.number, reading.document.due_date) == (document.number, document.due_date)
    assert reading.document.totals is not None and document.totals is not None
    assert reading.document.totals.total == document.totals.total


def test_its_makers_own_reader_finds_it(made: tuple[str, Document, bytes]) -> None:
    name, xml = facturx.get_facturx_xml_from_pdf(made[2])  # checks the XSD too
    assert (name, xml) == ("factur-x.xml", write_facturx(made[1], BRAND))


def test_the_file_is_named_once_with_its_relation_and_type(made: tuple[str, Document, bytes]) -> None:
    catalog = read(made[2]).root_object
    [spec] = [one.get_object() for one in catalog["/AF"]]
    assert (spec["/F"], spec["/UF"], spec["/AFRelationship"]) == ("factur-x.xml", "factur-x.xml", "/Alternative")
    stream = spec["/EF"]["/F"].get_object()
    assert stream["/Subtype"] == "/text/xml"
    assert stream["/Params"]["/ModDate"] == "D:20261124000000Z"
    names = catalog["/Names"]["/EmbeddedFiles"]["/Names"]
    assert names[0] == "factur-x.xml" and names[1].get_object() == spec


def test_the_metadata_say_pdf_a_3u_pdf_ua_and_factur_x_and_describe_what_they_use(
    made: tuple[str, Document, bytes],
) -> None:
    xmp = ET.fromstring(read(made[2]).root_object["/Metadata"].get_object().get_data())
    assert len(xmp.findall(f"{RDF}RDF")) == 1
    facts = {child.tag: (child.text or "").strip() for one in xmp.iter(f"{RDF}Description") for child in one}
    facts |= {name: value for one in xmp.iter(f"{RDF}Description") for name, value in one.attrib.items()}
    assert (facts[f"{PDFA}part"], facts[f"{PDFA}conformance"], facts[f"{PDFUA}part"]) == ("3", "U", "1")
    factur_x = {name.removeprefix(FX): value for name, value in facts.items() if name.startswith(FX)}
    assert factur_x == {
        "DocumentType": "INVOICE", "DocumentFileName": "factur-x.xml", "Version": "1.0", "ConformanceLevel": "EN 16931"
    }  # fmt: skip
    described = {one.text for one in xmp.iter(f"{SCHEMA}namespaceURI")}
    assert described == {FX[1:-1], PDFUA[1:-1]}


def test_the_file_is_tagged_with_title_language_and_colours(made: tuple[str, Document, bytes]) -> None:
    code, document, pdf = made
    reader = read(pdf)
    catalog = reader.root_object
    assert catalog["/MarkInfo"]["/Marked"] and "/StructTreeRoot" in catalog
    assert catalog["/Lang"] == code
    assert catalog["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.metadata is not None and document.number in str(reader.metadata.title)
    [intent] = catalog["/OutputIntents"]
    assert intent["/S"] == "/GTS_PDFA1" and intent["/DestOutputProfile"].get_object()["/N"] == 3
    assert reader.trailer["/ID"]


def test_nothing_is_in_the_file_that_pdf_a_forbids(made: tuple[str, Document, bytes]) -> None:
    reader = read(made[2])
    assert not reader.is_encrypted
    objects = [reader.get_object(number) for number in range(1, int(reader.trailer["/Size"]))]
    parts = [one for one in objects if isinstance(one, pypdf.generic.DictionaryObject)]
    assert not {"/JavaScript", "/Launch", "/Sound", "/Movie"} & {str(one.get("/S")) for one in parts}
    assert not any(str(one.get("/Filter")) == "/LZWDecode" for one in parts)
    pictures = [one for one in parts if one.get("/Subtype") == "/Image"]
    assert pictures and all(one["/Interpolate"].value is False for one in pictures)  # 6.2.8
    links = [one for one in parts if one.get("/Type") == "/Annot"]
    assert all(one["/F"] == 4 for one in links)  # printed, and not hidden (6.3.2)
    assert "/AA" not in reader.root_object and "/OpenAction" not in reader.root_object


def test_every_font_is_inside_and_every_letter_has_its_unicode(made: tuple[str, Document, bytes]) -> None:
    reader = read(made[2])
    objects = [reader.get_object(number) for number in range(1, int(reader.trailer["/Size"]))]
    fonts = [one for one in objects if isinstance(one, dict) and one.get("/Type") == "/Font"]
    composite = [one for one in fonts if one["/Subtype"] == "/Type0"]
    assert composite and all("/ToUnicode" in one for one in composite)
    for one in fonts:
        if one["/Subtype"] != "/Type0":
            descriptor = one["/FontDescriptor"]
            assert {"/FontFile2", "/FontFile3"} & set(descriptor)


@pytest.mark.parametrize("code", ["ro", "ru", "en"])
def test_the_pages_are_those_of_the_ordinary_pdf(code: str) -> None:
    document = sample(f"invoice_{code}")
    with_invoice, ordinary = render_pdf(document, BRAND, code), render_pdf(document, PLAIN, code)
    assert words(with_invoice) == words(ordinary)
    assert not read(ordinary).attachments
    assert len(with_invoice) < 60_000


def test_the_same_document_makes_the_same_file() -> None:
    document = sample("invoice_ro")
    assert render_pdf(document, BRAND, "ro") == render_pdf(document, BRAND, "ro")


def test_a_file_with_an_invoice_inside_is_another_than_the_one_without() -> None:
    document = sample("invoice_ro")
    assert drawn_from(document, BRAND, "ro") != drawn_from(document, PLAIN, "ro")
    receipt = sample("receipt_ro")
    assert drawn_from(receipt, BRAND, "ro") == drawn_from(receipt, PLAIN, "ro")


@pytest.mark.parametrize("name", ["receipt_ro", "estimate_ro", "statement_ro"])
def test_other_documents_keep_their_ordinary_pdf(name: str) -> None:
    assert render_pdf(sample(name), BRAND, "ro") == render_pdf(sample(name), PLAIN, "ro")


def test_a_receipt_with_its_invoices_has_none_inside() -> None:
    assert not read(render_pdf(sample("receipt_ro"), BRAND, "ro", (sample("invoice_ro"),))).attachments


def test_an_invoice_that_lacks_something_is_not_drawn_without_it() -> None:
    document = sample("invoice_ro", payment={}).model_copy(update={"due_date": ""})
    with pytest.raises(Refused, match=r"due_date is missing"):
        render_pdf(document, BRAND, "ro")
