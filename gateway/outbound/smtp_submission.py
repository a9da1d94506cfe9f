"""Doorstep of mail that leaves: billing systems submit by SMTP with AUTH (RFC 6409), ports for STARTTLS and TLS.

Thin: it finds out who is there (a credential, or a network that is one), refuses what the envelope may not say, and
gives the bytes to `submission.accept`. A verified password is remembered in memory as a keyed digest, so a session
costs no argon2; a revoked credential is noticed within `REMEMBER_SECONDS`.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.mail.reply import Refused, Reply
from gateway.outbound.handed import Handed, Rcpt
from gateway.outbound.refusals import Refusal, note_refusal
from gateway.outbound.submission import Door, accept
from gateway.store.tenants import find_login, list_networks, verify_password
from gateway.wire.smtp_session import Envelope, Recipient, Session

REMEMBER_SECONDS = 5.0
REMEMBERED = 10_000
SHOWN = ("4.5.3", "5.1.", "5.3.4", "5.6.", "5.7.1")  # refusals of what was asked, not of how SMTP was spoken


@dataclass(frozen=True, slots=True)
class Who:
    """The tenant that a session is, and by which credential."""

    tenant_id: str
    credential: str


@dataclass(frozen=True, slots=True)
class _Known:
    who: Who
    secret_hash: str
    digest: bytes  # of the password that was right for `secret_hash`
    looked_at: float


class Logins:
    """Credentials that were verified lately. Holds keyed digests only; the key dies with the process."""

    def __init__(self, door: Door) -> None:
        self._database = door.database
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._networks: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, Who]] = []
        self._networks_at = float("-inf")

    async def check(self, username: str, password: str) -> Who | None:
        """Who logs in with this, or None."""
        username = username.lower()
        digest = hmac.digest(self._key, password.encode("utf-8", "surrogateescape"), hashlib.sha256)
        known, now = self._known.get(username), time.monotonic()
        if known and now - known.looked_at < REMEMBER_SECONDS and hmac.compare_digest(known.digest, digest):
            return known.who
        found = await self._database.read_briefly(find_login, username)
        secret_hash = found[2] if found else ""
        same = known is not None and known.secret_hash == secret_hash and hmac.compare_digest(known.digest, digest)
        right = same or await asyncio.to_thread(verify_password, secret_hash, password)
        if not found or not secret_hash or not right:
            self._known.pop(username, None)
            return None
        who = Who(found[0], username)
        self._known[username] = _Known(who, secret_hash, digest, now)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return who

    async def by_network(self, host: str) -> Who | None:
        """Who a peer is without AUTH: the narrowest network credential that holds its address."""
        if time.monotonic() - self._networks_at > REMEMBER_SECONDS:
            rows = await self._database.read(list_networks)
            self._networks = sorted(
                ((ipaddress.ip_network(network), Who(tenant, name)) for network, tenant, name in rows),
                key=lambda pair: -pair[0].prefixlen,
            )
            self._networks_at = time.monotonic()
        if not self._networks:
            return None
        address = ipaddress.ip_address(host)
        return next((who for network, who in self._networks if address in network), None)


class SubmissionDoorstep:
    """The `Doorstep` of the submission ports."""

    def __init__(self, door: Door, clock: Callable[[], datetime]) -> None:
        self._door = door
        self._clock = clock
        self._logins = Logins(door)

    async def greet(self, session: Session) -> None:
        """Everybody may knock."""

    async def authenticate(self, session: Session, username: str, password: str) -> object | None:
        """AUTH: a tenant's credential."""
        return await self._logins.check(username, password)

    async def mail(self, session: Session, envelope: Envelope) -> None:
        """MAIL FROM: whatever it says, the return path that leaves is ours; but the session must be somebody."""
        if session.login is None:
            session.login = await self._logins.by_network(session.host)
        if session.login is None:
            raise Refused(530, "5.7.0", "Authentication required: log in with a credential of your tenant")

    async def rcpt(self, session: Session, envelope: Envelope, recipient: Recipient) -> None:
        """RCPT TO: any address outside; whether it is suppressed is told after DATA, and shown in the inbox."""
        self._door.letterhead.check_recipient(recipient.address)

    async def refused(self, session: Session, envelope: Envelope | None, reply: Reply) -> None:
        """A size, a recipient, an ending of lines: the tenant sees what its billing system may not tell it."""
        who = session.login or await self._logins.by_network(session.host)
        if not isinstance(who, Who) or not reply.enhanced.startswith(SHOWN):
            return
        named = tuple(str(one.address) for one in envelope.recipients) if envelope else ()
        refusal = Refusal(reply, named, credential=who.credential, peer=session.host)
        await note_refusal(self._door.database, who.tenant_id, refusal, self._clock())

    async def data(self, session: Session, envelope: Envelope, raw: bytes) -> Sequence[Reply]:
        """The message: through the door, and its receipt is the answer."""
        who = session.login
        assert isinstance(who, Who)
        handed = Handed(
            tenant_id=who.tenant_id,
            credential=who.credential,
            recipients=tuple(Rcpt(r.address, r.notify) for r in envelope.recipients),
            raw=raw,
            peer=session.host,
            smtputf8=envelope.smtputf8,
        )
        receipt = await accept(self._door, handed, self._clock())
        return [Reply(250, "2.0.0", receipt.text)]
