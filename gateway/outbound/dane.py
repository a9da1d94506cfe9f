"""DANE for SMTP (RFC 7672): whether the chain that a server shows is the one that its TLSA records name.

Called at the end of a handshake through `Target.proof`; the records were validated by DNSSEC (`dns_questions`). Usages
3 (this key or certificate, whatever name and dates it bears) and 2 (an authority in the chain; names and dates count)
prove; 0 and 1 are unusable in SMTP (§3.1.3), as are unknown ones. Pure; refuses a chain longer than it would search.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from gateway.outbound.dns_questions import TlsaRecord
from gateway.outbound.smtp_tls import EXPIRED, INVALID, MISMATCH, NOT_TRUSTED

TA, EE = 2, 3
LONGEST_CHAIN = 10
_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}
_SIZES = {1: 32, 2: 64}
_UNDERSTOOD = frozenset(
    (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE,
     ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
)  # fmt: skip
_BROKEN = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


def usable(record: TlsaRecord) -> bool:
    """Whether a record can prove anything here (§3.1, §3.2)."""
    if record.usage not in (TA, EE) or record.selector not in (0, 1) or record.matching not in (0, 1, 2):
        return False
    if record.matching:
        return len(record.data) == _SIZES[record.matching]
    return bool(record.data)


@dataclass(frozen=True, slots=True)
class Proof:
    """The judge of one session. `names`: those that an authority's certificate may be for; `now`: of the judgement."""

    records: tuple[TlsaRecord, ...]  # usable ones
    names: tuple[str, ...]
    now: datetime

    def __call__(self, chain: Sequence[bytes]) -> tuple[str, str] | None:
        """None when the chain is proved; else a type of RFC 8460 §4.3, and words."""
        if not chain:
            return INVALID, "the server showed no certificate"
        if any(record.usage == EE and _is(record, chain[0]) for record in self.records):
            return None
        anchors = [record for record in self.records if record.usage == TA]
        if not anchors:
            return INVALID, "the certificate is not the one that the TLSA records name"
        if len(chain) > LONGEST_CHAIN:
            return INVALID, f"the server showed more than {LONGEST_CHAIN} certificates"
        try:
            return self._by_authority(chain, anchors)
        except _BROKEN as error:
            return INVALID, f"a certificate cannot be read: {type(error).__name__}"

    def _by_authority(self, chain: Sequence[bytes], anchors: Sequence[TlsaRecord]) -> tuple[str, str] | None:
        leaf = x509.load_der_x509_certificate(chain[0])
        # An authority that stands in DNS whole need not be shown (RFC 7671 §5.2.1).
        whole = [record.data for record in anchors if record.selector == 0 and record.matching == 0]
        known = [*chain, *whole]
        trusted = {one for one in known if any(_is(record, one) for record in anchors)}
        if not trusted:
            return NOT_TRUSTED, "no certificate of the chain is the authority that the TLSA records name"
        fault = _climb(leaf, list(_readable(known[1:])), trusted, self.now, 0)
        if fault is not None:
            return fault
        if not any(_names(leaf, name) for name in self.names):
            return MISMATCH, f"the certificate is not for {' or '.join(self.names)}"
        return None


def _is(record: TlsaRecord, certificate: bytes) -> bool:
    """Whether a record names this certificate, or its key (RFC 6698 §2.1)."""
    data = certificate
    if record.selector == 1:
        try:
            key = x509.load_der_x509_certificate(certificate).public_key()
            data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except _BROKEN:
            return False
    return (_DIGESTS[record.matching](data).digest() if record.matching else data) == record.data


def _readable(chain: Iterable[bytes]) -> Iterator[x509.Certificate]:
    for one in chain:
        with contextlib.suppress(*_BROKEN):
            yield x509.load_der_x509_certificate(one)


def _climb(
    one: x509.Certificate, others: list[x509.Certificate], trusted: Iterable[bytes], now: datetime, below: int
) -> tuple[str, str] | None:
    """From a certificate to a trusted one, each step a signature that holds; None when that leads there.

    What was climbed to is taken out of `others`: however a chain is knotted, each is looked at once.
    """
    if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
        return EXPIRED, f"the certificate {one.subject.rfc4514_string()[:80]} is not valid now"
    if any(item.critical and item.oid not in _UNDERSTOOD for item in one.extensions):
        return INVALID, "a certificate has a critical extension that is not understood"
    if below == 0 and not _may_serve(one):
        return INVALID, "the certificate is not for servers"
    if one.public_bytes(Encoding.DER) in trusted:
        return None
    fault: tuple[str, str] = (NOT_TRUSTED, "the chain does not lead to the authority that the TLSA records name")
    if below >= LONGEST_CHAIN:
        return fault
    for other in tuple(others):
        if other in others and other != one and _issued(other, one, below):
            others.remove(other)
            found = _climb(other, others, trusted, now, below + 1)
            if found is None:
                return None
            fault = found
    return fault


def _issued(issuer: x509.Certificate, one: x509.Certificate, below: int) -> bool:
    """Whether an authority signed a certificate, and may: `below` other authorities stand under it."""
    try:
        one.verify_directly_issued_by(issuer)
        limits = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (*_BROKEN, InvalidSignature, x509.ExtensionNotFound):
        return False
    if not limits.ca or (limits.path_length is not None and limits.path_length < below):
        return False
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _may_serve(one: x509.Certificate) -> bool:
    try:
        uses = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in uses or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in uses


def _names(one: x509.Certificate, name: str) -> bool:
    """Whether a certificate is for a host name; `*.` stands for one label (RFC 6125 §6.4.3)."""
    wanted = name.lower().rstrip(".")
    try:
        names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [item.lower().rstrip(".") for item in names.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:  # RFC 7672 §3.2.3: only then the common name
        found = [str(item.value).lower() for item in one.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    beyond = wanted.partition(".")[2]
    return any(item == wanted or (item[:2] == "*." and "." in beyond and item[2:] == beyond) for item in found)
