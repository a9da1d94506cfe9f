"""The tenant's frame on a message: one mechanism for mail a billing system composed and for mail we render.

Called by `outbound.submission` (which reads the author first, to check it) before signing. Promises that only header
fields change: the body leaves byte for byte. What leaves has one of each field of RFC 5322 §3.6, lines of at most 998
bytes, no control header of ours or of other providers, no trace of inner hosts, no signature that the change breaks,
no request for a read receipt, and an ASCII header unless an address is not ASCII. Refuses (554 5.6.0, in words) what
cannot be made right without guessing: two Subjects, several authors, lines too long. Pure: no clock.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from gateway.mail.address import Address
from gateway.mail.header import address_list, date, encode_text, message_ids, with_parameters
from gateway.mail.header_parameters import read_parameters, read_type
from gateway.mail.header_text import decode_raw, decode_words, guess_charset
from gateway.mail.message import Field, Head, Mailbox, read_mailboxes
from gateway.mail.reply import Refused

LINE_LIMIT = 998  # RFC 5322 §2.1.1, without CRLF
OTHER_LIMIT = 100  # further fields of the submitter that pass
NAME_LIMIT = 76
REFERENCE_LIMIT = 20
LF = b"\n"
# Never All or NDR: Exchange would suppress its bounces.
SUPPRESS = b"X-Auto-Response-Suppress: DR, RN, NRN, OOF, AutoReply\r\n"

# RFC 5322 §3.6 allows one of each; two of a MIME field let two readers see two messages. (Bcc is dropped anyway.)
_SINGLE = frozenset(
    b"date from sender reply-to to cc message-id in-reply-to references subject mime-version content-type "
    b"content-transfer-encoding content-disposition content-id content-description content-language".split()
)
_REPLACED = frozenset(
    b"from reply-to message-id in-reply-to references auto-submitted x-auto-response-suppress feedback-id".split()
)
_STRIPPED = frozenset(
    # the envelope, and who handled the message before us
    b"bcc return-path sender errors-to apparently-to delivered-to x-original-to received received-spf x-received "
    b"x-originating-ip content-length lines status x-status precedence "
    # signatures and verdicts that our change breaks or that are not ours to give
    b"dkim-signature domainkey-signature x-google-dkim-signature authentication-results bimi-location bimi-indicator "
    # requests for receipts
    b"disposition-notification-to disposition-notification-options return-receipt-to return-receipt-requested "
    b"generate-delivery-report x-confirm-reading-to x-pmrqc "
    # words to us or to another provider: docs/smtp.md
    b"idempotency-key resend-idempotency-key x-smtpapi".split()
)
_STRIPPED_PREFIXES: tuple[bytes, ...] = (b"x-ar-", b"resent-", b"arc-", b"list-unsubscribe")
_STRIPPED_PREFIXES += (b"x-pm-", b"x-mailgun-", b"x-ses-", b"x-postal-")
_ADDRESSES = frozenset((b"to", b"cc"))
_PARAMETERS = frozenset((b"content-type", b"content-disposition"))
_NO_RECIPIENT = b"To: undisclosed-recipients:;\r\n"  # RFC 5322 §3.6.3 asks for none; filters ask for one

_CONTROLS = bytes((*range(9), 11, 12, *range(14, 32), 127))
_BLANK_LINE = re.compile(rb"\n[ \t]+\r\n")
_KEY = re.compile(r"[a-z0-9!#$&+.^_`{|}~-]{1,60}\Z")
_DATE = re.compile(
    rb"(?:[A-Z][a-z]{2},[ \t]*)?([0-9]{1,2})[ \t]+([A-Z][a-z]{2})[ \t]+([0-9]{4})[ \t]+([0-9]{2}):([0-9]{2})"
    rb"(?::([0-9]{2}))?[ \t]+(?:[+-][0-9]{2}[0-5][0-9]|GMT|UTC?|Z)(?:[ \t]*\([^()]{0,60}\))?\Z"
)
_MONTHS = {m: i for i, m in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the tenant and the thread give a message. Ids without <>; `date` is used when the message has none."""

    author_name: str
    author: Address
    reply_to_name: str
    reply_to: Address
    message_id: str
    thread_root: str
    references: tuple[str, ...] = ()  # of the conversation; the last one is answered
    language: str = ""
    feedback_id: str = ""
    automatic: bool = True  # False for what a clerk wrote
    unsubscribe: tuple[str, ...] = ()  # URIs by which the customer turns such mail off; a web address first
    date: datetime


