"""Which hosts take mail for a domain, in the order to try them (RFC 5321 §5.1, 7505).

Called by `outbound.routing` for mail that goes direct to MX.
Promises: hosts by preference, shuffled within one, at most 10 with 4 addresses each; never an exception for what DNS
says, but a `DeliveryStatus`: final only for a domain that does not exist or wants no mail. Answers are remembered no
longer than their TTL; one question is asked once, however many wait for it.
Refuses addresses that `allow` refuses (security rule 12), and hosts that are ourselves with all that come after them.
"""

import asyncio
import math
import random
from collections import OrderedDict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import groupby
from typing import TypeVar

import dns.name
import dns.resolver
from dns.rdtypes.ANY.MX import MX

from gateway.mail.address import Address
from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.dns_questions import NoSuchName, Questions, Silent, ttl_of

HOST_LIMIT = 10  # hosts of one domain that are looked at
ADDRESS_LIMIT = 4  # addresses of one host
LONGEST = 3600.0  # seconds an answer is remembered at most
NEGATIVE = 60.0  # seconds for "there is no such domain"
FAILURE = 15.0  # seconds for "DNS does not answer": a burst of mail asks once

T = TypeVar("T")
IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Host:
    """One address to dial. `name` is what TLS verifies and logs show.

    `alias_of`: what the name is an alias of, "" for none. `secure`: DNSSEC vouches for the way from domain to address.
    """

    name: str
    address: str
    port: int = 25
    preference: int = 0
    alias_of: str = ""
    secure: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """What is remembered of a domain: hosts grouped by preference, or the reason there are none."""

    groups: tuple[tuple[tuple[Host, ...], ...], ...]
    status: DeliveryStatus | None
    until: float  # seconds since the epoch
    key: str = ""  # what names the set of its hosts


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Customers' mail hosts are on the Internet; an MX record that points inside is a mistake or an attack."""
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_global)


