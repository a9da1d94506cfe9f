"""Why nothing was sent, in the reader's language: every reason of the door is recognised, others stay as they are."""

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.outbound import composition, queue
from gateway.outbound.triggers import Choice, Facts, decide
from gateway.settings import queue_acts
from gateway.web.translation import translation
from gateway.web.whys import HOLDS, STATUSES, WHYS, say_why

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


def whys() -> set[str]:
    """What the triggers say when they send nothing."""
    found = {decide("invoice.voided", None, Facts(), NOW, "UTC").why}
    for event in ("invoice.issued", "invoice.past_due"):
        for enabled, automatic in ((False, True), (True, False), (True, True)):
            for facts in (Facts("paid"), Facts("bad_debt"), Facts("open", "", True)):
                found.add(decide(event, Choice(enabled, True, automatic), facts, NOW, "UTC").why)
    return found - {""}


@pytest.mark.parametrize("language", ["ro", "ru"])
def test_every_reason_of_the_triggers_is_said_in_the_readers_language(language: str) -> None:
    gettext = translation(language).gettext
    assert len(whys()) >= 7
    for why in whys():
        assert say_why(why, gettext) != why, why


def test_facts_and_states_are_filled_in() -> None:
    gettext = translation("ro").gettext
    assert say_why("the document is bad_debt", gettext) == "starea documentului este „creanță neîncasabilă”"
    assert "invoice.issued" in say_why("the trigger invoice.issued is off for this tenant", gettext)
    assert {"paid", "voided", "bad debt"} <= set(STATUSES) and len(WHYS) > 15


def holds() -> set[str]:
    """What our code writes into a delivery that it holds, with facts filled in."""
    found = {queue_acts.WHY}
    for module in (queue, composition):
        calls = [n for n in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))) if isinstance(n, ast.Call)]
        last = [n.args[-1] for n in calls if isinstance(n.func, ast.Name) and n.func.id in ("hold", "_park")]
        for said in last:
            if isinstance(said, ast.JoinedStr):
                found.add("".join(str(one.value) if isinstance(one, ast.Constant) else "3" for one in said.values))
    return found


@pytest.mark.parametrize("language", ["ro", "ru"])
def test_every_reason_for_a_hold_is_said_in_the_readers_language(language: str) -> None:
    gettext = translation(language).gettext
    assert len(holds()) == len(HOLDS)
    for why in holds():
        assert say_why(why, gettext) != why, why


def test_the_refusal_within_a_hold_is_said_too() -> None:
    why = "it could not be rendered: the tenant's settings are being changed; try again in a moment"
    assert say_why(why, translation("ro").gettext).startswith("nu a putut fi alcătuit: setările")


def test_other_words_stay_as_they_are() -> None:
    for why in ("550 5.1.1 no such user", "", "100% %(why)s"):
        assert say_why(why, translation("ru").gettext) == why
