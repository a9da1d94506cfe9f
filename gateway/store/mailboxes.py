"""Tenants' IMAP mailboxes: how each is reached, its secret (sealed), how it fares, and how far it was read.

Written by `gateway mailbox` and by the poller of `inbound`; read by both and by the doctor. The cursor is UIDVALIDITY
and the last UID that was judged: it moves in the transaction that keeps the mail, and only for the node that holds the
mailbox's lease, so that two nodes never take one mail twice. The secret lies sealed, bound to tenant and mailbox, and
no value of this file shows it in its repr. Refuses, in words, settings that could not work.
"""

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, or_, select, update

from gateway.mail.reply import Refused
from gateway.store.database import Transaction, from_ms, to_ms
from gateway.store.mailbox_account import OURS, Account, check_account, refuse
from gateway.store.routes import REFRESH_MS, WORDS_LIMIT, Secret
from gateway.store.schema import mailbox
from gateway.store.sealed import Seal

OK, FAILED = "ok", "failed"


class LeaseLost(Exception):
    """Another node reads the mailbox now, or it was changed or removed: nothing of this visit may be kept."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a folder was read. UIDs below `recheck_below` were there before: of them, only what is not kept yet."""

    uidvalidity: int
    last_uid: int
    recheck_below: int = 0


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox with how it fares: `state` "" (not known), ok or failed since `changed_at`, with the server's words."""

    tenant_id: str
    name: str
    account: Account
    version: int
    state: str
    words: str
    changed_at: datetime | None
    failures: int
    next_poll_at: datetime | None
    cursor: Cursor | None
    polled_at: datetime | None
    arrived_at: datetime | None
    taken: int
    passed: int
    created_at: datetime | None


def add_mailbox(tx: Transaction, now: datetime, seal: Seal, tenant_id: str, name: str, account: Account,
                secret: Secret) -> None:  # fmt: skip
    """Keep a new mailbox; it is looked at at once. Raises Refused."""
    check_account(name, account)
    if get_mailbox(tx, tenant_id, name) is not None:
        raise refuse(f"there is a mailbox {name} already; change it with `gateway mailbox set`")
    values = {
        "tenant_id": tenant_id, "name": name, "settings": _pack(account), "version": 1,
        "secret_sealed": _close(seal, tenant_id, name, secret), "next_poll_at": to_ms(now), "created_at": to_ms(now),
    }  # fmt: skip
    tx.change(insert(mailbox).values(**values))


def change_mailbox(tx: Transaction, now: datetime, seal: Seal, tenant_id: str, name: str, account: Account,
                   secret: Secret | None) -> None:  # fmt: skip
    """Change a mailbox, and its secret when one is given; it is looked at at once. Raises Refused.

    Another host, user or folder is another mailbox: its cursor begins anew. Another `since` reads on from that day.
    """
    check_account(name, account)
    before = need_mailbox(tx, tenant_id, name)
    values: dict[str, Any] = {
        "settings": _pack(account), "version": before.version + 1, "next_poll_at": to_ms(now), "failures": 0,
        "leased_by": "", "leased_until": None, "refresh_until": None,
    }  # fmt: skip
    if secret is not None:
        values["secret_sealed"] = _close(seal, tenant_id, name, secret)
    place = [(a.host, a.username, a.folder, a.since) for a in (before.account, account)]
    if place[0] != place[1]:
        values |= {"uidvalidity": None, "last_uid": 0, "recheck_below": 0}
    tx.change(update(mailbox).where(_of(tenant_id, name)).values(**values))


def drop_mailbox(tx: Transaction, tenant_id: str, name: str) -> bool:
    """Forget a mailbox and its secret; False when there is none. What was taken from it stays."""
    return bool(tx.change(delete(mailbox).where(_of(tenant_id, name))))


def get_mailbox(tx: Transaction, tenant_id: str, name: str) -> Mailbox | None:
    """A tenant's mailbox."""
    row = tx.first(_SELECT.where(_of(tenant_id, name)))
    return _mailbox(row) if row else None


def need_mailbox(tx: Transaction, tenant_id: str, name: str) -> Mailbox:
    """The same. Raises Refused when there is none."""
    found = get_mailbox(tx, tenant_id, name)
    if found is None:
        raise Refused(550, "5.7.1", f"this tenant has no mailbox {name[:60]}; see `gateway mailbox list`")
    return found


