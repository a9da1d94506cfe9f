"""Finds reply codes (RFC 5321 §4.2) and status codes (RFC 3463) in a remote's words.

Called by `mail.dsn.fields` and `mail.dsn.shapes`. Promises: what it returns stands in the text; it never makes a status
from a reply code or from words. Numbers that only look like codes (parts of addresses, versions, ports, sizes) are not.
"""

import re

# 550 5.1.1, 550-5.1.1, 550 #5.1.1, "550 [5.1.1]": both at once, the surest form.
_BOTH = re.compile(r"(?<![\w.])([45]\d\d)[\s:;,#<(\['-]{1,24}([45]\.\d{1,3}\.\d{1,3})(?![\w.]\d)(?!\.\d)")
_PLAIN = re.compile(r"(?<![\w.])([245]\d\d)[ -]([245]\.\d{1,3}\.\d{1,3})(?![\w.]\d)")
_RELAYED = re.compile(r"<([45]\d\d) ([45]\.\d{1,3}\.\d{1,3})\b")
_STATUS = re.compile(r"(?<![\w./-])(?<!\d:)([245]\.\d{1,3}\.\d{1,3})(?![\w]|\.\d)")
_CODE = r"([45][0-57]\d)(?![\d.]\d|\w|:\d|%|/\d)"
# Where a reply code may stand, surest first. `554 <a@b>... 550 Host unknown` quotes the remote's; without one there the
# code before the address is the answer.
_CODES = [
    re.compile(r"\.\.\.\s" + _CODE + r"(?=[\s-])"),
    re.compile(
        r"(?:^|\n)[ \t]{0,8}" + _CODE + r"[ -](?:\d\.\d\.\d )?<?[^\s<>]{1,64}@[^\s<>]{1,255}>?\.\.\. (?!\d{3}\b)"
    ),
    re.compile(
        (
            r"(?:<<<|said:|says:|responded(?: with)?:?|replied:?|returned:?|response(?: was)?:?|smtp;"
            r"|status:)[\s\"'(<]{0,4}"
        )
        + _CODE
    ),
    re.compile(
        (
            r"(?<![a-z])(?:smtp|error|responsecode|reply|status|return|server|code|reason|failure|failed"
            r"|rejected)[\s\w]{0,20}?[\s:=;(\"#'-]{1,4}"
        )
        + _CODE
    ),
    re.compile(r"(?:^|\n)[\s>#*(\"'\[-]{0,20}" + _CODE + r"(?=[\s;:,#\"')\]-])"),
    re.compile(r"[:;(\[\"'#>=][\s\"'(<]{0,3}" + _CODE + r"(?=[\s;:,#\"')\]-])"),
    re.compile(r"\s(55[0-4]|45[0-2]|421|521|56\d|57[01])(?=[\s-][a-z<\"'#\[(*]|\s*$)"),
]


def find_codes(text: str) -> tuple[int, str]:
    """(reply code or 0, status code or "") of the first answer in `text` that has them."""
    both = find_pair(text)
    if both and not both[1].endswith(".0.0"):
        return both
    if both:  # "554 5.0.0" says nothing: an answer that stands before it says more
        return find_code(text, both[1][0]) or both[0], both[1]
    status = find_status(text)
    return find_code(text, status[:1]), status


def find_pair(text: str) -> tuple[int, str] | None:
    """Reply code and status that stand together; of `554 4.4.7 expired <421 4.4.2 …>` those of the relayed answer."""
    both = _BOTH.search(text)
    if both and both[2].endswith(".4.7"):
        both = _RELAYED.search(text, both.end()) or both
    return (int(both[1]), both[2]) if both and both[1][0] == both[2][0] else None


def has_answer(text: str) -> bool:
    """Whether the text holds an answer in the form of RFC 2034, `550 5.1.1 …`, whose status is the remote's own."""
    return bool(_PLAIN.search(text))


def find_status(text: str) -> str:
    """The first RFC 3463 status code in `text`, preferring one that says more than x.0.0; "" when there is none."""
    best = ""
    for count, match in enumerate(_STATUS.finditer(text)):
        if not best or (best.endswith(".0.0") and match[1][0] == best[0]):
            best = match[1]
        if not best.endswith(".0.0") or count > 50:
            break
    return best


def find_code(text: str, lead: str = "") -> int:
    """The first SMTP reply code in `text`, one of the class `lead` when that is given and there is one; else 0."""
    other = 0
    text = text.lower()
    for pattern in _CODES:
        for count, match in enumerate(pattern.finditer(text)):
            if not lead or match[1][0] == lead:
                return int(match[1])
            other = other or int(match[1])
            if count > 50:
                break
    return other
