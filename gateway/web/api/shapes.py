"""The JSON of the API's answers, as pydantic models.

They are made of the frozen values that the rooms return (`from_attributes`), so nothing is computed here. `schemas`
gives what no route's answer brings to the OpenAPI document, what requests may say included.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, WrapSerializer
from pydantic.json_schema import models_json_schema

from gateway.outbound.documents import Document
from gateway.web.api import asked


def _utc(value: datetime, serialise: SerializerFunctionWrapHandler) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"


At = Annotated[datetime, WrapSerializer(_utc, return_type=str), Field(json_schema_extra={"format": "date-time"})]


class Shown(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(from_attributes=True)


class Problem(Shown):
    """Why something was not done (RFC 9457); `code` and `enhanced` are what SMTP would say."""

    type: str
    title: str
    status: int
    detail: str
    code: int
    enhanced: str
    errors: list[dict[str, str]] = []


class ReceiptShown(Shown):
    """What the gateway took over; it is on disk. `message_id` is "" when only the document was stored."""

    message_id: str
    thread_id: str
    outcome: Literal["queued", "held", "stored", "duplicate", "test"]
    text: str


class Changed(Shown):
    """How many deliveries, addresses or threads something was done to."""

    changed: int


class Acted(Changed):
    """What an act changed; `undo` takes it back for ten seconds, "" when nothing was changed."""

    undo: str


class SentShown(Shown):
    """An answer that was taken over, to leave at `leaves_at`; `undo` is of how the thread stood, "" when it stays so.

    `outcome` is duplicate for one that an earlier request with the same Idempotency-Key handed over.
    """

    message_id: str
    thread_id: str
    outcome: Literal["held", "duplicate"]
    leaves_at: At
    undo: str
    text: str


class NoteMade(Shown):
    """A note."""

    note_id: str


class KeyShown(Shown):
    """The API key of a request, and whose it is."""

    tenant: str
    company: str
    label: str
    prefix: str
    scopes: list[str]
    expires_at: At | None


class DocumentShown(Shown):
    """A document as it was handed over last."""

    type: str
    id: str
    number: str
    revision: int
    status: str
    language: str
    currency: str
    customer_key: str
    customer_name: str
    total: str
    balance: str
    issue_date: str
    due_date: str
    sha256: str
    thread_id: str
    sent_at: At | None
    document: Annotated[dict[str, Any] | None, Field(description="null: only a composed mail spoke of it")] = None


class AttemptShown(Shown):
    """One try at one recipient."""

    number: int
    at: At
    milliseconds: int
    action: str
    words: str
    host: str
    tls: str
    unclear: bool


class DeliveryShown(Shown):
    """One recipient of a mail, and how far it came; *delivered* only when a report said so."""

    message_id: str
    number: int
    recipient: str
    progress: str
    reason: str
    words: str
    host: str
    hold: str
    next_at: At | None
    at: At | None
    accepted_at: At | None
    attempts: list[AttemptShown]


class AttachmentShown(Shown):
    """A file of a mail."""

    number: int
    filename: str
    content_type: str
    size: int


class MailShown(Shown):
    """What is known of a mail, without its bytes."""

    id: str
    thread_id: str
    direction: str
    kind: str
    created_at: At
    rfc_message_id: str
    submitted_message_id: str
    author: str
    recipients: str
    subject: str
    template: str
    language: str
    document_type: str
    document_id: str
    size: int
    body_text: str


class MessageShown(Shown):
    """A mail with its deliveries and files."""

    message: MailShown
    deliveries: list[DeliveryShown]
    attachments: list[AttachmentShown]
    quoted: str


class EventShown(Shown):
    """One line of a thread's timeline."""

    id: str
    at: At
    type: str
    message_id: str
    number: int
    data: dict[str, Any]


class ThreadShown(Shown):
    """A thread's state."""

    id: str
    key: str
    subject: str
    document_type: str
    document_id: str
    document_number: str
    customer: str
    state: str
    chip: str
    unread: int
    last_at: At
    created_at: At
    lane: str
    snoozed_until: At | None
    promised_on: str
    promised_amount: str


class NoteShown(Shown):
    """A clerk's note."""

    id: str
    author: str
    text: str
    created_at: At


class WholeThread(Shown):
    """A thread with all that belongs to it; `assignee` is the name of whose it is."""

    thread: ThreadShown
    assignee: str
    tags: list[str]
    notes: list[NoteShown]
    messages: list[MessageShown]
    events: list[EventShown]


class ContactShown(Shown):
    """An address of a customer."""

    email: str
    role: str
    name: str
    language: str
    source: str


class CustomerShown(Shown):
    """Whom the tenant bills."""

    key: str
    name: str
    language: str
    opted_out_at: At | None
    opted_out_why: str


class WholeCustomer(CustomerShown):
    """A customer with its addresses."""

    contacts: list[ContactShown]


class SuppressionShown(Shown):
    """An address that mail no longer goes to, or always may."""

    address: str
    reason: str
    evidence: str
    source: str
    message_id: str
    created_at: At
    expires_at: At | None


def answer(model: type[BaseModel], value: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON."""
    made = model.model_validate(value, from_attributes=True)
    return Response(made.model_dump_json(by_alias=True), code, dict(headers or {}), "application/json")


_BODIES = [one for one in vars(asked).values() if isinstance(one, type) and issubclass(one, asked.Asked)]
_ALONE: list[type[BaseModel]] = [*_BODIES, Document, Problem]


def schemas() -> dict[str, Any]:
    """The schemas that no route's answer brings into the OpenAPI document."""
    _, made = models_json_schema(
        [(model, "validation") for model in _ALONE], ref_template="#/components/schemas/{model}"
    )  # fmt: skip
    found: dict[str, Any] = made["$defs"]
    return found
