"""One statement of PostgreSQL for many rows: a statement for one row, with its parameters taken from a JSON array.

Used by `store.database` where a batch of doors asks or changes the same for each: a hundred statements cost the server
more than a hundred rows. Pure text: no connection is spoken to. SQLite, which has no round trips, needs none of it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.sql.compiler import SQLCompiler

_PARAMETER = re.compile(r"%\((\w+)\)s::(\w+)")  # as SQLAlchemy writes it for psycopg
PLACE = "place"  # the column that tells to which row of the array an answer belongs


def many_of(compiled: SQLCompiler) -> str | None:
    """The statement for many rows, its one parameter being `rows_of` them; None for one that cannot be.

    A SELECT gives its columns after the row's place in the array. An INSERT or UPDATE must not depend on its order.
    """
    text = str(compiled)
    kinds = dict(_PARAMETER.findall(text))
    if kinds.keys() != compiled.binds.keys() or "ON CONFLICT" in text:  # bytes have no cast, and no place in JSON
        return None
    columns = ", ".join(f'"{name}" {kind}{_collation(compiled, name)}' for name, kind in kinds.items())
    rows = f"json_to_recordset(%s::json) AS q({PLACE} INTEGER, {columns})"
    text = _PARAMETER.sub(r'q."\1"', text)
    if compiled.isinsert:
        head, _, values = text.partition(" VALUES (")
        return f"{head} SELECT {values.removesuffix(')')} FROM {rows}"  # noqa: S608 SQLAlchemy's text
    if compiled.isupdate:
        head, _, condition = text.partition(" WHERE ")
        return f"{head} FROM {rows} WHERE {condition}"
    return f"SELECT q.{PLACE}, x.* FROM {rows}, LATERAL ({text}) AS x ORDER BY q.{PLACE}"  # noqa: S608


def _collation(compiled: SQLCompiler, name: str) -> str:
    """That of the column it is compared with: PostgreSQL guesses none between two."""
    kind = compiled.dialect.type_compiler_instance.process(compiled.binds[name].type)
    _, found, collation = kind.partition(" COLLATE ")
    return found + collation


def rows_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """Parameters of many rows as the one of `many_of`'s statement."""
    placed = [{PLACE: place, **row} for place, row in enumerate(rows)]
    return json.dumps(placed, ensure_ascii=False, separators=(",", ":"))
