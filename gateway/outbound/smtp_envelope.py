"""What we say for one message: the commands of its envelope and its bytes after 354. Pure: values in, bytes out.

Called by `outbound.smtp_transaction`. RFC 5321 §4.1 and §4.5.2, 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8),
3461 (DSN); a parameter is used only when the server offers it.
Refuses what the server said it cannot take, and an address that could end its command line; `raw` it trusts to have
CRLF line ends, which the doors see to.
"""

import re
from collections.abc import Mapping, Sequence

from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.smtp_replies import size_limit
from gateway.outbound.smtp_terms import Transaction

PART = 128 * 1024  # bytes of a message that get one deadline of their own
_FEW_DOTS = 256

# What may stand between < and >: RFC 5321 §4.1.2 loosely, but nothing that could end the path or the line.
_PATH = re.compile(r'(?:[^\x00-\x20\x7f<>"]|"(?:[^\x00-\x1f\x7f"\\]|\\[\x20-\x7e])*"){1,320}\Z')
_NOTIFY = re.compile(r"(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*)\Z")


def refuse(tx: Transaction, offered: Mapping[str, str], host: str) -> DeliveryStatus | None:
    """Why this server cannot take the message at all, from what its EHLO offered; None when it can."""
    limit = size_limit(offered)
    if 0 < limit < len(tx.raw):
        words = f"the message has {len(tx.raw)} bytes, the server takes {limit}"
        return _never("5.3.4", words, host, "too_large")
    if tx.smtputf8 and "SMTPUTF8" not in offered:
        return _never("5.6.7", "the server does not take internationalised mail (SMTPUTF8)", host)
    if "8BITMIME" not in offered and _eightbit(tx):
        return _never("5.6.3", "the message has 8-bit text, and the server takes 7-bit only (no 8BITMIME)", host)
    path = readable(tx.return_path, tx.smtputf8, host) if tx.return_path else ""
    return None if isinstance(path, str) else path


def readable(address: str, smtputf8: bool, host: str) -> str | DeliveryStatus:
    """The address as it goes between < and >, its domain in ASCII unless SMTPUTF8 is used; or why it cannot."""
    if not _PATH.match(address):
        return _never("5.1.3", "the address cannot be written in SMTP", host)
    if address.isascii() or smtputf8:
        return address
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        return _never("5.6.7", "the address needs SMTPUTF8", host)
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return _never("5.1.3", "the domain cannot be written in ASCII", host)


def commands(tx: Transaction, offered: Mapping[str, str], paths: Sequence[str]) -> list[bytes]:
    """MAIL and one RCPT for each path. `refuse` has found nothing to refuse, `readable` has made the paths."""
    mail = f"MAIL FROM:<{readable(tx.return_path, tx.smtputf8, '') if tx.return_path else ''}>"
    if "SIZE" in offered:
        mail += f" SIZE={len(tx.raw)}"
    if "8BITMIME" in offered and _eightbit(tx):
        mail += " BODY=8BITMIME"
    if tx.smtputf8:
        mail += " SMTPUTF8"
    notify = ""
    if "DSN" in offered:
        envid = _xtext(tx.envid)
        if 0 < len(envid) <= 100:  # RFC 3461 §5.4; one that is cut would match nothing
            mail += f" ENVID={envid}"
        if _NOTIFY.match(tx.notify):
            notify = f" NOTIFY={tx.notify}"
    return [f"{command}\r\n".encode() for command in (mail, *(f"RCPT TO:<{path}>{notify}" for path in paths))]


def stuff(raw: bytes) -> list[tuple[bytes, ...]]:
    """`raw` as it goes after 354: dots doubled at line starts (RFC 5321 §4.5.2), CRLF.CRLF at its end, in parts.

    The search for dots is what costs: a message in base64 has few, and they are looked at one by one.
    """
    if _may_start_a_line(raw):
        raw = raw.replace(b"\r\n.", b"\r\n..")
        if raw.startswith(b"."):
            raw = b"." + raw
    end = b".\r\n" if raw.endswith(b"\r\n") or not raw else b"\r\n.\r\n"
    if len(raw) <= PART:
        return [(raw, end)]
    parts = [(raw[start : start + PART],) for start in range(0, len(raw), PART)]
    return [*parts, (end,)]


def _may_start_a_line(raw: bytes) -> bool:
    """False when no dot stands at the start of a line; true when one does, or when there are many to look at."""
    at = raw.find(b".")
    for _ in range(_FEW_DOTS):
        if at < 0:
            return False
        if at == 0 or raw[at - 1] == 10:
            return True
        at = raw.find(b".", at + 1)
    return True


def _xtext(text: str) -> str:
    """RFC 3461 §4: printable ASCII as it is, all else as +XX."""
    return "".join(
        c if "!" <= c <= "~" and c not in "+=" else "".join(f"+{byte:02X}" for byte in c.encode()) for c in text
    )


def _eightbit(tx: Transaction) -> bool:
    return tx.eightbit or not tx.raw.isascii()


def _never(status: str, text: str, host: str, reason: str = "content_error") -> DeliveryStatus:
    return DeliveryStatus(Action.FAILED, status, 0, text, host, reason)
