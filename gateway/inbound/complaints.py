"""What a feedback report (ARF, RFC 5965) says about mail of ours: who complained about which delivery.

Used by `inbound.reception`. A complaint needs proof: our token or our Message-ID in the mail that it returns, or a
delivery's return path as its address. It is an event of that recipient and opens the thread; it suppresses nothing,
since only a permanent fault of the address does: whether to go on mailing is for a person to say.
"""

from collections.abc import Sequence

from gateway.inbound.bounces import Match, match_report, match_return_path
from gateway.inbound.destinations import Destination
from gateway.inbound.evidence import CONFIDENCE
from gateway.mail.classify import Kind
from gateway.mail.received import ReceivedMail
from gateway.store.database import Transaction
from gateway.store.events import add_event

PROVEN = ("certain", "strong")
PRAISE = "not-spam"  # a feedback type that is none (RFC 6430)


def match_complaint(tx: Transaction, now_ms: int, destination: Destination, mail: ReceivedMail) -> list[Match]:
    """The deliveries that a feedback report is provably about."""
    if mail.kind is not Kind.FEEDBACK or mail.report is None:
        return []
    if destination.delivery is not None:
        return [match_return_path(destination.delivery, mail)]
    found = match_report(tx, now_ms, destination.tenant_id, mail.report, mail)
    return [one for one in found if CONFIDENCE.get(one.by) in PROVEN]


def is_praise(mail: ReceivedMail) -> bool:
    """Whether a feedback report says that a mail was no spam."""
    return mail.kind is Kind.FEEDBACK and mail.report is not None and mail.report.feedback_type == PRAISE


def note_complaints(
    tx: Transaction, now_ms: int, mail: ReceivedMail, matches: Sequence[Match], message_id: str
) -> None:
    """Say of each recipient that they complained; `message_id` is the report's, as it is kept here."""
    if mail.kind is not Kind.FEEDBACK or is_praise(mail):
        return
    kind = mail.report.feedback_type if mail.report else ""
    for made in (one.delivery for one in matches):
        data = {"recipient": made.recipient, "from": mail.author, "kind": kind or "abuse", "complaint": message_id}
        add_event(
            tx, now_ms, made.tenant_id, "recipient.complained",
            thread_id=made.thread_id, message_id=made.message_id, number=made.number, data=data,
        )  # fmt: skip
