"""Every sentence of the pages exists in Romanian and Russian, with the same facts in it; no reason is without words."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_file

from gateway.inbox import views
from gateway.inbox.listing import VIEWS
from gateway.mail.reasons import VOCABULARY
from gateway.web import words
from gateway.web.translation import translation

ROOT = Path(__file__).resolve().parents[2] / "gateway"
SOURCES = [
    *sorted((ROOT / "templates/inbox").rglob("*.html")),
    *(ROOT / "web").rglob("*.py"),
    *(ROOT / "inbox").rglob("*.py"),
    ROOT / "serve/health.py",
    ROOT / "serve/reporting.py",
]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "msgid": None, "say": None, "WrongQuery": (1,)}
FACT = re.compile(r"%\(\w+\)s")


def sentences() -> set[str | tuple[str, ...]]:
    found: set[str | tuple[str, ...]] = set()
    for path in SOURCES:
        method = "jinja2.ext.babel_extract" if path.suffix == ".html" else "python"
        options = {"silent": "false"} if path.suffix == ".html" else {}
        found |= {message for _, message, _, _ in extract_from_file(method, path, keywords=KEYWORDS, options=options)}
    return found


@pytest.mark.parametrize("language", ["ro", "ru"])
def test_every_sentence_is_translated_and_none_is_left_over(language: str) -> None:
    wanted = {text if isinstance(text, str) else text[0] for text in sentences()}
    assert len(wanted) > 150
    assert set(translation(language).sentences) == wanted


@pytest.mark.parametrize("language", ["ro", "ru"])
def test_a_translation_has_the_facts_of_its_sentence(language: str) -> None:
    for text, said in translation(language).sentences.items():
        for form in (said,) if isinstance(said, str) else said:
            assert sorted(FACT.findall(form)) == sorted(FACT.findall(text)), text
            assert "%" not in FACT.sub("", form), text


@pytest.mark.parametrize(
    ("language", "number", "said"),
    [
        ("ro", 1, "1 destinatar"), ("ro", 2, "2 destinatari"), ("ro", 20, "20 de destinatari"),
        ("ru", 1, "1 получатель"), ("ru", 3, "3 получателя"), ("ru", 11, "11 получателей"), ("ru", 21, "21 получатель"),
        ("en", 1, "1 recipient"), ("en", 2, "2 recipients"),
    ],
)  # fmt: skip
def test_numbers_take_the_plural_of_the_language(language: str, number: int, said: str) -> None:
    form = translation(language).ngettext("%(num)s recipient", "%(num)s recipients", number)
    assert form % {"num": number} == said


def test_romanian_is_written_with_comma_below() -> None:
    assert not set("şţŞŢ") & set("".join(map(str, translation("ro").sentences.values())))


def test_every_reason_of_the_vocabulary_has_its_chip_sentence_and_advice() -> None:
    assert set(words.REASONS) == set(VOCABULARY)
    assert set(VOCABULARY) <= set(words.CHIPS)


def test_every_progress_and_view_has_its_words() -> None:
    progress = {value for name, value in vars(views).items() if name.isupper() and isinstance(value, str)}
    assert set(words.PROGRESS) == progress
    assert set(words.VIEWS) == set(words.EMPTY) == set(VIEWS)


def test_no_progress_but_a_success_report_is_called_delivered() -> None:
    for language in ("ro", "ru", "en"):
        said = translation(language).gettext
        accepted = said(words.PROGRESS[views.ACCEPTED]) + said(words.STATES["relayed"])
        assert not re.search("livrat|доставл|deliver", accepted, re.I), language
