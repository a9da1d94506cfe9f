"""Trials that somebody began on a page: of a server, a mailbox, a domain; what was found, step by step.

Written by `settings.trials` as it goes, so that a page shows it whichever process tries; the last one of each is kept.
A trial that did not end within LONGEST died with its process: then another may begin.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update

from gateway.store.database import Transaction, from_ms, need_time, storable, to_ms
from gateway.store.schema import trial

LONGEST = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial by its name ("server", "mailbox/NAME", "domain/NAME"). `steps` are (what, state, words)."""

    name: str
    by: str
    started_at: datetime
    ended_at: datetime | None
    steps: tuple[tuple[str, str, str], ...]

    def runs(self, now: datetime) -> bool:
        """Whether somebody is at it."""
        return self.ended_at is None and now - self.started_at < LONGEST


def begin_trial(tx: Transaction, now: datetime, tenant_id: str, name: str, by: str) -> bool:
    """Begin one in place of the one before; False while that one runs."""
    before = get_trial(tx, tenant_id, name)
    if before is not None and before.runs(now):
        return False
    values: dict[str, Any] = {"started_by": by, "started_at": to_ms(now), "ended_at": None, "steps": "[]"}
    made = tx.upsert(trial).values(tenant_id=tenant_id, name=name, **values)
    tx.change(made.on_conflict_do_update(index_elements=["tenant_id", "name"], set_=values))
    return True


def note_steps(
    tx: Transaction, tenant_id: str, name: str, steps: Sequence[tuple[str, str, str]], ended_at: datetime | None
) -> None:
    """What was found so far; `ended_at` when that is all."""
    mine = (trial.c.tenant_id == tenant_id) & (trial.c.name == name)
    text = storable(json.dumps([list(one) for one in steps], ensure_ascii=False))
    tx.change(update(trial).where(mine).values(steps=text, ended_at=to_ms(ended_at) if ended_at else None))


def get_trial(tx: Transaction, tenant_id: str, name: str) -> Trial | None:
    """The last trial of a name; None when there was none."""
    columns = (trial.c.name, trial.c.started_by, trial.c.started_at, trial.c.ended_at, trial.c.steps)
    row = tx.first(select(*columns).where(trial.c.tenant_id == tenant_id, trial.c.name == name))
    if row is None:
        return None
    steps = tuple((one[0], one[1], one[2]) for one in json.loads(row[4] or "[]"))
    return Trial(row[0], row[1], need_time(row[2]), from_ms(row[3]), steps)


def drop_trial(tx: Transaction, tenant_id: str, name: str) -> None:
    """Forget it: what it was of is gone."""
    tx.change(delete(trial).where(trial.c.tenant_id == tenant_id, trial.c.name == name))
