"""Reports in the shapes of many servers, in many languages, are read as what they mean; none has code of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.mail.classify import Kind
from gateway.mail.dsn import batch
from gateway.mail.received import read_head, read_mail

SHAPES = Path(__file__).parents[1] / "corpus" / "shapes"
EXPECTED: dict[str, Any] = json.loads((SHAPES / "expected.json").read_text("utf-8"))
ORIGINAL_ID = "01HQ7inv@return.pilda.example"


def load(name: str) -> bytes:
    return (SHAPES / f"{name}.eml").read_bytes()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_shape_names_its_recipients_with_their_own_codes(name: str) -> None:
    expected = EXPECTED[name]
    mail = read_head(load(name))
    assert mail.kind == Kind(expected["kind"]), mail.why
    assert mail.report is not None
    found = {one.address.lower(): one for one in mail.report.recipients}
    told = {one["address"].lower(): one for one in batch.describe(mail)["recipients"]}
    named = {one.final.lower() or address: one for address, one in found.items()}
    assert set(named) == {one["address"] for one in expected["recipients"]}
    for wanted in expected["recipients"]:
        status = named[wanted["address"]].status
        assert wanted["status"] in (None, status.status)
        assert status.code == wanted["code"]
        assert wanted["permanent"] in (None, told[wanted["address"]]["permanent"])
    if expected["message_id"]:
        assert mail.report.original.message_id == ORIGINAL_ID


@pytest.mark.parametrize("line_end", [b"\n", b"\r"])
def test_the_shape_of_line_ends_changes_nothing(line_end: bytes) -> None:
    for name in EXPECTED:
        raw = load(name)
        assert batch.describe(read_mail(raw.replace(b"\r\n", line_end))) == batch.describe(read_mail(raw)), name


def test_every_reason_that_a_shape_gives_is_of_the_vocabulary_of_the_form() -> None:
    words = {one["reason"] for name in EXPECTED for one in batch.describe(read_head(load(name)))["recipients"]}
    assert None not in words
    assert {"userunknown", "mailboxfull", "hostunknown", "spamdetected"} <= words
