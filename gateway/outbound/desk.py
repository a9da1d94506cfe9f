"""What the door remembers of a tenant between messages: its settings, the authors it may use, and its signer.

Read once and kept in memory; the door's transaction compares the tenant's revision and asks for a fresh one when a
setting changed meanwhile (`Stale`), so a change holds for the next message (S13) without a query more per message.
An author whose domain receivers cannot check (DNS has said so, or it has no key here) gives way to the shared address
until that is mended; the tenant's own server vouches for any author.
"""

from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from gateway.mail.address import Address, parse_address
from gateway.outbound.signing import Signer, SigningKey, load_key
from gateway.outbound.triggers import choice_of
from gateway.store.assets import get_logo
from gateway.store.database import Database, Transaction
from gateway.store.domains import open_keys, unaligned_domains
from gateway.store.routes import get_server
from gateway.store.sealed import Seal
from gateway.store.template_settings import list_settings
from gateway.store.tenants import Tenant, get_tenant, list_identities, tenant_revision

REMEMBERED = 2_000  # tenants: each may have a logo of 200 KB


class Stale(Exception):
    """The tenant's settings changed while a message was being prepared; prepare it again."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A tenant as the door knows it. `signers` by the author's domain; the shared domain's signs for all others."""

    tenant: Tenant
    identities: tuple[str, ...]
    author: Address  # of what we render: the shared address, or the tenant's first identity
    shared: Address
    signers: Mapping[str, Signer] = field(default_factory=dict, hash=False)
    unaligned: frozenset[str] = frozenset()  # domains of authors whose mail stays on the shared address
    settings: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict, hash=False)
    logo: bytes | None = field(default=None, repr=False)
    own_server: bool = False  # its mail leaves through its own SMTP server
    relayed: bool = False  # the rest leaves through the relay

    @property
    def route(self) -> str:
        """By which its mail leaves: docs/smtp.md."""
        return "smtp" if self.own_server else "relay" if self.relayed else "direct"

    @property
    def signer(self) -> Signer | None:
        """Who signs what we render."""
        return self.signer_of(self.author)

    def signer_of(self, author: Address) -> Signer | None:
        """Who signs for an author: its domain's keys, else the shared domain's."""
        return self.signers.get(author.domain) or self.signers.get(self.shared.domain)

    def speaks_as(self, named: Address) -> Address:
        """The author that mail of this identity has: itself, or the shared address while nobody could check it."""
        return named if self.own_server or named.domain not in self.unaligned else self.shared

    def check(self, tx: Transaction) -> None:
        """Raises Stale when the tenant's settings are no longer these."""
        if tenant_revision(tx, self.tenant.id) != self.tenant.revision:
            raise Stale

    def uses(self, template: str) -> bool:
        """Whether the tenant has a template turned on."""
        return choice_of(template, self.settings).enabled


class Desks:
    """The desks of this process, the least used forgotten first."""

    def __init__(self, database: Database, seal: Seal, shared: Address, *, relayed: bool = False) -> None:
        """`relayed`: a relay takes all mail, and may sign for domains that have no key here."""
        self._database = database
        self._seal = seal
        self._shared = shared
        self._relayed = relayed
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

    async def current(self, tenant_id: str) -> Desk | None:
        """The same as it is now, for what only looks: no door's transaction will find out that it is outdated."""
        found = await self.get(tenant_id)
        if found is not None and await self._database.read(tenant_revision, tenant_id) != found.tenant.revision:
            found = await self.get(tenant_id, fresh=True)
        return found

    def read(self, tx: Transaction, tenant_id: str) -> Desk | None:
        """The same, from the database."""
        tenant = get_tenant(tx, tenant_id)
        if tenant is None:
            return None
        identities = tuple(list_identities(tx, tenant_id))
        own, author = tenant.sending == "own", self._shared
        server = get_server(tx, tenant_id) if own else None
        if server is not None:  # it vouches for its author, whatever DNS says of us (S12)
            author = parse_address(server.server.address)
            identities = tuple(dict.fromkeys((author.key, *identities)))
        domains = {parse_address(one).domain for one in identities} if own else set()
        signers, unaligned = self._signers(tx, tenant_id, domains)
        if own and server is None and identities:
            author = next((a for a in map(parse_address, identities) if a.domain not in unaligned), self._shared)
        settings = list_settings(tx, tenant_id)
        return Desk(
            tenant, identities, author, self._shared, signers, unaligned, settings, get_logo(tx, tenant_id),
            server is not None, self._relayed,
        )  # fmt: skip

    def _signers(
        self, tx: Transaction, tenant_id: str, domains: AbstractSet[str]
    ) -> tuple[dict[str, Signer], frozenset[str]]:
        """(signers by domain, the domains whose mail nobody could check)."""
        wrong = unaligned_domains(tx, tenant_id)
        signers, unaligned = {}, set()
        for name in {*domains, self._shared.domain}:
            keys = [] if name in wrong else self._keys(tx, tenant_id, name)
            if keys and keys[0].domain not in wrong:
                signers[name] = Signer(keys)
            elif name != self._shared.domain and (name in wrong or keys or not self._relayed):
                unaligned.add(name)
        return signers, frozenset(unaligned)

    def _keys(self, tx: Transaction, tenant_id: str, name: str) -> list[SigningKey]:
        """The active keys of a domain, or of the nearest one above it, which aligns too (RFC 7489 §3.1.1)."""
        for signing in (name, *parents(name)):
            keys = open_keys(tx, self._seal, tenant_id, signing)
            if keys:
                return [SigningKey(k.domain, k.selector, k.algorithm, load_key(private)) for k, private in keys]
        return []


def parents(name: str) -> list[str]:
    """The domains above a domain, the nearest first, without top-level ones."""
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(1, len(labels) - 1)]
