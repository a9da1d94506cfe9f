"""The scalars of a document: text, amounts, dates, codes, addresses; each with the words for what is wrong.

Used by the models. A value stays the text that was sent (an amount is never a float), so that a document can be stored,
hashed and shown as it was given. A wrong value raises pydantic's custom error, whose text says what to write instead.
"""

import difflib
import json
import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.outbound.documents.currencies import CURRENCIES

_MONEY = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?\Z")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,10})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
_URL = re.compile(r"https?://[^\s]+\Z")
_ACCOUNT = re.compile(r"[A-Z0-9 ./-]{5,42}\Z")
_IBAN_LENGTHS = {
    "MD": 24,
    "RO": 24,
    "UA": 29,
    "BG": 22,
    "DE": 22,
    "IT": 27,
    "FR": 27,
    "PL": 28,
    "CZ": 24,
    "HU": 28,
    "GB": 22,
}
_HABITUAL = {
    "LEI": "MDL (or RON)",
    "LEU": "MDL (or RON)",
    "RUR": "RUB",
    "EURO": "EUR",
    "€": "EUR",
    "$": "USD",
    "L": "MDL",
}
_DATE_FORMS = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%y")


def wrong(text: str) -> PydanticCustomError:
    """The error that carries `text` as it is."""
    return PydanticCustomError("form", "{text}", {"text": text})


