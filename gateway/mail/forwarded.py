"""A report that a person passed on, as an attachment or inline: whose mail it is then, and the report itself.

Called by `mail.received` for mail that is not a report by itself. Promises never to raise, and time linear in the mail.
It refuses to take a person's answer that quotes a report for the report.
"""

import re

from gateway.mail.classify import Kind, classify
from gateway.mail.dsn.parts import Mail, Part, read_parts
from gateway.mail.dsn.read import read_report
from gateway.mail.dsn.report import Report
from gateway.mail.dsn.scope import notice_text, scope_of, unquote

_FORWARD_SUBJECT = re.compile(
    r"^\s*(?:fw|fwd|wg|tr|rv|i|pd|vl|vb|vs|vid|ilt|ynt|tov|enc|rif|пересл|перес|пд|fwd?\[\d\]"
    r"|redir(?:ec[țt]ionat)?|redirectionat|doorst|πρθ|转发|轉寄|転送|전달)\s?[:：]",
    re.I,
)
_ANSWER_SUBJECT = re.compile(r"^\s*(?:re|aw|antw|sv|odp|отв|ответ|răsp|rasp)(?:\[\d+\])?\s?:", re.I)

# The names that mail programs give the fields of a mail that they forward.
_NAMED = {
    "From": (
        "from|от|от кого|від|de la|de|von|expéditeur|remitente|da|mittente|van|od|från|fra|lähettäjä|feladó|gönderen"
        "|kimden|από|差出人|发件人|寄件者|보낸 사람"
    ),
    "To": (
        "to|кому|către|catre|an|à|para|destinatario|a|aan|do|komu|till|til|vastaanottaja|címzett|kime|προς|宛先|收件人"
        "|받는 사람"
    ),
    "Subject": (
        "subject|тема|subiect|betreff|objet|asunto|assunto|oggetto|onderwerp|temat|předmět|ämne|emne|aihe|tárgy"
        "|konu|θέμα|件名|主题|主旨|제목"
    ),
    "Date": (
        "date|sent|дата|отправлено|надіслано|data|dată|trimis|gesendet|datum|envoyé|enviado|enviado el"
        "|enviada em|inviato|verzonden|wysłano|odesláno|skickat|sendt|lähetetty|elküldve|tarih|gönderilme|στάλθηκε"
        "|日時|送信日時|发送时间|日期|보낸 날짜"
    ),
    "Cc": "cc|копия|копія|kopie|copie",
    "Reply-To": "reply-to",
    "Message-ID": "message-id",
    "Return-Path": "return-path",
}
_FIELD_NAMES = {word: field for field, words in _NAMED.items() for word in words.split("|")}
_FIELD_LINE = rf"[ \t*>]{{0,10}}(?:{'|'.join(sorted(_FIELD_NAMES, key=len, reverse=True))})[ \t*\u00a0]{{0,3}}[:：]"
_FORWARD_HEAD = re.compile(rf"(?:^|\n){_FIELD_LINE}[^\n]{{1,300}}\n{_FIELD_LINE}", re.I)
# 16.11.2026, 09:00, "Mail Delivery System" <mailer-daemon@example.org>:
_ATTRIBUTION = re.compile(r"(?:^|\n)[^\n<>@]{0,160}<([^\s<>@]{1,64}@[^\s<>@]{1,255})>:[ \t]*\n")
_FILE_TYPES = ("application/octet-stream", "application/eml", "application/x-eml", "message/x-eml", "text/plain")


def forwarded_report(mail: Mail) -> tuple[Report | None, tuple[str, ...]]:
    """The report that a person passed on, as an attachment or inline, and why it is one; (None, ()) when there is none.

    A person's answer that quotes a report is the person's: only a subject of forwarding, or a mail without words of its
    own, passes a report on.
    """
    for index, part in enumerate(mail.parts[:50]):
        if part.inside == -1 and (part.kind == "message/rfc822" or _is_mail_file(part)):
            kind, why = classify_enclosed(mail, index)
            if kind is Kind.BOUNCE:
                return read_enclosed(mail, index), ("a report is attached", *why)
    top = mail.top
    if not _FORWARD_SUBJECT.search(top.first("subject")[:200]) or _ANSWER_SUBJECT.search(top.first("subject")[:200]):
        return None, ()
    inner = _inline_mail(notice_text(mail, scope_of(mail, -1), 200_000), top.first("subject")[:300])
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


def _is_mail_file(part: Part) -> bool:
    """Whether an attachment is a mail that was saved as a file."""
    if part.kind not in _FILE_TYPES or part.parent < 0:
        return False
    named = " ".join(part.fields.get("content-disposition", [])[:1] + part.fields.get("content-type", [])[:1])
    return part.kind.endswith("eml") or ".eml" in named[:2000].lower()


def _inline_mail(text: str, subject: str) -> Mail | None:
    """The mail whose header stands in the words of another, as clients write it when they forward."""
    text = unquote(text)
    match = _FORWARD_HEAD.search(text)
    told = _ATTRIBUTION.search(text[: match.start() if match else 20_000])
    if match and not told:
        lines = text[match.start() :].lstrip("\n").split("\n")
        head, body_at = _read_head(lines)
    elif told:
        head, body_at, lines = [f"From: {told[1]}"], 0, text[told.end() :].split("\n")
    else:
        return None
    if not any(line.startswith("Subject:") for line in head):
        head.append("Subject: " + _FORWARD_SUBJECT.sub("", subject).strip())
    if len(head) < 2:
        return None
    source = "\n".join([*head, "", *lines[body_at:]])
    return read_parts(source.encode("utf-8", "replace"))


def _read_head(lines: list[str]) -> tuple[list[str], int]:
    """(the fields under their English names, the line where the body begins)."""
    head: list[str] = []
    for number, line in enumerate(lines[:40]):
        name, colon, value = line.strip(" \t*>").replace("：", ":").partition(":")
        field = _FIELD_NAMES.get(name.strip(" *\u00a0").lower())
        if colon and field:
            head.append(f"{field}: {value.strip(' *')}")
        elif head and not line.strip():
            return head, number
        elif head and line.strip():
            head[-1] += " " + line.strip()
    return head, 0
