"""The thread that writes: jobs from many callers share one commit, and only after it does each get its answer.

One for SQLite, which has one writer at a time; on PostgreSQL one per lane. Started by `store.database` with the first
job. A job that raises is rolled back alone: the others of its batch are run again, so a job must do nothing else. A
commit that fails fails them all, as `StoreUnavailable`.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from gateway.store.transaction import Question, Transaction

log = structlog.get_logger()

BATCH = 128  # doors in one commit: beyond it a single slow door would delay too many answers


class StoreUnavailable(Exception):
    """The database did not commit. A fault of ours: doorsteps answer 451."""


Job = tuple[Callable[[Transaction], Any], asyncio.AbstractEventLoop | None, Any, Iterable[Question]]
Answer = tuple[Job, Any, BaseException | None]


class _JobFailed(Exception):
    """A job of a batch raised: the batch is run again, each job apart."""


class Writer:
    """One thread with a connection of its own. `errors` are those of the database, `begin` how it begins to write."""

    def __init__(self, engine: Engine, begin: str, errors: tuple[type[Exception], ...], *, defers: bool) -> None:
        self._engine, self._begin, self._errors, self._defers = engine, begin, errors, defers
        self._jobs: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def put(self, jobs: list[Job]) -> None:
        """Have jobs written; their futures are answered after the commit."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="store-write", daemon=True)
                    self._thread.start()
        self._jobs.put(jobs)

    def stop(self) -> None:
        """Commit what there is, then end."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()

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
                connection = connection or self._connect()
                answers = self._commit(connection, batch)
            except Exception as error:
                log.error("store.commit_failed", error=type(error).__name__, jobs=len(batch), exc_info=True)
                answers = [(job, None, StoreUnavailable("the database did not commit")) for job in batch]
                discard(connection)
                connection = None
            _answer(answers)
        discard(connection)

    def _connect(self) -> Connection:
        connection = self._engine.connect()
        if self._engine.dialect.name == "postgresql":
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
        transaction = Transaction(connection, defers=self._defers)
        answers: list[Answer] = []
        try:
            transaction.begin(self._begin, (question for job in batch for question in job[3]))
            answers = [(job, job[0](transaction), None) for job in batch]
            if self._defers:  # what was put off fails now: a fault of the door which sent it
                transaction.commit()
        except Exception as error:  # whose it was shows in the second run
            raise _JobFailed from error
        else:
            if not self._defers:
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


def discard(connection: Connection | None) -> None:
    """Throw a broken connection away."""
    if connection is not None:
        try:
            connection.invalidate()
            connection.close()
        except Exception as error:  # it is being thrown away because it is broken
            log.debug("store.discard", error=type(error).__name__)


def _answer(answers: list[Answer]) -> None:
    """Hand results back: one wake-up per event loop and commit, however many doors were in it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
    for (_, loop, future, _), result, error in answers:
        if loop is not None:
            by_loop.setdefault(loop, []).append((future, result, error))
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(settle, settled)
        except RuntimeError:  # the loop has ended: nobody waits any more, and what was committed stays
            log.warning("store.answer_lost", jobs=len(settled))


def settle(settled: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    """Give callers what their jobs came to; on their event loop."""
    for future, result, error in settled:
        if future.done():  # its caller was cancelled
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
