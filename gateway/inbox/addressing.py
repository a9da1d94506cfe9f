"""To whom an answer goes, what it refers to and quotes: taken from the mail that is answered.

Called by `inbox.replying`, and by the pages to fill the form. No answer goes to a noreply address or to one of ours.
"""

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from gateway.inbox.reading import read_attachments
from gateway.mail.address import parse_address
from gateway.mail.header_mailboxes import Mailbox, read_mailboxes
from gateway.mail.message import Head, read_head, read_message_ids
from gateway.mail.reply import Refused
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.texts import language as words_of
from gateway.store.database import Transaction
from gateway.store.messages import Message, get_content, get_message, list_messages
from gateway.store.tenants import Tenant, get_tenant, list_identities
from gateway.store.threads import Thread

QUOTE_LENGTH = 10_000
_NOREPLY = re.compile(r"(?:no|do-?not|don-?t|not|nu)[._-]?(?:reply|respond|raspunde\w*)|mailer-daemon|bounces?\b", re.I)
_ID = re.compile(r"[!-;=?-~]{3,200}\Z")  # what may stand between < and >
_PREFIX = re.compile(r"\A(?:\s*(?:re|r|aw|sv|fwd?|fw|ha|на|пересл)(?:\[\d+\])?\s*:)+\s*", re.I)
_WROTE = {"ro": "La {at}, {who} a scris:", "ru": "{at}, {who} написал(а):", "en": "On {at}, {who} wrote:"}


@dataclass(frozen=True, slots=True)
class Addressed:
    """An answer before its words. `references` are Message-IDs, the one that is answered last."""

    message_id: str
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    subject: str
    references: tuple[str, ...]
    introduced: str
    quoted: str
    language: str
    files: tuple[tuple[str, int], ...]  # of the mail, for passing it on


def mailboxes(texts: tuple[str, ...]) -> tuple[Mailbox, ...]:
    """Recipients as people write them, `Ana <ana@client.example>`. Raises Refused for what is none."""
    found = []
    for text in texts:
        display, bracket, _ = text.rpartition("<")
        found.append(Mailbox(display.strip(' "') if bracket else "", parse_address(text[len(display) :])))
    return tuple(found)


def addressed(
    tx: Transaction, letterhead: Letterhead, tenant_id: str, thread: Thread, message_id: str = "", *,
    everyone: bool = False, forward: bool = False, language: str = "ro",
) -> Addressed:  # fmt: skip
    """The answer to a mail of the thread ("": the last of a person, else the last that left). Raises Refused 404."""
    made, tenant = _answered(tx, tenant_id, thread, message_id), get_tenant(tx, tenant_id)
    if made is None or tenant is None:
        raise Refused(404, "5.1.1", f"there is no mail {message_id[:40]} in thread {thread.id} to answer")
    head = read_head(get_content(tx, tenant_id, made.id)[: 256 * 1024], strict=False)
    ours = _Ours(letterhead, tenant, frozenset(list_identities(tx, tenant_id)))
    to, cc = ((), ()) if forward else _people(made, head, ours, everyone)
    bare = _PREFIX.sub("", made.subject or thread.subject, count=1).strip()
    at = made.created_at.astimezone(ZoneInfo(tenant.timezone))
    when = f"{words_of(language).date(at.date().isoformat())} {at:%H:%M}"
    quoted = (made.body_text or str(made.detail.get("text", "")))[:QUOTE_LENGTH].strip()
    references = (*read_message_ids(head.raw_value("references"))[-15:], made.rfc_message_id)
    return Addressed(
        made.id, to, cc, f"{'Fwd' if forward else 'Re'}: {bare}", tuple(one for one in references if _ID.match(one)),
        _WROTE.get(language, _WROTE["en"]).format(at=when, who=made.author) if quoted else "", quoted, language,
        tuple((made.id, one.number) for one in read_attachments(made)),
    )  # fmt: skip


def _answered(tx: Transaction, tenant_id: str, thread: Thread, message_id: str) -> Message | None:
    if message_id:
        made = get_message(tx, tenant_id, message_id)
        return made if made and made.thread_id == thread.id else None
    mails = list_messages(tx, tenant_id, thread.id)
    people = [made for made in mails if made.direction == "in" and made.kind == "person"]
    return next(reversed(people or [made for made in mails if made.direction == "out"] or mails), None)


@dataclass(frozen=True, slots=True)
class _Ours:
    letterhead: Letterhead
    tenant: Tenant
    identities: frozenset[str]

    def may_be_written_to(self, one: Mailbox) -> bool:
        """Neither the gateway, nor the tenant itself, nor a machine that reads nothing."""
        names = (self.letterhead.inbox_domain, self.letterhead.return_domain)
        own = one.address.key in (self.letterhead.shared.key, self.tenant.contact_email.lower(), *self.identities)
        return not (own or one.address.domain in names or _NOREPLY.search(one.address.local))


def _people(made: Message, head: Head, ours: _Ours, everyone: bool) -> tuple[tuple[Mailbox, ...], tuple[Mailbox, ...]]:
    if made.direction == "out":
        return _once(read_mailboxes(made.recipients), ours, ()), ()
    replies = _once(read_mailboxes(head.raw_value("reply-to"), limit=10), ours, ())
    to = replies or _once(read_mailboxes(head.raw_value("from"), limit=1) or read_mailboxes(made.author), ours, ())
    if not everyone:
        return to, ()
    others = _once((*read_mailboxes(head.raw_value("to")), *read_mailboxes(head.raw_value("cc"))), ours, to)
    return to, others[: 50 - len(to)]


def _once(found: tuple[Mailbox, ...], ours: _Ours, but: tuple[Mailbox, ...]) -> tuple[Mailbox, ...]:
    known = {one.address.key for one in but}
    wanted = (one for one in found if ours.may_be_written_to(one) and one.address.key not in known)
    return tuple({one.address.key: one for one in wanted}.values())
