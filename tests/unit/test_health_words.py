"""Every finding of the doctor is said in the reader's language on the operator's page, and in English by the CLI."""

import ast
from pathlib import Path

import pytest

from gateway.serve import health, reporting
from gateway.serve.health import Finding
from gateway.web.pages import environment
from gateway.web.translation import Reader, translation, zone

COMMANDS = ("gateway ", "chmod ")  # what is typed is the same in every language


def texts() -> set[str]:
    """What the files say in sentences, but for what they say to whoever reads the source."""
    found = set()
    for module in (health, reporting):
        tree = ast.parse(Path(module.__file__).read_text("utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        found |= {
            node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip(", ")
            and id(node) not in docs | parts
        }  # fmt: skip
    return {text for text in found if not text.startswith(COMMANDS)}


@pytest.mark.parametrize("language", ["ro", "ru"])
def test_every_text_of_a_finding_is_translated(language: str) -> None:
    assert len(texts()) > 40
    assert texts() <= translation(language).sentences.keys()


def test_a_finding_is_said_with_its_facts() -> None:
    made = Finding("queue of %(tenant)s", "warning", "%(many)s held: %(why)s", "gateway queue list -t %(tenant)s",
                   {"tenant": "acme", "many": 12345, "why": "held by an admin"})  # fmt: skip
    english = made.in_english()
    assert (english.what, english.words) == ("queue of acme", "12345 held: held by an admin")
    assert english.todo == "gateway queue list -t acme"
    found = environment("ro").filters["found"]
    assert found(made.words, made.facts, Reader("ro", zone("UTC"))) == (
        "12.345 în așteptarea unei persoane: oprit de un administrator"
    )


def test_what_an_older_process_told_stands_as_it_told_it() -> None:
    assert environment("ru").filters["found"]("90% full", None, Reader("ru", zone("UTC"))) == "90% full"
