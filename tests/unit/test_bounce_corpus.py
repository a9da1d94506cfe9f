"""The parser against reports that others collected (not in this repository): goals, mutations and line ends.

The corpus lies where AR_SHARED points, or in ../shared beside the checkout; without it these tests are skipped by name.
"""

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.mail.dsn import batch
from gateway.mail.received import read_mail

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("AR_SHARED") or ROOT.parent / "shared") / "corpus" / "bounces"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (CORPUS / "labels.jsonl").exists(), reason="the corpus of bounces is absent (AR_SHARED)"),
]


@pytest.fixture(scope="module")
def totals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    folder = tmp_path_factory.mktemp("score")
    command = f"{sys.executable} {ROOT / 'bench' / 'bounces.py'} --batch"
    arguments = [
        "--name",
        "ours",
        "--cmd",
        command,
        "--track",
        "main",
        "--save",
        str(folder),
        "--json",
        str(folder / "totals.json"),
    ]
    subprocess.run([sys.executable, str(CORPUS / "run.py"), *arguments], check=True, capture_output=True, timeout=300)
    counted: dict[str, int] = json.loads((folder / "totals.json").read_text())["totals"]["all"]
    return counted


def share(totals: dict[str, int], part: str, whole: str) -> float:
    return 100 * totals[part] / totals[whole]


def test_recipients_are_found(totals: dict[str, int]) -> None:
    hits = 2 * totals["rcpt_tp"]
    assert 100 * hits / (hits + totals["rcpt_fp"] + totals["rcpt_fn"]) >= 99
    assert share(totals, "mail_exact", "mail_n") >= 98.5


def test_kinds_are_told_apart_and_no_ordinary_mail_is_a_bounce(totals: dict[str, int]) -> None:
    assert share(totals, "kind_ok", "kind_n") >= 98
    assert totals.get("fp_bounce", 0) == 0
    assert totals.get("errors", 0) == 0


@pytest.mark.parametrize(
    ("part", "whole", "goal"),
    [
        ("st_ok", "st_n", 96),
        ("cl_ok", "cl_n", 98.4),
        ("pm_ok", "pm_n", 98),
        ("rc_ok", "rc_n", 98.5),
        ("mid_ok", "mid_n", 99),
    ],
)
def test_codes_and_ids_are_those_of_the_mail(totals: dict[str, int], part: str, whole: str, goal: float) -> None:
    assert share(totals, part, whole) >= goal


def mails() -> list[bytes]:
    return [
        (CORPUS / json.loads(line)["path"]).read_bytes() for line in (CORPUS / "labels.jsonl").read_text().splitlines()
    ]


def understood(raw: bytes) -> dict[str, Any]:
    return batch.describe(read_mail(raw))


def test_line_ends_change_nothing() -> None:
    for raw in mails():
        if b"\r" in raw.replace(b"\r\n", b""):
            continue
        plain = raw.replace(b"\r\n", b"\n")
        assert understood(plain) == understood(plain.replace(b"\n", b"\r\n")) == understood(plain.replace(b"\n", b"\r"))


def test_damaged_reports_raise_nothing() -> None:
    rnd = random.Random(3464)
    collected = mails()
    for _ in range(1500):
        raw = rnd.choice(collected)
        for _ in range(rnd.randint(1, 5)):
            at = rnd.randrange(len(raw) + 1)
            put = rnd.choice(
                [b"", b"\r", b"\n\n", b"\x00\xff", b"--", b"=?utf-8?b?", b"@", rnd.choice(collected)[:500]]
            )
            raw = raw[:at] + put + raw[at + rnd.randint(0, 400) :]
        understood(raw)


def test_the_batch_answers_each_path_in_order() -> None:
    paths = [str(CORPUS / json.loads(line)["path"]) for line in (CORPUS / "labels.jsonl").read_text().splitlines()[:50]]
    out = io.StringIO()
    batch.run(paths, out)
    assert [json.loads(line)["path"] for line in out.getvalue().splitlines()] == paths
