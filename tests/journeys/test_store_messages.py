"""What came is compared with all mail of a tenant by Message-ID: by an index, however much mail that is."""

from datetime import UTC, datetime

from journeys.house import Place, make_config
from sqlalchemy import text

from gateway.store.database import Database, Transaction, new_id
from gateway.store.messages import _BY_NAME, Message, add_message, find_by_message_id

TENANT = "t" * 20


def _fill(tx: Transaction) -> None:
    at = datetime(2026, 11, 24, tzinfo=UTC)
    for number in range(4000):
        names = {"rfc_message_id": f"{number}@ours", "submitted_message_id": f"{number}@billing" if number % 2 else ""}
        made = Message(
            tenant_id=TENANT, id=new_id(), thread_id="x", direction="out", kind="relay", created_at=at, **names
        )
        add_message(tx, made)
    tx.change(text("ANALYZE"))


def _plans(tx: Transaction) -> list[str]:
    plans = []
    for each in _BY_NAME.values():
        for prepared in each:
            sql, places = prepared.compiled(tx.connection)
            names = places or ("tenant", *(f"id{place}" for place in range(sql.count("%(id"))))
            values = dict.fromkeys(names, "x@ours") | {"tenant": TENANT}
            cursor = tx.connection.exec_driver_sql(
                f"EXPLAIN {'' if places is None else 'QUERY PLAN '}{sql}",
                values if places is None else tuple(values.values()),
            )
            plans.append(str(cursor.all()))
    return plans


def test_mail_is_found_by_either_name_and_by_an_index(place: Place) -> None:
    database = Database(make_config(place).database_url)
    try:
        database.write_now(_fill)
        names = ["3@ours", "5@billing", "5@ours", "", "nothing@ours", *(f"{n}@billing" for n in range(20, 30))]
        found = database.read_now(find_by_message_id, TENANT, names)
        assert [one.rfc_message_id for one in found] == [f"{n}@ours" for n in (3, 5, 21, 23, 25, 27, 29)]
        assert [one.rfc_message_id for one in database.read_now(find_by_message_id, TENANT, ["7@billing"])] == [
            "7@ours"
        ]
        assert database.read_now(find_by_message_id, "u" * 20, names) == []
        for plan in database.read_now(_plans):
            assert "message_rfc_id" in plan or "message_submitted_id" in plan, plan
    finally:
        database.close()
