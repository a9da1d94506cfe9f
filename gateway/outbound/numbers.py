"""Which document a composed mail is about: the type and number that its subject or the name of a file shows (level 0).

Called by the door for every composed mail that does not say so itself, so it is fast: text without a digit costs
nothing, everything else one bounded search. Precise rather than greedy: a year, a date, an amount, a telephone number
or a count is no number, and names of files that contradict each other say nothing. What counts is data
(`numbers.toml`) for Romanian, Russian and English, or the tenant's own masks in place of it (`store.settings`). Pure.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

SUBJECT_LIMIT = 500  # characters that are looked at
FILES_LIMIT = 20
NUMBER_LIMIT = 100  # what the column holds
DEFAULT_TYPE = "invoice"
_MASK_TYPE = re.compile(r"\s*(?:\[([a-z_]{1,20})\]|([a-z_]{1,20}):)\s*")
_DIGIT = re.compile(r"[0-9]")

# Letters are compared without their marks, one for one, so that places in the text stay the same.
_PLAIN = str.maketrans("ăâîșşțţĂÂÎȘŞȚŢёЁ\u00a0\u2007\u202f\u2010\u2011", "aaissttAAISSTTеЕ   --")
_NAME_BREAKS = str.maketrans("_+", "  ")

_MARKER = r"(?:nr|no|num|num[ae]rul|number|numar|номер|n)\b[.:]?|[#№]|n[°º]"
_SERIES = r"[A-ZА-Я]{1,5} "
_SEGMENT = r"(?:[A-Za-zА-Яа-я]{1,8}[0-9]{1,20}|[0-9]{1,20}[A-ZА-Я]{0,3}|[A-Za-zА-Яа-я]{1,8})"
_TOKEN = rf"{_SEGMENT}(?:[-/.]{_SEGMENT}){{0,6}}"

_YEAR = re.compile(r"(?:19|20)[0-9]{2}\Z")
_FULL_DATE = re.compile(
    r"(?:[0-3]?[0-9][-./][01]?[0-9][-./](?:[0-9]{2}|(?:19|20)[0-9]{2})|(?:19|20)[0-9]{2}[-./][01]?[0-9][-./][0-3]?[0-9])\Z"
)
_PART_DATE = re.compile(
    r"(?:(?:[0-3]?[0-9]|(?:19|20)[0-9]{2})[-./][01]?[0-9]|[01]?[0-9][-./](?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]|[0-3][0-9][01][0-9](?:19|20)[0-9]{2})\Z"
)
_AMOUNT = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+\Z|[0-9]+\.[0-9]{2}\Z")
_PHONE = re.compile(r"0[0-9]{1,3}(?:[-./][0-9]{2,3}){2,4}\Z|[0-9]{13,}\Z")
_PERIOD = re.compile(r"(?:[QTSHКкqtsh][1-4]|[1-4][QTSHК]|[vV][0-9]{1,3})(?:[-/.](?:19|20)?[0-9]{2})?\Z")
_CURRENCY = r"(?:mdl|lei|leu|ron|eur|euro|usd|gbp|uah|rub|руб|лей|лея|леев|евро|грн|долл|chf|pln|try|bgn|\$|€|£|₽|₴)"
_AMOUNT_AFTER = re.compile(
    rf"[,.][0-9]|[\s']{{1,2}}[0-9]{{3}}(?![0-9])[\s']*(?:[,.][0-9]|{_CURRENCY})|\s*{_CURRENCY}(?![a-zа-я])", re.I
)
_MONTHS = (
    "ian|feb|mar|apr|mai|iun|iul|aug|sep|oct|noi|dec|jan|may|jun|jul|nov|"
    "янв|фев|мар|апр|мая|май|июн|июл|авг|сен|окт|ноя|дек"
)
_COUNT_AFTER = re.compile(
    rf"""\s*[%:]|\s*(?:st|nd|rd|th|-?(?:й|я|е|го))\b|[-\s]{{1,2}}(?:{_MONTHS})[a-zа-я]{{0,9}}\b"""
    r"""|\s+(?:de\s+)?(?:days?|hours?|weeks?|months?|years?|pages?|items?|pcs|zile|zi|ore|or[ae]|luni|luna|saptaman|ani|an"""
    r"""|pagini|buc|rate|facturi|invoices|дн|день|дня|час|недел|месяц|мес|год|лет|г\b|стр|шт|кв)[a-zа-я]{0,7}\b"""
    r"""|\s+(?:of|din|из)\s+[0-9]{1,3}(?![0-9./-])|\s+(?:[01]?[0-9]\s+)?(?:19|20)[0-9]{2}(?![0-9])""",
    re.I,
)
_CURRENCY_WORD = re.compile(rf"{_CURRENCY}\Z", re.I)
_MONTH_WORD = re.compile(rf"(?:{_MONTHS})[a-zа-я]{{0,9}}\Z", re.I)


@dataclass(frozen=True, slots=True)
class Found:
    """A document as a mail names it. `why` says where it stood and by which rule, for people."""

    type: str
    number: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """The words that name documents: one search for all, and the type of each group of it ("" for none)."""

    pattern: re.Pattern[str]
    type_of: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Mask:
    text: str
    type: str
    pattern: re.Pattern[str]


def find_number(subject: str, names: Sequence[str], masks: Sequence[str] = ()) -> Found | None:
    """The document that a decoded subject names, else the one that the names of its files agree on.

    `masks` are the tenant's own and stand in place of the product's words; they are of the form that was checked.
    """
    own = _masks(tuple(masks)) if masks else ()
    if found := _find(subject[:SUBJECT_LIMIT], own, "the subject"):
        return found
    seen = {}
    for name in names[:FILES_LIMIT]:
        if found := _find(_stem(name), own, f"the file {name[:60]}"):
            seen[found.type, found.number] = found
    return next(iter(seen.values())) if len(seen) == 1 else None


def _find(text: str, own: tuple[_Mask, ...], where: str) -> Found | None:
    if not _DIGIT.search(text):
        return None
    text = unicodedata.normalize("NFC", text) if not text.isascii() else text
    plain = plain_text(text)
    return _by_masks(text, plain, own, where) if own else _by_words(text, plain, where)


def plain_text(text: str) -> str:
    """Without the marks on letters, and with one kind of blank and hyphen."""
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(_PLAIN)


def find_type(texts: Iterable[str]) -> str:
    """The type of document that the first word for one says, whether or not a number follows; "" for none."""
    for text in texts:
        found = words().pattern.search(plain_text(text[:SUBJECT_LIMIT]).translate(_NAME_BREAKS))
        if found is not None and found.lastgroup is not None:
            return words().type_of[found.lastgroup]
    return ""


def _stem(name: str) -> str:
    """A file's name without its ending, with the blanks that its underscores stand for."""
    stem, dot, ending = name[:SUBJECT_LIMIT].rpartition(".")
    stem = stem if dot and 0 < len(ending) <= 5 and not ending.isdigit() else name[:SUBJECT_LIMIT]
    return re.sub(r"(?<=[a-zа-я])-(?=[A-Z0-9])", " ", stem.translate(_NAME_BREAKS))


