"""Finds the invoice inside a PDF: the XML that ZUGFeRD, Factur-X and XRechnung embed under a name they fix.

Called by `einvoice`, in a worker process when the PDF is somebody else's: pypdf is pure Python, so a hostile file can
cost time and memory, which a worker limits, and nothing else. Looks into the table of embedded files only; no page is
read. Refuses by ValueError in words what cannot be read as a PDF; a PDF without such a file has no invoice: None.
"""

import io
import itertools
import logging
from collections.abc import Iterator
from typing import Any

from pypdf import PdfReader

MAX_BYTES = 25 * 10**6
MAX_FILES = 200  # entries of the tables of embedded files that are looked at
MAX_NODES = 200  # ... and of the nodes of their tree
# In the order of preference; the specifications fix the names, files in use differ in case.
NAMES = ("factur-x.xml", "xrechnung.xml", "zugferd-invoice.xml")

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it would log what the files of others hold


def extract_invoice(data: bytes) -> bytes | None:
    """The XML inside a PDF, or None. Raises ValueError in words."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"the PDF has {len(data)} bytes; at most {MAX_BYTES} are taken")
    if b"EmbeddedFile" not in data and b"/ObjStm" not in data:  # not even in a compressed object
        return None
    try:
        found = _find(PdfReader(io.BytesIO(data), strict=False))
    except Exception:  # whatever pypdf raises on the bytes of others; MemoryError is ours to see
        raise ValueError("the PDF cannot be read; is it complete, and without a password?") from None
    return found


def _find(reader: PdfReader) -> bytes | None:
    if reader.is_encrypted:
        reader.decrypt("")  # a password for changing it only
    catalog = reader.root_object
    names = _object(catalog.get("/Names"), dict).get("/EmbeddedFiles")
    found: dict[str, Any] = {}
    for spec in itertools.islice(itertools.chain(_named(names), _object(catalog.get("/AF"), list)), MAX_FILES):
        file = _object(spec, dict)
        for key in ("/UF", "/F"):
            name = str(file.get(key, "")).strip().lower()
            if name in NAMES:
                found.setdefault(name, file)
    for name in NAMES:
        if name in found:
            streams = _object(found[name].get("/EF"), dict)
            stream = streams.get("/F") or streams.get("/UF")
            content = stream.get_object().get_data() if stream is not None else b""
            return bytes(content)
    return None


def _named(root: Any) -> Iterator[Any]:
    """The file specifications of a name tree (ISO 32000-1, 7.9.6), which may go in circles."""
    waiting = [root]
    for _ in range(MAX_NODES):
        if not waiting:
            return
        node = _object(waiting.pop(), dict)
        yield from _object(node.get("/Names"), list)[1::2]
        waiting.extend(_object(node.get("/Kids"), list)[:MAX_FILES])


def _object(value: Any, kind: type[Any]) -> Any:
    """What a reference points to, or an empty one of `kind` when it is something else."""
    found = value.get_object() if hasattr(value, "get_object") else value
    return found if isinstance(found, kind) else kind()
