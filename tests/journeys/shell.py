"""The command line in a folder of its own: `Shell` runs each command as a process, and checks what always holds.

Used by the tests of the commands. A status that was not expected fails with what was printed; so does any traceback.
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from journeys.forked import Order, run

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
        with TemporaryFile() as typed, TemporaryFile() as out, TemporaryFile() as err:
            typed.write(given.encode())
            typed.seek(0)
            order = Order(list(args), str(self.folder), self.environment, file_bytes)
            ended = run(order, [typed, out, err], SECONDS)
            done = Result(ended, _text(out), _text(err))
        self.printed += done.out + done.err
        assert done.status == status, f"gateway {' '.join(args)}: {done.status}\n{done.out}{done.err}"
        assert "Traceback" not in done.err, done.err
        return done

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


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode().replace("\r\n", "\n")


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
