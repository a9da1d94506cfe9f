"""What the fake outside world does, by the local part of an address, at any domain: data for `demo.world`.

`TABLE` is what `gateway run` prints. A local part is looked up to its first dot or plus, without case, so that
`bounce+42@shop.example` bounces too; a name that is not listed accepts.
"""

import re
from dataclasses import dataclass
from typing import Literal

from gateway.mail.reply import Reply
from gateway.mail.status import Action, DeliveryStatus


@dataclass(frozen=True, slots=True)
class Consequence:
    """What the world posts `after` some seconds, counted from the one before: a report when there is an `outcome`."""

    after: float
    kind: Literal["report", "auto-reply", "reply"]
    outcome: DeliveryStatus | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row: `what` and `note` are for people, the rest for `demo.world`. `{address}` in a reply is the recipient."""

    local_part: str
    what: str
    note: str
    at_rcpt: Reply | None = None
    times: int = 0  # how often `at_rcpt` is said per return path and recipient; 0: always
    at_end: Reply | None = None  # after the final dot
    seconds: float = 0.0  # waited before the answer to the final dot
    drops: Literal["", "before keeping", "after keeping"] = ""  # hangs up after the final dot, once per mail
    consequences: tuple[Consequence, ...] = ()


def _report(after: float, action: Action, status: str, code: int, text: str) -> Consequence:
    return Consequence(after, "report", DeliveryStatus(action, status, code, text))


_UNKNOWN = _report(2, Action.FAILED, "5.1.1", 550, "No such mailbox here")
_FULL = _report(2, Action.FAILED, "5.2.2", 552, "The mailbox is full")
_DELAYED = _report(2, Action.DELAYED, "4.4.1", 451, "The server that keeps this mailbox does not answer")
_DELIVERED = _report(2, Action.DELIVERED, "2.0.0", 250, "Delivered")
_DELIVERED_LATE = _report(18, Action.DELIVERED, "2.0.0", 250, "Delivered")


TABLE: tuple[Behaviour, ...] = (
    Behaviour("accept", "250", "takes the mail; so does every name that is not in this table"),
    Behaviour(
        "unknown", "550 5.1.1 at RCPT", "no such mailbox, said at once",
        at_rcpt=Reply(550, "5.1.1", "<{address}>: no such mailbox here"),
    ),
    Behaviour(
        "disabled", "550 5.2.1 at RCPT", "the mailbox is switched off",
        at_rcpt=Reply(550, "5.2.1", "<{address}>: this mailbox is disabled"),
    ),
    Behaviour(
        "full", "452 4.2.2 at RCPT, always", "the mailbox is full: stays queued",
        at_rcpt=Reply(452, "4.2.2", "<{address}>: the mailbox is full, try again later"),
    ),
    Behaviour(
        "full-hard", "552 5.2.2 at RCPT", "the mailbox is full, for good",
        at_rcpt=Reply(552, "5.2.2", "<{address}>: the mailbox is full"),
    ),
    Behaviour(
        "greylist", "451 4.7.1 twice, then 250", "greylisted per return path and recipient",
        at_rcpt=Reply(451, "4.7.1", "<{address}>: greylisted, please try again later"), times=2,
    ),
    Behaviour(
        "rate", "450 4.2.1 once, then 250", "too many mails in a short time",
        at_rcpt=Reply(450, "4.2.1", "<{address}>: receives mail at too high a rate"), times=1,
    ),
    Behaviour(
        "throttle", "421 4.7.0 once, then 250", "too much from us: asks us to stay away for 10 minutes",
        at_rcpt=Reply(421, "4.7.0", "Too many messages from your address, try again in 10 minutes"), times=1,
    ),
    Behaviour(
        "policy", "550 5.7.1 at RCPT", "refused by the receiver's policy",
        at_rcpt=Reply(550, "5.7.1", "<{address}>: not accepted by policy of this organisation"),
    ),
    Behaviour(
        "spam", "554 5.7.1 after the mail", "the content is taken for spam",
        at_end=Reply(554, "5.7.1", "The message was classified as spam"),
    ),
    Behaviour(
        "large", "552 5.3.4 after the mail", "the mail is too large",
        at_end=Reply(552, "5.3.4", "The message is larger than this server takes"),
    ),
    Behaviour(
        "bounce", "250, then a failed report", "5.1.1 after 2 s, by a real DSN (RFC 3464)", consequences=(_UNKNOWN,)
    ),
    Behaviour("bounce-later-full", "250, then a failed report", "the same with 5.2.2", consequences=(_FULL,)),
    Behaviour(
        "delay", "250, then two reports", "delayed after 2 s, delivered after 20 s",
        consequences=(_DELAYED, _DELIVERED_LATE),
    ),
    Behaviour("success", "250, then a delivered report", "after 2 s", consequences=(_DELIVERED,)),
    Behaviour("slow", "250 after 3 s", "thinks before it answers the final dot", seconds=3.0),
    Behaviour("drop", "hangs up, once per mail", "no answer to the final dot, nothing kept", drops="before keeping"),
    Behaviour(
        "drop-kept", "hangs up, once per mail", "but keeps it: the next try is a duplicate", drops="after keeping"
    ),
    Behaviour(
        "away", "250, then an auto-reply", "out of office after 2 s, in the mail's language, to the return path",
        consequences=(Consequence(2, "auto-reply"),),
    ),
    Behaviour(
        "person", "250, then a reply", "a person answers after 4 s, in the mail's language, to the Reply-To",
        consequences=(Consequence(4, "reply"),),
    ),
)  # fmt: skip
_BY_NAME = {behaviour.local_part: behaviour for behaviour in TABLE}
_SUFFIX = re.compile(r"[.+]")


def behaviour_of(local_part: str) -> Behaviour:
    """What an address with this local part asks for."""
    return _BY_NAME.get(_SUFFIX.split(local_part.lower(), maxsplit=1)[0], TABLE[0])
