"""Messages, what left and what came, and their bytes.

The bytes of a message that leaves are signed once and never change; a rendered message has none until it is due
(`content_state` pending). Written by the two doors and by rendering; read by delivery, correlation and the inbox.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, literal_column, select, update

from gateway.store.database import Prepared, Transaction, need_time, storable
from gateway.store.schema import content, message, tenant

SMTPUTF8 = 1
EIGHT_BIT = 2
OWN_SERVER = 4  # framed for the tenant's own SMTP server, and goes through it
DATED = 8  # it means nothing any more when its deliveries expire: nothing is tried then
BODY_TEXT_LIMIT = 20_000  # characters of a message's words that are kept beside its bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One mail. `rfc_message_id` is the Message-ID without angle brackets."""

    tenant_id: str
    id: str
    thread_id: str
    direction: str  # out | in
    kind: str
    created_at: datetime
    rfc_message_id: str = ""
    submitted_message_id: str = ""
    author: str = ""
    recipients: str = ""
    subject: str = ""
    body_text: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)
    content_state: str = "ready"
    size: int = 0
    flags: int = 0
    template: str = ""
    language: str = ""
    document_type: str = ""
    document_id: str = ""
    credential_id: str = ""
    run: str = ""  # the batch that it was handed over in, as the billing system calls it


_INSERT = Prepared(insert(message), [column.name for column in message.columns])
_INSERT_CONTENT = Prepared(insert(content), ["tenant_id", "message_id", "raw"])
_NAMES = [column.name for column in message.columns]
_COLUMNS = list(message.columns)


def add_message(tx: Transaction, made: Message, raw: bytes = b"") -> None:
    """Keep a message; its bytes may follow later (`put_content`)."""
    add_stored_message(tx, made, raw)
    if raw:
        tx.send(_INSERT_CONTENT, {"tenant_id": made.tenant_id, "message_id": made.id, "raw": raw})


def add_stored_message(tx: Transaction, made: Message, raw: bytes) -> None:
    """Keep a message whose bytes lie under its id already (`put_spooled`)."""
    tx.send(
        _INSERT,
        {
            "tenant_id": made.tenant_id,
            "message_id": made.id,
            "thread_id": made.thread_id,
            "direction": made.direction,
            "kind": made.kind,
            "rfc_message_id": storable(made.rfc_message_id[:998]),
            "submitted_message_id": storable(made.submitted_message_id[:998]),
            "author": storable(made.author[:998]),
            "recipients": storable(made.recipients[:2000]),
            "subject": storable(made.subject[:998]),
            "body_text": storable(made.body_text[:BODY_TEXT_LIMIT]),
            "detail": storable(json.dumps(made.detail, ensure_ascii=False)) if made.detail else "",
            "content_state": made.content_state,
            "size": made.size or len(raw),
            "flags": made.flags,
            "template": made.template,
            "language": made.language,
            "document_type": made.document_type,
            "document_id": made.document_id,
            "credential_id": made.credential_id,
            "run": made.run,
            "created_at": int(made.created_at.timestamp() * 1000),
        },
    )


def put_spooled(tx: Transaction, tenant_id: str, message_id: str, raw: bytes) -> None:
    """The bytes of a mail that nobody has judged: it may become a message of this id."""
    tx.send(_INSERT_CONTENT, {"tenant_id": tenant_id, "message_id": message_id, "raw": raw})


def drop_spooled(tx: Transaction, tenant_id: str, message_id: str) -> None:
    """It becomes none: its bytes are forgotten."""
    where = (content.c.tenant_id == tenant_id) & (content.c.message_id == message_id)
    tx.change(delete(content).where(where))