class Resolver:
    """Finds hosts by MX and address records, and remembers them.

    `nameservers` and `port`: whom to ask; the system's resolvers when empty. `hosts`: domains (or "*", all others)
    with fixed (name, address, port) lists, for a demo or a test; DNS and `allow` are not asked for these.
    `own_names`: our host names, lower-case. `allow`: whether an address may be dialled. `families`: record types of
    addresses in the order to try. `timeout`: seconds for one question with all its retries. `validates`: the servers
    check DNSSEC, and are believed when they run on this machine.
    """

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        port: int = 53,
        *,
        hosts: Mapping[str, Sequence[tuple[str, str, int]]] | None = None,
        own_names: Container[str] = (),
        allow: Callable[[IPAddress], bool] | None = None,
        families: Sequence[str] = ("A", "AAAA"),
        timeout: float = 20.0,
        cache_size: int = 10_000,
        validates: bool = False,
    ) -> None:
        self.questions = Questions(nameservers, port, timeout, validates)
        self._hosts, self._own_names, self._allow = dict(hosts or {}), own_names, allow
        self._families, self._cache_size = tuple(families), cache_size
        self._cache: OrderedDict[str, _Found] = OrderedDict()
        self._asking: dict[str, asyncio.Task[_Found]] = {}

    async def find(self, domain: str, now: datetime) -> tuple[Host, ...] | DeliveryStatus:
        """The hosts for `domain` (ASCII, IDN, or an address literal `[192.0.2.1]`), best first; never empty.

        Otherwise FAILED 5.1.10 (it wants no mail), 5.1.2 (no such domain), 5.4.6 (it is we), or DELAYED 4.4.3 (DNS
        does not answer), 4.4.4 (its hosts have no address that may be dialled).
        """
        name = domain.lower().rstrip(".")
        fixed = self._hosts.get(name) or (self._hosts.get("*") if self._hosts else None)
        if fixed:
            return tuple(Host(host, address, port) for host, address, port in fixed)
        if name.startswith("["):
            return self._literal(name)
        at = now.timestamp()
        found = self._cache.get(name)
        if found is None or found.until <= at:
            found = await self._ask_once(name, at)
        else:
            self._cache.move_to_end(name)
        return found.status if found.status is not None else _shuffled(found)

    def known_set(self, domain: str, now: datetime) -> str:
        """What names the set of hosts of a domain, "" while it is not known: domains with one name share servers."""
        name = domain.lower().rstrip(".")
        if self.is_fixed(name):
            return name
        found = self._cache.get(name)
        if found is None or found.until <= now.timestamp() or found.status is not None:
            return ""
        return found.key

    def known_hosts(self, domain: str, now: datetime) -> tuple[Host, ...]:
        """The hosts of a domain as far as they are remembered, in no order; none when DNS is not asked for them."""
        found = self._cache.get(domain.lower().rstrip("."))
        if found is None or found.until <= now.timestamp():
            return ()
        return tuple(host for group in found.groups for addresses in group for host in addresses)

    def is_fixed(self, domain: str) -> bool:
        """Whether a domain's hosts are not found by DNS: an address literal, or given hosts."""
        name = domain.lower().rstrip(".")
        return name.startswith("[") or bool(self._hosts.get(name)) or "*" in self._hosts

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of a host that may be dialled, as far as DNS tells now."""
        return (await self._addresses(host)).addresses

    async def _ask_once(self, name: str, at: float) -> _Found:
        """Look up, or wait for the same look-up that is under way; one waiter's cancellation stops no other."""
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.ensure_future(self._look_up(name, at))
            task.add_done_callback(lambda _: self._asking.pop(name, None))
        found = await asyncio.shield(task)
        if found.until > at:
            self._cache[name] = found
            self._cache.move_to_end(name)
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        return found

    async def _look_up(self, name: str, at: float) -> _Found:
        question = Address("", name).ascii_domain
        try:
            answer = await self.questions.ask(question, "MX")
        except NoSuchName:
            return _none(Action.FAILED, "5.1.2", f"the domain {name} does not exist", "domain_unknown", at + NEGATIVE)
        except Silent as error:
            return _none(Action.DELAYED, "4.4.3", f"DNS for {name}: {error}", "unreachable", at + FAILURE)
        secure, explicit = self.questions.is_secure(answer), answer.rrset is not None
        if explicit:
            exchanges, ttl = _exchanges(answer), float(ttl_of(answer))
        else:
            exchanges, ttl = [(0, question)], LONGEST  # no MX: the domain itself, RFC 5321 §5.1
        if not exchanges:
            words = f"the domain {name} takes no mail (null MX, RFC 7505)"
            return _none(Action.FAILED, "5.1.10", words, "domain_unknown", at + min(ttl, LONGEST))
        others = self._before_ourselves(exchanges)
        if not others:
            words = f"mail for {name} would come back to ourselves: its MX is {exchanges[0][1]}"
            return _none(Action.FAILED, "5.4.6", words, "relay_failed", at + min(ttl, NEGATIVE))
        return await self._with_addresses(name, others, (explicit, secure), at, ttl)

    def _before_ourselves(self, exchanges: list[tuple[int, str]]) -> list[tuple[int, str]]:
        """The hosts preferred to us; all when we are none of them (RFC 5321 §5.1, against loops)."""
        ours = min((preference for preference, host in exchanges if host in self._own_names), default=math.inf)
        return [(preference, host) for preference, host in exchanges if preference < ours]

    async def _with_addresses(
        self, name: str, exchanges: list[tuple[int, str]], how: tuple[bool, bool], at: float, ttl: float
    ) -> _Found:
        """Resolve the best hosts, all at once; a host that cannot be resolved now shortens the memory.

        `how`: whether MX records name them, and whether DNSSEC vouches for that.
        """
        explicit, secure = how
        exchanges = exchanges[:HOST_LIMIT]
        results = await asyncio.gather(*(self._addresses(host) for _, host in exchanges))
        silent = [result.words for result in results if result.words]
        refused = any(result.refused for result in results)
        ttl = min([ttl, LONGEST, *(result.ttl for result in results)] + [FAILURE] * bool(silent))
        hosts = [
            (
                one[0],
                tuple(Host(one[1], address, 25, one[0], by.alias_of, secure and by.secure) for address in by.addresses),
            )
            for one, by in zip(exchanges, results, strict=True)
            if by.addresses
        ]
        if hosts:
            key = "mx " + " ".join(sorted({host.name for _, addresses in hosts for host in addresses}))
            groups = groupby(hosts, key=lambda item: item[0])
            return _Found(tuple(tuple(addresses for _, addresses in group) for _, group in groups), None, at + ttl, key)
        if silent:
            return _none(Action.DELAYED, "4.4.3", f"DNS for {name}: {silent[0]}", "unreachable", at + FAILURE)
        if refused:
            words = f"the mail hosts of {name} have no address that may be dialled"
            return _none(Action.DELAYED, "4.4.4", words, "unreachable", at + min(ttl, NEGATIVE))
        if explicit:
            words = f"the mail hosts of {name} have no address"
            return _none(Action.DELAYED, "4.4.4", words, "unreachable", at + NEGATIVE)
        words = f"the domain {name} has neither mail hosts nor an address"
        return _none(Action.FAILED, "5.1.2", words, "domain_unknown", at + NEGATIVE)

    async def _addresses(self, host: str) -> "_Addresses":
        found: list[str] = []
        ttl, words, refused, secure, alias_of = LONGEST, "", False, True, ""
        for answer in await asyncio.gather(*(self._try_query(host, family) for family in self._families)):
            if isinstance(answer, str):
                words = answer
            elif answer is not None and answer.rrset is not None:
                ttl = min(ttl, ttl_of(answer))
                secure = secure and self.questions.is_secure(answer)
                name = answer.canonical_name.to_text(omit_final_dot=True).lower()
                alias_of = name if name != host.lower().rstrip(".") else ""
                for address in _shuffle([record.address for record in answer]):
                    if self._permits(address):
                        found.append(address)
                    else:
                        refused = True
        return _Addresses(tuple(found[:ADDRESS_LIMIT]), float(ttl), words, refused, secure, alias_of)

    async def _try_query(self, host: str, family: str) -> dns.resolver.Answer | str | None:
        """The answer, None when there is no such name, or words when DNS is silent."""
        try:
            return await self.questions.ask(host, family)
        except NoSuchName:
            return None
        except Silent as error:
            return str(error)

    def _literal(self, name: str) -> tuple[Host, ...] | DeliveryStatus:
        """`[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3)."""
        try:
            address = ip_address(name.strip("[]").removeprefix("ipv6:"))
        except ValueError:
            words = f"{name[:80]} is not an address literal"
            return DeliveryStatus(Action.FAILED, "5.1.2", text=words, reason="domain_unknown")
        if not self._permits(str(address)):
            words = f"{name} is not an address that may be dialled"
            return DeliveryStatus(Action.DELAYED, "4.4.4", text=words, reason="unreachable")
        return (Host(name, str(address)),)

    def allows(self, address: str) -> bool:
        """Whether an address that was found elsewhere may be dialled."""
        return self._permits(address.partition("%")[0])

    def _permits(self, address: str) -> bool:
        return self._allow is None or self._allow(ip_address(address))


@dataclass(frozen=True, slots=True)
class _Addresses:
    """A host's addresses; `words` when DNS was silent about some, `refused` when `allow` did; `secure`: by DNSSEC."""

    addresses: tuple[str, ...]
    ttl: float
    words: str
    refused: bool
    secure: bool
    alias_of: str


def _none(action: Action, status: str, text: str, reason: str, until: float) -> _Found:
    return _Found((), DeliveryStatus(action, status, text=text, reason=reason), until)


def _exchanges(answer: dns.resolver.Answer) -> list[tuple[int, str]]:
    """(preference, host) by preference, then at random; without the "." of a null MX (RFC 7505 §3)."""
    records = _shuffle([record for record in answer if isinstance(record, MX) and record.exchange != dns.name.root])
    pairs = [(record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in records]
    return sorted(pairs, key=lambda pair: pair[0])


def _shuffled(found: _Found) -> tuple[Host, ...]:
    """All hosts, best preference first; within one preference the load is spread (RFC 5321 §5.1)."""
    return tuple(host for group in found.groups for addresses in _shuffle(list(group)) for host in addresses)


def _shuffle(items: list[T]) -> list[T]:
    if len(items) > 1:
        random.shuffle(items)
    return items
