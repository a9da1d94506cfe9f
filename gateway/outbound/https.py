"""One bounded HTTPS exchange with somebody else's server: a policy is fetched, a report or an event is handed over.

Called by `outbound.mta_sts`, `outbound.tls_reports` and `outbound.webhook_post`. Promises an answer of at most `limit`
bytes within `seconds`, or `Unfetched` with a type of RFC 8460; the certificate must be trusted and name the host; no
redirect is followed, no proxy used, no cookie kept. The caller names the addresses, so that none is dialled which it
would not allow.
"""

import asyncio
import contextlib
import http.client
import io
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from gateway.mail.status import clean
from gateway.outbound.smtp_opening import default_context
from gateway.outbound.smtp_tls import explain

_HEADERS = 32 * 1024
_AGENT = "gateway-mta"


class Unfetched(Exception):
    """There is no answer to use. `fault`: a type of RFC 8460 §4.3.2.2; the text says why."""

    def __init__(self, fault: str, text: str) -> None:
        self.fault = fault
        super().__init__(clean(text, 300))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. `content_type` is in lower case, without parameters."""

    code: int
    content_type: str
    body: bytes


async def fetch(
    host: str,
    addresses: Sequence[str],
    path: str,
    *,
    port: int = 443,
    context: ssl.SSLContext | None = None,
    limit: int = 64 * 1024,
    seconds: float = 60,
    post: tuple[str, bytes] | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    secure: bool = True,
    cut: bool = False,
) -> Answer:
    """GET a path, or POST a (content type, body) to it, with further `headers` (ASCII). Raises Unfetched.

    Without `secure` there is no TLS. With `cut` a larger answer is cut, and one that ends early is taken as it is.
    """
    if not addresses:
        raise Unfetched("sts-policy-fetch-error", f"{host} has no address that may be dialled")
    try:
        async with asyncio.timeout(seconds):
            request = _request(host, port if port != (443 if secure else 80) else 0, path, post, headers)
            tls = (context or default_context(True)) if secure else None
            raw = await _first(host, addresses, request, port, tls, limit)
    except TimeoutError:
        raise Unfetched("sts-policy-fetch-error", f"no answer from https://{host} within {seconds:g} s") from None
    return _read(host, raw, limit, cut=cut)


def _request(host: str, port: int, path: str, post: tuple[str, bytes] | None, headers: Mapping[str, str]) -> bytes:
    host = f"[{host}]" if ":" in host else host
    name = f"{host}:{port}" if port else host
    lines = [
        f"{'POST' if post else 'GET'} {path} HTTP/1.1", f"Host: {name}", f"User-Agent: {_AGENT}", "Accept: */*",
        "Accept-Encoding: identity", "Connection: close",
        *(f"{field}: {value}" for field, value in headers.items()),
    ]  # fmt: skip
    if post:
        lines += [f"Content-Type: {post[0]}", f"Content-Length: {len(post[1])}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (post[1] if post else b"")


async def _first(
    host: str, addresses: Sequence[str], request: bytes, port: int, tls: ssl.SSLContext | None, limit: int
) -> bytes:
    """The raw answer of the first address that takes the connection."""
    trouble: Exception = Unfetched("sts-policy-fetch-error", f"nobody answers at {host}")
    for address in addresses:
        try:
            reader, writer = await asyncio.open_connection(
                address, port, ssl=tls, server_hostname=host if tls else None, limit=_HEADERS
            )
        except ssl.SSLCertVerificationError as error:
            words = f"the certificate of https://{host} proves nothing: {error.verify_message}"
            raise Unfetched("sts-webpki-invalid", words) from error
        except OSError as error:
            trouble = Unfetched("sts-policy-fetch-error", f"no connection to https://{host}: {explain(error)}")
            continue
        try:
            writer.write(request)
            await writer.drain()
            return await _read_bounded(reader, limit + _HEADERS)
        except OSError as error:
            trouble = Unfetched("sts-policy-fetch-error", f"the connection to {host} was lost: {explain(error)}")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                writer.transport.abort()
    raise trouble


async def _read_bounded(reader: asyncio.StreamReader, most: int) -> bytes:
    parts, size = [], 0
    while size <= most and (part := await reader.read(16 * 1024)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


class _Received:
    """Bytes in the place of a socket, as http.client reads an answer."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: Any) -> io.BytesIO:
        """What http.client asks a socket for."""
        return io.BytesIO(self._raw)


def _read(host: str, raw: bytes, limit: int, *, cut: bool) -> Answer:
    try:
        response = http.client.HTTPResponse(cast(Any, _Received(raw)))
        response.begin()
        body = response.read(limit if cut else limit + 1)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    except (http.client.HTTPException, ValueError, OSError) as error:
        words = f"https://{host} does not speak HTTP: {type(error).__name__}"
        raise Unfetched("sts-policy-fetch-error", words) from error
    if len(body) > limit:
        raise Unfetched("sts-policy-invalid", f"the answer of https://{host} is larger than {limit} bytes")
    if response.length and not cut:
        raise Unfetched("sts-policy-fetch-error", f"the answer of https://{host} was cut short")
    return Answer(response.status, kind, body)
