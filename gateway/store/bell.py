"""The bell between the processes of a house: whoever queues what another must send rings, and all who listen look.

Rung by `outbound.queue` (`Transaction.ring`), listened to by the composition root for `outbound.delivery`. On
PostgreSQL it is one NOTIFY in the commit, however many doors are in it, heard on a connection of its own. SQLite has
nothing like it. A bell may be missed at any time (a connection is lost, a server restarts): polling is the guarantee.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Connection

from gateway.store.database import BELL, Database

log = structlog.get_logger()

AGAIN_SECONDS = 5.0  # after the connection was lost


async def listen(database: Database, heard: Callable[[], None]) -> None:
    """Call `heard` on the event loop whenever the bell was rung, for ever; survives all but cancellation."""
    if database.dialect != "postgresql":
        return
    while True:
        try:
            await _listen(database, heard)
        except Exception as error:
            log.warning("store.bell_lost", error=type(error).__name__)
        await asyncio.sleep(AGAIN_SECONDS)


async def _listen(database: Database, heard: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    connection: Connection = await asyncio.to_thread(database.engine.connect)
    try:
        await asyncio.to_thread(connection.exec_driver_sql, f"LISTEN {BELL}")
        driver: Any = connection.connection.driver_connection
        lost: asyncio.Future[None] = loop.create_future()
        # Our own: libpq closes a lost connection's at once, and one that is closed while it is registered makes the
        # loop deaf for whatever gets that number next, such as a submission.
        descriptor = os.dup(driver.fileno())
        loop.add_reader(descriptor, _read, driver.pgconn, heard, lost)
        try:
            heard()  # what was rung while nobody listened
            await lost
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
    finally:
        connection.invalidate()
        connection.close()


def _read(pgconn: Any, heard: Callable[[], None], lost: asyncio.Future[None]) -> None:
    """Take what has come; many rings that came together are one."""
    try:
        pgconn.consume_input()
        rings = 0
        while pgconn.notifies() is not None:
            rings += 1
    except Exception as error:  # psycopg.OperationalError, which only the driver's users have
        if not lost.done():
            lost.set_exception(error)
        return
    if rings:
        heard()
