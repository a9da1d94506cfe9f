"""Why something was refused, in the reader's language: the sentences of the rooms below, recognised and said anew.

A refusal is written once, in English, where the rule is: servers, the command line and the API say it as it is written.
What pages can cause stands here and is recognised by its fixed words; a test reads the source of the rooms, and fails
for a sentence that is missing here, or that nobody says any more. A search that makes no sense brings its sentence.
"""

import re
from collections.abc import Callable
from functools import cache

from gateway.inbox.search_grammar import WrongQuery
from gateway.inbox.timeline import msgid
from gateway.mail.reply import Refused

REFUSALS: tuple[str, ...] = (
    msgid("the password is shorter than 10 characters; choose a longer one"),
    msgid("%(address)s is a user already"),
    msgid("this is the last administrator; make somebody else one first"),
    msgid("%(address)s is not a mail address; write local@domain"),
    msgid("the name is empty, longer than 100 characters or not one line"),
    msgid("the company's name is empty; customers see it as the author"),
    msgid("the time zone %(name)s is not known; write one like Europe/Chisinau"),
    msgid("the country %(name)s is not two capitals (ISO 3166), as MD"),
    msgid("the colour %(name)s is not of the form #1a2b3c"),
    msgid("the tenant's %(name)s is longer than %(most)s characters or not one line"),
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
    msgid("%(text)s is no number of messages; write a whole number, or nothing"),
    msgid("this mailbox logs in as the operator of the gateway set it up; ask the operator to change its login"),
    msgid("it could not be done within its limits; make the text simpler"),
    msgid("%(day)s is past or more than a year ahead; name a time to come"),
    msgid("%(name)s is no user of this tenant who may work in its inbox"),
    msgid("%(count)s threads at once; %(most)s are the most"),
    msgid("it is too late to undo that; do the opposite instead"),
    msgid("the language %(name)s is not one of %(all)s"),
    msgid("give it a name of 1 to %(most)s and a text of 1 to %(longest)s characters"),
    msgid("%(name)s is no field; there are %(all)s"),
    msgid("%(address)s is the address that failed; name another"),
    msgid("%(address)s is suppressed since %(day)s (%(reason)s); name another address, or let mail go there first"),
    msgid("it is in that thread already"),
    msgid("the thread is about no customer that is known; move the mail to one that is"),
    msgid("a note has 1 to %(most)s characters, and this one %(count)s"),
    msgid("%(name)s wrote that note; only they may remove it"),
    msgid("the thread is about no document that could be paid; snooze it until the day"),
    msgid("write 1 to %(most)s characters; the thread is then waiting, closed, or as is"),
    msgid("the thread changed since you read it (%(what)s); look, then send again"),
    msgid("the mail names nobody who could be answered; name a recipient"),
    msgid("it has left already; write to the customer once more"),
    msgid("%(name)s is nothing that can be done with a thread"),
    msgid("%(day)s is no day; write it as 2026-12-31"),
    msgid("%(amount)s is no amount; write 1200.50"),
    msgid("a search needs a name of 1 to %(most)s characters"),
    msgid("there are %(most)s saved searches already; remove one first"),
    msgid("%(name)s is no tag; write a word of 1 to %(most)s characters, no comma"),
    msgid("the thread has %(most)s tags, and no thread may have more; remove one"),
    msgid("say why reminders are paused; whoever reads the thread will ask"),
    msgid("%(name)s is %(state)s; there is nothing to promise"),
    msgid("%(day)s is past or more than a year ahead; name the day by which they will pay"),
    msgid("%(amount)s is not an amount; write 1200.00"),
    msgid("name 1 to %(most)s recipients, at least one of them in To"),
    msgid("the files are larger than %(most)s MB together; send a link"),
    msgid("the document is being changed; try again in a moment"),
    msgid("the template %(name)s is off for this tenant; turn it on, or use another"),
    msgid("the template %(name)s is unknown; known are %(all)s"),
    msgid("the template %(name)s does not fit a document of type %(type)s"),
    msgid("the template %(name)s is about documents of type %(all)s; %(number)s is of type %(type)s"),
    msgid("the document names no address to send to; add customer.contacts[].email"),
    msgid("%(name)s is voided; there is nothing to send"),
    msgid("%(name)s is a draft; send it when its status is open"),
    msgid("there is no document %(name)s; hand it over first"),
    msgid("%(name)s came as a composed mail; hand it over as data, then it can be sent again"),
    msgid(
        "the document names %(count)s recipients, and a mail takes at most %(most)s; set send to none for "
        "some of its contacts"
    ),
    msgid("the tenant's settings are being changed; try again in a moment"),
    msgid("this tenant's account is suspended; ask the operator of the gateway"),
    msgid("nothing of it is queued any more; it was sent, failed or was cancelled before"),
    msgid("a server accepted all of it, or is being asked just now; nothing is sent twice"),
    msgid("%(type)s %(number)s has no %(field)s, which the template %(name)s speaks of"),
    msgid("%(address)s is not an identity of tenant %(name)s"),
    msgid("there are %(most)s domains already; ask the operator of the gateway for more"),
    msgid("%(name)s is none of your domains; add it first"),
    msgid("%(name)s belongs to the gateway itself; choose an address of your company"),
    msgid("there is no such tenant"),
    msgid("the role %(name)s is not one of %(all)s"),
    msgid("there is no type of events %(name)s"),
    msgid("name the day from which everything is delivered again"),
    msgid("%(url)s is no URL; write https://host/path"),
    msgid("%(url)s does not begin with https://; events are sent encrypted only"),
    msgid("the URL %(url)s must be https://host/path, without a user, a password or a fragment"),
    msgid("the URL is longer than %(most)s characters, or holds some that must be written as %(how)s"),
    msgid("there is no event %(name)s; docs/smtp.md lists them"),
    msgid("a tenant has %(most)s endpoints at the most; remove one first"),
    msgid("events are sent to %(url)s already"),
    msgid("the label is longer than %(most)s characters or not one line"),
    msgid("%(day)s UTC is over; name a later time"),
    msgid("the tenant has %(most)s API keys; revoke one that nobody uses"),
    msgid("%(name)s is no scope of an API key; there are %(all)s"),
    msgid("a mailbox needs a username and a folder (INBOX)"),
    msgid("a username, folder, client id or scope holds characters that cannot be written on one line"),
    msgid("a username, client id or scope holds characters that cannot be written on one line"),
    msgid("this tenant has no mailbox %(name)s; see `gateway mailbox list`"),
    msgid("this tenant has no SMTP server of its own; see `gateway tenant smtp set`"),
    msgid(
        "this consent was not begun here, was used already, or is older than half an hour; begin again with "
        "`gateway tenant smtp set`"
    ),
    msgid("give the whole address that the browser ended at; it holds code= and state="),
    msgid("%(url)s is not an https:// address; secrets are sent to no other"),
    msgid("%(name)s is not a directory; write its id, or common"),
    msgid("sending %(name)s is not one of %(all)s"),
    msgid("the e-invoice %(name)s is not known; write factur-x, or none for ordinary PDFs"),
    msgid("%(name)s is not a number of 1 to %(most)s"),
    msgid("%(name)s is not a number of %(least)s to %(most)s seconds"),
    msgid("%(count)s number patterns; %(most)s are the most"),
    msgid(
        "the number pattern %(name)s is none; write CP-####-####, or credit_note: CN-#* (# is a digit, @ a "
        "letter, one * the rest of the number)"
    ),
    msgid("%(name)s in a number pattern is no type of document; there are %(all)s"),
    msgid("the address %(name)s is longer than RFC 5321 allows (64@255 bytes)"),
    msgid("%(name)s has a misplaced dot before the @"),
    msgid("%(day)s is over; name a later time"),
    msgid("the file has more than %(most)s lines; split it"),
    msgid("line %(line)s has more than %(most)s characters; is this a CSV file?"),
    msgid("line %(line)s is no CSV: %(why)s"),
    msgid("%(day)s is no time; write 2026-11-24"),
    msgid("%(name)s: %(reason)s is no fault of the address; mail may go there"),
    msgid("%(why)s (tried with the sample %(number)s)"),
    msgid("the %(part)s of the template %(name)s (%(language)s), which this tenant wrote, %(why)s"),
    msgid("the %(part)s of the template %(name)s (%(language)s) says nothing of %(number)s"),
    msgid("the %(part)s of the template %(name)s (%(language)s) %(why)s"),
    msgid("the %(part)s of the template %(name)s speaks of %(token)s, which is no variable"),
    msgid("%(why)s in its %(part)s; ask first, as %(how)s"),
    msgid("line %(line)s %(why)s"),
    msgid("has %(count)s characters; %(most)s are allowed"),
    msgid("uses the %(what)s %(name)s; there are %(all)s"),
    msgid("cannot be read: %(why)s"),
    msgid("cannot be filled in: %(why)s"),
    msgid("is nested too deep"),
    msgid("says more than %(most)s characters"),
    msgid("has a loop within a loop; no list of a document holds another"),
    msgid("can only loop over %(all)s, as %(how)s"),
    msgid("needs another name for what it loops over, as %(how)s"),
    msgid("speaks of %(name)s, which is no variable; %(hint)s"),
    msgid("speaks of %(name)s, which %(what)s does not have%(hint)s"),
    msgid("a template has no %(name)s; there are %(all)s"),
    msgid("the template %(name)s has no button that its text could place"),
    msgid("the template %(name)s has no button"),
    msgid("holds control characters"),
    msgid("must be one line without control characters"),
    msgid("holds %(name)s; write %(how)s"),
    msgid("cannot hold the button; it stands in the text"),
    msgid("must place %(how)s on a line of its own"),
    msgid("nobody is named whom it goes to; nothing was sent"),
    msgid("mail to %(addresses)s is stopped; nothing was sent"),
    msgid("the message is longer than %(most)s characters"),
    msgid("%(name)s is a draft; it has a PDF when its status is open"),
    msgid("%(name)s is a draft; it cannot have been sent"),
    msgid("%(name)s was sent already"),
    msgid("the customer gets reminders already"),
    msgid("%(name)s is no language; write ro, ru or en"),
    msgid("%(count)s files; %(most)s are the most beside an answer"),
    msgid("the file %(name)s is empty; choose another"),
    msgid("the file %(name)s is or holds a program (%(what)s), which mail providers refuse; send a link to it"),
    msgid("the name is empty, longer than %(most)s characters or not one line"),
)
FACT = re.compile(r"%\\\((\w+)\\\)s|%\((\w+)\)s")
_WITHIN = "why"  # a fact that may be a refusal itself
_DEEPEST = 3


