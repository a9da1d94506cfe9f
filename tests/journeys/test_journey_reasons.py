"""`delivery.reasons`: a file that is missing or broken is said clearly, at the start and when it changes."""

import asyncio
import os
from pathlib import Path

import pytest
from journeys.house import Place, open_journey
from structlog.testing import capture_logs

from gateway.config import ConfigError
from gateway.mail.reasons import ask_first, reason_of
from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound import advice_file

RULE = """[[rule]]
name = "ours"
reason = "greylisted"
text = "come tomorrow"
example = "450 come tomorrow"
"""
WORDS = DeliveryStatus(Action.DELAYED, "", 450, "come tomorrow")


async def start(place: Place, path: str) -> str:
    with pytest.raises(ConfigError) as refused:
        async with open_journey(place, delivery={"reasons": path}):
            pass
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file or directory"),
        ("[[rule]\n", "(at line 1"),
        ('[[rule]]\nname = "mine"\nreason = "grumpy"\n', "rule 'mine': 'grumpy' is not known"),
        ('[[rule]]\nname = "mine"\nreason = "expired"\ntext = "("\n', "rule 'mine': missing )"),
        ("\udcff", "utf-8"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start_and_names_file_key_and_fault(
    place: Place, tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "reasons.toml"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    words = asyncio.run(start(place, str(path)))
    assert words.startswith(f"delivery.reasons: {path} cannot be used: ")
    assert said in words
    assert "mend the file" in words


def change(path: Path, text: str, at: int) -> None:
    path.write_text(text, "utf-8")
    os.utime(path, (at, at))


def test_a_change_that_cannot_be_used_leaves_the_old_rules_and_is_logged_once(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice_file, "LOOK_SECONDS", 0.0)  # else every five seconds
    path = tmp_path / "reasons.toml"

    def logged() -> list[tuple[str, str, str]]:
        with capture_logs() as lines:
            assert {reason_of(WORDS) for _ in range(3)} == {"greylisted"}
        return [(line["event"], line["setting"], line.get("error", "")) for line in lines]

    async def run() -> None:
        change(path, RULE, 1_000)
        async with open_journey(place, delivery={"reasons": str(path)}):
            assert logged() == []
            change(path, RULE + "[[rule]\n", 2_000)
            [(event, setting, error)] = logged()
            assert (event, setting) == ("rules.unusable", "delivery.reasons") and "line 6" in error
            path.unlink()
            [(event, _, error)] = logged()
            assert event == "rules.unusable" and "No such file" in error
            change(path, RULE.replace("greylisted", "expired"), 3_000)
            with capture_logs() as lines:
                assert reason_of(WORDS) == "expired"
            assert [(line["event"], line["rules"]) for line in lines] == [("rules.read", 1)]

    try:
        asyncio.run(run())
    finally:
        ask_first(None)
