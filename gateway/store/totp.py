"""One-time codes by time (RFC 6238, SHA-1, six digits, 30 s: what every authenticator app reads), in plain arithmetic.

Called by `store.second_factors`, which keeps the secret and the step used last. The clock is given.
"""

import base64
import hmac
from datetime import datetime
from hashlib import sha1  # RFC 4226 §5.2 is HMAC-SHA-1, which no collision breaks
from urllib.parse import quote, urlencode

PERIOD = 30  # seconds
DIGITS = 6
DRIFT = 1  # steps that a telephone's clock may be off, either way (RFC 6238 §5.2)


def code_at(secret: bytes, step: int) -> str:
    """The code of one step (RFC 4226 §5.3)."""
    mac = hmac.digest(secret, step.to_bytes(8, "big"), sha1)
    offset = mac[-1] & 0xF
    return f"{(int.from_bytes(mac[offset : offset + 4], 'big') & 0x7FFFFFFF) % 10**DIGITS:0{DIGITS}d}"


def step_at(now: datetime) -> int:
    """The step of a moment."""
    return int(now.timestamp()) // PERIOD


def match_step(secret: bytes, code: str, now: datetime) -> int:
    """The step whose code this is, near `now`; 0 when it is none. Takes the same time for every wrong one."""
    found, here = 0, step_at(now)
    for step in range(here - DRIFT, here + DRIFT + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            found = step
    return found


def readable(secret: bytes) -> str:
    """The secret as people type it: base32."""
    return base64.b32encode(secret).decode().rstrip("=")


def address_of(secret: bytes, account: str, issuer: str) -> str:
    """The `otpauth://` address that an app reads from a picture."""
    label = f"{quote(issuer.replace(':', ' '), safe='')}:{quote(account, safe='@')}"
    values = {"secret": readable(secret), "issuer": issuer, "digits": DIGITS, "period": PERIOD}
    return f"otpauth://totp/{label}?{urlencode(values, quote_via=quote)}"
