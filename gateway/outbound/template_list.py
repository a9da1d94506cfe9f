"""The templates as a tenant has them: used or not, with PDF or not, by themselves or not, and what sends them.

Called by `gateway template list` and the HTTP API. Reads; never writes.
"""

from dataclasses import dataclass

from gateway.outbound.texts import templates
from gateway.outbound.triggers import TRIGGERS, choice_of
from gateway.store.database import Transaction
from gateway.store.template_settings import list_settings


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """One template; `changed` names what the tenant set itself, `events` the document events that send it."""

    template: str
    enabled: bool
    attach_pdf: bool
    automatic: bool
    every_days: int
    days_before: int
    start: str
    maximum: int
    changed: tuple[str, ...]
    events: tuple[str, ...]


def list_templates(tx: Transaction, tenant_id: str) -> list[TemplateRow]:
    """Every template, in the product's order."""
    settings = list_settings(tx, tenant_id)
    rows = []
    for key in templates():
        choice = choice_of(key, settings)
        rows.append(
            TemplateRow(
                key,
                choice.enabled,
                choice.attach_pdf,
                choice.automatic,
                choice.every_days,
                choice.days_before,
                choice.start,
                choice.maximum,
                tuple(sorted(settings.get((key, ""), {}))),
                tuple(event for event, trigger in TRIGGERS.items() if trigger.template == key),
            )
        )
    return rows
