"""`gateway template show`, `edit`, `preview` and `lint` as an admin types them, without a serving gateway."""

import json
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from journeys.forked import ROOT
from journeys.shell import Shell
from postroom.programs import require

INVOICE = ROOT / "tests" / "corpus" / "documents" / "invoice_ro.json"
STATEMENT = ROOT / "tests" / "corpus" / "documents" / "statement_ro.json"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An installation with the tenant acme, whose colour is yellow."""
    made = Shell(tmp_path_factory.mktemp("templates"))
    made("init", "--domain", "gateway.test")
    made("tenant", "add", "acme", "--company", "Acme Servicii SRL", "--contact", "office@acme.test")
    made("tenant", "set", "acme", "--colour", "#ffcc33")
    return made


def edit(shell: Shell, *options: str, key: str = "new_invoice", status: int = 0, given: str = "") -> str:
    done = shell("template", "edit", key, "-l", "ro", *options, status=status, given=given)
    return done.out + done.err


def test_show_gives_ours_to_start_from_and_the_tenants_once_there_is_one(shell: Shell) -> None:
    shown = shell("template", "show", "estimate", "--json").json
    texts = {row["part"]: row for row in shown["texts"]}
    assert shown["language"] == "ro" and list(texts) == ["subject", "preheader", "title", "text", "button"]
    assert all(row["of"] == "product" for row in texts.values())
    assert texts["text"]["text"].endswith("\n\n{{ button }}") and "{% if valid_until %}" in texts["text"]["text"]
    assert shown["variables"]["company"] == "Acme Servicii SRL" and "button" not in shown["variables"]
    given = texts["text"]["text"] + "\n\nPe curând!"
    assert "changed text of estimate (ro)" in edit(shell, "--text-file", "-", key="estimate", given=given)
    told = shell("template", "show", "estimate", "-l", "ro").out
    assert "-- text (the tenant's)" in told and "Pe curând!" in told and "-- subject (the product's)" in told
    assert re.search(r"^lines +\d+ to loop over", told, re.M)
    assert "Pe curând" not in shell("template", "show", "estimate", "--source").out
    assert "Pe curând" not in shell("template", "show", "estimate", "-l", "ru").out


def test_a_part_that_is_emptied_follows_the_product_again(shell: Shell) -> None:
    edit(shell, "--subject", "Nou: {{ number }}", "--button", "Aici", key="refund", status=1)  # it has no button
    edit(shell, "--subject", "Nou: {{ number }}", "--title", "T {{ number }}", key="refund")
    edit(shell, "--title", "", key="refund")
    shown = shell("template", "show", "refund", "--json").json["texts"]
    assert [row["part"] for row in shown if row["of"] == "tenant"] == ["subject"]
    assert "follows the product again" in edit(shell, "--default", key="refund")
    shown = shell("template", "show", "refund", "--json").json["texts"]
    assert all(row["of"] == "product" for row in shown)


def test_a_wrong_text_is_refused_in_words_and_nothing_is_kept(shell: Shell) -> None:
    before = shell("template", "show", "new_invoice", "--json").out
    assert "did you mean number" in edit(shell, "--subject", "{{ nubmer }}", status=1)
    assert "can only loop over" in edit(shell, "--title", "{% for i in range(10**9) %}x{% endfor %}", status=1)
    assert "line 3 cannot be read" in edit(shell, "--text-file", "-", given="a\n\n{% if x\n", status=1)
    assert "there is no template 'newinvoice'" in edit(shell, "--title", "x", key="newinvoice", status=1)
    assert "say what to change" in edit(shell, status=2)
    assert shell("template", "show", "new_invoice", "--json").out == before


def test_what_a_document_may_lack_is_noted_when_it_is_set(shell: Shell) -> None:
    told = edit(shell, "--text-file", "-", key="unpaid_invoice", given="{{ balance }} până la {{ due_date }}")
    assert "note, text: invoice CP-2026-0042 has no due_date" in told and "is held" in told
    rows = shell("template", "lint", "unpaid_invoice", "--tenant", "acme", "--json").json
    assert {"may-be-missing", "variables"} >= {row["rule"] for row in rows} and rows
    assert {row["level"] for row in rows} == {"warning"}
    edit(shell, "--default", key="unpaid_invoice")


def test_lint_finds_nothing_wrong_with_ours_and_fails_on_an_error(shell: Shell, tmp_path: Path) -> None:
    assert "nothing is wrong" in Shell(tmp_path)("template", "lint", "refund").out  # no configuration is needed
    assert shell("template", "lint", "--tenant", "acme", "credit_note", "--json").json == []
    assert "there is no template" in shell("template", "lint", "nothing", status=1).err


@pytest.fixture(scope="module")
def own_words(shell: Shell) -> Iterator[Shell]:
    """The tenant says something else about statements, in Romanian."""
    edit(shell, "--subject", "Salut, {{ customer }}", "--text-file", "-", key="statement", given="Doar {{ number }}.")
    yield shell


@pytest.mark.parametrize("form", ["html", "pdf", "eml"])
def test_a_preview_is_the_mail_that_would_go(own_words: Shell, form: str) -> None:
    target = own_words.folder / f"preview.{form}"
    told = own_words("template", "preview", "statement", "-l", "ro", "--format", form, "-o", str(target)).out
    assert told == f"wrote {target}: Salut, Vinăria Exemplu SRL\n"
    raw = target.read_bytes()
    if form == "pdf":
        assert raw.startswith(b"%PDF-")
    elif form == "eml":
        message = message_from_bytes(raw, policy=policy.default)
        assert message["Subject"] == "Salut, Vinăria Exemplu SRL" and "Acme Servicii SRL" in message["From"]
        assert [part.get_content_type() for part in message.iter_attachments()] == ["application/pdf"]
    else:
        assert all(words in raw.decode() for words in ("Doar ", "Acme Servicii SRL", "#ffcc33"))


def test_a_preview_goes_to_standard_output_unless_a_file_is_named(own_words: Shell) -> None:
    assert own_words("template", "preview", "statement", "--format", "text").out.startswith("Salut, ")


def test_a_preview_of_a_file_is_about_it(shell: Shell) -> None:
    values = json.loads(INVOICE.read_text("utf-8")) | {"number": "CP-OWN-7"}
    (shell.folder / "own.json").write_text(json.dumps(values), "utf-8")
    told = shell("template", "preview", "new_invoice", "-l", "ru", "--format", "text", "--document", "own.json").out
    assert "CP-OWN-7" in told and "Здравствуйте" in told
    told = shell("template", "preview", "new_invoice", "--document", str(STATEMENT), status=1).err
    assert "is about documents of type invoice" in told


def test_a_preview_of_a_stored_document_is_about_it(shell: Shell) -> None:
    values = json.loads(INVOICE.read_text("utf-8")) | {"number": "CP-KEPT-8", "id": "kept_8"}
    (shell.folder / "kept.json").write_text(json.dumps(values), "utf-8")
    shell("send", "kept.json")
    told = shell("template", "preview", "late_payment_reminder", "--format", "text", "--document", "invoice/kept_8").out
    assert "CP-KEPT-8" in told
    told = shell("template", "preview", "estimate", "--document", "estimate/9", status=1).err
    assert "there is no file and no document" in told


def test_a_picture_is_as_wide_as_asked_and_whole_in_light_and_dark(shell: Shell) -> None:
    require("chromium")
    pictures = []
    for width, mode in (("700", ()), ("360", ("--dark",))):
        target = shell.folder / "preview.png"
        shell("template", "preview", "new_invoice", "--format", "png", "--width", width, "-o", str(target), *mode)
        pictures.append(target.read_bytes())
    sizes = [tuple(int.from_bytes(raw[at : at + 4], "big") for at in (16, 20)) for raw in pictures]
    assert [width for width, _ in sizes] == [700, 360]
    assert sizes[1][1] > sizes[0][1] > 900  # narrower is longer


def test_without_a_browser_the_picture_says_what_is_missing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(shell.data))
    told = shell("template", "preview", "estimate", "--format", "png", "-o", "no.png", status=1).err
    assert "needs Chromium: apt-get install chromium" in told and not (shell.folder / "no.png").exists()
    told = shell("template", "preview", "statement", "--format", "png", "-o", "no.png", status=1).err
    assert "poppler-utils" in told


def test_without_a_browser_the_picture_is_that_of_the_pdf(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pdftoppm").symlink_to(require("pdftoppm"))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = shell("template", "preview", "statement", "--format", "png", "-o", "page.png")
    assert "this is the first page of the PDF" in done.err
    assert (shell.folder / "page.png").read_bytes().startswith(b"\x89PNG")
