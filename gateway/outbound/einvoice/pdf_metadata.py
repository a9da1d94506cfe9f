"""What the metadata of a PDF say of the invoice inside it: Factur-X 1.0, and that the file is tagged (PDF/UA-1).

Used by the PDF. PDF/A lets metadata (XMP) use only schemas that it knows or that the file describes (ISO 19005-3,
6.6.2.3), so both are described. The texts are fixed, those of Factur-X by its specification.
"""

FILE_NAME = "factur-x.xml"
DESCRIPTION = "Factur-X invoice (EN 16931)"
RELATIONSHIP = "Alternative"  # the XML says the same as the page
_FX = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_UA = "http://www.aiim.org/pdfua/ns/id/"


def _schema(title: str, uri: str, prefix: str, properties: tuple[tuple[str, str, str, str], ...]) -> str:
    """The description of a schema: each property has a name, a type, whether it is external, and a text."""
    described = "".join(
        '<rdf:li rdf:parseType="Resource">'
        f"<pdfaProperty:name>{name}</pdfaProperty:name><pdfaProperty:valueType>{kind}</pdfaProperty:valueType>"
        f"<pdfaProperty:category>{category}</pdfaProperty:category>"
        f"<pdfaProperty:description>{text}</pdfaProperty:description></rdf:li>"
        for name, kind, category, text in properties
    )
    return (
        f'<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>{title}</pdfaSchema:schema>'
        f"<pdfaSchema:namespaceURI>{uri}</pdfaSchema:namespaceURI><pdfaSchema:prefix>{prefix}</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{described}</rdf:Seq></pdfaSchema:property></rdf:li>"
    )


_FX_PROPERTIES = (
    ("DocumentFileName", "Text", "external", "name of the embedded XML invoice file"),
    ("DocumentType", "Text", "external", "INVOICE"),
    ("Version", "Text", "external", "The actual version of the Factur-X XML schema"),
    ("ConformanceLevel", "Text", "external", "The conformance level of the embedded Factur-X data"),
)
_UA_PROPERTIES = (("part", "Integer", "internal", "part of PDF/UA"),)
_SCHEMAS = _schema("Factur-X PDFA Extension Schema", _FX, "fx", _FX_PROPERTIES) + _schema(
    "PDF/UA identification schema", _UA, "pdfuaid", _UA_PROPERTIES
)

FACTURX_XMP = (
    f'<rdf:Description rdf:about="" xmlns:fx="{_FX}"><fx:DocumentType>INVOICE</fx:DocumentType>'
    f"<fx:DocumentFileName>{FILE_NAME}</fx:DocumentFileName><fx:Version>1.0</fx:Version>"
    "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel></rdf:Description>"
    f'<rdf:Description rdf:about="" xmlns:pdfuaid="{_UA}"><pdfuaid:part>1</pdfuaid:part></rdf:Description>'
    '<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/"'
    ' xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#">'
    f"<pdfaExtension:schemas><rdf:Bag>{_SCHEMAS}</rdf:Bag></pdfaExtension:schemas></rdf:Description>"
).encode()
