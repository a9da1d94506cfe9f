"""The identity provider that an operator names: where to send a browser, and what its code is worth.

Made by `serve`, used by `web.oidc` and `gateway doctor`. Authorization code with PKCE (RFC 7636), state and nonce. Its
documents and keys are fetched bounded in size and time, without redirects, kept for an hour, and asked for again when a
token is signed by a new key; one that does not answer is left alone for a while. The secret is in no log and no repr.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from gateway.outbound.https import Answer, Unfetched, fetch
from gateway.web.oidc.claims import ALGORITHMS, Expected, NotProven, Person, UnknownKey, read_person, verify_token

FRESH = timedelta(hours=1)
PAUSE = timedelta(seconds=15)  # after a failure
KEYS_PAUSE = timedelta(minutes=1)  # between two looks for new keys
SECONDS = 10.0
DOCUMENT_BYTES = 256 * 1024
END_SECONDS = 3.0  # that logging out may take longer for it
NEEDED = {  # of its metadata (Discovery §3): a list that is there must have one of these
    "response_types_supported": ("code",),
    "scopes_supported": ("openid",),
    "code_challenge_methods_supported": ("S256",),
    "id_token_signing_alg_values_supported": tuple(ALGORITHMS),
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ProviderAway(Exception):
    """The provider does not answer as it should; the text says how, for the log."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operator agreed on with a provider. `tenants`: the tenant's slug by e-mail domain."""

    issuer: str
    client_id: str
    redirect: str
    client_secret: str = field(default="", repr=False)
    scopes: str = "openid email profile"
    name: str = ""
    create: str = ""  # the role of users who are made at their first login; "": nobody is
    tenants: Mapping[str, str] = field(default_factory=dict)
    tenant_claim: str = ""

    @property
    def label(self) -> str:
        """Its name on the login page."""
        return self.name or urlsplit(self.issuer).hostname or self.issuer

    def tenant_of(self, person: Person) -> str:
        """The slug of the tenant that a person belongs to, as the claim or their address says; "" when nothing does."""
        return person.tenant or self.tenants.get(person.email.rpartition("@")[2], "")


@dataclass
class _Kept:
    value: Any = None
    at: datetime | None = None
    failed_at: datetime | None = None
    words: str = ""


