"""Fills a database with an inbox's mail: for `bench.inbox`.

One tenant has nine tenths, 20 small ones the rest. A thread is a document's: its mail, a reminder, two reports and an
answer; every other of the newest 400 and one of fifty before are open. Words are drawn so that every thread has
"factura", four of ten each "zeceN", one of twenty each "cuvintN", and a few "rarN"; a customer's address has 60 threads
whatever the size, so that pages are as full in a small inbox as in a large one. Rows are made in Python and inserted by
the thousand.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, text

from gateway.store.database import Database, Transaction, id_at, to_ms
from gateway.store.schema import delivery, document, event, message, thread
from gateway.store.tenants import add_tenant

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
SMALL, MAILS = 20, 5
EACH = 60  # threads of an address
TEXT = (
    "Bună ziua,\n\nAm emis contul de plată {number} pentru {customer}, în valoare de {total} MDL, cu termenul"
    " 2026-12-01. Factura este atașată; o puteți achita prin transfer la contul nostru sau la ghișeu. {words}"
    "\n\nCu stimă,\nAcme SRL"
)
ANSWER = "Bună ziua,\n\nPlata a fost făcută astăzi, atașez ordinul de plată. {words}\n\nAna"
REPORT = "The mail for <{address}> was delayed: the server said 450 4.2.0 try again later. {words}"

LANE = {"": "sent", "reply": "replies", "mailbox_unknown": "bounced"}
FILE = '{"attachments": [{"filename": "ordin.pdf", "size": 10}]}'


def number_of(at: int) -> str:
    """The number of a tenant's document, 0 being the oldest."""
    return f"CP-{at // 10_000:03}-{at % 10_000:04}"


@dataclass(frozen=True)
class Filled:
    """Who is in the database; the large tenant first."""

    tenants: list[str]
    threads: int  # of the large one

    def thread(self, at: int) -> str:
        """One of the large tenant's threads."""
        return _thread_id(0, at * 7919 % self.threads)

    def finish(self, tx: Transaction) -> None:
        """What a database learns about its tables in the course of a day."""
        tx.connection.execute(text("ANALYZE"))


def _thread_id(tenant: int, at: int) -> str:
    return f"0{tenant:05}{at:014}"


def small_of(size: int) -> int:
    """How many threads each small tenant has."""
    return max(size // MAILS // 10 // SMALL, 1)


def large_of(size: int) -> int:
    """How many the large one has."""
    return size // MAILS - small_of(size) * SMALL


def fill(database: Database, size: int, advance: Callable[[int], None]) -> Filled:
    """Make so many mails."""
    tenants = [
        database.write_now(lambda tx, slug: add_tenant(tx, NOW, slug, f"Firma {slug}").id, f"firma-{number}")
        for number in range(SMALL + 1)
    ]
    small, large = small_of(size), large_of(size)
    chance = random.Random(7)
    for number, tenant_id in enumerate(tenants):
        threads = large if number == 0 else small
        for first in range(0, threads, 500):
            count = min(500, threads - first)
            rows = _Rows(chance, number, tenant_id, threads)
            for at in range(first, first + count):
                rows.add(at)
            database.write_now(rows.put)
            advance(count * MAILS)
    database.write_now(Filled(tenants, large).finish)
    return Filled(tenants, large)


class _Rows:
    """Rows of some threads, by table."""

    def __init__(self, chance: random.Random, number: int, tenant_id: str, threads: int) -> None:
        self.chance, self.number, self.tenant_id, self.threads = chance, number, tenant_id, threads
        self.rows: dict[Any, list[dict[str, Any]]] = {thread: [], document: [], message: [], delivery: [], event: []}

    def put(self, tx: Transaction) -> None:
        """Insert them."""
        for table, rows in self.rows.items():
            tx.connection.execute(insert(table), rows)

    def add(self, at: int) -> None:
        """One thread with all that belongs to it, in the year before now."""
        id, chance = _thread_id(self.number, at), self.chance
        began = to_ms(NOW - timedelta(days=365) + timedelta(days=365) * at / self.threads)
        number, customer = number_of(at), f"Client {at % 997} SRL"
        address = f"ana{at % max(self.threads // EACH, 1)}@client.example"
        total = f"{chance.randint(1, 100_000) / 100:.2f}"
        common = {"tenant_id": self.tenant_id, "thread_id": id}
        open_ = at % 50 == 7 or (at % 2 == 1 and at >= self.threads - 400)
        chip = chance.choice(("reply", "mailbox_unknown")) if open_ else ""
        self.rows[thread].append(common | {
            "key": f"invoice/{id}", "subject": f"Contul de plată {number}", "document_type": "invoice",
            "document_id": id, "document_number": number, "customer": customer, "unread": 0,
            "state": "open" if open_ else "closed", "chip": chip, "lane": LANE[chip], "assignee": "",
            "last_at": began + 3 * 86_400_000, "created_at": began})  # fmt: skip
        self.rows[document].append({
            "tenant_id": self.tenant_id, "type": "invoice", "document_id": id, "number": number, "status": "open",
            "currency": "MDL", "customer_name": customer, "total": total, "balance": total, "issue_date": "2026-11-01",
            "due_date": "2026-12-01", "body": b"{}", "sha256": "", "thread_id": id, "created_at": began,
            "updated_at": began})  # fmt: skip
        for mail in range(MAILS):
            self._add_mail(common, mail, at, began + mail * 60_000_000, number, customer, address, total)

    def _add_mail(
        self,
        common: dict[str, Any],
        mail: int,
        at: int,
        when: int,
        number: str,
        customer: str,
        address: str,
        total: str,
    ) -> None:
        id, chance = f"{common['thread_id'][:6]}{at:011}{mail:03}", self.chance
        out = mail < 2
        words = f"zece{chance.randrange(10)} cuvint{chance.randrange(100)}"
        words += f" rar{chance.randrange(500)}" if chance.randrange(2000) == 0 else ""
        kind = ("document", "document", "delay", "delay", "person")[mail]
        body = (TEXT if out else ANSWER if kind == "person" else REPORT).format(
            number=number, customer=customer, total=total, address=address, words=words
        )
        self.rows[message].append(common | {
            "message_id": id, "direction": "out" if out else "in", "kind": kind, "rfc_message_id": f"{id}@gateway.test",
            "author": "Acme SRL <noreply@gateway.test>" if out else f"Ana <{address}>",
            "recipients": address if out else "office@acme.test", "subject": f"Contul de plată {number}",
            "body_text": body, "size": 5000, "created_at": when,
            "detail": FILE if kind == "person" else ""})  # fmt: skip
        if out:
            self.rows[delivery].append(common | {
                "message_id": id, "number": 1, "recipient": address, "token": f"{id[-16:]}", "state": "relayed",
                "next_attempt_at": when, "expires_at": when, "created_at": when})  # fmt: skip
        made = {"at": when, "type": "message.accepted" if out else "report.received", "message_id": id, "number": 0}
        event_id = id_at(when)[:14] + f"{at % 10**5:05}{mail}"
        self.rows[event].append(common | made | {"event_id": event_id, "data": ""})
