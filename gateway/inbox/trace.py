"""Any id, address, number or token -> one timeline per mail. "Did they get invoice 42?" is answered by the first line.

Called by `gateway trace` and (later) the HTTP API; the thread page shows the same lines. A query is tried as everything
that it could be, each by an index, within one tenant; nothing is guessed from likeness. Reads; never writes.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select

from gateway.inbox.reading import read_thread
from gateway.inbox.timeline import Line, answer, timeline
from gateway.inbox.views import MessageView, ThreadView
from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.mail.verp import read_reply_address, read_return_path
from gateway.store.database import Transaction
from gateway.store.documents import DOCUMENT_TYPES, find_documents
from gateway.store.messages import find_by_message_id, get_message
from gateway.store.schema import delivery, thread
from gateway.store.tenants import get_tenant

LIMIT = 50  # mails that one query may find: the latest ones

_ID = re.compile(r"([0-9a-hjkmnp-tv-z]{20})(?:\.([0-9]{1,6}))?\Z")
_TOKEN = re.compile(r"[a-z2-7]{16}\Z")


@dataclass(frozen=True, slots=True)
class Traced:
    """One mail and what became of it. `answers` has a sentence per recipient; `lines` are in order of time."""

    message_id: str
    thread_id: str
    direction: str
    kind: str
    at: datetime
    subject: str
    document: str  # type/id, "" without one
    rfc_message_id: str
    state: str  # of its thread
    chip: str
    answers: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a query meant: mails, perhaps one recipient of each, and whole threads."""

    mails: dict[str, set[int]]  # message id -> numbers of deliveries; an empty set means all
    threads: set[str]


def trace(tx: Transaction, tenant_id: str, query: str) -> tuple[Traced, ...]:
    """The mails that a query means, the latest first; () when the tenant has none.

    `query`: a message id, `<message id>.<n>` for its n-th recipient, a thread id, a recipient's address, a document's
    number, id or type/id, a Message-ID (ours, the billing system's, a correspondent's), a return path or its token.
    """
    wanted = _resolve(tx, tenant_id, query.strip().strip("<>").strip())
    latest = sorted(wanted.mails, reverse=True)[:LIMIT]
    owners = {found.id: found.thread_id for key in latest if (found := get_message(tx, tenant_id, key))}
    tenant = get_tenant(tx, tenant_id)
    tell = _clock(tenant.timezone if tenant else "UTC")
    traced: list[Traced] = []
    for thread_id in sorted({*owners.values(), *wanted.threads}, reverse=True)[:LIMIT]:
        view = read_thread(tx, tenant_id, thread_id)
        if view is None:
            continue
        for made in _chosen(view, wanted):
            numbers = set() if thread_id in wanted.threads else wanted.mails.get(made.message.id, set())
            traced.append(_trace_mail(view, made, numbers, tell))
    return tuple(sorted(traced, key=lambda found: found.message_id, reverse=True))[:LIMIT]


def _chosen(view: ThreadView, wanted: _Wanted) -> list[MessageView]:
    """The mails of a thread to tell about: those asked for, else what left, else (we never wrote to it) what came."""
    if view.thread.id not in wanted.threads:
        return [made for made in view.messages if made.message.id in wanted.mails]
    sent = [made for made in view.messages if made.message.direction == "out"]
    return sent or list(view.messages)


# -- what a query means


def _resolve(tx: Transaction, tenant_id: str, query: str) -> _Wanted:
    wanted = _Wanted({}, set())
    if not query or len(query) > 1000:
        return wanted
    lower = query.lower()
    if found := _ID.match(lower):
        if get_message(tx, tenant_id, found[1]):
            wanted.mails[found[1]] = {int(found[2])} if found[2] else set()
        elif not found[2]:
            wanted.threads.add(found[1])  # reading it says whether there is one
    for made in find_by_message_id(tx, tenant_id, [query]):
        wanted.mails.setdefault(made.id, set())
    if "@" in query:
        _resolve_address(tx, tenant_id, query, wanted)
    elif _TOKEN.match(lower):
        _add_deliveries(tx, tenant_id, delivery.c.token == lower, wanted)
    _resolve_document(tx, tenant_id, query, wanted)
    return wanted


def _resolve_address(tx: Transaction, tenant_id: str, query: str, wanted: _Wanted) -> None:
    try:
        address = parse_address(query)
    except Refused:
        return
    if token := read_return_path(address):
        _add_deliveries(tx, tenant_id, delivery.c.token == token, wanted)
    if thread_id := read_reply_address(address)[1]:
        wanted.threads.add(thread_id)
    _add_deliveries(tx, tenant_id, func.lower(delivery.c.recipient) == address.key, wanted)


