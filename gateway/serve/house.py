"""The composition root: puts the rooms together, starts them, and stops them in good order.

`gateway serve` opens a `House` in a process of its own; tests and `gateway run` in their own event loop. It refuses to
start in words: a schema of another version, a data folder that another process holds, a port that is taken.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
import structlog.tracebacks

from gateway.config import Config, ConfigError
from gateway.outbound.delivery import Delivery
from gateway.outbound.desk import Desks
from gateway.outbound.domain_watch import DomainWatch
from gateway.outbound.mx import Resolver
from gateway.outbound.reminder_runs import ReminderRuns
from gateway.outbound.rerouting import Rerouting
from gateway.outbound.routing import Router
from gateway.outbound.submission import Door
from gateway.outbound.tenant_routes import TenantRoutes
from gateway.outbound.tls_reporting import TlsReports
from gateway.outbound.tls_tally import Tally
from gateway.outbound.webhooks import Webhooks
from gateway.serve.doorsteps import DRAIN_SECONDS, Ports, open_doorsteps
from gateway.serve.indexing import Indexing
from gateway.serve.lock import former_names, hold
from gateway.serve.parts import (
    Hosts,
    house_names,
    make_asker,
    make_delivery,
    make_door,
    make_letterhead,
    make_policies,
    make_post,
    make_resolver,
    make_route,
    read_seal,
)
from gateway.serve.polling import make_poller
from gateway.serve.receiving import make_reception
from gateway.serve.reporting import Reporting
from gateway.serve.seat import Seat, seat_config
from gateway.serve.waking import keep_waking
from gateway.serve.workshop import make_workshop
from gateway.store.bell import listen
from gateway.store.database import Database
from gateway.store.schema import OPERATOR
from gateway.store.sealed import Seal, make_secret
from gateway.store.upgrade import outdated
from gateway.wire.workers import WorkerPool

log = structlog.get_logger()

ALONE = Seat()


def utc_now() -> datetime:
    """The clock of loops and doorsteps."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class House:
    """A running gateway."""

    config: Config
    ports: Ports
    database: Database
    door: Door
    delivery: Delivery
    seal: Seal


def _open_database(stack: contextlib.AsyncExitStack, config: Config) -> Database:
    stack.enter_context(hold(config))  # a data folder is one process's
    database = Database(config.database_url)
    stack.callback(database.close)
    if problem := outdated(database.engine):
        raise ConfigError(problem)
    return database


def _watch_domains(
    config: Config, database: Database, resolver: Resolver | None, clock: Callable[[], datetime]
) -> list[Coroutine[Any, Any, None]]:
    if resolver is None:
        return []
    return [DomainWatch(database, house_names(config), make_asker(config, resolver), clock).run()]


def _say_ready(config: Config, seat: Seat, ports: Ports) -> None:
    where = {name: getattr(ports, name) for name in Ports.__slots__}
    if seat.alone:
        log.info("gateway.ready", node=config.node, **where)
    else:
        log.info("gateway.seat_ready", node=config.node, **where)


@contextlib.asynccontextmanager
async def open_house(
    config: Config, *, clock: Callable[[], datetime] = utc_now, hosts: Hosts | None = None, https_port: int = 443,
    seat: Seat = ALONE,
) -> AsyncIterator[House]:  # fmt: skip
    """A gateway that runs while the context lasts.

    `hosts`: fixed mail hosts by domain ("*": all others) instead of DNS, for the demo and tests; `https_port`: where
    others serve policies and take reports; `seat`: which of a node's processes this is. Raises ConfigError.
    """
    async with contextlib.AsyncExitStack() as stack:
        former, seal, config = former_names(config, seat), read_seal(config), seat_config(config, seat)
        database = _open_database(stack, config)
        workers = WorkerPool(config.workers.count, config.workers.memory, preload=_PRELOAD)
        stack.callback(workers.close)
        letterhead = make_letterhead(config, await database.write(make_secret, seal, OPERATOR, "reply-key"))
        desks = Desks(database, seal, letterhead.shared, relayed=bool(config.delivery.relay))
        tenants, resolver = TenantRoutes(database, seal, clock), make_resolver(config, hosts)
        policies, tally = make_policies(config, database, resolver, https_port), Tally(database, clock)
        _run_beside(stack, tally.run(), policies.run(clock))
        asked = resolver if hosts is None or config.delivery.resolver else None  # with fixed hosts alone, nobody is
        if seat.first:
            reports = TlsReports(database, seal, letterhead, resolver.questions, resolver.addresses, https_port)
            _run_beside(stack, reports.run(clock), Rerouting(database, seal, letterhead.shared, tenants, clock).run())
            _run_beside(stack, *_watch_domains(config, database, asked, clock))
        router = Router(make_route(config), resolver, tenants, policies, tally)
        delivery = make_delivery(config, database, letterhead, desks, router, workers, clock, seat, former)
        door = make_door(config, database, letterhead, desks, delivery, workers)
        stack.push_async_callback(_end, delivery, asyncio.create_task(delivery.run(), name="delivery"))
        hooks = Webhooks(database, seal, make_post(config, resolver, https_port), clock)
        _run_beside(stack, listen(database, delivery.poke), hooks.run())
        _run_beside(stack, Reporting(database, config, delivery, asked, clock, seat.first).run())
        reception = make_reception(config, database, letterhead, workers, asked)
        if seat.first:
            poller, index = make_poller(config, reception, seal, clock), Indexing(database, config.node, clock)
            _run_beside(stack, ReminderRuns(door, clock).run(), poller.run(), index.run(), keep_waking(database, clock))
        shop = make_workshop(config, door, seal, workers, router, reception, resolver, clock, https_port)
        ports = await open_doorsteps(stack, config, door, reception, database, letterhead, clock, seat, shop)
        _say_ready(config, seat, ports)
        yield House(config, ports, database, door, delivery, seal)
        log.info("gateway.stopping", node=config.node)


_PRELOAD = ("gateway.outbound.pdf", "gateway.mail.received", "gateway.outbound.handed_document",
            "gateway.outbound.einvoice.hybrid")  # fmt: skip


def _run_beside(stack: contextlib.AsyncExitStack, *work: Coroutine[Any, Any, None]) -> None:
    """Loops that run until the house ends; those of before the delivery end after it."""
    for one in work:
        stack.push_async_callback(_end_task, asyncio.create_task(one))


async def _end_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _end(delivery: Delivery, task: asyncio.Task[None]) -> None:
    await delivery.stop(DRAIN_SECONDS)
    await _end_task(task)
