"""What each serving process tells of itself, and what a person asks of it: one row for a process, written by both.

A process notes itself every few seconds (`serve.reporting`) and takes with it what the operator's page asked meanwhile:
destinations that rest, to be tried again at once. One that ends in good order takes its row away; one that was killed
is seen by how long it has been silent, and forgotten after a week. Nothing here is needed for mail to flow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update

from gateway.store.database import Transaction, need_time, storable, to_ms
from gateway.store.schema import OPERATOR, node

SILENT = timedelta(seconds=60)  # after which a process is thought to be gone
FORGOTTEN = timedelta(days=7)
MOST_ASKED = 50  # destinations that wait to be tried again


@dataclass(frozen=True, slots=True)
class Node:
    """A serving process as it last told of itself."""

    name: str
    started_at: datetime
    seen_at: datetime
    report: Mapping[str, Any]

    def silent(self, now: datetime) -> bool:
        """Whether it told nothing for so long that it must be gone."""
        return now - self.seen_at > SILENT


def note_node(tx: Transaction, now: datetime, name: str, started_at: datetime, report: Mapping[str, Any]) -> list[str]:
    """Keep what a process tells; the keys of destinations that it is asked to try again, handed over this once."""
    mine = (node.c.tenant_id == OPERATOR) & (node.c.name == name)
    row = tx.first(select(node.c.asked).where(mine))
    told = {
        "started_at": to_ms(started_at), "seen_at": to_ms(now), "asked": "",
        "report": storable(json.dumps(report, ensure_ascii=False)),
    }  # fmt: skip
    made = tx.upsert(node).values(tenant_id=OPERATOR, name=name, **told)
    tx.change(made.on_conflict_do_update(index_elements=["tenant_id", "name"], set_=told))
    return [str(key) for key in json.loads((row[0] if row else "") or "[]")]


def list_nodes(tx: Transaction) -> list[Node]:
    """Every process that is known, by name."""
    columns = (node.c.name, node.c.started_at, node.c.seen_at, node.c.report)
    rows = tx.all(select(*columns).where(node.c.tenant_id == OPERATOR).order_by(node.c.name))
    return [Node(row[0], need_time(row[1]), need_time(row[2]), json.loads(row[3] or "{}")) for row in rows]


def ask_again(tx: Transaction, key: str) -> int:
    """Ask every process that knows a destination to try it again at once; how many there are."""
    asked = 0
    for row in tx.all(select(node.c.name, node.c.report, node.c.asked).where(node.c.tenant_id == OPERATOR)):
        known = {one.get("key") for one in json.loads(row[1] or "{}").get("destinations", [])}
        if key in known:
            keys = list(dict.fromkeys([*json.loads(row[2] or "[]"), key]))[-MOST_ASKED:]
            mine = (node.c.tenant_id == OPERATOR) & (node.c.name == row[0])
            asked += tx.change(update(node).where(mine).values(asked=storable(json.dumps(keys))))
    return asked


def drop_node(tx: Transaction, name: str) -> None:
    """A process ends in good order."""
    tx.change(delete(node).where(node.c.tenant_id == OPERATOR, node.c.name == name))


def drop_gone(tx: Transaction, now: datetime) -> None:
    """Forget processes that nobody has heard of for a week."""
    tx.change(delete(node).where(node.c.tenant_id == OPERATOR, node.c.seen_at < to_ms(now - FORGOTTEN)))
