"""A tenant's own SMTP server for journeys: a login, rules about return paths, and moods that a test sets.

It speaks through the product's own listener (`wire`), which is no part of what these tests are about; the real Postfix
and Dovecot are in tests/integration. Every mail it takes is kept with its return path.
"""

import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.mail.reply import Refused, Reply
from gateway.store.routes import Secret, Server, put_server
from gateway.store.sealed import read_key_file
from gateway.store.tenants import add_identity, set_tenant
from gateway.wire.limits import Limits
from gateway.wire.smtp_server import Listener, listen

ADDRESS = "facturare@acme.test"
PASSWORD = "the tenant's password"


@dataclass(frozen=True)
class Taken:
    """A mail that the server took."""

    return_path: str
    recipients: tuple[str, ...]
    raw: bytes
    user: str


@dataclass
class OwnServer:
    """A doorstep. `password`: the right one; `strict`: only its user's address may be the return path."""

    password: str = PASSWORD
    strict: str = ""  # where another return path is refused: "mail", "rcpt" or "data"
    refusal: Reply | None = None  # said to every RCPT
    taken: list[Taken] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # return paths of every MAIL
    logins: int = 0
    listener: Listener | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self.listener is not None
        return self.listener.port

    async def greet(self, session: Any) -> None:
        """Everybody may come."""

    async def authenticate(self, session: Any, username: str, password: str) -> object | None:
        """One user, one password."""
        self.logins += 1
        return username if (username, password) == (ADDRESS, self.password) else None

    async def mail(self, session: Any, envelope: Any) -> None:
        """Count, and refuse at once when that is the mood."""
        self.asked.append(str(envelope.return_path or ""))
        self._check(envelope, "mail")

    async def rcpt(self, session: Any, envelope: Any, recipient: Any) -> None:
        """The same at RCPT, as Postfix does."""
        self._check(envelope, "rcpt")
        if self.refusal is not None:
            raise Refused(self.refusal.code, self.refusal.enhanced, self.refusal.text)

    async def data(self, session: Any, envelope: Any, raw: bytes) -> Sequence[Reply]:
        """Keep the mail."""
        self._check(envelope, "data")
        recipients = tuple(str(one.address) for one in envelope.recipients)
        self.taken.append(Taken(str(envelope.return_path or ""), recipients, raw, str(session.login)))
        return [Reply(250, "2.0.0", f"taken as T{len(self.taken)}")]

    def _check(self, envelope: Any, stage: str) -> None:
        if self.strict == stage and str(envelope.return_path or "") != ADDRESS:
            words = f"<{envelope.return_path}>: Sender address rejected: not owned by user {ADDRESS}"
            raise Refused(553, "5.7.1", words)


@contextlib.asynccontextmanager
async def own_server(folder: Path, **moods: Any) -> AsyncIterator[OwnServer]:
    """A server with STARTTLS by the data folder's self-signed certificate, on a free port."""
    server = OwnServer(**moods)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    limits = Limits(connections=100, connections_per_address=100)
    server.listener = await listen(
        server, host="127.0.0.1", hostname="mail.gateway.test", limits=limits, tls=tls, auth="tls", auth_required=True
    )
    try:
        yield server
    finally:
        server.listener.close()
        await server.listener.wait_closed()


async def connect_tenant(journey: Any, folder: Path, port: int, **changes: Any) -> Server:
    """What `gateway tenant smtp set` does: acme sends through the server, as ADDRESS."""
    secret = changes.pop("secret", None) or Secret(password=changes.pop("password", PASSWORD))
    values = {"host": "localhost", "port": port, "username": ADDRESS, "address": ADDRESS,
              "trusted": (folder / "tls.crt").read_text()} | changes  # fmt: skip
    now, seal = journey.clock(), read_key_file(folder / "gateway.key")
    await journey.write(add_identity, now, journey.tenant_id, ADDRESS)
    kept = await journey.write(put_server, now, seal, journey.tenant_id, Server(**values), secret)
    await journey.write(set_tenant, journey.tenant_id, sending="own")
    return kept  # type: ignore[no-any-return]
