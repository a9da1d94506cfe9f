"""An identity provider on loopback: OpenID Connect's documents, codes and tokens over real HTTP, really signed.

A test says who is logged in there (`person`) and what the provider does wrong (`claims`, `sign`, `answers`). What was
asked of it is noted. It checks what a real one checks: client, redirect, code used once, PKCE.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwk, jwt

CLIENT, SECRET = "gateway", "s3cret: of & client"


def make_key(kid: str, kind: str = "RSA") -> jwk.RSAKey | jwk.ECKey:
    """A signing key."""
    if kind == "RSA":
        return jwk.RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, private=True)
    return jwk.ECKey.generate_key("P-256", {"kid": kid, "use": "sig"}, private=True)


@dataclass
class Granted:
    """A code that was given out."""

    redirect: str
    challenge: str
    nonce: str
    person: dict[str, Any]


@dataclass
class IdentityProvider:
    """The provider, until `stop`. `clock` is the time in its tokens."""

    clock: Callable[[], datetime]
    secret: str = SECRET
    person: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)  # in place of those of a right token; None: left out
    algorithm: str = "RS256"
    sign: Callable[[dict[str, Any], dict[str, Any]], str] | None = None  # in place of its own key
    answers: dict[str, Callable[[], tuple[int, bytes]]] = field(default_factory=dict)  # by path
    document: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = self.published = make_key("k1")
        self._codes: dict[str, Granted] = {}
        self.location = "http://127.0.0.1:9/elsewhere"  # of its redirects
        provider = self

        class Desk(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(provider.get(self.path, self.headers.get("authorization", "")))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._say(provider.post(self.path, form, self.headers.get("authorization", "")))

            def _say(self, answer: tuple[int, bytes]) -> None:
                self.send_response(answer[0])
                self.send_header("content-type", "application/json")
                self.send_header("location", provider.location)
                self.send_header("content-length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_port}/realm"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def log_in(self, url: str) -> str:
        """What a person's browser does there: from our address with the request to theirs with the code."""
        found = urlsplit(url)
        asked = {name: values[0] for name, values in parse_qs(found.query).items()}
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == ("code", CLIENT, "S256")
        code = secrets.token_urlsafe(16)
        self._codes[code] = Granted(asked["redirect_uri"], asked["code_challenge"], asked["nonce"], dict(self.person))
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.issuer})}"

    # -- its desk

    def get(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Its documents, and the page of a browser."""
        name = urlsplit(path).path.removeprefix("/realm")
        self.asked.append(name)
        if name in self.answers:
            return self.answers[name]()
        if name == "/authorize":  # who comes is logged in here already
            self.location = self.log_in(path)
            return 302, b""
        if name == "/.well-known/openid-configuration":
            return 200, json.dumps(self._document() | self.document).encode()
        if name == "/keys":
            return 200, json.dumps({"keys": [self.published.as_dict(private=False)]}).encode()
        if name == "/userinfo" and authorization == "Bearer at-1":
            return 200, json.dumps(self.userinfo).encode()
        return 404, b"{}"

    def _document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def post(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, bytes]:
        """A code becomes tokens, once."""
        name = path.removeprefix("/realm")
        self.asked.append(name)
        if name in self.answers:
            return self.answers[name]()
        granted = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proven = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if self._client(form, authorization) != (CLIENT, self.secret):
            return 401, json.dumps({"error": "invalid_client"}).encode()
        if granted is None or (granted.redirect, granted.challenge) != (form.get("redirect_uri"), proven):
            return 400, json.dumps({"error": "invalid_grant"}).encode()
        return 200, json.dumps(
            {"access_token": "at-1", "token_type": "Bearer", "id_token": self.token(granted)}
        ).encode()

    def _client(self, form: dict[str, str], authorization: str) -> tuple[str, str]:
        if authorization.startswith("Basic "):
            id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            return unquote_plus(id), unquote_plus(secret)
        return form.get("client_id", ""), form.get("client_secret", "")

    def token(self, granted: Granted) -> str:
        """The ID token for a code."""
        now = int(self.clock().timestamp())
        right = {"iss": self.issuer, "aud": CLIENT, "nonce": granted.nonce, "iat": now, "exp": now + 300}
        claims = {name: value for name, value in (right | granted.person | self.claims).items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.key.kid}
        if self.sign:
            return self.sign(header, claims)
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def slowly() -> tuple[int, bytes]:
    """An answer that takes longer than anybody waits."""
    time.sleep(3)
    return 200, b"{}"
