"""A DNS server whose answers a test changes as it goes; it can claim that DNSSEC vouches for them (the AD bit).

Answers by UDP on a free port of 127.0.0.1 from `zone`: (name, type) -> records; a name without any is NXDOMAIN, one in
`silent` SERVFAIL.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsScript(asyncio.DatagramProtocol):
    """The server. `asked` counts questions by (name, type); `validates` sets the AD bit."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[str]] = {}
        self.silent: set[str] = set()
        self.validates = False
        self.asked: Counter[tuple[str, str]] = Counter()
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, peer: tuple[str | Any, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA | (dns.flags.AD if self.validates else 0)
        if name in self.silent:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records := self.zone.get((name, kind)):
            response.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", kind, *records))
        elif not any(owner == name for owner, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), peer)


@contextlib.asynccontextmanager
async def dns_script() -> AsyncIterator[DnsScript]:
    """A running server."""
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(DnsScript, local_addr=("127.0.0.1", 0))
    try:
        yield made
    finally:
        transport.close()
