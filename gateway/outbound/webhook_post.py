"""One event handed to one endpoint: signed as Standard Webhooks has it, sent once, and what its answer means.

Called by `outbound.webhooks`, and by "test" and "replay" of commands and pages. No address is dialled that the resolver
does not allow, it is resolved once, no redirect is followed, TLS is verified, of the answer only its head counts.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from gateway.mail.status import clean
from gateway.outbound.https import Unfetched, fetch

SECONDS = 20.0  # for one attempt; one that takes longer is tried again
ANSWER_BYTES = 4096  # of the answer's body, for the log
GONE = 410


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of an attempt: HTTP's code, 0 without an answer; the words for the log."""

    code: int
    words: str
    milliseconds: int

    @property
    def well(self) -> bool:
        """Whether the event was taken."""
        return 200 <= self.code < 300


@dataclass(frozen=True)
class Post:
    """The way to endpoints. `find`: the addresses of a host that may be dialled; `permits`: of one that is written out.

    `inner`: http:// may be used. `port` is where https:// is when no other is named.
    """

    find: Callable[[str], Awaitable[Sequence[str]]]
    permits: Callable[[str], bool]
    inner: bool = False
    port: int = 443

    async def __call__(
        self, url: str, keys: Sequence[str], event_id: str, body: Any, now: datetime, seconds: float = SECONDS
    ) -> Posted:
        """Send once. Never raises for what the other side does."""
        begun, raw = time.monotonic(), json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        code, words = await self._send(url, sign(keys, event_id, int(now.timestamp()), raw), raw, seconds)
        return Posted(code, words, int(1000 * (time.monotonic() - begun)))

    async def _send(self, url: str, headers: dict[str, str], raw: bytes, seconds: float) -> tuple[int, str]:
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        if not secure and not self.inner:
            return 0, "the URL is not https://; the operator does not allow others"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            answer = await fetch(
                host, await self._addresses(host), path, port=parts.port or (self.port if secure else 80),
                secure=secure, headers=headers, limit=ANSWER_BYTES, seconds=seconds, cut=True,
                post=("application/json", raw),
            )  # fmt: skip
        except Unfetched as error:
            return 0, str(error)
        if 300 <= answer.code < 400:
            return answer.code, "a redirect, which is not followed; set the URL it leads to"
        return answer.code, clean(answer.body.decode("utf-8", "replace"), 200) if answer.code >= 400 else ""

    async def _addresses(self, host: str) -> Sequence[str]:
        try:
            written = str(ip_address(host))
        except ValueError:
            return await self.find(host)
        return [written] if self.permits(written) else []


def sign(keys: Sequence[str], event_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """The header fields of Standard Webhooks; a signature for each secret, the newest first."""
    signed = f"{event_id}.{seconds}.".encode() + body
    made = [hmac.digest(base64.b64decode(key.removeprefix("whsec_")), signed, hashlib.sha256) for key in keys]
    signatures = " ".join(f"v1,{base64.b64encode(one).decode()}" for one in made)
    return {"webhook-id": event_id, "webhook-timestamp": str(seconds), "webhook-signature": signatures}
