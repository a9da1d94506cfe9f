"""What the inbox shows, as frozen values: a line of the list, a thread, its mail, its deliveries.

Made by `inbox.reading` from the tables; spent by the pages, the CLI and (later) the HTTP API, which show them as HTML,
text or JSON and compute nothing themselves. Times are aware UTC; amounts are decimal text; unknown text is "".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.queue_scheduled import Scheduled
from gateway.store import mailbox_account
from gateway.store.events import Event
from gateway.store.messages import Message
from gateway.store.notes import Note
from gateway.store.threads import Thread

# How far a delivery has come, in the words of the inbox: finer than the state of its row.
HELD, SCHEDULED, SENDING, WAITING = "held", "scheduled", "sending", "waiting"
ACCEPTED, DELIVERED = "accepted", "delivered"  # by the server; in the mailbox, because a success report said so (S17)
BOUNCED, EXPIRED, SUPPRESSED, CANCELLED = "bounced", "expired", "suppressed", "cancelled"
UNCLEAR = "unclear"  # sent as often as it may be, and no answer came to the final dot


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """What a thread's document is, beside its mail."""

    type: str
    id: str
    number: str
    status: str
    currency: str
    customer: str
    total: str
    balance: str
    issue_date: str
    due_date: str
    has_pdf: bool = False
    customer_known: bool = False  # it may have contacts


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One try at one recipient: when it ended, who answered, in its own words."""

    number: int  # 1, 2, ... of the delivery
    at: datetime
    milliseconds: int
    action: str
    code: int
    status: str
    text: str
    host: str
    tls: str
    stage: str
    unclear: bool
    policy: str = ""  # what TLS had to prove: mta-sts, mta-sts-testing, dane

    @property
    def words(self) -> str:
        """The remote's answer on one line."""
        return words(self.code, self.status, self.text)


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One recipient of a mail that left, and how far it came."""

    message_id: str
    number: int
    recipient: str
    progress: str  # one of the words above
    reason: str
    words: str  # the remote's last answer on one line
    host: str
    hold: str
    next_at: datetime | None  # when it will be tried; None when nobody will
    at: datetime | None  # when it came to this; None while it waits
    accepted_at: datetime | None
    accepted_by: str
    accepted_words: str
    suppressed_since: str
    report_id: str  # the mail that reported the failure or the success
    attempts: tuple[AttemptView, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a mail; `number` counts from 1 within the mail."""

    number: int
    filename: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class MessageView:
    """One mail of a thread. `about` are the deliveries that a report is about."""

    message: Message
    deliveries: tuple[DeliveryView, ...]
    about: tuple[DeliveryView, ...]
    attachments: tuple[Attachment, ...]
    quoted: str

    @property
    def detail(self) -> Mapping[str, Any]:
        """What else is kept of it: attachments, evidence, who handed it over."""
        return self.message.detail


@dataclass(frozen=True, slots=True)
class ThreadView:
    """A thread as a page shows it: its document, its mail in order, and what happened."""

    thread: Thread
    document: DocumentFacts | None
    messages: tuple[MessageView, ...]
    events: tuple[Event, ...]
    credentials: Mapping[str, str]  # id -> username, of those that handed its mail over
    notes: tuple[Note, ...] = ()
    tags: tuple[str, ...] = ()
    people: Mapping[str, str] = field(default_factory=dict)  # user id -> name: assignees

    @property
    def seen(self) -> str:
        """The mark of this state: `replying.what_changed` says what happened after it."""
        return self.events[-1].id if self.events else ""

    @property
    def assignee(self) -> str:
        """The name of whose it is; "" for nobody's."""
        return self.people.get(self.thread.assignee, "")

    def entries(self) -> tuple[MessageView | Note, ...]:
        """Mail and notes in the order in which they came."""
        both: list[MessageView | Note] = [*self.messages, *self.notes]
        return tuple(sorted(both, key=lambda one: one.id if isinstance(one, Note) else one.message.id))

    def subject(self) -> str:
        """What the thread is called: the subject of its first mail that has one, else its own."""
        subjects = (made.message.subject for made in self.messages if made.message.subject)
        return next(subjects, self.thread.subject)

    def mailbox(self) -> str:
        """The tenant's own mailbox that the thread tells of, and nothing else; "" for threads with customers."""
        name = self.thread.key.removeprefix(mailbox_account.OF_MAILBOX)
        return name if name != self.thread.key else ""

    def customer(self) -> str:
        """Whom the thread is with."""
        return self.thread.customer or (self.document.customer if self.document else "")


@dataclass(frozen=True, slots=True)
class ListLine:
    """One thread in the list: who, what, how much, why it is here, and the last words of it."""

    thread: Thread
    document: DocumentFacts | None
    last_kind: str
    last_author: str
    last_recipients: str
    last_subject: str
    last_words: str
    progress: Mapping[str, int]  # state of a delivery -> how many recipients
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a view. `cursor` asks for the next one; "" when this is the last."""

    view: str
    lines: tuple[ListLine, ...]
    cursor: str
    counts: Mapping[str, int]  # view -> how many stand in it, for the views that are counted
    people: Mapping[str, str] = field(default_factory=dict)  # user id -> name: assignees
    scheduled: tuple[Scheduled, ...] = ()  # of that view: mail that is held, or goes later


def words(code: int, status: str, text: str) -> str:
    """A remote's answer on one line, `550 5.1.1 no such user`."""
    return DeliveryStatus(Action.FAILED, status, code, text).words
