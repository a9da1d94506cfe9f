"""OAuth 2 for a tenant's own SMTP server: consents with PKCE, client credentials, and tokens renewed in time.

Called by `outbound.tenant_routes` (renewing) and by `gateway tenant smtp`. The messages are authlib's (RFC 6749, 7636);
the transport is a small HTTPS POST of our own: bounded in time and size, no redirects, certificates verified, and plain
HTTP to the loopback only. Google and Microsoft are data (`PROVIDERS`); any other provider is its two URLs.
Raises `OAuthRefused`, whose words hold what the provider said and never a token, code or secret.
"""

import http.client
import json
import re
import secrets
import ssl
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]

from gateway.mail.reply import Refused
from gateway.mail.status import clean
from gateway.store.database import to_ms
from gateway.store.routes import Secret, Server

CODE, CLIENT = "authorization_code", "client_credentials"
EARLY_MS = 300_000  # a token is renewed so long before it expires
USUAL_SECONDS = 3600  # of a token whose answer names no time
HTTP_SECONDS = 20.0
HTTP_BYTES = 64 * 1024
TOKEN_LIMIT = 8_000  # characters; an AUTH line takes 12,288 bytes of base64
_DIRECTORY = re.compile(r"[A-Za-z0-9.-]{1,100}\Z")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LASTING = ("invalid_grant", "invalid_client", "unauthorized_client", "access_denied", "invalid_scope", "consent")


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider answers. `{directory}` in a URL is the company's directory (Microsoft's "tenant")."""

    host: str
    port: int
    authorize_url: str
    token_url: str
    scope: str
    client_scope: str = ""  # of client credentials; "" when the provider has none for SMTP
    more: tuple[tuple[str, str], ...] = ()  # further parameters of the consent's URL


PROVIDERS: dict[str, Provider] = {
    "google": Provider(
        host="smtp.gmail.com",
        port=587,
        authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
        token_url="https://oauth2.googleapis.com/token",  # noqa: S106 an address
        scope="https://mail.google.com/",
        more=(("access_type", "offline"), ("prompt", "consent")),  # else there is no refresh token
    ),
    "microsoft": Provider(
        host="smtp.office365.com",
        port=587,
        authorize_url="https://login.microsoftonline.com/{directory}/oauth2/v2.0/authorize",
        token_url="https://login.microsoftonline.com/{directory}/oauth2/v2.0/token",  # noqa: S106 an address
        scope="https://outlook.office.com/SMTP.Send offline_access",
        client_scope="https://outlook.office365.com/.default",
    ),
}


class OAuthRefused(Exception):
    """No token. `lasting`: somebody must act; else trying again may help."""

    def __init__(self, words: str, lasting: bool) -> None:
        self.words, self.lasting = words, lasting
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent that was begun: the URL to open, and what proves its answer to be ours."""

    url: str
    state: str
    verifier: str


def begin(server: Server, redirect: str) -> Consent:
    """What to open in a browser to allow us to send as the server's user."""
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    more = dict(PROVIDERS[server.provider].more) if server.provider in PROVIDERS else {}
    url = prepare_grant_uri(
        server.authorize_url, server.client_id, "code", redirect, server.scope, state,
        code_challenge=create_s256_code_challenge(verifier), code_challenge_method="S256",
        login_hint=server.username, **more,
    )  # fmt: skip
    return Consent(str(url), state, verifier)


def read_answer(url: str) -> tuple[str, str]:
    """(code, state) from the address that the browser ended at. Raises Refused when it holds none."""
    found = parse_qs(urlsplit(url.strip()).query)
    if "error" in found:
        why = clean(" ".join(found["error"] + found.get("error_description", [])), 200)
        raise Refused(550, "5.7.1", f"the consent was refused: {why}")
    if not found.get("code") or not found.get("state"):
        raise Refused(501, "5.5.4", "give the whole address that the browser ended at; it holds code= and state=")
    return found["code"][0], found["state"][0]


def redeem(server: Server, secret: Secret, code: str, verifier: str, redirect: str, now: datetime) -> Secret:
    """The tokens for a consent's code. Blocks; raises OAuthRefused."""
    return _ask(server, secret, now, CODE, code=code, code_verifier=verifier, redirect_uri=redirect)


def renew(server: Server, secret: Secret, now: datetime) -> Secret:
    """Fresh tokens, by the refresh token or the client's own credentials. Blocks; raises OAuthRefused."""
    if server.grant == CLIENT:
        return _ask(server, secret, now, CLIENT, scope=server.scope)
    if not secret.refresh_token:
        raise OAuthRefused("there is no refresh token; connect the account again: gateway tenant smtp set", True)
    return _ask(server, secret, now, "refresh_token", refresh_token=secret.refresh_token)


