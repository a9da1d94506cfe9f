"""A real Dovecot as a company's submission server: logins by password and by OAuth token, on 127.0.0.1.

Started by the fixture `start_submission`. Passwords are checked in a file of the room, tokens by asking a provider
(RFC 7662); what is submitted goes on to `relay`. Its login service may also serve a Postfix
(`smtpd_sasl_type = dovecot`, `smtpd_sasl_path = inet:127.0.0.1:auth_port`).
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from postroom.certificate import write_certificate
from postroom.dovecot import _group
from postroom.ports import free_port
from postroom.programs import missing, require
from postroom.server import Room, Server, open_room, run

_CONFIG = """\
base_dir = {room}/run
state_dir = {room}/state
log_path = {room}/dovecot.log
auth_verbose = yes
protocols = submission
listen = 127.0.0.1
hostname = localhost
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{room}/mail/%u
mail_home = {room}/home/%u
mail_uid = {uid}
mail_gid = {gid}
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {room}/users
  mechanisms = plain login
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {room}/oauth2.conf.ext
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={room}/home/%u allow_all_users=yes
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {auth}
  }}
}}
service submission-login {{
  chroot =
  inet_listener submission {{
    port = {port}
  }}
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
class Submission:
    """A running server. `port` speaks STARTTLS with the certificate `cert`, for localhost."""

    server: Server
    room: Room
    port: int
    auth_port: int
    cert: Path

    def log(self) -> str:
        """All it has logged so far."""
        return self.server.log.read_text(errors="replace") if self.server.log.exists() else ""


@contextlib.contextmanager
def start_submission(
    *,
    relay: int = 9,
    users: Mapping[str, str] | None = None,
    introspect: str = "http://127.0.0.1:9/",
    mechanisms: str = "plain login xoauth2 oauthbearer",
) -> Iterator[Submission]:
    """Run a Dovecot that takes mail of `users` (address -> password), and of whom `introspect` says a token is."""
    program = require("dovecot")
    if not Path("/usr/lib/dovecot/submission").exists():
        missing("Dovecot's submission server is not installed: apt-get install dovecot-submissiond")
    with open_room("submission", "nobody") as room:
        for folder in ("run", "state", "mail", "home"):
            room.folder(folder)
        cert, key = write_certificate(room, "smtp.company.test")
        room.write("users", "".join(f"{user}:{{PLAIN}}{word}::::::\n" for user, word in (users or {}).items()))
        room.write("oauth2.conf.ext", _OAUTH.format(introspect=introspect))
        port, auth = free_port(), free_port()
        owner = {"user": room.owner.pw_name, "uid": room.owner.pw_uid, "gid": room.owner.pw_gid, "group": _group(room)}
        text = _CONFIG.format(
            room=room.path, cert=cert, key=key, relay=relay, port=port, auth=auth, mechanisms=mechanisms, **owner
        )
        config = room.write("dovecot.conf", text)
        with run("submission", [program, "-F", "-c", config], room, log=room.path / "dovecot.log") as server:
            for one in (port, auth):
                server.wait_port(one)
            yield Submission(server, room, port, auth, cert)
