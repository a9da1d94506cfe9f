"""What clerks do, typed by an admin: threads, notes, promises, answers, canned ones, and addresses that failed."""

import csv
import io
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from journeys.inbox_seed import House, seed
from journeys.shell import Shell

from gateway.store.database import Database

SOON = datetime.now(UTC).date() + timedelta(days=60)
BAD, GOOD = "contabil@vechi.example", "contabil@nou.example"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, House]:
    """An installation with the seeded inbox, which every test copies."""
    made = Shell(tmp_path_factory.mktemp("inbox"))
    made("init", "--domain", "gateway.test")
    with closing(Database(f"sqlite:///{made.data / 'gateway.db'}")) as database:
        house = database.write_now(seed)
    return made.folder, house


@pytest.fixture
def house(installation: tuple[Path, House]) -> House:
    return installation[1]


@pytest.fixture
def shell(tmp_path: Path, installation: tuple[Path, House]) -> Iterator[Shell]:
    made = Shell(tmp_path / "here")
    shutil.copytree(installation[0], made.folder)
    yield made


def listed(shell: Shell, view: str) -> dict[str, Any]:
    """The threads of a view, by id."""
    lines = shell("inbox", "list", "-t", "alfa", "--view", view, "--json").json["lines"]
    return {line["thread"]["id"]: line["thread"] for line in lines}


def test_threads_are_closed_reopened_and_put_off(shell: Shell, house: House) -> None:
    paid, late = house.threads["paid"], house.threads["late"]
    assert shell("inbox", "close", "-t", "alfa", paid, late, "--json").json["changed"] == [paid, late]
    assert shell("inbox", "close", "-t", "alfa", paid).out == f"{paid} is so already\n"
    assert {paid, late} <= set(listed(shell, "closed"))
    assert shell("inbox", "reopen", "-t", "alfa", paid.upper()).out == f"changed {paid}\n"
    assert paid in listed(shell, "todo") and late not in listed(shell, "todo")
    shell("inbox", "wait", "-t", "alfa", paid)
    assert paid in listed(shell, "waiting")
    shell("inbox", "snooze", "-t", "alfa", paid, "--until", f"{SOON}T09:00")
    until = datetime.fromisoformat(listed(shell, "snoozed")[paid]["snoozed_until"])
    assert until.astimezone(ZoneInfo("Europe/Chisinau")).isoformat()[:16] == f"{SOON}T09:00"
    assert "write 2026-12-01T09:00" in shell("inbox", "snooze", "-t", "alfa", paid, "--until", "soon", status=2).err
    shell("inbox", "spam", "-t", "alfa", paid)
    assert paid in listed(shell, "spam")


def test_threads_belong_to_somebody_and_carry_tags_and_notes(shell: Shell, house: House) -> None:
    paid = house.threads["paid"]
    shell("inbox", "assign", "-t", "alfa", paid, "--to", "maria@alfa.example")
    shell("inbox", "tag", "-t", "alfa", paid, "--name", "urgent")
    assert shell("inbox", "note", "-t", "alfa", paid, "Ana a sunat").out == f"noted in {paid}\n"
    shown = shell("inbox", "show", "-t", "alfa", paid, "--json").json
    assert shown["thread"]["assignee"] and "urgent" in str(shown["tags"])
    assert "Ana a sunat" in shell("inbox", "show", "-t", "alfa", paid).out
    shell("inbox", "tag", "-t", "alfa", paid, "--name", "urgent", "--remove")
    shell("inbox", "assign", "-t", "alfa", paid)
    shown = shell("inbox", "show", "-t", "alfa", paid, "--json").json
    assert not shown["thread"]["assignee"] and not shown["tags"]
    assert shell("inbox", "assign", "-t", "alfa", paid, "--to", "nobody@alfa.example", status=1).err


def test_a_promise_is_noted_and_forgotten(shell: Shell, house: House) -> None:
    paid = house.threads["paid"]
    assert "name the day with --on" in shell("inbox", "promise", "-t", "alfa", paid, status=2).err
    shell("inbox", "promise", "-t", "alfa", paid, "--on", str(SOON), "--amount", "600.00")
    assert paid in listed(shell, "promised")
    assert shell("inbox", "promise", "-t", "alfa", paid, "--forget").out == "forgotten\n"
    assert shell("inbox", "promise", "-t", "alfa", paid, "--forget").out == "nothing was promised\n"
    assert paid not in listed(shell, "promised")


