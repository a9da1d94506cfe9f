"""A real Postfix: a customer's mail server, or a tenant's smarthost, on 127.0.0.1.

Started by the fixture `start_postfix`. As a customer's server it takes mail for its domains only, delivers known users
(to Dovecot by LMTP, or to maildirs), and treats unknown ones as told: refused at RCPT, or accepted and bounced later by
Postfix's own report, which goes to the port that `routes` names for the return path's domain. Its retry times are
seconds. Debian's Postfix starts only as root. Looks nothing up in DNS.
"""

import contextlib
import grp
import json
import os
import pwd
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from postroom.certificate import write_certificate
from postroom.ports import LOOPBACK, free_port, wait_until
from postroom.programs import require, require_root
from postroom.server import Room, Server, call, open_room, run

Unknown = Literal["refuse", "accept_then_bounce"]

_MASTER = """\
{host}:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


_DAEMONS = Path("/usr/lib/postfix/sbin")
_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")


@dataclass(frozen=True)
class Postfix:
    """A running Postfix; connect to 127.0.0.1:`port`."""

    server: Server
    room: Room
    port: int

    def log(self) -> str:
        """All it has logged so far."""
        return self.server.log.read_text(errors="replace") if self.server.log.exists() else ""

    def wait_for_log(self, pattern: str, timeout: float = 20.0) -> re.Match[str]:
        """The first match of the pattern in the log, waited for; TimeoutError when it does not come."""
        expression = re.compile(pattern, re.MULTILINE)
        wait_until(lambda: bool(expression.search(self.log())), timeout, f"Postfix did not log {pattern!r}")
        found = expression.search(self.log())
        assert found
        return found

    def queue(self) -> list[dict[str, Any]]:
        """What lies in its queue, as `postqueue -j` tells it."""
        lines = call([require("postqueue"), "-c", self.room.path / "etc", "-j"], self.room)
        return [json.loads(line) for line in lines.split("\n") if line.strip()]

    def maildir(self, user: str) -> list[bytes]:
        """The mails of a user when they are delivered to maildirs (no `lmtp_port`), in order of arrival."""
        new = self.room.path / "mail" / user / "new"
        return [mail.read_bytes() for mail in sorted(new.glob("*"), key=lambda mail: mail.stat().st_mtime_ns)]

    def wait_for_mail(self, user: str, count: int = 1, timeout: float = 20.0) -> list[bytes]:
        """The mails in a user's maildir, once there are `count`; TimeoutError otherwise."""
        wait_until(lambda: len(self.maildir(user)) >= count, timeout, f"{user} has not got {count} mail(s)")
        return self.maildir(user)


@contextlib.contextmanager
def start_postfix(
    *,
    domains: Iterable[str] = ("customer.test",),
    users: Iterable[str] = (),
    unknown: Unknown = "refuse",
    lmtp_port: int | None = None,
    routes: Mapping[str, int] | None = None,
    relayhost: int | None = None,
    reject: Mapping[str, str] | None = None,
    defer: Mapping[str, str] | None = None,
    milters: Iterable[int] = (),
    extra: Mapping[str, str] | None = None,
) -> Iterator[Postfix]:
    """Run a Postfix of our own; see the file's head.

    `users`: full addresses it has. `lmtp_port`: where they are delivered; without it to maildirs of the room.
    `routes`: domain -> port of 127.0.0.1 for mail that leaves it (its reports); the rest goes to `relayhost`, a port
    too, and with it any client of this machine may relay (a smarthost). `reject`, `defer`: recipient -> the answer at
    RCPT, such as "550 5.1.1 gone" and "450 4.2.0 greylisted". `milters`: ports. `extra`: main.cf lines, which win
    (`{"delay_warning_time": "2s"}` for a report of delay, `{"maximal_queue_lifetime": "5s"}` for an early end).
    """
    require("postfix")
    require_root("postfix")
    with open_room("postfix") as room:
        port = free_port()
        cert, key = write_certificate(room, "mx.customer.test")
        tables = {
            "users": {user: f"{user}/" for user in users},
            "routes": {domain: f"smtp:[{LOOPBACK}]:{to}" for domain, to in (routes or {}).items()},
            "answers": {**(reject or {}), **(defer or {})},
        }
        for name, rows in tables.items():
            room.write(f"etc/{name}", "".join(f"{left} {right}\n" for left, right in rows.items()))
        settings = _settings(room, tuple(domains), unknown, lmtp_port, relayhost, tuple(milters))
        settings |= {"smtpd_tls_cert_file": str(cert), "smtpd_tls_key_file": str(key), **(extra or {})}
        room.write("etc/main.cf", "".join(f"{name} = {value}\n" for name, value in settings.items()))
        room.write("etc/master.cf", _MASTER.format(host=LOOPBACK, port=port))
        _furnish(room)
        # `postfix start-fg` would run master in a session out of our reach, after two seconds of checks.
        argv: list[str | Path] = [_DAEMONS / "master", "-c", room.path / "etc", "-s"]
        with run("postfix", argv, room, log=room.path / "postfix.log") as server:
            server.wait_port(port)
            yield Postfix(server, room, port)


