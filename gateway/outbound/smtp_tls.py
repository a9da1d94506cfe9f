"""What a TLS session with a server shows: why a handshake failed (types of RFC 8460 §4.3), and the server's chain.

Used by `outbound.smtp_wire` (which shakes hands) and `outbound.smtp_opening` (which judges). Promises nothing about
trust: the chain is what the server said, unverified; who needs it proved has `outbound.dane` judge it.
"""

import os
import ssl
from dataclasses import dataclass

from gateway.mail.status import Action, DeliveryStatus, clean

NO_STARTTLS = "starttls-not-supported"
MISMATCH = "certificate-host-mismatch"
EXPIRED = "certificate-expired"
NOT_TRUSTED = "certificate-not-trusted"
INVALID = "validation-failure"

# OpenSSL's X509_V_ERR_*: not yet valid and expired; a name that does not fit; no way to a trusted authority.
_FAULTS = {9: EXPIRED, 10: EXPIRED, 62: MISMATCH, 64: MISMATCH, **dict.fromkeys((18, 19, 20, 21, 27, 28), NOT_TRUSTED)}
_DER = 2  # _ssl.ENCODING_DER


@dataclass(frozen=True, slots=True)
class TlsFailure(DeliveryStatus):
    """No session, since TLS was not to be had or proved too little. `fault`: a type of RFC 8460 §4.3."""

    fault: str = INVALID


def tls_failure(text: str, host: str, fault: str) -> TlsFailure:
    """Such an outcome: 4.7.5, which may pass."""
    return TlsFailure(Action.DELAYED, "4.7.5", 0, clean(text), host, "unreachable", fault)


def fault_of(error: ssl.SSLError) -> str:
    """The type of a failed handshake."""
    return _FAULTS.get(getattr(error, "verify_code", 0), INVALID)


def peer_chain(session: ssl.SSLObject) -> list[bytes]:
    """The certificates that the server showed, its own first, each in DER."""
    public = getattr(session, "get_unverified_chain", None)  # Python 3.13; before, only the object within has it
    if public is not None:
        return [bytes(one) for one in public()]
    chain = session._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return [one.public_bytes(_DER) for one in chain or ()]


def explain(error: Exception) -> str:
    """A network error in the system's words: `Connection refused`, without addresses and Python."""
    if isinstance(error, ssl.SSLError):
        return error.reason or type(error).__name__
    number = getattr(error, "errno", None)
    return os.strerror(number) if number and number > 0 else getattr(error, "strerror", None) or type(error).__name__
