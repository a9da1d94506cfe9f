"""What every command shares: the configuration, the database, and how lists are printed (for people, or --json)."""

import contextlib
import dataclasses
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
import structlog
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.config import Config, ConfigError, read_config
from gateway.store.database import Database, Transaction
from gateway.store.schema import OPERATOR
from gateway.store.sealed import Seal, read_key_file
from gateway.store.tenants import Tenant, list_tenants, need_tenant
from gateway.store.upgrade import outdated

P = ParamSpec("P")
T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
tenant_option = click.option(
    "-t", "--tenant", "slug", default="", help="The tenant; may be left out when there is one."
)


def utc_now() -> datetime:
    """The command's clock."""
    return datetime.now(UTC)


class Context:
    """The configuration and database of one command, opened when first used."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        if not os.environ.get("GATEWAY_DEBUG"):  # a command says itself what is wrong, without a traceback's values
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self._config: Config | None = None
        self._database: Database | None = None

    @property
    def config(self) -> Config:
        """The configuration. Raises ConfigError."""
        if self._config is None:
            self._config = read_config(self.path)
        return self._config

    @property
    def database(self) -> Database:
        """The database, at this version's schema. Raises ConfigError."""
        if self._database is None:
            file = self.config.data_path / "gateway.db"
            if not self.config.database and not file.exists():  # opening it would make it
                raise ConfigError(f"there is no database {file}; restore it, or run `gateway init` for a new one")
            opened = Database(self.config.database_url)
            if problem := outdated(opened.engine):
                raise ConfigError(problem)
            self._database = opened
        return self._database

    @property
    def seal(self) -> Seal:
        """The keys that open secrets. Raises ConfigError."""
        try:
            return read_key_file(self.config.key_path)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def read(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a reading function."""
        return self.database.read_now(function, *args, **kwargs)

    def write(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a writing function; it is committed when this returns."""
        return self.database.write_now(function, *args, **kwargs)

    def tenant(self, slug: str) -> Tenant:
        """The tenant that is meant. Raises Refused when it is unclear or unknown."""
        if slug:
            return self.read(need_tenant, slug)
        found = self.read(list_tenants)
        if len(found) != 1:
            raise click.UsageError(
                f"there are {len(found)} tenants; say which one with --tenant ({', '.join(t.slug for t in found)})"
            )
        return found[0]


pass_context = click.make_pass_decorator(Context)

POSTMASTER = "postmaster"  # the name by which the operator's own mail is asked for; no tenant may have it


def owner_of(context: Context, slug: str) -> tuple[str, str]:
    """(tenant id, time zone) of a tenant; those of the operator for mail to the postmaster."""
    if slug == POSTMASTER:
        return OPERATOR, "UTC"
    tenant = context.tenant(slug)
    return tenant.id, tenant.timezone


def show_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, *, empty: str, columns: Sequence[str] = ()) -> None:
    """A list: a table for a person, or JSON with every field."""
    if as_json:
        show_json(list(rows))
        return
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = columns or list(rows[0])
    for column in shown:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in shown))
    console().print(table)


def console() -> Console:
    """Standard output; a pipe gets wide lines rather than folded ones, and never markup or colour codes."""
    return Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False, soft_wrap=False)


def show_json(value: Any) -> None:
    """JSON on standard output."""
    click.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))


def told(as_json: bool, text: str, **facts: Any) -> None:
    """What a command did: a sentence for a person, or its facts as JSON."""
    if as_json:
        show_json(facts)
    else:
        click.echo(text)


def plain(value: Any) -> Any:
    """A value as JSON knows it: dataclasses as objects, times in ISO 8601, bytes left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    return value


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)


@contextlib.contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal while many are worked through; it is told of every batch. Nothing in a pipe."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on a terminal while something takes longer; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(what):
        yield
