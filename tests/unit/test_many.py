"""A statement for one row becomes PostgreSQL's for many: the parameters come from a JSON array, with their types."""

import json
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from gateway.store.many import many_of, rows_of
from gateway.store.schema import content, delivery, event

WHOSE = (delivery.c.tenant_id == bindparam("k_tenant")) & (delivery.c.number == bindparam("k_number"))


def many(statement: Any, columns: list[str] | None = None) -> str | None:
    return many_of(statement.compile(dialect=PGDialect_psycopg(), column_keys=columns))


def test_an_insert_takes_its_rows_from_the_array() -> None:
    made = many(insert(event), ["tenant_id", "event_id", "at"]) or ""
    assert made.startswith("INSERT INTO event (tenant_id, event_id, at) SELECT ")
    assert (
        'q."tenant_id", q."event_id", q."at" FROM json_to_recordset(%s::json) AS q(place INTEGER, "tenant_id" VARCHAR'
        in made
    )
    assert made.endswith('"at" BIGINT)')


def test_an_update_joins_its_rows_by_its_own_condition() -> None:
    made = many(update(delivery).where(WHOSE).values(state=bindparam("state"))) or ""
    assert made.startswith('UPDATE delivery SET state=q."state" FROM json_to_recordset(')
    assert made.endswith('WHERE delivery.tenant_id = q."k_tenant" AND delivery.number = q."k_number"')


def test_a_question_gives_the_place_of_whom_it_answers_and_locks_each_row() -> None:
    made = many(select(delivery.c.state).where(WHOSE).with_for_update(key_share=True)) or ""
    assert made.startswith("SELECT q.place, x.* FROM json_to_recordset(")
    assert "FOR NO KEY UPDATE) AS x ORDER BY q.place" in made


def test_a_key_is_compared_in_the_collation_of_its_column() -> None:
    assert '"k_tenant" VARCHAR COLLATE "C", "k_number" INTEGER)' in (many(select(delivery.c.state).where(WHOSE)) or "")


def test_bytes_and_upserts_go_row_by_row() -> None:
    assert many(insert(content), ["tenant_id", "message_id", "raw"]) is None
    assert many(upsert(event).on_conflict_do_nothing(), ["tenant_id", "event_id"]) is None


def test_rows_keep_their_place_and_their_letters() -> None:
    assert json.loads(rows_of([{"a": "ș"}, {"a": None}])) == [{"place": 0, "a": "ș"}, {"place": 1, "a": None}]