def put_content(tx: Transaction, tenant_id: str, message_id: str, raw: bytes, **values: Any) -> bool:
    """The bytes of a message that was pending; False when somebody was faster: then theirs count."""
    where = (message.c.tenant_id == tenant_id) & (message.c.message_id == message_id)
    pending = where & (message.c.content_state == "pending")
    if not tx.change(update(message).where(pending).values(content_state="ready", size=len(raw), **values)):
        return False
    tx.send(_INSERT_CONTENT, {"tenant_id": tenant_id, "message_id": message_id, "raw": raw})
    return True


def get_flags(tx: Transaction, tenant_id: str, message_id: str) -> int | None:
    """The flags of a message whose bytes are there; None while it is pending."""
    where = (message.c.tenant_id == tenant_id) & (message.c.message_id == message_id)
    row = tx.first(select(message.c.flags).where(where, message.c.content_state == "ready"))
    return int(row[0]) if row else None


def add_flags(tx: Transaction, tenant_id: str, message_id: str, flags: int) -> None:
    """Set flags of a message beside those that it has."""
    where = (message.c.tenant_id == tenant_id) & (message.c.message_id == message_id)
    tx.change(update(message).where(where).values(flags=message.c.flags.op("|")(flags)))


def replace_content(tx: Transaction, tenant_id: str, message_id: str, raw: bytes, author: str, flags: int) -> bool:
    """Other bytes for a message that was framed for the tenant's own server, and now leaves by ours.

    The one exception from "bytes for ever": it has another author, so nobody takes it for the same. False when it is
    not framed for the tenant's server any more.
    """
    where = (message.c.tenant_id == tenant_id) & (message.c.message_id == message_id)
    framed = where & (message.c.content_state == "ready") & (message.c.flags.op("&")(OWN_SERVER) != 0)
    values = {"author": storable(author[:998]), "flags": flags & ~OWN_SERVER, "size": len(raw)}
    if not tx.change(update(message).where(framed).values(**values)):
        return False
    of_message = (content.c.tenant_id == tenant_id) & (content.c.message_id == message_id)
    tx.change(update(content).where(of_message).values(raw=raw))
    return True


def replace_received(tx: Transaction, made: Message, raw: bytes) -> None:
    """What is known of a received mail, read anew; its bytes stay as they came (`raw` is what `add_message` takes)."""
    where = (message.c.tenant_id == made.tenant_id) & (message.c.message_id == made.id) & (message.c.direction == "in")
    values = {
        "thread_id": made.thread_id,
        "kind": made.kind,
        "rfc_message_id": storable(made.rfc_message_id[:998]),
        "author": storable(made.author[:998]),
        "recipients": storable(made.recipients[:2000]),
        "subject": storable(made.subject[:998]),
        "body_text": storable(made.body_text[:BODY_TEXT_LIMIT]),
        "detail": storable(json.dumps(made.detail, ensure_ascii=False)),
        "size": len(raw),
    }
    tx.change(update(message).where(where).values(**values))


def list_received(tx: Transaction, tenant_id: str, kind: str, limit: int = 1000) -> list[Message]:
    """Received mail of a kind, the oldest first: what may be read again after a mend."""
    where = (message.c.tenant_id == tenant_id) & (message.c.direction == "in") & (message.c.kind == kind)
    return [_message(row) for row in tx.all(select(*_COLUMNS).where(where).order_by(message.c.message_id).limit(limit))]


def move_message(tx: Transaction, tenant_id: str, message_id: str, thread_id: str) -> None:
    """A received mail belongs to another thread."""
    where = (message.c.tenant_id == tenant_id) & (message.c.message_id == message_id) & (message.c.direction == "in")
    tx.change(update(message).where(where).values(thread_id=thread_id))


def change_detail(tx: Transaction, tenant_id: str, message_id: str, detail: Mapping[str, Any]) -> None:
    """What is known beside a mail's bytes is something else now."""
    where = (message.c.tenant_id == tenant_id) & (message.c.message_id == message_id)
    tx.change(update(message).where(where).values(detail=storable(json.dumps(detail, ensure_ascii=False))))


