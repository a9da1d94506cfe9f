"""What TLS must prove with each mail host of a domain: by DANE (RFC 7672), else by MTA-STS (RFC 8461), else nothing.

Asked by `outbound.routing` before it dials, and by `gateway domain tls`. DANE counts where the domain's MX, the host's
addresses and its TLSA records are all vouched for by DNSSEC, and goes before MTA-STS. A policy is asked for once per
domain, whoever waits; it is kept in the database until it ends, so that an attacker who hides it later gains nothing.
Promises an answer, never an exception: where none can be had, `flaw` says why, and TLS is opportunistic as before.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from gateway.outbound.dane import usable
from gateway.outbound.dns_questions import NoSuchName, Questions, Silent, TlsaRecord
from gateway.outbound.https import Unfetched
from gateway.outbound.mta_sts import ENFORCE, NONE, TESTING, Policy, read_policy, read_record
from gateway.outbound.mx import Host
from gateway.store.database import Database
from gateway.store.tls_policies import StoredPolicy, forget_expired, get_policy, list_ageing, put_policy

log = structlog.get_logger()

LONGEST = 3600.0  # seconds that an answer of DNS is remembered at most
SILENCE = 60.0  # after DNS did not answer
UNFETCHED = 300.0  # after a policy could not be fetched (RFC 8461 §3.3: five minutes)
REMEMBERED = 20_000  # domains, and hosts
FETCHES = 20  # at once
REFRESH_SECONDS = 3600.0

DANE, MTA_STS, MTA_STS_TESTING = "dane", "mta-sts", "mta-sts-testing"
Fetch = Callable[[str], Coroutine[Any, Any, tuple[Policy, str]]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sts:
    """What is known of a domain's MTA-STS. `flaw`: why there is none, as a type of RFC 8460, with `words`."""

    policy: Policy | None = None
    text: str = ""
    version: str = ""
    check_at: float = 0.0  # seconds since 1970
    flaw: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Tlsa:
    """What is known of a host's TLSA records, at `base`. `trouble`: why they cannot be known; then it is not used."""

    records: tuple[TlsaRecord, ...] = ()
    base: str = ""
    trouble: str = ""
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What TLS with one host must prove. `barred`: why it must not be dialled at all."""

    policy: str = ""  # dane, mta-sts, mta-sts-testing; "" for none
    records: tuple[TlsaRecord, ...] = ()  # usable ones; none with dane: TLS must be, and proves nothing
    base: str = ""  # the name that the records stand under
    barred: str = ""
    fault: str = ""  # of what is barred or, in testing, would be: a type of RFC 8460

    @property
    def type(self) -> str:
        """The policy's type in reports."""
        return {"": "no-policy-found", DANE: "tlsa"}.get(self.policy, "sts")


@dataclass(frozen=True, slots=True)
class Demands:
    """The policies of one domain, and what they demand of each host."""

    domain: str = ""
    sts: Sts = field(default_factory=Sts)
    tlsa: Mapping[str, Tlsa] = field(default_factory=dict, hash=False)
    key: str = ""  # names what is demanded: connections are shared only where it is the same

    @property
    def name(self) -> str:
        """The strongest policy that there is for the domain's hosts."""
        if any(one.records or one.trouble for one in self.tlsa.values()):
            return DANE
        mode = self.sts.policy.mode if self.sts.policy is not None else NONE
        return {ENFORCE: MTA_STS, TESTING: MTA_STS_TESTING}.get(mode, "")

    def of(self, host: str) -> Demand:
        """What TLS with this host must prove."""
        found = self.tlsa.get(host)
        if found is not None and found.trouble:
            words = f"DANE: the TLSA records of {host} cannot be had: {found.trouble}"
            return Demand(DANE, barred=words, fault="dnssec-invalid")
        if found is not None and found.records:
            return Demand(DANE, tuple(record for record in found.records if usable(record)), found.base)
        policy = self.sts.policy
        if policy is None or policy.mode == NONE:
            return Demand()
        words = "" if policy.allows(host) else f"MTA-STS: the policy of {self.domain} does not name the host {host}"
        fault = "validation-failure" if words else ""
        if policy.mode == ENFORCE:
            return Demand(MTA_STS, barred=words, fault=fault)
        return Demand(MTA_STS_TESTING, fault=fault)

    def lines(self, host: str) -> str:
        """The policy that counts for a host, a line each, as reports quote it."""
        found = self.tlsa.get(host)
        if found is not None and found.records:
            return "\n".join(str(record) for record in found.records)
        return "\n".join(line.strip() for line in self.sts.text.splitlines() if line.strip())


NOTHING = Demands()
REPORTS = Demands(key=" | reports")  # of TLS failures: they are delivered despite any (RFC 8460 §3), and not counted


