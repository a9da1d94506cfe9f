"""The API keeps to its OpenAPI document: schemathesis makes requests of all that it allows, and of what it does not.

No answer may be a fault of ours, of a status, form, media type or header field that the document does not declare for
it; what the document forbids must be refused, without a key too. Bounded by numbers and time, with a fixed seed.
"""

import asyncio
import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from journeys.api_client import Program, make_program
from journeys.house import Place, open_journey
from journeys.test_journey_api import WEB

from gateway.web.api import callers
from gateway.web.api.examples import DOCUMENT_ID, DOCUMENT_TYPE, EXAMPLES, RUN
from gateway.web.login_limits import Limit

SECONDS = 150  # when it has to be done, whatever else the machine does
# Members that say the same by themselves and refuse one another (`document` and `html`, a time that is past) are not
# within what a schema can say: so data that the schema allows may be refused, in words.
EXCLUDED = "positive_data_acceptance"
BOUNDS = """
[[operations]]
include-name = "POST /messages"
phases.coverage.enabled = false # with each member of a document in turn: thousands

[[operations]]
include-name = "POST /messages:preview"
phases.coverage.enabled = false # the same body

[[operations]]
include-name = "PUT /documents/{type}/{document_id}"
phases.coverage.enabled = false
parameters = { type = "invoice" }

[[operations]]
include-path-regex = "^/templates/.*/texts/"
phases.coverage.enabled = false # each is tried with samples in a worker
parameters = { template = "new_invoice" }
"""
# what is taken from an example, or from the answer before, and must have been done and not only refused
WELL = (
    "PUT /documents/{type}/{document_id}", "POST /messages", "POST /messages:preview", "POST /events", "GET /events",
    "GET /documents/{type}/{document_id}:pdf", "PUT /suppressions/{address}", "GET /threads", "GET /customers",
    "GET /runs", "GET /runs/{run}", "GET /runs/{run}/recipients",
)  # fmt: skip


def explore(folder: Path, port: int, key: str, phases: str, examples: int) -> str:
    """Run schemathesis as a program of its own; what it said when it found something, "" else."""
    (folder / "schemathesis.toml").write_text(BOUNDS)
    options = {
        "--phases": phases, "--max-examples": str(examples), "--seed": "1", "--exclude-checks": EXCLUDED,
        "--header": f"Authorization: Bearer {key}", "--request-timeout": "20",
        "--report": "ndjson", "--report-ndjson-path": "report.ndjson", "--warnings": "off",
    }  # fmt: skip
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/v1/openapi.json"]
    command += ["--no-color", "--continue-on-failure", *(part for pair in options.items() for part in pair)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS + 60, check=False)
    return f"{done.stdout}\n{done.stderr}" if done.returncode else ""


def answered(folder: Path) -> dict[str, set[int]]:
    """operation -> the codes that it was seen to answer, the fuzzed and the linked ones alike."""
    found: dict[str, set[int]] = {}
    for line in (folder / "report.ndjson").read_text("utf-8").splitlines():
        scenario = json.loads(line).get("ScenarioFinished")
        recorder = scenario["recorder"] if scenario else {}
        for number, one in recorder.get("interactions", {}).items():
            case: Any = recorder["cases"][number]["value"]
            name = f"{case['method']} {case['path']}"
            if one.get("response"):
                found.setdefault(name, set()).add(one["response"]["status_code"])
    return found


async def prepare(ask: Program) -> None:
    """Something of each kind, so that lists and links lead somewhere."""
    document = await ask("PUT", f"/v1/documents/{DOCUMENT_TYPE}/{DOCUMENT_ID}", EXAMPLES["Document"])
    assert document.code == 200, document.data
    sent = await ask("POST", "/v1/messages", {"document": f"{DOCUMENT_TYPE}/{DOCUMENT_ID}", "run": RUN})
    assert sent.code == 202, sent.data
    assert (await ask("PUT", "/v1/suppressions/gone@client.test", EXAMPLES["AskedSuppression"])).code == 200


@pytest.mark.timeout(SECONDS + 120)
def test_every_answer_is_one_that_the_document_declares(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # requests without a key are many here, from one address; what becomes of guesses has a test of its own
    monkeypatch.setattr(callers, "_WRONG_KEYS", (Limit(10**6, timedelta(minutes=1)),))
    first = not place.database  # the rules are the same on both: the second is asked less

    async def run() -> str:
        async with open_journey(place, web=WEB | {"api_requests": 10**6}) as journey:
            ask = await make_program(journey)
            await prepare(ask)
            phases, examples = ("examples,coverage,fuzzing,stateful", 4) if first else ("examples,fuzzing", 2)
            return await asyncio.to_thread(explore, tmp_path, journey.house.ports.web, ask.key, phases, examples)

    assert not (told := asyncio.run(run())), re.sub(r"\n\n+", "\n", told)
    codes = answered(tmp_path)
    assert not {name: found for name, found in codes.items() if any(code >= 500 for code in found)}
    unseen = [name for name in WELL if not any(code < 300 for code in codes.get(name, ()))]
    assert not unseen, f"none of these was ever answered well: {unseen}"
