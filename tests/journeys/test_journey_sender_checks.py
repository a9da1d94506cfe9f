"""Who really sent a reply: SPF, DKIM and DMARC stand in the thread, and nothing is refused for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from journeys.dns_script import DnsScript, dns_script
from journeys.house import INBOX, Journey, Place, open_journey
from journeys.letters import compose

ANA = "ana@client.test"


@contextlib.asynccontextmanager
async def open_checked(place: Place) -> AsyncIterator[tuple[Journey, DnsScript]]:
    async with (
        dns_script() as dns,
        open_journey(place, delivery={"resolver": f"127.0.0.1:{dns.port}", "dane": "off"}) as journey,
    ):
        yield journey, dns


async def checked(journey: Journey, raw: bytes, return_path: str = ANA) -> dict[str, Any]:
    """What was found about a mail to the inbox."""
    before = {thread.id for thread in await journey.threads()}
    answer = await journey.come(raw, f"acme@{INBOX}", return_path=return_path)
    assert answer.code == 250, answer
    [begun] = [thread.id for thread in await journey.threads() if thread.id not in before]
    [kept] = await journey.came(begun)
    found = dict(kept.detail["checked"])
    page = (await journey.view(begun)).messages[0]
    assert page.message.detail["checked"] == kept.detail["checked"]
    return found


def test_a_mail_from_a_server_of_its_domain_passes_and_one_from_elsewhere_fails(place: Place) -> None:
    async def run() -> None:
        async with open_checked(place) as (journey, dns):
            dns.zone["client.test", "TXT"] = ['"v=spf1 ip4:127.0.0.1 -all"']
            dns.zone["_dmarc.client.test", "TXT"] = ['"v=DMARC1; p=reject"']
            dns.zone["stranger.test", "TXT"] = ['"v=spf1 -all"']
            found = await checked(journey, compose("Unu", author=ANA))
            assert (found["spf"], found["spf_domain"]) == ("pass", "client.test")
            assert (found["dmarc"], found["policy"]) == ("pass", "reject")
            found = await checked(journey, compose("Doi", author=ANA), "x@stranger.test")
            assert (found["spf"], found["dmarc"], found["policy"]) == ("fail", "fail", "reject")
            found = await checked(journey, compose("Trei", author="ion@other.test"), "ion@other.test")
            assert (found["spf"], found["dmarc"]) == ("none", "none")
            dns.silent.add("_dmarc.quiet.test")
            found = await checked(journey, compose("Patru", author="ion@quiet.test"), "ion@quiet.test")
            assert found["dmarc"] == "temperror"

    asyncio.run(run())


def test_a_signature_proves_the_organisation_of_the_author(place: Place) -> None:
    async def run() -> None:
        async with open_checked(place) as (journey, dns):
            key = generate_private_key(65537, 2048)
            private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
            public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
            base64 = "".join(public.splitlines()[1:-1])
            dns.zone["k1._domainkey.mail.client.test", "TXT"] = [f'"v=DKIM1; p={base64[:200]}" "{base64[200:]}"']
            dns.zone["_dmarc.client.test", "TXT"] = ['"v=DMARC1; p=quarantine"']
            raw = compose("Unu", author=ANA)
            signed = dkim.sign(raw, b"k1", b"mail.client.test", private) + raw
            found = await checked(journey, signed, "x@stranger.test")
            assert found["dkim"] == [["mail.client.test", "pass"]]
            assert (found["dmarc"], found["policy"]) == ("pass", "quarantine")
            found = await checked(journey, signed.replace(b"Unu", b"Doi"), "x@stranger.test")
            assert (found["dkim"], found["dmarc"]) == ([["mail.client.test", "fail"]], "fail")
            unsigned_domain = dkim.sign(raw, b"k9", b"mail.client.test", private) + raw
            found = await checked(journey, unsigned_domain.replace(b"Unu", b"Trei"), "x@stranger.test")
            assert found["dkim"][0][1] in ("permerror", "neutral", "fail") and found["dmarc"] == "fail"

    asyncio.run(run())