def list_mailboxes(tx: Transaction, tenant_id: str = "") -> list[Mailbox]:
    """The mailboxes of a tenant, or of all."""
    found = _SELECT.where(mailbox.c.tenant_id == tenant_id) if tenant_id else _SELECT
    return [_mailbox(row) for row in tx.all(found.order_by(mailbox.c.tenant_id, mailbox.c.name))]


# -- visits


def any_mailbox_due(tx: Transaction, now_ms: int) -> bool:
    """Whether a mailbox is to be looked at that nobody reads: asked before the claim's write transaction."""
    return tx.first(select(mailbox.c.name).where(_is_due(now_ms)).limit(1)) is not None


def claim_mailboxes(tx: Transaction, now_ms: int, node: str, until_ms: int, most: int) -> list[Mailbox]:
    """Lease the mailboxes that are due, those that wait longest first, until a moment."""
    found = _SELECT.where(_is_due(now_ms)).order_by(mailbox.c.next_poll_at).limit(most)
    if tx.skips_locked:
        found = found.with_for_update(skip_locked=True)
    claimed = [_mailbox(row) for row in tx.all(found)]
    for one in claimed:
        values = {"leased_by": node, "leased_until": until_ms}
        tx.change(update(mailbox).where(_of(one.tenant_id, one.name)).values(**values))
    return claimed


def free_leases(tx: Transaction, node: str) -> None:
    """What a former life of this node had leased is nobody's."""
    tx.change(update(mailbox).where(mailbox.c.leased_by == node).values(leased_by="", leased_until=None))


def move_cursor(
    tx: Transaction, node: str, box: Mailbox, cursor: Cursor, *, now_ms: int, taken: int, passed: int, spooled: int = 0
) -> None:
    """All up to the cursor was judged or spooled, in this transaction. Raises LeaseLost: then nothing may stay."""
    values: dict[str, Any] = {"taken": mailbox.c.taken + taken, "passed": mailbox.c.passed + passed}
    if taken or spooled:
        values["arrived_at"] = now_ms
    _write(
        tx, node, box, uidvalidity=cursor.uidvalidity, last_uid=cursor.last_uid, recheck_below=cursor.recheck_below,
        **values,
    )  # fmt: skip


def lock_mailbox(tx: Transaction, tenant_id: str, name: str) -> str | None:
    """What the tenant asks to be taken from it, locked until the commit; None when there is no such mailbox any more.

    So two nodes never judge mail of one mailbox at once, and the second sees what the first has kept.
    """
    found = select(mailbox.c.settings).where(_of(tenant_id, name))
    row = tx.first(found.with_for_update() if tx.skips_locked else found)
    return str(json.loads(row[0]).get("takes", OURS)) if row else None


def count_judged(tx: Transaction, tenant_id: str, name: str, taken: int, passed: int) -> None:
    """Mail of it that was spooled has been judged."""
    values = {"taken": mailbox.c.taken + taken, "passed": mailbox.c.passed + passed}
    tx.change(update(mailbox).where(_of(tenant_id, name)).values(**values))


def note_visit(tx: Transaction, node: str, box: Mailbox, now_ms: int, next_ms: int, until_ms: int | None) -> bool:
    """A visit went well: give the lease back, or keep it until a moment. Whether it had failed, and that was said.

    Raises LeaseLost.
    """
    row = tx.first(select(mailbox.c.state).where(_held(node, box)))
    was = str(row[0]) if row else OK
    values: dict[str, Any] = {
        "state": OK, "words": "", "failures": 0, "polled_at": now_ms, "next_poll_at": next_ms,
        "leased_by": node if until_ms else "", "leased_until": until_ms,
    }  # fmt: skip
    if was != OK:
        values["changed_at"] = now_ms
    _write(tx, node, box, **values)
    return was == FAILED


