"""The command line in a folder of its own: `Shell` runs the real `cli.py` as a process, and checks what always holds.

Used by the tests of the commands. A status that was not expected fails with what was printed; so does any traceback.
"""

import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 100  # for one command, on a busy machine
ID = r"[0-9a-z]{20}"


@dataclass(frozen=True)
class Result:
    """What one command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


@dataclass
class Shell:
    """A folder in which commands are typed. `printed` is all that they said."""

    folder: Path
    printed: str = ""
    secrets: list[str] = field(default_factory=list)

    def __call__(self, *args: str, status: int = 0, given: str = "", file_bytes: int = 2**40) -> Result:
        """Run `gateway args...`; its status must be as said, and no traceback may ever show.

        `file_bytes` is how large a file may become: a disk that is full.
        """
        done = subprocess.run(
            [sys.executable, ROOT / "cli.py", *args],
            cwd=self.folder,
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=self.environment,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes)),
        )
        self.printed += done.stdout + done.stderr
        assert done.returncode == status, f"gateway {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands: ours, without what would point them elsewhere."""
        return {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")} | {"COLUMNS": "200"}

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    def set(self, **changes: str) -> None:
        """Write keys of the configuration; `receiver__port` is the key `port` of [receiver]."""
        path = self.folder / "gateway.toml"
        text = path.read_text("utf-8")
        for name, value in changes.items():
            section, _, key = name.rpartition("__")
            head, heading, tail = text.partition(f"[{section}]\n") if section else ("", "", text)
            tail, count = re.subn(rf"^(?:# )?{key} = .*$", f"{key} = {value}", tail, count=1, flags=re.M)
            assert count, name
            text = head + heading + tail
        path.write_text(text, "utf-8")


def mail(recipient: str, **fields: str) -> str:
    """A composed mail as a file has it, with the system's line ends."""
    head = {"From": "facturare@acme.example", "To": recipient, "Subject": "Factura", **fields}
    return "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in head.items()) + "\nBună ziua\n"


def send(shell: Shell, recipient: str, tenant: str = "", **fields: str) -> str:
    """Send a composed mail; its message id."""
    named = ("--tenant", tenant) if tenant else ()
    made = shell("send", *named, "--json", "-", given=mail(recipient, **fields)).json
    assert re.fullmatch(ID, made[0]["message"])
    return str(made[0]["message"])
