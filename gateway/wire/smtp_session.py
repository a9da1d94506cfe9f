"""The values an SMTP or LMTP session is made of, and the `Doorstep` that a room implements to receive mail.

`Session` and `Envelope` are handed to the hooks of a `Doorstep`; `Terms` is what a listener tells its connections.
Hooks may raise `Refused`, whose reply is spoken; any other exception is a fault of ours and becomes 451 4.3.0.
A hook is never cancelled because its client went away, only when a drain runs out of time.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.mail.address import Address
from gateway.mail.reply import Reply
from gateway.wire.capacity import Capacity
from gateway.wire.limits import Admission, FailedLogins, Limits

Auth = Literal["off", "tls", "loopback"]


@dataclass(slots=True)
class Session:
    """One connection, as hooks see it. Unknown text is ""."""

    host: str  # the peer's address, without zone
    port: int
    loopback: bool
    lmtp: bool = False
    helo: str = ""
    esmtp: bool = False
    tls: bool = False
    tls_version: str = ""
    tls_cipher: str = ""
    login: object | None = None  # what `Doorstep.authenticate` returned

    @property
    def transmission(self) -> str:
        """The word for `with` in a Received field (RFC 3848): ESMTPSA, LMTP, SMTP …"""
        if not self.esmtp:
            return "SMTP"
        return ("LMTP" if self.lmtp else "ESMTP") + "S" * self.tls + "A" * (self.login is not None)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO. `notify` is "NEVER" or a list as "FAILURE,DELAY"; `orcpt` is decoded, "rfc822;ana@x.example"."""

    address: Address
    notify: str = ""
    orcpt: str = ""


@dataclass(slots=True)
class Envelope:
    """One transaction. `return_path` None is the null return path `<>`; `size` is what MAIL declared, 0 unknown."""

    return_path: Address | None
    recipients: list[Recipient] = field(default_factory=list)
    size: int = 0
    body: str = "7BIT"  # or 8BITMIME (RFC 6152)
    smtputf8: bool = False
    envid: str = ""  # decoded (RFC 3461 §4.4)
    ret: str = ""  # FULL or HDRS


class Doorstep(Protocol):
    """What a room implements to receive mail by SMTP or LMTP."""

    async def greet(self, session: Session) -> None:
        """A client connected. Refuse it by its address here; the connection then ends."""

    async def authenticate(self, session: Session, username: str, password: str) -> object | None:
        """Check credentials; None means wrong. What is returned becomes `session.login`."""

    async def mail(self, session: Session, envelope: Envelope) -> None:
        """MAIL FROM was valid; `envelope` has no recipients yet."""

    async def rcpt(self, session: Session, envelope: Envelope, recipient: Recipient) -> None:
        """RCPT TO was valid; `recipient` joins `envelope.recipients` when this returns."""

    async def refused(self, session: Session, envelope: Envelope | None, reply: Reply) -> None:
        """Something was refused before there was a message, or the message broke a rule: for whoever keeps account."""

    async def data(self, session: Session, envelope: Envelope, raw: bytes) -> Sequence[Reply]:
        """The whole message, CRLF line ends only. Returns one reply; for LMTP one per recipient, in their order."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What every connection of one listener shares."""

    doorstep: Doorstep
    hostname: str
    limits: Limits
    admission: Admission
    capacity: Capacity
    logins: FailedLogins
    tls: ssl.SSLContext | None
    implicit_tls: bool
    lmtp: bool
    auth: Auth
    auth_required: bool
