"""One timeline of a mail or a thread: what happened, in order, each line a sentence with its facts.

Made from what `inbox.reading` read; `inbox.trace` says it in English for an admin, the pages say the same sentences in
the reader's language (`template` is the msgid, `values` its facts). A remote's own words stay verbatim. *Delivered* is
said only where a success report said so (S17).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.inbox import views
from gateway.inbox.views import AttemptView, DeliveryView, MessageView, ThreadView
from gateway.mail.reasons import BLOCKED
from gateway.store.events import Event


def msgid(text: str) -> str:
    """Mark a sentence for the catalogues of translations."""
    return text


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. `what` is the type of its event; `number` of the delivery, 0 when it is about more."""

    at: datetime
    what: str
    template: str
    values: Mapping[str, str]
    message_id: str = ""
    number: int = 0

    @property
    def text(self) -> str:
        """The sentence in English."""
        return self.template % self.values


_RECEIVED = {
    "person": ("reply.received", msgid("reply from %(author)s: %(subject)s")),
    "auto_reply": ("autoreply.received", msgid("automatic answer from %(author)s: %(subject)s")),
    "bounce": ("report.received", msgid("bounce report from %(author)s: %(subject)s")),
    "delay": ("report.received", msgid("report of a delay from %(author)s: %(subject)s")),
    "success": ("report.received", msgid("success report from %(author)s: %(subject)s")),
}
_RECEIVED_OTHER = ("reply.received", msgid("mail from %(author)s: %(subject)s"))

