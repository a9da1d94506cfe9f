"""Reads complaints (RFC 5965) and receipts (RFC 8098), and their older forms, as a `Report`.

Called by `mail.received` once `mail.classify` has named the kind. Never raises; invents nothing.
"""

from dataclasses import replace

from gateway.mail.dsn.addresses import find_address, find_addresses
from gateway.mail.dsn.dates import read_date
from gateway.mail.dsn.decode import tidy
from gateway.mail.dsn.fields import read_blocks, untyped
from gateway.mail.dsn.parts import Mail
from gateway.mail.dsn.read import returned_of
from gateway.mail.dsn.report import Report, ReportedRecipient
from gateway.mail.dsn.returned import read_id
from gateway.mail.dsn.scope import NOTIFICATION_TYPES, scope_of, split_words
from gateway.mail.status import Action, DeliveryStatus


def read_feedback(mail: Mail) -> Report:
    """Who complained about which mail; the recipients are those of the mail complained about."""
    scope = scope_of(mail, -1)
    fields: dict[str, str] = {}
    removed: list[str] = []
    for part in mail.parts:
        if part.kind == "message/feedback-report" and part.inside == -1:
            blocks = read_blocks(mail.text(part, 200_000))
            for block in (blocks.message, *blocks.recipients):
                fields = {**block, **fields}
            removed = [
                line
                for line in mail.text(part, 50_000).split("\n")
                if line.lower().startswith(("original-rcpt-to:", "removal-recipient:", "redacted-address:"))
            ]
    notice, tail = split_words(mail, -1)
    original = returned_of(mail, scope, notice, tail)
    addresses = [hit.address for line in removed[:100] for hit in find_addresses(line, 20)]
    for name in ("x-hmxmroriginalrecipient", "x-hmrecipient"):
        addresses += [
            hit.address for value in scope.top.fields.get(name, ()) for hit in find_addresses(value[:2000], 5)
        ]
    if not addresses:
        addresses = list(original.to[:20])
    outcome = DeliveryStatus(Action.DELIVERED, "")
    recipients = tuple(ReportedRecipient(address, address, address, outcome) for address in dict.fromkeys(addresses))
    return Report(
        recipients,
        original,
        reporting_mta=tidy(untyped(fields.get("reporting-mta", "")), 255),
        arrival_at=read_date(fields.get("arrival-date", "") or fields.get("received-date", "")),
        envelope_id=tidy(fields.get("original-envelope-id", ""), 200),
        feedback_type=tidy(fields.get("feedback-type", ""), 60).lower(),
        how="fields" if fields else "prose",
        text=notice.strip()[:20_000],
    )


def read_receipt(mail: Mail) -> Report:
    """Which mail was shown or deleted, and by whom."""
    scope = scope_of(mail, -1)
    fields: dict[str, str] = {}
    for part in mail.parts:
        if part.kind in NOTIFICATION_TYPES and part.inside == -1:
            blocks = read_blocks(mail.text(part, 200_000))
            for block in (blocks.message, *blocks.recipients):
                fields = {**block, **fields}
    notice, tail = split_words(mail, -1)
    original = returned_of(mail, scope, notice, tail)
    if fields.get("original-message-id"):
        original = replace(original, message_id=read_id(fields["original-message-id"]))
    final = find_address(untyped(fields.get("final-recipient", "")))
    asked = find_address(untyped(fields.get("original-recipient", "")))
    outcome = DeliveryStatus(Action.DELIVERED, "", text=tidy(fields.get("disposition", "")))
    recipients = (ReportedRecipient(asked or final, asked, final, outcome),) if asked or final else ()
    return Report(
        recipients,
        original,
        disposition=tidy(fields.get("disposition", ""), 200).lower(),
        how="fields" if fields else "prose",
        text=notice.strip()[:20_000],
    )
