"""What a tenant's settings may be: checked before they are stored, so that no mail fails on them days later.

Called by `store.tenants` for every change, whoever makes it. Refuses in words that say the right form.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.store.documents import DOCUMENT_TYPES

LANGUAGES = ("ro", "ru", "en")
SENDING = ("shared", "own")
# Not for tenants: return paths, hand-over without a recipient, and what RFC 2142 keeps for whoever runs a domain.
RESERVED = frozenset(("b", "send", "postmaster", "abuse", "mailer-daemon"))
OPTIONS = (
    "reminder_hour",  # 0-23, where the tenant is
    "number_patterns",  # how its documents' numbers look in a subject or a file's name
    "einvoice",  # "factur-x": PDFs carry the invoice as XML
    "reply_signature",  # "off": clerks' answers end as they were written
    "messages_per_hour",  # how many messages it may hand over (outbound.limits)
    "messages_per_day",
    "credential_limits",  # the same of its credentials: {username: {"messages_per_hour": 100}}
    "retry_first",  # seconds until the first retry, between two at the most, until it is given up (outbound.retry)
    "retry_longest",
    "expire",
    "second_step",  # True: everybody logs in with a code too (store.second_factors)
    "route_retry",  # the same of one route: {route: {"expire": 86400}}
)
ROUTES = ("direct", "relay", "smtp")  # by which mail leaves: to the recipients' servers, the relay, its own server
REPLY_SIGNATURE = "reply_signature"
SIGNATURES = (None, "", "off")
RETRY_FIRST, RETRY_LONGEST, EXPIRE, ROUTE_RETRY = "retry_first", "retry_longest", "expire", "route_retry"
RETRY_BOUNDS = {RETRY_FIRST: (10, 86_400), RETRY_LONGEST: (10, 604_800), EXPIRE: (600, 30 * 86_400)}
EINVOICES = (None, "", "factur-x")
PER_HOUR, PER_DAY, CREDENTIAL_LIMITS = "messages_per_hour", "messages_per_day", "credential_limits"
MOST_MESSAGES = 100_000_000
MOST_MASKS = 20
TEXT_LIMIT = 200  # characters of a company's name and of each line of its brand
WIDEST = {4: 8, 6: 16}  # prefixes shorter than this are most of the Internet

_SLUG = re.compile(r"[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?\Z")
_MASK = re.compile(r"\s*(?:\[([a-z_]{1,20})\]\s*|([a-z_]{1,20}):\s*)?(\S.{0,59})\Z")
_COUNTRY = re.compile(r"[A-Z]{2}\Z")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")


def check_slug(slug: str) -> None:
    """Refuse a name that cannot stand in an address, or means something else there."""
    if not _SLUG.match(slug):
        raise _refuse(f"{slug[:40]!r} cannot be a tenant's name; use 1-30 of a-z, 0-9 and -, beginning with a letter")
    if slug in RESERVED:
        raise _refuse(f"the tenant's name {slug!r} is taken by the gateway itself; choose another")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse values that a tenant's columns may not hold; columns that are not named are not looked at."""
    for name, value in settings.items():
        if name == "company" and not value.strip():
            raise _refuse("the company's name is empty; customers see it as the author")
        if name == "language" and value not in LANGUAGES:
            raise _refuse(f"the language {value!r} is not one of {', '.join(LANGUAGES)}")
        if name == "sending" and value not in SENDING:
            raise _refuse(f"sending {value!r} is not one of {', '.join(SENDING)}")
        if name == "timezone" and not _is_timezone(value):
            raise _refuse(f"the time zone {value[:60]!r} is not known; write one like Europe/Chisinau")
        if name == "contact_email" and value:
            parse_address(value)
        if name == "brand":
            _check_brand(value)
        elif name == "options":
            _check_options(value)
        elif isinstance(value, str):
            _check_text(name, value)


