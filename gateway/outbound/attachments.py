"""The files beside a mail: the document's PDF and what came with the document.

Called by rendering. A file of the document with the role `pdf` stands in for ours and travels untouched. Names are
ASCII, media types are well formed or `application/octet-stream`.
"""

import base64
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.outbound.brand import Brand
from gateway.outbound.documents import Document
from gateway.outbound.documents.model import File
from gateway.outbound.texts import Language

_LATIN = str.maketrans(dict(zip(
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
    "a b v g d e e zh z i y k l m n o p r s t u f kh ts ch sh shch  y  e yu ya "
    "A B V G D E E Zh Z I Y K L M N O P R S T U F Kh Ts Ch Sh Shch  Y  E Yu Ya".split(" "),
    strict=True,
)))  # fmt: skip
_MEDIA_TYPE = re.compile(r"(application|image|text|audio|video)/[a-z0-9.+-]{1,80}\Z")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file beside the mail. `filename` is ASCII."""

    filename: str
    media_type: str
    data: bytes


def attachments_of(
    document: Document, brand: Brand, words: Language, with_pdf: bool, bundle: tuple[Document, ...]
) -> Iterable[Attachment]:
    """Our PDF, with a bundle of further documents on pages of their own, then the files that came with the document."""
    given = [file for file in document.files if file.content]
    if with_pdf and not any(file.role == "pdf" for file in given):
        from gateway.outbound.pdf import render_pdf  # loads Pango and fonts: 60 MB that only workers need

        pdf = render_pdf(document, brand, words.code, bundle)
        yield Attachment(ascii_filename(document.number, "pdf"), "application/pdf", pdf)
    for file in given:
        if file.role != "pdf" or with_pdf:
            yield _given_file(file)


def own_pdf(document: Document) -> Attachment | None:
    """The PDF that came with the document."""
    return next((_given_file(file) for file in document.files if file.role == "pdf" and file.content), None)


def other_files(document: Document) -> tuple[Attachment, ...]:
    """What came with the document beside its PDF."""
    return tuple(_given_file(file) for file in document.files if file.role != "pdf" and file.content)


def _given_file(file: File) -> Attachment:
    stem, dot, ending = file.filename.rpartition(".")
    name = (
        ascii_filename(stem, ending)
        if dot and re.fullmatch(r"[A-Za-z0-9]{1,10}", ending)
        else ascii_filename(stem + ending)
    )
    media_type = (
        file.content_type.lower() if _MEDIA_TYPE.match(file.content_type.lower()) else "application/octet-stream"
    )
    return Attachment(name, media_type, base64.b64decode("".join(file.content.split())))


def ascii_filename(text: str, ending: str = "") -> str:
    """A file name that every system takes: Cyrillic in Latin letters, no accents, no path, at most 80 characters."""
    plain = unicodedata.normalize("NFKD", text.translate(_LATIN)).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")[:80] or "document"
    return f"{stem}.{ending}" if ending else stem