def pattern_of(text: str) -> re.Pattern[str]:
    """What a sentence looks like once its facts are filled in; a fact that stands twice is the same twice."""
    seen: set[str] = set()

    def fact(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        again = name in seen
        seen.add(name)
        return f"(?P={name})" if again else f"(?P<{name}>.{{1,400}}?)"

    return re.compile(FACT.sub(fact, re.escape(text)) + r"\Z", re.S)


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """What says most in its own words comes first."""
    return tuple((text, pattern_of(text)) for text in sorted(REFUSALS, key=lambda text: -len(FACT.sub("", text))))


def say_refusal(refused: Refused | str, tell: Callable[[str], str]) -> str:
    """A refusal, or the text of one, in the language of `tell`; as it is written when it is not recognised."""
    if isinstance(refused, WrongQuery):
        return tell(refused.sentence) % refused.values
    return _say(refused if isinstance(refused, str) else refused.reply.text, tell, 0)


def _say(text: str, tell: Callable[[str], str], depth: int) -> str:
    for known, pattern in _patterns():
        if found := pattern.match(text):
            facts = found.groupdict()
            if _WITHIN in facts and depth < _DEEPEST:
                facts[_WITHIN] = _say(facts[_WITHIN], tell, depth + 1)
            return tell(known) % facts
    return text
