"""The words of the SMTP client: whom to dial, what to send, how long to wait, what came of it.

Values only; made by `outbound.delivery` (Target, Transaction) and by `outbound.smtp_client` (Outcome).
Seconds are floats, sizes are bytes. A login's password shows in no repr (security rule 13).
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.mail.reply import Reply
from gateway.mail.status import Action, DeliveryStatus, clean

Tls = Literal["off", "opportunistic", "required", "implicit"]
# Judges the server's chain, its own certificate first: (type of RFC 8460 §4.3, words), or None when it proves enough.
Proof = Callable[[Sequence[bytes]], tuple[str, str] | None]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for each answer, each an absolute deadline; RFC 5321 §4.5.3.2 names what servers may need."""

    connect: float = 30  # the TCP connection
    greeting: float = 60  # RFC: 300; a server that is slower is tried again later
    command: float = 60  # EHLO, AUTH, MAIL, each RCPT, RSET
    tls: float = 30  # the handshake
    data: float = 120  # the answer 354
    body: float = 180  # each 128 KB of the message to leave this process
    after_dot: float = 600  # the answer to the message
    quit: float = 5
    opening: float = 150  # one server, from dialling to the last AUTH: each answer in time is not yet a session
    total: float = 3600  # a whole transaction until the dot is sent


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are at a server. `cleartext`: the tenant asked for its password to be spoken without TLS."""

    username: str
    password: str = field(repr=False)  # or the access token
    # PLAIN or LOGIN; OAUTHBEARER (RFC 7628) or XOAUTH2: as the server offers
    mechanism: Literal["PASSWORD", "BEARER"] = "PASSWORD"
    cleartext: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """For whose reports (RFC 8460) a TLS session is counted. `flaw`: what even a good one counts as, with `words`."""

    domain: str  # the recipient's
    type: str  # of its policy: sts, tlsa, no-policy-found
    lines: str = ""  # the policy's
    flaw: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One server to dial. `verify`: its certificate must name `host`; with a login it always must."""

    host: str  # its name, for logs and TLS
    address: str  # the IP address to dial
    port: int = 25
    tls: Tls = "opportunistic"
    verify: bool = False
    login: Login | None = None
    lmtp: bool = False
    helo: str = "localhost"
    source: str = ""  # the local address to dial from
    trust: ssl.SSLContext | None = field(default=None, repr=False, compare=False)  # in place of the usual authorities
    server_name: str = ""  # what TLS asks for, when it is not `host`
    proof: Proof | None = field(default=None, repr=False, compare=False)  # what the chain must stand beside `verify`
    policy: str = ""  # what demands all this: mta-sts, mta-sts-testing, dane
    counted: Counted | None = None

    def __post_init__(self) -> None:
        if not (self.helo.isascii() and self.helo.isprintable() and self.helo and " " not in self.helo):
            raise ValueError("helo must be a host name in ASCII")

    @property
    def label(self) -> str:
        """How logs and outcomes name it: `mx.example.md [192.0.2.1]`."""
        return f"{self.host} [{self.address}]"

    @property
    def verified(self) -> bool:
        """Whether a certificate that does not prove `host` ends the connection."""
        return self.verify or self.login is not None


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message for one or more recipients. `raw` has CRLF line ends and is not dot-stuffed."""

    return_path: str  # "" is the null return path <>
    recipients: tuple[str, ...]
    raw: bytes
    smtputf8: bool = False  # it needs RFC 6531
    eightbit: bool = False  # declared as BODY=8BITMIME; found out when not said
    envid: str = ""  # RFC 3461 §4.4; used when the server offers DSN, like `notify`
    notify: str = ""  # RFC 3461 §4.1: "FAILURE,DELAY"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one recipient. `unclear`: the dot was sent and not answered, so it may have arrived."""

    recipient: str
    status: DeliveryStatus
    stage: str  # mail, rcpt, data, body or dot: what the status answers
    unclear: bool
    tls: str  # "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" without TLS
    seconds: float


def judge(reply: Reply, host: str, *, final: bool = True) -> DeliveryStatus:
    """A well-formed reply as an outcome. `final` is false where a 5xx concerns the server or us, not the recipient.

    The status code is the reply's own or "": never one that we made up.
    """
    kind = reply.code // 100
    if kind == 2:
        action = Action.RELAYED
    elif kind == 5 and final:
        action = Action.FAILED
    else:
        action = Action.DELAYED
    return DeliveryStatus(action, reply.enhanced, reply.code, clean(reply.text), host)


def passing(status: str, text: str, host: str, reason: str = "unreachable") -> DeliveryStatus:
    """Trouble that we noticed ourselves and that may pass: `status` is ours (4.4.1, 4.4.2, 4.5.0, 4.7.5)."""
    return DeliveryStatus(Action.DELAYED, status, 0, clean(text), host, reason)
