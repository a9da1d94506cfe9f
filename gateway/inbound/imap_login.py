"""How we log in to a tenant's mailbox: a password, or an OAuth token that is renewed in time by one node.

Used by the poller. The provider is asked by `outbound.oauth`, in a thread. Raises ImapFailed, in words that hold no
secret; `refused` when somebody must act.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.inbound.imap_pull import Threads
from gateway.inbound.imap_session import ImapFailed, Login
from gateway.outbound import oauth
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.mailboxes import (
    Mailbox,
    begin_mailbox_refresh,
    end_mailbox_refresh,
    open_mailbox_secret,
)
from gateway.store.routes import Secret
from gateway.store.sealed import Seal

WAIT_SECONDS = 20.0  # for another node that renews the tokens


@dataclass(frozen=True, slots=True)
class Logins:
    """Opens what is sealed."""

    database: Database
    seal: Seal
    clock: Callable[[], datetime]

    async def login(self, box: Mailbox, threads: Threads) -> Login:
        """Who we are at a mailbox's server, with a token that holds. Raises ImapFailed."""
        secret = await self._open(box)
        if box.account.auth != "oauth":
            return Login(box.account.username, secret.password)
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while not oauth.is_fresh(secret, self.clock()):
            if await self.database.write(begin_mailbox_refresh, to_ms(self.clock()), box):
                secret = await self._renew(box, secret, threads)
                break
            if asyncio.get_running_loop().time() > deadline:
                raise ImapFailed("another node is renewing the tokens and does not finish")
            await asyncio.sleep(0.3)
            secret = await self._open(box)
        return Login(box.account.username, secret.access_token, bearer=True)

    async def doubt(self, box: Mailbox) -> None:
        """The server refused our access token: the next login brings another, whatever its time says."""
        if box.account.auth == "oauth":
            await self.database.write(_forget_token, self.seal, box)

    async def _open(self, box: Mailbox) -> Secret:
        return await self.database.read(open_mailbox_secret, self.seal, box.tenant_id, box.name)

    async def _renew(self, box: Mailbox, secret: Secret, threads: Threads) -> Secret:
        fresh: Secret | None = None
        try:
            fresh = await threads.run(oauth.renew, box.account.server, secret, self.clock())
            return fresh
        except oauth.OAuthRefused as refused:
            words = refused.words.replace("gateway tenant smtp set", f"gateway mailbox set {box.name} --connect")
            raise ImapFailed(words, refused=refused.lasting) from None
        finally:
            await self.database.write(end_mailbox_refresh, self.seal, box, fresh)


def _forget_token(tx: Transaction, seal: Seal, box: Mailbox) -> None:
    secret = open_mailbox_secret(tx, seal, box.tenant_id, box.name)
    end_mailbox_refresh(tx, seal, box, replace(secret, access_token="", expires_at=0))
