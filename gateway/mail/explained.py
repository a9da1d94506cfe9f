"""A received mail in words for the operator: what it was understood as, and by which evidence and rules.

Called by `gateway bounce parse`. Promises lines of printable text; it decides nothing that `mail.received` and
`mail.reasons` have not decided. Labels stand in the first column, their values begin in the fifteenth.
"""

from collections.abc import Iterator

from gateway.mail.dsn.read import judged
from gateway.mail.dsn.report import Report, ReportedRecipient
from gateway.mail.reasons import explain, is_passing, is_recipient_fault
from gateway.mail.received import ReceivedMail
from gateway.mail.status import Action, clean

_ENDS = {
    Action.DELAYED: "delayed, the reporting server keeps trying",
    Action.DELIVERED: "delivered",
    Action.RELAYED: "passed on to a server that does not report",
    Action.EXPANDED: "passed on to the members of a list",
}


def tell_mail(mail: ReceivedMail) -> list[str]:
    """What was understood of a mail, line by line."""
    return [f"{label:<14}{clean(value, 2000)}" for label, value in _facts(mail) if value]


def _facts(mail: ReceivedMail) -> Iterator[tuple[str, str]]:
    yield "kind", f"{mail.kind}{' that a person passed on' if mail.forwarded else ''}"
    for evidence in mail.why:
        yield "  because", evidence
    yield "from", mail.author
    yield "subject", mail.subject
    if mail.report:
        yield from _report_facts(mail.report)
    if mail.absence:
        yield "back on", str(mail.absence.back_on or "not said")
        yield "instead", mail.absence.substitute
        yield "left", "yes: works there no longer" if mail.absence.left else ""


def _report_facts(report: Report) -> Iterator[tuple[str, str]]:
    for one in report.recipients:
        yield from _recipient_facts(one)
    if not report.recipients:
        yield "recipient", "none is named"
    yield "read from", report.how
    yield "reported by", report.reporting_mta
    yield "feedback", report.feedback_type
    yield "disposition", report.disposition
    yield "ENVID", report.envelope_id
    original = report.original
    yield "original", original.message_id and f"Message-ID {original.message_id}"
    yield "  subject", original.subject
    yield "  to", ", ".join(original.to[:10])
    yield "  return to", original.return_path


def _recipient_facts(one: ReportedRecipient) -> Iterator[tuple[str, str]]:
    status = one.status
    yield "recipient", one.address or "not named"
    yield "  expanded to", one.final if one.final.lower() != one.address.lower() else ""
    final = "failed, trying again might help" if is_passing(status) else "failed for good"
    yield "  outcome", _ENDS.get(status.action, final)
    codes = (f"reply {status.code}" if status.code else "", f"status {status.status}" if status.status else "")
    yield "  codes", ", ".join(filter(None, codes)) or "none"
    yield "  said by", one.remote_mta
    yield "  words", one.diagnostic
    if status.reason:
        reason, rule = explain(judged(one))
        yield "  reason", f"{reason}, by rule {rule!r}" if rule else f"{reason}: no rule speaks of it"
        yield "  suppresses", "yes: the address itself is wrong" if is_recipient_fault(status) else "no"
