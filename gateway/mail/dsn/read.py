"""Reads a delivery report out of a mail: machine-readable fields first, prose second, the returned mail last.

Called by `mail.received` when `mail.classify` has found a report, and by the batch command. Promises never to raise and
never to invent a code: what the mail does not carry stays "" or 0.
"""

import re
from dataclasses import replace

from gateway.mail.dsn.addresses import find_addresses
from gateway.mail.dsn.dates import read_date
from gateway.mail.dsn.decode import decode_body, decode_text, tidy
from gateway.mail.dsn.fields import Blocks, read_blocks, read_recipient, untyped
from gateway.mail.dsn.parts import MESSAGE_TYPES, Mail, Part, read_fields, read_parts
from gateway.mail.dsn.prose import add_prose, merge_fields, read_prose, read_unnamed
from gateway.mail.dsn.report import Report, ReportedRecipient, Returned
from gateway.mail.dsn.returned import read_header_text, read_id, read_ids, read_returned
from gateway.mail.dsn.scope import NOTIFICATION_TYPES, STATUS_TYPES, Scope, scope_of, split_words
from gateway.mail.reasons import PASSING, reason_of
from gateway.mail.status import Action, DeliveryStatus

_FIELDS_IN_PROSE = re.compile(r"^[ \t>]*(?:final-recipient|original-recipient)[ \t]*:", re.I | re.M)
_INDENTED_FIELD = re.compile(r"^[ \t>]{1,20}(?=[A-Za-z-]{1,60}:)", re.M)
_ID_IN_PROSE = re.compile(
    r"^[ \t>]*(?:message-id|message id|id)[ \t]*:[ \t]*<?([^\s<>]{3,300}@[^\s<>]{1,300})", re.I | re.M
)
_SUBJECT_IN_PROSE = re.compile(r"^[ \t>]*subject[ \t]*:[ \t]*(.{1,500})", re.I | re.M)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


def read_report(mail: Mail, inside: int = -1) -> Report:
    """The report that a message is, whatever its shape; without recipients when none is named."""
    scope = scope_of(mail, inside)
    notice, tail = split_words(mail, inside)
    original = returned_of(mail, scope, notice, tail)
    blocks, how = _blocks(mail, scope, notice, tail), "fields"
    recipients = [read_recipient(block) for block in blocks.recipients]
    recipients = [one for one in recipients if one.address] or recipients[:1]
    own = _own_addresses(scope.top, original)
    expected = frozenset(address.lower() for address in original.to)
    if recipients:
        recipients = add_prose(recipients, notice, own)
    if not any(one.address for one in recipients):
        prose = read_prose(scope.top, notice, own, expected)
        if prose:
            lead = recipients[0] if recipients else None
            recipients, how = ([merge_fields(one, lead) for one in prose] if lead else prose), "prose"
    if not any(one.address for one in recipients):
        nested = _nested(mail, inside)
        if nested:
            return nested
        if notice.strip() and not recipients:
            recipients, how = read_unnamed(notice, original, own), "returned mail"
        elif recipients and len(set(original.to)) == 1:
            recipients = [replace(recipients[0], address=original.to[0], final=original.to[0])]
    return Report(
        tuple(_with_reasons(_unique(recipients), notice)),
        original,
        how=how,
        text=notice.strip()[:20_000],
        reporting_mta=tidy(untyped(blocks.message.get("reporting-mta", "")), 255),
        arrival_at=read_date(blocks.message.get("arrival-date", "")),
        envelope_id=_unescape(blocks.message.get("original-envelope-id", "")),
    )


def _with_reasons(recipients: list[ReportedRecipient], notice: str) -> list[ReportedRecipient]:
    """Each with its reason. For a single one it may stand before its address, or in a section of its own."""
    found = [replace(one, status=one.status.because(reason_of(judged(one)))) for one in recipients]
    if len(found) == 1 and found[0].status.reason == "unknown":
        status = found[0].status
        reason = reason_of(replace(status, text=tidy(notice)))
        if reason not in PASSING:  # of a server's general advice, "try again later" is no reason
            return [replace(found[0], status=status.because(reason))]
    return found


def judged(one: ReportedRecipient) -> DeliveryStatus:
    """The outcome with all its words, for the rules of reasons."""
    return replace(one.status, text=one.diagnostic) if one.diagnostic else one.status


def _unescape(value: str) -> str:
    """ENVID from xtext (RFC 3461 §4)."""
    return tidy(_XTEXT.sub(lambda match: chr(int(match[1], 16)), untyped(value).strip("<>")), 200)