class TlsPolicies:
    """Finds policies and remembers them. `port`: of the mail hosts, under which TLSA records stand."""

    def __init__(self, database: Database, questions: Questions, fetch: Fetch, port: int = 25) -> None:
        self._database = database
        self._questions = questions
        self._fetch = fetch
        self._port = port
        self._sts: OrderedDict[str, Sts] = OrderedDict()
        self._tlsa: OrderedDict[str, Tlsa] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Any]] = {}
        self._fetching = asyncio.Semaphore(FETCHES)

    def known(self, domain: str, hosts: Sequence[Host], now: datetime) -> Demands | None:
        """What is demanded for a domain, when it can be told at once."""
        at = now.timestamp()
        sts = self._sts.get(domain)
        if sts is None or sts.check_at <= at:
            return None
        tlsa: dict[str, Tlsa] = {}
        for host in hosts:
            if host.secure and host.name not in tlsa:
                found = self._tlsa.get(host.name)
                if found is None or found.until <= at:
                    return None
                tlsa[host.name] = found
        return _demands(domain, hosts, sts, tlsa)

    async def find(self, domain: str, hosts: Sequence[Host], now: datetime) -> Demands:
        """The same, asked for when need be."""
        secure = {host.name: host for host in hosts if host.secure}
        known = self._sts.get(domain)
        fresh = known if known is not None and known.check_at > now.timestamp() else None
        sts, found = await asyncio.gather(
            _given(fresh) if fresh is not None else self._once(domain, self._find_sts(domain, now)),
            asyncio.gather(*(self._once(f"tlsa {host.name}", self._find_tlsa(host, now)) for host in secure.values())),
        )
        return _demands(domain, hosts, sts, dict(zip(secure, found, strict=True)))

    async def refresh(self, now: datetime) -> None:
        """Fetch policies again whose time is half over, and forget those whose time is over."""
        await self._database.write(forget_expired, now)
        for kept in await self._database.read(list_ageing, now, 500):
            if kept.domain not in self._asking:
                await self._once(kept.domain, self._find_sts(kept.domain, now, again=True))

    async def run(self, clock: Callable[[], datetime]) -> None:
        """Refresh every hour, for ever."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh(clock())
            except Exception as error:
                log.error("tls.refresh_failed", error=type(error).__name__, exc_info=True)

    async def _once(self, key: str, coroutine: Coroutine[Any, Any, T]) -> T:
        """Ask, or wait for the same question that is under way; one waiter's cancellation stops no other."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(coroutine)
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        else:
            coroutine.close()
        found: T = await asyncio.shield(task)
        return found

    # -- MTA-STS

    async def _find_sts(self, domain: str, now: datetime, again: bool = False) -> Sts:
        kept = await self._database.read(get_policy, now, domain)
        made = await self._ask_sts(domain, kept, now, again)
        _remember(self._sts, domain, made)
        return made

    async def _ask_sts(self, domain: str, kept: StoredPolicy | None, now: datetime, again: bool) -> Sts:
        at = now.timestamp()
        try:
            texts, ttl = await self._questions.texts(f"_mta-sts.{domain}")
        except NoSuchName:
            texts, ttl = [], 300
        except Silent:
            return _kept(kept, at + SILENCE)
        check_at = at + min(max(ttl, SILENCE), LONGEST)
        version = read_record(texts)
        if not version or (kept is not None and kept.version == version and not again):
            return _kept(kept, check_at)
        try:
            async with self._fetching:
                policy, text = await self._fetch(domain)
        except Unfetched as error:
            log.info("tls.policy_unfetched", domain=domain, why=str(error), kept=kept is not None)
            return _kept(kept, at + UNFETCHED, error.fault, str(error))
        until = now + timedelta(seconds=policy.max_age)
        await self._database.write(put_policy, StoredPolicy(domain, version, text, now, until))
        return Sts(policy, text, version, min(check_at, max(until.timestamp(), at + SILENCE)))

    # -- DANE

    async def _find_tlsa(self, host: Host, now: datetime) -> Tlsa:
        known = self._tlsa.get(host.name)
        if known is not None and known.until > now.timestamp():
            return known
        made = await self._ask_tlsa(host, now.timestamp())
        _remember(self._tlsa, host.name, made)
        return made

    async def _ask_tlsa(self, host: Host, at: float) -> Tlsa:
        """At the name that the host is an alias of first, then at its own (RFC 7672 §2.2.3)."""
        for base in (host.alias_of, host.name):
            if not base:
                continue
            try:
                records, ttl = await self._questions.tlsa(f"_{self._port}._tcp.{base}")
            except NoSuchName:
                continue
            except Silent as error:
                return Tlsa(trouble=str(error), until=at + SILENCE)
            if records:
                return Tlsa(records, base, until=at + min(max(ttl, 1.0), LONGEST))
        return Tlsa(until=at + 300)


def _kept(kept: StoredPolicy | None, check_at: float, flaw: str = "", words: str = "") -> Sts:
    """What was fetched before, while it holds; else that there is none."""
    if kept is None:
        return Sts(check_at=check_at, flaw=flaw, words=words)
    return Sts(read_policy(kept.text), kept.text, kept.version, min(check_at, kept.expires_at.timestamp()))


def _demands(domain: str, hosts: Sequence[Host], sts: Sts, tlsa: Mapping[str, Tlsa]) -> Demands:
    """Put together; the key holds whatever makes a session for one domain unfit for another."""
    parts: list[str] = []
    if tlsa and any(one.records or one.trouble for one in tlsa.values()):
        parts.append("dane")
        if any(record.usage == 2 for one in tlsa.values() for record in one.records):
            parts.append(domain)  # its certificates may be for the domain's own name
    if sts.policy is not None and sts.policy.mode in (ENFORCE, TESTING):
        allowed = sorted({host.name for host in hosts if sts.policy.allows(host.name)})
        parts += ["mta-sts", sts.policy.mode, *allowed]
    return Demands(domain, sts, tlsa, f" | {' '.join(parts)}" if parts else "")


def _remember(cache: OrderedDict[str, T], key: str, made: T) -> None:
    cache[key] = made
    cache.move_to_end(key)
    if len(cache) > REMEMBERED:
        cache.popitem(last=False)


async def _given(value: T) -> T:
    return value
