"""Asks DNS: one question, its answer, and whether that answer was validated by DNSSEC.

Called by `outbound.mx` (MX and addresses), `outbound.tls_policy` (TLSA, MTA-STS) and `outbound.tls_reports`. Promises:
every failure is `NoSuchName` or `Silent`, within the time that was given; names are taken as they are, never completed
by a search list. An answer is secure only when the resolver that is asked was called trusted and says so (the AD bit,
RFC 4035 §3.2.3): over a network anybody may set that bit, so a trusted one runs on this machine.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.resolver
import dns.reversename
from dns.rdtypes.ANY.TLSA import TLSA
from dns.rdtypes.ANY.TXT import TXT

NAMED = {"MX": "exchange", "PTR": "target"}  # which part of a record is its name


class NoSuchName(Exception):
    """The name does not exist; the answer says so."""


class Silent(Exception):
    """DNS gave no usable answer now (bogus signatures are such a case); its text says which."""


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """One TLSA record (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


def reverse_name(address: str) -> str:
    """Where the PTR records of an address stand (RFC 1035 §3.5, RFC 3596 §2.5)."""
    return dns.reversename.from_address(str(ipaddress.ip_address(address))).to_text()


def is_loopback(server: str) -> bool:
    """Whether a DNS server's address is on this machine."""
    try:
        return ipaddress.ip_address(server).is_loopback
    except ValueError:
        return False


class Questions:
    """Asks these servers, the system's when there are none. `trusted`: their AD bit is believed; all are loopback."""

    def __init__(self, nameservers: Sequence[str], port: int, timeout: float, trusted: bool) -> None:
        self._nameservers, self._port, self._timeout = list(nameservers), port, timeout
        self.trusted = trusted and bool(nameservers) and all(is_loopback(server) for server in nameservers)
        self._dns: dns.asyncresolver.Resolver | None = None

    async def ask(self, name: str, kind: str) -> dns.resolver.Answer:
        """The answer; its `rrset` is None when the name has no such record. Raises NoSuchName and Silent."""
        try:
            if self._dns is None:
                self._dns = self._configured()
            absolute = dns.name.from_text(name, origin=dns.name.root)
            return await self._dns.resolve(absolute, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            raise NoSuchName(name) from error
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.BadEscape) as error:
            raise NoSuchName(name) from error  # what is no domain name does not exist
        except dns.exception.Timeout as error:
            raise Silent(f"no answer within {self._timeout:g} s to {kind} {name}") from error
        except (dns.exception.DNSException, OSError) as error:
            raise Silent(f"no usable answer to {kind} {name}") from error

    async def texts(self, name: str) -> tuple[list[str], int]:
        """(the TXT records of a name, each with its strings joined, for how many seconds). Raises like `ask`."""
        answer = await self.ask(name, "TXT")
        records = [record for record in answer if isinstance(record, TXT)] if answer.rrset is not None else []
        return [b"".join(record.strings).decode("latin-1") for record in records], ttl_of(answer)

    async def lookup(self, name: str, kind: str) -> tuple[str, list[str]]:
        """(rcode, records as text): for who evaluates others' policies, and takes a failure for an answer, too."""
        try:
            if kind == "TXT":
                return "NOERROR", (await self.texts(name))[0]
            answer = await self.ask(name, kind)
        except NoSuchName:
            return "NXDOMAIN", []
        except Silent:
            return "TIMEOUT", []
        records = list(answer) if answer.rrset is not None else []
        places = (str(getattr(one, NAMED.get(kind, "address"), "")).rstrip(".") for one in records)
        return "NOERROR", [place for place in places if place]

    async def tlsa(self, name: str) -> tuple[tuple[TlsaRecord, ...], int]:
        """(the TLSA records of a name that DNSSEC vouches for, for how many seconds). Raises like `ask`."""
        answer = await self.ask(name, "TLSA")
        if answer.rrset is None or not self.is_secure(answer):
            return (), ttl_of(answer)
        found = [TlsaRecord(r.usage, r.selector, r.mtype, r.cert) for r in answer if isinstance(r, TLSA)]
        return tuple(found), ttl_of(answer)

    def is_secure(self, answer: dns.resolver.Answer) -> bool:
        """Whether DNSSEC vouches for the whole answer, aliases and "there is none" included."""
        return self.trusted and bool(answer.response.flags & dns.flags.AD)

    def _configured(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = list(self._nameservers)
            resolver.port = self._port
        resolver.lifetime = self._timeout
        resolver.timeout = min(5.0, self._timeout / 2)
        resolver.use_edns(0, dns.flags.DO if self.trusted else 0, 1232)
        if self.trusted:
            resolver.flags = dns.flags.RD | dns.flags.AD
        return resolver


def ttl_of(answer: dns.resolver.Answer) -> int:
    """The shortest TTL on the way to the answer, aliases included; 0 when there is none."""
    return min([rrset.ttl for rrset in answer.response.answer], default=0)
