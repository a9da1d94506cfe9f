"""Why nothing was sent, in the reader's language: the sentences of the door, recognised and said anew.

The door writes its reason once, in English, into its answer and into the event; the pages call `say_why` for the facts
of a timeline's line. A reason that is not one of these is shown as it was written rather than failing a page.
"""

import re
from collections.abc import Callable
from functools import cache

from gateway.inbox.timeline import msgid

# As `outbound.triggers`, `outbound.automation`, `outbound.customers` and `outbound.reminders` say it.
WHYS: tuple[str, ...] = (
    msgid("the event %(event)s sends nothing by itself"),
    msgid("the template %(template)s is off for this tenant"),
    msgid("the trigger %(event)s is off for this tenant"),
    msgid("the document is %(status)s"),
    msgid("the document was sent already"),
    msgid("the automatic mail of this document was made already (%(id)s)"),
    msgid("the document names no address to send to"),
    msgid("X-AR-Template is none"),
    msgid("the customer wants no %(what)s (since %(on)s)"),
    msgid("the customer wants no reminders"),
    msgid("it was reminded %(count)s times, and that is the most"),
    msgid("it was reminded on %(on)s"),
    msgid("reminders are paused: %(why)s"),
    msgid("the customer promised to pay by %(on)s"),
    msgid("the customer wrote on %(on)s and waits for an answer"),
    msgid("mail to %(addresses)s came back"),
    msgid("other mail about the document waits to be sent"),
    msgid("other mail about the document went on %(on)s, less than 72 hours ago"),
    msgid("it was sent by hand"),
    msgid("a corrected mail takes its place"),
    msgid("the document was marked as sent"),
    msgid("the gateway has no data of the document, only a mail that was composed elsewhere"),
)
STATUSES = (
    msgid("paid"),
    msgid("voided"),
    msgid("bad debt"),
    msgid("draft"),
    msgid("declined"),
    msgid("expired"),
    msgid("canceled"),
)
_FACT = re.compile(r"%\\\((\w+)\\\)s|%\((\w+)\)s")


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((text, re.compile(_FACT.sub(r"(?P<\1\2>.{1,300})", re.escape(text)) + r"\Z")) for text in WHYS)


def say_why(why: str, tell: Callable[[str], str]) -> str:
    """The reason in the language of `tell`."""
    said = tell(why)
    if said != why:
        return said
    for text, pattern in _patterns():
        if found := pattern.match(why):
            facts = found.groupdict()
            if "status" in facts:
                facts["status"] = tell(facts["status"].replace("_", " "))
            return tell(text) % facts
    return why
