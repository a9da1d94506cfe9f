"""What a door sees of the database while it writes or reads: prepared statements, and a transaction that runs them.

Made by `store.writer` and `store.database`, given to the functions that rooms pass to them. Over a network the answers
cost more than the statements: so a transaction of a batch may defer what is `send`t until the commit, and know the
answers to what its doors said that they would ask. SQLite, which is in our own process, does everything at once.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Executable, Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler

from gateway.store.many import many_of, rows_of

T = TypeVar("T")

BELL = "gateway_due"  # the channel of NOTIFY: something is due that its writer does not send itself

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
        self._many: str | None = None
        self._tables: frozenset[str] = frozenset()
        self.reads = isinstance(statement, Select)  # and changes nothing

    def tables(self) -> frozenset[str]:
        """The names of the tables that it reads or writes."""
        if not self._tables:
            statement = self.statement if isinstance(self.statement, Executable) else self.statement(postgresql.insert)
            elements = visitors.iterate(cast(Any, statement))
            self._tables = frozenset(one.name for one in elements if isinstance(one, Table))
        return self._tables

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
            self._many = many_of(compiled) if positions is None else None
        return found

    def many(self, connection: Connection) -> str | None:
        """SQL that does it for many rows at once, with the one parameter `rows_of`; None where there is none."""
        self.compiled(connection)
        return self._many


Question = tuple[Prepared, Mapping[str, Any]]  # a SELECT of few rows by their key
Row = tuple[Any, ...]


class _Foreseen:
    """The answers to what the doors of a batch will ask, as long as nothing changes them."""

    def __init__(self) -> None:
        self._rows: dict[Hashable, list[Row]] = {}
        self._tables: dict[str, set[Hashable]] = {}
        self._empty: dict[str, set[Hashable]] = {}

    def put(self, question: Question, rows: list[Row]) -> None:
        key = _key_of(question)
        self._rows[key] = rows
        for table in question[0].tables():
            self._tables.setdefault(table, set()).add(key)
            if not rows:
                self._empty.setdefault(table, set()).add(key)

    def get(self, question: Question) -> list[Row] | None:
        return self._rows.get(_key_of(question))

    def forget(self, tables: Iterable[str], *, if_empty: bool = False) -> None:
        """Something in these tables was changed; `if_empty`: rows were only added."""
        for table in tables:
            for key in (self._empty if if_empty else self._tables).pop(table, ()):
                self._rows.pop(key, None)

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]


def _key_of(question: Question) -> Hashable:
    return (question[0], *question[1].values())


class Transaction:
    """One door's view of the database. Lives for one call; never kept.

    `memo` is for what need not be asked or done twice in one transaction; it is empty again when a door of it fails.
    """

    def __init__(self, connection: Connection, *, defers: bool = False) -> None:
        """`defers`: what is sent waits for the commit, or for a statement about the same tables."""
        self.connection = connection
        self.memo: dict[Hashable, Any] = {}
        self._defers = defers
        self._sent: list[tuple[Prepared, Mapping[str, Any]]] = []
        self._touched: set[str] = set()
        self._foreseen = _Foreseen()
        self._rings = False
        # SQLAlchemy's own wrapper; the driver's cursor underneath is what `run` uses
        self._cursor = cast(Any, connection.connection).cursor()

    def all(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """All rows of a statement."""
        self._flush()
        return self.connection.execute(statement, parameters or {}).all()

    def first(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first row, or None."""
        self._flush()
        return self.connection.execute(statement, parameters or {}).first()

    def change(self, statement: Executable, parameters: Any = None) -> int:
        """Run an INSERT, UPDATE or DELETE; the number of rows it touched."""
        self._flush()
        self._foreseen.clear()
        return self.connection.execute(statement, parameters or {}).rowcount

    def run(self, prepared: Prepared, parameters: Mapping[str, Any]) -> Any:
        """Run a prepared statement; the driver's cursor, with rows as tuples."""
        if self._defers:
            self._make_way(prepared)
        sql, positions = prepared.compiled(self.connection)
        if positions is None:
            self._cursor.execute(sql, parameters)
        else:
            self._cursor.execute(sql, [parameters[name] for name in positions])
        return self._cursor

    def send(self, prepared: Prepared, parameters: Mapping[str, Any]) -> None:
        """Run an INSERT whose result nobody needs. Over a network, many of them go in one round trip."""
        if not self._defers:
            self.run(prepared, parameters)
            return
        self._put_off(prepared, parameters)
        self._foreseen.forget(prepared.tables(), if_empty=True)

    def rows(self, question: Question) -> list[Row]:
        """The rows that a question finds: as foreseen, else asked now."""
        known = self._foreseen.get(question)
        return self.run(*question).fetchall() if known is None else known

    def change_if(
        self, change: Prepared, parameters: Mapping[str, Any], seen: Question, before: Row, after: Row
    ) -> bool:
        """Run an UPDATE of the one row that `seen` finds (and locks), whose WHERE says that it still is `before`.

        False when it is not; after the UPDATE the answer is `after`.
        """
        if not self._defers:
            return bool(self.run(change, parameters).rowcount)
        if self.rows(seen) != [before]:
            return False
        self._put_off(change, parameters)
        self._foreseen.put(seen, [after])
        return True

    def begin(self, begin: str, asked: Iterable[Question]) -> None:
        """BEGIN, and ask all of it in the same round trip; rows that are locked are so in one order on all nodes."""
        if not self._defers:
            self._cursor.execute(begin)
            return
        by_statement: dict[Prepared, dict[tuple[Any, ...], Mapping[str, Any]]] = {}
        for prepared, parameters in asked:
            by_statement.setdefault(prepared, {})[tuple(parameters.values())] = parameters
        texts = {prepared: cast(str, prepared.many(self.connection)) for prepared in by_statement}
        ordered = sorted(
            ((texts[one], one, sorted(keys)) for one, keys in by_statement.items()), key=lambda each: each[0]
        )
        driver: Any = self.connection.connection.driver_connection
        cursors, questions = [], []
        with driver.pipeline():
            self._cursor.execute(begin)
            for text, prepared, keys in ordered:
                rows = [by_statement[prepared][key] for key in keys]
                cursors.append(driver.execute(text, (rows_of(rows),)))
                questions.append([(prepared, row) for row in rows])
        for cursor, asked_there in zip(cursors, questions, strict=True):
            self._learn(asked_there, cursor.fetchall())

    def _learn(self, asked: Sequence[Question], answers: Iterable[Row]) -> None:
        found: list[list[Row]] = [[] for _ in asked]
        for place, *row in answers:
            found[place].append(tuple(row))
        for question, rows in zip(asked, found, strict=True):
            self._foreseen.put(question, rows)

    def _put_off(self, prepared: Prepared, parameters: Mapping[str, Any]) -> None:
        self._sent.append((prepared, parameters))
        self._touched |= prepared.tables()

    def _make_way(self, prepared: Prepared) -> None:
        """Before a statement that is run at once: what was put off about its tables comes first."""
        if self._sent and not self._touched.isdisjoint(prepared.tables()):
            self._flush()
        if not prepared.reads:
            self._foreseen.forget(prepared.tables())

    def _flush(self) -> None:
        if self._sent:
            with cast(Any, self.connection.connection.driver_connection).pipeline():
                self._run_sent()

    def _run_sent(self) -> None:
        sent, self._sent = self._sent, []
        self._touched.clear()
        by_statement: dict[Prepared, list[Mapping[str, Any]]] = {}
        for prepared, parameters in sent:
            by_statement.setdefault(prepared, []).append(parameters)
        for prepared, rows in by_statement.items():
            many = prepared.many(self.connection)
            if many is not None:
                self._cursor.execute(many, (rows_of(rows),))
                continue
            for row in rows:
                self._cursor.execute(prepared.compiled(self.connection)[0], row)

    def run_many(self, prepared: Prepared, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run a prepared statement for each of several rows."""
        if self._defers:
            self._make_way(prepared)
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
        """COMMIT, with one NOTIFY for all that was rung for, and in the same round trip with all that was put off."""
        if not self._defers:
            self._commit()
            return
        with cast(Any, self.connection.connection.driver_connection).pipeline():
            self._run_sent()
            self._commit()

    def _commit(self) -> None:
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


def foresees(questions: Callable[..., Iterable[Question]], *, lane: str = "") -> Callable[[T], T]:
    """Mark a function that writes with what it will ask, by its arguments but the transaction.

    A question that was not foreseen costs a round trip; an answer that a door may have changed is forgotten. Functions
    of another `lane` are committed beside the others where the database can do that: no caller relies on their order.
    """

    def mark(function: T) -> T:
        function.questions, function.lane = questions, lane  # type: ignore[attr-defined]
        return function

    return mark