def quoted(value: Any) -> str:
    """A value as JSON shows it, cut at 60 characters."""
    shown = json.dumps(value[:100] if isinstance(value, str) else value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else shown[:56] + '…"'


def decimal_of(text: str) -> Decimal:
    """The number that a valid amount says; 0 for ""."""
    return Decimal(text or "0")


def date_of(text: str) -> date | None:
    """The day that a valid date says; None for ""."""
    return date.fromisoformat(text) if text else None


def one_of(*choices: str) -> BeforeValidator:
    """A field that takes one of `choices`."""

    def check(value: Any) -> str:
        if isinstance(value, str) and value in choices:
            return value
        near = difflib.get_close_matches(str(value)[:100].lower(), choices, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise wrong(f"{quoted(value)} is not one of {', '.join(choices)}{hint}")

    return BeforeValidator(check)


def _number(pattern: re.Pattern[str], noun: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, str) and pattern.match(value):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            raise wrong(f'{value} is a JSON number; write it as text: "{value}.00"')
        if isinstance(value, str):
            raise wrong(f"{quoted(value)} is not {noun}; write {_suggest_number(value, pattern) or '1200.00'}")
        raise wrong(f'{quoted(value)} is not {noun}; write it as text: "1200.00"')

    return check


def _suggest_number(text: str, pattern: re.Pattern[str]) -> str:
    """What a person who wrote `1.200,00 MDL` meant, or ""."""
    bare = re.sub(r"[^\d,.\-−]", "", text).replace("−", "-").strip(".,")
    if "," in bare and "." in bare:
        thousands = "," if bare.rfind(".") > bare.rfind(",") else "."
        bare = bare.replace(thousands, "").replace(",", ".")
    elif bare.count(",") == 1 and len(bare.split(",")[1]) != 3:
        bare = bare.replace(",", ".")
    else:
        bare = bare.replace(",", "") if bare.count(".") < 2 else bare.replace(".", "")
    return bare if pattern.match(bare) else ""


def _date(value: Any) -> str:
    if not isinstance(value, str):
        raise wrong(f"{quoted(value)} is no date; write it as text: 2026-12-31")
    try:
        if _DATE.match(value):
            date.fromisoformat(value)
            return value
    except ValueError:
        raise wrong(f"{quoted(value)} is not in the calendar; {_last_day(value)}") from None
    raise wrong(f"{quoted(value)} is no date; write {_suggest_date(value) or '2026-12-31'}")


def _last_day(value: str) -> str:
    """What is wrong with a day that has the form of one."""
    year, month = int(value[:4]), int(value[5:7])
    if not year or not 1 <= month <= 12:
        return "write year, month and day, as 2026-12-31"
    return f"the last day of that month is {value[:8]}{monthrange(year, month)[1]}"


def _suggest_date(text: str) -> str:
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(text.strip(), form).date().isoformat()
        except ValueError:
            continue
    head = text.strip()[:10]
    try:
        return date.fromisoformat(head).isoformat() if _DATE.match(head) else ""
    except ValueError:
        return ""


def _datetime(value: Any) -> str:
    if isinstance(value, str) and _DATETIME.match(value):
        try:
            datetime.fromisoformat(value.upper())
        except ValueError:
            raise wrong(f"{quoted(value)} is not in the calendar") from None
        return value
    raise wrong(f"{quoted(value)} is no time; write 2026-12-31T23:59:59+02:00")


def _currency(value: Any) -> str:
    if isinstance(value, str) and value in CURRENCIES:
        return value
    code = str(value)[:20].strip().upper()
    meant = code if code in CURRENCIES else _HABITUAL.get(code)
    if meant is None:
        meant = next(iter(difflib.get_close_matches(code, sorted(CURRENCIES), 1, 0.6)), "MDL")
    raise wrong(f"{quoted(value)} does not exist; ISO 4217 has {meant}")


def _url(value: Any) -> str:
    if not isinstance(value, str) or not _URL.match(value):
        raise wrong(f"{quoted(value)} is no web address; write https://…")
    try:
        host = urlsplit(value).hostname
    except ValueError:
        host = None
    if not host:
        raise wrong(f"{quoted(value)} names no host; write https://host/path")
    if len(value) > 2000:
        raise wrong(f"{quoted(value)} is longer than 2000 characters")
    return value


def _iban(value: Any) -> str:
    """An IBAN by its check digits (ISO 13616: mod 97), or a domestic account number, which begins with a digit."""
    if not isinstance(value, str) or not _ACCOUNT.match(value):
        raise wrong(f"{quoted(value)} is no account number; write an IBAN in capitals, as MD24AG000225100013104168")
    bare = re.sub(r"[ ./-]", "", value)
    if bare[:1].isdigit():
        return value
    if not re.match(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\Z", bare):
        raise wrong(f"{quoted(value)} is no IBAN; it begins with a country and two digits, as MD24AG000225100013104168")
    expected = _IBAN_LENGTHS.get(bare[:2], len(bare))
    if len(bare) != expected:
        raise wrong(f"{quoted(value)} has {len(bare)} characters; an IBAN of {bare[:2]} has {expected}")
    if int("".join(str(int(sign, 36)) for sign in bare[4:] + bare[:4])) % 97 != 1:
        raise wrong(f"{quoted(value)} has a typing error: its check digits do not fit")
    return value


def is_account(text: str) -> bool:
    """Whether a text is an account number that a document may hold."""
    try:
        return bool(_iban(text))
    except PydanticCustomError:
        return False


def _mailbox(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 320:
        raise wrong(f"{quoted(value)} is not a mail address; write local@domain")
    try:
        parse_address(value)
    except Refused as refused:
        raise wrong(refused.reply.text) from None
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        shown = quoted(value)
        raise wrong(f'{shown} is not text; write "{value}"' if isinstance(value, int) else f"{shown} is not text")
    return value


def _hash(value: Any) -> str:
    if isinstance(value, str) and re.match(r"[0-9a-f]{64}\Z", value):
        return value
    raise wrong(f"{quoted(value)} is no SHA-256; write 64 lower-case hexadecimal digits")


def _country(value: Any) -> str:
    if isinstance(value, str) and re.match(r"[A-Z]{2}\Z", value):
        return value
    raise wrong(f"{quoted(value)} is no country; write two capitals (ISO 3166), as MD")


_AsText = BeforeValidator(_text)
Text = Annotated[str, _AsText]
Text140 = Annotated[str, StringConstraints(max_length=140), _AsText]
Text200 = Annotated[str, StringConstraints(max_length=200), _AsText]
Text255 = Annotated[str, StringConstraints(max_length=255), _AsText]
Text500 = Annotated[str, StringConstraints(max_length=500), _AsText]
Text2000 = Annotated[str, StringConstraints(max_length=2000), _AsText]
Text2048 = Annotated[str, StringConstraints(max_length=2048), _AsText]
Text4000 = Annotated[str, StringConstraints(max_length=4000), _AsText]
Text10000 = Annotated[str, StringConstraints(max_length=10000), _AsText]
Number = Annotated[str, StringConstraints(min_length=1, max_length=100), _AsText]
Key = Annotated[str, StringConstraints(min_length=1, max_length=191), _AsText]
PartyKey = Annotated[str, StringConstraints(max_length=191), _AsText]
PartyName = Annotated[str, StringConstraints(min_length=1, max_length=300), _AsText]
Money = Annotated[str, BeforeValidator(_number(_MONEY, "a decimal amount"))]
DecimalText = Annotated[str, BeforeValidator(_number(_DECIMAL, "a decimal number"))]
Day = Annotated[str, BeforeValidator(_date)]
Moment = Annotated[str, BeforeValidator(_datetime)]
Currency = Annotated[str, BeforeValidator(_currency)]
Link = Annotated[str, BeforeValidator(_url)]
Account = Annotated[str, BeforeValidator(_iban)]
Mailbox = Annotated[str, BeforeValidator(_mailbox)]
Country = Annotated[str, BeforeValidator(_country)]
Sha256 = Annotated[str, BeforeValidator(_hash)]
Language = Annotated[str, one_of("ro", "ru", "en")]
