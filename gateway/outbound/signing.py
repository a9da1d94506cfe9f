"""DKIM signing, the last step before a message is queued: RFC 6376 with RSA (RFC 8301) and Ed25519 (RFC 8463).

Called by `outbound.submission` with the tenant's `Signer`, and by the CLI and the domain checks for keys and DNS
records. Signs rsa-sha256 and ed25519-sha256, relaxed/relaxed, without l= and x=. From, To, Subject, Date, Message-ID,
Reply-To and Content-Type are oversigned: a second one added on the way breaks the signature. Promises to change no
byte of the message, to hash and canonicalise once for all keys, and to be safe in threads. Refuses RSA keys under 2048
bits, and takes only messages with CRLF line ends (`branding.brand` sees to it). Pure: the time is given.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

RSA = "rsa-sha256"
ED25519 = "ed25519-sha256"
RSA_BITS = 2048

OVERSIGNED = (b"from", b"to", b"subject", b"date", b"message-id", b"reply-to", b"content-type")
SIGNED = (
    *(b"cc", b"mime-version", b"content-transfer-encoding", b"in-reply-to", b"references", b"list-unsubscribe"),
    *(b"list-unsubscribe-post", b"auto-submitted", b"content-language", b"feedback-id"),
)

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

_LISTED = frozenset((*OVERSIGNED, *SIGNED))
_LABELS = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9])?\Z")
_PADDING, _SHA256 = PKCS1v15(), hashes.SHA256()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A domain's key: `algorithm` is `rsa-sha256` or `ed25519-sha256`; the record stands at `record_name`.

    Raises ValueError when the names are no DNS names (A-labels) or the key is not of that algorithm or too short.
    """

    domain: str
    selector: str
    algorithm: str
    private_key: PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        if not _LABELS.match(self.domain) or not _LABELS.match(self.selector):
            raise ValueError("the signing domain and selector must be DNS names in lower case")
        if self.algorithm != algorithm_of(self.private_key):
            raise ValueError(f"the key of {self.record_name} is not for {self.algorithm}")

    @property
    def record_name(self) -> str:
        """Where the public key is published (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"

    def sign(self, data: bytes) -> bytes:
        """The raw signature of canonical `data`. Ed25519 signs its SHA-256 (RFC 8463 §3)."""
        if isinstance(self.private_key, Ed25519PrivateKey):
            return self.private_key.sign(hashlib.sha256(data).digest())
        return self.private_key.sign(data, _PADDING, _SHA256)


class Signer:
    """Signs with every key it is given, usually one RSA and one Ed25519 of a domain; holds no other state."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._keys = tuple(keys)

    def sign(self, raw: bytes, now: datetime) -> bytes:
        """`raw` with a DKIM-Signature field for each key before it; `now` (aware) becomes t=, in whole seconds."""
        at = raw.find(b"\r\n\r\n")
        head, body = (raw[: at + 2], raw[at + 4 :]) if at >= 0 else (raw, b"")
        names, data = _select(head)
        digest = base64.b64encode(hashlib.sha256(canonical_body(body)).digest()).decode("ascii")
        listed = b":".join(names).decode("ascii")
        signatures = [_sign_one(key, listed, digest, int(now.timestamp()), data) for key in self._keys]
        return b"".join((*signatures, raw))


def _sign_one(key: SigningKey, listed: str, digest: str, seconds: int, data: bytes) -> bytes:
    """One DKIM-Signature field. Written so that unfolding it gives the relaxed form: a fold is CRLF and one space."""
    tags = (
        f"v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain};\r\n s={key.selector}; t={seconds};\r\n"
        f" h={_fold_list(listed)};\r\n bh={digest};\r\n b="
    )
    signed = data + b"dkim-signature:" + tags.replace("\r\n", "").encode("ascii")
    value = base64.b64encode(key.sign(signed)).decode("ascii")
    folded = "\r\n ".join(value[i : i + 72] for i in range(0, len(value), 72))
    return f"DKIM-Signature: {tags}{folded}\r\n".encode("ascii")


@lru_cache(maxsize=256)
def _fold_list(listed: str) -> str:
    """The names of h=, a line for about 70 characters (blanks may stand around its colons, RFC 6376 §3.5)."""
    lines = [""]
    for name in listed.split(":"):
        if len(lines[-1]) + len(name) > 70:
            lines.append("")
        lines[-1] += name + ":"
    return "\r\n ".join(lines).removesuffix(":")