class Provider:
    """One provider, with what is remembered of its documents. Used from the pages' event loop."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._metadata, self._keys = _Kept(), _Kept()
        self._lock = asyncio.Lock()

    async def begin(self, state: str, nonce: str, verifier: str, now: datetime) -> str:
        """The address to send the browser to. Raises ProviderAway."""
        endpoint = (await self._document(now))["authorization_endpoint"]
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        values = {
            "response_type": "code", "client_id": self.terms.client_id, "redirect_uri": self.terms.redirect,
            "scope": self.terms.scopes, "state": state, "nonce": nonce, "code_challenge": challenge,
            "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(values)}"

    async def end(self, token: str, back: str, now: datetime) -> str:
        """Where to send a browser that has logged out here, so that it logs out there (RP-Initiated Logout §2).

        `token` is the ID token of the login, or "". "" when the provider has no such page, or does not answer soon.
        """
        try:
            async with asyncio.timeout(END_SECONDS):
                document = await self._document(now)
            endpoint = document.get("end_session_endpoint")
            if endpoint is None:
                return ""
            _check_url(endpoint, self.terms.issuer)
        except (ProviderAway, TimeoutError):
            return ""
        values = {"client_id": self.terms.client_id, "post_logout_redirect_uri": back}
        values |= {"id_token_hint": token} if token else {}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(values)}"

    async def examine(self, now: datetime) -> str:
        """What its documents say, in words. Raises ProviderAway for whatever nobody could log in with."""
        document, keys = await self._document(now), await self._known_keys(now, FRESH)
        for name, wanted in NEEDED.items():
            offered = document.get(name)
            if isinstance(offered, list) and not set(wanted) & set(map(str, offered)):
                raise ProviderAway(f"its {name} have none of {', '.join(sorted(wanted))}")
        kinds = set(ALGORITHMS.values())
        usable = [key for key in keys if key.get("kty") in kinds and key.get("use", "sig") == "sig"]
        if not usable:
            raise ProviderAway(f"{document['jwks_uri']} has no key that signatures could be checked by")
        ends = "logging out here logs out there" if "end_session_endpoint" in document else "it has no page to log out"
        return f"answers, with {len(usable)} signing key{'s' * (len(usable) != 1)}; {ends}"

    async def redeem(self, code: str, verifier: str, nonce: str, now: datetime) -> Person:
        """Whom a code stands for. Raises ProviderAway, or NotProven."""
        document = await self._document(now)
        form, headers = self._proof(document, {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.terms.redirect,
            "code_verifier": verifier,
        })  # fmt: skip
        answer = await self._ask(document["token_endpoint"], form, headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotProven(f"no ID token came: {str(answer.get('error', ''))[:60]}")
        expected = Expected(self.terms.issuer, self.terms.client_id, nonce)
        claims = await self._verify(token, expected, now)
        if not claims.get("email") and isinstance(document.get("userinfo_endpoint"), str):
            claims = await self._more(document["userinfo_endpoint"], answer.get("access_token"), claims)
        return replace(read_person(claims, self.terms.issuer, self.terms.tenant_claim), token=token)

    async def _verify(self, token: str, expected: Expected, now: datetime) -> dict[str, Any]:
        keys = await self._known_keys(now, FRESH)
        try:
            return await asyncio.to_thread(verify_token, token, keys, expected, now)
        except UnknownKey:
            keys = await self._known_keys(now, KEYS_PAUSE)
            return await asyncio.to_thread(verify_token, token, keys, expected, now)

    async def _more(self, url: str, access_token: Any, claims: dict[str, Any]) -> dict[str, Any]:
        """The claims with those of the userinfo endpoint (Core §5.3.2: only of the same subject)."""
        if not isinstance(access_token, str) or not access_token.isascii() or not access_token.isprintable():
            return claims
        found = await self._ask(url, None, {"Authorization": f"Bearer {access_token}"})
        if found.get("sub") != claims["sub"]:
            raise NotProven("the userinfo is somebody else's")
        return found | claims

    def _proof(self, document: Mapping[str, Any], form: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """(form, headers) with what proves us to be the client (RFC 6749 §2.3.1)."""
        id, secret = self.terms.client_id, self.terms.client_secret
        if not secret:
            return form | {"client_id": id}, {}
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "client_secret_basic" not in methods:
            return form | {"client_id": id, "client_secret": secret}, {}
        both = base64.b64encode(f"{quote_plus(id)}:{quote_plus(secret)}".encode()).decode()
        return form, {"Authorization": f"Basic {both}"}

    # -- its documents

    async def _document(self, now: datetime) -> dict[str, Any]:
        async def look() -> dict[str, Any]:
            found = await self._ask(f"{self.terms.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.terms.issuer:  # Discovery §4.3
                raise ProviderAway(f"it calls itself {str(found.get('issuer'))[:100]!r}, not {self.terms.issuer!r}")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                _check_url(found.get(name), self.terms.issuer)
            return found

        value: dict[str, Any] = await self._keep(self._metadata, look, now, FRESH)
        return value

    async def _known_keys(self, now: datetime, fresh: timedelta) -> list[dict[str, Any]]:
        document = await self._document(now)

        async def look() -> list[dict[str, Any]]:
            keys = (await self._ask(document["jwks_uri"])).get("keys")
            return [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []

        value: list[dict[str, Any]] = await self._keep(self._keys, look, now, fresh)
        return value

    async def _keep(self, kept: _Kept, look: Any, now: datetime, fresh: timedelta) -> Any:
        async with self._lock:  # one looks, the others wait for what it finds
            if kept.at is not None and now - kept.at < fresh:
                return kept.value
            if kept.failed_at is not None and now - kept.failed_at < PAUSE:
                raise ProviderAway(kept.words)
            try:
                kept.value, kept.at = await look(), now
            except ProviderAway as error:
                kept.failed_at, kept.words = now, str(error)
                raise
            return kept.value

    async def _ask(
        self, url: str, form: dict[str, str] | None = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, Any]:
        """The JSON object at an address. Raises ProviderAway."""
        parts = _check_url(url, self.terms.issuer)
        host, secure = parts.hostname or "", parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        post = ("application/x-www-form-urlencoded", urlencode(form).encode()) if form is not None else None
        port = parts.port or (443 if secure else 80)
        try:
            answer = await fetch(
                host, await _addresses(host, port), path, port=port, limit=DOCUMENT_BYTES, seconds=SECONDS, post=post,
                headers={"Accept": "application/json", **headers}, secure=secure,
            )  # fmt: skip
        except Unfetched as error:
            raise ProviderAway(str(error)) from None
        return _object(answer, host)


async def _addresses(host: str, port: int) -> list[str]:
    try:
        async with asyncio.timeout(SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # SOCK_STREAM
    except (OSError, TimeoutError, UnicodeError):
        raise ProviderAway(f"{host} has no address") from None
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _check_url(url: Any, issuer: str) -> Any:
    """The parts of an address that secrets may be sent to: https, or loopback where the issuer itself is there."""
    parts = urlsplit(url) if isinstance(url, str) and url.isascii() and url.isprintable() and " " not in url else None
    if parts is not None and parts.scheme == "https" and parts.hostname:
        return parts
    if parts is not None and parts.scheme == "http" and parts.hostname in LOOPBACK and issuer.startswith("http://"):
        return parts
    raise ProviderAway(f"{str(url)[:100]!r} is not an https:// address")


def _object(answer: Answer, host: str) -> dict[str, Any]:
    """What was said. Answers with an error are objects too (RFC 6749 §5.2)."""
    if answer.code not in (200, 400, 401):
        raise ProviderAway(f"{host} answered {answer.code}")
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProviderAway(f"{host} answered {answer.code} without a JSON object")
    return value