# Events that say all there is to say by their data. Those of attempts are told by the attempts themselves.
_SENTENCES: dict[str, str] = {
    "document.received": msgid("the billing system handed the document over"),
    "document.updated": msgid("the billing system changed the document (revision %(revision)s)"),
    "document.paid": msgid("the document is paid"),
    "document.voided": msgid("the document is void"),
    "document.sent": msgid("%(by)s noted that the document was sent another way"),
    "message.refused": msgid("not accepted from %(credential)s: %(why)s"),
    "message.stored": msgid("kept and not sent: %(why)s"),
    "message.held": msgid("put on hold: %(why)s"),
    "message.released": msgid("released by %(why)s"),
    "message.canceled": msgid("cancelled by %(why)s"),
    "message.rendered": msgid("rendered"),
    "message.linked": msgid(
        "%(filename)s is too large to attach (%(size)s bytes): the message links to it, until %(until)s"
    ),
    "pdf.downloaded": msgid("%(filename)s was fetched by its link (by the customer, or by a mail scanner)"),
    "message.queued": msgid("queued again by %(why)s"),
    "recipient.accepted": msgid("%(recipient)s: accepted by %(host)s (%(words)s)"),
    "recipient.delivered": msgid("%(recipient)s: a report says it is in the mailbox (%(words)s)"),
    "recipient.deferred": msgid("%(recipient)s: not taken yet (%(words)s)"),
    "recipient.bounced": msgid("%(recipient)s: bounced, %(reason)s (%(words)s)"),
    "recipient.suppressed": msgid("%(recipient)s: not mailed, the address failed on %(since)s (%(words)s)"),
    "recipient.expired": msgid("%(recipient)s: given up after too long a time (%(words)s)"),
    "recipient.late": msgid("%(recipient)s: late, and still being tried (%(words)s)"),
    "recipient.unclear": msgid("%(recipient)s: sent, and no answer came; it may have arrived (%(words)s)"),
    "recipient.complained": msgid("%(recipient)s: complained about this mail (%(kind)s, reported by %(from)s)"),
    "recipient.canceled": msgid("%(recipient)s: cancelled by %(why)s"),
    "report.ignored": msgid("%(recipient)s: a report that changes nothing (%(words)s)"),
    "message.rerouted": msgid("left from the shared address instead: %(host)s did not let us send (%(words)s)"),
    "smtp_account.failed": msgid("your own mail server %(host)s does not let us send; mail waits (%(words)s)"),
    "smtp_account.recovered": msgid("your own mail server %(host)s works again"),
    "mailbox.failed": msgid("your mailbox %(mailbox)s at %(host)s cannot be read (%(words)s)"),
    "mailbox.recovered": msgid("your mailbox %(mailbox)s at %(host)s can be read again"),
    "mailbox.skipped": msgid(
        "a message of %(size)s bytes in your mailbox %(mailbox)s is too large and stays there: "
        "%(subject)s, from %(from)s"
    ),
    "webhook.disabled": msgid("the webhook %(url)s was turned off (%(words)s)"),
    "webhook.enabled": msgid("%(by)s turned the webhook %(url)s on again"),
    "domain.check_changed": msgid("the DNS of %(domain)s was checked: %(words)s"),
    "domain.key_changed": msgid("the signing key %(selector)s of %(domain)s is %(state)s now"),
    "domain.unaligned": msgid(
        "mail leaves from the shared address, because receivers cannot check the signature of %(domain)s (%(words)s)"
    ),
    "domain.aligned": msgid("receivers can check the signature of %(domain)s; mail leaves from your own address"),
    "user.password_changed": msgid("%(by)s changed the password of %(user)s"),
    "user.second_step_on": msgid("%(user)s logs in with a code from now on"),
    "user.second_step_off": msgid("%(by)s turned off the code at the login of %(user)s"),
    "user.recovery_codes_made": msgid("%(user)s made new recovery codes"),
    "user.recovery_code_used": msgid("%(user)s logged in with a recovery code"),
    "user.linked": msgid("%(user)s logs in by %(issuer)s from now on"),
    "user.unlinked": msgid("%(by)s ended the login of %(user)s by an identity provider"),
    "user.sessions_ended": msgid("%(by)s ended sessions of %(user)s"),
    "reminder.paused": msgid("reminders turned off by %(by)s: %(why)s"),
    "reminder.resumed": msgid("reminders turned on again by %(by)s"),
    "reminder.scheduled": msgid("a reminder is being sent, number %(count)s"),
    "reminder.skipped": msgid("no reminder: %(why)s"),
    "promise.made": msgid("%(by)s noted that the customer promised to pay by %(on)s"),
    "promise.kept": msgid("the promise to pay by %(on)s was kept"),
    "promise.broken": msgid("the promise to pay by %(on)s was not kept"),
    "thread.opened": msgid("the thread was opened: %(chip)s"),
    "message.moved": msgid("%(by)s moved the mail “%(subject)s” to another thread"),
    "contact.added": msgid("%(by)s added %(contact)s to the customer's contacts"),
    "contact.removed": msgid("%(by)s removed %(contact)s from the customer's contacts"),
    "bounce.dismissed": msgid("%(by)s put aside what failed at %(address)s"),
    "contact.corrected": msgid("%(by)s corrected the address %(from)s to %(to)s"),
    "thread.quarantined": msgid(
        "automatic mail opened it %(times)s times in a day: more of it will not open it until tomorrow"
    ),
    "thread.closed": msgid("the thread was closed by %(by)s"),
    "thread.waiting": msgid("%(by)s let the thread wait for the customer"),
    "thread.snoozed": msgid("%(by)s put the thread off until %(until)s"),
    "thread.assigned": msgid("%(by)s gave the thread to %(to)s"),
    "thread.unassigned": msgid("%(by)s took the thread from its clerk; it is nobody's now"),
    "thread.spam": msgid("%(by)s called the thread spam: mail to it opens nothing"),
    "thread.restored": msgid("%(by)s undid the last change of the thread"),
    "thread.tagged": msgid("%(by)s added the tag “%(tag)s”"),
    "thread.untagged": msgid("%(by)s removed the tag “%(tag)s”"),
    "note.added": msgid("%(by)s wrote a note"),
    "note.removed": msgid("%(by)s removed their note"),
}
_DATED = msgid("%(recipient)s: not sent any more, it was to go before %(until)s (%(words)s)")
_BLOCKED = msgid("%(recipient)s: not mailed, a person stopped mail to the address on %(since)s (%(words)s)")
_REFUSED_TO = msgid("not accepted from %(credential)s, for %(recipients)s: %(why)s")
_PART_PROMISED = msgid("%(by)s noted that the customer promised to pay %(amount)s %(currency)s by %(on)s")
# Why a reminder did not go (`outbound.reminders.WHY`), where the reader's language has its own sentence for it.
_SKIPPED: dict[str, str] = {
    "maximum": msgid("no reminder: the document was reminded of as often as it may be"),
    "paused": msgid("no reminder: reminders about this document are turned off"),
    "promised": msgid("no reminder: the customer promised to pay"),
    "opted_out": msgid("no reminder: the customer wants none"),
    "reply": msgid("no reminder: the customer wrote and waits for an answer"),
    "no_address": msgid("no reminder: the document names no address to send to"),
    "bounced": msgid("no reminder: mail to the customer came back"),
    "waiting": msgid("no reminder yet: another message about the document waits to be sent"),
    "recent": msgid("no reminder yet: another message about the document went less than 72 hours ago"),
}
_SAID_ELSEWHERE = frozenset({"attempt", "reply.received", "autoreply.received", "report.received", "message.accepted"})

