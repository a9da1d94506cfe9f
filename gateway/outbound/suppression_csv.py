"""A tenant's suppressed addresses as a CSV file (RFC 4180): ours, and those that other sending services export.

Called by `gateway suppression import` and `export`. Reading is by the line and bounded; a line that cannot be used is
told with its number and left out. By the words of a service's file, too, only faults of the address itself suppress.
Writing is safe for spreadsheets: what would be a formula there begins with an apostrophe, which reading takes off.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO

from gateway.mail.address import parse_address
from gateway.mail.reasons import BLOCKED, SUPPRESSING, VOCABULARY, read_words
from gateway.mail.reply import Refused
from gateway.mail.status import clean
from gateway.outbound.suppression import ALLOWED, IMPORT, Entry, Suppressed

COLUMNS = ("address", "reason", "evidence", "source", "since", "expires")
MOST_LINES = 2_000_000
LINE_LENGTH = 20_000  # characters
_NAMES = {  # what others call our columns, without case, spaces and punctuation
    "address": ("address", "email", "emailaddress", "recipient", "mail"),
    "reason": ("reason", "suppressionreason", "type", "category"),
    "evidence": ("evidence", "error", "description", "diagnostic", "message", "details", "status", "code"),
    "since": ("since", "created", "createdat", "date", "time", "timestamp", "added", "lastupdatetime"),
    "expires": ("expires", "expiresat", "until"),
}
_FORMULA = re.compile(r"[=+\-@\t\r]")
_GUARDED = re.compile(r"'[=+\-@\t\r]")


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that was left out, and why."""

    line: int
    why: str


def read_entries(file: IO[str]) -> Iterator[Entry | Fault]:
    """The lines of a file, as entries. Raises Refused when the file as a whole is none of ours."""
    lines = _lines(file)
    first = next(lines, "")
    found = csv.reader(lines, delimiter=_delimiter(first))
    columns = _columns(next(csv.reader([first], delimiter=_delimiter(first)), []))
    while True:
        try:
            row = next(found, None)
        except csv.Error as error:
            raise Refused(554, "5.6.0", f"line {found.line_num + 1} is no CSV: {error}") from None
        if row is None:
            return
        if any(cell.strip() for cell in row):
            yield _read_row(row, columns, found.line_num + 1)


def _lines(file: IO[str]) -> Iterator[str]:
    for number in range(1, MOST_LINES + 2):
        line = file.readline(LINE_LENGTH + 1)
        if not line:
            return
        if len(line) > LINE_LENGTH:
            raise Refused(554, "5.6.0", f"line {number} has more than {LINE_LENGTH:,} characters; is this a CSV file?")
        yield line.replace("\0", "\ufffd").removeprefix("\ufeff" if number == 1 else "")
    raise Refused(554, "5.6.0", f"the file has more than {MOST_LINES:,} lines; split it")


def _delimiter(first: str) -> str:
    return max(",;\t", key=first.count)  # spreadsheets write ; where , is for decimals


def _columns(header: list[str]) -> dict[str, list[int]]:
    """Where our columns stand; evidence may stand in several."""
    plain = [re.sub(r"[^a-z]", "", cell.lower()) for cell in header]
    found = {ours: [plain.index(name) for name in names if name in plain] for ours, names in _NAMES.items()}
    if not found["address"]:
        named = ", ".join(cell.strip()[:30] for cell in header[:8]) or "nothing"
        raise Refused(554, "5.6.0", f"the first line must name the columns, `address` among them; it says: {named}")
    return found


def _read_row(row: list[str], columns: dict[str, list[int]], line: int) -> Entry | Fault:
    def cells(name: str) -> list[str]:
        at = [row[one].strip() for one in columns[name] if one < len(row)]
        return [one[1:] if _GUARDED.match(one) else one for one in at if one]

    try:
        address = parse_address((cells("address") or [""])[0])
        reason, evidence = _why((cells("reason") or [""])[0], " ".join(reversed(cells("evidence"))))
        since, expires = (_read_time((cells(name) or [""])[0]) for name in ("since", "expires"))
    except Refused as refused:
        return Fault(line, refused.reply.text)
    return Entry(address.key, reason, evidence, IMPORT, since, expires)


def _why(reason: str, evidence: str) -> tuple[str, str]:
    """(reason, evidence) in our words. Raises Refused when they are no fault of the address."""
    said = reason.lower().replace(" ", "_")
    if said in SUPPRESSING or said in (BLOCKED, ALLOWED):
        return said, clean(evidence)
    known = said if said in VOCABULARY and said != "unknown" else ""
    words = clean(evidence if known else " ".join(part for part in (evidence, reason) if part))
    found = known or read_words(words).reason
    if found in SUPPRESSING:
        return found, words
    if found == "unknown":  # a service's own word, or nobody's: whoever imports it says that mail must not go
        return BLOCKED, words
    raise Refused(501, "5.5.4", f"{words[:100] or found}: {found} is no fault of the address; mail may go there")


def _read_time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        if re.fullmatch(r"[0-9]{9,11}", text):
            return datetime.fromtimestamp(int(text), UTC)
        made = datetime.fromisoformat(text.removesuffix(" UTC"))
    except (ValueError, OverflowError):
        raise Refused(501, "5.5.4", f"{text[:40]!r} is no time; write 2026-11-24") from None
    return made if made.tzinfo else made.replace(tzinfo=UTC)


def write_header(file: IO[str]) -> None:
    """The first line."""
    csv.writer(file, lineterminator="\n").writerow(COLUMNS)


def write_entries(file: IO[str], entries: Iterable[Suppressed]) -> int:
    """A line for each; how many."""
    writer, count = csv.writer(file, lineterminator="\n"), 0
    for one in entries:
        expires = one.expires_at.isoformat(timespec="seconds") if one.expires_at else ""
        since = one.created_at.isoformat(timespec="seconds")
        writer.writerow(map(_safe, (one.address, one.reason, one.evidence, one.source, since, expires)))
        count += 1
    return count


def _safe(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell
