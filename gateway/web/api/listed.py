"""The JSON of the API's lists: a page with the cursor of the next one, and the entries that only lists have."""

from typing import Annotated, Any

from pydantic import Field

from gateway.web.api.shapes import At, CustomerShown, Shown, SuppressionShown, ThreadShown
from gateway.web.api.template_shapes import TemplateShown


class LineShown(Shown):
    """One thread of a list."""

    thread: ThreadShown
    last_kind: str
    last_author: str
    last_recipients: str
    last_subject: str
    last_words: str
    progress: dict[str, int]


class ListedDelivery(Shown):
    """One delivery of a list."""

    id: str
    message_id: str
    number: int
    thread_id: str
    recipient: str
    state: str
    hold: str
    attempts: int
    next_attempt_at: At | None
    expires_at: At | None
    words: str
    host: str
    reason: str
    subject: str
    created_at: At


class DocumentOf(Shown):
    """Which document an event is about."""

    type: str
    id: str | None
    number: str | None


class FeedEvent(Shown):
    """An event of the feed: docs/smtp.md has the types."""

    id: str
    type: str
    at: str
    tenant: str
    thread: str | None
    message: str | None
    delivery: str | None
    recipient: str | None
    document: DocumentOf | None
    run: str | None
    tags: list[str]
    meta: dict[str, Any]
    data: dict[str, Any]


class Page(Shown):
    """A page of a list; `next` asks for the one behind it."""

    next: str | None


class Threads(Page):
    """Threads, the latest first, and how many wait in each view."""

    data: list[LineShown]
    counts: dict[str, int]


class FoundLine(Shown):
    """A thread that was found; `snippet` are the words around what matched, in `message_id` ("": the thread itself)."""

    line: LineShown
    message_id: str
    snippet: Annotated[list[tuple[str, bool]], Field(description="text, and whether it is what was looked for")]


class Found(Page):
    """Threads that a query finds. `behind`: seconds of news that the index lacks; `complete`: it holds all threads."""

    data: list[FoundLine]
    behind: int
    complete: bool


class Customers(Page):
    """Customers by name."""

    data: list[CustomerShown]


class ListedDocument(Shown):
    """A document of a list. `standing`: unpaid, overdue, paid, draft, voided, active, or its billing system's word."""

    type: str
    id: str
    number: str
    revision: int
    status: str
    standing: str
    language: str
    currency: str
    customer_key: str
    customer_name: str
    total: str
    balance: str
    issue_date: str
    due_date: str
    thread_id: str
    sent_at: At | None
    created_at: At | None
    updated_at: At | None


class Documents(Page):
    """Documents, the newest first; with the state unpaid or overdue by the day that they are due."""

    data: list[ListedDocument]


class Suppressions(Page):
    """Addresses in order."""

    data: list[SuppressionShown]


class Deliveries(Page):
    """Deliveries in the order in which their mail was accepted."""

    data: list[ListedDelivery]


class Templates(Page):
    """All templates."""

    data: list[TemplateShown]


class Events(Page):
    """Events in order. `next` is never null: keep it, and ask again; `more`: there are further ones already."""

    data: list[FeedEvent]
    more: bool
