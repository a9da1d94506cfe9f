"""A received mail as it is kept: one message with what was read of it, how we know its place, and who brought it.

Used by `reception` alone. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.inbound.evidence import CONFIDENCE
from gateway.inbound.replies import Placed
from gateway.mail.received import ReceivedMail
from gateway.store.messages import Message

# parts that are the report itself; its card says what they say
OF_REPORTS = frozenset(
    """message/delivery-status message/global-delivery-status text/rfc822-headers message/rfc822-headers
    message/global-headers message/disposition-notification message/feedback-report""".split()
)


@dataclass(frozen=True, slots=True)
class Came:
    """A mail at the door: `mail` None when it cannot be read; `origin` says who brought it and if that is true.

    `named` is what its tenant has of the same Message-ID; None when nobody has asked yet. `stored` and `at`: its bytes
    lie under this id since then; "" for those that come now.
    """

    raw: bytes
    digest: str
    mail: ReceivedMail | None
    origin: Mapping[str, Any]
    named: Sequence[Message] | None = None
    stored: str = ""
    at: datetime | None = None

    @property
    def name(self) -> str:
        """Its Message-ID; one that has none is known by its bytes."""
        return (self.mail.message_id if self.mail else "") or f"sha256.{self.digest}"


def how(placed: Placed) -> dict[str, Any]:
    """How we know whose a mail is, for who looks at it."""
    told = {"placed_by": placed.by, "confidence": CONFIDENCE.get(placed.by, "")}
    return told | ({"perhaps": [list(one) for one in placed.perhaps]} if placed.perhaps else {})


def message_of(
    came: Came, mail: ReceivedMail, ids: tuple[str, str, str], now: datetime, detail: dict[str, Any]
) -> Message:
    """The row of a mail; `ids` are those of its tenant, itself and its thread."""
    tenant_id, message_id, thread_id = ids
    return Message(
        tenant_id=tenant_id,
        id=message_id,
        thread_id=thread_id,
        direction="in",
        kind=str(mail.kind),
        created_at=came.at or now,
        rfc_message_id=came.name,
        author=f"{mail.author_name} <{mail.author}>" if mail.author_name else mail.author,
        recipients=", ".join((*mail.to, *mail.cc)),
        subject=mail.subject,
        body_text=mail.text,
        detail=detail,
    )


def detail_of(came: Came, mail: ReceivedMail, matched_by: Sequence[str], unknown: bool) -> dict[str, Any]:
    """What is kept beside it, for people."""
    attachments = [
        {
            "filename": one.filename,
            "content_type": one.content_type,
            "size": one.size,
            "sha256": one.sha256,
            "part": one.part,
        }
        for one in mail.attachments[:100]
        if one.content_type not in OF_REPORTS
    ]
    return {
        "sha256": came.digest,
        **came.origin,
        "why": list(mail.why)[:10],
        "quoted": mail.quoted[:20_000],
        "attachments": attachments,
        "from_unknown": unknown,
        "matched_by": list(matched_by),
        "written_at": mail.date.isoformat() if mail.date else "",
        **_absence_of(mail),
    }


def _absence_of(mail: ReceivedMail) -> dict[str, Any]:
    """What an automatic answer says of its author, when it says anything."""
    said = mail.absence
    if said is None or not (said.back_on or said.substitute or said.left):
        return {}
    back_on = said.back_on.isoformat() if said.back_on else ""
    return {"absence": {"back_on": back_on, "substitute": said.substitute, "left": said.left}}
