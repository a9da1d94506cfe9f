"""The JSON of the API's answers about billing runs, as pydantic models."""

from gateway.web.api.listed import Page
from gateway.web.api.shapes import At, Shown


class ListedRun(Shown):
    """A run of a list: when its mail came, and how many recipients each state of a delivery has."""

    name: str
    first_at: At
    last_at: At
    messages: int
    recipients: int
    states: dict[str, int]


class Runs(Page):
    """Runs, the one whose mail came last first."""

    data: list[ListedRun]


class OutcomeShown(Shown):
    """Recipients of one outcome; the last four, what came of them since, add up to `recipients`."""

    outcome: str
    reason: str
    recipients: int
    promised: int
    answered: int
    corrected: int
    nothing: int


class RunShown(Shown):
    """A run in numbers: `lines` add up to `recipients`, and so does `final`. `complete`: all of it was counted."""

    run: str
    first_at: At
    last_at: At
    messages: int
    recipients: int
    accepted: int
    waiting: int
    bounced: int
    lines: list[OutcomeShown]
    final: dict[str, int]
    complete: bool


class RunRecipient(Shown):
    """One recipient: what its server said (`outcome`, `words`), and what came of it since."""

    message_id: str
    thread_id: str
    number: int
    address: str
    document: str
    customer: str
    sent_at: At
    outcome: str
    reason: str
    words: str
    since: str
    corrected_to: str
    answered_at: At | None
    promised_on: str


class RunRecipients(Page):
    """Recipients in the order of the run's mail."""

    data: list[RunRecipient]