# -- the product's words


@cache
def words() -> Words:
    """The product's words for documents, from numbers.toml."""
    table = tomllib.loads((files("gateway.outbound") / "numbers.toml").read_text("utf-8"))
    groups, type_of = [], {}
    for number, (type, phrases) in enumerate((t, p) for block in table["words"] for t, p in block.items()):
        phrases = [re.sub(r"\s+", r"[\\s-]+", phrase.translate(_PLAIN)) for phrase in phrases]
        groups.append(f"(?P<g{number}>{'|'.join(phrases)})")
        type_of[f"g{number}"] = "" if type == "nothing" else type
    return Words(re.compile(rf"(?<![^\W_])(?:{'|'.join(groups)})(?![^\W_])", re.I), type_of)


_BREAK = r"[\s:\-–—,«\"'\[]{0,4}"
_BESIDE = r"fiscala|fiscal|electronica|noua|nou|dvs|dumneavoastra|ваш|новый|новая"
_BETWEEN = rf"pentru|luna|lunii|pe|din|for|the|month|of|за|на|месяц|(?:{_MONTHS})[a-zа-я]{{0,9}}|(?:19|20)[0-9]{{2}}"
_NUMBER = re.compile(
    rf"(?:{_BREAK}(?:{_BESIDE})\b\.?){{0,2}}"
    rf"(?:(?:{_BREAK}(?:{_BETWEEN})\b\.?){{0,5}}{_BREAK}(?:{_MARKER})[\s:]{{0,3}}(?P<mark>)|{_BREAK})"
    rf"(?:(?:seria|серия)[\s:]{{1,2}}(?P<seria>[A-ZА-Я]{{1,5}})[\s,]{{1,3}}(?:{_MARKER})?\s{{0,2}}"
    rf"|(?P<series>(?-i:{_SERIES})))?(?P<token>{_TOKEN})(?![-/.]?[^\W_])",
    re.I,
)
_INV = re.compile(r"(?<![^\W_])INV[-/ ]?[0-9]{2,12}(?:[-/][0-9]{1,12}){0,3}(?![^\W_])", re.I)


