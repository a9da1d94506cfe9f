"""Reads a report written for people, by the table `shapes.toml`: who it is about, and what it says of each.

Called by `mail.dsn.read` with the text of a notice. One engine for all servers: every address in the text is judged by
what stands before it, after it and above it; a recipient's words are the lines from its address to the next one's.
Linear in the text, which is cut at 200,000 characters. It does not decide whether the mail is a report.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from gateway.mail.dsn.addresses import find_addresses
from gateway.mail.dsn.codes import find_codes
from gateway.mail.dsn.returned import header_at

TEXT_LIMIT = 200_000
SURE, LIKELY = 70, 40
DESK = 40  # points that an address loses which looks like a help desk's
PLACES = 30  # where one address stands, as far as we look
_ROLE_ACCOUNT = re.compile(r"(?:postmaster|mailer-daemon|mail-?daemon|abuse|noc|hostmaster)@", re.I)
# Whom a notice tells to ask; mail for them bounces too, so this weighs less.
_DESK_ACCOUNT = re.compile(
    r"(?:(?:e?mail|it)?-?(?:support|help(?:desk)?|service(?:desk)?|admin(?:istrator)?|security)|webmaster|contact|assistenza"
    r"|assistance|soporte|suporte|suport|hilfe|podpora|pomoc|ajuda|(?:no|do-?not)-?reply|majordomo|listserv|sympa"
    r"|(?:[\w.+-]{1,60}-)?(?:subscribe|unsubscribe|request|owner|ctl|help))@",
    re.I,
)
_SECTION = re.compile(r"[ \t]{0,8}-{3,20} ?[^\W\d_][^\n]{2,80}? ?-{3,20}[ \t]*$")  # ----- Transcript follows -----
_TRIM_BEFORE = "<\"'`([{*|=«“„‘ \t"
_TRIM_AFTER = ">\"'`)]}*|»”“’"


Weighed = tuple[tuple[re.Pattern[str], int], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The compiled patterns, each with its weight."""

    returned: re.Pattern[str]
    heading: Weighed
    before: Weighed
    expanded: re.Pattern[str]
    after: Weighed
    never: Weighed
    delay: re.Pattern[str]
    gaveup: re.Pattern[str]
    success: re.Pattern[str]
    retries: re.Pattern[str]
    failure: re.Pattern[str]


def compile_words(pattern: str) -> re.Pattern[str]:
    """A pattern over lower-case text that begins at the start of a word: tried at a fifth of the places."""
    return re.compile(rf"(?<![a-zа-я])(?:{pattern})")


@cache
def read_table() -> Table:
    """The table as it is installed with the package; its patterns are for lower-case text."""
    data = tomllib.loads(files("gateway.mail.dsn").joinpath("shapes.toml").read_text("utf-8"))

    def weighed(name: str, compiled: Callable[[str], re.Pattern[str]] = compile_words) -> Weighed:
        """One pattern for each weight, the heaviest first."""
        weights = sorted({row["weight"] for row in data[name]}, key=lambda weight: -abs(weight))
        rows = {weight: "|".join(row["pattern"] for row in data[name] if row["weight"] == weight) for weight in weights}
        return tuple((compiled(pattern), weight) for weight, pattern in rows.items())

    def joined(name: str) -> re.Pattern[str]:
        return compile_words("|".join(row["pattern"] for row in data[name]))

    return Table(
        re.compile("|".join(row["pattern"] for row in data["returned"])),
        weighed("heading"),
        weighed("before", re.compile),
        joined("expanded"),
        weighed("after"),
        weighed("never"),
        joined("delay"),
        joined("gaveup"),
        joined("success"),
        joined("retries"),
        joined("failure"),
    )


@dataclass(slots=True)
class Found:
    """An address in a notice, and the lines that are about it."""

    address: str
    score: int = -100
    expanded_from: str = ""
    lines: list[int] = field(default_factory=list)  # numbers of the lines where it stands with points
    text: str = ""  # what the notice says about it


def split_notice(text: str) -> tuple[str, str]:
    """(the notice, the returned mail that follows it in the same text; "" when none does)."""
    text = text[:TEXT_LIMIT]
    table = read_table()
    lines = text.split("\n")
    header = header_at(lines)
    for number, line in enumerate(lines):
        if 0 <= header <= number:
            break
        if not 6 <= len(line) <= 200 or not table.returned.match(line.lower()):
            continue
        rest = [later for later in lines[number + 1 : number + 12] if later.strip()]
        # A separator has a mail behind it, or nothing; a sentence that only mentions the copy has more sentences.
        if number >= 1 and (
            line.lstrip()[:1] in "-*=_#>"
            or not rest
            or header_at(lines[number + 1 : number + 60]) in range(8)
            or len(rest) < 4
        ):
            return "\n".join(lines[:number]), "\n".join(lines[number + 1 :])
    if header > 0:
        return "\n".join(lines[:header]), "\n".join(lines[header:])
    return text, ""


def find_recipients(notice: str, own: frozenset[str], expected: frozenset[str]) -> list[Found]:
    """Who a notice is about, best evidence only, in order.

    `own` are addresses that it was sent to or that sent the original, `expected` those that the original went to;
    both in lower case.
    """
    lines = notice[:TEXT_LIMIT].split("\n")
    found = _score(lines, own, expected)
    if not found:
        return []
    best = max(one.score for one in found.values())
    if best < LIKELY:
        return _only_one(lines, found, own, expected)
    least = SURE if best >= SURE else best
    chosen = [one for one in found.values() if one.score >= least]
    if len(chosen) > 1 and any(one.address.lower() not in own for one in chosen):
        chosen = [one for one in chosen if one.address.lower() not in own]
    _cut_blocks(lines, chosen)
    return chosen