def note_failure(tx: Transaction, node: str, box: Mailbox, now_ms: int, next_ms: int, words: str, alarm: bool) -> bool:
    """A visit went wrong: back off, and give the lease back. Whether this is to be said: an alarm, and the first."""
    values: dict[str, Any] = {
        "failures": mailbox.c.failures + 1, "words": words[:WORDS_LIMIT], "next_poll_at": next_ms, "leased_by": "",
        "leased_until": None,
    }  # fmt: skip
    row = tx.first(select(mailbox.c.state, mailbox.c.failures).where(_held(node, box)))
    if row is None:
        raise LeaseLost
    if row[0] != FAILED and alarm:
        values["state"] = FAILED
    if row[0] != FAILED and row[1] == 0:
        values["changed_at"] = now_ms
    _write(tx, node, box, **values)
    return alarm and row[0] != FAILED


# -- secrets


def open_mailbox_secret(tx: Transaction, seal: Seal, tenant_id: str, name: str) -> Secret:
    """What proves us to the mailbox's server."""
    row = tx.first(select(mailbox.c.secret_sealed).where(_of(tenant_id, name)))
    if not row or row[0] is None:
        return Secret()
    return Secret(**json.loads(seal.open(row[0], tenant_id, "mailbox", name)))


def begin_mailbox_refresh(tx: Transaction, now_ms: int, box: Mailbox) -> bool:
    """Take the right to renew the tokens, for a minute; False when somebody has it, or the mailbox was changed."""
    free = or_(mailbox.c.refresh_until.is_(None), mailbox.c.refresh_until <= now_ms)
    where = _of(box.tenant_id, box.name) & (mailbox.c.version == box.version) & free
    return bool(tx.change(update(mailbox).where(where).values(refresh_until=now_ms + REFRESH_MS)))


def end_mailbox_refresh(tx: Transaction, seal: Seal, box: Mailbox, secret: Secret | None) -> None:
    """Give the right back, with the new tokens when there are some."""
    values: dict[str, Any] = {"refresh_until": None}
    if secret is not None:
        values["secret_sealed"] = _close(seal, box.tenant_id, box.name, secret)
    where = _of(box.tenant_id, box.name) & (mailbox.c.version == box.version)
    tx.change(update(mailbox).where(where).values(**values))


# -- inside

_SELECT = select(
    mailbox.c.tenant_id, mailbox.c.name, mailbox.c.settings, mailbox.c.version, mailbox.c.state, mailbox.c.words,
    mailbox.c.changed_at, mailbox.c.failures, mailbox.c.next_poll_at, mailbox.c.uidvalidity, mailbox.c.last_uid,
    mailbox.c.recheck_below, mailbox.c.polled_at, mailbox.c.arrived_at, mailbox.c.taken, mailbox.c.passed,
    mailbox.c.created_at,
)  # fmt: skip
_FIELDS = frozenset(one.name for one in fields(Account))


def _of(tenant_id: str, name: str) -> ColumnElement[bool]:
    return (mailbox.c.tenant_id == tenant_id) & (mailbox.c.name == name)


def _is_due(now_ms: int) -> ColumnElement[bool]:
    free = or_(mailbox.c.leased_until.is_(None), mailbox.c.leased_until <= now_ms)
    return (mailbox.c.next_poll_at <= now_ms) & free


def _held(node: str, box: Mailbox) -> ColumnElement[bool]:
    return _of(box.tenant_id, box.name) & (mailbox.c.leased_by == node) & (mailbox.c.version == box.version)


def _write(tx: Transaction, node: str, box: Mailbox, **values: Any) -> None:
    if not tx.change(update(mailbox).where(_held(node, box)).values(**values)):
        raise LeaseLost


def _mailbox(row: Any) -> Mailbox:
    account = Account(**{name: value for name, value in json.loads(row[2]).items() if name in _FIELDS})
    cursor = None if row[9] is None else Cursor(row[9], row[10], row[11])
    return Mailbox(
        row[0], row[1], account, row[3], row[4], row[5], from_ms(row[6]), row[7], from_ms(row[8]), cursor,
        from_ms(row[12]), from_ms(row[13]), row[14], row[15], from_ms(row[16]),
    )  # fmt: skip


def _pack(account: Account) -> str:
    return json.dumps(asdict(account), ensure_ascii=False)


def _close(seal: Seal, tenant_id: str, name: str, secret: Secret) -> bytes:
    return seal.close(json.dumps(asdict(secret)).encode(), tenant_id, "mailbox", name)
