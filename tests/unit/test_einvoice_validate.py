"""`gateway validate`: a line for each file in order, by content and not by name, without configuration or database."""

import io
import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pypdf import PdfWriter

from gateway.cli.validate import validate

ROOT = Path(__file__).parents[1] / "corpus"
XML = ROOT / "einvoices" / "ubl_invoice.xml"
JSON = ROOT / "documents" / "invoice_ro.json"


def run(*arguments: object, given: bytes = b"") -> Result:
    return CliRunner().invoke(validate, [str(one) for one in arguments], input=given)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.split("\n")[:-1]]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.pdf"  # its name says something else than its content
    path.write_text(XML.read_text().replace("<b:ID>EAA 001042</b:ID>", ""))
    return path


def test_each_file_gets_a_line_of_json_in_order(broken: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.xml").write_bytes(b"\x89PNG\r\n")
    files = [XML, broken, JSON, tmp_path / "photo.xml", tmp_path / "absent.json"]
    result = run("--json", *files)
    assert result.exit_code == 1
    invoice, refused, document, photo, absent = lines(result)
    assert [one["path"] for one in lines(result)] == [str(path) for path in files]
    assert [one["ok"] for one in lines(result)] == [True, False, True, False, False]
    assert invoice["document"]["totals"]["balance"] == "1000.00"
    assert "/Invoice/cbc:TaxCurrencyCode" in invoice["lost"]
    assert "errors" not in invoice
    assert refused["errors"] == [{"field": "number", "message": "is missing (BT-1, /Invoice/cbc:ID)"}]
    assert "document" not in refused
    assert (document["document"]["number"], document["lost"]) == (json.loads(JSON.read_text())["number"], [])
    assert "neither JSON, nor XML (UBL, CII), nor a PDF" in photo["errors"][0]["message"]
    assert absent["errors"] == [{"field": "", "message": "cannot be read: No such file or directory"}]


def test_all_files_right_is_success() -> None:
    assert run("--json", XML, JSON).exit_code == 0


def test_a_person_reads_sentences(broken: Path) -> None:
    result = run(XML, broken)
    assert f"{XML}: invoice EAA 001042 to Lacul Mare SRL, 1163.20 RON, due 2026-12-03" in result.stdout
    assert "not carried over (4" in result.stdout
    assert f"{broken}: not a document that can be sent\n  number is missing" in result.stdout


def test_standard_input_is_a_file_too() -> None:
    result = run("--json", "-", given=XML.read_bytes())
    assert [(one["path"], one["ok"]) for one in lines(result)] == [("-", True)]


def test_what_takes_too_long_or_too_much_costs_its_own_line_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.validate.SECONDS", 2.0)
    deep = b'{"id": ' + b"[" * 10_000_000
    bomb = bomb_pdf(2**28)
    for name, data in (("deep.json", deep), ("bomb.pdf", bomb), ("large.xml", b"<a>" + b"x" * 26 * 2**20)):
        (tmp_path / name).write_bytes(data)
    result = run("--json", tmp_path / "deep.json", tmp_path / "bomb.pdf", tmp_path / "large.xml", XML)
    assert result.exit_code == 1
    answers = lines(result)
    assert [one["ok"] for one in answers] == [False, False, False, True]
    assert all(len(one["errors"]) == 1 and one["errors"][0]["message"] for one in answers[:3])
    assert "bytes" in answers[2]["errors"][0]["message"]


def bomb_pdf(size: int) -> bytes:
    """A PDF whose embedded invoice unpacks to `size` bytes."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b" " * 2**24) for _ in range(size // 2**24)) + packer.flush()
    writer = PdfWriter()
    writer.add_blank_page(10, 10)
    writer.add_attachment("factur-x.xml", b"MARK")
    out = io.BytesIO()
    writer.write(out)
    head, _, tail = out.getvalue().partition(b"MARK")
    return head.replace(b"/Length 4", b"/Filter /FlateDecode /Length %d" % len(packed)) + packed + tail


def test_a_name_that_is_no_text_is_shown_as_well_as_it_can_be(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.xml")
    shutil.copy(XML, path)
    (answer,) = lines(run("--json", path))
    assert answer["ok"]
    assert answer["path"].endswith("/\ufffd.xml")
