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
from gateway.mail.dsn.parts import Mail, Part, read_parts
from gateway.mail.dsn.read import read_report
from gateway.mail.dsn.report import Report
from gateway.mail.dsn.scope import NOTIFICATION_TYPES, STATUS_TYPES, Scope, notice_text, scope_of, split_words, unquote
from gateway.mail.dsn.shapes import compile_words

TEXT_LIMIT = 3000
_REJECTED = re.compile(
    r"(?:your|this|the) (?:message|mail|e-?mail)[^\n]{0,200}(?:was|has been|is)[^\n]{0,30}(?:reject|refus)"
)
_FORWARD_SUBJECT = re.compile(
    r"^\s*(?:fw|fwd|wg|tr|rv|i|пересл|перес|fwd?\[\d\]|redir(?:ec[țt]ionat)?|redirectionat)\s?:", re.I
)
_ANSWER_SUBJECT = re.compile(r"^\s*(?:re|aw|antw|sv|odp|отв|ответ|răsp|rasp)(?:\[\d+\])?\s?:", re.I)

_FORWARD_NAMES = {
    "from": "From",
    "от": "From",
    "от кого": "From",
    "de la": "From",
    "de": "From",
    "von": "From",
    "expéditeur": "From",
    "to": "To",
    "кому": "To",
    "către": "To",
    "catre": "To",
    "an": "To",
    "à": "To",
    "para": "To",
    "subject": "Subject",
    "тема": "Subject",
    "subiect": "Subject",
    "betreff": "Subject",
    "objet": "Subject",
    "asunto": "Subject",
    "date": "Date",
    "sent": "Date",
    "дата": "Date",
    "отправлено": "Date",
    "data": "Date",
    "trimis": "Date",
    "gesendet": "Date",
    "datum": "Date",
    "envoyé": "Date",
    "cc": "Cc",
    "копия": "Cc",
    "message-id": "Message-ID",
    "return-path": "Return-Path",
}
_FORWARD_HEAD = re.compile(
    (
        r"(?:^|\n)[ \t*>]{0,10}(?:from|от|от кого|de la|von|de|subject|тема|subiect|betreff|date|дата"
        r"|sent)[ \t*]{0,3}:[^\n]{1,300}\n[ \t*>]{0,10}(?:from|от|от кого|de la|von|to|кому|către"
        r"|catre|subject|тема|subiect|betreff|date|дата|sent|отправлено|trimis|gesendet|data"
        r"|reply-to)[ \t*]{0,3}:"
    ),
    re.I,
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
            if row["where"] in ("text", "subject") and row["pattern"][:1] != "^"
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
        totals[Kind.BOUNCE] = totals.get(Kind.BOUNCE, 0) + 2
        totals[Kind.FEEDBACK] = totals.get(Kind.FEEDBACK, 0) + 2
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
    values = {
        "subject": top.first("subject")[:300].lower(),
        "text": notice[:TEXT_LIMIT].lower(),
        "from": _value(top, "from"),
        "return_path": _value(top, "return-path"),
    }
    best: dict[tuple[Kind, str], Evidence] = {}
    for row in read_evidence()[0]:
        if row.where.startswith("header:"):
            name = row.where[7:]
            if name not in top.fields or not row.pattern.search(_value(top, name)):
                continue
        elif not row.pattern.search(values[row.where]):
            continue
        known = best.get((row.kind, row.role))
        if known is None or abs(row.weight) > abs(known.weight):
            best[row.kind, row.role] = row
    totals: dict[Kind, int] = {}
    why: dict[Kind, list[str]] = {}
    for row in best.values():
        totals[row.kind] = totals.get(row.kind, 0) + row.weight
        why.setdefault(row.kind, []).append(row.says)
    return totals, why


def _value(top: Part, name: str) -> str:
    found = top.fields.get(name)
    return decode_words(found[0][:1000]).lower() if found else ""


def _allowed(scope: Scope, notice: str, tail: str, why: dict[Kind, list[str]]) -> bool:
    """Whether the evidence may make a bounce: words need a mail system behind them, or the returned mail."""
    said = why.get(Kind.BOUNCE, [])
    if {"the subject is a list's refusal", "a list refuses the mail"} <= set(said):
        return True
    system = "the author is a mail system" in said or "X-Failed-Recipients names who did not get it" in said
    return system or (
        "the subject is a bounce's" in said
        and (bool(tail) or bool(scope.returned) or "the return path is empty" in said)
    )


def forwarded_report(mail: Mail) -> tuple[Report | None, tuple[str, ...]]:
    """The report that a person passed on, as an attachment or inline, and why it is one; (None, ()) when there is none.

    A person's answer that quotes a report is the person's: only a subject of forwarding, or a mail without words of its
    own, passes a report on.
    """
    for index, part in enumerate(mail.parts[:50]):
        if part.inside == -1 and part.kind == "message/rfc822":
            kind, why = classify_enclosed(mail, index)
            if kind is Kind.BOUNCE:
                return read_enclosed(mail, index), ("a report is attached", *why)
    top = mail.top
    if not _FORWARD_SUBJECT.search(top.first("subject")[:200]) or _ANSWER_SUBJECT.search(top.first("subject")[:200]):
        return None, ()
    inner = _inline_mail(notice_text(mail, scope_of(mail, -1), 200_000))
    if inner is None:
        return None, ()
    kind, why = classify(inner)
    if kind is not Kind.BOUNCE:
        return None, ()
    return read_report(inner), ("a report is forwarded inline", *why)


def classify_enclosed(mail: Mail, index: int) -> tuple[Kind, tuple[str, ...]]:
    """The kind of the message that part `index` encloses."""
    inner = enclosed_mail(mail, index)
    return classify(inner) if inner is not None else (Kind.PERSON, ())


def read_enclosed(mail: Mail, index: int) -> Report | None:
    """The report that part `index` encloses."""
    inner = enclosed_mail(mail, index)
    return read_report(inner) if inner is not None else None


def enclosed_mail(mail: Mail, index: int) -> Mail | None:
    """The message that part `index` encloses, cut anew (its encoding undone)."""
    part = mail.parts[index]
    body = mail.body(part)
    return read_parts(body) if body.strip() else None


def _inline_mail(text: str) -> Mail | None:
    """The mail whose header stands in the words of another, as clients write it when they forward."""
    text = unquote(text)
    match = _FORWARD_HEAD.search(text)
    if not match:
        return None
    head: list[str] = []
    lines = text[match.start() :].lstrip("\n").split("\n")
    body_at = 0
    for number, line in enumerate(lines[:40]):
        name, colon, value = line.strip(" \t*>").partition(":")
        field = _FORWARD_NAMES.get(name.strip(" *").lower())
        if colon and field:
            head.append(f"{field}: {value.strip(' *')}")
        elif head and not line.strip():
            body_at = number
            break
        elif head and line.strip():
            head[-1] += " " + line.strip()
    if len(head) < 2:
        return None
    source = "\n".join([*head, "", *lines[body_at:]])
    return read_parts(source.encode("utf-8", "replace"))
