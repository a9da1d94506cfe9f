"""The words of the pages of documents and customers: how a document stands, how mail to an address fares.

Msgids, as everything of `web.words`; the colours are those of its chips.
"""

from gateway.inbox import customers, documents, owing
from gateway.inbox.timeline import msgid
from gateway.web.words import FAULT, NOTE, POLICY, REPLY, TYPES

STANDINGS: dict[str, tuple[str, str]] = {  # -> (msgid, colour)
    owing.DRAFT: (msgid("draft"), NOTE),
    owing.VOIDED: (msgid("voided"), NOTE),
    owing.PAID: (msgid("paid"), REPLY),
    owing.OVERDUE: (msgid("overdue"), FAULT),
    owing.UNPAID: (msgid("unpaid"), POLICY),
    owing.ACTIVE: (msgid("active"), NOTE),
    "partially_paid": (msgid("partly paid"), POLICY),
    "past_due": (msgid("overdue"), FAULT),
    "bad_debt": (msgid("bad debt"), NOTE),
    "accepted": (msgid("accepted by the customer"), REPLY),
    "declined": (msgid("declined"), NOTE),
    "expired": (msgid("expired"), NOTE),
    "canceled": (msgid("canceled"), NOTE),
}
STATES: dict[str, str] = {  # what the list can be asked for
    "": msgid("All documents"),
    owing.UNPAID: msgid("Unpaid"),
    owing.OVERDUE: msgid("Overdue"),
    documents.UNSENT: msgid("Not sent yet"),
    owing.PAID: msgid("Paid"),
    owing.DRAFT: msgid("Drafts"),
    owing.VOIDED: msgid("Voided"),
}
KINDS = TYPES | {"autopay_failure": msgid("Failed automatic payment")}

FARES: dict[str, tuple[str, str]] = {
    customers.NEVER: (msgid("nothing sent yet"), NOTE),
    customers.STOPPED: (msgid("mail is stopped"), FAULT),
    customers.ALWAYS: (msgid("always allowed"), REPLY),
    customers.BOUNCED: (msgid("the last mail came back"), FAULT),
    customers.REACHED: (msgid("mail is accepted"), NOTE),
}
ROLES: dict[str, str] = {
    "to": msgid("receives documents"),
    "cc": msgid("in copy"),
    "bcc": msgid("in hidden copy"),
    "alternate": msgid("only known, never mailed"),
}
SOURCES: dict[str, str] = {"document": msgid("from documents"), "tenant": msgid("set by you")}

DID: dict[str, str] = {
    "again": msgid("This form was sent already; nothing was sent a second time."),
    "back": msgid("Taken back; nothing was sent."),
    "noted": msgid("Noted as sent."),
    "paused": msgid("No reminders will be sent about this document."),
    "resumed": msgid("Reminders will be sent again."),
    "contact": msgid("The address is saved."),
    "dropped": msgid("The address is removed."),
    "language": msgid("The language is saved."),
    "corrected": msgid("The address is corrected; what it missed is on its way."),
}


def standing(name: str) -> tuple[str, str]:
    """(msgid, colour) of how a document stands."""
    return STANDINGS.get(name, (name.replace("_", " "), NOTE))
