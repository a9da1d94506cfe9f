"""New DKIM keys for a domain, without a moment in which mail cannot be checked.

`make_keys` makes a pair (RSA and Ed25519), `begin` keeps it, pending; `advance`, after each look at DNS, lets those
sign whose records are seen, and retires a replaced key when nothing that it signed is queued any more. Whoever has no
API to the zone publishes two records and need do nothing else. Called by `outbound.domain_watch`, `gateway domain` and
the settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway.outbound.queue_list import waits_signed_before
from gateway.outbound.signing import ED25519, RSA, generate_key, private_pem, public_record
from gateway.store.database import Transaction, to_ms
from gateway.store.domains import (
    ACTIVE,
    PENDING,
    REPLACED,
    RETIRED,
    StoredDomain,
    StoredKey,
    add_domain,
    add_key,
    list_keys,
    set_key_state,
)
from gateway.store.events import add_event
from gateway.store.schema import OPERATOR
from gateway.store.sealed import Seal
from gateway.store.tenants import list_tenants

SHORT = {RSA: "r", ED25519: "e"}


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A fresh key that no domain has yet: `private` is its PEM, `record` the DNS TXT value."""

    algorithm: str
    private: bytes = field(repr=False)
    record: str


def make_keys(algorithms: Sequence[str] = (RSA, ED25519)) -> list[MadeKey]:
    """Fresh keys. RSA takes a good part of a second: made beside the event loop, and before any transaction."""
    made = [(algorithm, generate_key(algorithm)) for algorithm in algorithms]
    return [MadeKey(algorithm, private_pem(key), public_record(key)) for algorithm, key in made]


def begin(
    tx: Transaction, now: datetime, seal: Seal, tenant_id: str, name: str, made: Sequence[MadeKey],
    state: str = PENDING,
) -> list[StoredKey]:  # fmt: skip
    """Give a domain keys, each under a selector of its own; one beside which another is pending already is dropped."""
    keys = list_keys(tx, tenant_id, name)
    for one in made:
        if any(key.state == PENDING and key.algorithm == one.algorithm for key in keys):
            continue
        selector = _selector({key.selector for key in keys}, now, SHORT[one.algorithm])
        add_key(tx, now, seal, tenant_id, name, selector, one.algorithm, one.private, one.record, state)
    return [key for key in list_keys(tx, tenant_id, name) if key.state == state]


def add_signed_domain(
    tx: Transaction, now: datetime, seal: Seal, tenant_id: str, name: str, made: Sequence[MadeKey]
) -> None:
    """Give a tenant a domain with fresh keys, which sign as soon as its mail comes from there. Raises Refused."""
    add_domain(tx, now, tenant_id, name)
    begin(tx, now, seal, tenant_id, name, made, ACTIVE)


def _selector(taken: set[str], now: datetime, short: str) -> str:
    first = f"ar{now:%Y%m}{short}"
    return first if first not in taken else next(s for n in range(2, 1000) if (s := f"{first}{n}") not in taken)


def advance(tx: Transaction, now: datetime, tenant_id: str, name: str, seen: Sequence[str]) -> list[str]:
    """Change the states of a domain's keys as DNS and the queue allow; a sentence for each change.

    A pending key signs once its record is `seen`; the active one of its algorithm is replaced then.
    """
    keys = list_keys(tx, tenant_id, name)
    told = [
        sentence
        for key in keys
        if key.state == PENDING and key.selector in seen
        for sentence in activate(tx, now, tenant_id, key)
    ]
    for key in keys:
        if key.state == REPLACED and not needed(tx, tenant_id, key):
            told.append(_change(tx, now, tenant_id, key, RETIRED))
    return told


def activate(tx: Transaction, now: datetime, tenant_id: str, key: StoredKey) -> list[str]:
    """Let a pending key sign from the next message on, in place of the active one of its algorithm."""
    others = [one for one in list_keys(tx, tenant_id, key.domain) if one.algorithm == key.algorithm]
    told = [_change(tx, now, tenant_id, one, REPLACED) for one in others if one.state == ACTIVE]
    return [*told, _change(tx, now, tenant_id, key, ACTIVE)]


def rotate_keys(
    tx: Transaction, now: datetime, seal: Seal, one: StoredDomain, made: Sequence[MadeKey], *, at_once: bool
) -> tuple[list[StoredKey], list[str]]:
    """(the keys to publish, a sentence for each change): new keys of a domain, pending, or signing `at_once`."""
    keys = begin(tx, now, seal, one.tenant_id, one.name, made)
    return keys, [sentence for key in keys if at_once for sentence in activate(tx, now, one.tenant_id, key)]


def needed(tx: Transaction, tenant_id: str, key: StoredKey) -> bool:
    """Whether mail is queued, or held, that was signed before this key was replaced: its record must stay in DNS."""
    switched = to_ms(key.changed_at) if key.changed_at else 0
    tenants = [one.id for one in list_tenants(tx)] if tenant_id == OPERATOR else [tenant_id]
    return any(waits_signed_before(tx, one, switched) for one in tenants)


_WORDS = {
    ACTIVE: "signs from now on",
    REPLACED: "signs no more; leave its record in DNS while mail that it signed is queued",
    RETIRED: "is retired: nothing that it signed is queued, its record may be taken out of DNS",
}


def _change(tx: Transaction, now: datetime, tenant_id: str, key: StoredKey, state: str) -> str:
    set_key_state(tx, now, tenant_id, key.domain, key.selector, state)
    data = {"domain": key.domain, "selector": key.selector, "algorithm": key.algorithm, "state": state}
    add_event(tx, to_ms(now), tenant_id, "domain.key_changed", data=data)
    return f"{key.selector} ({key.algorithm}) {_WORDS[state]}"
