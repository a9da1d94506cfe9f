"""What an event of a document sends by itself, and when: decided here, without a database or a clock.

The door asks for every X-AR-Event. A trigger has no transport of its own: it only puts a first attempt time on a
delivery, which is rendered when due. What is not sent is "stored only", with the reason in words (S23-S34, S79).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.mail.reply import Refused
from gateway.outbound.texts import templates
from gateway.store.reminders import SETTLED as SETTLED

HOLD = timedelta(minutes=5)  # for corrections (S27, S28)
MORNING = time(8)  # a document of a later day goes at this hour of that day, where the tenant is (S31)


@dataclass(frozen=True, slots=True)
class Trigger:
    """An event: the template it sends ("" for none), and whether it waits for corrections.

    `unless_settled`: a paid, voided or draft document of it is not sent by itself.
    """

    template: str
    holds: bool = False
    unless_settled: bool = False


TRIGGERS: dict[str, Trigger] = {
    "invoice.issued": Trigger("new_invoice", holds=True, unless_settled=True),
    "invoice.due_soon": Trigger("unpaid_invoice", unless_settled=True),
    "invoice.past_due": Trigger("late_payment_reminder", unless_settled=True),
    "invoice.paid": Trigger("paid_invoice"),
    "invoice.voided": Trigger(""),
    "invoice.updated": Trigger(""),
    "estimate.issued": Trigger("estimate", holds=True, unless_settled=True),
    "credit_note.issued": Trigger("credit_note", holds=True, unless_settled=True),
    "payment_plan.created": Trigger("payment_plan_onboard", holds=True, unless_settled=True),
    "payment.received": Trigger("payment_receipt"),
    "payment.refunded": Trigger("refund"),
    "payment.autopay_failed": Trigger("auto_payment_failed"),
    "statement.ready": Trigger("statement"),
    "subscription.created": Trigger("subscription_confirmation"),
    "subscription.renews_soon": Trigger("subscription_renews_soon"),
    "subscription.canceled": Trigger("subscription_canceled"),
}
_SWITCHES = ("send_on_issue", "send_on_charge", "send_on_paid", "send_on_subscribe", "send_on_cancellation")


@dataclass(frozen=True, slots=True)
class Choice:
    """A template as a tenant has it.

    Its reminders: the first `days_before` the day that it reminds of (0: it counts from that day), then `every_days`
    (0: no more), at most `maximum` for a document (0: no limit), none for documents issued before `start` (ISO).
    """

    enabled: bool
    attach_pdf: bool
    automatic: bool
    every_days: int = 0
    days_before: int = 0
    start: str = ""
    maximum: int = 0

    @property
    def reminds(self) -> bool:
        """Whether it is sent by itself again and again."""
        return self.enabled and bool(self.every_days or self.days_before)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decision depends on. `sent`: by hand, automatically, or marked as sent."""

    status: str = ""
    issue_date: str = ""
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """When it goes; None: it is stored only, and `why` says so."""

    template: str
    at: datetime | None
    why: str = ""


def choice_of(key: str, settings: Mapping[tuple[str, str], Mapping[str, Any]]) -> Choice:
    """The tenant's switches of a template; what it never touched follows the product's default (S85)."""
    default, changed = templates()[key], settings.get((key, ""), {})
    automatic = any(default.auto.get(switch) for switch in _SWITCHES)
    return Choice(
        enabled=bool(changed.get("enabled", default.enabled)),
        attach_pdf=bool(changed.get("attach_pdf", default.attach_pdf)),
        automatic=bool(changed.get("automatic", automatic)),
        every_days=int(changed.get("every_days", default.auto.get("every_days", 0))),
        days_before=int(changed.get("days_before", default.auto.get("days_before", 0))),
        start=str(changed.get("start", "")),
        maximum=int(changed.get("maximum", default.auto.get("maximum", 0))),
    )


def need_trigger(event: str) -> Trigger:
    """The trigger of an event. Raises Refused 554 5.6.0 for an unknown one."""
    if event not in TRIGGERS:
        raise Refused(554, "5.6.0", f"X-AR-Event {event[:60]!r} is unknown; known are {', '.join(TRIGGERS)}")
    return TRIGGERS[event]


def decide(event: str, choice: Choice | None, facts: Facts, now: datetime, zone: str) -> Decision:
    """What an event does. `choice` is that of its template, None when it has none."""
    trigger = need_trigger(event)
    if not trigger.template or choice is None:
        return Decision("", None, f"the event {event} sends nothing by itself")
    if not choice.enabled:
        return Decision(trigger.template, None, f"the template {trigger.template} is off for this tenant")
    if not choice.automatic:
        return Decision(trigger.template, None, f"the trigger {event} is off for this tenant")
    if trigger.unless_settled and facts.status in SETTLED:
        return Decision(trigger.template, None, f"the document is {facts.status}")
    if trigger.holds and facts.sent:
        return Decision(trigger.template, None, "the document was sent already")
    return Decision(trigger.template, earliest(trigger, facts, now, zone))


def earliest(trigger: Trigger, facts: Facts, now: datetime, zone: str) -> datetime:
    """When a triggered mail may go: after the hold, and not before the document's own date (S27, S31)."""
    at = now + HOLD if trigger.holds else now
    try:
        day = date.fromisoformat(facts.issue_date) if facts.issue_date else None
    except ValueError:
        day = None
    local = ZoneInfo(zone)
    if day is None or day <= now.astimezone(local).date():
        return at
    return max(at, datetime.combine(day, MORNING, local).astimezone(now.tzinfo))
