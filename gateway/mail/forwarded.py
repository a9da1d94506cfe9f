"""A report that a person passed on, as an attachment or inline: whose mail it is then, and the report itself.

Called by `mail.received` for mail that is not a report by itself. Promises never to raise, and time linear in the mail.
It refuses to take a person's answer that quotes a report for the report.
"""

import re

from gateway.mail.classify import Kind, classify
from gateway.mail.dsn.parts import Mail, read_parts
from gateway.mail.dsn.read import read_report
from gateway.mail.dsn.report import Report
from gateway.mail.dsn.scope import notice_text, scope_of, unquote

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
