"""Tenants' own SMTP servers, as delivery knows them: how to reach one, who we are there, and how it fares.

Used by `outbound.routing` and `outbound.own_sending`, on the event loop. Remembers a tenant's server for a few seconds,
so that a new password holds almost at once and a thousand deliveries ask the database once. OAuth tokens are renewed
before they are used: in this process one at a time, and across nodes by a lease in the row. A server that refuses us
is an alarm, raised once (`smtp_account.failed`) and taken back once (`smtp_account.recovered`): mail waits meanwhile.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from gateway.mail.reasons import reason_of
from gateway.mail.status import DeliveryStatus
from gateway.outbound import oauth
from gateway.outbound.smtp_terms import Login, passing
from gateway.store.database import Database, Transaction, new_id, to_ms
from gateway.store.events import add_event
from gateway.store.messages import OWN_SERVER, get_flags
from gateway.store.routes import (
    FAILED,
    OK,
    Kept,
    Secret,
    Server,
    begin_refresh,
    drop_token,
    end_refresh,
    get_server,
    learn,
    open_secret,
    set_state,
)
from gateway.store.sealed import Seal
from gateway.store.tenants import get_tenant
from gateway.store.threads import add_thread, close_thread, find_thread, open_thread

log = structlog.get_logger()

FRESH_SECONDS = 5.0  # how long a server is remembered without asking
REMEMBERED = 10_000  # tenants
PATIENCE = 60.0  # seconds for which nobody may answer before that is an alarm
WAIT_SECONDS = 30.0  # for another node that renews the tokens
ACCOUNT = "smtp_account"  # the chip, and the key, of the thread that tells of a tenant's failing server


@dataclass(frozen=True, slots=True)
class Own:
    """What is remembered of a tenant: its server, or None; whether it sends as itself now; its secret."""

    tenant_id: str
    server: Server | None
    in_use: bool
    secret: Secret
    state: str
    read_at: float  # on the loop's clock


class TenantRoutes:
    """The servers of tenants, in this process."""

    def __init__(self, database: Database, seal: Seal, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._seal = seal
        self._clock = clock
        self._known: OrderedDict[str, Own] = OrderedDict()
        self._asking: dict[str, asyncio.Future[Own]] = {}
        self._renewing: dict[str, asyncio.Lock] = {}
        self._trouble: dict[str, float] = {}  # tenant -> since when nobody answers, seconds since 1970
        self._learned: set[tuple[str, int]] = set()  # servers that take the tenant's own address only
        self.alarmed: Callable[[], None] = lambda: None  # told when a server has failed

    # -- knowing

    def known(self, tenant_id: str) -> Own | None:
        """What is known of a tenant at once; None when the database must be asked."""
        found = self._known.get(tenant_id)
        if found is None or asyncio.get_running_loop().time() - found.read_at > FRESH_SECONDS:
            return None
        return found

    async def get(self, tenant_id: str) -> Own:
        """The same, asked for when need be; many who ask at once cause one question."""
        found = self.known(tenant_id)
        if found is not None:
            return found
        asking = self._asking.get(tenant_id)
        if asking is None:
            asking = self._asking[tenant_id] = asyncio.ensure_future(self._read(tenant_id))
            asking.add_done_callback(lambda _: self._asking.pop(tenant_id, None))
        return await asyncio.shield(asking)

    async def _read(self, tenant_id: str) -> Own:
        found = await self._database.read(self._load, tenant_id, asyncio.get_running_loop().time())
        self._known[tenant_id] = found
        self._known.move_to_end(tenant_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _load(self, tx: Transaction, tenant_id: str, read_at: float) -> Own:
        kept = get_server(tx, tenant_id)
        if kept is None:
            return Own(tenant_id, None, False, Secret(), "", read_at)
        tenant = get_tenant(tx, tenant_id)
        secret = open_secret(tx, self._seal, tenant_id)
        in_use = tenant is not None and tenant.sending == "own"
        return Own(tenant_id, kept.server, in_use, secret, kept.state, read_at)

    async def is_for_own(self, tenant_id: str, message_id: str, own: Own) -> bool:
        """Whether a message was framed for the tenant's server; one that is rendered later will be, if that is used."""
        found = await self._database.read(get_flags, tenant_id, message_id)
        return own.in_use if found is None else bool(found & OWN_SERVER)

    def forget(self, tenant_id: str) -> None:
        """Ask again the next time."""
        self._known.pop(tenant_id, None)

    # -- logging in

    async def login(self, tenant_id: str) -> Login | DeliveryStatus | None:
        """Who we are at the tenant's server, with a token that holds; None when it wants no login."""
        own = await self.get(tenant_id)
        server = own.server
        if server is None:
            return passing("4.7.0", "the tenant's own SMTP server was taken away meanwhile", "", "relay_failed")
        if not server.username:
            return None
        cleartext = server.security in ("none", "starttls-if-offered")
        if server.auth != "oauth":
            return Login(server.username, own.secret.password, cleartext=cleartext)
        try:
            secret = await self._fresh(own)
        except oauth.OAuthRefused as refused:
            reason = "auth_failed" if refused.lasting else "unreachable"
            return passing("4.7.0", refused.words, server.host, reason)
        return Login(server.username, secret.access_token, "BEARER", cleartext=cleartext)

    async def _fresh(self, own: Own) -> Secret:
        """A secret whose access token will hold. Raises OAuthRefused."""
        if oauth.is_fresh(own.secret, self._clock()):
            return own.secret
        async with self._renewing.setdefault(own.tenant_id, asyncio.Lock()):
            deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
            while True:
                self.forget(own.tenant_id)
                own = await self.get(own.tenant_id)  # somebody may have renewed it meanwhile
                if own.server is None or oauth.is_fresh(own.secret, self._clock()):
                    return own.secret
                now_ms = to_ms(self._clock())
                if await self._database.write(begin_refresh, now_ms, own.tenant_id, own.server.version):
                    return await self._renew(own, own.server)
                if asyncio.get_running_loop().time() > deadline:
                    raise oauth.OAuthRefused("another node is renewing the tokens and does not finish", False)
                await asyncio.sleep(0.3)

    async def _renew(self, own: Own, server: Server) -> Secret:
        fresh: Secret | None = None
        try:
            fresh = await asyncio.to_thread(oauth.renew, server, own.secret, self._clock())
        except oauth.OAuthRefused as refused:
            if not refused.lasting and oauth.is_fresh(own.secret, self._clock(), early_ms=0):
                return own.secret  # it holds for a little longer, and the provider may answer then
            raise
        finally:
            await self._database.write(end_refresh, self._seal, own.tenant_id, server.version, fresh)
            self.forget(own.tenant_id)
        return fresh

    async def doubt(self, tenant_id: str) -> None:
        """The server refused our access token: the next login brings another, whatever its time says."""
        own = await self.get(tenant_id)
        if own.server is not None and own.secret.access_token:
            await self._database.write(drop_token, self._seal, tenant_id, own.secret.access_token)
            self.forget(tenant_id)

    # -- the return path

    def wants_own_return_path(self, tenant_id: str, server: Server) -> bool:
        """Whether this server takes the tenant's own address only."""
        return server.return_path == "tenant" or (tenant_id, server.version) in self._learned

    async def learn_return_path(self, tenant_id: str, version: int) -> None:
        """Remember that it does."""
        if (tenant_id, version) not in self._learned:
            self._learned.add((tenant_id, version))
            await self._database.write(learn, tenant_id, version, return_path="tenant")
            log.info("tenant_route.return_path_learned", tenant=tenant_id)

    # -- how it fares

    async def went_well(self, tenant_id: str, version: int) -> None:
        """A session was opened, and the server took us for who we are."""
        self._trouble.pop(tenant_id, None)
        own = await self.get(tenant_id)
        if own.server is not None and own.server.version == version and own.state != OK:
            self._known[tenant_id] = replace(own, state=OK)
            await self._database.write(note_state, to_ms(self._clock()), tenant_id, version, OK, None)

    async def went_wrong(self, tenant_id: str, version: int, status: DeliveryStatus) -> None:
        """No session, or it does not let us send. Nobody answering is an alarm only when it lasts."""
        own = await self.get(tenant_id)
        if own.server is None or own.server.version != version:
            return
        now = self._clock().timestamp()
        since = self._trouble.setdefault(tenant_id, now)
        passes = (status.reason or reason_of(status)) in ("unreachable", "rate_limited") and status.status != "4.7.5"
        if own.state == FAILED or (passes and own.server.fallback != "always" and now - since < PATIENCE):
            return
        self._known[tenant_id] = replace(own, state=FAILED)
        await self._database.write(note_state, to_ms(self._clock()), tenant_id, version, FAILED, status)
        log.warning("tenant_route.failed", tenant=tenant_id, host=own.server.host, words=status.words)
        self.alarmed()


