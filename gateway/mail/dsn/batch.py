"""Reads file paths, writes one JSON line for each mail: kind, recipients with codes and reasons, original Message-ID.

Called by `gateway bounce parse --batch` and the benchmark. Promises one line per path, in order, whatever the file
holds; what cannot be read is a line with `error`. Needs neither configuration nor database.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from gateway.mail.classify import Kind
from gateway.mail.dsn.parts import SIZE_LIMIT
from gateway.mail.dsn.report import ReportedRecipient
from gateway.mail.reasons import is_passing, is_recipient_fault
from gateway.mail.received import ReceivedMail, read_head
from gateway.mail.status import Action

_WORDS = {
    Kind.BOUNCE: "bounce",
    Kind.DELAY: "delay",
    Kind.SUCCESS: "success",
    Kind.FEEDBACK: "feedback",
    Kind.AUTO_REPLY: "autoreply",
    Kind.READ_RECEIPT: "mdn",
    Kind.CHALLENGE: "autoreply",
}
# Our reasons in the words of the form that the batch writes; both are given.
_REASONS = {
    "mailbox_unknown": "userunknown",
    "domain_unknown": "hostunknown",
    "mailbox_disabled": "suspend",
    "mailbox_full": "mailboxfull",
    "too_large": "mesgtoobig",
    "spam_rejected": "spamdetected",
    "policy_rejected": "rejected",
    "auth_failed": "authfailure",
    "ip_blocked": "blocked",
    "relay_failed": "norelaying",
    "content_error": "contenterror",
    "rate_limited": "toomanyconn",
    "greylisted": "blocked",
    "unreachable": "networkerror",
    "expired": "expired",
    "unknown": "undefined",
}
_ACTIONS = {Action.FAILED: "bounce", Action.DELAYED: "delay"}


def run(paths: Iterable[str], out: TextIO) -> None:
    """Write a JSON line to `out` for each path; empty lines are skipped."""
    for line in paths:
        path = line.rstrip("\r\n")
        if path:
            out.write(json.dumps(describe_file(path), ensure_ascii=True) + "\n")
            out.flush()


def describe_file(path: str) -> dict[str, Any]:
    """What a file holds, as the batch writes it."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(SIZE_LIMIT)
    except (OSError, ValueError) as error:
        return {"path": path, "kind": "normal", "recipients": [], "error": type(error).__name__}
    return {"path": path, **describe(read_head(raw))}


def describe(mail: ReceivedMail) -> dict[str, Any]:
    """A mail as plain data."""
    report = mail.report
    return {
        "kind": _WORDS.get(mail.kind, "normal"),
        "recipients": [_describe_recipient(one) for one in report.recipients] if report else [],
        "original_message_id": report.original.message_id if report and report.original.message_id else None,
        "why": list(mail.why),
    }


def _describe_recipient(one: ReportedRecipient) -> dict[str, Any]:
    """`status` is the code that the mail carries; where it carries none, only the class of its words: "5" or "4"."""
    status = one.status
    permanent = status.action is not Action.DELAYED and not is_passing(status)
    return {
        "address": one.final or one.address,
        "original": one.original or None,
        "final": one.final or None,
        "kind": _ACTIONS.get(status.action, "success"),
        "action": str(status.action),
        "status": status.status or (("5" if permanent else "4") if status.action in _ACTIONS else None),
        "reply_code": str(status.code) if status.code else None,
        "permanent": permanent,
        "hard": permanent and is_recipient_fault(status),
        "reason": _REASONS.get(status.reason),
        "our_reason": status.reason or None,
        "diagnostic": one.diagnostic or None,
        "remote_mta": one.remote_mta or None,
    }
