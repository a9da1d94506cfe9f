"""The values that pass through the door: what a doorstep hands over, what it gets back, what is ready to be kept."""

from dataclasses import dataclass, field

from gateway.mail.address import Address, parse_address
from gateway.outbound.control import Control
from gateway.outbound.documents import Document
from gateway.outbound.queue import Booked
from gateway.store.messages import Message


@dataclass(frozen=True, slots=True)
class Rcpt:
    """A recipient as the envelope names it."""

    address: Address
    notify: str = ""


@dataclass(frozen=True, slots=True)
class Handed:
    """What a doorstep hands over: who, to whom, and the bytes. `credential` names what it came by, for the timeline."""

    tenant_id: str
    credential: str
    recipients: tuple[Rcpt, ...]
    raw: bytes
    peer: str = ""
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the door promises: it is on disk. `text` is the sentence a person reads in the billing system's log.

    `message_id` is "" when a document was stored only.
    """

    message_id: str
    thread_id: str
    text: str
    booked: tuple[Booked, ...] = ()


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


def parse_recipients(addresses: tuple[str, ...]) -> tuple[Rcpt, ...]:
    """Recipients from text (the CLI). Raises Refused for a malformed one."""
    return tuple(Rcpt(parse_address(address)) for address in addresses)
