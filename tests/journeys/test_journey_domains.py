"""A tenant's domain in DNS: what the gateway does when it is wrong, silent and right again, and how keys are changed.

DNS is a server of our own (`dns_script`), the watch runs as it does in `serve`, and nothing is ever restarted.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from journeys.dns_script import DnsScript, dns_script
from journeys.house import HOSTNAME, INBOX, RETURNS, SHARED, Clock, Journey, Place, open_journey
from journeys.letters import AUTHOR, compose, read
from journeys.shell import Shell

from gateway.cli.domain import make_domain
from gateway.outbound.dns_records import Record, house_records, sending_records
from gateway.outbound.domain_check import House
from gateway.outbound.key_rotation import begin, make_keys
from gateway.outbound.queue import cancel
from gateway.store.database import to_ms
from gateway.store.domains import StoredDomain, StoredKey, get_domain, list_keys
from gateway.store.events import list_events
from gateway.store.schema import OPERATOR
from gateway.store.tenants import add_identity, set_tenant

ADDRESS = "192.0.2.10"
NAMES = House(HOSTNAME, HOSTNAME, "gateway.test", RETURNS, INBOX)


@pytest.fixture(autouse=True)
def a_quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outbound.domain_watch.TICK_SECONDS", 0.1)


def publish(dns: DnsScript, *records: Record) -> None:
    """Put records into DNS as a zone file would."""
    for one in records:
        value = " ".join(f'"{one.value[i : i + 255]}"' for i in range(0, len(one.value), 255))
        dns.zone[one.name, one.type] = [value if one.type == "TXT" else one.value]


@asynccontextmanager
async def open_both(place: Place) -> AsyncIterator[tuple[Journey, DnsScript]]:
    """A journey whose tenant acme sends as itself from acme.test, and DNS that has nothing yet but hosts."""
    async with dns_script() as dns:
        dns.zone[HOSTNAME, "A"] = [ADDRESS]
        dns.zone["10.2.0.192.in-addr.arpa", "PTR"] = [f"{HOSTNAME}."]
        dns.zone["acme.test", "A"] = [ADDRESS]
        resolver = {"resolver": f"127.0.0.1:{dns.port}", "allow_private": True}
        async with open_journey(place, clock=Clock(), delivery=resolver) as journey:
            yield journey, dns


async def become_own(journey: Journey, *authors: str) -> None:
    for author in authors or (AUTHOR,):
        await journey.write(add_identity, journey.clock(), journey.tenant_id, author)
    await journey.write(set_tenant, journey.tenant_id, sending="own")


async def domain_of(journey: Journey, name: str = "acme.test", tenant_id: str = "") -> StoredDomain:
    found = await journey.house.database.read(get_domain, tenant_id or journey.tenant_id, name)
    assert found is not None
    return found


async def wait_for(
    journey: Journey, aligned: bool | None, name: str = "acme.test", tenant_id: str = ""
) -> StoredDomain:
    """The domain once it was looked at and is aligned, or not."""

    async def ask() -> StoredDomain | None:
        found = await domain_of(journey, name, tenant_id)
        return found if found.checked_at and found.kept["aligned"] is aligned else None

    return await journey.until(ask)


async def wait_for_states(journey: Journey, wanted: dict[str, str], tenant_id: str, name: str) -> None:
    async def ask() -> bool:
        keys = await journey.house.database.read(list_keys, tenant_id, name)
        return {key.selector: key.state for key in keys} == wanted

    await journey.until(ask)


async def signed(journey: Journey, recipient: str, author: str = AUTHOR) -> tuple[str, set[str]]:
    """(From, "domain selector" of each signature) of a mail that is sent now."""
    await journey.queue(compose(to=recipient, author=author), recipient)
    arrived = read((await journey.arrival(recipient)).raw)
    text = " ".join(arrived.get_all("DKIM-Signature", [])).replace(" ", "")
    return str(arrived["From"]), {" ".join(pair) for pair in re.findall(r"d=([^;]+);s=([^;]+);", text)}


def test_mail_stays_on_the_shared_address_until_dns_has_the_key(place: Place) -> None:
    async def run() -> None:
        async with open_both(place) as (journey, dns):
            await become_own(journey)
            await asyncio.to_thread(
                make_domain,
                journey.house.database,
                journey.house.seal,
                journey.tenant_id,
                "acme.test",
                ("rsa", "ed25519"),
            )
            await wait_for(journey, False)
            author, by = await signed(journey, "one@client.test")
            assert author == f"Acme Servicii SRL <{SHARED}>"
            assert {pair.split()[0] for pair in by} == {"gateway.test"}
            # the tenant is told, once, in the place where clerks look
            (told,) = [t for t in await journey.threads() if t.key == "domain/acme.test"]
            assert (told.state, told.chip) == ("open", "domain")
            (event,) = await journey.event(told.id, "domain.unaligned")
            assert "no DKIM record" in event.data["words"]
            # the records are published, the next look is due, and nothing else is done
            keys = await journey.house.database.read(list_keys, journey.tenant_id, "acme.test")
            publish(dns, *sending_records("acme.test", keys, NAMES))
            journey.clock.move(minutes=6)
            found = await wait_for(journey, True)
            assert not [one for one in found.kept["findings"] if one["severity"] in ("error", "warning")]
            author, by = await signed(journey, "two@client.test")
            assert author == f"Acme Servicii SRL <{AUTHOR}>"
            assert by == {f"acme.test {key.selector}" for key in keys}
            assert (await journey.thread(told.id)).state == "closed"
            assert await journey.event(told.id, "domain.aligned")
            changes = await journey.house.database.read(list_events, journey.tenant_id, thread_id="")
            assert [e.data["state"] for e in changes if e.type == "domain.check_changed"] == ["error", "ok"]

    asyncio.run(run())


def test_silence_of_dns_changes_nothing(place: Place) -> None:
    async def run() -> None:
        async with open_both(place) as (journey, dns):
            record = f"ar{journey.clock():%Y%m}r._domainkey.acme.test"
            dns.silent.add(record)
            await become_own(journey)
            await journey.domain("acme.test", ("rsa",))
            await wait_for(journey, None)
            author, _ = await signed(journey, "one@client.test")
            assert AUTHOR in author
            # what was known stays known while DNS is silent
            dns.silent.clear()
            journey.clock.move(minutes=6)
            await wait_for(journey, False)
            dns.silent.add(record)
            before = (await domain_of(journey)).checked_at
            journey.clock.move(minutes=6)

            async def again() -> bool:
                return (await domain_of(journey)).checked_at != before

            await journey.until(again)
            assert (await domain_of(journey)).kept["aligned"] is False

    asyncio.run(run())


def test_an_author_without_any_key_here_stays_on_the_shared_address(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await become_own(journey, AUTHOR, "office@second.test")
            await journey.domain("acme.test", ("rsa",))
            author, by = await signed(journey, "one@client.test")
            assert AUTHOR in author and {pair.split()[0] for pair in by} == {"acme.test"}
            author, by = await signed(journey, "two@client.test", "office@second.test")
            assert SHARED in author and {pair.split()[0] for pair in by} == {"gateway.test"}
            # each author is signed for by its own domain, or by the one above it
            await journey.domain("second.test", ("rsa",))
            await journey.write(add_identity, journey.clock(), journey.tenant_id, "office@ro.second.test")
            for name in ("second.test", "ro.second.test"):
                author, by = await signed(journey, f"{name}@client.test", f"office@{name}")
                assert f"office@{name}" in author and {pair.split()[0] for pair in by} == {"second.test"}

    asyncio.run(run())


async def renew(journey: Journey, name: str, owner: str) -> list[StoredKey]:
    return await journey.write(begin, journey.clock(), journey.house.seal, owner, name, make_keys())


@pytest.mark.parametrize("shared", [False, True])
def test_keys_change_when_dns_has_the_new_ones_and_the_old_ones_go_when_no_mail_needs_them(
    place: Place, shared: bool
) -> None:
    async def run() -> None:
        async with open_both(place) as (journey, dns):
            owner, name = (OPERATOR, "gateway.test") if shared else (journey.tenant_id, "acme.test")
            if not shared:
                await become_own(journey)
                await journey.domain(name, ("rsa", "ed25519"), owner)
            read_keys = journey.house.database.read
            old = await read_keys(list_keys, owner, name)
            publish(dns, *sending_records(name, old, NAMES), *(house_records(NAMES) if shared else ()))
            journey.clock.move(minutes=6)
            await wait_for(journey, True, name, owner)
            waiting = await journey.queue(compose(to="full@client.test"), "full@client.test")
            await journey.tried(waiting.message_id)
            # new keys are made: nothing signs with them before DNS has them
            new = await renew(journey, name, owner)
            assert len(new) == 2 and not {k.selector for k in new} & {k.selector for k in old}
            assert await renew(journey, name, owner) == new, "only once"
            before = (await domain_of(journey, name, owner)).checked_at
            journey.clock.move(minutes=6)

            async def looked() -> bool:
                return (await domain_of(journey, name, owner)).checked_at != before

            await journey.until(looked)
            _, by = await signed(journey, "one@client.test")
            assert by == {f"{name} {key.selector}" for key in old}
            # they are published: the next message is signed with them
            publish(dns, *sending_records(name, [*old, *new], NAMES))
            journey.clock.move(minutes=6)
            states = {k.selector: "replaced" for k in old} | {k.selector: "active" for k in new}
            await wait_for_states(journey, states, owner, name)
            _, by = await signed(journey, "two@client.test")
            assert by == {f"{name} {key.selector}" for key in new}
            # mail that the old ones signed still waits, so they are not retired yet
            before = (await domain_of(journey, name, owner)).checked_at
            journey.clock.move(hours=2)
            await journey.until(looked_after(journey, name, owner, before))
            await wait_for_states(journey, states, owner, name)
            now_ms = to_ms(journey.clock())
            await journey.write(cancel, now_ms, journey.tenant_id, (waiting.message_id, 0), "the test")
            journey.clock.move(hours=2)
            await wait_for_states(journey, states | {k.selector: "retired" for k in old}, owner, name)
            events = await read_keys(list_events, owner, thread_id="")
            assert [e.data["state"] for e in events if e.type == "domain.key_changed"].count("retired") == 2

    asyncio.run(run())


def looked_after(journey: Journey, name: str, owner: str, before: object):
    """Asks whether the domain was looked at since."""

    async def ask() -> bool:
        return (await domain_of(journey, name, owner)).checked_at != before

    return ask


def test_an_admin_checks_and_rotates_by_command(tmp_path_factory: pytest.TempPathFactory) -> None:
    shell = Shell(tmp_path_factory.mktemp("domains"))
    shell("init", "--domain", "gateway.test")

    async def run() -> None:
        async with dns_script() as dns:
            shell.set(delivery__resolver=f'"127.0.0.1:{dns.port}"')

            async def type_in(*args: str, status: int = 0):
                return await asyncio.to_thread(lambda: shell(*args, status=status))

            wrong = (await type_in("domain", "check", status=1)).out
            assert "does NOT pass DKIM" in wrong and "ERROR" in wrong
            assert "has no MX record: bounces do not come back" in wrong
            assert "DNS has no DKIM record" in (await type_in("doctor", status=1)).out
            # publish what it prints
            rows = (await type_in("domain", "records", "gateway.test", "--json")).json
            publish(dns, *(Record(**row) for row in rows))
            dns.zone["mail.gateway.test", "A"] = [ADDRESS]
            dns.zone["10.2.0.192.in-addr.arpa", "PTR"] = ["mail.gateway.test."]
            del dns.zone["_mta-sts.inbox.gateway.test", "TXT"]  # its policy would be fetched from the Internet
            right = (await type_in("domain", "check", "gateway.test", "--json")).json["checks"]
            assert [(one["domain"], one["state"], one["aligned"]) for one in right] == [("gateway.test", "ok", True)]
            assert "its DNS was right" in (await type_in("doctor", status=0)).out
            made = (await type_in("domain", "rotate", "gateway.test")).out
            assert "leave the records of" in made and made.count("IN TXT") == 2
            states = [row["state"] for row in (await type_in("domain", "keys", "gateway.test", "--json")).json]
            assert sorted(states) == ["active", "active", "pending", "pending"]
            rows = (await type_in("domain", "records", "gateway.test", "--json")).json
            publish(dns, *(Record(**row) for row in rows if "_domainkey" in row["name"]))
            changed = (await type_in("domain", "check", "gateway.test", "--json")).json["changed"]
            assert sum("signs from now on" in one for one in changed) == 2
            await type_in("domain", "check", "gateway.test")
            states = [row["state"] for row in (await type_in("domain", "keys", "gateway.test", "--json")).json]
            assert sorted(states) == ["active", "active", "retired", "retired"]
            stolen = (await type_in("domain", "rotate", "gateway.test", "--now", "--json")).json
            assert len(stolen["publish"]) == 2 and len(stolen["keep"]) == 2
            assert "does NOT pass DKIM" in (await type_in("domain", "check", "gateway.test", status=1)).out

    asyncio.run(run())
    assert "is not known" in shell("domain", "check", "other.md", status=1).err