def _blocks(mail: Mail, scope: Scope, notice: str, tail: str) -> Blocks:
    for part in scope.status[:3]:
        blocks = read_blocks(mail.text(part, 500_000))
        if blocks.recipients:
            return blocks
    for text in (notice, tail):
        if "-recipient" in text.lower() and _FIELDS_IN_PROSE.search(text):
            return read_blocks(_INDENTED_FIELD.sub("", text))
    for part in (
        scope.prose[1:]
        + [part for part in mail.parts if part.inside == -1 and part.kind == "application/octet-stream"][:2]
    ):
        text = mail.text(part, 100_000)
        if _FIELDS_IN_PROSE.search(text):
            return read_blocks(text)
    return Blocks()


def returned_of(mail: Mail, scope: Scope, notice: str, tail: str) -> Returned:
    """What came back: the enclosed message or header, else the text; ids from the report's own header last."""
    original = Returned()
    for part in scope.returned[:3]:
        original = read_returned(_enclosed_fields(mail, part))
        if original.message_id or original.to:
            break
    if not (original.message_id or original.to) and tail:
        original = read_returned(read_header_text(tail))
    if not original.message_id:
        stated = next(
            (read_blocks(mail.text(part, 50_000)) for part in mail.parts if part.kind in NOTIFICATION_TYPES), Blocks()
        )
        found = next(
            (
                block["original-message-id"]
                for block in (stated.message, *stated.recipients)
                if "original-message-id" in block
            ),
            "",
        )
        original = replace(original, message_id=read_id(found) if found else "")
    if not original.message_id:
        match = _ID_IN_PROSE.search(notice) or _ID_IN_PROSE.search(tail)
        ids = read_ids([*scope.top.fields.get("in-reply-to", []), *scope.top.fields.get("references", [])])
        original = replace(original, message_id=match[1] if match else (ids[-1] if ids else ""))
    if not original.subject:
        subject = _SUBJECT_IN_PROSE.search(notice)
        original = replace(original, subject=subject[1].strip() if subject else "")
    return original


def _enclosed_fields(mail: Mail, part: Part) -> dict[str, list[str]]:
    if part.kind in MESSAGE_TYPES and part.encoding not in ("base64", "quoted-printable"):
        inner = next(
            (one for one in mail.parts if one.message and one.parent >= 0 and mail.parts[one.parent] is part), None
        )
        if inner is not None:
            return inner.fields or read_header_text(
                decode_text(mail.data[part.start : min(part.end, part.start + 20_000)], "")
            )
    body = decode_body(mail.data[part.start : min(part.end, part.start + 200_000)], part.encoding).lstrip(b"\r\n")
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return read_fields(body, 0, len(body))[0]


def _own_addresses(top: Part, original: Returned) -> frozenset[str]:
    """Whom the report was sent to, and who sent the original: nobody it is about, unless nothing else is named."""
    own: set[str] = set()
    for name in (
        "to",
        "delivered-to",
        "envelope-to",
        "x-envelope-to",
        "resent-to",
        "from",
        "reply-to",
        "sender",
        "return-path",
    ):
        for value in top.fields.get(name, ())[:10]:
            own.update(hit.address.lower() for hit in find_addresses(value[:5000], 50))
    own.update(address.lower() for address in (original.return_path, original.author) if address)
    return frozenset(own)


def _nested(mail: Mail, inside: int) -> Report | None:
    """A report that lies inside the message: wrapped by a filter, or forwarded as an attachment."""
    for index, part in enumerate(mail.parts):
        if part.inside != inside or part.kind not in MESSAGE_TYPES:
            continue
        inner = next((one for one in mail.parts if one.message and one.inside == index), None)
        if inner is None and part.encoding in ("base64", "quoted-printable"):
            wrapped = read_parts(mail.body(part))
            report = read_report(wrapped) if len(wrapped.parts) > 1 else None
            if report and any(one.address for one in report.recipients) and report.how == "fields":
                return report
        if inner is None or not any(one.kind in STATUS_TYPES and one.inside == index for one in mail.parts):
            continue
        report = read_report(mail, index)
        if any(one.address for one in report.recipients):
            return report
    return None


def _unique(recipients: list[ReportedRecipient]) -> list[ReportedRecipient]:
    """Each recipient once, the first time it is named; one that failed wins over a later word about it."""
    found: dict[str, ReportedRecipient] = {}
    for one in recipients:
        key = one.address.lower()
        known = found.get(key)
        if known is None or (known.status.action is not Action.FAILED and one.status.action is Action.FAILED):
            found[key] = one
    return list(found.values())
