"""The MX look-up against a small DNS server of our own on loopback: what each answer of DNS makes of a domain."""

import asyncio
import collections
from datetime import UTC, datetime, timedelta

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import uvloop

from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.mx import ADDRESS_LIMIT, HOST_LIMIT, Host, Resolver

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ZONE = {
    ("one.test", "MX"): ["10 mx.one.test."],
    ("mx.one.test", "A"): ["192.0.2.1"],
    ("mx.one.test", "AAAA"): ["2001:db8::1"],
    ("many.test", "MX"): ["20 c.many.test.", "10 a.many.test.", "10 b.many.test."],
    ("a.many.test", "A"): ["192.0.2.11"],
    ("b.many.test", "A"): ["192.0.2.12"],
    ("c.many.test", "A"): ["192.0.2.13"],
    ("implicit.test", "A"): ["192.0.2.20"],
    ("null.test", "MX"): ["0 ."],
    ("nullish.test", "MX"): ["0 .", "10 mx.one.test."],
    ("nothing.test", "TXT"): ['"no mail here"'],
    ("dangling.test", "MX"): ["10 gone.test."],
    ("loop.test", "MX"): ["5 mx.one.test.", "10 us.test.", "10 a.many.test.", "20 b.many.test."],
    ("ourselves.test", "MX"): ["10 US.test.", "20 a.many.test."],
    ("private.test", "MX"): ["10 private.test."],
    ("private.test", "A"): ["10.0.0.1", "127.0.0.1"],
    ("half.test", "MX"): ["10 private.test.", "20 mx.one.test."],
    ("alias.test", "CNAME"): ["one.test."],
    ("xn--bcher-kva.test", "MX"): ["10 mx.one.test."],
    ("crowd.test", "MX"): [f"{n} h{n}.crowd.test." for n in range(20)],
    **{(f"h{n}.crowd.test", "A"): [f"198.51.100.{n * 10 + i}" for i in range(10)] for n in range(20)},
    ("half-silent.test", "MX"): ["10 a.broken.test.", "20 mx.one.test."],
    ("all-silent.test", "MX"): ["10 a.broken.test."],
    ("brief.test", "MX"): ["10 a.many.test."],
}
TTLS = {"brief.test": 10}


class Dns(asyncio.DatagramProtocol):
    """Answers from ZONE with a TTL of 300 s; `*.broken.test` is SERVFAIL, `silent.test` gets no answer."""

    def __init__(self):
        self.asked = collections.Counter()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        if name == "silent.test":
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name.endswith("broken.test"):
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            self.answer(response, name, kind)
        self.transport.sendto(response.to_wire(), peer)

    def answer(self, response, name, kind):
        if (name, "CNAME") in ZONE:
            self.add(response, name, "CNAME")
            name = ZONE[name, "CNAME"][0].rstrip(".")
        if (name, kind) in ZONE:
            self.add(response, name, kind)
        elif not any(owner == name for owner, _ in ZONE):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def add(self, response, name, kind):
        response.answer.append(dns.rrset.from_text(name + ".", TTLS.get(name, 300), "IN", kind, *ZONE[name, kind]))


