"""What a received mail is: a person's, a bounce, an automatic answer, a complaint, a receipt, a list's.

Called by `mail.received` and the batch command. First what a mail states by itself (RFC 3464, 5965, 8098, 3834), then
evidence with weights from `kinds.toml`. Promises never to raise, time linear in the mail, and reasons in words for what
it says. It refuses to call a mail a bounce on words alone: structure or a mail system as the author must agree.
"""

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from gateway.mail.dsn.decode import decode_words
from gateway.mail.dsn.notifications import find_notification
from gateway.mail.dsn.parts import Mail, Part
from gateway.mail.dsn.scope import NOTIFICATION_TYPES, STATUS_TYPES, Scope, notice_text, scope_of, split_words
from gateway.mail.dsn.shapes import compile_words

TEXT_LIMIT = 3000
ENCLOSED = 2  # points of a returned mail that is enclosed
LEFT = "somebody works there no longer"  # the `says` of kinds.toml for those who left
_PERSONAL = ("in-reply-to", "references", "user-agent")
_OF_LISTS = ("list-id", "list-post", "x-beenthere", "mailing-list")
_QUOTED = re.compile(r"\n[ \t]{0,4}(?:>|-{2,10} ?(?:original|forwarded|исходн|mesaj|ursprüng)|on [^\n]{4,200} wrote:)")
_REJECTED = re.compile(
    r"(?:your|this|the) (?:message|mail|e-?mail)[^\n]{0,200}(?:was|has been|is)[^\n]{0,30}(?:reject|refus)"
)


class Kind(StrEnum):
    """What a mail is."""

    PERSON = "person"
    BOUNCE = "bounce"
    DELAY = "delay"
    SUCCESS = "success"
    AUTO_REPLY = "auto_reply"
    FEEDBACK = "feedback"
    READ_RECEIPT = "read_receipt"
    CHALLENGE = "challenge"
    LIST = "list"
    AUTOMATIC = "automatic"


