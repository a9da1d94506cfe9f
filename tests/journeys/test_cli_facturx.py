"""`gateway document pdf`, `gateway evidence` and `gateway tenant set --einvoice`, typed as an admin types them."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from journeys.forked import ROOT
from journeys.shell import Shell
from unit.einvoice_oracle import xml_of
from unit.facturx_validator import complaints

from gateway.outbound.einvoice import explain_einvoice

SAMPLES = ROOT / "tests" / "corpus" / "documents"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An installation with the tenant acme and three documents that wait to be sent."""
    made = Shell(tmp_path_factory.mktemp("cli"))
    made("init", "--domain", "gateway.test")
    made.set(submission__port="0", submission__tls_port="0", receiver__port="0", web__port="0")
    made("tenant", "add", "acme", "--company", "Acme Servicii SRL")
    made("send", *(str(SAMPLES / f"{name}.json") for name in ("invoice_ro", "estimate_ro", "credit_note_ro")))
    return made


def test_the_pdf_of_a_document_is_written_to_a_file(shell: Shell) -> None:
    told = shell("document", "pdf", "invoice/inv_8812", "-o", "plain.pdf", "--json").json
    plain = (shell.folder / "plain.pdf").read_bytes()
    assert (told["source"], told["filename"], told["size"]) == ("drawn", "CP-2026-0042.pdf", len(plain))
    assert plain.startswith(b"%PDF-1.7") and explain_einvoice(plain).document is None
    assert "there is no document" in shell("document", "pdf", "invoice/none", "-o", "x.pdf", status=1).err
    assert not (shell.folder / "x.pdf").exists()


def test_the_evidence_of_a_document_that_waits_says_that_nothing_was_sent_yet(shell: Shell) -> None:
    told = shell("evidence", "invoice/inv_8812", "-o", "proof.zip", "--language", "en", "--json").json
    raw = (shell.folder / "proof.zip").read_bytes()
    assert (told["size"], told["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())
    with zipfile.ZipFile(io.BytesIO(raw)) as opened:
        assert opened.read("timeline.pdf").startswith(b"%PDF") and set(told["files"]) < set(opened.namelist())
        manifest = json.loads(opened.read("manifest.json"))
    assert len(manifest["not_written_yet"]) == 1 and not [one for one in told["files"] if one.startswith("sent/")]
    assert manifest["deliveries"][0]["progress"] == "scheduled"
    assert "there is no document" in shell("evidence", "invoice/none", status=1).err
    assert "there is no thread" in shell("evidence", "none", status=1).err
    assert sorted(path.name for path in shell.folder.glob("*.zip*")) == ["proof.zip"]


def test_a_run_is_listed_shown_and_exported(shell: Shell) -> None:
    mail = "From: a@acme.test\nTo: ana@client.test, ion@client.test\nSubject: Factura 9\nX-AR-Run: {}\n\nBună.\n"
    assert "is not at most 100 letters" in shell("send", "-", given=mail.format("a/b"), status=1).err
    shell("send", "-", given=mail.format("2026-11"))
    [line] = shell("runs", "list", "--json").json["lines"]
    assert (line["name"], line["messages"], line["states"]) == ("2026-11", 1, {"queued": 2})
    told = shell("runs", "show", "2026-11", "--json").json
    assert (told["recipients"], told["waiting"], told["final"]) == (2, 2, {"waiting": 2})
    assert shell("runs", "export", "2026-11").out.count(",waiting,") == 2
    assert "there is no run" in shell("runs", "show", "2026-12", status=1).err


def test_with_factur_x_it_carries_the_invoice_or_says_why_it_cannot(shell: Shell) -> None:
    assert "(drawn, " in shell("document", "pdf", "invoice/inv_8812", "--factur-x", "-o", "f.pdf").out
    written = (shell.folder / "f.pdf").read_bytes()
    reading = explain_einvoice(written)
    assert reading.hybrid and reading.document and reading.document.number == "CP-2026-0042"
    assert complaints(xml_of(written)) == []
    refused = {"estimate": "EN 16931 is about invoice and credit_note only", "credit_note": "due_date is missing"}
    for row in shell("document", "list", "--json").json:
        kind = row["document"].partition("/")[0]
        if kind in refused:
            told = shell("document", "pdf", row["document"], "--factur-x", "-o", "x.pdf", status=1).err
            assert refused[kind] in told
    assert not (shell.folder / "x.pdf").exists()


def test_a_tenant_asks_for_it_and_hears_at_once_what_a_document_lacks(shell: Shell) -> None:
    shell("tenant", "set", "acme", "--einvoice", "factur-x", "--vat", "0600123", "--country", "MD")
    assert "is not two capitals" in shell("tenant", "set", "acme", "--country", "Moldova", status=1).err
    assert shell("tenant", "show", "acme", "--json").json["options"]["einvoice"] == "factur-x"
    lacking = json.loads((SAMPLES / "invoice_ro.json").read_text("utf-8")) | {"id": "no_country"}
    del lacking["customer"]["address"]["country"]
    told = shell("send", "-", given=json.dumps(lacking), status=1).err
    assert told.startswith("refused: 554 5.6.0 invoice CP-2026-0042 cannot become Factur-X (EN 16931):")
    assert "customer.address.country is missing" in told
    shell("document", "pdf", "invoice/inv_8812", "-o", "asked.pdf")
    assert explain_einvoice(Path(shell.folder / "asked.pdf").read_bytes()).hybrid
    unsold = json.loads((SAMPLES / "invoice_ro.json").read_text("utf-8"))
    del unsold["seller"]
    shell("send", "-", given=json.dumps(unsold | {"id": "unsold"}))
    shell("document", "pdf", "invoice/unsold", "-o", "unsold.pdf")
    sold = explain_einvoice((shell.folder / "unsold.pdf").read_bytes()).document
    assert sold and sold.seller and (sold.seller.name, sold.seller.vat) == ("Acme Servicii SRL", "MD0600123")
    shell("tenant", "set", "acme", "--einvoice", "none")
    assert "einvoice" not in shell("tenant", "show", "acme", "--json").json["options"]
    shell("send", "-", given=json.dumps(lacking))
    assert "Invalid value for '--einvoice'" in shell("tenant", "set", "acme", "--einvoice", "zugferd", status=2).err
