"""The only file that knows a dialect: SQLite (WAL, synchronous=FULL) or PostgreSQL, spoken to synchronously.

Rooms write with `await database.write(function, ...)`: the function runs with a `Transaction` on the one writer thread;
many share one commit (group commit), and only after that commit does each caller get its answer. So 250 is never said
before the message is on disk. Reads run on threads of their own and see what is committed.
A function that raises is rolled back alone: the others of its batch are run again, so a function that writes must do
nothing else. A commit that fails fails them all, as `StoreUnavailable`.
"""

import asyncio
import contextlib
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import structlog
from sqlalchemy import Connection, Engine, Executable, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.compiler import SQLCompiler

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")

BELL = "gateway_due"  # the channel of NOTIFY: something is due that its writer does not send itself
BATCH = 128  # doors in one commit: beyond it a single slow door would delay too many answers
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # in the order of their bytes, so that ids sort by time
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class StoreUnavailable(Exception):
    """The database did not commit. A fault of ours: doorsteps answer 451."""


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


_DIALECTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Prepared:
    """A Core statement for the hot path: compiled once per dialect, then run by the driver itself.

    Parameters are given by name; names that a call leaves out are an error of ours, found by its test. A statement
    that differs by dialect (an upsert) is a function of that dialect's `insert`.
    """

    def __init__(
        self, statement: Executable | Callable[[Any], Executable], columns: Sequence[str] | None = None
    ) -> None:
        self.statement = statement
        self.columns = columns
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None]] = {}

    def compiled(self, connection: Connection) -> tuple[str, tuple[str, ...] | None]:
        """(SQL, the order of its parameters where they go by place) for the connection's dialect."""
        name = connection.dialect.name
        found = self._compiled.get(name)
        if found is None:
            statement = self.statement if isinstance(self.statement, Executable) else self.statement(_DIALECTS[name])
            compiled = cast(
                SQLCompiler,
                statement.compile(dialect=connection.dialect, column_keys=self.columns),  # type: ignore[attr-defined]
            )
            positions = compiled.positiontup
            found = self._compiled[name] = (str(compiled), tuple(positions) if positions is not None else None)
        return found


class Transaction:
    """One door's view of the database. Lives for one call; never kept.

    `memo` is for what need not be asked or done twice in one transaction; it is empty again when a door of it fails.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.memo: dict[Hashable, Any] = {}
        self._rings = False
        # SQLAlchemy's own wrapper; the driver's cursor underneath is what `run` uses
        self._cursor = cast(Any, connection.connection).cursor()

    def all(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """All rows of a statement."""
        return self.connection.execute(statement, parameters or {}).all()

    def first(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first row, or None."""
        return self.connection.execute(statement, parameters or {}).first()

    def change(self, statement: Executable, parameters: Any = None) -> int:
        """Run an INSERT, UPDATE or DELETE; the number of rows it touched."""
        return self.connection.execute(statement, parameters or {}).rowcount

    def run(self, prepared: Prepared, parameters: Mapping[str, Any]) -> Any:
        """Run a prepared statement; the driver's cursor, with rows as tuples."""
        sql, positions = prepared.compiled(self.connection)
        if positions is None:
            self._cursor.execute(sql, parameters)
        else:
            self._cursor.execute(sql, [parameters[name] for name in positions])
        return self._cursor

    def run_many(self, prepared: Prepared, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run a prepared statement for each of several rows."""
        sql, positions = prepared.compiled(self.connection)
        if positions is None:
            self._cursor.executemany(sql, list(rows))
        else:
            self._cursor.executemany(sql, [[row[name] for name in positions] for row in rows])

    def upsert(self, table: Table) -> Any:
        """An INSERT that offers `on_conflict_do_update` and `on_conflict_do_nothing`."""
        return _DIALECTS[self.connection.dialect.name](table)

    @property
    def skips_locked(self) -> bool:
        """Whether several nodes may share this database, and SELECT ... FOR UPDATE SKIP LOCKED works."""
        return self.connection.dialect.name == "postgresql"

    def oldest_write_ms(self) -> int:
        """When the oldest transaction began that may still commit, by the database's clock; now, when none runs.

        Only what a *later* transaction reads is complete up to then. Other nodes' are seen when they log in as the
        same role.
        """
        return int(self.connection.exec_driver_sql(_OLDEST_WRITE[self.connection.dialect.name]).scalar_one())

    def clock_ms(self) -> int:
        """The database's clock."""
        return int(self.connection.exec_driver_sql(_CLOCK[self.connection.dialect.name]).scalar_one())

    def foreign_writers(self) -> int:
        """Nodes' connections of which this one may not know what they do, since they log in as another role."""
        return int(self.connection.exec_driver_sql(_FOREIGN_WRITERS).scalar_one()) if self.skips_locked else 0

    def ring(self) -> None:
        """Tell the other processes, when this is committed, that something is due (`store.bell`)."""
        self._rings = True

    def commit(self) -> None:
        """COMMIT, with one NOTIFY for all that was rung for."""
        if self._rings and self.skips_locked:
            self._cursor.execute(f"NOTIFY {BELL}")
        self._cursor.execute("COMMIT")

    def close(self) -> None:
        """Give the driver's cursor back; the connection goes on."""
        self._cursor.close()


# SQLite has one writer at a time, and its ids are made while it writes: what commits later has later ids. On PostgreSQL
# a writer's first id is made after its BEGIN was answered, hence after `xact_start`; `statement_timestamp` was taken
# before we look, so whoever begins meanwhile is later. Readers never write, however long they take.
_WRITERS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gateway writer'"
_OLDEST = "EXTRACT(EPOCH FROM LEAST(statement_timestamp(), MIN(xact_start)))"
_CLOCK = {
    "sqlite": "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "SELECT CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)",
}
_OLDEST_WRITE = {
    "sqlite": _CLOCK["sqlite"],
    "postgresql": f"SELECT CAST(FLOOR({_OLDEST} * 1000) AS BIGINT) {_WRITERS}",
}
_FOREIGN_WRITERS = (
    f"SELECT COUNT(*) {_WRITERS} AND usename <> current_user"
    " AND NOT pg_has_role(usesysid, 'USAGE') AND NOT pg_has_role('pg_read_all_stats', 'USAGE')"
)

