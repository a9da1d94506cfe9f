"""A real Dovecot: mailboxes with LMTP in front and IMAP behind, on 127.0.0.1.

Started by the fixtures `dovecot` and `start_dovecot`. It runs unprivileged (root becomes `nobody`), keeps maildirs in
its room, offers IMAP with and without TLS and LMTP over TCP, and refuses users it was not given (550 5.1.1).
"""

import contextlib
import grp
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imapclient import IMAPClient  # type: ignore[import-untyped]

from postroom.certificate import write_certificate
from postroom.ports import LOOPBACK, free_port, wait_until
from postroom.programs import missing, require
from postroom.server import Room, Server, open_room, run

PASSWORD = "secret"

_CONFIG = """\
base_dir = {room}/run
state_dir = {room}/state
log_path = {room}/dovecot.log
auth_verbose = yes
protocols = imap lmtp
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{room}/mail/%u
mail_home = {room}/home/%u
mail_uid = {uid}
mail_gid = {gid}
mail_max_userip_connections = 100
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login{mechanisms}
{tokens}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {room}/users/%u
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {room}/users/%u
  default_fields = uid={uid} gid={gid} home={room}/home/%u
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-urlauth-login {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
namespace inbox {{
  inbox = yes
  mailbox Junk {{
    special_use = \\Junk
    auto = create
  }}
  mailbox Sent {{
    special_use = \\Sent
    auto = create
  }}
}}
"""


_TOKENS = """\
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {room}/oauth2.conf.ext
}}
"""
_OAUTH = """\
introspection_mode = post
introspection_url = {introspect}
username_attribute = username
active_attribute = active
active_value = true
"""


@dataclass(frozen=True)
class Dovecot:
    """A running Dovecot. `imap_port` speaks plain and STARTTLS, `imaps_port` TLS with the certificate `cert`."""

    server: Server
    room: Room
    imap_port: int
    imaps_port: int
    lmtp_port: int
    cert: Path
    passwords: dict[str, str] = field(default_factory=dict)

    def add_user(self, address: str, password: str = PASSWORD) -> str:
        """Give a user a mailbox, at once; returns the address."""
        self.passwords[address] = password
        _write_user(self.room, address, password)
        return address

    @contextlib.contextmanager
    def login(self, user: str) -> Iterator[IMAPClient]:
        """An IMAP session over verified TLS, logged in as the user."""
        context = ssl.create_default_context(cafile=str(self.cert))
        with IMAPClient(LOOPBACK, self.imaps_port, ssl=True, ssl_context=context, timeout=20) as client:
            client.login(user, self.passwords[user])
            yield client

    def fetch(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """Every mail of a folder, whole, in order of arrival; none is marked as seen."""
        with self.login(user) as client:
            client.select_folder(folder, readonly=True)
            mails = client.fetch(client.search(["ALL"]), ["BODY.PEEK[]"])
            return [mails[uid][b"BODY[]"] for uid in sorted(mails)]

    def wait_for_mail(self, user: str, count: int = 1, timeout: float = 20.0) -> list[bytes]:
        """The user's inbox once it holds `count` mails; TimeoutError otherwise."""
        wait_until(lambda: len(self.fetch(user)) >= count, timeout, f"{user} has not got {count} mail(s)")
        return self.fetch(user)

    def wait_for_folder(self, user: str, folder: str, count: int, timeout: float = 20.0) -> None:
        """Wait until a folder holds that many mails; TimeoutError otherwise."""
        wait_until(lambda: len(self.fetch(user, folder)) >= count, timeout, f"{folder} has not got {count} mail(s)")

    def append(self, user: str, raw: bytes, folder: str = "INBOX") -> None:
        """Put a mail into a folder, as a mail client or a filter does."""
        with self.login(user) as client:
            client.append(folder, raw)


@contextlib.contextmanager
def start_dovecot(
    users: Mapping[str, str] | None = None, *, introspect: str = "", mechanisms: str = " xoauth2 oauthbearer"
) -> Iterator[Dovecot]:
    """Run a Dovecot of our own with users (address -> password); more may be added while it runs.

    With `introspect` tokens are taken too, of whom that address says they are (RFC 7662).
    """
    program = require("dovecot")
    if not Path("/usr/lib/dovecot/imap").exists() or not Path("/usr/lib/dovecot/lmtp").exists():
        missing("Dovecot's IMAP and LMTP servers are not installed: apt-get install dovecot-imapd dovecot-lmtpd")
    with open_room("dovecot", "nobody") as room:
        for folder in ("run", "state", "mail", "home", "users"):
            room.folder(folder)
        cert, key = write_certificate(room, "mx.customer.test")
        imap, imaps, lmtp = free_port(), free_port(), free_port()
        owner = {"user": room.owner.pw_name, "uid": room.owner.pw_uid, "gid": room.owner.pw_gid, "group": _group(room)}
        config = room.write(
            "dovecot.conf",
            _CONFIG.format(
                room=room.path,
                cert=cert,
                key=key,
                imap=imap,
                imaps=imaps,
                lmtp=lmtp,
                **owner,
                mechanisms=mechanisms if introspect else "",
                tokens=_TOKENS.format(room=room.path) if introspect else "",
            ),
        )
        room.write("oauth2.conf.ext", _OAUTH.format(introspect=introspect))
        for user, password in (users or {}).items():
            _write_user(room, user, password)
        with run("dovecot", [program, "-F", "-c", config], room, log=room.path / "dovecot.log") as server:
            dovecot = Dovecot(server, room, imap, imaps, lmtp, cert, dict(users or {}))
            for port in (imaps, lmtp):
                server.wait_port(port)
            yield dovecot


def _write_user(room: Room, address: str, password: str) -> None:
    """A file per user: Dovecot looks at a file it knows once a second, but at a new one at once."""
    room.write(f"users/{address}", f"{address}:{{PLAIN}}{password}::::::\n")


def _group(room: Room) -> str:
    return grp.getgrgid(room.owner.pw_gid).gr_name
