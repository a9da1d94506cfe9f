"""What becomes of mail that lies in a tenant's mailbox: taken through the one door, or left alone.

Called with a batch of mails that were read in a worker: by a pull, or by the loop that judges the spool. In one
transaction each is judged and, when it is taken, kept by `reception.take`; in the same one the cursor moves, or its
wait in the spool ends, so that a crash at any moment loses nothing and takes nothing twice. A mailbox that gives
reports and replies only is asked for a proof (a token of ours, or a Message-ID of the tenant's own mail): everything
else is none of our business and is not kept. There is no envelope here, so no report from a mailbox is ever trusted
with a suppression.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.inbound.bounces import match_report
from gateway.inbound.complaints import PROVEN
from gateway.inbound.destinations import Destination, Names, named_in_header
from gateway.inbound.evidence import CONFIDENCE
from gateway.inbound.reception import HOPS, REPORTS, take
from gateway.inbound.replies import thread_of_reply
from gateway.mail.classify import Kind
from gateway.mail.received import ReceivedMail
from gateway.store.database import Transaction, foresees, new_id, to_ms
from gateway.store.events import add_event
from gateway.store.mailbox_account import ALL, OF_MAILBOX
from gateway.store.mailboxes import (
    Cursor,
    Mailbox,
    count_judged,
    lock_mailbox,
    move_cursor,
    note_failure,
    note_visit,
)
from gateway.store.messages import Message, drop_spooled, find_by_message_id, get_content
from gateway.store.spool import Spooled, add_spooled, end_spooled
from gateway.store.threads import add_thread, close_thread, find_thread, open_thread

log = structlog.get_logger()

LANE = "spool"  # of what doors need not wait for, where the database can do that
CHIP = "mailbox"  # of the thread that tells of a mailbox


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail of a folder. `mail` is None when it could not be read within its limits; `raw` b"" when it is skipped."""

    uid: int
    size: int
    raw: bytes
    mail: ReceivedMail | None


def take_batch(
    tx: Transaction, names: Names, node: str, box: Mailbox, letters: Sequence[Letter], cursor: Cursor, now: datetime
) -> list[int]:
    """Judge mails and move the cursor; the UIDs of those that were taken. Raises LeaseLost."""
    taken = []
    for one in letters:
        if not one.raw:
            _say_skipped(tx, names, to_ms(now), box, one)
        elif _take(tx, names, _source(box), one, now):
            taken.append(one.uid)
    passed = len(letters) - len(taken)
    move_cursor(tx, node, box, cursor, now_ms=to_ms(now), taken=len(taken), passed=passed)
    return taken


@foresees(lambda *_: (), lane=LANE)
def spool_batch(
    tx: Transaction, names: Names, node: str, box: Mailbox, letters: Sequence[Letter], cursor: Cursor, now: datetime,
    before: int,
) -> None:  # fmt: skip
    """Store mails that are judged later, and move the cursor; `before`: so many of this visit are. Raises LeaseLost."""
    mails = [(one.uid, one.raw) for one in letters if one.raw]
    for one in letters:
        if not one.raw:
            _say_skipped(tx, names, to_ms(now), box, one)
    add_spooled(tx, now, (box.tenant_id, box.name), mails, before)
    passed = len(letters) - len(mails)
    move_cursor(tx, node, box, cursor, now_ms=to_ms(now), taken=0, passed=passed, spooled=len(mails))


@dataclass(frozen=True, slots=True)
class Read:
    """A spooled mail with its bytes and what was read of them."""

    spooled: Spooled
    raw: bytes
    mail: ReceivedMail | None


@foresees(lambda *_: (), lane=LANE)
def judge_batch(tx: Transaction, names: Names, node: str, some: Sequence[Read], now: datetime) -> None:
    """Judge spooled mails of one mailbox, and end their wait: in this commit each is kept or forgotten.

    A mailbox that is gone had asked for all its mail.
    """
    tenant_id, name = some[0].spooled.tenant_id, some[0].spooled.mailbox
    found = lock_mailbox(tx, tenant_id, name)
    source = _Source(tenant_id, name, ALL if found is None else found)
    ours = [one for one in some if end_spooled(tx, node, one.spooled)]
    taken = sum(_take_spooled(tx, names, source, one, now) for one in ours)
    count_judged(tx, tenant_id, name, taken, len(ours) - taken)


def _take_spooled(tx: Transaction, names: Names, source: "_Source", one: Read, now: datetime) -> bool:
    letter = Letter(one.spooled.uid, len(one.raw), one.raw, one.mail)
    stored = (one.spooled.message_id, one.spooled.came_at)
    if _take(tx, names, source, letter, now, stored) == one.spooled.message_id:
        return True
    drop_spooled(tx, source.tenant_id, one.spooled.message_id)
    return False


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a mail lies, and what the tenant asks to be taken of it."""

    tenant_id: str
    name: str
    takes: str


def _source(box: Mailbox) -> _Source:
    return _Source(box.tenant_id, box.name, box.account.takes)


def _take(
    tx: Transaction, names: Names, source: _Source, letter: Letter, now: datetime,
    stored: tuple[str, datetime | None] = ("", None),
) -> str:  # fmt: skip
    """The id of the message that it has become, or was before; "" for a mail that is left alone."""
    mail = letter.mail
    named = _namesakes(tx, source.tenant_id, mail)
    if mail is None:
        destination: Destination | None = Destination(source.tenant_id) if source.takes == ALL else None
    else:
        destination = _find_place(tx, names, to_ms(now), source, mail, named)
    if destination is None or _is_known(tx, source.tenant_id, named, letter.raw):
        return ""
    return take(tx, names, letter.raw, mail, destination, now, f"mailbox {source.name}", named, stored).message_id


def _namesakes(tx: Transaction, tenant_id: str, mail: ReceivedMail | None) -> list[Message]:
    """What the tenant has of a mail's Message-ID."""
    return find_by_message_id(tx, tenant_id, [mail.message_id]) if mail and mail.message_id else []