def is_fresh(secret: Secret, now: datetime, early_ms: int = EARLY_MS) -> bool:
    """Whether the access token will hold for a while."""
    return bool(secret.access_token) and secret.expires_at - early_ms > to_ms(now)


def _ask(server: Server, secret: Secret, now: datetime, grant: str, **values: str) -> Secret:
    body = prepare_token_request(grant, **values)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    method = "client_secret_post" if secret.client_secret else "none"
    client = ClientAuth(server.client_id, secret.client_secret, method)
    url, headers, body = client.prepare("POST", server.token_url, headers, body)
    status, answer = post(str(url), headers, str(body).encode())
    if status != 200 or not answer.get("access_token"):
        raise _refusal(status, answer, server.token_url)
    token = str(answer["access_token"])
    if len(token) > TOKEN_LIMIT or not (token.isascii() and token.isprintable()) or " " in token:
        raise OAuthRefused("the provider's access token cannot be written in an SMTP command", True)
    return replace(
        secret,
        access_token=token,
        refresh_token=str(answer.get("refresh_token") or secret.refresh_token),
        expires_at=to_ms(now) + 1000 * _seconds(answer.get("expires_in")),
    )


def _seconds(value: Any) -> int:
    try:
        return min(max(int(value), 60), 86_400)
    except (TypeError, ValueError):
        return USUAL_SECONDS


def _refusal(status: int, answer: dict[str, Any], url: str) -> OAuthRefused:
    error = str(answer.get("error") or "")
    said = clean(" ".join(str(part) for part in (error, answer.get("error_description")) if part), 300)
    host = urlsplit(url).hostname or ""
    lasting = any(word in error for word in _LASTING) or (status in (400, 401, 403) and bool(error))
    words = f"{host} gave no token: {said or f'HTTP {status}'}"
    if lasting:
        words += "; connect the account again: gateway tenant smtp set"
    return OAuthRefused(words, lasting)


def application(
    provider: str, client_id: str, grant: str, scope: str, *, directory: str = "common", authorize_url: str = "",
    token_url: str = "",
) -> dict[str, Any]:  # fmt: skip
    """What an account keeps of an application that is registered with a provider: known ones have their URLs, and need
    a `scope` that this grant may ask for. Raises Refused."""
    known = PROVIDERS.get(provider)
    if not client_id:
        raise _refuse("give the client id of an application that is registered with the provider")
    if not _DIRECTORY.match(directory):
        raise _refuse(f"{directory[:60]!r} is not a directory; write its id, or common")
    if known and not scope:
        raise _refuse("this provider lets no application do this by itself; a person must allow it")
    if known:
        authorize_url = authorize_url or known.authorize_url.format(directory=directory)
        token_url = token_url or known.token_url.format(directory=directory)
    for url in (token_url,) if grant == CLIENT else (authorize_url, token_url):
        check_url(url)
    return {
        "auth": "oauth", "provider": provider, "grant": grant, "client_id": client_id, "scope": scope,
        "authorize_url": authorize_url, "token_url": token_url,
    }  # fmt: skip


def _refuse(text: str) -> Refused:
    return Refused(501, "5.5.4", text)


def check_url(url: str) -> None:
    """Refuse a URL to which no secret may be sent."""
    found = urlsplit(url)
    if found.scheme == "https" and found.hostname:
        return
    if found.scheme != "http" or found.hostname not in _LOOPBACK:
        raise Refused(501, "5.5.4", f"{url[:80]!r} is not an https:// address; secrets are sent to no other")


def post(url: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
    """One POST: (status, the JSON object of the answer, or {}). Raises OAuthRefused when nobody answers."""
    check_url(url)
    found = urlsplit(url)
    host = found.hostname or ""
    connection: http.client.HTTPConnection
    if found.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, found.port, timeout=HTTP_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, found.port, timeout=HTTP_SECONDS)
    path = (found.path or "/") + (f"?{found.query}" if found.query else "")
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        raw = answer.read(HTTP_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        why = clean(str(error) or type(error).__name__, 200)
        raise OAuthRefused(f"{host} does not answer ({why})", False) from None
    finally:
        connection.close()
    try:
        value = json.loads(raw) if len(raw) <= HTTP_BYTES else {}
    except ValueError:
        value = {}
    return answer.status, value if isinstance(value, dict) else {}
