"""The worklist of bounces: addresses that mail failed at and nobody settled, with what each has missed.

Called by the pages and `gateway bounce`. It is made of the threads that are open for a bounce, so its size is the work
that is left, however much was ever sent; seven queries make a page, whatever it shows. An address leaves the list when
it is corrected (`inbox.correcting`), put aside, or when its threads are closed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from sqlalchemy import ColumnElement, func, select

from gateway.inbox.correcting import Missed, close_settled, missed_of, settled_failures
from gateway.inbox.spreadsheet import write_rows
from gateway.inbox.suggesting import mend_domain, used_domains
from gateway.mail.address import parse_address
from gateway.mail.reasons import VOCABULARY
from gateway.mail.reply import Refused
from gateway.mail.status import say
from gateway.outbound.queue import FAILED
from gateway.store.database import Transaction, from_ms, to_ms
from gateway.store.events import add_event
from gateway.store.schema import contact, delivery, message, suppression, thread

PAGE = 50
_ROWS = 5000  # failed deliveries that one page adds up
_SAMPLE = 5000  # contacts whose domains count as known
_SUGGESTED = 3
COLUMNS = ("address", "customer", "reason", "words", "since", "missed", "at_stake", "suggestions")


@dataclass(frozen=True, slots=True)
class Bounced:
    """An address that mail failed at. `at_stake` is (currency, decimal text) of the documents that it missed."""

    address: str
    customers: tuple[str, ...]  # names
    customer_keys: tuple[str, ...]
    reason: str
    words: str  # the server's, of the latest failure
    since: datetime | None
    missed: tuple[Missed, ...]
    at_stake: tuple[tuple[str, str], ...]
    suggestions: tuple[str, ...]
    thread_id: str  # of the latest failure


@dataclass(frozen=True, slots=True)
class Worklist:
    """One page of it, by address. `cursor` asks for the next one; "" when this is the last."""

    lines: tuple[Bounced, ...]
    cursor: str


def list_bounced(tx: Transaction, tenant_id: str, *, after: str = "", limit: int = PAGE) -> Worklist:
    """The page of addresses behind `after`."""
    address = func.lower(delivery.c.recipient)
    found = tx.all(
        select(address).select_from(_joined()).where(_failed(tenant_id), address > after)
        .group_by(address).order_by(address).limit(limit + 1)
    )  # fmt: skip
    addresses = [row[0] for row in found]
    cursor = addresses[limit - 1] if len(addresses) > limit else ""
    rows = _unsettled(tx, tenant_id, addresses[:limit])
    missed = missed_of(tx, tenant_id, rows)
    keys = list(dict.fromkeys(one.customer_key for found in missed.values() for one in found if one.customer_key))
    contacts = _contacts(tx, tenant_id, keys)
    sample = tx.all(
        select(contact.c.customer_key, contact.c.address).where(contact.c.tenant_id == tenant_id).limit(_SAMPLE)
    )
    domains = used_domains((row[0], row[1]) for row in sample)
    return Worklist(tuple(_bounced(one, rows, missed[one], contacts, domains) for one in missed), cursor)


def _joined() -> Any:
    same_thread = (message.c.tenant_id == thread.c.tenant_id) & (message.c.thread_id == thread.c.thread_id)
    same_message = (delivery.c.tenant_id == message.c.tenant_id) & (delivery.c.message_id == message.c.message_id)
    return thread.join(message, same_thread).join(delivery, same_message)


def _failed(tenant_id: str) -> ColumnElement[bool]:
    opened = (thread.c.tenant_id == tenant_id) & (thread.c.state == "open") & thread.c.chip.in_(VOCABULARY)
    return opened & (delivery.c.state == FAILED)


def _unsettled(tx: Transaction, tenant_id: str, addresses: Sequence[str]) -> list[Any]:
    """Failed deliveries to addresses that nobody settled, the latest first."""
    address = func.lower(delivery.c.recipient)
    rows = tx.all(
        select(
            delivery.c.message_id, message.c.thread_id, delivery.c.reason, delivery.c.settled_at,
            address.label("address"), message.c.document_type, message.c.document_id, message.c.subject,
            delivery.c.code, delivery.c.status, delivery.c.text,
        )
        .select_from(_joined()).where(_failed(tenant_id), address.in_(addresses))
        .order_by(delivery.c.message_id.desc()).limit(_ROWS)
    )  # fmt: skip
    settled = settled_failures(tx, tenant_id, {row.thread_id for row in rows})
    return [row for row in rows if row.message_id > settled.get((row.thread_id, row.address), "")]


def _contacts(tx: Transaction, tenant_id: str, keys: Sequence[str]) -> dict[str, list[str]]:
    """customer's key -> its addresses that are not suppressed."""
    stopped = (suppression.c.tenant_id == contact.c.tenant_id) & (suppression.c.address == contact.c.address)
    rows = tx.all(
        select(contact.c.customer_key, contact.c.address)
        .select_from(contact.outerjoin(suppression, stopped))
        .where(contact.c.tenant_id == tenant_id, contact.c.customer_key.in_(keys), suppression.c.address.is_(None))
        .order_by(contact.c.role.desc(), contact.c.address)
    )
    found: dict[str, list[str]] = {}
    for key, address in rows:
        found.setdefault(key, []).append(address)
    return found


