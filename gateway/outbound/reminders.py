"""Which reminder of a document is due today, or why none: decided here, without a database or a clock.

Called by `outbound.reminding` with what it read. A template reminds of a day (when an invoice is due, an estimate ends,
a plan is to be approved, a subscription renews); its slots lie on a grid before that day or, for late payment, after
it. Only the latest slot counts, so that missed ones are caught up once; a document that was reminded on that slot's day
or later is done. A slot that is due may still be held back by a stop rule. One vocabulary of reasons for all of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.outbound.triggers import Choice
from gateway.store.reminders import SETTLED, Reminded
from gateway.store.reminding import Correspondence, Remindable

QUIET = timedelta(hours=72)  # between two mails about a document, whoever sent the first
QUIET_DAYS = 3  # the same between two reminders, which go at an hour that a DST change moves
HOUR = 9  # of the tenant's day, unless it chose another
UNPAID, LATE, ONBOARD = "unpaid_invoice", "late_payment_reminder", "payment_plan_onboard"
REMINDING = (UNPAID, LATE, ONBOARD, "estimate", "subscription_renews_soon")
TYPES = ("invoice", "payment_plan", "estimate", "subscription")  # of documents that are reminded of
_UNANSWERED = ("", "open", "past_due")  # states of an estimate or a plan that still waits for the customer
_ANEW = ("subscription",)  # counted anew for each day that it reminds of

# Why a document is not reminded of, in words for a person; timeline and pages have them in their own languages.
WHY: dict[str, str] = {
    "settled": "the document is {status}",
    "composed": "the gateway has no data of the document, only a mail that was composed elsewhere",
    "no_day": "the document does not say when {what}",
    "off": "no reminders are set for it",
    "over": "the day that it would remind of has passed",
    "before_start": "the document was issued before {start}, when reminders begin",
    "not_yet": "the next one is on {next}",
    "done": "it was reminded on {on}",
    "maximum": "it was reminded {count} times, and that is the most",
    "paused": "reminders are paused: {why}",
    "promised": "the customer promised to pay by {on}",
    "opted_out": "the customer wants no reminders",
    "reply": "the customer wrote on {on} and waits for an answer",
    "no_address": "the document names no address to send to",
    "bounced": "mail to {addresses} came back",
    "refused": "{why}",
    "waiting": "other mail about the document waits to be sent",
    "recent": "other mail about the document went on {on}, less than 72 hours ago",
}
_WHAT = {"invoice": "it is due", "payment_plan": "it is to be approved", "estimate": "it ends",
         "subscription": "it renews"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Course:
    """The day that a template reminds of, and whether its slots lie after that day or before."""

    template: str
    day: date
    after: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a document today. With a `slot` and no `reason` the reminder goes; `next`: the slot after it."""

    template: str = ""
    slot: date | None = None
    reason: str = ""
    why: str = ""
    about: date | None = None
    next: date | None = None

    @property
    def goes(self) -> bool:
        """Whether a mail goes now."""
        return self.slot is not None and not self.reason


def because(reason: str, verdict: Verdict | None = None, **facts: Any) -> Verdict:
    """A verdict that nothing goes, in words."""
    made = verdict or Verdict()
    why = WHY[reason].format(**facts)
    return Verdict(made.template, made.slot, reason, why, made.about, made.next)


# -- the day that is reminded of


def course_of(found: Remindable, body: Mapping[str, Any], choices: Mapping[str, Choice], today: date) -> Course | None:
    """The template and the day that a document is reminded with today; None when it does not name that day.

    `body` is the document as JSON; an invoice needs it only where a plan is to be approved.
    """
    if found.type == "invoice":
        day = _day((body.get("payment_plan") or {}).get("approve_by"))
        if day and day >= today and (body.get("links") or {}).get("approve") and choices[ONBOARD].reminds:
            return Course(ONBOARD, day)
        due = _day(found.due_date)
        return Course(LATE if due < today else UNPAID, due, due < today) if due else None
    if found.type == "estimate":
        day, days = _day(found.issue_date), body.get("valid_days")
        until = day + timedelta(days=days) if day and days is not None else _day(found.due_date)
        return Course("estimate", until) if until else None
    if found.type == "payment_plan":
        day = _day((body.get("payment_plan") or {}).get("approve_by"))
        return Course(ONBOARD, day) if day else None
    day = _day((body.get("subscription") or {}).get("next_billing_on"))
    return Course("subscription_renews_soon", day) if day else None


def _day(text: Any) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def body_of(raw: bytes) -> Mapping[str, Any]:
    """A stored document's body as plain values."""
    values: dict[str, Any] = json.loads(raw or b"{}")
    return values


# -- slots


def slots_around(course: Course, choice: Choice, issued: date, today: date) -> tuple[date | None, date | None]:
    """(the latest slot up to today, the first after it). A slot is never on the day of issue or before it."""
    every, start = choice.every_days, course.day
    if not course.after:
        start -= timedelta(days=choice.days_before)
        if every and not choice.days_before:  # from the day of issue on, counted back from the day it reminds of
            start -= timedelta(days=every * max((course.day - issued).days // every, 0))
    first = start + timedelta(days=every) if course.after else start
    if course.after and not every:
        return None, None
    if first <= issued:
        first += timedelta(days=every * ((issued - first).days // every + 1)) if every else timedelta(0)
        if first <= issued:
            return None, None
    last = None if course.after else course.day
    return _on_grid(first, every, last, today)


def _on_grid(first: date, every: int, last: date | None, today: date) -> tuple[date | None, date | None]:
    if last is not None and first > last:
        return None, None
    if today < first:
        return None, first
    latest = first + timedelta(days=every * ((today - first).days // every)) if every else first
    if last is not None and latest > last:
        latest -= timedelta(days=every * -((last - latest).days // every))
    following = latest + timedelta(days=every) if every else None
    if following is not None and last is not None and following > last:
        following = None
    return latest, following


def schedule(
    found: Remindable, body: Mapping[str, Any], choices: Mapping[str, Choice], today: date, zone: ZoneInfo
) -> Verdict:
    """The slot that is due, or why none is: all that the document and the tenant's options say, without its mail."""
    if found.status in SETTLED or (found.type in ("estimate", "payment_plan") and found.status not in _UNANSWERED):
        return because("settled", status=found.status)
    if found.composed:
        return because("composed")
    course = course_of(found, body, choices, today)
    if course is None:
        return because("no_day", what=_WHAT[found.type])
    choice, verdict = choices[course.template], Verdict(course.template, about=course.day)
    if not choice.reminds or (course.after and not choice.every_days):
        return because("off", verdict)
    issued = _day(found.issue_date) or found.created_at.astimezone(zone).date()
    if choice.start and issued < date.fromisoformat(choice.start):
        return because("before_start", verdict, start=choice.start)
    slot, following = slots_around(course, choice, issued, today)
    if not course.after and today > course.day:
        return because("over", verdict)
    verdict = Verdict(course.template, slot, about=course.day, next=following)
    reminded = found.state.sent.get(course.template, Reminded())
    if slot is None or reminded.on >= slot.isoformat():
        undue = Verdict(course.template, about=course.day, next=following)
        return because("not_yet", undue, next=following) if following else because("done", undue, on=reminded.on or "–")
    return verdict


# -- stop rules


def stop(
    found: Remindable,
    template: str,
    choice: Choice,
    mail: Correspondence,
    recipients: Mapping[str, str],
    now: datetime,
    zone: ZoneInfo,
    about: date | None = None,
) -> tuple[str, str]:
    """(reason, words) why a mail that reminds must not go now; ("", "") when it may.

    `recipients` are the addresses that it would go to, each with why it cannot ("" when it can). Holds for the daily
    run and for events of billing systems alike.
    """
    state, count = found.state, counted(found, template, about)
    if choice.maximum and count >= choice.maximum:
        return _stop("maximum", count=count)
    if state.paused_at is not None:
        return _stop("paused", why=state.paused_why)
    if state.promised_on >= now.astimezone(zone).date().isoformat():
        return _stop("promised", on=state.promised_on)
    if found.opted_out:
        return _stop("opted_out")
    if mail.reply_at is not None:
        return _stop("reply", on=_shown(mail.reply_at, zone))
    if not recipients:
        return _stop("no_address")
    if all(recipients.values()):
        return _stop("bounced", addresses=", ".join(recipients))
    return _pause_between(mail, now, zone)


def _pause_between(mail: Correspondence, now: datetime, zone: ZoneInfo) -> tuple[str, str]:
    if mail.waiting:
        return _stop("waiting")
    if mail.sent_at is None or now - mail.sent_at >= QUIET:
        return "", ""
    days = (now.astimezone(zone).date() - mail.sent_at.astimezone(zone).date()).days
    return ("", "") if mail.reminded and days >= QUIET_DAYS else _stop("recent", on=_shown(mail.sent_at, zone))


def _stop(reason: str, **facts: Any) -> tuple[str, str]:
    return reason, WHY[reason].format(**facts)


def _shown(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d}"


def counted(found: Remindable, template: str, about: date | None) -> int:
    """How often a document was reminded with a template; a subscription, of this renewal."""
    reminded = found.state.sent.get(template, Reminded())
    if found.type in _ANEW and about is not None and reminded.about != about.isoformat():
        return 0
    return reminded.count


# -- when


def begins_at(day: date, hour: int, zone: ZoneInfo) -> datetime:
    """When the reminders of a day go. An hour that a DST change leaves out is the one after it; of two, the first."""
    return datetime.combine(day, time(hour), zone)