def get_content(tx: Transaction, tenant_id: str, message_id: str) -> bytes:
    """The bytes of a message; b"" while it is pending, or when the tenant has no such message."""
    row = tx.first(select(content.c.raw).where(content.c.tenant_id == tenant_id, content.c.message_id == message_id))
    return bytes(row[0]) if row else b""


def _message(row: Any) -> Message:
    values = dict(zip(_NAMES, row, strict=True))
    values["id"] = values.pop("message_id")
    values["detail"] = json.loads(values["detail"] or "{}")
    values["created_at"] = need_time(values["created_at"])
    return Message(**values)


def get_message(tx: Transaction, tenant_id: str, message_id: str) -> Message | None:
    """A message of the tenant."""
    row = tx.first(select(*_COLUMNS).where(message.c.tenant_id == tenant_id, message.c.message_id == message_id))
    return _message(row) if row else None


def list_messages(tx: Transaction, tenant_id: str, thread_id: str) -> list[Message]:
    """The mail of a thread, oldest first."""
    where = (message.c.tenant_id == tenant_id) & (message.c.thread_id == thread_id)
    return [_message(row) for row in tx.all(select(*_COLUMNS).where(where).order_by(message.c.message_id).limit(1000))]


def rename_document_of_messages(tx: Transaction, tenant_id: str, thread_id: str, ids: tuple[str, str]) -> None:
    """The document that a thread's mail is about has another id: (before, now)."""
    where = (message.c.tenant_id == tenant_id) & (message.c.thread_id == thread_id) & (message.c.document_id == ids[0])
    tx.change(update(message).where(where).values(document_id=ids[1]))


def tenant_of_message_id(tx: Transaction, ids: Sequence[str]) -> str:
    """Whose mail has one of these Message-IDs; "" for none. Only who had the mail knows them: so no tenant is asked."""
    every = select(tenant.c.tenant_id)  # lets the index, which begins with the tenant, be used
    named = message.c.tenant_id.in_(every) & message.c.rfc_message_id.in_([storable(one) for one in ids])
    found = select(message.c.tenant_id).where(named, message.c.direction == "out").distinct().limit(2)
    rows = tx.all(found) if ids else []
    return str(rows[0][0]) if len(rows) == 1 else ""


AT_ONCE = 8  # names that one statement asks about


def _by_name(many: int) -> tuple[Prepared, Prepared]:
    """By our Message-ID, and by the billing system's: one statement with OR would walk through all of a tenant's mail.

    The literal lets the index of those that have a second name be used.
    """
    names: list[Any] = [bindparam(f"id{place}") for place in range(many)]
    of_tenant = select(*_COLUMNS).where(message.c.tenant_id == bindparam("tenant"))
    theirs = message.c.submitted_message_id.in_(names) & (message.c.submitted_message_id != literal_column("''"))
    return Prepared(of_tenant.where(message.c.rfc_message_id.in_(names))), Prepared(of_tenant.where(theirs))


_BY_NAME = {1: _by_name(1), AT_ONCE: _by_name(AT_ONCE)}


def find_by_message_id(tx: Transaction, tenant_id: str, ids: Sequence[str]) -> list[Message]:
    """The tenant's messages with one of these Message-IDs, ours or the billing system's, the oldest first."""
    named = list(dict.fromkeys(map(storable, ids)))
    found: dict[str, Message] = {}
    for begin in range(0, len(named), AT_ONCE):
        some = named[begin : begin + AT_ONCE]
        many = 1 if len(some) == 1 else AT_ONCE
        asked = {f"id{place}": name for place, name in enumerate(some + some[:1] * (many - len(some)))}
        for prepared in _BY_NAME[many]:
            rows = tx.run(prepared, {"tenant": tenant_id, **asked}).fetchall()
            found |= {one.id: one for one in map(_message, rows)}
    return [found[id] for id in sorted(found)]