def _by_words(text: str, plain: str, where: str) -> Found | None:
    known = words()
    for word in known.pattern.finditer(plain):
        type = known.type_of[word.lastgroup or ""]
        if type and (number := _number_at(text, plain, word.end())):
            return Found(type, number, f"{where} says {text[word.start() : word.end()]!r} and {number!r}")
    if (coded := _INV.search(plain)) and not _AMOUNT_AFTER.match(plain, coded.end()):
        number = text[coded.start() : coded.end()]
        return (
            None if _YEAR.search(number) and len(number) < 9 else Found("invoice", number, f"{where} says {number!r}")
        )
    return None


def _number_at(text: str, plain: str, at: int) -> str:
    """The number that follows the word which ends at `at`; "" when what follows is none."""
    match = _NUMBER.match(plain, at)
    if match is None:
        return ""
    token, end = match["token"], match.end("token")
    marked, series = match["mark"] is not None, match["seria"] or (match["series"] or "").strip()
    if not _DIGIT.search(token) or not _is_number(token, marked or bool(match["seria"]), plain, end):
        return ""
    if series and (_CURRENCY_WORD.match(series) or _MONTH_WORD.match(series) or (_YEAR.match(token) and not marked)):
        return ""
    number = text[match.start("token") : end]
    return f"{series} {number}" if series and token[0].isdigit() else number


def _is_number(token: str, marked: bool, plain: str, end: int) -> bool:
    if _FULL_DATE.match(token) or _AMOUNT_AFTER.match(plain, end):
        return False
    if marked:
        return not _AMOUNT.match(token) or "." not in token
    if _YEAR.match(token) or _PART_DATE.match(token) or _AMOUNT.match(token) or _PHONE.match(token):
        return False
    if _PERIOD.match(token) or _COUNT_AFTER.match(plain, end):
        return False
    digits = [part for part in re.split(r"[-/.]", token) if _DIGIT.search(part)]
    if all(_YEAR.match(part) for part in digits):
        return False
    return all(_is_segment(part) for part in re.split(r"[-/.]", token))


def _is_segment(part: str) -> bool:
    """Whether a part of an unmarked number looks like one: `0042`, `CN`, `F1`, `12A`, not `B2B`, `x86` or a word."""
    if part.isdigit():
        return True
    letters = part.rstrip("0123456789")
    return len(letters) <= 8 and (part == part.upper() or letters.lower() in _SMALL)


_SMALL = frozenset("inv cn cp nc of fa fact ab so po doc seria сч кн кп n nr".split())


# -- a tenant's own masks


@lru_cache(maxsize=1000)
def _masks(masks: tuple[str, ...]) -> tuple[_Mask, ...]:
    return tuple(_read_mask(mask) for mask in masks)


def _read_mask(mask: str) -> _Mask:
    """A mask as a pattern: # a digit, @ a letter, * the rest of the number (once), all else as it is.

    The rest is up to 40 letters, digits and single -/._ among them; after # or @ it may be nothing.
    """
    named = _MASK_TYPE.match(mask)
    body = mask[named.end() :].strip() if named else mask.strip()
    made = {"#": "[0-9]", "@": r"[^\W\d_]", "*": r"[^\W_](?:[-/._]?[^\W_]){0,39}", " ": r"\s{1,2}"}
    body = re.sub(r"(?<=[#@])\*", "\0", body)
    made["\0"] = r"(?:[-/._]?[^\W_]){0,40}"
    pattern = "".join(made.get(char) or re.escape(char) for char in re.sub(r"\s+", " ", body).translate(_PLAIN))
    edges = rf"(?<![^\W_]){pattern}(?![^\W_])" if body[:1].isalnum() or body[:1] in "#@*" else rf"{pattern}(?![^\W_])"
    return _Mask(mask, (named[1] or named[2]) if named else "", re.compile(edges, re.I))


def _by_masks(text: str, plain: str, own: Iterable[_Mask], where: str) -> Found | None:
    for mask in own:
        if found := mask.pattern.search(plain):
            number = text[found.start() : found.end()][:NUMBER_LIMIT]
            type = mask.type or _type_before(plain, found.start()) or DEFAULT_TYPE
            return Found(type, number, f"{where} fits the mask {mask.text!r}")
    return None


def _type_before(plain: str, at: int) -> str:
    """The type of the last word for a document before a place; "" when there is none."""
    known, type = words(), ""
    for word in known.pattern.finditer(plain, 0, at):
        type = known.type_of[word.lastgroup or ""] or type
    return type
