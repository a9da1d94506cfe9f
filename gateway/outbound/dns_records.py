"""What to publish in DNS for a domain that mail is sent from, and for the gateway's own domains.

Values only, for the CLI's table, zone and JSON and (later) the settings page; each record says why it is needed.
SPF RFC 7208, DKIM RFC 6376, DMARC RFC 7489, MX RFC 5321. Looking at what *is* published is a later part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.outbound.signing import zone_text
from gateway.store.domains import StoredKey


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


def sending_records(domain: str, keys: Sequence[StoredKey], hostname: str) -> list[Record]:
    """For a domain that is the author of mail."""
    records = [
        Record(
            f"{key.selector}._domainkey.{domain}",
            "TXT",
            key.public_record,
            f"DKIM: checks our {key.algorithm} signature",
        )
        for key in keys
        if key.state != "retired"
    ]
    return [
        *records,
        Record(
            domain, "TXT", f"v=spf1 a:{hostname} -all", "SPF: this gateway may send for the domain; merge with yours"
        ),
        Record(f"_dmarc.{domain}", "TXT", "v=DMARC1; p=none", "DMARC: begin with none, then quarantine, then reject"),
    ]


def receiving_records(domain: str, hostname: str, *, returns: bool) -> list[Record]:
    """For the domain of return paths (`returns`) or of the inbox addresses."""
    what = "bounces come back here" if returns else "customers' answers come here"
    records = [Record(domain, "MX", f"10 {hostname}.", f"MX: {what}")]
    if returns:
        records.append(
            Record(domain, "TXT", f"v=spf1 a:{hostname} -all", "SPF of the envelope: checked on every mail that leaves")
        )
    return records
