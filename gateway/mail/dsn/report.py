"""What a report says, as values: per recipient what happened, and what came back of the mail it is about.

Made by `mail.dsn.read`, spent by the inbound room. Unknown text is "", unknown time None; a status code is only ever
one that the mail carries. Everything here is foreign, unsigned information: nothing in it proves whose mail it was.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.mail.status import DeliveryStatus


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """One recipient of a report (RFC 3464 §2.3); `status.action` is what happened to the mail for it."""

    address: str  # the address we sent to, as far as the report tells: original, else final; "" when it names none
    original: str  # Original-Recipient, or the list or alias it was expanded from
    final: str  # Final-Recipient, or the address in the prose
    status: DeliveryStatus
    diagnostic: str = ""  # the remote's own words, uncut up to 2,000 characters
    remote_mta: str = ""
    will_retry_until: datetime | None = None
    last_attempt_at: datetime | None = None

    @property
    def passing(self) -> bool | None:
        """True when its codes say 4xx, False when 5xx; None when it carries none. The action may still be final."""
        lead = self.status.status[:1] or str(self.status.code or "")[:1]
        return {"4": True, "5": False}.get(lead)


@dataclass(frozen=True, slots=True)
class Returned:
    """The header of the mail that a report is about, as far as it came back."""

    message_id: str = ""  # without angle brackets
    subject: str = ""
    date: datetime | None = None
    return_path: str = ""
    author: str = ""
    to: tuple[str, ...] = ()  # To, Cc, envelope recipients
    addresses: tuple[str, ...] = ()  # every address in its header: our tokens may stand in any of them
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A delivery report (RFC 3464), a feedback report (RFC 5965) or a disposition notification (RFC 8098)."""

    recipients: tuple[ReportedRecipient, ...]
    original: Returned
    reporting_mta: str = ""
    arrival_at: datetime | None = None
    envelope_id: str = ""  # ENVID (RFC 3461 §4.4), decoded
    feedback_type: str = ""  # RFC 5965 §3.1: abuse, fraud, not-spam …
    disposition: str = ""  # RFC 8098 §3.2.6: displayed, deleted …
    how: str = ""  # what it was read from: "fields", "prose", "returned mail"
    text: str = ""  # the report's prose, for a person
