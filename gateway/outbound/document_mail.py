"""A mail that hands over a document: whom it goes to, with which template, and the message it will become.

Called by the door. The document is checked here and rendered later (`outbound.composition`). RCPT TO decides whom it
goes to; the header and the document's contacts only give names and places (To, Cc). Refuses in words what cannot go.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from gateway.mail.address import Address
from gateway.mail.header_mailboxes import read_mailboxes
from gateway.mail.message import Head
from gateway.mail.reply import Refused
from gateway.outbound.choosing import choose_template
from gateway.outbound.control import Control
from gateway.outbound.customers import Known, Named
from gateway.outbound.desk import Desk
from gateway.outbound.documents import Document, Recipient, sendable
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.texts import templates
from gateway.outbound.triggers import TRIGGERS
from gateway.store.database import new_id
from gateway.store.documents import StoredDocument
from gateway.store.messages import SMTPUTF8, Message


@dataclass(frozen=True, slots=True)
class Letter:
    """A document on its way. `to` and `cc` are (name, address) as the mail will name them; the rest stay unnamed."""

    document: Document
    template: str
    recipients: tuple[Address, ...]
    to: tuple[tuple[str, str], ...] = ()
    cc: tuple[tuple[str, str], ...] = ()
    control: Control = field(default_factory=Control)
    language: str = ""  # of the customer, as it is known beside the document
    known: bool = False  # the recipients are the customer's known contacts: the document names none

    @property
    def named(self) -> tuple[Named, ...]:
        """The recipients that the mail names, with their places."""
        return (*(("to", *pair) for pair in self.to), *(("cc", *pair) for pair in self.cc))


def address_document(
    letterhead: Letterhead,
    document: Document,
    head: Head,
    envelope: Sequence[Address],
    control: Control,
    sent_before: bool,
    today: date,
    known: Known = Known(),  # noqa: B008 it is frozen
    enabled: Callable[[str], bool] = lambda _: True,
) -> Letter:
    """Whom a document goes to, and with which template. `known`: what is known of its customer beside it; `enabled`:
    whether the tenant uses a template.

    The envelope decides, else the document's contacts, else those known of the customer.
    Raises Refused for a draft that is to be sent by hand, for a template that does not fit, and when nobody is named.
    """
    template = chosen_template(document, control, sent_before, today, enabled)
    if template and document.type not in templates()[template].fits:
        raise Refused(554, "5.6.0", f"the template {template} does not fit a document of type {document.type}")
    if not control.event and template:
        sendable(document)
    recipients = tuple(address for address in envelope if not letterhead.is_send_address(address))
    named = document.recipients()
    if not recipients:
        recipients = tuple(one.address for one in named)
    if from_known := not recipients:
        named = known.recipients
        recipients = tuple(one.address for one in named)
    if not recipients and not control.event and template:  # an event opens the thread instead (never in silence)
        raise Refused(554, "5.6.0", "the document names no address to send to; add customer.contacts[].email")
    places = _places(named, head, recipients)
    to, cc = (tuple((name, str(a)) for kind, name, a in places.values() if kind == wanted) for wanted in ("to", "cc"))
    return Letter(document, template, recipients, to, cc, control, known.language, from_known and bool(recipients))


def chosen_template(
    document: Document, control: Control, sent_before: bool, today: date, enabled: Callable[[str], bool]
) -> str:
    """The template that is asked for: by name, by the event, or by hand after the document's state; "" for none."""
    if control.template:
        return "" if control.template == "none" else control.template
    if control.event:
        return TRIGGERS[control.event].template
    chosen = choose_template(document, sent_before, today)
    if chosen == "paid_invoice" and not sent_before and not enabled(chosen):
        return "new_invoice"  # it was paid before it was sent, and goes to its customer for the first time all the same
    return chosen


def _places(
    named: Sequence[Recipient], head: Head, recipients: tuple[Address, ...]
) -> dict[str, tuple[str, str, Address]]:
    """(to, cc or bcc; name; address) of the recipients that the mail may name, by their keys.

    The contacts first, then the header of the mail that handed it over; a sole recipient is named anyway.
    """
    envelope = {address.key for address in recipients}
    places = {one.address.key: (one.kind, one.name, one.address) for one in named if one.address.key in envelope}
    for kind in ("to", "cc"):
        for box in read_mailboxes(head.raw_value(kind)):
            if box.address.key in envelope:
                places.setdefault(box.address.key, (kind, box.display, box.address))
    if len(recipients) == 1:
        places.setdefault(recipients[0].key, ("to", "", recipients[0]))
    return places


def named_in(head: Head, recipients: tuple[Address, ...]) -> tuple[Named, ...]:
    """The recipients that a mail's header names, with their places."""
    places = _places((), head, recipients).values()
    return tuple((kind, name, str(address)) for kind, name, address in places)


def document_message(
    letterhead: Letterhead, desk: Desk, letter: Letter, personal: str, credential: str, now: datetime
) -> Message:
    """The message as it is stored before it is rendered; its thread is found in the door's transaction."""
    document, message_id = letter.document, new_id()
    detail: dict[str, Any] = letter.control.remembered()
    detail |= {"to": [list(pair) for pair in letter.to], "cc": [list(pair) for pair in letter.cc]}
    if letter.control.language:  # it holds whatever a corrected document says
        detail["language"] = letter.control.language
    if letter.known:
        detail["known_contacts"] = True
    if letter.control.button:
        detail["button"] = letter.control.button
    if letter.control.attach_pdf is not None:
        detail["attach_pdf"] = letter.control.attach_pdf
    return Message(
        tenant_id=desk.tenant.id,
        id=message_id,
        thread_id="",
        direction="out",
        kind="document",
        created_at=now,
        rfc_message_id=letterhead.rfc_message_id(message_id),
        author=f"{desk.tenant.company} <{desk.author}>",
        recipients=", ".join(str(address) for address in letter.recipients),
        content_state="pending",
        flags=SMTPUTF8 * any(not address.ascii for address in letter.recipients),
        template=letter.template,
        language=letter.control.language
        or document.language
        or document.payer_or_customer.language
        or document.customer.language
        or letter.language
        or desk.tenant.language,
        detail=detail | ({"personal": personal} if personal else {}),
        document_type=document.type,
        document_id=document.id,
        credential_id=credential,
        run=letter.control.run,
    )


def stored(document: Document, thread_id: str, body: bytes, customer_key: str = "") -> StoredDocument:
    """A document's row; `body` is its canonical form, `customer_key` its customer's in `store.customers`."""
    totals = document.totals
    return StoredDocument(
        type=document.type,
        id=document.id,
        number=document.number,
        revision=document.revision,
        status=document.status,
        language=document.language,
        currency=document.currency,
        customer_id=document.customer.id,
        customer_name=document.customer.name,
        total=totals.total if totals else "",
        balance=(totals.balance or totals.total) if totals else "",
        issue_date=document.issue_date,
        due_date=document.due_date,
        body=body,
        sha256=hashlib.sha256(body).hexdigest(),
        thread_id=thread_id,
        customer_key=customer_key,
    )