_NOTIFICATIONS = {
    "bounce": Kind.BOUNCE,
    "deliverydelay": Kind.BOUNCE,
    "delivery": Kind.BOUNCE,
    "complaint": Kind.FEEDBACK,
}
REPORTS = frozenset({Kind.BOUNCE, Kind.DELAY, Kind.SUCCESS})


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row of the table."""

    kind: Kind
    where: str
    role: str
    weight: int
    says: str
    pattern: re.Pattern[str]


@cache
def read_evidence() -> tuple[tuple[Evidence, ...], dict[Kind, int]]:
    """The table as it is installed with the package, and the least weight of each kind."""
    data = tomllib.loads(files("gateway.mail").joinpath("kinds.toml").read_text("utf-8"))
    rows = tuple(
        Evidence(
            Kind(row["kind"]),
            row["where"],
            row["role"],
            row["weight"],
            row["says"],
            compile_words(row["pattern"])
            if row["where"] in ("text", "own", "subject") and row["pattern"][:1] != "^"
            else re.compile(row["pattern"]),
        )
        for row in data["evidence"]
    )
    return rows, {Kind(name): least for name, least in data["least"].items()}


def classify(mail: Mail, inside: int = -1) -> tuple[Kind, tuple[str, ...]]:
    """(kind, why) of a mail, or of the message that part `inside` encloses.

    BOUNCE stands for delay and success too where only the report itself tells them apart (`mail.received` does).
    """
    scope = scope_of(mail, inside)
    stated = _stated(mail, scope, inside)
    if stated:
        return stated
    notice, tail = split_words(mail, inside)
    totals, why = _weigh(scope.top, notice)
    if scope.returned or tail:
        totals[Kind.BOUNCE] = totals.get(Kind.BOUNCE, 0) + ENCLOSED
        totals[Kind.FEEDBACK] = totals.get(Kind.FEEDBACK, 0) + ENCLOSED
        why.setdefault(Kind.BOUNCE, []).append("a returned mail is enclosed")
    if Kind.BOUNCE in totals and not _allowed(scope, notice, tail, why):
        totals[Kind.BOUNCE] = 0
    return _decide(totals, why)


def _decide(totals: dict[Kind, int], why: dict[Kind, list[str]]) -> tuple[Kind, tuple[str, ...]]:
    _, least = read_evidence()
    reached = [kind for kind, total in totals.items() if kind in least and total >= least[kind]]
    strong = [kind for kind in reached if kind not in (Kind.LIST, Kind.AUTOMATIC)]
    if strong:
        best = max(strong, key=lambda kind: totals[kind] - least[kind])
        return best, tuple(why.get(best, ()))
    for kind in (Kind.LIST, Kind.AUTOMATIC):
        if kind in reached:
            return kind, tuple(why.get(kind, ()))
    return Kind.PERSON, ("nothing says that a machine wrote it",)


def _stated(mail: Mail, scope: Scope, inside: int) -> tuple[Kind, tuple[str, ...]] | None:
    """What the mail says of itself by its structure."""
    kinds = {part.kind for part in mail.parts if part.inside == inside}
    report_type = scope.top.params.get("report-type", "").lower()
    if "message/feedback-report" in kinds or report_type == "feedback-report":
        return Kind.FEEDBACK, ("it holds a feedback report (RFC 5965)",)
    if kinds & set(NOTIFICATION_TYPES):
        notice = split_words(mail, inside)[0][:1000].lower()
        if _REJECTED.search(notice) or "rejected" in _value(scope.top, "auto-submitted"):
            return Kind.BOUNCE, ("it holds a disposition notification that rejects the mail (RFC 5429 §2.2)",)
        return Kind.READ_RECEIPT, ("it holds a disposition notification (RFC 8098)",)
    if kinds & set(STATUS_TYPES):
        return Kind.BOUNCE, ("it holds a delivery status (RFC 3464)",)
    if report_type == "disposition-notification":
        return Kind.READ_RECEIPT, ("its type is a disposition notification (RFC 8098)",)
    if report_type == "tlsrpt" or "application/tlsrpt+gzip" in kinds:
        return Kind.FEEDBACK, ("it is a TLS report (RFC 8460)",)
    if report_type == "delivery-status":
        return Kind.BOUNCE, ("its type is a delivery status (RFC 3464)",)
    notification = (
        find_notification(notice_text(mail, scope)) if scope.top.kind in ("text/plain", "application/json") else None
    )
    if notification:
        return _NOTIFICATIONS[notification.type], ("it is a sending service's notification",)
    return None


def _weigh(top: Part, notice: str) -> tuple[dict[Kind, int], dict[Kind, list[str]]]:
    text = notice[:TEXT_LIMIT].lower()
    quoted = _QUOTED.search(text)
    values = {
        "subject": top.first("subject")[:300].lower(),
        "text": text,
        "own": text[: quoted.start()] if quoted else text,
        "from": _value(top, "from"),
        "return_path": _value(top, "return-path"),
    }
    best: dict[tuple[Kind, str], Evidence] = {}
    of_header, of_words = _rows()
    for row in of_header:
        name = row.where.removeprefix("header:")
        if name is row.where or name in top.fields:
            _keep(best, row, values[name] if name is row.where else _value(top, name))
    for kind, rows in of_words.items():
        total = sum(row.weight for row in best.values() if row.kind is kind)
        if kind is Kind.BOUNCE and not any(row.kind is kind for row in best.values()):
            continue  # `_allowed` refuses it on words alone
        for place, row in enumerate(rows):
            more = ENCLOSED if kind in (Kind.BOUNCE, Kind.FEEDBACK) else 0
            if total + more + sum(later.weight for later in rows[place:] if later.weight > 0) < _least(kind):
                break
            total += max(_keep(best, row, values[row.where]), 0)
    totals: dict[Kind, int] = {}
    why: dict[Kind, list[str]] = {}
    for row in best.values():
        totals[row.kind] = totals.get(row.kind, 0) + row.weight
        why.setdefault(row.kind, []).append(row.says)
    return totals, why


def _keep(best: dict[tuple[Kind, str], Evidence], row: Evidence, text: str) -> int:
    """The weight of a row that speaks of the text, else 0; of those of one role the heaviest is kept."""
    if not row.pattern.search(text):
        return 0
    known = best.get((row.kind, row.role))
    if known is None or abs(row.weight) > abs(known.weight):
        best[row.kind, row.role] = row
    return row.weight


@cache
def _rows() -> tuple[tuple[Evidence, ...], dict[Kind, tuple[Evidence, ...]]]:
    """Rows over short fields, and those over the words by kind: the costly ones, tried while they can still decide.

    The heaviest come first, and among them those that are tried at one place only.
    """
    rows, _ = read_evidence()
    words: dict[Kind, list[Evidence]] = {}
    for row in rows:
        if row.where in ("text", "own"):
            words.setdefault(row.kind, []).append(row)
    cheap = {
        kind: tuple(sorted(some, key=lambda row: (row.pattern.pattern[:1] != "^", -row.weight)))
        for kind, some in words.items()
    }
    return tuple(row for row in rows if row.where not in ("text", "own")), cheap


def _least(kind: Kind) -> int:
    return read_evidence()[1].get(kind, 0)


def _value(top: Part, name: str) -> str:
    found = top.fields.get(name)
    return decode_words(found[0][:1000]).lower() if found else ""


def _allowed(scope: Scope, notice: str, tail: str, why: dict[Kind, list[str]]) -> bool:
    """Whether the evidence may make a bounce: words need a mail system behind them, or the returned mail."""
    said = why.get(Kind.BOUNCE, [])
    if {"the subject is a list's refusal", "a list refuses the mail"} <= set(said):
        return True
    if {"the subject may be a list's refusal", "a list's program wrote it"} <= set(said):
        return bool(tail or scope.returned) or "a list may refuse the mail" in said
    if "the author is a mail system" in said or "X-Failed-Recipients names who did not get it" in said:
        return True
    if "the return path is empty" in said:
        told = {"the words are a bounce's", "an SMTP answer is quoted"} <= set(said) or bool(tail or scope.returned)
        return "the subject is a bounce's" in said or ("the author may be a mail system" in said and told)
    # Whoever pastes a report into a question answers somebody, has a mail program, or asks a list.
    maybe = "the author may be a mail system" in said  # a postmaster writes to people too
    asked = any(name in scope.top.fields for name in (*_PERSONAL, *(() if maybe or scope.returned else _OF_LISTS)))
    asked = asked or "the subject is an answer's" in said  # `mail.forwarded` reads what a person passes on
    proof = bool(tail or scope.returned)
    if maybe:
        proof = proof or "an SMTP answer is quoted" in said or "the words are a bounce's" in said
    return "the subject is a bounce's" in said and proof and not asked
