"""A real OpenDKIM, the other judge of our signatures: it verifies, or signs, as a milter or one mail at a time.

Started by the fixture `start_opendkim`. Public keys come from a local file instead of DNS (`TestPublicKeys`), private
ones from the room. It runs unprivileged (root becomes `nobody`). Give `port` to `start_postfix(milters=...)` to have
it at a customer's door, where it adds Authentication-Results.
"""

import contextlib
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from postroom.ports import LOOPBACK, free_port
from postroom.programs import require
from postroom.server import Room, Server, call, open_room, run


@dataclass(frozen=True)
class Verdict:
    """What OpenDKIM says of a mail: each signature's algorithm and result, and all its words."""

    results: tuple[tuple[str, str], ...]
    text: str

    @property
    def passed(self) -> bool:
        """Whether there is a signature and every one holds."""
        return bool(self.results) and all(result == "pass" for _, result in self.results)


@dataclass(frozen=True)
class OpenDkim:
    """A running OpenDKIM: a milter on 127.0.0.1:`port`."""

    server: Server
    room: Room
    port: int
    program: Path

    def verify(self, raw: bytes) -> Verdict:
        """Verify one mail outside the milter, by the keys it was started with."""
        mail = self.room.path / "mail.eml"
        mail.write_bytes(raw)
        self.room.own(mail)
        text = call([self.program, "-x", self.room.path / "opendkim.conf", "-vv", "-t", mail], self.room)
        results = re.findall(r"dkim=(\w+)[^;]*? header\.a=([\w-]+)", text)
        return Verdict(tuple((algorithm, result) for result, algorithm in results), text)


@contextlib.contextmanager
def start_opendkim(
    *, public_keys: Mapping[str, str] | None = None, sign: tuple[str, str, str] | None = None
) -> Iterator[OpenDkim]:
    """Run OpenDKIM.

    `public_keys`: name ("sel._domainkey.tenant.test") -> its TXT record. `sign`: (domain, selector, private key as
    PEM): it signs mail of that domain too, when a client of this machine hands it over; without it, it only verifies.
    """
    program = require("opendkim")
    with open_room("opendkim", "nobody") as room:
        records = room.write("keys", "".join(f"{name} {record}\n" for name, record in (public_keys or {}).items()))
        port = free_port()
        settings = {
            "Socket": f"inet:{port}@{LOOPBACK}",
            "Mode": "sv" if sign else "v",
            "TestPublicKeys": str(records),
            "AlwaysAddARHeader": "yes",
            "AuthservID": "mx.customer.test",
            "Syslog": "no",
            "DNSTimeout": "2",
            "MinimumKeyBits": "1024",
            # The room lies under /tmp, which others may write to.
            "RequireSafeKeys": "no",
            "PidFile": str(room.path / "opendkim.pid"),
        }
        if sign:
            domain, selector, pem = sign
            settings |= {"Domain": domain, "Selector": selector, "Canonicalization": "relaxed/relaxed"}
            settings["KeyFile"] = str(room.write("private.pem", pem, mode=0o600))
        config = room.write("opendkim.conf", "".join(f"{name} {value}\n" for name, value in settings.items()))
        # It holds no state, and takes five seconds to hear SIGTERM.
        with run("opendkim", [program, "-f", "-x", config], room, end=signal.SIGKILL) as server:
            server.wait_port(port)
            yield OpenDkim(server, room, port, program)
