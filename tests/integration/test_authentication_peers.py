"""What a receiver's rspamd says of our mail, by every route, when exactly what we tell people to publish is published.

SPF, DKIM and DMARC are judged with DNS by Knot and Unbound, whose zones are our own `domain records`. The mail went
through a whole gateway; a tenant's own server is a real Postfix that signs with OpenDKIM, as companies' servers do.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from journeys.house import (
    HOSTNAME,
    INBOX,
    RETURNS,
    SHARED,
    Clock,
    Journey,
    Place,
    fill_place,
    make_config,
    open_journey,
)
from journeys.letters import compose
from journeys.own_server import ADDRESS, PASSWORD, connect_tenant
from postroom.postfix import Postfix
from postroom.rspamd import Rspamd

from gateway.demo.mails import Received
from gateway.demo.samples import document_mail, sample_documents
from gateway.demo.world import start_world
from gateway.outbound.dns_records import Record, house_records, sending_records
from gateway.outbound.key_rotation import begin, make_keys
from gateway.outbound.signing import RSA, generate_key, public_record
from gateway.serve.parts import house_names
from gateway.store.database import Database, Transaction
from gateway.store.domains import ACTIVE, add_domain, list_keys
from gateway.store.schema import OPERATOR
from gateway.store.sealed import read_key_file
from gateway.store.tenants import add_identity, find_tenant, set_tenant

pytestmark = pytest.mark.integration

Start = Callable[..., Any]
OURS, COMPANY, STRANGER = "203.0.113.5", "203.0.113.77", "198.51.100.9"  # whose mail server has which address
REJECT = "v=DMARC1; p=reject; adkim=s"  # the strictest that a domain may ask for
ANA = "ana@customer.test"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A filled SQLite database; what is tried here is the same on both."""
    made = Place(tmp_path / "data", "")
    fill_place(made)
    return made


def add_own_domain(place: Place) -> list[Record]:
    """Tenant acme sends as itself, signed here; the records to publish for it."""
    config = make_config(place)
    seal, now = read_key_file(place.folder / "gateway.key"), datetime.now(UTC)

    def add(tx: Transaction) -> list[Record]:
        acme = find_tenant(tx, "acme")
        assert acme
        add_domain(tx, now, acme.id, "acme.test")
        keys = begin(tx, now, seal, acme.id, "acme.test", make_keys(), state=ACTIVE)
        add_identity(tx, now, acme.id, ADDRESS)
        set_tenant(tx, acme.id, sending="own")
        return sending_records("acme.test", keys, house_names(config))

    with_database = Database(config.database_url)
    try:
        return with_database.write_now(add)
    finally:
        with_database.close()


def house_zone(place: Place) -> str:
    """The gateway's own zone, with the strictest DMARC."""
    config = make_config(place)
    database = Database(config.database_url)
    keys = database.read_now(list_keys, OPERATOR, "gateway.test")
    database.close()
    names = house_names(config)
    records = [*sending_records("gateway.test", keys, names), *house_records(names)]
    assert {record.name for record in records} >= {RETURNS, INBOX, "gateway.test", "_dmarc.gateway.test"}
    return zone(records) + f"\n{HOSTNAME}. A {OURS}\n"


def zone(records: list[Record]) -> str:
    """A zone file of them; DMARC is made as strict as it can be."""
    return "\n".join(
        f'{record.name}. TXT "{REJECT}"' if record.name.startswith("_dmarc.") else record.zone_line
        for record in records
    )


def judge(rspamd: Rspamd, mail: Received, address: str = OURS, helo: str = HOSTNAME) -> set[str]:
    found = rspamd.judge(mail.raw, address=address, helo=helo, return_path=mail.return_path, recipient=mail.recipient)
    return set(found)


async def send_two(journey: Journey) -> list[Received]:
    """A composed mail and a document, as they arrived."""
    await journey.queue(compose("Factură №1", to=f"Ana Țurcanu <{ANA}>"), ANA)
    document = sample_documents(datetime.now(UTC).date())[0].document
    await journey.queue(document_mail(dict(document), now=datetime.now(UTC)), ANA)
    await journey.arrival(ANA, 1)
    return journey.arrivals(ANA)


PASS = {"R_SPF_ALLOW", "R_DKIM_ALLOW", "DMARC_POLICY_ALLOW"}