def _bounced(
    address: str, rows: Sequence[Any], missed: Sequence[Missed], contacts: dict[str, list[str]], domains: frozenset[str]
) -> Bounced:
    own = [row for row in rows if row.address == address]
    keys = tuple(dict.fromkeys(one.customer_key for one in missed if one.customer_key))
    mended = mend_domain(address, domains)
    others = [one for key in keys for one in contacts.get(key, ()) if one != address]
    return Bounced(
        address=address,
        customers=tuple(dict.fromkeys(one.customer for one in missed if one.customer)),
        customer_keys=keys,
        reason=own[0].reason,
        words=say(own[0].code, own[0].status, own[0].text),
        since=from_ms(min((row.settled_at for row in own if row.settled_at), default=None)),
        missed=tuple(missed),
        at_stake=sum_up(missed),
        suggestions=tuple(dict.fromkeys(one for one in (mended, *others) if one))[:_SUGGESTED],
        thread_id=own[0].thread_id,
    )


def sum_up(missed: Sequence[Missed]) -> tuple[tuple[str, str], ...]:
    """(currency, sum of balances), by currency; a balance that is no number counts for nothing."""
    sums: dict[str, Decimal] = {}
    for one in missed:
        try:
            amount = Decimal(one.balance)
        except InvalidOperation:
            continue
        sums[one.currency] = sums.get(one.currency, Decimal()) + amount
    return tuple((currency, str(sums[currency])) for currency in sorted(sums))


def dismiss(tx: Transaction, now: datetime, tenant_id: str, address: str, by: str) -> int:
    """Put aside what failed at an address until now; in how many threads. Raises Refused 404 when nothing is there."""
    key = parse_address(address).key
    threads = list(dict.fromkeys(row.thread_id for row in _unsettled(tx, tenant_id, [key])))
    if not threads:
        raise Refused(404, "5.1.1", f"nothing that failed at {address} waits for a person")
    for thread_id in threads:
        data = {"by": by, "address": key}
        add_event(tx, to_ms(now), tenant_id, "bounce.dismissed", thread_id=thread_id, data=data)
    close_settled(tx, now, tenant_id, threads, by)
    return len(threads)


def write_csv(file: IO[str], lines: Iterator[Bounced] | Sequence[Bounced], *, header: bool = True) -> None:
    """The worklist as CSV that is safe for spreadsheets."""
    if header:
        write_rows(file, [COLUMNS])
    for one in lines:
        since = one.since.isoformat(timespec="seconds") if one.since else ""
        stake = "; ".join(f"{amount} {currency}".strip() for currency, amount in one.at_stake)
        cells = (one.address, "; ".join(one.customers), one.reason, one.words, since, str(len(one.missed)), stake,
                 "; ".join(one.suggestions))  # fmt: skip
        write_rows(file, [cells])
