"""What a tenant changed of the product's templates: which are used, with PDF or not, sent by themselves, and texts.

Only changes are kept (S85): what a tenant never touched follows the product's default, also when that improves. One row
for each template and language; the row without a language holds the switches. Read into the tenant's desk.
"""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import select

from gateway.mail.reply import Refused
from gateway.store.database import Transaction
from gateway.store.schema import template_setting
from gateway.store.tenants import set_tenant

SWITCHES = ("enabled", "attach_pdf", "automatic")
REMINDERS = ("every_days", "days_before", "start", "maximum")  # how often a template reminds, and since when
_MOST = {"every_days": 365, "days_before": 365, "maximum": 1000}


def list_settings(tx: Transaction, tenant_id: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(template key, language or "") -> what the tenant changed."""
    columns = (template_setting.c.key, template_setting.c.language, template_setting.c.data)
    rows = tx.all(select(*columns).where(template_setting.c.tenant_id == tenant_id))
    return {(row[0], row[1]): json.loads(row[2]) for row in rows}


def change_reminders(
    tx: Transaction, tenant_id: str, key: str, changes: Mapping[str, int | str | None], today: date
) -> None:
    """Change when a template reminds; a member that is None follows the product's default again. Raises Refused.

    A tenant that turns reminders on does not remind of what it issued before: unless it says so, `start` is today.
    """
    for name, value in changes.items():
        if name not in REMINDERS:
            raise _refuse(f"{name!r} is not an option of reminders; there are {', '.join(REMINDERS)}")
        if name in _MOST and value is not None and not (type(value) is int and 0 <= value <= _MOST[name]):
            raise _refuse(f"{name.replace('_', ' ')} {value!r} is not a number from 0 to {_MOST[name]}")
        if name == "start" and value is not None and not _is_day(value):
            raise _refuse(f"the start {value!r} is not a date; write 2026-12-01")
    before = list_settings(tx, tenant_id).get((key, ""), {})
    after = {**before, **changes}
    was_on, is_on = (bool(one.get("every_days") or one.get("days_before")) for one in (before, after))
    if is_on and not was_on and changes.get("start") is None:
        changes = {**changes, "start": today.isoformat()}
    change_setting(tx, tenant_id, key, "", changes)


def _is_day(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _refuse(text: str) -> Refused:
    return Refused(501, "5.5.4", text)


def change_setting(tx: Transaction, tenant_id: str, key: str, language: str, changes: Mapping[str, Any]) -> None:
    """Change some members; one that is None follows the product's default again. Holds for the next message."""
    data = dict(list_settings(tx, tenant_id).get((key, language), {})) | dict(changes)
    data = {name: value for name, value in data.items() if value is not None}
    values = {"tenant_id": tenant_id, "key": key, "language": language, "data": json.dumps(data, ensure_ascii=False)}
    tx.change(
        tx.upsert(template_setting)
        .values(values)
        .on_conflict_do_update(index_elements=["tenant_id", "key", "language"], set_={"data": values["data"]})
    )
    set_tenant(tx, tenant_id)
