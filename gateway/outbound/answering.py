"""A clerk's own words: an answer in a thread, or a mail of it to somebody else. The third half of the door out.

Called by `inbox.replying`. The mail is composed here (text, the same as simple HTML, files), in the tenant's frame and
signed, and kept by the same transaction as every mail: suppressed addresses, expiry and receipts need nothing of their
own. It refers to what it answers, goes to its thread's address when it is answered, and is not automatic. It waits ten
seconds in the queue, so that it can be taken back. Limits count what programs answer:
they guard against run-aways, and a person is none.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from typing import Any

from gateway.mail.header import date as date_field
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.reply import Refused
from gateway.outbound.attachments import Attachment
from gateway.outbound.brand import Brand
from gateway.outbound.branding import frame_fields, needs
from gateway.outbound.control import Control
from gateway.outbound.desk import Desk
from gateway.outbound.handed import Handed, Rcpt, Ready, Receipt
from gateway.outbound.placing import About
from gateway.outbound.rendered import Rendered
from gateway.outbound.rendered import compose as compose_mail
from gateway.outbound.signature import signature_of
from gateway.outbound.submission import Door, at_desk, keep_handed
from gateway.store.database import new_id
from gateway.store.messages import EIGHT_BIT, OWN_SERVER, SMTPUTF8, Message
from gateway.store.tenants import Tenant

KIND = "reply"
MOST_RECIPIENTS = 50
_CODED = 0.72  # of a message's bytes can be files: they travel in base64
_PAGE = '<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"></head><body>{body}</body></html>'
_SIGNED = '<p style="border-left:3px solid {colour};padding-left:10px;margin-top:1.5em">{lines}</p>'
_QUOTE = '<blockquote style="margin:0 0 0 .8ex;border-left:1px solid #ccc;padding-left:1ex">{quoted}</blockquote>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a clerk wrote. `references` are Message-IDs, the one that is answered last; `quoted` is folded below."""

    tenant_id: str
    thread_id: str
    thread_key: str
    by: str  # who wrote it, for the timeline
    credential: str = ""  # of the program that hands it over; "" when it is a person
    key: str = ""  # of idempotency, and the digest of what it stands for
    digest: str = ""
    signer: str = ""  # the name below it
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    subject: str
    text: str
    introduced: str = ""  # "On 3 May Ana wrote:"
    quoted: str = ""
    files: tuple[Attachment, ...] = ()
    language: str = ""
    references: tuple[str, ...] = ()
    not_before: datetime
    detail: dict[str, Any] = field(default_factory=dict, hash=False)


def most_of_files(door: Door) -> int:
    """Bytes that all files of an answer may have together, so that the mail is no larger than any that we make."""
    return int(door.most_bytes * _CODED)


async def accept_answer(door: Door, answer: Answer, now: datetime) -> Receipt:
    """Take an answer over. Raises Refused in words; StoreUnavailable when nothing could be committed."""
    if not answer.to or len(answer.to) + len(answer.cc) > MOST_RECIPIENTS:
        raise Refused(554, "5.5.3", f"name 1 to {MOST_RECIPIENTS} recipients, at least one of them in To")
    if sum(len(one.data) for one in answer.files) > (most := most_of_files(door)):
        raise Refused(552, "5.3.4", f"the files are larger than {most // 2**20} MB together; send a link")

    async def take(desk: Desk) -> Receipt:
        ready = await asyncio.to_thread(_prepare, door, desk, answer, now)
        handed = Handed(answer.tenant_id, answer.credential or answer.by, ready.recipients, b"")
        return await door.database.write(keep_handed, door, desk, handed, ready, now)

    return await at_desk(door, answer.tenant_id, take)


def _prepare(door: Door, desk: Desk, answer: Answer, now: datetime) -> Ready:
    """Compose, frame and sign."""
    message_id = new_id()
    frame = door.letterhead.frame(
        desk.tenant, desk.author, message_id, answer.thread_id, now,
        template=KIND, language=answer.language, references=answer.references, automatic=False,
    )  # fmt: skip
    signed = signature_of(desk.tenant, answer.signer, answer.language, answer.text)
    written = (answer.text, "\n".join(signed))
    text = "\n\n".join(part for part in (*written, _quoted_text(answer)) if part) + "\n"
    rendered = Rendered(answer.subject, _html(answer, signed, desk.tenant), text, answer.files, answer.language)
    raw = compose_mail(rendered, answer.to, answer.cc, [*frame_fields(frame), date_field(now)])
    raw = desk.signer.sign(raw, now) if desk.signer else raw
    people = {one.address.key: one.address for one in (*answer.to, *answer.cc)}
    wants = needs(raw)
    utf8 = wants.smtputf8 or any(not address.ascii for address in people.values())
    message = Message(
        tenant_id=answer.tenant_id, id=message_id, thread_id=answer.thread_id, direction="out", kind=KIND,
        created_at=now, rfc_message_id=frame.message_id, author=f"{desk.tenant.company} <{desk.author}>",
        recipients=", ".join(_shown(one) for one in (*answer.to, *answer.cc)), subject=answer.subject,
        body_text="\n\n".join(part for part in written if part), size=len(raw), language=answer.language,
        credential_id=answer.credential or answer.by,
        flags=SMTPUTF8 * utf8 | EIGHT_BIT * wants.eightbit | OWN_SERVER * desk.own_server,
        detail=answer.detail | {"quoted": answer.quoted, "attachments": [_listed(one) for one in answer.files]},
    )  # fmt: skip
    control = replace(
        Control(), send_at=answer.not_before, force=frozenset(() if answer.credential else ("limit",)),
        language=answer.language, idempotency_key=answer.key,
    )  # fmt: skip
    about = About(answer.thread_key, standing=answer.thread_key)
    recipients = tuple(Rcpt(address) for address in people.values())
    return Ready(message, recipients, raw, control=control, digest=answer.digest, about=about)


def _shown(one: Mailbox) -> str:
    return f"{one.display} <{one.address}>" if one.display else str(one.address)


def _listed(one: Attachment) -> dict[str, Any]:
    digest = hashlib.sha256(one.data).hexdigest()
    return {"filename": one.filename, "content_type": one.media_type, "size": len(one.data), "sha256": digest}


def _quoted_text(answer: Answer) -> str:
    quoted = [f"> {line}".rstrip() for line in answer.quoted.split("\n")] if answer.quoted else []
    return "\n".join([answer.introduced] * bool(answer.introduced) + quoted)


def _html(answer: Answer, signed: tuple[str, ...], tenant: Tenant) -> str:
    body = _lines(answer.text)
    if signed:
        colour = Brand(company="", colour=str(tenant.brand.get("colour", ""))).accent
        body += _SIGNED.format(colour=colour, lines="<br>".join(escape(line) for line in signed))
    if answer.quoted:
        body += f"<div>{_lines(answer.introduced)}{_QUOTE.format(quoted=_lines(answer.quoted))}</div>"
    return _PAGE.format(language=escape(answer.language or "ro"), body=body)


def _lines(text: str) -> str:
    blocks = (block for block in text.split("\n\n") if block.strip())
    return "".join("<p>" + escape(block.strip("\n")).replace("\n", "<br>") + "</p>" for block in blocks)
