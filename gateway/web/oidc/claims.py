"""What an ID token must prove before anybody is believed (OpenID Connect Core §3.1.3.7), and whom it is about.

Called by `web.oidc.provider`, beside the event loop. Takes signatures by public keys only: an `alg` that a token picks
for itself ("none", or HS256 with a public key as its secret) is refused before a key is looked at.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from joserfc import jwk, jwt
from joserfc.errors import JoseError
from joserfc.jws import extract_compact

ALGORITHMS = {  # RFC 7518 §3.1, RFC 8037; each with the kind of key that it takes
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP", "Ed25519": "OKP",
}  # fmt: skip
LEEWAY = 60  # seconds that two clocks may differ
TOKEN_LIMIT = 32 * 1024
MOST_KEYS = 50


class NotProven(Exception):
    """The provider's answer proves nothing; the text says why, for the log."""


class UnknownKey(NotProven):
    """Signed by a key that we do not know: the provider may have new ones."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider vouches for. `mfa`: it says that they proved more than one thing (RFC 8176)."""

    issuer: str
    subject: str
    email: str = ""
    verified: bool = False
    name: str = ""
    mfa: bool = False
    tenant: str = ""  # what the claim says that names a tenant
    token: str = field(default="", repr=False)  # that said so


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say: for whom it is, and the nonce of the login that asked for it."""

    issuer: str
    client_id: str
    nonce: str


def verify_token(token: str, keys: Sequence[Mapping[str, Any]], expected: Expected, now: datetime) -> dict[str, Any]:
    """The claims of an ID token that one of the provider's keys signed for us, now. Raises NotProven."""
    claims = _signed(token, keys)
    seconds = now.timestamp()
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != expected.issuer:
        raise NotProven("the token is another issuer's")
    if expected.client_id not in audiences:
        raise NotProven("the token is for another client")
    if claims.get("azp", None if len(audiences) > 1 else expected.client_id) != expected.client_id:
        raise NotProven("the token was given to another client")
    if not _is_time(claims.get("exp")) or claims["exp"] <= seconds - LEEWAY:
        raise NotProven("the token has expired")
    if not _is_time(claims.get("iat")) or claims["iat"] > seconds + LEEWAY:
        raise NotProven("the token is of the future")
    if _is_time(claims.get("nbf")) and claims["nbf"] > seconds + LEEWAY:
        raise NotProven("the token is not valid yet")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise NotProven("the token belongs to another login")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise NotProven("the token names nobody")
    return claims


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _signed(token: str, keys: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if len(token) > TOKEN_LIMIT:
        raise NotProven("the token is too large")
    try:
        header = extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise NotProven(f"this is no token: {type(error).__name__}") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise NotProven(f"the token is signed by {str(algorithm)[:20]!r}, which proves nothing")
    fitting = [
        key
        for key in keys[:MOST_KEYS]
        if key.get("kty") == ALGORITHMS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]
    if not fitting:
        raise UnknownKey("the token is signed by a key that the provider does not publish")
    for key in fitting:
        try:
            return dict(jwt.decode(token, jwk.import_key(dict(key)), algorithms=[algorithm]).claims)
        except (JoseError, ValueError, TypeError):
            continue
    raise NotProven("the token's signature is wrong")


def read_person(claims: Mapping[str, Any], issuer: str, tenant_claim: str) -> Person:
    """Whom verified claims are about. An address counts as verified only when the provider says so."""
    methods = claims.get("amr")
    return Person(
        issuer=issuer,
        subject=str(claims["sub"]),
        email=_text(claims, "email").strip().lower(),
        verified=claims.get("email_verified") in (True, "true"),
        name=_text(claims, "name") or _text(claims, "preferred_username"),
        mfa=isinstance(methods, list) and "mfa" in methods,
        tenant=_text(claims, tenant_claim) if tenant_claim else "",
    )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value[:320] if isinstance(value, str) and value.isprintable() else ""
