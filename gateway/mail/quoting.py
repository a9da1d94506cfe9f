"""The new words of a reply, apart from what it quotes and from its signature; nothing is lost, only folded.

Called by `mail.received`, shown by the inbox. Knows how Gmail, Outlook, Apple Mail, Thunderbird, mail.ru, Yandex,
Roundcube and phones introduce a quote in Romanian, Russian, English and the common others. Answers written between
quoted lines stay in place, with the quote around them. Promises: `text` and `quoted` together hold every line; time
linear; never raises.
"""

import re
from dataclasses import dataclass


def _any(words: str) -> str:
    """An alternation of the phrases in `words`, which are parted by commas."""
    return "(?:" + "|".join(phrase.strip() for phrase in words.split(",")) + ")"


# The word "wrote" at the end of an attribution, before the colon.
_WROTE = _any(
    r"""wrote, writes, a scris, scrie, написал(?:\(?а\)?)?, пишет, писал(?:\(?а\)?)?, написав, пише, schrieb, a écrit,
    escribió, ha scritto, escreveu, schreef, napisał(?:\(?a\)?)?, skrev"""
)
_ON = _any("on, în, in data de, pe data de, la data de, am, le, el, il, em, op, dnia")
_DATE = (
    r"(?:\S{1,20},?\s){0,2}\d{1,2}[ ./-](?:\d{1,2}|[^\W\d]{3,10}\.?)[ ./-]\d{2,4}(?:\s?(?:г\.?|года))?,?\s"
    r"(?:(?:в|la|at|ora|um|à)\s)?\d{1,2}:\d\d(?::\d\d)?"
)
_ATTRIBUTION = re.compile(
    rf"^[\s>*_]{{0,10}}(?:"
    rf"(?:[^\n]{{0,400}}\S\s)?{_WROTE}(?:\s*<?[^\s<>]{{1,200}}@[^\s<>]{{1,200}}>?)?\s?:[\s*_]{{0,5}}|"
    rf"{_ON}\s[^\n]{{5,300}}\d[^\n]{{0,300}}{_WROTE}[^\n]{{0,200}}:\s{{0,5}}|"
    # mail.ru, Yandex, Gmail in Russian: a date and a name and nothing else: `12.05.2026, 10:15, "Ion" <a@b>:`
    rf"{_DATE}[^\n]{{0,200}}[@<][^\n]{{0,200}}:\s{{0,5}}"
    r")$",
    re.I,
)
_ORIGINAL = _any(
    """original message, original appointment, forwarded message, begin forwarded message, reply message,
    mesaj original, mesajul original, mesajul inițial, mesaj redirecționat, mesaj redirectionat, mesaj transmis,
    исходное сообщение, исходное письмо, оригинальное сообщение, пересылаемое сообщение, пересланное сообщение,
    конец пересылаемого сообщения, ursprüngliche nachricht, weitergeleitete nachricht, message d'origine,
    message transféré, mensaje original, messaggio originale, mensagem original"""
)
_BEGIN = _any("begin forwarded message, начало переадресованного сообщения, început mesaj redirecționat")
_SEPARATOR = re.compile(
    rf"^[\s>*_]{{0,10}}[-–—_]{{2,30}}\s?{_ORIGINAL}\s?[-–—_]{{0,30}}\s*$|^\s{{0,3}}{_BEGIN}\s?:\s*$", re.I
)
_RULE = re.compile(r"^\s{0,3}[_–—-]{10,80}\s*$")
_HEAD_NAMES = _any(
    """from, sent, to, cc, subject, date, от, от кого, отправлено, дата, кому, копия, тема, de la, de, trimis, data,
    către, catre, la, subiect, von, gesendet, an, betreff, datum, expéditeur, envoyé, à, objet, enviado, para, asunto,
    da, inviato, a, oggetto"""
)
_HEAD_FIELD = re.compile(rf"^[\s>*_]{{0,10}}({_HEAD_NAMES})\s?\*{{0,2}}\s?:\*{{0,2}}\s?\S", re.I)
_MARKS = frozenset(">*_-–—")
_SIGNATURE = re.compile(r"^(?:--|—|– ?|-- )\s?$")
_SENT_FROM = _any(
    """sent (?:from|with|via|by) (?:my |the )?, get outlook for, trimis (?:de pe|din|cu|prin|via|de la),
    obțineți outlook pentru, descărcați outlook pentru, отправлено (?:с|из|от|через), послано с,
    скачать outlook для, получить outlook для, gesendet (?:von|mit), envoyé (?:de|depuis), enviado desde, inviato da"""
)
_PHONE = re.compile(rf"^[\s*_]{{0,5}}{_SENT_FROM}[^\n]{{2,61}}$", re.I)
WRAP_LIMIT = 3  # lines over which an attribution may be wrapped
LINE_LIMIT = 20_000  # lines that are looked at; what follows them is folded
SIGNATURE_LIMIT = 25  # a longer tail after "--" is not a signature


@dataclass(frozen=True, slots=True)
class SplitReply:
    """`text`: the new words. `quoted`: quotes and signature, in order. `inline`: answers stand between quotes."""

    text: str
    quoted: str
    inline: bool = False


