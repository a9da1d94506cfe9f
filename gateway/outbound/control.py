"""The header fields by which a billing system tells the gateway more about a mail: X-AR-*, and other providers' own.

Read by the door, stripped by branding. `Control` is everything they may say, in our words. An X-AR-* name that is none
of ours is refused with a suggestion, a malformed value with the right form; nothing is ever ignored in silence.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.mail.dsn.dates import read_date
from gateway.mail.message import Head
from gateway.mail.reply import Refused
from gateway.outbound.control_times import Ending, ends_at, read_day, read_ending, read_length, read_moment, wrong

FIELDS = tuple(
    """X-AR-Event X-AR-Template X-AR-Document X-AR-Number X-AR-Amount X-AR-Balance X-AR-Issued X-AR-Due X-AR-Status
    X-AR-Customer X-AR-Customer-Name X-AR-View-URL X-AR-Pay-URL X-AR-Language X-AR-Idempotency-Key X-AR-Send-At
    X-AR-Delay X-AR-Expires X-AR-Attach-PDF X-AR-Button X-AR-Tag X-AR-Run X-AR-Thread X-AR-Force X-AR-Test""".split()
)
META = "x-ar-meta-"
FORCES = ("suppressed", "duplicate", "limit")
MOST_META, META_LENGTH, TAG_LENGTH = 50, 500, 100  # characters of a value, of a tag

_NAMES = {name.lower(): name for name in FIELDS}
_DOCUMENT = re.compile(r"([a-z_]{1,20})/(\S{1,191})\Z")
_RUN = re.compile(r"\w[\w .:+@-]{0,99}\Z")
_AMOUNT = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,6})?) ([A-Z]{3})\Z")
_ALIASES = ("x-pm-", "x-mailgun-", "x-smtpapi", "x-ses-", "x-postal-tag", "idempotency-key", "resend-idempotency-key")


@dataclass(frozen=True, slots=True)
class Control:
    """What the header says about a mail; unknown text is "", unknown time None."""

    event: str = ""  # the triggers decide whether and when it goes
    template: str = ""  # a template key, or "none": an explicit send, or nothing but storing
    document_type: str = ""
    document_id: str = ""
    number: str = ""
    named: bool = False  # the document is known by its number only (outbound.placing), not by an id
    amount: str = ""  # a decimal
    balance: str = ""
    currency: str = ""
    issued: str = ""  # ISO days
    due: str = ""
    status: str = ""
    customer: str = ""
    customer_name: str = ""
    view_url: str = ""
    pay_url: str = ""
    language: str = ""
    idempotency_key: str = ""
    send_at: datetime | None = None
    delay: timedelta | None = None
    expires: Ending | None = None  # the mail means nothing any more
    attach_pdf: bool | None = None
    button: str = ""
    thread: str = ""
    run: str = ""  # the batch that the mail was handed over in
    force: frozenset[str] = frozenset()
    test: bool = False
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def thread_key(self) -> str:
        """The key of the thread that the mail belongs to; "" for one of its own."""
        return self.thread or (f"{self.document_type}/{self.document_id}" if self.document_type else "")

    def first_attempt(self, now: datetime) -> datetime:
        """When the mail asks to be sent; `now` when it asks for nothing."""
        asked = self.send_at or (now + self.delay if self.delay else now)
        return max(asked, now)

    def ends(self, at: datetime, timezone: str) -> datetime | None:
        """Until when a mail that may go from `at` on may be sent; None: as long as it is tried. Raises Refused."""
        if self.expires is None:
            return None
        end = ends_at(self.expires, at, ZoneInfo(timezone))
        if end <= at:
            words = f"X-AR-Expires ends at {end:%Y-%m-%d %H:%M} UTC, and the mail would go at {at:%Y-%m-%d %H:%M} UTC"
            raise Refused(554, "5.6.0", f"{words}; give a later time, or none")
        return end

    def remembered(self) -> dict[str, Any]:
        """What is kept with the message for events: tags and metadata."""
        kept: dict[str, Any] = {"tags": list(self.tags)} if self.tags else {}
        return kept | ({"meta": dict(self.meta)} if self.meta else {})


def read_control(head: Head) -> Control:
    """The fields of a mail. Raises Refused 554 5.6.0 for unknown and malformed ones."""
    control = Control()
    for item in head.fields:
        if not item.name.startswith((b"x-", b"idempotency-key", b"resend-idempotency-key")):
            continue
        name = item.name.decode("ascii", "replace")
        if name.startswith("x-ar-"):
            control = _read_own(control, name, head.text(name).strip(), head.texts(name))
        elif name.startswith(_ALIASES):
            control = _read_alias(control, name, head.text(name).strip(), head.texts(name))
    return control


def _read_own(control: Control, name: str, value: str, values: tuple[str, ...]) -> Control:
    if name.startswith(META):
        return _with_meta(control, {name[len(META) :]: value})
    if name not in _NAMES:
        near = difflib.get_close_matches(name, _NAMES, 1)
        hint = f"; did you mean {_NAMES[near[0]]}?" if near else ""
        raise Refused(554, "5.6.0", f"{_shown(name[:60])} is not a field of this gateway{hint}")
    if name == "x-ar-tag":
        return _with_tags(control, values)
    return _READERS[name](control, value)


def _read_alias(control: Control, name: str, value: str, values: tuple[str, ...]) -> Control:
    """The fields of Postmark, Mailgun, SendGrid, SES, Postal and Resend that mean the same as one of ours."""
    if name in ("x-pm-tag", "x-mailgun-tag", "x-postal-tag"):
        return _with_tags(control, values)
    if name.startswith("x-pm-metadata-"):
        return _with_meta(control, {name[14:]: value})
    if name == "x-mailgun-variables":
        return _with_meta(control, _object(name, value))
    if name == "x-mailgun-deliver-by":
        return replace(control, send_at=_mail_date(name, value))
    if name == "x-mailgun-drop-message":
        return replace(control, test=_yes(name, value))
    if name == "x-ses-message-tags":
        pairs = (pair.partition("=") for pair in value.split(",") if pair.strip())
        return _with_meta(control, {key.strip(): text.strip() for key, _, text in pairs})
    if name == "x-smtpapi":
        return _read_smtpapi(control, _object(name, value))
    if name in ("idempotency-key", "resend-idempotency-key"):
        return replace(control, idempotency_key=_short(name, value, 256))
    return control


def _read_smtpapi(control: Control, data: dict[str, Any]) -> Control:
    categories = data.get("category", [])
    tags = [categories] if isinstance(categories, str) else [str(one) for one in categories]
    arguments = data.get("unique_args", {})
    control = _with_meta(_with_tags(control, tuple(tags)), arguments if isinstance(arguments, dict) else {})
    if isinstance(data.get("send_at"), int):
        return replace(control, send_at=datetime.fromtimestamp(data["send_at"], UTC))
    return control


# -- values


def _set(control: Control, member: str, value: Any) -> Control:
    return replace(control, **{member: value})


def _with_tags(control: Control, values: tuple[str, ...]) -> Control:
    tags = tuple(value.strip()[:TAG_LENGTH] for value in values if value.strip())
    return replace(control, tags=tuple(dict.fromkeys((*control.tags, *tags)))[:MOST_META])


def _with_meta(control: Control, more: Mapping[str, Any]) -> Control:
    known = dict(control.meta) | {str(key)[:100]: str(text)[:META_LENGTH] for key, text in more.items()}
    if len(known) > MOST_META:
        raise Refused(554, "5.6.0", f"more than {MOST_META} metadata fields; send fewer")
    return replace(control, meta=known)


def _document(control: Control, value: str) -> Control:
    matched = _DOCUMENT.match(value)
    if not matched:
        raise _wrong("X-AR-Document", value, "type/id; write invoice/inv_8812")
    return replace(control, document_type=matched[1], document_id=matched[2])


def _run(control: Control, value: str) -> Control:
    if not _RUN.match(value):
        raise _wrong("X-AR-Run", value, "at most 100 letters, digits, blanks and . : + @ - _; write 2026-11 invoices")
    return replace(control, run=value)


def _amount(name: str) -> Callable[[Control, str], Control]:
    def read(control: Control, value: str) -> Control:
        matched = _AMOUNT.match(value)
        if not matched:
            raise _wrong(name, value, "a decimal amount; write 1200.00 MDL")
        if control.currency and control.currency != matched[2]:
            raise Refused(554, "5.6.0", f"{name} is in {matched[2]}, another field in {control.currency}")
        member = "amount" if name == "X-AR-Amount" else "balance"
        return _set(replace(control, currency=matched[2]), member, matched[1])

    return read


def _text(name: str, member: str, most: int) -> Callable[[Control, str], Control]:
    return lambda control, value: _set(control, member, _short(name, value, most))


def _url(name: str, member: str) -> Callable[[Control, str], Control]:
    def read(control: Control, value: str) -> Control:
        if not re.match(r"https?://[^\s]{1,1990}\Z", value):
            raise _wrong(name, value, "a web address; write https://…")
        return _set(control, member, value)

    return read


def _language(control: Control, value: str) -> Control:
    if value not in ("ro", "ru", "en"):
        raise _wrong("X-AR-Language", value, "one of ro, ru, en")
    return replace(control, language=value)


def _force(control: Control, value: str) -> Control:
    forces = frozenset(part.strip().lower() for part in value.split(",") if part.strip())
    if not forces or forces - set(FORCES):
        raise _wrong("X-AR-Force", value, f"one or more of {', '.join(FORCES)}")
    return replace(control, force=control.force | forces)


def _mail_date(name: str, value: str) -> datetime:
    found = read_date(value)
    if found is None:
        raise _wrong(name, value, "a mail date; write Tue, 08 Dec 2026 09:00:00 +0200")
    return found.astimezone(UTC)


def _yes(name: str, value: str) -> bool:
    if value.lower() not in ("yes", "no", "true", "false"):
        raise _wrong(name, value, "yes or no")
    return value.lower() in ("yes", "true")


def _object(name: str, value: str) -> dict[str, Any]:
    try:
        data = json.loads(value)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise _wrong(name, value, "a JSON object")
    return data


def _short(name: str, value: str, most: int) -> str:
    if len(value) > most:
        raise Refused(554, "5.6.0", f"{name} is longer than {most} characters")
    return value


def _wrong(name: str, value: str, form: str) -> Refused:
    return wrong(_shown(name), value, form)


def _shown(name: str) -> str:
    parts = (
        part.upper() if part in ("x", "ar", "url", "pdf") else part.capitalize() for part in name.lower().split("-")
    )
    return _NAMES.get(name.lower(), "-".join(parts))


_READERS: dict[str, Callable[[Control, str], Control]] = {
    "x-ar-event": _text("X-AR-Event", "event", 60),
    "x-ar-template": _text("X-AR-Template", "template", 60),
    "x-ar-document": _document,
    "x-ar-number": _text("X-AR-Number", "number", 100),
    "x-ar-amount": _amount("X-AR-Amount"),
    "x-ar-balance": _amount("X-AR-Balance"),
    "x-ar-issued": lambda control, value: replace(control, issued=read_day("X-AR-Issued", value)),
    "x-ar-due": lambda control, value: replace(control, due=read_day("X-AR-Due", value)),
    "x-ar-status": _text("X-AR-Status", "status", 30),
    "x-ar-customer": _text("X-AR-Customer", "customer", 191),
    "x-ar-customer-name": _text("X-AR-Customer-Name", "customer_name", 300),
    "x-ar-view-url": _url("X-AR-View-URL", "view_url"),
    "x-ar-pay-url": _url("X-AR-Pay-URL", "pay_url"),
    "x-ar-language": _language,
    "x-ar-idempotency-key": _text("X-AR-Idempotency-Key", "idempotency_key", 256),
    "x-ar-send-at": lambda control, value: replace(control, send_at=read_moment("X-AR-Send-At", value)),
    "x-ar-delay": lambda control, value: replace(control, delay=read_length("X-AR-Delay", value)),
    "x-ar-expires": lambda control, value: replace(control, expires=read_ending("X-AR-Expires", value)),
    "x-ar-attach-pdf": lambda control, value: replace(control, attach_pdf=_yes("X-AR-Attach-PDF", value)),
    "x-ar-button": _text("X-AR-Button", "button", 60),
    "x-ar-run": _run,
    "x-ar-thread": _text("X-AR-Thread", "thread", 200),
    "x-ar-force": _force,
    "x-ar-test": lambda control, value: replace(control, test=_yes("X-AR-Test", value)),
}
