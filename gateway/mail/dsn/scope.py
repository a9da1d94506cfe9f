"""The parts of one message sorted into what matters for a report, and its words for people.

Called by `mail.dsn.read`, `mail.dsn.feedback` and `mail.classify`. Never raises; looks at 200,000 characters of words.
"""

import re
from dataclasses import dataclass, field

from gateway.mail.dsn.decode import decode_text, strip_html
from gateway.mail.dsn.parts import MESSAGE_TYPES, Mail, Part
from gateway.mail.dsn.shapes import split_notice

STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
NOTIFICATION_TYPES = ("message/disposition-notification", "message/global-disposition-notification")
_HEADER_TYPES = ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers", "text/rfc822-header")


@dataclass(slots=True)
class Scope:
    """One message, the mail itself or one enclosed in it, sorted into what matters for a report."""

    top: Part
    prose: list[Part] = field(default_factory=list)
    html: list[Part] = field(default_factory=list)
    status: list[Part] = field(default_factory=list)
    returned: list[Part] = field(default_factory=list)


def scope_of(mail: Mail, inside: int) -> Scope:
    """The parts of the message that part `inside` encloses (-1: of the mail itself)."""
    scope = Scope(next((part for part in mail.parts if part.message and part.inside == inside), mail.top))
    for part in mail.parts:
        if part.inside != inside:
            continue
        if part.kind in STATUS_TYPES or part.kind in NOTIFICATION_TYPES:
            scope.status.append(part)
        elif part.kind in _HEADER_TYPES or part.kind in MESSAGE_TYPES:
            scope.returned.append(part)
        elif part.kind == "text/html":
            scope.html.append(part)
        elif part.kind.startswith("text/") or (
            part is scope.top and not part.kind.startswith(("multipart/", "image/", "audio/", "video/"))
        ):
            scope.prose.append(part)
    return scope


def notice_text(mail: Mail, scope: Scope, limit: int = 200_000) -> str:
    """The words of a message for people: its text parts, else its HTML; else what stands before the first part."""
    texts = [mail.text(part, limit) for part in scope.prose[:5]]
    text = "\n".join(texts).strip("\n")
    if len(text.strip()) < 20 and scope.html:
        text = "\n".join([text, *(strip_html(mail.text(part, limit)) for part in scope.html[:3])])
    if not text.strip() and scope.top.kind.startswith("multipart/"):
        text = decode_text(mail.data[scope.top.start : min(scope.top.end, scope.top.start + limit)], "")
    if text.lstrip()[:1] == "<" and re.search(r"<(?:html|body|head|!doctype|p|div|table)\b", text[:2000], re.I):
        text = strip_html(text)
    return unquote(text)


def unquote(text: str) -> str:
    """Take off a `>` that stands before nearly every line (a report forwarded inline)."""
    if text.count(">") < 5:
        return text
    lines = text.split("\n")
    full = [line for line in lines if line.strip()]
    quoted = [line for line in full if line.lstrip().startswith(">") and not line.lstrip().startswith(">>> ")]
    if len(quoted) < 5 or len(quoted) * 2 < len(full):
        return text
    return "\n".join(re.sub(r"^[ \t]?(?:> ?){1,5}", "", line) for line in lines)


def split_words(mail: Mail, inside: int) -> tuple[str, str]:
    """(the notice, the returned mail in the same text) of a message; read once."""
    known = mail.words.get(inside)
    if known is None:
        known = mail.words[inside] = split_notice(notice_text(mail, scope_of(mail, inside)))
    return known