def find_place(tx: Transaction, names: Names, now_ms: int, box: Mailbox, mail: ReceivedMail) -> Destination | None:
    """Where a mail of this mailbox goes; None for one that is left alone."""
    return _find_place(tx, names, now_ms, _source(box), mail, _namesakes(tx, box.tenant_id, mail))


def _find_place(
    tx: Transaction, names: Names, now_ms: int, source: _Source, mail: ReceivedMail, named: Sequence[Message]
) -> Destination | None:
    left_from_here = any(one.direction == "out" for one in named)  # Bcc, a shared folder: it answers nothing
    if mail.hops > HOPS or left_from_here:
        return None
    here = Destination(source.tenant_id)
    proven = named_in_header(tx, names, here, mail)
    if proven.thread_id:
        return proven
    if mail.report is not None and (mail.kind in REPORTS or mail.kind in (Kind.FEEDBACK, Kind.READ_RECEIPT)):
        matches = match_report(tx, now_ms, source.tenant_id, mail.report, mail)
        sure = [one for one in matches if CONFIDENCE.get(one.by) in PROVEN]
        if sure:
            return here if mail.kind in REPORTS else Destination(source.tenant_id, sure[0].delivery.thread_id)
    if source.takes == ALL or thread_of_reply(tx, source.tenant_id, mail):
        return here
    return None


def _is_known(tx: Transaction, tenant_id: str, named: Sequence[Message], raw: bytes) -> bool:
    """Whether the same mail came before, here or by SMTP, whichever fields were added on its way."""
    incoming = [one for one in named if one.direction == "in"]
    return any(_body(get_content(tx, tenant_id, one.id)) == _body(raw) for one in incoming[:20])


def _body(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip()


# -- what the tenant is told of a mailbox


def _say_skipped(tx: Transaction, names: Names, now_ms: int, box: Mailbox, letter: Letter) -> None:
    """Of mail that would have been taken, as far as its header tells; of one that has not even that, always."""
    mail = letter.mail
    if mail is not None and find_place(tx, names, now_ms, box, mail) is None:
        return
    log.warning("imap.skipped", tenant=box.tenant_id, mailbox=box.name, uid=letter.uid, size=letter.size)
    thread_id = _thread(tx, now_ms, box)
    author, subject = (mail.author, mail.subject[:200]) if mail else ("", f"UID {letter.uid}")
    data = {"mailbox": box.name, "size": letter.size, "from": author, "subject": subject}
    add_event(tx, now_ms, box.tenant_id, "mailbox.skipped", thread_id=thread_id, data=data)
    open_thread(tx, now_ms, box.tenant_id, thread_id, CHIP)


def end_visit(tx: Transaction, node: str, box: Mailbox, now_ms: int, next_ms: int, until_ms: int | None = None) -> None:
    """Note that a visit went well, and that its lease is kept until a moment, or ends.

    A mailbox that had failed works again, and its thread is done with. Raises LeaseLost.
    """
    if not note_visit(tx, node, box, now_ms, next_ms, until_ms):
        return
    thread_id = _thread(tx, now_ms, box)
    data = {"mailbox": box.name, "host": box.account.host}
    add_event(tx, now_ms, box.tenant_id, "mailbox.recovered", thread_id=thread_id, data=data)
    close_thread(tx, now_ms, box.tenant_id, thread_id, "gateway")


def end_failed_visit(
    tx: Transaction, node: str, box: Mailbox, now_ms: int, next_ms: int, words: str, alarm: bool
) -> None:
    """Note that a visit failed; the first that is an alarm opens the mailbox's thread."""
    if not note_failure(tx, node, box, now_ms, next_ms, words, alarm):
        return
    thread_id = _thread(tx, now_ms, box)
    data = {"mailbox": box.name, "host": box.account.host, "words": words}
    add_event(tx, now_ms, box.tenant_id, "mailbox.failed", thread_id=thread_id, data=data)
    open_thread(tx, now_ms, box.tenant_id, thread_id, CHIP, words=words)


def _thread(tx: Transaction, now_ms: int, box: Mailbox) -> str:
    """The one thread that tells of a mailbox."""
    key = f"{OF_MAILBOX}{box.name}"
    found = find_thread(tx, box.tenant_id, key)
    if found is not None:
        return found.id
    return add_thread(tx, now_ms, box.tenant_id, new_id(), key=key, subject=f"IMAP {box.name}", customer=box.name)
