"""The JSON of the API's answers about templates, and of mail that is only looked at, as pydantic models."""

from typing import Literal

from gateway.web.api.shapes import Shown


class TemplateShown(Shown):
    """A template as the tenant has it."""

    template: str
    enabled: bool
    attach_pdf: bool
    automatic: bool
    changed: list[str]
    events: list[str]


class PartShown(Shown):
    """One text of a template: what the tenant says ("": as the product), and what the product says."""

    name: str
    own: str
    ours: str


class FindingShown(Shown):
    """What is wrong with a template: the rule, where, in words."""

    level: Literal["error", "warning"]
    rule: str
    where: str
    text: str


class TextsShown(Shown):
    """A template's texts in one language, and what a look at them found."""

    template: str
    language: str
    parts: list[PartShown]
    findings: list[FindingShown]


class LookShown(Shown):
    """The mail of a template about a sample."""

    subject: str
    text: str
    html: str
    attachments: list[str]


class HeaderFieldShown(Shown):
    """A field of a mail's header, decoded."""

    name: str
    value: str


class PreviewShown(Shown):
    """A mail as it would be. `answer` is what handing it over would say; `thread_id` is "" when it begins a thread.

    `stopped`: the recipients that would not be mailed. Header and words are empty when nothing would be sent.
    """

    outcome: Literal["queued", "held", "stored", "duplicate", "test"]
    answer: str
    thread_id: str
    template: str
    language: str
    recipients: list[str]
    stopped: list[str]
    header: list[HeaderFieldShown]
    subject: str
    text: str
    html: str
    attachments: list[str]
