"""What a check of a domain's DNS says is said in the reader's language: the source is read for its sentences."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.web.dns_words import DNS_WORDS, say_dns
from gateway.web.refusals import FACT, pattern_of
from gateway.web.translation import translation

OUTBOUND = Path(__file__).resolve().parents[2] / "gateway" / "outbound"
FILES = [OUTBOUND / f"{name}.py" for name in ("domain_check", "dkim_check", "house_check", "findings", "dns_answers")]
CALLS = {"Finding": (3, 4), "unknown": (1,), "wrong": (1, 2), "Answer": ()}
NAMES = ("words", "todo", "why")


def sentences() -> Iterator[tuple[str, str]]:
    """(where, sentence as its source has it, with x for each fact)."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            given: list[ast.expr] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
                given = [node.args[at] for at in CALLS[node.func.id] if at < len(node.args)]
                given += [one.value for one in node.keywords if one.arg in NAMES]
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in NAMES:
                given = [node.value]
            for one in given:
                if isinstance(one, ast.JoinedStr):
                    parts = [str(part.value) if isinstance(part, ast.Constant) else "x" for part in one.values]
                    yield f"{path.name}:{one.lineno}", "".join(parts)
                elif isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value:
                    yield f"{path.name}:{one.lineno}", one.value


def test_every_sentence_of_a_check_is_known() -> None:
    said = list(sentences())
    assert len(said) > 80
    known = [pattern_of(text) for text in DNS_WORDS]
    missing = [f"{where}: {text}" for where, text in said if not any(one.match(text) for one in known)]
    assert not missing, "\n" + "\n".join(missing)


@pytest.mark.parametrize("language", ["ro", "ru"])
def test_every_sentence_has_its_words_with_all_facts(language: str) -> None:
    tell = translation(language).gettext
    for text in DNS_WORDS:
        assert tell(text) != text, text
        facts = {found[1] or found[2] for found in FACT.finditer(text)}
        assert facts == {found[1] or found[2] for found in FACT.finditer(tell(text))}, text


def test_a_sentence_is_said_with_its_facts_and_what_stands_within() -> None:
    tell = translation("ro").gettext
    assert say_dns("acme.md has no SPF record", tell) == "acme.md nu are înregistrare SPF"
    assert say_dns("the DMARC record at _dmarc.acme.md has no p=", tell) == (
        "înregistrarea DMARC de la _dmarc.acme.md nu are p="
    )
    assert say_dns("nobody knows yet: not asked yet (and 3 other names)", tell) == (
        "încă nu se știe: încă nu s-a întrebat (și încă alte nume: 3)"
    )
    assert say_dns("mx.md has no MX record: bounces do not come back", translation("ru").gettext) == (
        "у mx.md нет записи MX: отчёты о недоставке не возвращаются"
    )
    assert say_dns("SERVFAIL of 9.9.9.9", tell) == "SERVFAIL of 9.9.9.9"
    assert say_dns("acme.md has no SPF record", translation("en").gettext) == "acme.md has no SPF record"