def check_network(network: str) -> None:
    """Refuse what is not a network, or is so wide that anybody could send as the tenant."""
    try:
        found = ipaddress.ip_network(network)
    except ValueError:
        raise _refuse(f"{network!r} is not a network; write 10.0.0.0/24 or 127.0.0.1/32") from None
    if found.prefixlen < WIDEST[found.version]:
        raise _refuse(f"{network} is so wide that anybody could send as this tenant; name the billing system's own")


def _check_brand(brand: Mapping[str, Any]) -> None:
    for name, value in brand.items():
        if isinstance(value, str):
            _check_text(name, value)
        if name == "country" and value and not _COUNTRY.match(value):
            raise _refuse(f"the country {value[:20]!r} is not two capitals (ISO 3166), as MD")
        if name == "colour" and value and not _COLOUR.match(value):
            raise _refuse(f"the colour {value[:20]!r} is not of the form #1a2b3c")


def _check_options(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if name not in OPTIONS:
            raise _refuse(f"{name!r} is not an option of a tenant; there are {', '.join(OPTIONS)}")
        if name == "reminder_hour" and value is not None and not (type(value) is int and 0 <= value <= 23):
            raise _refuse(f"the hour of reminders {value!r} is not one of 0 to 23")
        if name == "number_patterns" and value is not None:
            _check_masks(value)
        if name == REPLY_SIGNATURE and value not in SIGNATURES:
            raise _refuse(f"the signature of replies {value!r} is not known; write off, or none for the usual one")
        if name in (PER_HOUR, PER_DAY):
            _check_limit(name, value)
        for own in (value or {}).values() if name == CREDENTIAL_LIMITS else ():
            for per, most in own.items():
                _check_limit(per, most)
        for retry in (value or {}).values() if name == ROUTE_RETRY else ({name: value},):
            _check_retry(retry)
        if name == "second_step" and value not in (None, True, False):
            raise _refuse(f"the second step {value!r} is neither demanded nor not")
        if name == "einvoice" and value not in EINVOICES:
            raise _refuse(f"the e-invoice {value!r} is not known; write factur-x, or none for ordinary PDFs")


def _check_retry(retry: Mapping[str, Any]) -> None:
    for name in RETRY_BOUNDS.keys() & retry.keys():
        value, (least, most) = retry[name], RETRY_BOUNDS[name]
        if value is not None and not (type(value) is int and least <= value <= most):
            raise _refuse(f"{name.replace('_', ' ')} {value!r} is not a number of {least:,} to {most:,} seconds")


def _check_limit(name: str, value: Any) -> None:
    if value is not None and not (type(value) is int and 1 <= value <= MOST_MESSAGES):
        raise _refuse(f"{name.replace('_', ' ')} {value!r} is not a number of 1 to {MOST_MESSAGES:,}")


def _check_masks(masks: Sequence[str]) -> None:
    """What `outbound.numbers` reads: # a digit, @ a letter, * more of both and of -/._ (once), the rest as it is."""
    if len(masks) > MOST_MASKS:
        raise _refuse(f"{len(masks)} number patterns; {MOST_MASKS} are the most")
    for mask in masks:
        named = _MASK.match(mask)
        type, body = (named[1] or named[2] or "", named[3].strip()) if named else ("", "")
        if named is None or not body.isprintable() or not ("#" in body or "*" in body) or body.count("*") > 1:
            raise _refuse(
                f"the number pattern {mask[:60]!r} is none; write CP-####-####, or credit_note: CN-#*"
                " (# is a digit, @ a letter, one * the rest of the number)"
            )
        if type and type not in DOCUMENT_TYPES:
            raise _refuse(f"{type!r} in a number pattern is no type of document; there are {', '.join(DOCUMENT_TYPES)}")


def _check_text(name: str, value: str) -> None:
    if len(value) > TEXT_LIMIT or not value.isprintable():
        raise _refuse(f"the tenant's {name.replace('_', ' ')} is longer than {TEXT_LIMIT} characters or not one line")


def _is_timezone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # zoneinfo raises each for some name
        return False
    return True


def _refuse(text: str) -> Refused:
    return Refused(501, "5.5.4", text)
