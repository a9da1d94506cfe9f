"""The fallback of a tenant whose own server fails: what waits for it leaves from the shared address instead.

Only where the tenant's setting says so (`off`, `30m`, `always`; S12 forbids a silent one), and shown in the timeline as
`message.rerouted`. A loop of every serving node looks at the servers that have failed for long enough, and gives each
message that waits for them the shared address as its author and a new signature; the company's name, Reply-To,
Message-ID and the body stay. A message that is under way right now, or may have arrived, is left alone. Nodes may run
it at once: the database lets one of them win.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from gateway.mail.address import Address
from gateway.mail.header import address_list
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.message import read_head
from gateway.outbound.queue import hasten
from gateway.outbound.queue_list import list_waiting_for_own
from gateway.outbound.signing import Signer, SigningKey, load_key
from gateway.outbound.tenant_routes import TenantRoutes
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.domains import open_keys
from gateway.store.events import add_event
from gateway.store.messages import Message, get_content, get_message, replace_content
from gateway.store.routes import FAILED, Kept, list_servers
from gateway.store.sealed import Seal
from gateway.store.tenants import Tenant, get_tenant

log = structlog.get_logger()

LOOK_SECONDS = 10.0
BATCH = 50
AFTER = {"always": timedelta(0), "30m": timedelta(minutes=30)}


class Rerouting:
    """The loop. `run` it; `poke` it when a server has just failed."""

    def __init__(
        self, database: Database, seal: Seal, shared: Address, tenants: TenantRoutes, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._seal = seal
        self._shared = shared
        self._clock = clock
        self._poke = asyncio.Event()
        tenants.alarmed = self._poke.set

    async def run(self) -> None:
        """Look, for ever; survives every exception but cancellation."""
        while True:
            try:
                await self.look()
            except Exception as error:
                log.error("rerouting.failed", error=type(error).__name__, exc_info=True)
            self._poke.clear()
            try:
                await asyncio.wait_for(self._poke.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def look(self) -> int:
        """Reroute what may be; how many messages were."""
        count = 0
        for kept in await self._database.read(list_servers, FAILED):
            if is_due(kept, self._clock()):
                count += await self._reroute_all(kept)
        return count

    async def _reroute_all(self, kept: Kept) -> int:
        tenant = await self._database.read(get_tenant, kept.tenant_id)
        signer = await self._database.read(self._signer, kept.tenant_id)
        count, after = 0, ""
        while tenant is not None:
            ids = await self._database.read(list_waiting_for_own, kept.tenant_id, after, BATCH)
            if not ids:
                break
            for message_id in ids:
                count += await self._reroute(tenant, kept, message_id, signer)
            after = ids[-1]
        if count:
            log.info("rerouting.done", tenant=kept.tenant_id, messages=count)
        return count

    async def _reroute(self, tenant: Tenant, kept: Kept, message_id: str, signer: Signer | None) -> int:
        found = await self._database.read(_read, kept.tenant_id, message_id)
        if found is None:
            return 0
        message, raw = found
        author = Mailbox(tenant.company, self._shared)
        made = await asyncio.to_thread(reauthor, raw, author, signer, self._clock())
        now_ms = to_ms(self._clock())
        return int(await self._database.write(_keep, now_ms, message, made, str(self._shared), tenant.company, kept))

    def _signer(self, tx: Transaction, tenant_id: str) -> Signer | None:
        keys = open_keys(tx, self._seal, tenant_id, self._shared.domain)
        loaded = [SigningKey(k.domain, k.selector, k.algorithm, load_key(private)) for k, private in keys]
        return Signer(loaded) if loaded else None


def is_due(kept: Kept, now: datetime) -> bool:
    """Whether this server has failed for so long that its tenant wants the fallback."""
    after = AFTER.get(kept.server.fallback)
    return after is not None and kept.changed_at is not None and kept.changed_at + after <= now


def reauthor(raw: bytes, author: Mailbox, signer: Signer | None, now: datetime) -> bytes:
    """A framed message with another author, signed anew; every other field, and the body, byte for byte."""
    head = read_head(raw)
    received = b"".join(field.raw for field in head.fields if field.name == b"received")
    fields = [
        address_list("From", [author]) if field.name == b"from" else field.raw
        for field in head.fields
        if field.name not in (b"received", b"dkim-signature")
    ]
    made = b"".join((*fields, b"\r\n", raw[head.body_at :]))
    return received + (signer.sign(made, now) if signer else made)


def _read(tx: Transaction, tenant_id: str, message_id: str) -> tuple[Message, bytes] | None:
    message = get_message(tx, tenant_id, message_id)
    raw = get_content(tx, tenant_id, message_id)
    return (message, raw) if message is not None and raw else None


def _keep(tx: Transaction, now_ms: int, message: Message, raw: bytes, shared: str, company: str, kept: Kept) -> bool:
    tenant_id, author = message.tenant_id, f"{company} <{shared}>"
    if not hasten(tx, now_ms, tenant_id, message.id):  # somebody is sending it at this moment
        return False
    if not replace_content(tx, tenant_id, message.id, raw, author, message.flags):
        return False
    data = {"host": kept.server.host, "words": kept.words, "before": message.author, "author": author}
    add_event(tx, now_ms, tenant_id, "message.rerouted", thread_id=message.thread_id, message_id=message.id, data=data)
    return True
