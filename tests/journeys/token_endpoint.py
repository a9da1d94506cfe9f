"""A provider's token endpoint for tests: it checks PKCE and grants as RFC 6749 and 7636 say, and counts what it gave.

Plain HTTP on the loopback, in a thread. `mood` makes it refuse ("invalid_grant"), fail ("down"), or ramble ("huge").
"""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class TokenEndpoint:
    """What it knows. `codes`: code -> the challenge of the consent; `asked`: every request's form."""

    url: str = ""
    mood: str = ""
    expires_in: int = 3600
    rotate: bool = False
    slow: threading.Event | None = None
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    tokens: int = 0
    valid: set[str] = field(default_factory=set)  # access tokens that hold: the last one
    user: str = "facturare@acme.test"

    def allow(self, authorize_url: str, code: str = "the-code") -> str:
        """What a person does in the browser: the address at which it ends."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(authorize_url).query).items()}
        assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
        self.codes[code] = (query["code_challenge"], query["redirect_uri"])
        return f"{query['redirect_uri']}?code={code}&state={query['state']}"

    def answer(self, form: dict[str, str]) -> tuple[int, bytes]:
        """(status, body) for a request."""
        self.asked.append(form)
        if self.slow is not None:
            self.slow.wait(5)
        if self.mood == "down":
            return 503, b"<html>busy</html>"
        if self.mood == "huge":
            return 200, b'{"access_token":"' + b"x" * 100_000 + b'"}'
        grant = form.get("grant_type")
        good = self.mood == "" and (
            (grant == "authorization_code" and self._redeem(form))
            or (grant == "refresh_token" and form.get("refresh_token", "").startswith("refresh-"))
            or (grant == "client_credentials" and form.get("client_secret") == "app-secret")
        )
        if not good:
            return 400, b'{"error":"invalid_grant","error_description":"Token has been expired or revoked."}'
        self.tokens += 1
        self.valid = {f"good-{self.tokens}"}
        found = {"access_token": f"good-{self.tokens}", "token_type": "Bearer", "expires_in": self.expires_in}
        if grant == "authorization_code" or self.rotate:
            found["refresh_token"] = f"refresh-{self.tokens}"
        return 200, json.dumps(found).encode()

    def introspect(self, form: dict[str, str]) -> bytes:
        """Whether a token holds, and whose it is (RFC 7662)."""
        active = form.get("token", "") in self.valid
        return json.dumps({"active": active} | ({"username": self.user} if active else {})).encode()

    def _redeem(self, form: dict[str, str]) -> bool:
        challenge, redirect = self.codes.pop(form.get("code", ""), ("", ""))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return bool(challenge) and made == challenge and form.get("redirect_uri") == redirect


@contextlib.contextmanager
def token_endpoint() -> Iterator[TokenEndpoint]:
    """One that runs while the context lasts."""
    endpoint = TokenEndpoint()

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            form = {key: values[0] for key, values in parse_qs(raw.decode()).items()}
            asked = self.path.startswith("/introspect")
            status, body = (200, endpoint.introspect(form)) if asked else endpoint.answer(form)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