def _select(head: bytes) -> tuple[list[bytes], bytes]:
    """The names for h= and the relaxed fields they select; of several the last first (RFC 6376 §5.4.2)."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in canonical_fields(head):
        if name in _LISTED:
            found.setdefault(name, []).append(b"%s:%s\r\n" % (name, value))
    names: list[bytes] = []
    data: list[bytes] = []
    for name, texts in found.items():
        names += [name] * len(texts)
        data += reversed(texts)
    # One more of each than there is: it stands for nothing, so that adding one later breaks the signature.
    return [*names, *OVERSIGNED], b"".join(data)


def canonical_fields(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, value) of each field in relaxed form (RFC 6376 §3.4.2); `head` is folded fields with CRLF."""
    text = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    if b"\t" in text or b"  " in text:
        text = _squeeze(text)
    for line in text.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            yield name.rstrip(b" ").lower(), value.strip(b" ")


def _squeeze(text: bytes) -> bytes:
    """Each run of blanks and tabs made one blank. Halving the runs is several times faster than a regex."""
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def canonical_body(body: bytes) -> bytes:
    """The relaxed form of a body with CRLF line ends (RFC 6376 §3.4.4).

    Most bodies are returned as they are after a few searches at the speed of memchr.
    """
    first, last = body.find(b" "), body.rfind(b" ")
    if first >= 0 or b"\t" in body:
        if not body.endswith(b"\r\n"):
            body += b"\r\n"
        # Between the first and the last blank: most of a mail with a PDF is base64 after the last one. The searches
        # run backwards because those are twice as fast in CPython.
        if b"\t" in body or body.rfind(b"  ", first, last + 1) >= 0:
            body = _squeeze(body)
            first, last = 0, len(body)
        if body.rfind(b" \r\n", first, last + 3) >= 0:
            body = body.replace(b" \r\n", b"\r\n")
    if body.endswith(b"\r\n") and not body.endswith(b"\r\n\r\n") and body != b"\r\n":
        return body
    return _end_once(body)


def _end_once(body: bytes) -> bytes:
    """`body` with its empty lines at the end removed, and one CRLF after what is left; nothing when nothing is."""
    bare = body.rstrip(b"\r\n")
    tail = body[len(bare) :]
    if tail.replace(b"\r\n", b""):  # lone CR or LF among them: they are content (not from our doors)
        end = len(tail)
        while tail[:end].endswith(b"\r\n"):
            end -= 2
        bare += tail[:end]
    return bare + b"\r\n" if bare else b""


def algorithm_of(key: PrivateKey) -> str:
    """The DKIM algorithm a key is for. Raises ValueError for RSA under 2048 bits (RFC 8301 §3.2) and other kinds."""
    if isinstance(key, Ed25519PrivateKey):
        return ED25519
    if isinstance(key, RSAPrivateKey):
        if key.key_size < RSA_BITS:
            raise ValueError(f"an RSA key of {key.key_size} bits is too short for DKIM; use {RSA_BITS}")
        return RSA
    raise ValueError("a DKIM key must be RSA or Ed25519")


@lru_cache(maxsize=1024)
def load_key(secret: bytes) -> PrivateKey:
    """The private key in PEM or DER (PKCS#8 or PKCS#1), parsed once and remembered.

    Raises ValueError, without any part of the key, when it is none that we sign with.
    """
    load = load_pem_private_key if secret.lstrip().startswith(b"-----BEGIN") else load_der_private_key
    try:
        key = load(secret, None)
    except (ValueError, TypeError):
        raise ValueError("this is not a private key in PEM or DER without a password") from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError("a DKIM key must be RSA or Ed25519")
    algorithm_of(key)
    return key


def generate_key(algorithm: str) -> PrivateKey:
    """A new key for `rsa-sha256` (2048 bits, what fits one DNS answer) or `ed25519-sha256`."""
    if algorithm == ED25519:
        return Ed25519PrivateKey.generate()
    if algorithm == RSA:
        return generate_private_key(65537, RSA_BITS)
    raise ValueError(f"{algorithm!r} is not {RSA} or {ED25519}")


def private_pem(key: PrivateKey) -> bytes:
    """The private key as `load_key` reads it; to be sealed at once."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_record(key: PrivateKey) -> str:
    """The TXT value to publish at `record_name` (RFC 6376 §3.6.1, RFC 8463 §4.2)."""
    public = key.public_key()
    if algorithm_of(key) == ED25519:
        return f"v=DKIM1; k=ed25519; p={_b64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}"
    return f"v=DKIM1; k=rsa; p={_b64(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))}"


def zone_text(value: str) -> str:
    """A TXT value as a zone file writes it: quoted strings of at most 255 bytes (RFC 6376 §3.6.2.2)."""
    return " ".join(f'"{value[i : i + 255]}"' for i in range(0, len(value), 255))


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
