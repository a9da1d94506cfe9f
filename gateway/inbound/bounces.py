"""Whose report is it, and what follows: the delivery's new state, the thread, the suppression.

Strongest evidence first: the return path that the report came to; then our token (return path or ENVID) in what came
back; then our Message-ID there, or in what the report says it answers, with the recipient; then the weak ones of
`evidence`. Only a report to the return path itself may suppress an address; what matches nothing of the tenant is kept
for a person and changes nothing.
"""

from dataclasses import dataclass

from gateway.inbound.evidence import ANSWERS, MESSAGE_ID, RETURN_PATH, TOKEN, Clue, find_mailed
from gateway.mail.address import parse_address
from gateway.mail.dsn.report import Report, ReportedRecipient
from gateway.mail.received import ReceivedMail
from gateway.mail.reply import Refused
from gateway.mail.status import Action, DeliveryStatus, clean
from gateway.mail.verp import TOKEN_LENGTH, read_return_path
from gateway.outbound.queue import Booked, find_deliveries, find_token, report
from gateway.store.database import Transaction
from gateway.store.messages import find_by_message_id

FITTED = 20  # recipients of one report for whom weak evidence is weighed


@dataclass(frozen=True, slots=True)
class Match:
    """One outcome of a report and the delivery it is about; `by` says how we know."""

    delivery: Booked
    status: DeliveryStatus
    by: str  # one of evidence.CONFIDENCE
    trusted: bool


def match_return_path(made: Booked, mail: ReceivedMail) -> Match:
    """A report that came to a delivery's return path is about that delivery, whatever addresses it names."""
    return Match(made, _outcome_for(made, mail), RETURN_PATH, True)


def match_report(tx: Transaction, now_ms: int, tenant_id: str, found: Report, mail: ReceivedMail) -> list[Match]:
    """The tenant's deliveries that a report is about which did not come to a return path."""
    by_token = _token_of(tx, tenant_id, found)
    if by_token is not None:
        return [Match(by_token, _outcome_for(by_token, mail), TOKEN, False)]
    original = [found.original.message_id] if found.original.message_id else []
    if matches := _by_message_id(tx, tenant_id, original, mail, MESSAGE_ID):
        return matches
    answered = [*mail.in_reply_to, *mail.references, *found.original.references][:50]
    if not original and (matches := _by_message_id(tx, tenant_id, answered, mail, ANSWERS)):
        return matches
    clue = Clue(found.original.message_id, found.original.subject)
    return _by_fit(tx, now_ms, tenant_id, clue, mail)


def _by_message_id(tx: Transaction, tenant_id: str, ids: list[str], mail: ReceivedMail, by: str) -> list[Match]:
    recipients = mail.report.recipients if mail.report else ()
    matches = []
    for message in find_by_message_id(tx, tenant_id, ids):
        deliveries = find_deliveries(tx, tenant_id, message.id) if message.direction == "out" else []
        for one in recipients:
            made = _delivery_to(deliveries, one, alone=len(recipients) == 1)
            if made is not None:
                matches.append(Match(made, _status(one, mail), by, False))
    return matches


def _by_fit(tx: Transaction, now_ms: int, tenant_id: str, clue: Clue, mail: ReceivedMail) -> list[Match]:
    """What fits the clue, recipient by recipient: one that fits nothing, or two things, has no match."""
    matches = []
    for one in (mail.report.recipients if mail.report else ())[:FITTED]:
        named = dict.fromkeys(address for address in (one.original, one.address, one.final) if address)
        found = next((hit for a in named if (hit := find_mailed(tx, now_ms, tenant_id, a, clue))), None)
        if found is not None:
            matches.append(Match(found[0].made, _status(one, mail), found[1], False))
    return matches


def apply(tx: Transaction, now_ms: int, match: Match, report_message_id: str) -> str:
    """Spend one match on the queue; what came of it (`queue.report`)."""
    return report(tx, now_ms, match.delivery, match.status, report_message_id=report_message_id, trusted=match.trusted)


def _token_of(tx: Transaction, tenant_id: str, found: Report) -> Booked | None:
    tokens = [found.envelope_id.lower()] if len(found.envelope_id) == TOKEN_LENGTH else []
    for text in (found.original.return_path, *found.original.addresses):
        try:
            tokens.append(read_return_path(parse_address(text)))
        except Refused:  # what came back may hold any bytes
            continue
    for token in filter(None, tokens):
        made = find_token(tx, token)
        if made is not None and made.tenant_id == tenant_id:
            return made
    return None


def _delivery_to(deliveries: list[Booked], one: ReportedRecipient, *, alone: bool) -> Booked | None:
    named = {address.lower() for address in (one.address, one.original, one.final) if address}
    for made in deliveries:
        if made.recipient.lower() in named:
            return made
    return deliveries[0] if alone and len(deliveries) == 1 else None


def _outcome_for(made: Booked, mail: ReceivedMail) -> DeliveryStatus:
    recipients = mail.report.recipients if mail.report else ()
    if not recipients:
        words = clean((mail.report.text if mail.report else "") or mail.text or mail.subject)
        return DeliveryStatus(Action.FAILED, "", 0, words)
    exact = [one for one in recipients if made.recipient.lower() in (one.address.lower(), one.original.lower())]
    return _status(min(exact or recipients, key=_gravity), mail)


def _gravity(one: ReportedRecipient) -> int:
    order = (Action.FAILED, Action.DELAYED, Action.RELAYED, Action.EXPANDED, Action.DELIVERED)
    return order.index(one.status.action)


def _status(one: ReportedRecipient, mail: ReceivedMail) -> DeliveryStatus:
    """The reported status; a report's "relayed" or "expanded" tells no more than our own 250 did."""
    status = one.status
    if not status.host and mail.report:
        host = clean(one.remote_mta or mail.report.reporting_mta, 255)
        status = DeliveryStatus(status.action, status.status, status.code, status.text, host, status.reason)
    return status
