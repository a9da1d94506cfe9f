"""What the door remembers of a tenant between messages: its settings, the authors it may use, and its signer.

Read once and kept in memory; the door's transaction compares the tenant's revision and asks for a fresh one when a
setting changed meanwhile (`Stale`), so a change holds for the next message (S13) without a query more per message.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.mail.address import Address, parse_address
from gateway.outbound.signing import Signer, SigningKey, load_key
from gateway.outbound.triggers import choice_of
from gateway.store.assets import get_logo
from gateway.store.database import Database, Transaction
from gateway.store.domains import open_keys
from gateway.store.sealed import Seal
from gateway.store.template_settings import list_settings
from gateway.store.tenants import Tenant, get_tenant, list_identities, tenant_revision

REMEMBERED = 2_000  # tenants: each may have a logo of 200 KB


class Stale(Exception):
    """The tenant's settings changed while a message was being prepared; prepare it again."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A tenant as the door knows it. `signer` signs for its author's domain, else for the shared one."""

    tenant: Tenant
    identities: tuple[str, ...]
    author: Address  # of what we render: the shared address, or the tenant's first identity
    signer: Signer | None
    settings: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict, hash=False)
    logo: bytes | None = field(default=None, repr=False)

    def check(self, tx: Transaction) -> None:
        """Raises Stale when the tenant's settings are no longer these."""
        if tenant_revision(tx, self.tenant.id) != self.tenant.revision:
            raise Stale

    def uses(self, template: str) -> bool:
        """Whether the tenant has a template turned on."""
        return choice_of(template, self.settings).enabled


class Desks:
    """The desks of this process, the least used forgotten first."""

    def __init__(self, database: Database, seal: Seal, shared: Address) -> None:
        self._database = database
        self._seal = seal
        self._shared = shared
        self._desks: OrderedDict[str, Desk] = OrderedDict()

    async def get(self, tenant_id: str, *, fresh: bool = False) -> Desk | None:
        """The desk of a tenant; None when there is no such tenant."""
        found = self._desks.get(tenant_id)
        if found is None or fresh:
            found = await self._database.read(self.read, tenant_id)
            if found is None:
                return None
            self._desks[tenant_id] = found
            if len(self._desks) > REMEMBERED:
                self._desks.popitem(last=False)
        self._desks.move_to_end(tenant_id)
        return found

    def read(self, tx: Transaction, tenant_id: str) -> Desk | None:
        """The same, from the database."""
        tenant = get_tenant(tx, tenant_id)
        if tenant is None:
            return None
        identities = tuple(list_identities(tx, tenant_id))
        author = parse_address(identities[0]) if tenant.sending == "own" and identities else self._shared
        keys = open_keys(tx, self._seal, tenant_id, author.domain)
        if not keys:  # a domain of the tenant without keys here: the shared domain at least vouches for it
            keys = open_keys(tx, self._seal, tenant_id, self._shared.domain)
        loaded = [SigningKey(k.domain, k.selector, k.algorithm, load_key(private)) for k, private in keys]
        settings = list_settings(tx, tenant_id)
        return Desk(tenant, identities, author, Signer(loaded) if loaded else None, settings, get_logo(tx, tenant_id))
