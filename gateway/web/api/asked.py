"""What the bodies of requests may say, as pydantic models: they refuse members that they do not know.

Read by the routes of `web.api`, and shown in the OpenAPI document. What a member means is the X-AR field's business.
"""

import json
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from gateway.inbox.attaching import MOST_FILES
from gateway.inbox.replying import TEXT_LENGTH
from gateway.settings.templates import TEXT_LIMIT
from gateway.store.notes import NOTE_LENGTH

Text = Annotated[str, Field(max_length=998)]
Line = Annotated[str, Field(max_length=320)]
OwnText = Annotated[str, Field(max_length=TEXT_LIMIT)]
MetaKey = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,50}$")]


def _utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("there is no such time") from None


class Asked(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid", strict=True)


class AskedContent(Asked):
    """A file; of which type it is, its content says."""

    filename: Annotated[str, Field(min_length=1, max_length=255)]
    content: Annotated[str, Field(description="base64")]


class AskedFile(AskedContent):
    """A file that goes along."""

    content_type: Annotated[str, Field(max_length=120)] = "application/octet-stream"


class AskedMessage(Asked):
    """A mail: about a document (its id, or the document itself), or composed. Members below are the X-AR fields."""

    document: Annotated[
        str | dict[str, Any],
        Field(
            description="type/id of a document that was handed over, or the document (docs/smtp.md)",
            json_schema_extra={"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/Document"}]},
        ),
    ] = ""
    to: Annotated[list[Line], Field(max_length=1000)] = []
    cc: Annotated[list[Line], Field(max_length=1000)] = []
    bcc: Annotated[list[Line], Field(max_length=1000)] = []
    sender: Annotated[Line, Field(alias="from", description="the author; left out: the tenant's")] = ""
    subject: Text = ""
    text: str = ""
    html: str = ""
    attachments: Annotated[list[AskedFile], Field(max_length=100)] = []
    event: Line | None = None
    template: Line | None = None
    number: Line | None = None
    amount: Annotated[Line, Field(description="1200.00 MDL")] | None = None
    balance: Line | None = None
    issued: Line | None = None
    due: Line | None = None
    status: Line | None = None
    customer: Line | None = None
    customer_name: Line | None = None
    view_url: Annotated[str, Field(max_length=2000)] | None = None
    pay_url: Annotated[str, Field(max_length=2000)] | None = None
    language: Literal["ro", "ru", "en"] | None = None
    send_at: Annotated[Line, Field(description="2026-12-08T09:00:00+02:00")] | None = None
    delay: Annotated[Line, Field(description="5m, 2h, 1d")] | None = None
    expires: Line | None = None
    attach_pdf: bool | None = None
    button: Line | None = None
    run: Annotated[Line, Field(description="the batch that it belongs to")] | None = None
    thread: Line | None = None
    force: Annotated[list[Literal["suppressed", "duplicate", "limit"]], Field(max_length=3)] = []
    test: bool | None = None
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=20)] = []
    meta: Annotated[dict[MetaKey, Annotated[str, Field(max_length=500)]], Field(max_length=50)] = {}


class AskedEvent(Asked):
    """Something happened to a document; the tenant's triggers decide whether mail goes, and when."""

    type: Annotated[Line, Field(description="invoice.issued and the like: docs/smtp.md", min_length=1)]
    document: Annotated[str, Field(description="type/id", min_length=1, max_length=220)]
    run: Annotated[Line, Field(description="the batch that it belongs to")] | None = None
    test: bool | None = None


class AskedPart(Asked):
    """A file of a mail of the thread: the mail's id, and which of its files."""

    message_id: Annotated[str, Field(max_length=20)]
    number: Annotated[int, Field(ge=1, le=9999)]


class AskedReply(Asked):
    """An answer in a thread. Recipients and subject that are left out are those of the mail that is answered."""

    text: Annotated[str, Field(max_length=TEXT_LENGTH, description="may be empty when it forwards")] = ""
    message_id: Annotated[str, Field(max_length=20, description="which mail; empty: the last one of a person")] = ""
    everyone: Annotated[bool, Field(description="to all whom that mail named")] = False
    forward: Annotated[bool, Field(description="the mail itself, with its files, to others")] = False
    to: Annotated[list[Line], Field(max_length=50)] = []
    cc: Annotated[list[Line], Field(max_length=50)] = []
    subject: Text = ""
    attachments: Annotated[list[AskedContent], Field(max_length=MOST_FILES)] = []
    files_of: Annotated[list[AskedPart], Field(max_length=60)] = []
    seen: Annotated[str, Field(max_length=20, description="an event's id: refused (409) when the thread changed "
                               "since; empty: never")] = ""  # fmt: skip
    then: Annotated[Literal["", "waiting", "closed"], Field(description="how the thread stands afterwards")] = ""


class AskedSuppression(Asked):
    """That mail to an address stops, or always goes."""

    reason: Annotated[Literal["blocked", "allowed"], Field(description="allowed: mail goes whatever servers say")]
    note: Text = ""
    expires_at: datetime | None = None


class AskedContact(Asked):
    """An address of a customer."""

    role: Literal["to", "cc", "bcc", "alternate"] = "to"
    name: Annotated[str, Field(max_length=300)] = ""
    language: Literal["", "ro", "ru", "en"] = ""


class AskedMove(Asked):
    """Where a mail that came belongs."""

    message_id: Annotated[str, Field(max_length=20)]
    thread_id: Annotated[str, Field(max_length=20)]


class AskedSnooze(Asked):
    """Until when a thread is out of the way."""

    until: Annotated[AwareDatetime, AfterValidator(_utc)]


class AskedAssignment(Asked):
    """Whose a thread is."""

    to: Annotated[Line, Field(description="a user's e-mail; empty: nobody's")]


class AskedTag(Asked):
    """A tag."""

    tag: Annotated[str, Field(min_length=1, max_length=100)]


class AskedPromise(Asked):
    """What a customer promised."""

    on: date
    amount: Annotated[str, Field(max_length=40, description="when only a part was promised: 1200.00")] = ""


class AskedNote(Asked):
    """What clerks are to know."""

    text: Annotated[str, Field(min_length=1, max_length=NOTE_LENGTH)]


class AskedUndo(Asked):
    """What is undone."""

    undo: Annotated[str, Field(max_length=20, description="`undo` of an act's answer")]


class AskedTexts(Asked):
    """What a tenant says in a template; a part that is left out stays, an empty one follows the product."""

    subject: OwnText | None = None
    preheader: OwnText | None = None
    title: OwnText | None = None
    text: OwnText | None = None
    button: OwnText | None = None


def to_json(value: Any) -> bytes:
    """A document as the door reads it; a lone surrogate stays one, and is refused there."""
    return json.dumps(value, ensure_ascii=True).encode()