def test_an_answer_leaves_with_its_file_or_from_a_canned_one(shell: Shell, house: House, tmp_path: Path) -> None:
    paid = house.threads["paid"]
    file = tmp_path / "extras.txt"
    file.write_text("Extras de cont")
    made = shell("inbox", "reply", "-t", "alfa", paid, "--file", str(file), "--json", given="Am primit plata.").json
    shown = shell("trace", made["message"]).out
    assert "Am primit plata." in shell("inbox", "show", "-t", "alfa", paid, "--json").out and "ana@" in shown
    assert paid in listed(shell, "waiting")

    words = "Soldul documentului {number} este {balance}."
    canned = shell("inbox", "canned", "set", "-t", "alfa", "--name", "Sold", words, "--json").json["id"]
    shell("inbox", "canned", "set", "-t", "alfa", "--id", canned, "--name", "Sold", words + " Mulțumim!")
    assert "Mulțumim!" in shell("inbox", "canned", "list", "-t", "alfa").out
    made = shell("inbox", "reply", "-t", "alfa", paid, "--canned", canned, "--then", "closed", "--json").json
    assert "Soldul documentului 2026-0117 este" in shell("inbox", "show", "-t", "alfa", paid, "--json").out
    assert paid in listed(shell, "closed")
    shell("inbox", "canned", "remove", "-t", "alfa", canned)
    assert "there are no canned answers" in shell("inbox", "canned", "list", "-t", "alfa").out


def test_mail_that_came_is_moved(shell: Shell, house: House) -> None:
    answer, late = house.messages["answer"], house.threads["late"]
    assert "no customer that is known" in shell("inbox", "contact", "-t", "alfa", answer, status=1).err
    assert shell("inbox", "move", "-t", "alfa", answer, late).out == f"moved {answer} to {late}\n"
    assert answer in shell("inbox", "show", "-t", "alfa", late, "--json").out
    assert shell("inbox", "move", "-t", "alfa", answer, house.threads["foreign"], status=1).err  # of another tenant
    assert "all mail could be read" in shell("inbox", "replay", "-t", "alfa").out


def test_nothing_of_another_tenant_can_be_touched(shell: Shell, house: House) -> None:
    foreign = house.threads["foreign"]
    for words in (("close", foreign), ("note", foreign, "x"), ("tag", foreign, "--name", "x"), ("show", foreign)):
        assert shell("inbox", words[0], "-t", "alfa", *words[1:], status=1).err
    assert shell("inbox", "show", "-t", "beta", foreign).out


def test_an_address_that_failed_is_listed_and_what_it_missed_is_sent_or_said_why_not(shell: Shell) -> None:
    [line] = [one for one in shell("bounce", "list", "-t", "alfa", "--json").json["lines"] if one["address"] == BAD]
    assert line["reason"] == "mailbox_unknown" and line["missed"]
    assert BAD in shell("bounce", "list", "-t", "alfa").out
    rows = list(csv.DictReader(io.StringIO(shell("bounce", "export", "-t", "alfa").out.lstrip("\ufeff"))))
    assert BAD in {value for row in rows for value in row.values()}
    dry = shell("bounce", "correct", "-t", "alfa", BAD, GOOD, "--dry-run").out
    assert f"{BAD} -> {GOOD}: " in dry and "would be sent" in dry
    made = shell("bounce", "correct", "-t", "alfa", BAD, GOOD, "--json").json
    assert len(made["sent"]) + len(made["left"]) == len(line["missed"]) == 2
    assert all(one["why"] for one in made["left"])


def test_an_address_that_failed_is_put_aside(shell: Shell) -> None:
    assert shell("bounce", "dismiss", "-t", "alfa", BAD).out.startswith(f"{BAD}: put aside in ")
    assert BAD not in shell("bounce", "list", "-t", "alfa").out