def _add_deliveries(tx: Transaction, tenant_id: str, where: Any, wanted: _Wanted) -> None:
    rows = tx.all(
        select(delivery.c.message_id, delivery.c.number)
        .where(delivery.c.tenant_id == tenant_id, where)
        .order_by(delivery.c.message_id.desc())
        .limit(LIMIT)
    )
    for message_id, number in rows:
        if wanted.mails.get(message_id, {number}):
            wanted.mails.setdefault(message_id, set()).add(number)


def _resolve_document(tx: Transaction, tenant_id: str, query: str, wanted: _Wanted) -> None:
    wanted.threads.update(found.thread_id for found in find_documents(tx, tenant_id, query) if found.thread_id)
    keys = [query, *(f"{type}/{query}" for type in DOCUMENT_TYPES)]  # the key has an index, the id alone has none
    named = or_(thread.c.key.in_(keys), thread.c.document_number == query)
    rows = tx.all(select(thread.c.thread_id).where(thread.c.tenant_id == tenant_id, named).limit(LIMIT))
    wanted.threads.update(row[0] for row in rows)


# -- what became of it


def _trace_mail(view: ThreadView, made: MessageView, numbers: set[int], tell: Callable[..., str]) -> Traced:
    message, thread_facts = made.message, view.thread
    deliveries = [d for d in made.deliveries if not numbers or d.number in numbers]
    document = f"{message.document_type}/{message.document_id}" if message.document_id else ""
    if not document and thread_facts.document_id:
        document = f"{thread_facts.document_type}/{thread_facts.document_id}"
    if message.direction == "in":
        answers: tuple[str, ...] = (f"received from {message.author} at {tell(message.created_at)}",)
    else:
        answers = tuple(answer(found, tell) for found in deliveries)
    return Traced(
        message.id,
        message.thread_id,
        message.direction,
        message.kind,
        message.created_at,
        message.subject or thread_facts.subject,
        document,
        message.rfc_message_id,
        thread_facts.state,
        thread_facts.chip,
        answers,
        tuple(_lines_of(view, made, numbers)),
    )


def _lines_of(view: ThreadView, made: MessageView, numbers: set[int]) -> Iterable[Line]:
    """The thread's lines that concern one mail: its own, and what came after it and before the next one we sent."""
    own = made.message.id
    later = [m.message.id for m in view.messages if m.message.direction == "out" and m.message.id > own]
    next_at = min((m.message.created_at for m in view.messages if m.message.id in later), default=None)
    came = {m.message.id for m in view.messages if m.message.direction == "in"}
    reports = {m.message.id: {d.message_id for d in m.about} for m in view.messages if m.about}
    for line in timeline(view):
        if line.message_id == own or own in reports.get(line.message_id, ()):
            if not numbers or not line.number or line.number in numbers:
                yield line
        elif made.message.direction == "in":
            continue
        elif line.message_id in came or not line.message_id:
            after = line.at >= made.message.created_at and (next_at is None or line.at < next_at)
            if after and line.message_id not in reports:
                yield line


def _clock(timezone: str) -> Callable[[datetime | None], str]:
    zone = ZoneInfo(timezone or "UTC")
    return lambda at: f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}" if at else "?"


def to_json(traced: tuple[Traced, ...]) -> list[dict[str, Any]]:
    """What `trace` found as plain data; times in ISO 8601, UTC."""
    return [_plain(found) for found in traced]


def _plain(found: Traced) -> dict[str, Any]:
    names = [name for name in Traced.__dataclass_fields__ if name not in ("at", "answers", "lines")]
    facts: dict[str, Any] = {name: getattr(found, name) for name in names}
    return facts | {
        "at": found.at.isoformat(),
        "answers": list(found.answers),
        "timeline": [
            {"at": line.at.isoformat(), "what": line.what, "number": line.number, "text": line.text}
            for line in found.lines
        ],
    }


def to_text(traced: tuple[Traced, ...], timezone: str) -> list[str]:
    """What `trace` found as lines for a terminal: the answers first, then what happened. `timezone` is the tenant's."""
    tell = _clock(timezone)
    lines: list[str] = []
    for found in traced:
        lines += [*([""] if lines else []), *found.answers]
        lines.append(
            f"  {found.subject or '(no subject)'} · message {found.message_id} · thread {found.thread_id} "
            f"({found.state}{', ' + found.chip if found.chip else ''})"
        )
        lines += [f"  {tell(line.at)}  {line.what:<20}  {line.text}" for line in found.lines]
    return lines
