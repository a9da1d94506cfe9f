"""`gateway validate`: a line for each file in order, by content and not by name, without configuration or database."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

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
