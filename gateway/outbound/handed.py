"""The values that pass through the door: what a doorstep hands over, what it gets back, what is ready to be kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.mail.address import Address, parse_address
from gateway.outbound.control import Control
from gateway.outbound.customers import Named
from gateway.outbound.documents import Document
from gateway.outbound.placing import About
from gateway.outbound.queue import Booked
from gateway.store.database import Transaction
from gateway.store.documents import StoredDocument
from gateway.store.messages import Message

# Asked once more in the transaction that keeps a message: (transaction, the document, the message's id) -> why it is
# not sent after all, "" when it is. What it notes there is undone with the message.
Gate = Callable[[Transaction, StoredDocument, str], str]


@dataclass(frozen=True, slots=True)
class Rcpt:
    """A recipient as the envelope names it."""

    address: Address
    notify: str = ""


@dataclass(frozen=True, slots=True)
class Handed:
    """What a doorstep hands over: who, to whom, and the bytes. `credential` names what it came by, for the timeline.

    `digest` is what an idempotency key stands for, where the doorstep knows better than the bytes; `state` is the hash
    that the stored document must still have when these bytes were made of it.
    """

    tenant_id: str
    credential: str
    recipients: tuple[Rcpt, ...]
    raw: bytes
    peer: str = ""
    smtputf8: bool = False
    digest: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """That a document which was handed over before be sent. `by` is who asks, for the timeline.

    `template` "" is the one that the document's state asks for; no `recipients` are the document's own. `detail` is
    kept with the message; `run` is the batch that it belongs to.
    """

    tenant_id: str
    document_type: str
    document_id: str
    by: str
    template: str = ""
    recipients: tuple[Rcpt, ...] = ()
    not_before: datetime | None = None
    attach_pdf: bool | None = None
    personal: str = ""
    run: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)
    gate: Gate | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the door promises: it is on disk. `text` is the sentence a person reads in the billing system's log.

    `message_id` is "" when a document was stored only. `outcome`: queued, held, stored, duplicate or test.
    """

    message_id: str
    thread_id: str
    text: str
    booked: tuple[Booked, ...] = ()
    outcome: str = "queued"


@dataclass(frozen=True, slots=True)
class Ready:
    """A message as it will be kept. `raw` is b"" for a document that is yet to be rendered."""

    message: Message
    recipients: tuple[Rcpt, ...]
    raw: bytes = b""
    document: Document | None = None
    customer: str = ""
    control: Control = field(default_factory=Control)
    digest: str = ""  # of the content, when an idempotency key was given
    named: tuple[Named, ...] = ()  # the recipients that the header names, when the customer is
    about: About = field(default_factory=About)  # which document and thread a composed mail belongs to
    noted: bool = False  # its document, new and known by its number only, was noted as sent when it was placed


def parse_recipients(addresses: tuple[str, ...]) -> tuple[Rcpt, ...]:
    """Recipients from text (the CLI). Raises Refused for a malformed one."""
    return tuple(Rcpt(parse_address(address)) for address in addresses)
