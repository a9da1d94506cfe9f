"""Lint finds what it is there for: each defect, made on purpose, is named."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from gateway.outbound.brand import Brand, contrast
from gateway.outbound.documents import read_document
from gateway.outbound.lint import lint, lint_mail, lint_marks, lint_samples, lint_texts
from gateway.outbound.rendering import Rendered, render_mail
from gateway.outbound.texts import LANGUAGES, templates

SAMPLE = Path(__file__).resolve().parents[1] / "corpus/documents/invoice_ro.json"
BRAND = Brand(company="Acme")
TODAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def mail() -> Rendered:
    return render_mail("new_invoice", read_document(SAMPLE.read_bytes()), BRAND, TODAY, attach_pdf=False)


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("key", list(templates()))
def test_our_own_texts_are_clean(key: str, code: str) -> None:
    assert lint_texts(key, code) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Am emis {doc_def} {nubmer}.", "unknown-variable"),
        ("Am emis [?pfd cu PDF] {number} {customer}", "unknown-variable"),
        ("Am emis {number [ {customer}] {balance}[, {due_date}]", "marks"),
        ("Am emis {number}[ {customer} [{balance}]] {due_date}", "marks"),
    ],
)
def test_a_defect_of_our_own_marks_is_found(text: str, rule: str) -> None:
    assert rule in {finding.rule for finding in lint_marks("text", text)}


@pytest.mark.parametrize(
    ("part", "text", "words"),
    [
        ("text", "Am emis {{ nubmer }}.", "did you mean number"),
        ("text", "Am emis {number}.", "write {{ number }}"),
        ("subject", "{{ button }}", "stands in the text"),
        ("button", " ", "says nothing"),
        ("lead", "Am emis", "a template has no 'lead'"),
    ],
)
def test_a_defect_of_a_tenants_text_is_an_error_that_names_its_part(part: str, text: str, words: str) -> None:
    [found] = lint_texts("new_invoice", "ro", {"ro": {part: text}})
    assert (found.rule, found.level) == ("text", "error") and words in found.text
    assert found.where == (part if part != "lead" else "text")


def test_a_variable_that_only_another_language_says_is_named() -> None:
    texts = {"ru": {"button": "Посмотреть {{ number }}"}}
    [found] = lint_texts("new_invoice", "en", texts)
    assert (found.rule, found.where, found.text) == ("variables", "button", "lacks {number}, which ru has")
    assert found.level == "warning"  # it breaks no mail
    texts["ro"] = texts["ru"]
    assert [one.text for one in lint_texts("new_invoice", "en", texts)] == ["lacks {number}, which ro and ru have"]


def test_a_text_that_needs_what_a_document_may_lack_is_warned_of() -> None:
    texts = {code: {"text": "{{ number }}: {{ customer }}, {{ balance }}, {{ due_date }}"} for code in LANGUAGES}
    [found] = lint_texts("new_invoice", "ro", texts)
    assert (found.rule, found.where, found.level) == ("may-be-missing", "text", "warning")
    assert "has no due_date" in found.text and "{% if due_date %}" in found.text and "is held" in found.text
    guarded = {
        code: {"text": said["text"].replace("{{ due_date }}", "{{ due_date or '' }}")} for code, said in texts.items()
    }
    assert lint_texts("new_invoice", "ro", guarded) == []


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("key", list(templates()))
def test_our_own_mails_have_nothing_wrong_with_any_sample(key: str, code: str) -> None:
    assert lint_samples(key, code, None) == []
    assert lint_samples(key, code, Brand(company="Acme SRL", colour="#ffcc33"), {}) == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('<a href="https://', '<a href="http://', "https"),
        (
            '<p class="ink" style="margin:0">',
            '<p style="margin:0;background:url(https://x.example/y.png)">',
            "data-uri",
        ),
        ('<h1 class="ink"', '<img src="data:image/png;base64,AA==" alt="x"><h1 class="ink"', "data-uri"),
        ('<h1 class="ink"', '<img src="https://x.example/y.png" alt="x"><h1 class="ink"', "picture"),
        ('<h1 class="ink"', '<img src="cid:logo"><h1 class="ink"', "alt"),
        ("color:#5b626c", "color:#9aa1ab", "contrast"),
        (".ink { color: #eef0f2 !important; }", ".ink { color: #444444 !important; }", "contrast"),
        ("prefers-color-scheme: dark", "prefers-color-scheme: sepia", "dark-mode"),
        ("</h1>", "</h1><p>Ultima atenționare</p>", "plain-text"),
        ("</h1>", "</h1>" + "<br>" * 30_000, "size"),
        ('<h1 class="ink"', '<div style="display:flex"></div><h1 class="ink"', "clients"),
    ],
)
def test_a_defect_of_a_mail_is_found(mail: Rendered, old: str, new: str, rule: str) -> None:
    assert lint_mail(mail, BRAND) == []
    assert old in mail.html
    found = lint_mail(replace(mail, html=mail.html.replace(old, new)), BRAND)
    assert {finding.rule for finding in found} >= {rule}


def test_a_contrast_is_said_with_its_text_and_its_mode(mail: Rendered) -> None:
    dark = mail.html.replace(".dim { color: #a9b0b9", ".dim { color: #50555c")
    found = lint_mail(replace(mail, html=dark), BRAND)
    assert {finding.where for finding in found} == {"dark"}
    assert '"De achitat" in #50555c on #2a2e33' in found[0].text


@pytest.mark.parametrize("colour", ["#ffcc33", "#0b6b4f", "#ff0000", "#777777", "#00ffff", "#6e6e6e"])
def test_any_colour_of_a_tenant_carries_a_readable_button(colour: str) -> None:
    document = read_document(SAMPLE.read_bytes())
    assert lint("new_invoice", "ro", document, Brand(company="Acme", colour=colour), TODAY) == []


def test_what_a_tenant_says_is_looked_at_in_the_mail() -> None:
    values = json.loads(SAMPLE.read_text()) | {"language": "en"}
    text = "{{ number }}, {{ customer }}, {{ balance }}{% if due_date %}, {{ due_date }}{% endif %}."
    said = {code: {"text": text} for code in LANGUAGES}
    assert lint("new_invoice", "ru", read_document(json.dumps(values).encode()), BRAND, TODAY, said) == []


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
