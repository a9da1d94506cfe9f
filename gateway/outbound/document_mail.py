"""A mail that hands over a document: whom it goes to, with which template, and the message it will become.

Called by the door. The document is checked here and rendered later (`outbound.composition`). RCPT TO decides whom it
goes to; the header and the document's contacts only give names and places (To, Cc). Refuses in words what cannot go.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from gateway.mail.address import Address
from gateway.mail.header_mailboxes import read_mailboxes
from gateway.mail.message import Head
from gateway.mail.reply import Refused
from gateway.outbound.choosing import choose_template
from gateway.outbound.control import Control
from gateway.outbound.desk import Desk
from gateway.outbound.documents import Document, sendable
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


def address_document(
    letterhead: Letterhead,
    document: Document,
    head: Head,
    envelope: Sequence[Address],
    control: Control,
    sent_before: bool,
    today: date,
) -> Letter:
    """Whom a document goes to, and with which template.

    Raises Refused for a draft that is to be sent by hand, for a template that does not fit, and when nobody is named.
    """
    template = _template(document, control, sent_before, today)
    if template and document.type not in templates()[template].fits:
        raise Refused(554, "5.6.0", f"the template {template} does not fit a document of type {document.type}")
    if not control.event and template:
        sendable(document)
    recipients = tuple(address for address in envelope if not letterhead.is_send_address(address))
    if not recipients:
        recipients = tuple(one.address for one in document.recipients())
    if not recipients and not control.event and template:  # an event opens the thread instead (never in silence)
        raise Refused(554, "5.6.0", "the document names no address to send to; add customer.contacts[].email")
    places = _places(document, head, recipients)
    to, cc = (tuple((name, str(a)) for kind, name, a in places.values() if kind == wanted) for wanted in ("to", "cc"))
    return Letter(document, template, recipients, to, cc, control)


def _template(document: Document, control: Control, sent_before: bool, today: date) -> str:
    """The template that is asked for: by name, by the event, or by hand after the document's state; "" for none."""
    if control.template:
        return "" if control.template == "none" else control.template
    if control.event:
        return TRIGGERS[control.event].template
    return choose_template(document, sent_before, today)


def _places(document: Document, head: Head, recipients: tuple[Address, ...]) -> dict[str, tuple[str, str, Address]]:
    """(to, cc or bcc; name; address) of the recipients that the mail may name, by their keys.

    The document's contacts first, then the header of the mail that handed it over; a sole recipient is named anyway.
    """
    envelope = {address.key for address in recipients}
    places = {
        one.address.key: (one.kind, one.name, one.address)
        for one in document.recipients()
        if one.address.key in envelope
    }
    for kind in ("to", "cc"):
        for box in read_mailboxes(head.raw_value(kind)):
            if box.address.key in envelope:
                places.setdefault(box.address.key, (kind, box.display, box.address))
    if len(recipients) == 1:
        places.setdefault(recipients[0].key, ("to", "", recipients[0]))
    return places


def document_message(
    letterhead: Letterhead, desk: Desk, letter: Letter, personal: str, credential: str, now: datetime
) -> Message:
    """The message as it is stored before it is rendered; its thread is found in the door's transaction."""
    document, message_id = letter.document, new_id()
    detail: dict[str, Any] = letter.control.remembered()
    detail |= {"to": [list(pair) for pair in letter.to], "cc": [list(pair) for pair in letter.cc]}
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
        or desk.tenant.language,
        detail=detail | ({"personal": personal} if personal else {}),
        document_type=document.type,
        document_id=document.id,
        credential_id=credential,
    )


def stored(document: Document, thread_id: str, body: bytes) -> StoredDocument:
    """A document's row; `body` is its canonical form."""
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
    )