def _settings(
    room: Room,
    domains: tuple[str, ...],
    unknown: Unknown,
    lmtp_port: int | None,
    relayhost: int | None,
    milters: tuple[int, ...],
) -> dict[str, str]:
    etc, mail, nobody = room.path / "etc", room.path / "mail", pwd.getpwnam("nobody")
    return {
        "compatibility_level": "3.6",
        "queue_directory": str(room.path / "queue"),
        "data_directory": str(room.path / "data"),
        "command_directory": "/usr/sbin",
        "daemon_directory": str(_DAEMONS),
        "shlib_directory": "/usr/lib/postfix",
        "maillog_file": str(room.path / "postfix.log"),
        "maillog_file_prefixes": str(room.path),
        "myhostname": f"mx.{domains[0]}" if domains else "relay.test",
        "inet_interfaces": LOOPBACK,
        "inet_protocols": "ipv4",
        "smtp_dns_support_level": "disabled",
        "smtp_host_lookup": "native",
        # Nothing is local: a user is an address of a virtual domain.
        "mydestination": "",
        "local_transport": "error:no local delivery",
        "alias_maps": "",
        "virtual_mailbox_domains": ", ".join(domains),
        "virtual_mailbox_maps": f"texthash:{etc}/users",
        "virtual_mailbox_base": str(mail),
        "virtual_minimum_uid": "1",
        "virtual_uid_maps": f"static:{nobody.pw_uid}",
        "virtual_gid_maps": f"static:{nobody.pw_gid}",
        "virtual_transport": f"lmtp:[{LOOPBACK}]:{lmtp_port}" if lmtp_port else "virtual",
        "transport_maps": f"texthash:{etc}/routes",
        "relayhost": f"[{LOOPBACK}]:{relayhost}" if relayhost else "",
        # A customer's server relays for nobody; a smarthost does for this machine.
        "mynetworks": "127.0.0.0/8" if relayhost else "",
        "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
        "smtpd_recipient_restrictions": f"check_recipient_access texthash:{etc}/answers",
        "smtpd_reject_unlisted_recipient": "yes" if unknown == "refuse" else "no",
        "smtpd_milters": ", ".join(f"inet:{LOOPBACK}:{milter}" for milter in milters),
        "milter_default_action": "tempfail",
        "smtpd_tls_security_level": "may",
        "smtp_tls_security_level": "may",
        "smtpd_client_connection_count_limit": "0",
        "smtpd_peername_lookup": "no",
        # Error sleeps are for strangers; a test is not one.
        "smtpd_error_sleep_time": "0",
        "in_flow_delay": "0",
        "queue_run_delay": "1s",
        "minimal_backoff_time": "1s",
        "maximal_backoff_time": "2s",
        "notify_classes": "",
        "biff": "no",
    }


def _furnish(room: Room) -> None:
    """Lay out the queue and its owners, as `postfix start` does, and let no file look half written."""
    postfix, postdrop = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
    for name in _QUEUES:
        folder = room.folder(f"queue/{name}")
        os.chown(folder, postfix, -1)
        folder.chmod(0o700)
    for name, owner, mode in (("pid", 0, 0o755), ("public", postfix, 0o710), ("maildrop", postfix, 0o730)):
        folder = room.folder(f"queue/{name}")
        os.chown(folder, owner, postdrop if owner else 0)
        folder.chmod(mode)
    for file in (room.path / "etc").iterdir():
        # Postfix waits two seconds for a file that was just written; these are finished.
        os.utime(file, (time.time() - 60,) * 2)
    os.chown(room.folder("data"), postfix, -1)
    os.chown(room.folder("mail"), pwd.getpwnam("nobody").pw_uid, -1)
