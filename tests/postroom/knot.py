"""A real Knot, the authoritative DNS server: the zones of a test, signed by it with DNSSEC.

Started by `start_dns` (postroom.unbound), which puts a validating resolver before it. Runs unprivileged on one port of
127.0.0.1 by UDP and TCP; keys and signatures are made when it starts.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from postroom.ports import LOOPBACK, free_port
from postroom.programs import require
from postroom.server import Room, Server, call, open_room, run

_HEAD = "$ORIGIN {zone}.\n$TTL 60\n@ SOA ns host 1 3600 900 604800 5\n@ NS ns\nns A 127.0.0.1\n"


@dataclass(frozen=True)
class Knot:
    """A running Knot on 127.0.0.1:`port`."""

    server: Server
    room: Room
    port: int

    def anchor(self, zone: str) -> str:
        """The zone's DNSKEY record, for who shall trust it."""
        found = call(
            [require("kdig"), f"@{LOOPBACK}", "-p", str(self.port), "+noall", "+answer", "DNSKEY", zone], self.room
        )
        keys = re.findall(r"^\S+\s+\d+\s+IN\s+DNSKEY\s.*$", found, re.M)
        assert keys, found
        return "\n".join(keys)


@contextlib.contextmanager
def start_knot(zones: Mapping[str, str], unsigned: frozenset[str]) -> Iterator[Knot]:
    """Run Knot with these zones: name -> records, to which SOA and NS are added. Those in `unsigned` are not signed."""
    program = require("knotd")
    with open_room("knot", "knot", "nobody") as room:
        port = free_port()
        room.folder("db")
        room.folder("run")
        for zone, records in zones.items():
            room.write(f"{zone}.zone", _HEAD.format(zone=zone) + records + "\n")
        signed = "".join(
            f"  - domain: {zone}\n    dnssec-signing: {'off' if zone in unsigned else 'on'}\n" for zone in zones
        )
        config = room.write("knot.conf", f"""
server:
    rundir: {room.path}/run
    pidfile: {room.path}/run/knot.pid
    listen: {LOOPBACK}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stdout
    any: info
database:
    storage: {room.path}/db
policy:
  - id: ours
    algorithm: ecdsap256sha256
    single-type-signing: on
template:
  - id: default
    storage: {room.path}
    file: "%s.zone"
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
    dnssec-policy: ours
zone:
{signed}""")  # fmt: skip
        with run("knot", [program, "-c", config], room) as server:
            server.wait_port(port)
            yield Knot(server, room, port)
