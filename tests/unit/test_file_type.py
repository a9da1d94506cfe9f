"""What a file is, by its content; what no mail carries."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inbox.attaching import MOST_FILES, attach
from gateway.mail.file_type import file_type
from gateway.mail.reply import Refused


def archive(*names: str, first: tuple[str, bytes] | None = None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        if first:
            file.writestr(*first)
        for name in names:
            file.writestr(name, b"x")
    return made.getvalue()


ODT = ("mimetype", b"application/vnd.oasis.opendocument.text")
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.txt", b"%PDF-1.7\n", "application/pdf"),  # whatever it is called
        ("a.pdf", b"\x89PNG\r\n\x1a\n...", "image/png"),
        ("a.jpeg", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        ("a.docx", archive("[Content_Types].xml", "word/document.xml"), WORD),
        ("renamed.zip", archive("[Content_Types].xml", "xl/workbook.xml"), SHEET),
        ("a.odt", archive("content.xml", first=ODT), "application/vnd.oasis.opendocument.text"),
        ("a.zip", archive("a.pdf", "b.pdf"), "application/zip"),
        ("torn.zip", b"PK\x03\x04torn", "application/zip"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1...", "application/vnd.ms-excel"),
        ("a.bin", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1...", "application/octet-stream"),
        ("a.csv", "număr;sumă\n1;2\n".encode(), "text/csv"),
        ("a.dat", "Bună ziua".encode(), "text/plain"),
        ("long.txt", "ș".encode() * 4000, "text/plain"),  # cut within a letter
        ("a.xml", b"<?xml version='1.0'?><a/>", "application/xml"),
        ("a.txt", b"\x00\x01\x02", "application/octet-stream"),
        ("a.txt", b"\xff\xfe\xfd", "application/octet-stream"),
    ],
)
def test_a_file_is_what_it_holds(name: str, content: bytes, kind: str) -> None:
    found = file_type(name, content)
    assert (found.media_type, found.danger) == (kind, "")


@pytest.mark.parametrize(
    ("name", "content", "danger"),
    [
        ("invoice.pdf", b"MZ\x90\x00", "program"),
        ("invoice.pdf", b"\x7fELF", "program"),
        ("run", b"#!/bin/sh\n", "program"),
        ("invoice.pdf.exe", b"%PDF-1.7", "exe"),
        ("invoice.js ", b"alert(1)", "js"),
        ("a.zip", archive("a.pdf", "deep/inside.VBS"), "vbs"),
    ],
)
def test_programs_are_told(name: str, content: bytes, danger: str) -> None:
    assert file_type(name, content).danger == danger
    with pytest.raises(Refused, match="which mail providers refuse"):
        attach([(name, content)])


@given(st.text(max_size=20), st.binary(max_size=200), st.sampled_from([b"", b"PK\x03\x04", b"RIFF", b"%PDF-"]))
def test_any_bytes_have_a_type(name: str, content: bytes, start: bytes) -> None:
    assert "/" in file_type(name, start + content).media_type


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("C:\\Users\\ana\\Ordin de plată.PDF", "Ordin_de_plata.pdf"),
        ("../../etc/passwd", "passwd"),
        ("счёт №5.pdf", "schet_No5.pdf"),
        ("a\r\nBcc: x@y.z.pdf", "a_Bcc_x_y.z.pdf"),
        ("\u202egnp.exe.pdf", "gnp.exe.pdf"),
        ("", "document"),
    ],
)
def test_names_are_safe(name: str, safe: str) -> None:
    (made,) = attach([(name, b"%PDF-1.7")])
    assert made.filename == safe


def test_files_are_few_and_hold_something() -> None:
    with pytest.raises(Refused, match="are the most"):
        attach([("a.txt", b"x")] * (MOST_FILES + 1))
    with pytest.raises(Refused, match="is empty"):
        attach([("a.txt", b"")])
