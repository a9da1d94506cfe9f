"""The mail's HTML is what its MJML compiles to, and the compiler refuses what it would spoil in silence."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts/mjml.py"))
compile_mail = SCRIPT["compile_mail"]
SOURCE = (ROOT / "gateway/templates/email/mail.mjml").read_text("utf-8")
HTML = (ROOT / "gateway/templates/email/mail.html").read_text("utf-8")


def test_the_committed_html_is_what_the_source_compiles_to() -> None:
    assert compile_mail(SOURCE) == HTML, "run make mail"


def test_every_tag_of_the_source_stands_in_the_html() -> None:
    tags = SCRIPT["TAG"].findall(SOURCE)
    assert len(tags) > 100
    assert [tag for tag in tags if tag not in HTML] == []
    assert "jinja" not in HTML


@pytest.mark.parametrize(
    "wanted",
    [
        '<meta name="color-scheme" content="light dark"',
        "@media (prefers-color-scheme: dark)",
        "[data-ogsc]",
        "<!--[if mso",
        'role="article"',
        "max-width:600px",
        "mso-padding-alt",
        '<th scope="col"',
    ],
)
def test_the_html_has_what_old_and_new_clients_need(wanted: str) -> None:
    assert wanted in HTML


def test_nothing_is_fetched_from_elsewhere() -> None:
    assert "fonts.googleapis" not in HTML and "<link" not in HTML and "@import" not in HTML and "url(" not in HTML


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('border-radius="8px"', 'border-radius="9px"', "times, where once was expected"),
        ('href="{{ link }}"', 'href="{{ link }}" {% if link %}', "mrml lost {% if link %}"),
        ("<mj-button css", "<mj-buton css", "mrml knows no <mj-buton"),
    ],
    ids=["frame", "attribute", "element"],
)
def test_a_source_that_would_be_spoilt_is_refused(old: str, new: str, words: str) -> None:
    assert SOURCE.count(old) == 1
    with pytest.raises(ValueError, match=words):
        compile_mail(SOURCE.replace(old, new))


def test_comments_of_the_source_stay_at_home() -> None:
    html = compile_mail(SOURCE.replace("<mj-preview>", "<!-- a {{ note }} to ourselves --><mj-preview>"))
    assert html == HTML


def test_a_tag_that_mrml_drops_is_named() -> None:
    dropped = SOURCE.replace("<mj-body ", '<mj-body title="{{ t.nothing }}" ')
    with pytest.raises(ValueError, match=r"mrml lost \{\{ t.nothing \}\}"):
        compile_mail(dropped)
