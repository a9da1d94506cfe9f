"""A workshop for the settings' pages without a running gateway: the real parts, a worker, servers that nobody dials.

Used by the tests of the pages. What it sends stays queued, since no delivery runs.
"""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from journeys.house import Place, make_config
from journeys.inbox_seed import NOW, House

from gateway.outbound.desk import Desks
from gateway.outbound.routing import Router
from gateway.outbound.submission import Door
from gateway.outbound.tenant_routes import TenantRoutes
from gateway.serve.parts import make_letterhead, make_resolver, make_retry, make_route
from gateway.serve.receiving import make_reception
from gateway.serve.workshop import make_workshop
from gateway.settings.workshop import Workshop
from gateway.store.customers import put_customer
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.domains import add_domain
from gateway.store.mailbox_account import Account
from gateway.store.mailboxes import add_mailbox
from gateway.store.routes import Secret
from gateway.store.sealed import Seal, write_key_file
from gateway.store.webhooks import add_endpoint
from gateway.wire.workers import WorkerPool


@contextlib.contextmanager
def make_bench(database: Database, folder: Path, clock: Callable[[], datetime]) -> Iterator[Workshop]:
    """The workshop while the context lasts."""
    config = make_config(Place(folder, ""))
    seal = write_key_file(folder / "key")
    letterhead = make_letterhead(config, b"k" * 32)
    desks, workers = Desks(database, seal, letterhead.shared), WorkerPool(1, preload=("gateway.outbound.previews",))
    door = Door(database, desks, letterhead, make_retry(config), "", 900_000)
    resolver = make_resolver(config, {})
    router = Router(make_route(config), resolver, TenantRoutes(database, seal, clock))
    try:
        reception = make_reception(config, database, letterhead, workers, None)
        yield make_workshop(config, door, seal, workers, router, reception, resolver, clock)
    finally:
        workers.close()


def seed_foreign(tx: Transaction, seal: Seal, house: House) -> str:
    """What only the tenant beta has: a domain, a mailbox, a customer, and an endpoint of webhooks, whose id this is."""
    put_customer(tx, to_ms(NOW), house.other, "id:beta", name="Customer of beta")
    add_domain(tx, NOW, house.other, "beta.example")
    account = Account(host="127.0.0.1", port=9, username="b", security="tls")
    add_mailbox(tx, NOW, seal, house.other, "beta", account, Secret(password="x"))
    return add_endpoint(tx, NOW, seal, house.other, "https://beta.example/hook")[0].id