Job = tuple[Callable[[Transaction], Any], asyncio.AbstractEventLoop | None, Any]
Answer = tuple[Job, Any, BaseException | None]


class _JobFailed(Exception):
    """A job of a batch raised: the batch is run again, each job apart."""


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
        self._begin = "BEGIN IMMEDIATE" if self.dialect == "sqlite" else "BEGIN"
        self._jobs: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-read")
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()
        self._handing = threading.Lock()
        self._closed = False

    # -- writing

    async def write(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(transaction, ...)` and return its result once it is committed.

        Raises what the function raised (then nothing of it is stored), or StoreUnavailable.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._need_open()
        gathered = self._gathered.get(loop)
        if gathered is None:
            gathered = self._gathered[loop] = []
            loop.call_soon(self._hand_over, loop)
        gathered.append((lambda tx: function(tx, *args, **kwargs), loop, future))
        return await future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the writer all that one turn of the loop wrote: waking it for each job cost more than most jobs."""
        with self._handing:
            jobs = self._gathered.pop(loop, None)
            if jobs and not self._closed:
                self._enqueue(jobs)
                return
        closed = StoreUnavailable("the database is closed")
        _settle([(future, None, closed) for _, _, future in jobs or ()])

    def write_now(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for callers without an event loop (the CLI); blocks."""
        future: Future[T] = Future()
        self._enqueue([(lambda tx: function(tx, *args, **kwargs), None, future)])
        return future.result()

    def _need_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the database is closed")

    def _enqueue(self, jobs: list[Job]) -> None:
        self._need_open()
        if self._writer is None:
            with self._starting:
                if self._writer is None:
                    self._writer = threading.Thread(target=self._work, name="store-write", daemon=True)
                    self._writer.start()
        self._jobs.put(jobs)

    def _work(self) -> None:
        connection: Connection | None = None
        waiting: list[Job] = []
        stopping = False
        while waiting or not stopping:
            stopping = stopping or self._gather(waiting)
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            if not batch:
                continue
            try:
                connection = connection or self._connect_writer()
                answers = self._commit(connection, batch)
            except Exception as error:
                log.error("store.commit_failed", error=type(error).__name__, jobs=len(batch), exc_info=True)
                answers = [(job, None, StoreUnavailable("the database did not commit")) for job in batch]
                _discard(connection)
                connection = None
            _answer(answers)
        _discard(connection)

    def _connect_writer(self) -> Connection:
        connection = self.engine.connect()
        if self.dialect == "postgresql":
            connection.exec_driver_sql("SET application_name = 'gateway writer'")  # before its first BEGIN
        return connection

    def _gather(self, waiting: list[Job]) -> bool:
        """Add what there is to what waits for a commit, at least something; whether that was the last."""
        try:
            while len(waiting) < BATCH:
                jobs = self._jobs.get(block=not waiting)
                if jobs is None:
                    return True
                waiting += jobs
        except queue.Empty:
            pass
        return False

    def _commit(self, connection: Connection, batch: list[Job]) -> list[Answer]:
        """Commit a batch: at first all jobs as one, since a savepoint for each costs more than most jobs.

        When a job raises, nothing of it may stay: then the batch is run again with savepoints. A job that the database
        itself refused (two nodes in each other's way: a deadlock) has one more try, alone.
        """
        try:
            return self._run_together(connection, batch)
        except _JobFailed:
            connection.exec_driver_sql("ROLLBACK")
        answers = self._run_apart(connection, batch)
        for at, (job, _, error) in enumerate(answers):
            if isinstance(error, self._errors):
                answers[at] = self._try_again(connection, job)
        return answers

    def _try_again(self, connection: Connection, job: Job) -> Answer:
        """One job alone. Whatever happens is its own: the others of its batch are committed by now."""
        try:
            return self._run_apart(connection, [job])[0]
        except Exception as error:
            log.error("store.second_try_failed", error=type(error).__name__, exc_info=True)
            with contextlib.suppress(*self._errors):  # a broken connection shows at the next batch
                connection.exec_driver_sql("ROLLBACK")
            return job, None, StoreUnavailable("the database did not commit")

    def _run_together(self, connection: Connection, batch: list[Job]) -> list[Answer]:
        connection.exec_driver_sql(self._begin)
        transaction = Transaction(connection)
        answers: list[Answer] = []
        try:
            answers = [(job, job[0](transaction), None) for job in batch]
        except Exception as error:  # whose it was shows in the second run
            raise _JobFailed from error
        else:
            transaction.commit()
        finally:
            transaction.close()
        return answers

    def _run_apart(self, connection: Connection, batch: list[Job]) -> list[Answer]:
        connection.exec_driver_sql(self._begin)
        transaction = Transaction(connection)
        cursor = transaction._cursor
        answers: list[Answer] = []
        for job in batch:
            cursor.execute("SAVEPOINT door")
            try:
                answers.append((job, job[0](transaction), None))
            except Exception as error:
                transaction.memo.clear()
                cursor.execute("ROLLBACK TO SAVEPOINT door")
                answers.append((job, None, error))
            cursor.execute("RELEASE SAVEPOINT door")
        transaction.commit()
        transaction.close()
        return answers

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
        several times the query. What cannot be had at once is read as usual.
        """
        if self.dialect == "sqlite":
            with contextlib.suppress(*self._errors):
                return self._read_here(function, *args, **kwargs)
        return await self.read(function, *args, **kwargs)

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
        connection = self._begin_reading()
        transaction = Transaction(connection)
        try:
            return function(transaction, *args, **kwargs)
        finally:
            try:
                transaction.close()
                connection.exec_driver_sql("ROLLBACK")
            except self._errors:  # it is broken; the next read opens another
                _discard(connection)
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
                _discard(kept)
                self._connections.remove(kept)
        made = self._local.connection = self.engine.connect()
        self._connections.append(made)
        if self.dialect == "sqlite":
            made.exec_driver_sql("PRAGMA cache_size=-8192")  # there are several, and the system keeps pages as well
        made.exec_driver_sql(begin)
        return made

    def close(self) -> None:
        """Commit what is queued, then close. A later write raises StoreUnavailable."""
        with self._handing:
            for loop in list(self._gathered):
                self._enqueue(self._gathered.pop(loop))
            self._closed = True
        if self._writer is not None:
            self._jobs.put(None)
            self._writer.join()
        self._readers.shutdown()
        for connection in self._connections:
            _discard(connection)
        self.engine.dispose()


def _discard(connection: Connection | None) -> None:
    if connection is not None:
        try:
            connection.invalidate()
            connection.close()
        except Exception as error:  # it is being thrown away because it is broken
            log.debug("store.discard", error=type(error).__name__)


def _answer(answers: list[Answer]) -> None:
    """Hand results back: one wake-up per event loop and commit, however many doors were in it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
    for (_, loop, future), result, error in answers:
        if loop is not None:
            by_loop.setdefault(loop, []).append((future, result, error))
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, settled)
        except RuntimeError:  # the loop has ended: nobody waits any more, and what was committed stays
            log.warning("store.answer_lost", jobs=len(settled))


def _settle(settled: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in settled:
        if future.done():  # its caller was cancelled
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