def test_mail_from_the_shared_address_passes_spf_dkim_and_dmarc(
    place: Place, start_dns: Start, start_rspamd: Start
) -> None:
    dns = start_dns({"gateway.test": house_zone(place)}, unsigned=("gateway.test",))
    rspamd: Rspamd = start_rspamd(dns.resolver)

    async def run() -> None:
        async with open_journey(place) as journey:
            for mail in await send_two(journey):
                assert f"<{SHARED}>".encode() in mail.raw and mail.return_path.endswith(f"@{RETURNS}")
                assert judge(rspamd, mail) == PASS
                # Another's machine: SPF says no, and the signature alone proves it still; without that, it is refused.
                assert judge(rspamd, mail, STRANGER) == {"R_SPF_FAIL", "R_DKIM_ALLOW", "DMARC_POLICY_ALLOW"}
                forged = Received(
                    mail.recipient, mail.return_path, mail.raw.replace(b"Subject: ", b"Subject: x"), mail.at
                )
                assert judge(rspamd, forged, STRANGER) == {"R_SPF_FAIL", "R_DKIM_REJECT", "DMARC_POLICY_REJECT"}

    asyncio.run(run())


def test_mail_from_a_tenants_own_domain_passes_with_its_signature(
    place: Place, start_dns: Start, start_rspamd: Start
) -> None:
    records = add_own_domain(place)
    zones = {"gateway.test": house_zone(place), "acme.test": zone(records)}
    dns = start_dns(zones, unsigned=tuple(zones))
    rspamd: Rspamd = start_rspamd(dns.resolver)

    async def run() -> None:
        async with open_journey(place) as journey:
            for mail in await send_two(journey):
                assert f"<{ADDRESS}>".encode() in mail.raw and mail.return_path.endswith(f"@{RETURNS}")
                assert b"d=acme.test" in mail.raw
                assert judge(rspamd, mail) == PASS

    asyncio.run(run())


@pytest.mark.parametrize("strict", [False, True], ids=["any return path", "its own return path"])
def test_mail_through_a_tenants_own_server_passes_with_that_servers_signature(
    place: Place, start_dns: Start, start_rspamd: Start, start_postfix: Start, start_opendkim: Start,
    start_submission: Start, strict: bool
) -> None:  # fmt: skip
    key = generate_key(RSA)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    acme = (
        f'@ TXT "v=spf1 a:mx.acme.test -all"\nmx A {COMPANY}\n_dmarc TXT "{REJECT}"\n'
        + Record("corp._domainkey.acme.test", "TXT", public_record(key), "").zone_line
    )
    zones = {"gateway.test": house_zone(place), "acme.test": acme}
    dns = start_dns(zones, unsigned=tuple(zones))
    rspamd: Rspamd = start_rspamd(dns.resolver)
    signer = start_opendkim(sign=("acme.test", "corp", pem))
    logins = start_submission(users={ADDRESS: PASSWORD})

    async def run() -> None:
        clock = Clock()
        world = await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=0)
        owns = {
            "smtpd_sender_login_maps": f"inline:{{ {ADDRESS}={ADDRESS} }}",
            "smtpd_sender_restrictions": "reject_sender_login_mismatch, reject_unlisted_sender",
        }
        try:
            postfix: Postfix = await asyncio.to_thread(
                start_postfix, domains=["acme.test"], users=[ADDRESS], relayhost=world.port, milters=[signer.port],
                extra={
                    "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot",
                    "smtpd_sasl_path": f"inet:127.0.0.1:{logins.auth_port}", "smtpd_tls_auth_only": "yes",
                    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject", **(owns if strict else {}),
                },
            )  # fmt: skip
            async with open_journey(place, clock=clock, world=world) as journey:
                cert = (postfix.room.path / "cert.pem").read_text()
                await connect_tenant(journey, place.folder, postfix.port, trusted=cert)
                for mail in await send_two(journey):
                    assert f"<{ADDRESS}>".encode() in mail.raw and b"s=corp" in mail.raw
                    assert mail.return_path == ADDRESS if strict else mail.return_path.endswith(f"@{RETURNS}")
                    found = judge(rspamd, mail, COMPANY, "mx.acme.test")
                    # Our return path from their machine: SPF cannot say yes, and their signature is what counts.
                    assert found == (PASS if strict else PASS - {"R_SPF_ALLOW"} | {"R_SPF_FAIL"})
        finally:
            await world.stop()

    asyncio.run(run())
