"""Fills a database with queued deliveries, by the database itself: for `bench.queue_scale`.

One tenant has nine tenths, 100 small ones the rest; each message has ten recipients, its own thread and its bytes. Of a
tenant's deliveries half are due, a quarter within the next lease, the others in the four hours after it; one of a
thousand is held. The shapes are those of a queue after an outage, when retries stand in line.
"""

import time
from datetime import UTC, datetime

from sqlalchemy import text

from gateway.store.database import Database, Transaction
from gateway.store.tenants import add_tenant

SMALL = 100
RECIPIENTS = 10
HOURS_MS = 4 * 3_600_000
RAW = (
    b"From: Acme <noreply@gateway.test>\r\nTo: ana@client.test\r\nSubject: Factura 42\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + b"Factura 42 este de achitat.\r\n" * 30
)

# `n` counts a tenant's messages; ids are 20 characters, and unique by their place in the whole
_NUMBERS = {
    "sqlite": "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < :last) ",
    "postgresql": "WITH count(n) AS (SELECT generate_series(1, :last)) ",
}
_TEN = f" CROSS JOIN (SELECT 1 AS k{''.join(f' UNION ALL SELECT {k}' for k in range(2, RECIPIENTS + 1))}) AS ten "
_ID = {
    "sqlite": "printf('0%05d%014d', :tenant_number, n)",
    "postgresql": "'0' || lpad(CAST(:tenant_number AS text), 5, '0') || lpad(CAST(n AS text), 14, '0')",
}
_TOKEN = {
    "sqlite": "lower(hex(randomblob(8)))",
    "postgresql": "substr(md5(random()::text || n || k), 1, 16)",
}
# a number that looks random and is the same everywhere: 0 to 9999
_CHANCE = "((((n * 10 + k) % 10007) * 7919) % 10007 % 10000)"
_DUE = (
    f"CASE WHEN {_CHANCE} < 5000 THEN :now - 1 - {_CHANCE} * 100"
    f" WHEN {_CHANCE} < 7500 THEN :now + 60000 + ({_CHANCE} - 5000) * (:lease - 60000) / 2500"
    f" ELSE :now + :lease + ({_CHANCE} - 7500) * {HOURS_MS // 2500} END"
)


def fill(database: Database, size: int, lease_ms: int) -> list[str]:
    """Queue so many deliveries; the tenants' ids, the large one first."""
    now = datetime.now(UTC)
    tenants = [
        database.write_now(lambda tx, slug: add_tenant(tx, now, slug, f"Firma {slug}").id, f"firma-{number}")
        for number in range(SMALL + 1)
    ]
    small = max(size // 10 // SMALL // RECIPIENTS, 1)
    large = size // RECIPIENTS - small * SMALL
    for number, tenant_id in enumerate(tenants):
        database.write_now(_fill_tenant, tenant_id, number, large if number == 0 else small, lease_ms)
    database.write_now(_finish)
    return tenants


def _fill_tenant(tx: Transaction, tenant_id: str, number: int, messages: int, lease_ms: int) -> None:
    dialect, now = tx.connection.dialect.name, int(time.time() * 1000)
    numbers, id = _NUMBERS[dialect], _ID[dialect]
    values = {"tenant": tenant_id, "tenant_number": number, "last": messages, "now": now, "lease": lease_ms}
    values |= {"raw": RAW, "size": len(RAW), "expires": now + 5 * 86_400_000}
    for statement in (
        f"INSERT INTO thread (tenant_id, thread_id, key, last_at, created_at) {numbers} "
        f"SELECT :tenant, {id}, {id}, :now, :now FROM count",
        f"INSERT INTO message (tenant_id, message_id, thread_id, direction, kind, rfc_message_id, size, created_at) "
        f"{numbers} SELECT :tenant, {id}, {id}, 'out', 'relay', {id} || '@gateway.test', :size, :now FROM count",
        f"INSERT INTO content (tenant_id, message_id, raw) {numbers} SELECT :tenant, {id}, :raw FROM count",
        f"INSERT INTO delivery (tenant_id, message_id, number, thread_id, recipient, token, state, hold, "
        f"next_attempt_at, expires_at, created_at) {numbers} SELECT :tenant, {id}, k, {id}, "
        f"'ana' || n || '.' || k || '@client.test', {_TOKEN[dialect]}, 'queued', "
        f"CASE WHEN {_CHANCE} % 1000 = 17 THEN 'ask the customer first' ELSE '' END, {_DUE}, :expires, :now "
        f"FROM count {_TEN}",
        "INSERT INTO tenant_queue (tenant_id, due_at, served_at) SELECT tenant_id, min(next_attempt_at), 0 "
        "FROM delivery WHERE tenant_id = :tenant AND state = 'queued' AND hold = '' GROUP BY tenant_id",
    ):
        tx.connection.execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})


def _finish(tx: Transaction) -> None:
    """What a database learns about its tables in the course of a day."""
    if tx.connection.dialect.name == "postgresql":
        tx.connection.execute(text("ANALYZE"))