def split_reply(text: str) -> SplitReply:
    """Part a reply's words from what they answer."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n", LINE_LIMIT)
    rest = lines.pop() if len(lines) > LINE_LIMIT else ""
    quote = _find_quote(lines)
    if quote < len(lines) and _answers_inline(lines, quote):
        end = _find_signature(lines, _last_own_line(lines), len(lines))
        return SplitReply(_join(lines[:end]), _join([*lines[end:], rest]), True)
    own_end = _find_signature(lines, 0, quote)
    return SplitReply(_join(lines[:own_end]), _join([*lines[own_end:], rest]))


def _find_quote(lines: list[str]) -> int:
    """The line where the quote begins, its attribution included; the number of lines when there is none."""
    for number, line in enumerate(lines):
        stripped = line.strip()
        if not stripped:
            continue
        colon = ":" in line
        # All but a few lines have neither a colon nor a mark in front, and need no pattern.
        if (colon or stripped[0] in _MARKS) and _SEPARATOR.match(line[:300]):
            return number
        if stripped[0] == ">":
            return _with_attribution(lines, number)
        if stripped[0] in _MARKS and _RULE.match(line) and _is_head(lines, number + 1):
            return number
        if colon and _HEAD_FIELD.match(line[:300]) and _is_head(lines, number):
            return number
        if colon and _attribution_ends(lines, number):
            return _attribution_start(lines, number)
    return len(lines)


def _with_attribution(lines: list[str], number: int) -> int:
    """The quote at `number`, begun where the line that introduces it begins."""
    above = number - 1
    while above >= 0 and not lines[above].strip() and number - above <= 2:
        above -= 1
    if above >= 0 and (
        _ATTRIBUTION.match(lines[above][:700]) or (lines[above].rstrip().endswith(":") and "@" in lines[above])
    ):
        return _attribution_start(lines, above)
    return number


def _attribution_ends(lines: list[str], number: int) -> bool:
    """Whether an attribution ends on this line, and is followed by what it introduces (or by the end)."""
    if not lines[number].rstrip(" *_").endswith(":"):
        return False
    below = next((line for line in lines[number + 1 : number + 4] if line.strip()), "")
    if not below.lstrip().startswith(">") and not re.search(r"[\d@]", " ".join(lines[max(0, number - 2) : number + 1])):
        return False
    return any(
        _ATTRIBUTION.match(" ".join(line.strip() for line in lines[start : number + 1])[:900])
        for start in range(number, max(-1, number - WRAP_LIMIT), -1)
    )


def _attribution_start(lines: list[str], number: int) -> int:
    """Where a wrapped attribution begins: at the line with its date or its first word."""
    for start in range(number, max(-1, number - WRAP_LIMIT), -1):
        if not lines[start].strip():
            return start + 1
        joined = " ".join(line.strip() for line in lines[start : number + 1])[:900]
        if _ATTRIBUTION.match(joined) and (re.search(r"\d{1,2}:\d\d|\d{4}", joined) or start == 0):
            return start
    return number


def _is_head(lines: list[str], number: int) -> bool:
    """Whether three or more header lines stand here, as Outlook puts them before a quote."""
    seen: set[str] = set()
    for line in lines[number : number + 8]:
        match = _HEAD_FIELD.match(line[:300])
        if match:
            seen.add(match[1].lower())
        elif seen and not line.strip():
            break
        elif not seen and line.strip():
            return False
    return len(seen) >= 3


def _answers_inline(lines: list[str], quote: int) -> bool:
    """Whether own words stand between or below lines that begin with `>`."""
    marked = [number for number, line in enumerate(lines) if number >= quote and line.lstrip().startswith(">")]
    if not marked:
        return False
    own = [
        line
        for number, line in enumerate(lines)
        if marked[0] < number <= len(lines) and not line.lstrip().startswith(">") and line.strip()
    ]
    own = own[: next((at for at, line in enumerate(own) if _SIGNATURE.match(line) or _PHONE.match(line)), len(own))]
    # A quote that a client wrapped leaves ends of lines without ">"; an answer stands after an empty or short line.
    return any(
        _ATTRIBUTION.match(line[:700]) is None and not _SEPARATOR.match(line[:300]) for line in own
    ) and _has_paragraph(lines, marked)


def _has_paragraph(lines: list[str], marked: list[int]) -> bool:
    for number in range(marked[0] + 1, len(lines)):
        line = lines[number]
        if line.strip() and not line.lstrip().startswith(">") and not _SIGNATURE.match(line) and not _PHONE.match(line):
            above = lines[number - 1].strip()
            if above in ("", ">") or (above.startswith(">") and len(above) < 66):
                return True
    return False


def _last_own_line(lines: list[str]) -> int:
    return (
        max(
            (number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(">")),
            default=0,
        )
        - SIGNATURE_LIMIT
    )


def _find_signature(lines: list[str], start: int, end: int) -> int:
    """Where the signature begins among the own lines before `end`; `end` when there is none."""
    for number in range(max(start, 0), end):
        line = lines[number]
        if _SIGNATURE.match(line) and end - number <= SIGNATURE_LIMIT and any(own.strip() for own in lines[:number]):
            return number
        if _PHONE.match(line[:200]) and sum(1 for own in lines[number + 1 : end] if own.strip()) <= 2:
            return number
    return end


def _join(lines: list[str]) -> str:
    return "\n".join(lines).strip("\n").rstrip()