_ACCEPTED = msgid("accepted from %(credential)s, recipients: %(recipients)s, %(size)s bytes")
_ANSWERED = msgid("accepted from %(credential)s, recipients: %(recipients)s, %(size)s bytes; answered: %(reply)s")
_ATTEMPT = msgid("%(recipient)s: attempt %(attempt)s, %(host)s, %(tls)s, %(milliseconds)s ms, %(stage)s: %(words)s")
_UNCLEAR = msgid(
    "%(recipient)s: attempt %(attempt)s, %(host)s, %(tls)s, %(milliseconds)s ms: no answer to the final dot, "
    "it may have arrived (%(words)s)"
)
NOBODY, CLEAR, NOTHING = msgid("no server"), msgid("no TLS"), msgid("no words")

# Who turned reminders off, and how: what `store.preferences` writes, for the catalogues of translations.
WAYS = (
    msgid("the customer"),
    msgid("the daily reminders"),
    msgid("an admin"),
    msgid("the customer, who wants no reminders"),
    msgid("one click in the mail program"),
    msgid("the page behind the link in the message"),
    msgid("a message that asks for it"),
    msgid("the operator"),  # store.users
)


def timeline(thread: ThreadView) -> tuple[Line, ...]:
    """Everything that happened in a thread, oldest first."""
    lines: list[Line] = []
    for made in thread.messages:
        lines += _of_message(thread, made)
    for event in thread.events:
        lines += _of_event(event)
    return tuple(sorted(lines, key=lambda line: line.at))  # stable: what came first of the same moment stays first


def tell_events(events: Sequence[Event]) -> list[Line]:
    """Events of the house, which stand in no thread, as lines in the same order."""
    return [line for event in events for line in _of_event(event)]


def _of_message(thread: ThreadView, made: MessageView) -> Iterator[Line]:
    message = made.message
    if message.direction == "in":
        what, template = _RECEIVED.get(message.kind, _RECEIVED_OTHER)
        values = {"author": message.author, "subject": message.subject}
        yield Line(message.created_at, what, template, values, message.id)
        return
    event = next((e for e in thread.events if e.type == "message.accepted" and e.message_id == message.id), None)
    data = event.data if event else {}
    credential = str(data.get("credential") or message.credential_id)
    values = {
        "credential": thread.credentials.get(credential, credential) or "?",
        "recipients": str(len(made.deliveries)),
        "size": str(data.get("size") or message.size),
        "reply": str(data.get("reply", "")),
    }
    template = _ANSWERED if values["reply"] else _ACCEPTED
    yield Line(message.created_at, "message.accepted", template, values, message.id)
    for delivery in made.deliveries:
        for attempt in delivery.attempts:
            yield _of_attempt(delivery, attempt)


