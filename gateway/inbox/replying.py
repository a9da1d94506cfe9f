"""A clerk answers a mail, everybody it named, or passes it on; and takes that back within ten seconds.

Called by the pages, the CLI and the HTTP API; what leaves goes through `outbound.answering`. Recipients come from the
mail that is answered (Reply-To, else From), never from a noreply address or one of our own. A thread that changed since
its page was read refuses (409) and says what happened, unless asked to send anyway.
"""

import contextlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.inbox import acting
from gateway.inbox.addressing import Addressed, addressed, mailboxes
from gateway.inbox.canning import language_for
from gateway.inbox.parts import read_attachment
from gateway.mail.reply import Refused
from gateway.outbound.answering import Answer, accept_answer
from gateway.outbound.attachments import Attachment
from gateway.outbound.queue import cancel, is_waiting
from gateway.outbound.signature import signature_of
from gateway.outbound.submission import Door
from gateway.store.database import Transaction, to_ms
from gateway.store.drafts import drop_draft, put_draft
from gateway.store.events import list_events
from gateway.store.messages import get_message
from gateway.store.tenants import get_tenant
from gateway.store.threads import Thread, get_thread
from gateway.store.undoing import UNDO_MS
from gateway.store.users import get_user

TEXT_LENGTH = 100_000
THEN = ("", "waiting", "closed")
# what another person or the customer did that an answer should know of
_TELLING = frozenset(
    """reply.received autoreply.received recipient.bounced message.accepted message.moved note.added promise.made
    document.updated thread.closed thread.waiting thread.snoozed thread.assigned thread.spam""".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a clerk wants to send. Recipients that are left out are those of the mail that is answered.

    `message_id` "" answers the last mail of a person. `files_of` are files (message id, number) of mail in the thread.
    `seen` is `ThreadView.seen` of the page that was read; "" asks for no warning. `then` is the thread's state after.
    """

    tenant_id: str
    thread_id: str
    by: str
    user_id: str = ""
    credential: str = ""  # of a program: its limits hold; with the key of idempotency and the digest of its request
    key: str = ""
    digest: str = ""
    message_id: str = ""
    everyone: bool = False  # all whom the mail named
    forward: bool = False  # to others: the whole mail with its files
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    subject: str = ""
    text: str = ""
    files: tuple[Attachment, ...] = ()
    files_of: tuple[tuple[str, int], ...] = ()
    seen: str = ""
    anyway: bool = False
    then: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was queued; until `leaves_at` `take_back` brings it back. `undo` is of the thread's state."""

    message_id: str
    thread_id: str
    leaves_at: datetime
    undo: str
    text: str
    outcome: str = "held"  # or duplicate: it was handed over before


def what_changed(tx: Transaction, tenant_id: str, thread_id: str, seen: str, by: str) -> tuple[str, ...]:
    """What happened in a thread after a page was read, without what this person did: types of events."""
    events = list_events(tx, tenant_id, thread_id=thread_id) if seen else []
    late = [event for event in events if event.id > seen and event.type in _TELLING]
    return tuple(dict.fromkeys(one.type for one in late if by not in (one.data.get("by"), one.data.get("credential"))))


async def reply(door: Door, now: datetime, wanted: Reply) -> Sent:
    """Queue an answer, to leave in ten seconds.

    Raises Refused: 404 for what is not the tenant's, 409 for a thread that changed, 501 or 55x for what cannot go.
    """
    if wanted.then not in THEN or len(wanted.text) > TEXT_LENGTH or not (wanted.text.strip() or wanted.forward):
        raise Refused(
            501, "5.5.4", f"write 1 to {TEXT_LENGTH} characters; the thread is then waiting, closed, or as is"
        )
    database = door.database
    answer = await database.read(_answer, door, now, wanted)
    receipt = await accept_answer(door, answer, now)
    again = receipt.outcome == "duplicate"
    undo = "" if again else await database.write(_settle, now, wanted)
    return Sent(receipt.message_id, wanted.thread_id, answer.not_before, undo, receipt.text, receipt.outcome)


def _answer(tx: Transaction, door: Door, now: datetime, wanted: Reply) -> Answer:
    found = get_thread(tx, wanted.tenant_id, wanted.thread_id)
    if found is None:
        raise Refused(404, "5.1.1", f"there is no thread {wanted.thread_id[:40]}")
    changed = what_changed(tx, wanted.tenant_id, wanted.thread_id, wanted.seen, wanted.by)
    if changed and not wanted.anyway:
        raise Refused(
            409, "5.5.1", f"the thread changed since you read it ({', '.join(changed)}); look, then send again"
        )
    to = addressed(
        tx, door.letterhead, wanted.tenant_id, found, wanted.message_id, everyone=wanted.everyone,
        forward=wanted.forward, language=language_for(tx, wanted.tenant_id, found),
    )  # fmt: skip
    named = replace(to, to=mailboxes(wanted.to), cc=mailboxes(wanted.cc)) if wanted.to else to
    if not named.to:
        raise Refused(554, "5.5.3", "the mail names nobody who could be answered; name a recipient")
    return _compose(tx, now, wanted, found, named)


def signature(tx: Transaction, tenant_id: str, user_id: str, language: str) -> tuple[str, ...]:
    """The lines that will stand below an answer of this person; () when the tenant wants none."""
    tenant = get_tenant(tx, tenant_id)
    return signature_of(tenant, _name(tx, tenant_id, user_id), language) if tenant else ()


def _name(tx: Transaction, tenant_id: str, user_id: str) -> str:
    found = get_user(tx, tenant_id, user_id) if user_id else None
    return found[0].name if found else ""


def _compose(tx: Transaction, now: datetime, wanted: Reply, found: Thread, named: Addressed) -> Answer:
    files_of = dict.fromkeys((*wanted.files_of, *(named.files if wanted.forward else ())))
    files = tuple(dict.fromkeys((*(_file(tx, wanted.tenant_id, found.id, *one) for one in files_of), *wanted.files)))
    subject, text = " ".join(wanted.subject.split())[:500] or named.subject, wanted.text.replace("\r\n", "\n").strip()
    kept: dict[str, Any] = {"to": [str(one.address) for one in named.to], "cc": [str(one.address) for one in named.cc]}
    kept |= {"subject": subject, "text": text, "message": named.message_id, "forward": wanted.forward}
    return Answer(
        tenant_id=wanted.tenant_id, thread_id=found.id, thread_key=found.key, by=wanted.by,
        credential=wanted.credential, key=wanted.key, digest=wanted.digest, to=named.to, cc=named.cc,
        signer=_name(tx, wanted.tenant_id, wanted.user_id), subject=subject, text=text, introduced=named.introduced,
        quoted=named.quoted, files=files, language=named.language, references=named.references,
        not_before=now + timedelta(milliseconds=UNDO_MS), detail={"draft": kept, "user": wanted.user_id},
    )  # fmt: skip


def _file(tx: Transaction, tenant_id: str, thread_id: str, message_id: str, number: int) -> Attachment:
    made = get_message(tx, tenant_id, message_id)
    read = read_attachment(tx, tenant_id, message_id, number) if made and made.thread_id == thread_id else None
    if made is None or read is None:
        raise Refused(404, "5.1.1", f"there is no file {number} of a mail {message_id[:40]} in this thread")
    return Attachment(read[0] or "file", str(made.detail["attachments"][number - 1].get("content_type")), read[1])


def _settle(tx: Transaction, now: datetime, wanted: Reply) -> str:
    """The draft is sent, and the thread stands as asked; what undoes that."""
    drop_draft(tx, wanted.tenant_id, wanted.thread_id, wanted.user_id)
    acts = {"waiting": acting.wait, "closed": acting.close}
    if wanted.then not in acts:
        return ""
    return acts[wanted.then](tx, now, wanted.tenant_id, [wanted.thread_id], wanted.by).undo


def take_back(
    tx: Transaction, now: datetime, tenant_id: str, message_id: str, by: str, *, user_id: str = "", undo: str = ""
) -> str:
    """Cancel an answer that has not left: it is its writer's draft again, and the thread as it was; the thread's id.

    Raises Refused 404 when the tenant has no such answer, 409 when it has left.
    """
    made = get_message(tx, tenant_id, message_id)
    if made is None or "draft" not in made.detail:
        raise Refused(404, "5.1.1", f"there is no answer {message_id[:40]}")
    if not is_waiting(tx, tenant_id, message_id) or not cancel(tx, to_ms(now), tenant_id, (message_id, 0), by):
        raise Refused(409, "5.5.1", "it has left already; write to the customer once more")
    files = [[message_id, number] for number, _ in enumerate(made.detail.get("attachments", ()), 1)]
    put_draft(tx, now, tenant_id, made.thread_id, user_id, {**made.detail["draft"], "files_of": files})
    if undo:
        with contextlib.suppress(Refused):  # too late for that; the mail is cancelled all the same
            acting.undo(tx, now, tenant_id, undo, by)
    return made.thread_id
