"""How we know whose a mail is: the kinds of evidence, how much each is worth, and the weak ones among them.

Strong evidence is something that only who had our mail can know: a token, a Message-ID. Without it, what a report says
of the mail that came back may still fit one mail of the tenant and no other. Asked by `bounces` and `replies` when
nothing stronger speaks. Refuses to choose: two that fit equally are none, and a returned mail that has a Message-ID
which is not ours was not ours.
"""

import re
from dataclasses import dataclass

from gateway.outbound.numbers import find_number
from gateway.outbound.queue_find import Mailed, mailed_to, named_by_server
from gateway.store.database import Transaction
from gateway.store.tenants import get_tenant

DAY_MS = 86_400_000
REPORTED_WITHIN_MS = 7 * DAY_MS  # servers give up after five days
ANSWERED_WITHIN_MS = 3 * DAY_MS  # an automatic answer comes soon
KNOWN_WITHIN_MS = 90 * DAY_MS  # the name that a server gave a mail, or its document's number
SHORTEST_NAME = 12  # characters of a server's name for a mail that cannot stand in an answer by chance

RETURN_PATH, THREAD_ADDRESS, TOKEN = "return path", "thread address", "token"
MESSAGE_ID, ANSWERS = "message-id", "answers"
SERVERS_ID, NUMBER, RECIPIENT = "server's id", "number", "recipient"
CONFIDENCE = {
    RETURN_PATH: "certain",
    THREAD_ADDRESS: "certain",
    TOKEN: "certain",
    MESSAGE_ID: "strong",
    ANSWERS: "strong",
    SERVERS_ID: "likely",
    NUMBER: "likely",
    RECIPIENT: "possible",
}


@dataclass(frozen=True, slots=True)
class Clue:
    """What is known of a mail of ours that came back, or is answered, without its token."""

    message_id: str = ""
    subject: str = ""
    within_ms: int = REPORTED_WITHIN_MS  # how long ago it may have left, when nothing but the recipient speaks


def find_mailed(tx: Transaction, now_ms: int, tenant_id: str, address: str, clue: Clue) -> tuple[Mailed, str] | None:
    """(the mail to this address that fits, by what); None when none does, or mail of several threads."""
    mailed = mailed_to(tx, tenant_id, address, now_ms - KNOWN_WITHIN_MS) if address else []
    if not mailed:
        return None
    if clue.message_id:
        name = clue.message_id.partition("@")[0]
        return _only(named_by_server(tx, mailed, name), SERVERS_ID) if len(name) >= SHORTEST_NAME else None
    number = _number(tx, tenant_id, clue.subject)
    if number and (found := _only([one for one in mailed if one.number == number], NUMBER)):
        return found
    recent = [one for one in mailed if one.created_at >= now_ms - clue.within_ms]
    if clue.subject:
        recent = [one for one in recent if same_subject(one.subject, clue.subject)]
    return _only(recent, RECIPIENT)


def find_numbered_thread(tx: Transaction, now_ms: int, tenant_id: str, author: str, subject: str) -> str:
    """The thread of the document whose number a subject shows, when mail of it went to the author; "" for none."""
    number = _number(tx, tenant_id, subject)
    mailed = mailed_to(tx, tenant_id, author, now_ms - KNOWN_WITHIN_MS) if number and author else []
    found = _only([one for one in mailed if one.number == number], NUMBER)
    return found[0].made.thread_id if found else ""


def recent_threads(tx: Transaction, now_ms: int, tenant_id: str, author: str, most: int = 3) -> list[tuple[str, str]]:
    """(id, subject) of the threads whose mail went to an author lately: where a person may want to put its letter."""
    mailed = mailed_to(tx, tenant_id, author, now_ms - KNOWN_WITHIN_MS) if author else []
    found: dict[str, str] = {}
    for one in mailed:
        found.setdefault(one.made.thread_id, one.subject)
    return list(found.items())[:most]


def _number(tx: Transaction, tenant_id: str, subject: str) -> str:
    tenant = get_tenant(tx, tenant_id) if subject else None
    found = find_number(subject, (), tenant.options.get("number_patterns", ())) if tenant else None
    return found.number if found else ""


def _only(found: list[Mailed], by: str) -> tuple[Mailed, str] | None:
    """The latest one when all are of one thread: a reminder fits as well as the invoice that it reminds of."""
    return (found[0], by) if found and len({one.made.thread_id for one in found}) == 1 else None


_PREFIX = re.compile(r"\s*(?:\w{1,4}|ответ|răspuns|fwd|пересл)(?:\[\d{1,3}\])?\s?:\s*", re.I)


def same_subject(ours: str, theirs: str) -> bool:
    """Whether a subject is ours, with "Re:" and the like before it, or cut short."""
    for _ in range(5):
        theirs = _PREFIX.sub("", theirs, count=1) if _PREFIX.match(theirs) and not ours.startswith(theirs) else theirs
    ours, theirs = " ".join(ours.split()).casefold(), " ".join(theirs.split()).casefold()
    return ours == theirs or (len(theirs) >= 20 and ours.startswith(theirs))
