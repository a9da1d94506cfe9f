"""Scores the parser of reports on a corpus with its own harness, and flufl.bounce beside it when it is installed.

    python bench/bounces.py [--corpus FOLDER] [--track main|text|newlines|all] [--by source|stratum]

The corpus is looked for in AR_SHARED, else in ../shared beside the checkout. `--batch` and `--flufl` are what the
harness starts: they read paths on standard input and write a JSON line for each. Speed is measured apart, without
start-up.
"""

import argparse
import email
import email.policy
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from gateway.mail.dsn import batch  # noqa: E402
from gateway.mail.received import read_head  # noqa: E402

CORPUS = Path(os.environ.get("AR_SHARED") or ROOT.parent / "shared") / "corpus" / "bounces"


def run_flufl() -> None:
    """flufl.bounce behind the same protocol: it finds addresses, passing and permanent, and nothing else."""
    from flufl.bounce import all_failures  # a peer, installed for the comparison only

    for line in sys.stdin:
        path = line.rstrip("\n")
        passing, permanent = all_failures(
            email.message_from_bytes(Path(path).read_bytes(), policy=email.policy.compat32)
        )
        found = [(one, True) for one in permanent] + [(one, False) for one in passing - permanent]
        recipients = [
            {"address": one.decode("utf-8", "replace"), "permanent": hard, "kind": "bounce" if hard else "delay"}
            for one, hard in found
        ]
        kind = "bounce" if permanent else "delay" if passing else "normal"
        print(json.dumps({"path": path, "kind": kind, "recipients": recipients}), flush=True)


def measure_speed(corpus: Path) -> float:
    """Reports a second on one core, the best of five rounds, parsing and description without reading files."""
    labels = [json.loads(line) for line in (corpus / "labels.jsonl").read_text().splitlines()]
    raws = [(corpus / label["path"]).read_bytes() for label in labels if label["kind"] != "normal"]
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for raw in raws:
            batch.describe(read_head(raw))
        best = min(best, time.process_time() - started)
    return len(raws) / best


def main() -> int:
    """Run the harness for each parser at hand; exit 2 when the corpus is absent."""
    parser = argparse.ArgumentParser(description="score the parser of delivery reports")
    parser.add_argument("--batch", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--flufl", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--track", default="main")
    parser.add_argument("--by", default="")
    chosen = parser.parse_args()
    if chosen.batch:
        batch.run(sys.stdin, sys.stdout)
        return 0
    if chosen.flufl:
        run_flufl()
        return 0
    if not (chosen.corpus / "run.py").exists():
        print("no corpus of bounces: set AR_SHARED", file=sys.stderr)
        return 2
    peers = ["batch"] + (
        ["flufl"] if importlib.util.find_spec("flufl") and importlib.util.find_spec("flufl.bounce") else []
    )
    for peer in peers:
        with tempfile.TemporaryDirectory() as folder:
            command = f"{sys.executable} {Path(__file__).resolve()} --{peer}"
            name = "gateway" if peer == "batch" else "flufl.bounce"
            arguments = [
                "--name",
                name,
                "--cmd",
                command,
                "--corpus",
                str(chosen.corpus),
                "--track",
                chosen.track,
                "--save",
                folder,
            ]
            subprocess.run([sys.executable, str(chosen.corpus / "run.py"), *arguments, "--by", chosen.by], check=True)
    print(f"== gateway, parsing alone: {measure_speed(chosen.corpus):.0f} reports a second and core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