@dataclass(frozen=True, slots=True)
class Needs:
    """What the next server must offer: 8BITMIME (RFC 6152) for the body, SMTPUTF8 (RFC 6531) for the header."""

    eightbit: bool
    smtputf8: bool


def read_author(head: Head) -> Mailbox:
    """The one author of a submitted message. Raises `Refused` 554 5.6.0 when From has none or several (RFC 7489)."""
    if head.count("from") != 1:
        raise _refuse(f"the message has {head.count('from') or 'no'} From fields; give it exactly one")
    authors = read_mailboxes(head.raw_value("from"), limit=2)
    if len(authors) != 1:
        raise _refuse(f"From names {'several authors' if authors else 'no mail address'}; it must name exactly one")
    return authors[0]


def frame_fields(frame: Frame) -> list[bytes]:
    """The header fields of `frame`: whole fields, each with its CRLF."""
    replied, references = _conversation(frame)
    fields = [
        address_list("From", [Mailbox(frame.author_name, frame.author)]),
        address_list("Reply-To", [Mailbox(frame.reply_to_name, frame.reply_to)]),
        message_ids("Message-ID", [frame.message_id]),
    ]
    if replied:
        fields += [message_ids("In-Reply-To", [replied]), message_ids("References", references)]
    if frame.automatic:
        fields.append(b"Auto-Submitted: auto-generated\r\n")  # RFC 3834 §5
    fields.append(SUPPRESS)
    if frame.language:
        fields.append(encode_text("Content-Language", frame.language))
    if frame.feedback_id:
        fields.append(encode_text("Feedback-ID", frame.feedback_id))
    if frame.unsubscribe:  # RFC 2369 §3.2; one click is for web addresses (RFC 8058 §3.1)
        named = b",\r\n ".join(f"<{uri}>".encode() for uri in frame.unsubscribe)
        fields.append(b"List-Unsubscribe: " + named + b"\r\n")
        if frame.unsubscribe[0].startswith("http"):
            fields.append(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
    return fields


def brand(raw: bytes, head: Head, frame: Frame) -> bytes:
    """`raw`, whose header was read as `head`, in the tenant's frame; the bytes from `head.body_at` on are unchanged.

    Raises `Refused` 554 5.6.0 for duplicate fields, several or no authors, more than 100 further fields, and body lines
    over 998 bytes. The doorsteps have refused bare CR and LF.
    """
    _check_names(head.fields)
    read_author(head)
    _check_lines(raw, head.body_at)
    kept = [item for item in head.fields if _is_kept(item, frame)]
    if len(kept) > OTHER_LIMIT:
        raise _refuse(f"the message has {len(kept)} header fields that would be sent on; at most {OTHER_LIMIT} are")
    if _is_odd(raw[: head.body_at]):
        kept = [renewed for item in kept if (renewed := _renew(item))]
    fields = [*frame_fields(frame), *(item.raw for item in kept), *_complete(raw, head, kept, frame)]
    return b"".join((*fields, b"\r\n", raw[head.body_at :]))


def needs(raw: bytes) -> Needs:
    """What a whole message (header, empty line, body) demands of the server that takes it."""
    at = raw.find(b"\r\n\r\n")
    if raw.isascii():
        return Needs(False, False)
    body_is_ascii = at < 0 or raw[at:].isascii()
    return Needs(not body_is_ascii, at < 0 or not raw[:at].isascii())


def _conversation(frame: Frame) -> tuple[str, list[str]]:
    """What In-Reply-To and References name: the thread's root first, the message that is answered last."""
    ids = list(dict.fromkeys(item for item in (frame.thread_root, *frame.references) if item))
    if frame.references and ids and frame.references[-1] in ids:
        ids.remove(frame.references[-1])
        ids.append(frame.references[-1])
    return (ids[-1] if ids else ""), ids if len(ids) <= REFERENCE_LIMIT else ids[:1] + ids[1 - REFERENCE_LIMIT :]


def _is_kept(item: Field, frame: Frame) -> bool:
    name = item.name
    if name in _REPLACED or name in _STRIPPED or name.startswith(_STRIPPED_PREFIXES):
        return False
    if name == b"date":
        return _is_date(item.value)
    if name in _ADDRESSES:
        return bool(item.value)
    return name != b"content-language" or not frame.language


def _is_date(value: bytes) -> bool:
    """Whether `value` is a date as RFC 5322 §3.3 writes it, of a day that exists."""
    match = _DATE.match(value[:100])
    if not match or match[2] not in _MONTHS:
        return False
    try:
        datetime(int(match[3]), _MONTHS[match[2]], int(match[1]), int(match[4]), int(match[5]))
    except ValueError:
        return False
    return int(match[6] or 0) <= 60  # a leap second is one


def _check_names(fields: Iterable[Field]) -> None:
    seen: set[bytes] = set()
    for item in fields:
        if len(item.name) > NAME_LIMIT:
            raise _refuse(f"a field name has {len(item.name)} characters; at most {NAME_LIMIT} are sent on")
        if item.name in seen and item.name in _SINGLE:
            name = item.name.decode("ascii").title()
            raise _refuse(f"the message has more than one {name} field; RFC 5322 allows one")
        seen.add(item.name)


def _check_lines(raw: bytes, start: int) -> None:
    at = _find_long_line(raw, start)
    if at >= 0:
        stop = raw.find(b"\r\n", at)
        length = (stop if stop >= 0 else len(raw)) - at
        raise _refuse(
            f"body line {raw.count(LF, start, at) + 1} has {length} bytes, and mail allows {LINE_LIMIT} "
            "(RFC 5322 2.1.1); encode that part as quoted-printable or base64"
        )


def _find_long_line(raw: bytes, at: int) -> int:
    """Where the first line over 998 bytes begins, from the line at `at` on; -1 when there is none.

    Leaps from the last line end within reach to the next: all lines between are short, so it looks at few bytes.
    """
    end = len(raw)
    while end - at > LINE_LIMIT:
        last = raw.rfind(b"\n", at, at + LINE_LIMIT + 2)
        if last < 0:
            return at
        at = last + 1
    return -1


def _complete(raw: bytes, head: Head, kept: list[Field], frame: Frame) -> list[bytes]:
    """The fields a message needs and came without."""
    names = {item.name for item in kept}
    fields: list[bytes] = []
    if b"date" not in names:
        fields.append(date(frame.date))
    if b"to" not in names:
        fields.append(_NO_RECIPIENT)
    if b"content-type" not in names and not raw.isascii() and not (body := raw[head.body_at :]).isascii():
        charset = guess_charset(body)
        fields.append(with_parameters("Content-Type", "text/plain", {"charset": charset}))
        names.add(b"content-type")
        if b"content-transfer-encoding" not in names:
            fields.append(b"Content-Transfer-Encoding: 8bit\r\n")
    if b"mime-version" not in names and any(name.startswith(b"content-") for name in names):
        fields.append(b"MIME-Version: 1.0\r\n")
    return fields


def _is_odd(raw: bytes) -> bool:
    """Whether header bytes cannot leave as they are: not ASCII, control characters, blank or overlong lines."""
    if not raw.isascii() or _find_long_line(raw, 0) >= 0 or _BLANK_LINE.search(raw):
        return True
    return len(raw.translate(None, _CONTROLS)) != len(raw)


def _renew(item: Field) -> Field | None:
    """The field as it may leave: ASCII, without control characters, in short lines. None when nothing is left."""
    if not _is_odd(item.raw):
        return item
    name, value = item.raw.partition(b":")[0].decode("ascii"), item.value
    if item.name in _ADDRESSES:
        mailboxes = read_mailboxes(value)
        if not mailboxes:
            return None
        if not _is_utf8(value) and not all(item.address.ascii for item in mailboxes):
            raise _refuse(f"{name} holds an address that is not ASCII and not UTF-8; nobody can tell which it is")
        raw = address_list(name, mailboxes)
    elif item.name in _PARAMETERS:
        kind, parameters = read_type(value) if item.name == b"content-type" else read_parameters(value)
        known = {key: text for key, text in parameters.items() if _KEY.match(key)}
        raw = with_parameters(name, kind if kind.isascii() else "attachment", known)
    else:
        raw = encode_text(name, decode_words(decode_raw(value, len(value))))
    if _find_long_line(raw, 0) >= 0:
        raise _refuse(f"the {name} field cannot be folded into lines of {LINE_LIMIT} bytes")
    return Field(item.name, raw)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refuse(why: str) -> Refused:
    return Refused(554, "5.6.0", why[0].upper() + why[1:])
