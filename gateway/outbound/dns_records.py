"""What to publish in DNS for a domain that mail is sent from, and for the gateway's own domains.

Values only, for the CLI's table, zone and JSON and (later) the settings page; each record says why it is needed.
SPF RFC 7208, DKIM RFC 6376, DMARC RFC 7489, MX RFC 5321, MTA-STS RFC 8461, TLS-RPT RFC 8460. Whether it *is* published
is looked at by `outbound.domain_watch`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.outbound.domain_check import House
from gateway.outbound.signing import zone_text
from gateway.store.domains import PENDING, REPLACED, RETIRED, StoredKey

STS_AGE = 7 * 86400  # seconds: long enough to protect, short enough to change one's mind


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `value` is the whole TXT value, or "10 mail.example." for MX."""

    name: str
    type: str
    value: str
    why: str

    @property
    def zone_line(self) -> str:
        """The record as a line of a zone file; TXT in quoted strings of at most 255 bytes."""
        value = zone_text(self.value) if self.type == "TXT" else self.value
        return f"{self.name}. IN {self.type} {value}"


def sending_records(domain: str, keys: Sequence[StoredKey], house: House) -> list[Record]:
    """For a domain that is the author of mail."""
    about = {PENDING: ", which signs once this is seen in DNS", REPLACED: ", of mail that is still queued"}
    dkim = [
        Record(
            f"{key.selector}._domainkey.{domain}",
            "TXT",
            key.public_record,
            f"DKIM: checks our {key.algorithm} signature{about.get(key.state, '')}",
        )
        for key in keys
        if key.state != RETIRED
    ]
    return [
        *dkim,
        Record(domain, "TXT", spf_value(house), "SPF: this gateway may send for the domain; merge with yours"),
        Record(
            f"_dmarc.{domain}", "TXT", f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}",
            "DMARC: begin with none, then quarantine, then reject; reports go to rua",
        ),
    ]  # fmt: skip


def spf_value(house: House) -> str:
    """The SPF record of a domain whose mail leaves through this gateway alone."""
    return f"v=spf1 a:{house.sends_from} -all"


def house_records(house: House) -> list[Record]:
    """For the gateway's own domains: of return paths, of the inbox addresses, and its host name."""
    inbox, returns = house.inbox_domain, house.return_domain
    return [
        Record(returns, "MX", f"10 {house.hostname}.", "MX: bounces come back here"),
        Record(returns, "TXT", spf_value(house), "SPF of the envelope: checked on every mail that leaves"),
        Record(inbox, "MX", f"10 {house.hostname}.", "MX: customers' answers come here"),
        Record(
            f"_mta-sts.{inbox}", "TXT", f"v=STSv1; id={sts_id(house)}",
            "MTA-STS: asks senders for TLS; only with a public certificate, and with the policy served over https",
        ),
        Record(
            f"_smtp._tls.{inbox}", "TXT", f"v=TLSRPTv1; rua=mailto:postmaster@{house.shared}",
            "TLS-RPT: others report how TLS with us went",
        ),
    ]  # fmt: skip


def sts_policy(house: House) -> str:
    """The policy to serve at https://mta-sts.INBOX-DOMAIN/.well-known/mta-sts.txt, as text/plain."""
    return f"version: STSv1\r\nmode: testing\r\nmx: {house.hostname}\r\nmax_age: {STS_AGE}\r\n"


def sts_id(house: House) -> str:
    """The id of that policy: another one when the policy is another one."""
    return hashlib.sha256(sts_policy(house).encode()).hexdigest()[:20]
