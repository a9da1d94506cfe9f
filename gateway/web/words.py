"""What the pages say of chips, bounces and progress: one plain sentence each, and what to do about it.

Called by the templates, in the reader's language (the texts are msgids). A reason is one of the vocabulary "Why mail
failed"; a word that is not known here is shown as it stands rather than failing a page.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.inbox import views
from gateway.inbox.timeline import msgid

REPLY, FAULT, POLICY, NOTE = "reply", "fault", "policy", "note"  # what colours a chip has


@dataclass(frozen=True, slots=True)
class Reason:
    """Why mail failed: the chip, the sentence, what to do, and whose fault it is (the chip's colour)."""

    chip: str
    sentence: str
    do: str
    colour: str


_ASK_ADDRESS = msgid(
    "Ask the customer for the right address, correct it in the billing system and send the document again."
)
_CALL_ADMIN = msgid("Tell your administrator; the customer can do nothing about it.")
_WAIT = msgid("Nothing to do: it is sent again by itself.")
_READ = msgid("Read the server's answer below; if it does not help, call the customer.")

REASONS: dict[str, Reason] = {
    "mailbox_unknown": Reason(
        msgid("no such address"), msgid("The address does not exist."), _ASK_ADDRESS, FAULT
    ),
    "domain_unknown": Reason(
        msgid("no such domain"),
        msgid("The mail domain does not exist or accepts no mail."),
        _ASK_ADDRESS,
        FAULT,
    ),
    "mailbox_disabled": Reason(
        msgid("mailbox disabled"), msgid("The mailbox is disabled."), _ASK_ADDRESS, FAULT
    ),
    "mailbox_full": Reason(
        msgid("mailbox full"),
        msgid("The recipient's mailbox is full."),
        msgid("Send it again in a few days, or call the customer."),
        FAULT,
    ),
    "too_large": Reason(
        msgid("too large"),
        msgid("The message is too large for the recipient's server."),
        msgid("Send it again without the PDF; the button in the message opens the document."),
        FAULT,
    ),
    "spam_rejected": Reason(
        msgid("taken for spam"),
        msgid("The recipient's server treated it as spam."),
        msgid("Ask the customer to allow your address; sending from your own domain helps most."),
        POLICY,
    ),
    "policy_rejected": Reason(
        msgid("refused by a rule"),
        msgid("Rejected by a rule at the recipient."),
        msgid("Ask the customer to allow your address on their side."),
        POLICY,
    ),
    "auth_failed": Reason(
        msgid("sender not trusted"),
        msgid("The sender domain failed SPF/DKIM/DMARC checks."),
        _CALL_ADMIN,
        POLICY,
    ),
    "ip_blocked": Reason(
        msgid("our server is blocked"), msgid("Our server is blocked by the recipient."), _CALL_ADMIN, POLICY
    ),
    "relay_failed": Reason(
        msgid("own server refused"), msgid("Your own SMTP server refused the message."), _CALL_ADMIN, POLICY
    ),
    "content_error": Reason(
        msgid("fault in the message"),
        msgid("The recipient's server could not accept the form of the message."),
        _CALL_ADMIN,
        POLICY,
    ),
    "rate_limited": Reason(
        msgid("throttled"), msgid("The recipient accepts only so many messages at a time."), _WAIT, POLICY
    ),
    "greylisted": Reason(
        msgid("asked to wait"),
        msgid("The recipient's server asks us to come back a little later."),
        _WAIT,
        POLICY,
    ),
    "unreachable": Reason(msgid("server unreachable"), msgid("The recipient's server does not answer."), _WAIT, POLICY),
    "expired": Reason(
        msgid("given up"),
        msgid("We gave up: it could not be delivered in time."),
        msgid("Call the customer: their mail may be down, or the address may be wrong."),
        FAULT,
    ),
    "blocked": Reason(
        msgid("address blocked"),
        msgid("Mail to this address was stopped by a person."),
        msgid("If mail may go there again, ask your administrator to take the address off the list."),
        NOTE,
    ),
    "unknown": Reason(
        msgid("delivery failed"), msgid("Delivery failed; see the server's answer below."), _READ, FAULT
    ),
}  # fmt: skip

CHIPS: dict[str, tuple[str, str]] = {
    "reply": (msgid("reply"), REPLY),
    "reopened": (msgid("reopened"), NOTE),
    "snooze_over": (msgid("back again"), NOTE),
    "render_failed": (msgid("problem"), POLICY),
    "parked": (msgid("problem"), POLICY),
    "unanswered": (msgid("no answer"), POLICY),
    "smtp_account": (msgid("own mail server"), POLICY),
    "mailbox": (msgid("own mailbox"), POLICY),
    "domain": (msgid("own domain"), POLICY),
    "no_address": (msgid("no address"), POLICY),
    "refused": (msgid("not accepted"), FAULT),
    "promise_broken": (msgid("promise not kept"), FAULT),
    "complaint": (msgid("complaint"), FAULT),
    "challenge": (msgid("sender check"), REPLY),
    "unclear": (msgid("unclear report"), POLICY),
    "unreadable": (msgid("unreadable mail"), POLICY),
    "quarantined": (msgid("automatic mail again and again"), POLICY),
    **{key: (reason.chip, reason.colour) for key, reason in REASONS.items()},
}

# A recipient's line: how far the copy came, with when or why.
PROGRESS: dict[str, str] = {
    views.ACCEPTED: msgid("accepted by the recipient's server"),
    views.DELIVERED: msgid("in the mailbox, says the recipient's server"),
    views.WAITING: msgid("waiting, next try"),
    views.SCHEDULED: msgid("will be sent"),
    views.SENDING: msgid("being sent now"),
    views.HELD: msgid("on hold"),
    views.CANCELLED: msgid("cancelled"),
    views.BOUNCED: msgid("bounced"),
    views.EXPIRED: msgid("given up"),
    views.UNCLEAR: msgid("sent, but their server never confirmed it"),
    views.SUPPRESSED: msgid("not sent, mail to this address is stopped"),
}
FAILED = (views.BOUNCED, views.EXPIRED, views.SUPPRESSED, views.UNCLEAR)

# How we know whose a mail is, when it is less than certain.
PLACED: dict[str, str] = {
    "message-id": msgid("it names a message of this thread"),
    "answers": msgid("it answers a message of this thread"),
    "server's id": msgid("it names the number that a mail server gave a message of this thread"),
    "number": msgid("the number of the document and the address fit; check it"),
    "recipient": msgid("only the address and the time fit; check it"),
}

VIEWS: dict[str, str] = {
    "todo": msgid("To do"),
    "mine": msgid("Mine"),
    "unassigned": msgid("Nobody's"),
    "bounced": msgid("Bounced"),
    "replies": msgid("Replies"),
    "waiting": msgid("Waiting for the customer"),
    "promised": msgid("Promised"),
    "snoozed": msgid("Put off"),
    "sent": msgid("Sent"),
    "scheduled": msgid("Scheduled"),
    "closed": msgid("Closed"),
    "spam": msgid("Spam"),
    "all": msgid("All"),
}
EMPTY: dict[str, str] = {
    "todo": msgid("Nothing waits for you. Replies and bounces will appear here."),
    "mine": msgid("No open thread is yours."),
    "unassigned": msgid("Every open thread has somebody who looks after it."),
    "bounced": msgid("No mail has come back."),
    "replies": msgid("No reply waits for you."),
    "waiting": msgid("No thread waits for a customer."),
    "promised": msgid("No customer's promise to pay is open."),
    "snoozed": msgid("No thread is put off."),
    "sent": msgid("Nothing has been sent yet, or all of it waits for you in another list."),
    "scheduled": msgid("No mail is held, and none goes later."),
    "closed": msgid("Nobody has closed a thread yet."),
    "spam": msgid("No thread is spam."),
    "all": msgid("There is no mail yet."),
}
TYPES: dict[str, str] = {
    "invoice": msgid("Invoice"),
    "credit_note": msgid("Credit note"),
    "estimate": msgid("Estimate"),
    "receipt": msgid("Receipt"),
    "refund": msgid("Refund"),
    "statement": msgid("Statement"),
    "payment_plan": msgid("Payment plan"),
    "subscription": msgid("Subscription"),
}
KINDS: dict[str, str] = {
    "person": msgid("Reply"),
    "auto_reply": msgid("Automatic answer"),
    "bounce": msgid("Bounce report"),
    "delay": msgid("Delay report"),
    "success": msgid("Success report"),
    "read_receipt": msgid("Read receipt"),
    "feedback": msgid("Complaint"),
    "challenge": msgid("Sender check"),
    "list": msgid("Mailing list"),
    "automatic": msgid("Automatic mail"),
    "unreadable": msgid("Unreadable mail"),
}
SLIM = frozenset({"auto_reply", "delay", "success", "read_receipt", "list", "automatic", "challenge"})  # need nobody


def chip(name: str) -> tuple[str, str]:
    """(msgid, colour) of a chip."""
    return CHIPS.get(name, (name.replace("_", " "), NOTE))


def reason(name: str) -> Reason:
    """The words for a reason."""
    return REASONS.get(name, REASONS["unknown"])


_PASSING = ("rate_limited", "greylisted", "unreachable")
_ASK = msgid("Ask the customer whether it arrived before you send it again: they may have it already.")
_AGAIN = msgid("Send it again; if it fails again, call the customer.")


def advice(delivery: views.DeliveryView) -> str:
    """What to do about a delivery (msgid): while it waits nothing; when it has ended, what its reason asks for."""
    if delivery.progress == views.WAITING:
        return _WAIT
    if delivery.progress == views.EXPIRED:
        return REASONS["expired"].do
    if delivery.progress == views.UNCLEAR:
        return _ASK
    return _AGAIN if delivery.reason in _PASSING else reason(delivery.reason).do


STATES: dict[str, str] = {
    "failed": msgid("bounced"),
    "unclear": msgid("not confirmed"),
    "queued": msgid("waiting"),
    "delivered": msgid("in the mailbox"),
    "relayed": msgid("accepted"),
    "cancelled": msgid("cancelled"),
}


def in_order(progress: Mapping[str, int]) -> list[tuple[str, int]]:
    """The states of a thread's deliveries with their numbers, what needs a person first."""
    return [(state, progress[state]) for state in STATES if progress.get(state)]


def total(progress: Mapping[str, int]) -> int:
    """How many deliveries a thread has."""
    return sum(progress.values())


# What each key of the pages does (`static/keys.js`), as the help shows it; the letters are those of aria-keyshortcuts.
KEYS: tuple[tuple[str, str], ...] = (
    ("j k", msgid("the next and the previous thread")),
    ("o", msgid("open the thread")),
    ("x", msgid("tick the thread")),
    ("s d", msgid("send the document; download its PDF")),
    ("u", msgid("back to the list")),
    ("/", msgid("search")),
    ("e", msgid("done with it")),
    ("w", msgid("let it wait")),
    ("z", msgid("sleep until a day")),
    ("!", msgid("it is spam")),
    ("r a", msgid("reply; reply to all")),
    ("n", msgid("write a note")),
    ("m", msgid("who takes care of it")),
    ("t", msgid("tags")),
    ("p", msgid("a promise to pay")),
    ("y", msgid("undo")),
    ("Ctrl+Enter", msgid("send what you write")),
    ("?", msgid("show these keys")),
)

# What was just done to threads, as the bar says it that offers it back.
DID: dict[str, str] = {
    "correct": msgid("The address is corrected; what it missed is on its way."),
    "close": msgid("Done:"),
    "reopen": msgid("On the to-do list again:"),
    "wait": msgid("Waits for the customer:"),
    "snooze": msgid("Put off:"),
    "spam": msgid("Spam:"),
    "assign": msgid("Assigned:"),
    "tag": msgid("Tagged:"),
    "untag": msgid("Tag removed:"),
    "undo": msgid("It is as it was before."),
    "send": msgid("It goes now."),
    "cancel": msgid("Cancelled; it will not be sent."),
}
