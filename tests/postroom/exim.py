"""A real Exim as a company's mail server with logins, on 127.0.0.1.

Started by the fixture `start_exim`. A user logs in by PLAIN or LOGIN within TLS, and may relay; mail for `routes` goes
to a port of 127.0.0.1, all other is thrown away. Exim's package cannot stand beside Postfix's, so `scripts/setup.sh`
unpacks it into `.servers/`; its user, which it looks for at the start, exists in a mount namespace of its own only.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from postroom.certificate import write_certificate
from postroom.ports import LOOPBACK, free_port
from postroom.programs import require, require_root
from postroom.server import Room, Server, open_room, run

_CONFIG = """\
keep_environment =
exim_path = {program}
spool_directory = {room}/spool
log_file_path = {room}/log/%slog
pid_file_path = {room}/exim.pid
primary_hostname = localhost
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
exim_user = nobody
exim_group = nogroup
never_users =
tls_certificate = {cert}
tls_privatekey = {key}
tls_advertise_hosts = *
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
acl_smtp_mail = on_mail
acl_smtp_rcpt = on_rcpt
host_lookup =
rfc1413_query_timeout = 0s
dns_dnssec_ok = -1
log_selector = +smtp_confirmation +received_sender +received_recipients
begin acl
on_mail:
{on_mail}
  accept
on_rcpt:
  accept authenticated = *
  deny message = relay not permitted
begin routers
to_us:
  driver = manualroute
  domains = {domains}
  route_list = {routes}
  self = send
  transport = smtp_to_us
nowhere:
  driver = accept
  transport = gone
begin transports
smtp_to_us:
  driver = smtp
  port = {receiver}
  hosts_try_auth =
  allow_localhost
gone:
  driver = appendfile
  file = /dev/null
  user = nobody
  group = nogroup
begin retry
* * F,1m,5s
begin authenticators
plain_login:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}{{yes}}{{no}}}}
  server_set_id = $auth2
two_lines:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}{{yes}}{{no}}}}
  server_set_id = $auth1
"""
_STRICT = """\
  deny authenticated = *
       !condition = ${if eq{$sender_address}{$authenticated_id}}
       message = 550 5.7.1 Sender $sender_address is not allowed for $authenticated_id"""


@dataclass(frozen=True)
class Exim:
    """A running Exim. `port` speaks STARTTLS with the certificate `cert`, for localhost."""

    server: Server
    room: Room
    port: int
    cert: Path

    def log(self) -> str:
        """All it has logged so far."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.room.path / "log").glob("*log")))


@contextlib.contextmanager
def start_exim(
    *, user: str, password: str, routes: Mapping[str, int] | None = None, strict: bool = False
) -> Iterator[Exim]:
    """Run an Exim of our own; `strict`: only the user's own address may be the return path."""
    program = require("exim4")
    require_root("exim4")
    with open_room("exim") as room:
        for folder in ("spool", "log"):
            room.folder(folder).chmod(0o777)
        cert, key = write_certificate(room, "smtp.company.test")
        key.chmod(0o644)  # read as nobody
        port = free_port()
        known = dict(routes or {"nothing.test": 9})
        assert len(set(known.values())) == 1, "all routes go to one port"
        text = _CONFIG.format(
            room=room.path, program=program, port=port, cert=cert, key=key, user=user, password=password,
            on_mail=_STRICT if strict else "", domains=" : ".join(known),
            routes=" ; ".join(f"{domain} {LOOPBACK}" for domain in known), receiver=next(iter(known.values())),
        )  # fmt: skip
        config = room.write("exim.conf", text)
        words = _in_a_namespace(room, f"exec {program} -C {config} -bdf -q5s")
        with run("exim", ["unshare", "-m", "sh", "-c", words], room, log=room.path / "log" / "mainlog") as server:
            server.wait_port(port)
            yield Exim(server, room, port, cert)


def _in_a_namespace(room: Room, then: str) -> str:
    """Shell words that give Exim the user it was built for, in this mount namespace alone."""
    lines = []
    for name, line in (("passwd", "Debian-exim:x:65530:65530::/:/usr/sbin/nologin"), ("group", "Debian-exim:x:65530:")):
        file = room.write(name, Path(f"/etc/{name}").read_text() + line + "\n")
        lines.append(f"mount --bind {file} /etc/{name}")
    return " && ".join([*lines, then])
