"""Why nothing was sent, or was put on hold, in the reader's language: our sentences, recognised and said anew.

The door and the queue write their reason once, in English, into answer, delivery and event; the pages call `say_why`
for it. A reason that is not one of these, such as what a person typed, is shown as it was written.
"""

import re
from collections.abc import Callable
from functools import cache

from gateway.inbox.timeline import msgid
from gateway.web.refusals import say_refusal

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
# As `outbound.queue`, `outbound.composition` and `settings.queue_acts` say why a delivery is held.
HOLDS: tuple[str, ...] = (
    msgid("held by an admin"),
    msgid("it could not be rendered: %(why)s"),
    msgid("the gateway failed %(count)s times while sending it; its log says why"),
    msgid("the gateway ended %(count)s times in a row while sending it; its log may say why"),
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
    return tuple(
        (text, re.compile(_FACT.sub(r"(?P<\1\2>.{1,300})", re.escape(text)) + r"\Z")) for text in (*WHYS, *HOLDS)
    )


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
            if text in HOLDS and "why" in facts:
                facts["why"] = say_refusal(facts["why"], tell)
            return tell(text) % facts
    return say_refusal(why, tell)