def _of_attempt(delivery: DeliveryView, attempt: AttemptView) -> Line:
    values = {
        "recipient": delivery.recipient,
        "attempt": str(attempt.number),
        "host": attempt.host or NOBODY,
        "tls": f"{attempt.tls} ({attempt.policy})" if attempt.tls and attempt.policy else attempt.tls or CLEAR,
        "milliseconds": str(attempt.milliseconds),
        "stage": attempt.stage or "-",
        "words": attempt.words or NOTHING,
    }
    template = _UNCLEAR if attempt.unclear else _ATTEMPT
    return Line(attempt.at, "attempt", template, values, delivery.message_id, delivery.number)


class _Known(dict[str, str]):
    """The facts of an event; one that its writer left out is shown as "?" rather than failing a page."""

    def __missing__(self, key: str) -> str:
        return "?"


def _of_event(event: Event) -> Iterator[Line]:
    if event.type in _SAID_ELSEWHERE:
        return
    values = _Known({key: str(value) for key, value in event.data.items()})
    values["words"] = values.get("words") or NOTHING
    values["host"] = values.get("host") or NOBODY
    template = _SENTENCES.get(event.type, event.type.replace("%", "%%"))
    if event.type == "reminder.skipped":
        template = _SKIPPED.get(values["reason"], template)
    if event.type == "recipient.suppressed" and values["reason"] == BLOCKED:
        template = _BLOCKED
    if event.type == "recipient.expired" and event.data.get("until"):
        template = _DATED
    if event.type == "message.refused" and event.data.get("recipients"):
        template = _REFUSED_TO
    if event.type == "promise.made" and event.data.get("amount"):
        template = _PART_PROMISED
    yield Line(event.at, event.type, template, values, event.message_id, event.number)


# -- the answer to "did they get it?"

_ANSWERS = {
    views.ACCEPTED: "%(recipient)s: accepted by %(host)s at %(at)s (%(words)s)",
    views.DELIVERED: "%(recipient)s: in the mailbox, reported at %(at)s (%(words)s); accepted by %(host)s",
    views.BOUNCED: "%(recipient)s: bounced at %(at)s, %(reason)s (%(words)s)",
    views.EXPIRED: "%(recipient)s: given up at %(at)s, last answer: %(words)s",
    views.SUPPRESSED: "%(recipient)s: not mailed at %(at)s, the address failed on %(since)s (%(words)s)",
    views.CANCELLED: "%(recipient)s: cancelled at %(at)s",
    views.UNCLEAR: "%(recipient)s: sent at %(at)s, and no answer came; it may have arrived (%(words)s)",
    views.HELD: "%(recipient)s: on hold, %(hold)s",
    views.SCHEDULED: "%(recipient)s: not tried yet, first attempt at %(next)s",
    views.SENDING: "%(recipient)s: being sent now, attempt %(attempts)s",
    views.WAITING: "%(recipient)s: waiting, next attempt at %(next)s, last answer: %(words)s",
}


_STOPPED = "%(recipient)s: not mailed at %(at)s, a person stopped mail to the address on %(since)s (%(words)s)"


def answer(delivery: DeliveryView, tell: Callable[[datetime | None], str]) -> str:
    """One English sentence on how far a recipient's copy came; `tell` writes times."""
    accepted = delivery.progress in (views.ACCEPTED, views.DELIVERED)
    words = delivery.accepted_words if delivery.progress == views.ACCEPTED else delivery.words
    tried = len(delivery.attempts) + (delivery.progress == views.SENDING)
    stopped = delivery.progress == views.SUPPRESSED and delivery.reason == BLOCKED
    sentence = (_STOPPED if stopped else _ANSWERS[delivery.progress]) % {
        "recipient": delivery.recipient,
        "host": (delivery.accepted_by if accepted else delivery.host) or NOBODY,
        "at": tell(delivery.accepted_at if delivery.progress == views.ACCEPTED else delivery.at),
        "next": tell(delivery.next_at),
        "words": words or NOTHING,
        "reason": delivery.reason,
        "since": delivery.suppressed_since or "?",
        "hold": delivery.hold,
        "attempts": str(tried),
    }
    if delivery.progress == views.BOUNCED and delivery.accepted_at:
        sentence += f"; {delivery.accepted_by or NOBODY} had accepted it at {tell(delivery.accepted_at)}"
    return sentence
