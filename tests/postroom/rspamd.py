"""A real rspamd, the judge that many receivers have: SPF, DKIM and DMARC of one mail, by a DNS of the test's own.

Started by the fixture `start_rspamd`; it asks the resolver that `start_dns` made. Mail is shown to it with the address
and the EHLO name of whoever brought it, which it could not know on loopback. It runs unprivileged.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postroom.ports import LOOPBACK, free_port
from postroom.programs import require
from postroom.server import Room, Server, call, open_room, run

_ABOUT = ("R_SPF", "R_DKIM", "DMARC")
_PLUGINS = Path("/usr/share/rspamd/plugins")


@dataclass(frozen=True)
class Rspamd:
    """A running rspamd on 127.0.0.1:`port`."""

    server: Server
    room: Room
    port: int
    client: Path

    def judge(self, raw: bytes, *, address: str, helo: str, return_path: str, recipient: str) -> dict[str, list[str]]:
        """What it finds about the sender of a mail that came so: symbol -> what it says to it."""
        mail = self.room.path / "mail.eml"
        mail.write_bytes(raw)
        self.room.own(mail)
        session = ["--ip", address, "--helo", helo, "--from", return_path, "--rcpt", recipient]
        answer = call([self.client, "-j", "-h", f"{LOOPBACK}:{self.port}", *session, mail], self.room)
        symbols = json.loads(answer)["symbols"]
        return {name: found.get("options", []) for name, found in symbols.items() if name.startswith(_ABOUT)}


@contextlib.contextmanager
def start_rspamd(resolver: str) -> Iterator[Rspamd]:
    """Run an rspamd that asks this resolver (host:port), and knows `test` as the only public suffix."""
    program, client = require("rspamd"), require("rspamc")
    with open_room("rspamd", "nobody") as room:
        port = free_port()
        room.write("tld.dat", "test\n")  # the list that comes with it takes long to compile
        host, _, dns_port = resolver.rpartition(":")
        config = room.write("rspamd.conf", f"""
options {{ tempdir = "{room.path}"; pidfile = "{room.path}/rspamd.pid"; filters = "dkim";
  url_tld = "{room.path}/tld.dat"; local_addrs = "192.0.2.0/24";
  dns {{ nameserver = ["{host}:{dns_port}:1"]; timeout = 2s; }} }}
logging {{ type = "console"; level = "info"; }}
modules {{ path = "{_PLUGINS}/spf.lua"; path = "{_PLUGINS}/dmarc.lua"; }}
lua = "{_PLUGINS.parent}/rules/rspamd.lua";
dkim {{ }}
spf {{ }}
dmarc {{ }}
worker {{ type = "normal"; bind_socket = "{LOOPBACK}:{port}"; count = 1; }}
""")  # fmt: skip
        with run("rspamd", [program, "-f", "-i", "-c", config], room) as server:
            server.wait_port(port)
            yield Rspamd(server, room, port, client)
