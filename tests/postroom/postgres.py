"""A PostgreSQL cluster of the tests' own: made by initdb, listening on 127.0.0.1 only, gone afterwards.

Started by the fixtures `postgres` and `start_postgres`. Promises: synchronous_commit stays on, so that a commit means
what it means in production; fsync is off unless `durable` is asked for, because a journey does not test the disk.
Each test makes databases of its own; a filled template makes that cheap. PostgreSQL refuses to run as root, so root
runs it as `postgres` or `nobody`.
"""

import contextlib
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from postroom.ports import LOOPBACK, free_port
from postroom.programs import require
from postroom.server import Server, call, open_room, run

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "max_connections": "100",
    "shared_buffers": "64MB",
    "synchronous_commit": "on",
    "autovacuum_naptime": "10min",
    "log_line_prefix": "%m [%p] %d ",
    "timezone": "UTC",
}


@dataclass
class Postgres:
    """A running cluster; its only role is `app`, who needs no password."""

    server: Server
    port: int
    _names: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def url(self, dbname: str = "postgres") -> str:
        """A database's URL for SQLAlchemy with psycopg 3."""
        return f"postgresql+psycopg://app@{LOOPBACK}:{self.port}/{dbname}"

    def create_database(self, template: str = "template0") -> str:
        """Make a fresh database, empty or a copy of `template` (see `create_template`); returns its URL."""
        name = f"test_{next(self._names)}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return self.url(name)

    def create_template(self, name: str, fill: Callable[[str], object]) -> str:
        """Make the database `name` once, filled by `fill(url)` (migrations, say), to be copied; returns the name.

        `fill` must close its connections: PostgreSQL copies only a database nobody uses.
        """
        if not self.has_database(name):
            self._execute("CREATE DATABASE {} TEMPLATE template0", name)
            fill(self.url(name))
        return name

    def drop_database(self, url: str) -> None:
        """Drop a database by its URL, ending its connections."""
        self._execute("DROP DATABASE {} WITH (FORCE)", url.rpartition("/")[2])

    def has_database(self, name: str) -> bool:
        """Whether a database of that name exists."""
        with self.connect() as connection:
            return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None

    def connect(self, dbname: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A psycopg connection in autocommit mode."""
        return psycopg.connect(f"host={LOOPBACK} port={self.port} user=app dbname={dbname}", autocommit=True)

    def _execute(self, statement: str, *names: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextlib.contextmanager
def start_postgres(durable: bool = False) -> Iterator[Postgres]:
    """Run a new cluster; with `durable` it syncs to disk like a production server (use it for tests of durability)."""
    initdb, postgres = require("initdb"), require("postgres")
    with open_room("postgres", "postgres", "nobody") as room:
        data = room.path / "data"
        call([initdb, "-D", data, "-U", "app", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], room)
        port = free_port()
        settings = {**_SETTINGS, "fsync": "on" if durable else "off", "full_page_writes": "on" if durable else "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        argv: list[str | Path] = [postgres, "-D", data, "-p", str(port), "-k", room.path, *options]
        # SIGINT is the fast shutdown: it does not wait for a test's forgotten connection.
        with run("postgres", argv, room, end=signal.SIGINT) as server:
            server.wait_port(port)
            cluster = Postgres(server, port)
            _await_queries(cluster)
            yield cluster


def _await_queries(cluster: Postgres) -> None:
    """The port opens a moment before the first query is answered: ask until it is."""
    for _ in range(200):
        with contextlib.suppress(psycopg.OperationalError), cluster.connect() as connection:
            connection.execute("SELECT 1")
            return
        time.sleep(0.05)
    raise TimeoutError(f"postgres does not answer\n{cluster.server.tail()}")
