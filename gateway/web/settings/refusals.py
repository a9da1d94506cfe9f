"""Why a setting was refused, in the reader's language: the sentences of the rooms below, recognised and said anew.

A refusal is written once, in English, where the rule is; what the settings' pages can cause stands here. One that is
not recognised is shown as it was written rather than failing a page.
"""

import re
from collections.abc import Callable
from functools import cache

from gateway.inbox.timeline import msgid

REFUSALS: tuple[str, ...] = (
    msgid("the password is shorter than 10 characters; choose a longer one"),
    msgid("%(address)s is a user already"),
    msgid("this is the last administrator; make somebody else one first"),
    msgid("%(address)s is not a mail address; write local@domain"),
    msgid("the company's name is empty; customers see it as the author"),
    msgid("the time zone %(name)s is not known; write one like Europe/Chisinau"),
    msgid("the country %(name)s is not two capitals (ISO 3166), as MD"),
    msgid("the colour %(name)s is not of the form #1a2b3c"),
    msgid("the tenant's %(name)s is longer than 200 characters or not one line"),
    msgid("the logo is neither PNG nor JPEG, the pictures that every mail client shows; convert it"),
    msgid("the logo's file is damaged: it does not say how large the picture is; save it again"),
    msgid("the logo has %(size)s bytes; at most %(most)s are taken, since every mail carries it"),
    msgid("the logo has %(size)s pixels; at most %(most)s each way, 600 wide is enough"),
    msgid("%(network)s is not a network; write 10.0.0.0/24 or 127.0.0.1/32"),
    msgid("%(network)s is so wide that anybody could send as this tenant; name the billing system's own"),
    msgid("the username %(name)s is taken; choose another"),
    msgid("the first line must name the columns, `address` among them; it says: %(line)s"),
    msgid("%(name)s is not a number from 0 to %(most)s"),
    msgid("the start %(name)s is not a date; write 2026-12-01"),
    msgid("the hour of reminders %(hour)s is not one of 0 to 23"),
    msgid("%(host)s is not a host; write one like smtp.acme.example"),
    msgid("%(host)s is not a host; write one like imap.acme.example"),
    msgid("%(port)s is not a port; usual are 465 (tls) and 587 (starttls)"),
    msgid("%(port)s is not a port; usual are 993 (tls) and 143 (starttls)"),
    msgid("connections at once are 1 to 100"),
    msgid("give a host and a username"),
    msgid("the username is no mail address; say whom the mail comes from"),
    msgid("the password is empty"),
    msgid("give the client id of an application that is registered with the provider"),
    msgid("this provider lets no application do this by itself; a person must allow it"),
    msgid("%(name)s is not a domain; write one like acme.example"),
    msgid("the domain %(name)s belongs to another tenant"),
    msgid("%(name)s cannot be a mailbox's name; use 1-60 of a-z, 0-9 and . _ @ + -"),
    msgid("there is a mailbox %(name)s already; change it with `gateway mailbox set`"),
    msgid("name the folder that taken mail is moved to, another than the one that is read"),
    msgid("%(day)s is not a day; write one like 2026-11-01"),
    msgid("the consent was refused: %(why)s"),
    msgid("%(where)s must be one line without control characters"),
    msgid("it could not be done within its limits; make the text simpler"),
)
_FACT = re.compile(r"%\\\((\w+)\\\)s|%\((\w+)\)s")


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((text, re.compile(_FACT.sub(r"(?P<\1\2>.{1,300})", re.escape(text)) + r"\Z")) for text in REFUSALS)


def say_refusal(text: str, tell: Callable[[str], str]) -> str:
    """The refusal in the language of `tell`."""
    for known, pattern in _patterns():
        if found := pattern.match(text):
            return tell(known) % found.groupdict()
    return text
