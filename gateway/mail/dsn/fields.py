"""Reads the machine-readable part of a report: blocks of fields (RFC 3464 §2, RFC 5965 §3, RFC 8098 §3).

Called by `mail.dsn.read`. Tolerates what is really sent: fields without type ("Final-Recipient: <a@b>"), blocks without
empty lines between them, comments, more than one empty line, broken folding. It never invents a value.
"""

import re
from dataclasses import dataclass, field

from gateway.mail.dsn.addresses import find_address
from gateway.mail.dsn.codes import find_code, find_codes, find_status, has_answer
from gateway.mail.dsn.dates import read_date
from gateway.mail.dsn.decode import decode_words, tidy
from gateway.mail.dsn.report import ReportedRecipient
from gateway.mail.status import Action, DeliveryStatus

BLOCK_LIMIT = 1000
_LINE = re.compile(r"([A-Za-z][A-Za-z0-9-]{2,60})[ \t]*:[ \t]*(.*)", re.S)
_TYPED = re.compile(r"\s*[\w.+-]{1,40}\s*;\s*")
_OWN = frozenset(
    {
        "final-recipient",
        "original-recipient",
        "action",
        "status",
        "diagnostic-code",
        "remote-mta",
        "last-attempt-date",
        "final-log-id",
        "will-retry-until",
        "x-actual-recipient",
        "x-display-name",
    }
)
_ACTIONS = {
    "failed": Action.FAILED,
    "failure": Action.FAILED,
    "fail": Action.FAILED,
    "hardfail": Action.FAILED,
    "bounced": Action.FAILED,
    "undeliverable": Action.FAILED,
    "delayed": Action.DELAYED,
    "deferred": Action.DELAYED,
    "delivered": Action.DELIVERED,
    "deliverable": Action.DELIVERED,
    "delivery": Action.DELIVERED,
    "relayed": Action.RELAYED,
    "expanded": Action.EXPANDED,
}


@dataclass(slots=True)
class Blocks:
    """The fields of a report: those of the message, then those of each recipient; names lower-case."""

    message: dict[str, str] = field(default_factory=dict)
    recipients: list[dict[str, str]] = field(default_factory=list)


def read_blocks(text: str) -> Blocks:
    """Cut the text of a message/delivery-status (or one that lies in prose) into blocks."""
    blocks = Blocks()
    current: dict[str, str] = {}
    for name, value in _read_lines(text):
        # A new recipient begins with a field that the current one has, even where no empty line is.
        starts = name == "" or (
            name in _OWN
            and name in current
            and _named(current)
            and name in ("final-recipient", "original-recipient", "action")
        )
        if starts and current:
            _keep(blocks, current)
            current = {}
        if name and name not in current:
            current[name] = value
        if len(blocks.recipients) >= BLOCK_LIMIT:
            return blocks
    if current:
        _keep(blocks, current)
    return blocks


def _named(block: dict[str, str]) -> bool:
    return "final-recipient" in block or "original-recipient" in block


def _keep(blocks: Blocks, block: dict[str, str]) -> None:
    if not (_OWN & block.keys()):
        for name, value in block.items():
            blocks.message.setdefault(name, value)
        return
    last = blocks.recipients[-1] if blocks.recipients else None
    # A recipient's block torn apart by an empty line: the halves share no field.
    if last is not None and not _named(block) and not (last.keys() & block.keys() & _OWN):
        last.update(block)
        return
    if last is not None and _named(block) and not _named(last) and not (last.keys() & block.keys() & _OWN):
        last.update(block)
        return
    if not _named(block) and last is None and not ({"action", "status"} <= block.keys()):
        blocks.message.update(block)
        return
    for name in list(block):
        if name not in _OWN and not name.startswith("x-"):
            blocks.message.setdefault(name, block[name])
    blocks.recipients.append(block)


def _read_lines(text: str) -> list[tuple[str, str]]:
    """(name, unfolded value) of each field in order; ("", "") for each run of empty lines."""
    found: list[tuple[str, str]] = []
    for line in text[:500_000].split("\n"):
        if not line.strip():
            if found and found[-1][0]:
                found.append(("", ""))
            continue
        if line[0] in " \t" and found and found[-1][0]:
            name, value = found[-1]
            found[-1] = (name, f"{value} {line.strip()}" if len(value) < 4000 else value)
            continue
        match = _LINE.match(line.strip())
        if match:
            found.append((match[1].lower(), match[2].strip()))
        elif found and found[-1][0] == "diagnostic-code" and len(found[-1][1]) < 4000:
            found[-1] = ("diagnostic-code", f"{found[-1][1]} {line.strip()}")  # folded without a blank
    return found


def untyped(value: str) -> str:
    """`rfc822; a@b` without its type (RFC 3464 §2.1.2), encoded words decoded, but not those within an address."""
    match = _TYPED.match(value[:100])
    bare = value[match.end() :] if match else value
    return bare.strip() if "?=@" in bare else decode_words(bare)


def read_recipient(block: dict[str, str]) -> ReportedRecipient:
    """One block of recipient fields as a value."""
    original = find_address(untyped(block.get("original-recipient", "")))
    final = find_address(untyped(block.get("final-recipient", "")))
    actual = find_address(untyped(block.get("x-actual-recipient", "")))
    diagnostic = untyped(block.get("diagnostic-code", ""))
    said_status = find_status(block.get("status", ""))
    code, status = find_codes(diagnostic)
    if not code:
        code = find_code(block.get("status", ""), said_status[:1]) or find_code(block.get("action", ""))
    if said_status and not _says_more(said_status, status, has_answer(diagnostic)):
        status = said_status
    action = read_action(block.get("action", ""), status or str(code or ""))
    outcome = DeliveryStatus(action, status, code, tidy(diagnostic), tidy(untyped(block.get("remote-mta", "")), 255))
    return ReportedRecipient(
        address=original or final or actual,
        original=original,
        final=final or actual,
        status=outcome,
        diagnostic=tidy(diagnostic, 2000),
        remote_mta=outcome.host,
        will_retry_until=read_date(block.get("will-retry-until", "")),
        last_attempt_at=read_date(block.get("last-attempt-date", "")),
    )


def _says_more(said: str, status: str, pair: bool) -> bool:
    """Whether the remote's own status beats the Status field: `550 5.7.1` beats 5.1.1, anything beats 5.0.0."""
    if not status:
        return False
    return (pair and (not said.endswith(".4.7") or status[0] != "4" or status.startswith("4.4."))) or (
        said.endswith(".0.0") and status[0] == said[0]
    )


def read_action(value: str, codes: str) -> Action:
    """The action word (RFC 3464 §2.3.3), or what the codes mean when it is missing or not a word we know."""
    word = re.match(r"[a-z]*", value.strip().lower())
    known = _ACTIONS.get(word[0]) if word else None
    if known:
        return known
    return Action.DELIVERED if codes[:1] == "2" else Action.FAILED
