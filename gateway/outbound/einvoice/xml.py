"""Reads XML of others into a small tree, and remembers which of its texts were used.

Called by the e-invoice readers. The standard library's expat suffices: a document without DOCTYPE has no entities, no
external parts and nothing to fetch, and a handler that counts while reading bounds it; a larger library would add a
dependency and its switches, and take none of this away. Promises: never more than `MAX_BYTES`, `MAX_DEPTH` levels,
`MAX_ELEMENTS` elements. Refused by ValueError in words: a DOCTYPE, what is not well-formed, an unknown encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

MAX_BYTES = 10_000_000
MAX_DEPTH = 40
MAX_ELEMENTS = 150_000
MAX_ATTRIBUTES = 40
MAX_NAME = 300  # characters of a name with its namespace: each element's path repeats it

_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_CII = "urn:un:unece:uncefact:data:standard:"
PREFIXES = {
    f"{_UBL}Invoice-2": "",
    f"{_UBL}CreditNote-2": "",
    f"{_UBL}CommonAggregateComponents-2": "cac:",
    f"{_UBL}CommonBasicComponents-2": "cbc:",
    f"{_UBL}CommonExtensionComponents-2": "ext:",
    f"{_CII}CrossIndustryInvoice:100": "rsm:",
    f"{_CII}ReusableAggregateBusinessInformationEntity:100": "ram:",
    f"{_CII}UnqualifiedDataType:100": "udt:",
    f"{_CII}QualifiedDataType:100": "qdt:",
    "urn:ferd:CrossIndustryDocument:invoice:1p0": "ferd:",
}


class Element:
    """An element: `name` with our prefix (`cbc:ID`) or, in a namespace we do not know, as `Q{uri}local`."""

    __slots__ = ("attributes", "children", "counts", "index", "name", "parent", "pieces", "used")

    def __init__(self, name: str, attributes: dict[str, str], parent: Element | None) -> None:
        self.name, self.attributes, self.parent = name, attributes, parent
        self.children: list[Element] = []
        self.counts: dict[str, int] = {}  # children by name
        self.pieces: list[str] = []
        self.used = False
        self.index = 1
        if parent is not None:
            self.index = parent.counts[name] = parent.counts.get(name, 0) + 1
            parent.children.append(self)

    @property
    def text(self) -> str:
        """Its own text, without the space around it."""
        return "".join(self.pieces).strip()

    @property
    def path(self) -> str:
        """Where it stands, as an XPath: `/Invoice/cac:InvoiceLine[2]/cbc:ID`."""
        steps: list[str] = []
        here: Element | None = self
        while here is not None:
            alone = here.parent is None or here.parent.counts[here.name] == 1
            steps.append(here.name if alone else f"{here.name}[{here.index}]")
            here = here.parent
        return "/" + "/".join(reversed(steps))

    def walk(self) -> Iterator[Element]:
        """It and everything in it, in the order of the document."""
        waiting = [self]
        while waiting:
            here = waiting.pop()
            yield here
            waiting.extend(reversed(here.children))


def read_xml(data: bytes) -> Element:
    """The root of an XML document. Raises ValueError in words."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"the XML has {len(data)} bytes; at most {MAX_BYTES} are taken")
    tree = _Tree()
    try:
        tree.parser.Parse(data, True)
    except expat.ExpatError as error:
        words = expat.errors.messages.get(error.code, "it cannot be read")
        raise ValueError(
            f"the XML is not well-formed: {words} in line {error.lineno}, column {error.offset + 1}"
        ) from None
    except (LookupError, UnicodeError):
        raise ValueError("the encoding that the XML declares is unknown; write it in UTF-8") from None
    except ValueError as error:  # ours, or expat's about an encoding of several bytes
        words = str(error)
        raise ValueError(words if isinstance(error, _Bound) else f"the XML cannot be read: {words}") from None
    assert tree.root is not None  # expat refuses a document without an element
    return tree.root


class _Bound(ValueError):
    """The document asks for more than it may have."""


class _Tree:
    """Builds the tree while expat reads."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._elements = 0
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.buffer_size = 2**16
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _doctype(self, *_: object) -> None:
        raise _Bound("the XML has a DOCTYPE, which an invoice does not need; leave it out")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise _Bound(f"the XML has more than {MAX_ELEMENTS} elements")
        if len(self._open) >= MAX_DEPTH:
            raise _Bound(f"the XML is nested more than {MAX_DEPTH} levels deep")
        if len(attributes) > MAX_ATTRIBUTES or len(name) > MAX_NAME:
            raise _Bound(f"the XML has an element with more than {MAX_ATTRIBUTES} attributes or {MAX_NAME} letters")
        element = Element(_named(name), attributes, self._open[-1] if self._open else None)
        if self.root is None:
            self.root = element
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].pieces.append(text)


def _named(name: str) -> str:
    namespace, _, local = name.rpartition(" ")
    prefix = PREFIXES.get(namespace)
    return f"Q{{{namespace}}}{local}" if prefix is None else prefix + local
