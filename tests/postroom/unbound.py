"""A real Unbound, the validating resolver, before a Knot: what `delivery.resolver` points at on a careful machine.

Started by the fixture `start_dns`. It trusts each signed zone by the zone's own key, as if the root led there; a zone
that is named bogus by a key that is not its own, so that every answer from it is SERVFAIL.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from postroom.knot import Knot, start_knot
from postroom.ports import LOOPBACK, free_port, wait_until
from postroom.programs import require
from postroom.server import Room, Server, call, open_room, run


@dataclass(frozen=True)
class Dns:
    """Knot and Unbound. `resolver` is what the configuration wants: 127.0.0.1:port."""

    knot: Knot
    server: Server
    room: Room
    port: int

    @property
    def resolver(self) -> str:
        """The value of `delivery.resolver`."""
        return f"{LOOPBACK}:{self.port}"


@contextlib.contextmanager
def start_dns(
    zones: Mapping[str, str], *, unsigned: tuple[str, ...] = (), bogus: tuple[str, ...] = ()
) -> Iterator[Dns]:
    """Serve zones (name -> records in the form of a zone file) through a validating resolver."""
    program = require("unbound")
    with start_knot(zones, frozenset(unsigned)) as knot, open_room("unbound", "unbound", "nobody") as room:
        port = free_port()
        secure = [zone for zone in zones if zone not in unsigned and zone not in bogus]
        anchors = "\n".join(knot.anchor(zone) for zone in secure)
        wrong = "\n".join(f'    trust-anchor: "{zone}. DS 1 13 2 {"00" * 32}"' for zone in bogus)
        insecure = "\n".join(f'    domain-insecure: "{zone}."' for zone in unsigned)
        stubs = "".join(f'stub-zone:\n    name: "{zone}."\n    stub-addr: {LOOPBACK}@{knot.port}\n' for zone in zones)
        config = room.write("unbound.conf", f"""
server:
    interface: {LOOPBACK}
    port: {port}
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{room.path}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    verbosity: 1
    do-not-query-localhost: no
    trust-anchor-file: "{room.write("anchors", anchors)}"
{wrong}
{insecure}
    local-zone: "test." nodefault
    module-config: "validator iterator"
    num-threads: 1
remote-control:
    control-enable: no
{stubs}""")  # fmt: skip
        with run("unbound", [program, "-d", "-c", config], room) as server:
            ask = [require("kdig"), f"@{LOOPBACK}", "-p", str(port), "+short", "SOA", next(iter(zones))]
            wait_until(lambda: bool(_try(ask, room)), 20, "Unbound does not answer", server.alive)
            yield Dns(knot, server, room, port)


def _try(ask: list[object], room: Room) -> str:
    with contextlib.suppress(RuntimeError):
        return call([*map(str, ask)], room)
    return ""