def _only_one(lines: list[str], found: dict[str, Found], own: frozenset[str], expected: frozenset[str]) -> list[Found]:
    """In words that no pattern knows: the only address that is not ours, not a desk's and not told to be written to.

    Where the returned mail says whom it went to, that is the better answer.
    """
    likely = {key: one for key, one in found.items() if key not in own and not _ROLE_ACCOUNT.match(key)}
    others = [one for key, one in likely.items() if one.score >= 0 and not _DESK_ACCOUNT.match(key)]
    others = others or [one for one in likely.values() if one.score + DESK >= LIKELY]
    if len(others) != 1 or (expected and others[0].address.lower() not in expected):
        return []
    others[0].lines = [number for number, line in enumerate(lines) if others[0].address in line][:20]
    _cut_blocks(lines, others)
    return others


def _score(lines: list[str], own: frozenset[str], expected: frozenset[str]) -> dict[str, Found]:
    """Every address of a notice with the points of its best place."""
    table = read_table()
    found: dict[str, Found] = {}
    last: Found | None = None
    weights: dict[int, int] = {}  # of the lines above addresses, each judged once
    for number, line in enumerate(lines):
        if "@" not in line:
            continue
        above = -1
        for hit in find_addresses(line[:4000], 100):
            before = line[: hit.start].strip(_TRIM_BEFORE)[-120:].lower()
            if last is not None and table.expanded.search(before):
                last.expanded_from = last.expanded_from or hit.address
                continue
            weight = _weight(table.before, before)
            if above < 0:
                above = _heading(table, lines, number, weights)
            score = weight + above + _weight(table.after, line[hit.end :].lstrip(_TRIM_AFTER)[:80].lower())
            if before:
                score += _weight(table.never, before)
            elif line[: hit.start].rstrip().endswith(("<", '"')):
                score += 10
            if weight < 80 and _is_wrapped(lines, number):
                score -= 60
            key = hit.address.lower()
            score += _standing(key, own, expected)
            one = found.setdefault(key, Found(hit.address))
            one.score = max(one.score, score)
            if score >= LIKELY or key in expected:
                if len(one.lines) < PLACES:
                    one.lines.append(number)
                last = one
    return found


def _weight(rows: Weighed, text: str) -> int:
    for pattern, weight in rows:
        if pattern.search(text):
            return weight
    return 0


def _heading(table: Table, lines: list[str], number: int, weights: dict[int, int]) -> int:
    """The points of the nearest heading among the six lines with words above this one."""
    seen = 0
    for above in range(number - 1, max(-1, number - 21), -1):
        if not lines[above].strip():
            continue
        if above not in weights:
            weights[above] = _weight(table.heading, lines[above][:300].lower())
        seen += 1
        if weights[above] or seen > 6:
            return weights[above]
    return 0


def _standing(key: str, own: frozenset[str], expected: frozenset[str]) -> int:
    """Points of an address for what is known of it: who the original went to, who sent it, who keeps the server."""
    if key in expected:
        return 15 - (60 if key in own else 0)
    desk = 60 if _ROLE_ACCOUNT.match(key) else DESK if _DESK_ACCOUNT.match(key) else 0
    return -(60 if key in own else 0) - desk


def _is_wrapped(lines: list[str], number: int) -> bool:
    """Whether a line goes on from the one above it: deeper, without an empty line or a colon between."""
    above = lines[number - 1] if number else ""
    if not above.strip() or above.rstrip().endswith((":", "-", "=", "*")):
        return False
    depth = _depth(lines[number])
    for line in reversed(lines[max(0, number - 12) : number]):
        if not line.strip():
            return False
        if _depth(line) < depth:
            return "@" in line
    return False


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _cut_blocks(lines: list[str], chosen: list[Found]) -> None:
    """Give each recipient the lines from its address to the next recipient's, the best of its places first."""
    marks = sorted((number, index) for index, one in enumerate(chosen) for number in one.lines)
    texts: list[list[str]] = [[] for _ in chosen]
    ends = [_paragraph_above(lines, one) for one in chosen]
    if len(chosen) > 1 and all(ends):
        for one, text in zip(chosen, ends, strict=True):
            one.text = text
        return
    for place, (number, index) in enumerate(marks):
        later = next((at for at, other in marks[place + 1 : place + 50] if other != index and at > number), len(lines))
        texts[index].append("\n".join(_block(lines, number, min(later, number + 60))))
    for one, blocks in zip(chosen, texts, strict=True):
        blocks.sort(key=lambda block: -_worth(block))
        one.text = blocks[0][:4000] if blocks else ""


def _paragraph_above(lines: list[str], one: Found) -> str:
    """The paragraph that an address alone on its line ends, as some write the reason above it; "" when it ends none."""
    for number in one.lines[:1]:
        alone = lines[number].strip(_TRIM_BEFORE + _TRIM_AFTER) == one.address
        last = number + 1 == len(lines) or not lines[number + 1].strip()
        above = lines[number - 1].strip() if number else ""
        if alone and last and above and "@" not in above and not above.endswith(":"):
            start = next((at for at in range(number, max(0, number - 12), -1) if not lines[at - 1].strip()), number)
            return "\n".join(lines[start : number + 1])[:4000]
    return ""


def _block(lines: list[str], start: int, end: int) -> list[str]:
    kept: list[str] = []
    empty = 0
    for line in lines[start:end]:
        empty = empty + 1 if not line.strip() else 0
        if (empty > 2 and len(kept) > 4) or (kept and _SECTION.match(line)):
            break
        kept.append(line)
    return kept


def _worth(block: str) -> int:
    code, status = find_codes(block[:4000])
    return 2 * bool(code) + 2 * bool(status) + bool(len(block) > 80)
