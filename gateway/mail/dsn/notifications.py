"""Reads reports that a sending service writes as JSON in the words of a mail: bounces, complaints, deliveries.

Called by `mail.classify` and `mail.received`. By general shape: an object with a type, and lists of recipients that are
objects with an address. At most 200,000 characters; broken or deep JSON is no notification. Never raises.
"""

import json
from dataclasses import dataclass
from typing import Any

from gateway.mail.dsn.codes import find_codes, find_status
from gateway.mail.dsn.dates import read_date
from gateway.mail.dsn.decode import tidy
from gateway.mail.dsn.fields import untyped
from gateway.mail.dsn.report import Report, ReportedRecipient, Returned
from gateway.mail.dsn.returned import read_id
from gateway.mail.reasons import reason_of
from gateway.mail.status import Action, DeliveryStatus

TEXT_LIMIT = 200_000
_ACTIONS = {
    "bounce": Action.FAILED,
    "deliverydelay": Action.DELAYED,
    "delivery": Action.DELIVERED,
    "complaint": Action.DELIVERED,
}


@dataclass(frozen=True, slots=True)
class Notification:
    """What the JSON says: `type` is bounce, deliverydelay, delivery or complaint."""

    type: str
    data: dict[str, Any]


def find_notification(text: str) -> Notification | None:
    """The notification that a text begins with, or None."""
    start = text[:200].find("{")
    if start < 0 or text[:start].strip() or '"' not in text[start : start + 50]:
        return None
    try:
        data, _ = json.JSONDecoder().raw_decode(text[start : start + TEXT_LIMIT].replace("!\n ", ""))
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    inner = data.get("Message")
    if isinstance(inner, str) and inner.startswith("{"):
        return find_notification(inner)
    name = str(data.get("notificationType") or data.get("eventType") or "").lower()
    return Notification(name, data) if name in _ACTIONS else None


def read_notification(notification: Notification) -> Report:
    """The notification as a report."""
    data = notification.data
    body = next(
        (value for key, value in data.items() if key.lower() == notification.type and isinstance(value, dict)), {}
    )
    mail = data.get("mail") if isinstance(data.get("mail"), dict) else {}
    assert isinstance(mail, dict)
    rows = next(
        (value for key, value in body.items() if key.lower().endswith("recipients") and isinstance(value, list)), None
    ) or _strings(mail.get("destination"))
    recipients = tuple(one for row in rows[:1000] if (one := _read_row(row, _ACTIONS[notification.type], body)).address)
    feedback = str(body.get("complaintFeedbackType") or "") if notification.type == "complaint" else ""
    return Report(
        recipients,
        _original(mail),
        tidy(untyped(str(body.get("reportingMTA") or "")), 255),
        how="fields",
        feedback_type=tidy(feedback, 60).lower(),
        arrival_at=read_date(str(mail.get("timestamp") or "")),
    )


def _read_row(row: Any, action: Action, body: dict[str, Any]) -> ReportedRecipient:
    if isinstance(row, str):
        row = {"emailAddress": row}
    if not isinstance(row, dict):
        row = {}
    address = tidy(str(row.get("emailAddress") or ""), 320)
    diagnostic = tidy(untyped(str(row.get("diagnosticCode") or body.get("smtpResponse") or "")), 2000)
    code, status = find_codes(diagnostic) if action is not Action.DELIVERED else (0, "")
    status = find_status(str(row.get("status") or "")) or status
    outcome = DeliveryStatus(action, status, code, tidy(diagnostic))
    return ReportedRecipient(address, address, address, outcome.because(reason_of(outcome)), diagnostic)


def _original(mail: dict[str, Any]) -> Returned:
    common = mail.get("commonHeaders")
    common = common if isinstance(common, dict) else {}
    headers = mail.get("headers")
    names = (
        {str(row.get("name", "")).lower(): str(row.get("value", "")) for row in headers[:500] if isinstance(row, dict)}
        if isinstance(headers, list)
        else {}
    )
    to = tuple(tidy(one, 320) for one in _strings(mail.get("destination")))
    source = tidy(str(mail.get("source") or ""), 320)
    found = read_id(str(common.get("messageId") or names.get("message-id") or ""))
    return Returned(
        found,
        tidy(str(common.get("subject") or ""), 1000),
        read_date(names.get("date", "")),
        source,
        source,
        to,
        (*to, source),
    )


def _strings(value: Any) -> list[str]:
    return [one for one in value[:1000] if isinstance(one, str)] if isinstance(value, list) else []
