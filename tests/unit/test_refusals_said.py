"""Every refusal that a page can show is said in the reader's language: the rooms' source is read for what they refuse.

A refusal that is new in one of these places fails here until `web.refusals` knows its sentence; so does a sentence that
nothing says any more.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.inbox.search_grammar import WrongQuery
from gateway.mail.reply import Refused
from gateway.web.refusals import REFUSALS, pattern_of, say_refusal
from gateway.web.translation import translation

GATEWAY = Path(__file__).resolve().parents[2] / "gateway"
# what pages call: whole rooms, and the files of other rooms whose refusals they show
PLACES = (
    *sorted(path for room in ("inbox", "settings", "web") for path in (GATEWAY / room).rglob("*.py")),
    *(GATEWAY / f"store/{name}.py" for name in
      "api_keys assets domains mailbox_account routes saved_searches tags template_settings users webhooks".split()),
    *(GATEWAY / f"outbound/{name}.py" for name in
      "answering message_acts oauth server_account suppression suppression_csv tenant_language tenant_texts".split()),
)  # fmt: skip
ELSEWHERE = "web/api/"  # problem+json is English
NAMES = ("Refused", "_refuse", "_wrong", "refuse")
FACT = "\x00"
# said to programs and the command line alone: a form's choices leave no way to cause them, and what is not there is 404
NO_PAGE_CAUSES = (
    "security is one of", "the language", f"{FACT} is not an option of", "this tenant has no endpoint",
    "there is no message", "there is no template",
)  # fmt: skip
SOMETHING = "the text of the template x (ro)"  # stands for every fact


def written(node: ast.expr) -> str | None:
    """A sentence as its source has it, FACT for what is filled in; None for one that is put together elsewhere."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(one.value if isinstance(one, ast.Constant) else FACT for one in node.values)  # type: ignore[misc]
    if isinstance(node, ast.BinOp):
        left, right = written(node.left), written(node.right)
        return None if left is None or right is None else left + right
    return None


def calls() -> Iterator[tuple[str, str]]:
    """(where, sentence) of what is refused in PLACES, but for 404: pages say "not found" themselves."""
    for path in PLACES:
        name = path.relative_to(GATEWAY).as_posix()
        if name.startswith(ELSEWHERE):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES):
                continue
            given = node.args[2:3] if node.func.id == "Refused" else node.args[:1]
            not_found = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 404
            said = written(given[0]) if given and not not_found else None
            if said is not None and said.strip(FACT + " "):
                yield f"{name}:{node.lineno}", said


def filled(sentence: str) -> str:
    return sentence.replace(FACT, SOMETHING)


def known(sentence: str) -> bool:
    return any(pattern_of(text).match(filled(sentence)) for text in REFUSALS)


def test_every_refusal_of_the_pages_has_its_sentence() -> None:
    found = list(calls())
    assert len(found) > 100
    missing = [f"{where}: {said.replace(FACT, '…')}" for where, said in found
               if not said.startswith(NO_PAGE_CAUSES) and not known(said)]  # fmt: skip
    assert not missing, "\n" + "\n".join(missing)


def test_every_sentence_is_still_said_somewhere() -> None:
    said = set()
    for path in GATEWAY.rglob("*.py"):
        if path.name != "refusals.py":
            nodes = ast.walk(ast.parse(path.read_text("utf-8")))
            said |= {filled(text) for node in nodes if isinstance(node, ast.expr) and (text := written(node))}
    text = "\n".join(said)
    gone = [one for one in REFUSALS if not re.search(pattern_of(one).pattern.removesuffix(r"\Z"), text)]
    assert not gone


def test_a_sentence_within_a_sentence_is_said_too() -> None:
    english = "the subject of the template new_invoice (ro) holds control characters"
    assert say_refusal(english, translation("ro").gettext) == (
        "partea subject a șablonului new_invoice (ro) conține caractere de control"
    )


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (Refused(409, "", "it has left already; write to the customer once more"), "письмо уже ушло"),
        (Refused(501, "", "'x' is no amount; write 1200.50"), "'x' — не сумма"),
        (WrongQuery("a ( is open; close it with )"), "скобка ( открыта"),
        (WrongQuery("%(name)s: knows no %(value)s; there are %(all)s", name="is", value="x", all="a, b"),
         "is: не знает x; есть a, b"),
        (Refused(501, "", "nobody wrote this"), "nobody wrote this"),
    ],
)  # fmt: skip
def test_refusals_are_said_in_russian_with_their_facts(refused: Refused, said: str) -> None:
    assert say_refusal(refused, translation("ru").gettext).startswith(said)
    assert say_refusal(refused, translation("en").gettext) == refused.reply.text
