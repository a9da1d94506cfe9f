"""Puts texts into the tree of a CrossIndustryInvoice: an element is made when there is something to say.

Used by `write_cii` and `write_line`. Paths are those of the reader (`ram:A/ram:B`); a step that the last element at its
place already has is gone into, so that neighbours share their parent. Characters that XML does not know are left out.
"""

import re
from xml.etree import ElementTree as ET

from gateway.outbound.documents.model import Period
from gateway.outbound.einvoice.xml import PREFIXES

NAMESPACES = {prefix[:-1]: uri for uri, prefix in PREFIXES.items() if prefix in ("rsm:", "ram:", "udt:", "qdt:")}
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, 2.2

for _prefix, _uri in NAMESPACES.items():
    ET.register_namespace(_prefix, _uri)


def tag(name: str) -> str:
    """`ram:ID` as ElementTree writes it."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def new(parent: ET.Element, path: str) -> ET.Element:
    """A new element at the end of `path`."""
    *steps, last = path.split("/")
    for step in steps:
        parent = parent[-1] if len(parent) and parent[-1].tag == tag(step) else ET.SubElement(parent, tag(step))
    return ET.SubElement(parent, tag(last))


def put(parent: ET.Element, path: str, text: str, **attributes: str) -> None:
    """`text` at `path`; nothing for a text that is empty."""
    said = _NOT_XML.sub("", text).strip()
    if said:
        element = new(parent, path)
        element.text = said
        element.attrib.update({name: value for name, value in attributes.items() if value})


def put_day(parent: ET.Element, path: str, day: str, form: str = "udt") -> None:
    """A date in format 102 (UN/EDIFACT 2379)."""
    put(parent, f"{path}/{form}:DateTimeString", day.replace("-", ""), format="102")


def put_period(parent: ET.Element, path: str, period: Period | None) -> None:
    """The first and the last day, as far as they are known."""
    if period is not None:
        put_day(parent, f"{path}/ram:StartDateTime", period.start)
        put_day(parent, f"{path}/ram:EndDateTime", period.end)
