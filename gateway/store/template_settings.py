"""What a tenant changed of the product's templates: which are used, with PDF or not, sent by themselves, and texts.

Only changes are kept (S85): what a tenant never touched follows the product's default, also when that improves. One row
for each template and language; the row without a language holds the switches. Read into the tenant's desk.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from gateway.store.database import Transaction
from gateway.store.schema import template_setting
from gateway.store.tenants import set_tenant

SWITCHES = ("enabled", "attach_pdf", "automatic")


def list_settings(tx: Transaction, tenant_id: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(template key, language or "") -> what the tenant changed."""
    columns = (template_setting.c.key, template_setting.c.language, template_setting.c.data)
    rows = tx.all(select(*columns).where(template_setting.c.tenant_id == tenant_id))
    return {(row[0], row[1]): json.loads(row[2]) for row in rows}


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
