"""The one currency for outcomes: an SMTP reply now and a DSN days later both become a `DeliveryStatus`.

Made by `outbound.smtp_client` (from a reply), `outbound.delivery` (no MX, expired) and `mail.dsn` (from a report);
spent by `outbound.queue`. Action words are those of RFC 3464 §2.3.3, status codes those of RFC 3463.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

TEXT_LIMIT = 500  # characters of a remote's words that we keep (security rule 14)


class Action(StrEnum):
    """What was done with the message for this recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """The outcome for one recipient. Unknown text is "", an unknown reply code 0."""

    action: Action
    status: str  # RFC 3463, "5.1.1"; "" when the remote gave none
    code: int = 0  # SMTP reply code, 550
    text: str = ""  # the remote's own words, escaped and cut
    host: str = ""  # who said it: the remote MTA
    reason: str = ""  # our vocabulary: docs/smtp.md, "Why mail failed"

    @property
    def permanent(self) -> bool:
        """True when trying again is pointless: the action is `failed`."""
        return self.action is Action.FAILED

    @property
    def words(self) -> str:
        """The remote's answer on one line, `550 5.1.1 no such user`."""
        return say(self.code, self.status, self.text)

    def because(self, reason: str) -> Self:
        """The same outcome with its reason."""
        return replace(self, reason=reason)


def say(code: int, status: str, text: str) -> str:
    """An answer on one line, each code once: `550 5.1.1 no such user`, whichever codes the text repeats."""
    for part in (str(code or ""), status):
        if part and text.startswith(part) and text[len(part) : len(part) + 1] in ("", " ", "-"):
            text = text[len(part) + 1 :].lstrip()
    return " ".join(part for part in (str(code or ""), status, text) if part)


def clean(text: str, limit: int = TEXT_LIMIT) -> str:
    """A remote's words made safe to store, log and show: control characters escaped, cut at `limit` characters."""
    cut = text[: limit * 2].replace("\r\n", "\n").replace("\n", " ")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in cut)[:limit]
