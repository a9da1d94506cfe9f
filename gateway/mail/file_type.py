"""What a file is, by its content and never by what somebody claims: its media type, and whether mail may carry it.

Called for the files that a clerk puts beside an answer. Programs, scripts and what starts them are no files of a mail:
the customer's provider would refuse the whole mail (`danger` says what it is). Reads untrusted bytes: of an archive
only the list of names, bounded; it never raises.
"""

import io
import re
import zipfile
from dataclasses import dataclass

MOST_NAMES = 5000  # of an archive's list
_SNIFFED = 4096  # first bytes that tell text from the rest
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"{\\rtf", "application/rtf"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x1f\x8b", "application/gzip"),
)
_PROGRAMS = (b"MZ", b"\x7fELF", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe",
             b"\xca\xfe\xba\xbe", b"dex\n", b"L\x00\x00\x00\x01\x14\x02\x00")  # fmt: skip
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OFFICE = {"doc": "application/msword", "xls": "application/vnd.ms-excel", "ppt": "application/vnd.ms-powerpoint",
           "msg": "application/vnd.ms-outlook"}  # fmt: skip
_OPEN_XML = "application/vnd.openxmlformats-officedocument"
_INSIDE = (
    ("word/", f"{_OPEN_XML}.wordprocessingml.document"),
    ("xl/", f"{_OPEN_XML}.spreadsheetml.sheet"),
    ("ppt/", f"{_OPEN_XML}.presentationml.presentation"),
)
_TEXTS = {"csv": "text/csv", "xml": "application/xml", "html": "text/html", "htm": "text/html", "eml": "message/rfc822"}
# what mail providers refuse by its ending, in an archive too
_ENDINGS = frozenset(
    """ade adp apk appx bat cab chm cmd com cpl dll dmg exe hta img iso isp jar js jse jnlp lib lnk mde msc msi msix msp
    mst nsh pif ps1 scr sct shb sys vb vbe vbs vhd vxd wsc wsf wsh xll""".split()
)


@dataclass(frozen=True, slots=True)
class FileType:
    """A file's media type; `danger` is what makes it no file of a mail: an ending, or "program"; "" for the rest."""

    media_type: str
    danger: str = ""


def file_type(name: str, content: bytes) -> FileType:
    """What the file is. `name` only decides between types that look the same."""
    ending = _ending(name)
    if ending in _ENDINGS:
        return FileType("application/octet-stream", ending)
    if content.startswith(_PROGRAMS) or content.startswith(b"#!"):
        return FileType("application/octet-stream", "program")
    if content.startswith(b"PK\x03\x04"):
        return _archive(content)
    if content.startswith(_OLE):
        return FileType(_OFFICE.get(ending, "application/octet-stream"))
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return FileType("image/webp")
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"mif1"):
        return FileType("image/heic")
    known = next((kind for magic, kind in _MAGIC if content.startswith(magic)), "")
    return FileType(known or _text(ending, content) or "application/octet-stream")


def _ending(name: str) -> str:
    stem, dot, ending = name.rstrip(". ").rpartition(".")
    return ending.lower() if dot and stem else ""


def _archive(content: bytes) -> FileType:
    """A ZIP by what its list names; one that cannot be read stays a ZIP."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = archive.infolist()[:MOST_NAMES]
            names = [one.filename for one in found]
            first = archive.read("mimetype") if names[:1] == ["mimetype"] and found[0].file_size < 200 else b""
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, RuntimeError, EOFError, LookupError):
        return FileType("application/zip")
    danger = next((ending for name in names if (ending := _ending(name)) in _ENDINGS), "")
    if danger:
        return FileType("application/zip", danger)
    if re.fullmatch(rb"application/vnd\.oasis\.opendocument\.[a-z]{4,20}", first):
        return FileType(first.decode())
    if "[Content_Types].xml" in names:
        return FileType(next((kind for start, kind in _INSIDE if any(name.startswith(start) for name in names)),
                             "application/zip"))  # fmt: skip
    return FileType("application/zip")


def _text(ending: str, content: bytes) -> str:
    """`text/plain` and its kin for what reads as UTF-8 without control characters; else ""."""
    start = content[:_SNIFFED]
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4 or len(content) <= _SNIFFED:
            return ""
    if not content or re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", start):
        return ""
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml"):
        return _TEXTS["xml"]
    return _TEXTS.get(ending, "text/plain")
