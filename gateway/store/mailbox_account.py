"""A mailbox's account: how it is reached, what is taken from it, and what becomes there of mail that was taken.

One value, kept by `store.mailboxes` and given to the poller and the command. Refuses, in words, what could not work.
"""

import re
from dataclasses import dataclass
from datetime import date

from gateway.mail.address import valid_domain
from gateway.mail.reply import Refused
from gateway.store.routes import Server, is_address

SECURITY = ("tls", "starttls", "none")
ALL, OURS = "all", "reports_and_replies"
TAKES = (OURS, ALL)
LEAVE, SEEN, MOVE, DELETE = "leave", "seen", "move", "delete"
AFTER = (LEAVE, SEEN, MOVE, DELETE)
OF_MAILBOX = "mailbox/"  # begins the key of the thread that tells of a tenant's mailbox of that name
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,58}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How a mailbox is reached, and what is wanted of it. `since` (a day in ISO form): take mail from then on."""

    host: str
    port: int = 993
    security: str = "tls"
    username: str
    auth: str = "password"  # password | oauth
    trusted: str = ""  # PEM: certificates that are believed beside the system's
    provider: str = ""
    grant: str = ""  # authorization_code | client_credentials
    client_id: str = ""
    authorize_url: str = ""
    token_url: str = ""
    scope: str = ""
    folder: str = "INBOX"
    takes: str = OURS
    after: str = LEAVE  # what becomes there of a mail that was taken
    move_to: str = ""  # the folder of `move`
    since: str = ""

    @property
    def server(self) -> Server:
        """The same account as `outbound.oauth` knows one."""
        return Server(
            host=self.host, port=self.port, username=self.username, address=self.username, auth=self.auth,
            provider=self.provider, grant=self.grant, client_id=self.client_id, authorize_url=self.authorize_url,
            token_url=self.token_url, scope=self.scope,
        )  # fmt: skip


def check_account(name: str, account: Account) -> None:
    """Refuse settings that could not work, in words."""
    if not _NAME.match(name):
        raise refuse(f"{name[:60]!r} cannot be a mailbox's name; use 1-60 of a-z, 0-9 and . _ @ + -")
    if not (valid_domain(account.host) or is_address(account.host)):
        raise refuse(f"{account.host[:80]!r} is not a host; write one like imap.acme.example")
    if not 0 < account.port < 65536:
        raise refuse(f"{account.port} is not a port; usual are 993 (tls) and 143 (starttls)")
    if account.security not in SECURITY or account.takes not in TAKES or account.after not in AFTER:
        raise refuse(
            f"security is one of {', '.join(SECURITY)}, takes one of {', '.join(TAKES)}, "
            f"after one of {', '.join(AFTER)}"
        )
    if not account.username or not account.folder:
        raise refuse("a mailbox needs a username and a folder (INBOX)")
    if (account.after == MOVE) != bool(account.move_to) or account.move_to == account.folder:
        raise refuse("name the folder that taken mail is moved to, another than the one that is read")
    texts = (account.username, account.folder, account.move_to, account.client_id, account.scope)
    if any(not text.isprintable() or len(text) > 1000 for text in texts):
        raise refuse("a username, folder, client id or scope holds characters that cannot be written on one line")
    if account.since:
        read_day(account.since)


def read_day(text: str) -> date:
    """A day in ISO form. Raises Refused."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refuse(f"{text[:40]!r} is not a day; write one like 2026-11-01") from None


def refuse(text: str) -> Refused:
    """What a wrong setting is answered with."""
    return Refused(501, "5.5.4", text)