def note_state(
    tx: Transaction, now_ms: int, tenant_id: str, version: int, state: str, why: DeliveryStatus | None
) -> None:
    """Write that a tenant's server fails or works again: its row, the event, and the thread that tells of it."""
    words = why.words if why else ""
    before = set_state(tx, now_ms, tenant_id, version, state, words)
    if before is None or (before == "" and state == OK):  # nothing new, or a first success
        return
    kept = get_server(tx, tenant_id)
    thread_id = _thread(tx, now_ms, tenant_id, kept)
    data = {"host": kept.server.host if kept else "", "words": words}
    type = "smtp_account.failed" if state == FAILED else "smtp_account.recovered"
    add_event(tx, now_ms, tenant_id, type, thread_id=thread_id, data=data)
    if state == FAILED:
        open_thread(tx, now_ms, tenant_id, thread_id, ACCOUNT, words=words)
    else:
        close_thread(tx, now_ms, tenant_id, thread_id, "gateway")


def _thread(tx: Transaction, now_ms: int, tenant_id: str, kept: Kept | None) -> str:
    """The one thread of a tenant that tells of its server."""
    found = find_thread(tx, tenant_id, ACCOUNT)
    if found is not None:
        return found.id
    host = kept.server.host if kept else ""
    return add_thread(tx, now_ms, tenant_id, new_id(), key=ACCOUNT, subject=f"SMTP {host}", customer=host)