@pytest.fixture(params=["asyncio", "uvloop"])
def ask(request):
    """Runs `question(resolver, server)` with a resolver made with the given options."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    async def serve(question, options):
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(Dns, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        try:
            return await question(Resolver(["127.0.0.1"], port, **options), server)
        finally:
            transport.close()

    def run(question, **options):
        if isinstance(question, str):
            domain = question

            async def question(resolver, _):
                return await resolver.find(domain, NOW)

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(serve(question, options), 30))

    return run


def names(hosts):
    assert not isinstance(hosts, DeliveryStatus), hosts
    return [host.name for host in hosts]


def test_the_mx_host_is_found_with_its_addresses_ipv4_first(ask):
    expected = (Host("mx.one.test", "192.0.2.1", 25, 10), Host("mx.one.test", "2001:db8::1", 25, 10))
    assert ask("one.test") == expected
    assert ask("ONE.test.") == expected
    assert ask("one.test", families=("AAAA", "A")) == expected[::-1]
    assert ask("one.test", families=("A",)) == expected[:1]


def test_hosts_come_by_preference_and_at_random_within_one(ask):
    async def often(resolver, server):
        seen = {tuple(names(await resolver.find("many.test", NOW))) for _ in range(60)}
        assert server.asked["many.test", "MX"] == 1
        return seen

    assert ask(often) == {
        ("a.many.test", "b.many.test", "c.many.test"),
        ("b.many.test", "a.many.test", "c.many.test"),
    }


def test_a_domain_without_mx_takes_mail_itself(ask):
    assert ask("implicit.test") == (Host("implicit.test", "192.0.2.20", 25, 0),)


def test_an_alias_is_followed(ask):
    assert names(ask("alias.test", families=("A",))) == ["mx.one.test"]


def test_an_international_domain_is_asked_in_ascii(ask):
    assert names(ask("bücher.test", families=("A",))) == ["mx.one.test"]


@pytest.mark.parametrize(
    ("domain", "action", "status", "reason"),
    [
        ("null.test", Action.FAILED, "5.1.10", "domain_unknown"),
        ("gone.test", Action.FAILED, "5.1.2", "domain_unknown"),
        ("nothing.test", Action.FAILED, "5.1.2", "domain_unknown"),
        ("a" * 64 + ".test", Action.FAILED, "5.1.2", "domain_unknown"),
        ("a..test", Action.FAILED, "5.1.2", "domain_unknown"),
        ("", Action.FAILED, "5.1.2", "domain_unknown"),
        ("[300.1.1.1]", Action.FAILED, "5.1.2", "domain_unknown"),
        ("a.broken.test", Action.DELAYED, "4.4.3", "unreachable"),
        ("silent.test", Action.DELAYED, "4.4.3", "unreachable"),
        ("all-silent.test", Action.DELAYED, "4.4.3", "unreachable"),
        ("dangling.test", Action.DELAYED, "4.4.4", "unreachable"),
        ("ourselves.test", Action.FAILED, "5.4.6", "relay_failed"),
    ],
)
def test_why_there_is_no_host_is_told(ask, domain, action, status, reason):
    found = ask(domain, own_names={"us.test"}, timeout=1.0)
    assert isinstance(found, DeliveryStatus)
    assert (found.action, found.status, found.reason) == (action, status, reason)
    assert found.text


def test_a_null_mx_beside_a_real_one_is_ignored(ask):
    assert names(ask("nullish.test", families=("A",))) == ["mx.one.test"]


def test_only_hosts_preferred_to_ourselves_are_tried(ask):
    assert names(ask("loop.test", own_names={"us.test"}, families=("A",))) == ["mx.one.test"]


def test_a_name_server_that_is_not_there_is_passing(ask):
    async def question(_, __):
        return await Resolver(["127.0.0.1"], 1, timeout=1.0).find("one.test", NOW)

    assert ask(question).status == "4.4.3"


def test_one_silent_host_does_not_hide_the_others(ask):
    async def question(resolver, server):
        assert names(await resolver.find("half-silent.test", NOW)) == ["mx.one.test"]
        await resolver.find("half-silent.test", NOW + timedelta(seconds=20))
        assert server.asked["half-silent.test", "MX"] == 2  # and is asked for again soon
        return True

    assert ask(question, families=("A",))


def test_ten_hosts_with_four_addresses_are_enough(ask):
    hosts = ask("crowd.test", families=("A",))
    assert len(hosts) == HOST_LIMIT * ADDRESS_LIMIT
    assert list(dict.fromkeys(names(hosts))) == [f"h{n}.crowd.test" for n in range(HOST_LIMIT)]


def public(address):
    return not (address.is_private and not str(address).startswith(("192.0.2.", "2001:db8:")))


def test_addresses_that_may_not_be_dialled_are_refused(ask):
    found = ask("private.test", allow=public)
    assert (found.action, found.status) == (Action.DELAYED, "4.4.4")
    assert names(ask("half.test", allow=public, families=("A",))) == ["mx.one.test"]
    assert ask("[127.0.0.1]", allow=public).status == "4.4.4"
    assert len(ask("private.test")) == 2


@pytest.mark.parametrize(("literal", "address"), [("[192.0.2.9]", "192.0.2.9"), ("[IPv6:2001:DB8::9]", "2001:db8::9")])
def test_an_address_literal_needs_no_dns(ask, literal, address):
    (host,) = ask(literal)
    assert (host.address, host.port) == (address, 25)


def test_fixed_hosts_are_taken_before_dns(ask):
    hosts = {"one.test": [("fixed.test", "127.0.0.1", 2525)], "*": [("rest.test", "127.0.0.2", 2526)]}
    assert ask("one.test", hosts=hosts) == (Host("fixed.test", "127.0.0.1", 2525),)
    assert ask("two.test", hosts=hosts) == (Host("rest.test", "127.0.0.2", 2526),)
    assert names(ask("one.test", hosts={"other.test": hosts["*"]}, families=("A",))) == ["mx.one.test"]


@pytest.mark.parametrize(
    ("domain", "seconds", "asked"),
    [("one.test", 299, 1), ("one.test", 301, 2), ("brief.test", 9, 1), ("brief.test", 11, 2), ("gone.test", 61, 2)],
)
def test_answers_are_remembered_no_longer_than_their_ttl(ask, domain, seconds, asked):
    async def question(resolver, server):
        first = await resolver.find(domain, NOW)
        assert await resolver.find(domain, NOW + timedelta(seconds=seconds)) == first
        return server.asked[domain, "MX"]

    assert ask(question, families=("A",)) == asked


def test_the_memory_is_bounded_and_forgets_what_was_used_least(ask):
    async def question(resolver, server):
        for domain in ("one.test", "many.test", "one.test", "brief.test", "one.test", "many.test"):
            await resolver.find(domain, NOW)
        return [server.asked[domain, "MX"] for domain in ("one.test", "many.test", "brief.test")]

    assert ask(question, cache_size=2) == [1, 2, 1]


def test_many_that_ask_at_once_ask_dns_once_and_one_that_gives_up_stops_no_other(ask):
    async def question(resolver, server):
        tasks = [asyncio.ensure_future(resolver.find("one.test", NOW)) for _ in range(20)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert len(set(results[1:])) == 1
        assert names(results[1])
        return server.asked["one.test", "MX"]

    assert ask(question) == 1
