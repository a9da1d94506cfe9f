"""The door of the database: SQLite (WAL, synchronous=FULL) or PostgreSQL, spoken to synchronously.

Rooms write with `await database.write(function, ...)`: the function runs with a `Transaction` on a writer thread
(`store.writer`); many share one commit (group commit), and only after that commit does each caller get its answer. So
250 is never said before the message is on disk. Reads run on threads of their own and see what is committed.
Only this file, `store.transaction` and `store.many` know a dialect.
"""

import asyncio
import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from gateway.store.reads import Reads
from gateway.store.transaction import BELL, Prepared, Question, Transaction, foresees
from gateway.store.writer import Job, StoreUnavailable, Writer, discard, settle

__all__ = ["BELL", "Prepared", "Question", "StoreUnavailable", "Transaction", "foresees"]  # what rooms need of it all

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # in the order of their bytes, so that ids sort by time
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
END_SECONDS = 30.0  # for reads to end when a database closes
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class _Randomness:
    """Random bytes of the system, fetched by the page: a call for every id would cost a switch of threads each."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._page, self._at = b"", 0

    def take(self, count: int) -> bytes:
        with self._lock:
            if self._at + count > len(self._page):
                self._page, self._at = os.urandom(4096), 0
            self._at += count
            return self._page[self._at - count : self._at]


_RANDOMNESS = _Randomness()
os.register_at_fork(after_in_child=_RANDOMNESS.forget)  # two processes must never share a page


def random_bytes(count: int) -> bytes:
    """Unguessable bytes, at most 64, for ids and tokens of rows. (Keys and passwords come from `secrets`.)"""
    return _RANDOMNESS.take(count)


def new_id() -> str:
    """A fresh id: 20 characters, 50 bits of time in microseconds/8 (until 2255) and 50 random bits; sorts by time."""
    value = ((time.time_ns() // 8_000) << 50) | (int.from_bytes(random_bytes(7), "big") >> 6)
    pairs = _PAIRS
    return "".join([pairs[(value >> shift) & 1023] for shift in range(90, -1, -10)])


def id_at(ms: int) -> str:
    """The least id that is made at a time: where a walk through ids by time begins."""
    value = (ms * 125) << 50
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(90, -1, -10)])


def ms_at(id: str) -> int:
    """When an id was made, ms since 1970, rounded down; 0 for ""."""
    value = 0
    for letter in id[:10]:  # 50 bits
        value = value << 5 | _ALPHABET.index(letter)
    return value // 125


def storable(text: str) -> str:
    """Text that both databases can keep: NUL and lone surrogates, which any mail may hold, become U+FFFD."""
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


def to_ms(at: datetime) -> int:
    """An aware time as whole milliseconds since 1970 UTC: how times are stored."""
    return int(at.timestamp() * 1000)


def from_ms(ms: int | None) -> datetime | None:
    """A stored time, aware UTC; None stays None."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def need_time(ms: int) -> datetime:
    """A stored time that is never NULL, aware UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def open_engine(url: str) -> Engine:
    """An engine in driver-level autocommit: BEGIN, SAVEPOINT and COMMIT are ours. Raises on an unknown dialect."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            poolclass=NullPool,
            connect_args={"check_same_thread": False},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        return engine
    if parsed.get_backend_name() == "postgresql":
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            poolclass=NullPool,
        )
        event.listen(engine, "connect", _prepare_postgresql)
        return engine
    raise ValueError(f"database {parsed.get_backend_name()!r} is not supported; write sqlite:///… or postgresql://…")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "page_size=16384",  # before the first table: fewer, larger pages suit rows that carry a mail
        "journal_mode=WAL",
        "synchronous=FULL",  # NORMAL loses answered mail at a power cut
        "busy_timeout=20000",  # the CLI writes beside a serving gateway
        "cache_size=-32768",  # KB; a queue of any length fills it, and no more
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "wal_autocheckpoint=4000",
        "journal_size_limit=134217728",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_postgresql(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SET synchronous_commit = on")
    cursor.execute("SET timezone = 'UTC'")
    cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
    cursor.close()


class Database:
    """The open database of one process: a writer thread and a few readers. `close` it."""

    def __init__(self, url: str, readers: int = 4) -> None:
        self.engine = open_engine(url)
        self.dialect = self.engine.dialect.name
        driver = self.engine.dialect.dbapi
        assert driver
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, driver.Error)
        self._defers = self.dialect == "postgresql"
        self._begin = "BEGIN IMMEDIATE" if self.dialect == "sqlite" else "BEGIN"
        self._writers: dict[str, Writer] = {}
        self._gathered: dict[tuple[asyncio.AbstractEventLoop, str], list[Job]] = {}
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-read")
        self._handing = threading.Lock()
        self._closed = False
        self._reads = Reads()

    # -- writing

    async def write(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(transaction, ...)` and return its result once it is committed.

        Raises what the function raised (then nothing of it is stored), or StoreUnavailable.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._need_open()
        place = (loop, getattr(function, "lane", "") if self._defers else "")
        gathered = self._gathered.get(place)
        if gathered is None:
            gathered = self._gathered[place] = []
            loop.call_soon(self._hand_over, place)
        gathered.append((lambda tx: function(tx, *args, **kwargs), loop, future, self._asked(function, args, kwargs)))
        return await future

    def _hand_over(self, place: tuple[asyncio.AbstractEventLoop, str]) -> None:
        """Give the writer all that one turn of the loop wrote: waking it for each job cost more than most jobs."""
        with self._handing:
            jobs = self._gathered.pop(place, None)
            if jobs and not self._closed:
                self._writer(place[1]).put(jobs)
                return
        closed = StoreUnavailable("the database is closed")
        settle([(job[2], None, closed) for job in jobs or ()])

    def write_now(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for callers without an event loop (the CLI); blocks."""
        future: Future[T] = Future()
        with self._handing:
            self._need_open()
            self._writer("").put([(lambda tx: function(tx, *args, **kwargs), None, future, ())])
        return future.result()

    def _asked(self, function: Any, args: Any, kwargs: Any) -> Iterable[Question]:
        questions = getattr(function, "questions", None) if self._defers else None
        return questions(*args, **kwargs) if questions else ()

    def _need_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the database is closed")

    def _writer(self, lane: str) -> Writer:
        found = self._writers.get(lane)
        if found is None:
            found = self._writers[lane] = Writer(self.engine, self._begin, self._errors, defers=self._defers)
        return found

    # -- reading

    async def read(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(transaction, ...)` on a reader thread, over one consistent snapshot."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: self.read_now(function, *args, **kwargs))

    async def read_briefly(
        self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a few rows by their keys.

        With SQLite it runs where it is called: a reader never waits for the writer, and two switches of threads cost
        several times the query. With PostgreSQL it is not one snapshot: that would be two more answers to wait for.
        What cannot be had so is read as usual.
        """
        with contextlib.suppress(*self._errors):
            if self.dialect == "sqlite":
                with self._reads:
                    return self._read_here(function, *args, **kwargs)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._readers, lambda: self._read_loosely(function, *args, **kwargs))
        return await self.read(function, *args, **kwargs)

    def _read_loosely(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        kept: Connection | None = getattr(self._local, "connection", None)
        with self._reads, contextlib.closing(Transaction(kept or self._connect_reader())) as transaction:
            return function(transaction, *args, **kwargs)

    def _read_here(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        connection: Connection | None = getattr(self._local, "brief", None)
        if connection is None:
            connection = self._local.brief = self.engine.connect()
            self._connections.append(connection)
            connection.exec_driver_sql("PRAGMA cache_size=-8192")
            connection.exec_driver_sql("PRAGMA busy_timeout=0")  # an event loop waits for nothing
        transaction = Transaction(connection)
        transaction._cursor.execute("BEGIN")
        try:
            return function(transaction, *args, **kwargs)
        finally:
            transaction._cursor.execute("ROLLBACK")
            transaction.close()

    def read_now(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, on the calling thread; blocks."""
        with self._reads:
            return self._read_snapshot(function, *args, **kwargs)

    def _read_snapshot(
        self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        connection = self._begin_reading()
        transaction = Transaction(connection)
        try:
            return function(transaction, *args, **kwargs)
        finally:
            try:
                transaction.close()
                connection.exec_driver_sql("ROLLBACK")
            except self._errors:  # it is broken; the next read opens another
                discard(connection)
                self._local.connection = None

    def _begin_reading(self) -> Connection:
        """This thread's connection with a snapshot begun; a kept one that the server has closed is replaced, once."""
        begin = "BEGIN" if self.dialect == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        kept: Connection | None = getattr(self._local, "connection", None)
        if kept is not None:
            try:
                kept.exec_driver_sql(begin)
                return kept
            except self._errors:
                discard(kept)
                self._connections.remove(kept)
        made = self._connect_reader()
        if self.dialect == "sqlite":
            made.exec_driver_sql("PRAGMA cache_size=-8192")  # there are several, and the system keeps pages as well
        made.exec_driver_sql(begin)
        return made

    def _connect_reader(self) -> Connection:
        made = self._local.connection = self.engine.connect()
        self._connections.append(made)
        return made

    def close(self) -> None:
        """Commit what is queued, let reads end, then close. What comes later raises StoreUnavailable."""
        with self._handing:
            for place in list(self._gathered):
                self._writer(place[1]).put(self._gathered.pop(place))
            self._closed = True
        for writer in self._writers.values():
            writer.stop()
        self._readers.shutdown()
        if not self._reads.end(END_SECONDS):  # its connection is left to the end of the process
            log.error("store.read_outlived", seconds=END_SECONDS)
            return
        for connection in self._connections:
            discard(connection)
        self.engine.dispose()
