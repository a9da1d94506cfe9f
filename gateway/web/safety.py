"""The wall around every page: strict headers on each answer, and a fault of ours answered without a word of it.

Wrapped around the whole app by `web.app`. An exception that no route foresaw is logged here, once, with its traceback,
and answered with a page in three languages (security rules 1 and 10). A route may set a header of its own; the rest is
as strict as it can be: no script but our own files, nothing from elsewhere, no framing, no cache.
"""

import traceback
from importlib.resources import files

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
MAIL_POLICY = (  # of a mail's HTML: styles may stand in it, nothing may be loaded or run; only our own page frames it
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'self'; "
    "base-uri 'none'"
)
IMAGES_POLICY = MAIL_POLICY.replace("style-src", "img-src https: data:; style-src")  # when somebody asked for images
PICTURE_POLICY = MAIL_POLICY.replace("style-src", "img-src data:; style-src")  # of our own mail: its logo stands in it
TRACE_LIMIT = 8000  # characters of a traceback, its end
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}


class Wall:
    """The ASGI app around the app."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        headers = dict(_HEADERS)
        if secure:
            headers["strict-transport-security"] = "max-age=31536000"
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._fault = (files("gateway") / "templates" / "inbox" / "fault.html").read_bytes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name.lower() for name, _ in message.get("headers", [])}
                missing = [header for header in self._headers if header[0] not in present]
                message = {**message, "headers": [*message.get("headers", []), *missing]}
            await send(message)

        try:
            await self._app(scope, receive, send_safely)
        except Exception as error:
            # as text: a renderer that shows local variables would log passwords and mail
            trace = "".join(traceback.format_exception(error))[-TRACE_LIMIT:]
            log.error("web.fault", path=scope["path"][:200], error=type(error).__name__, traceback=trace)
            if not started:
                headers = [(b"content-type", b"text/html; charset=utf-8"), (b"connection", b"close")]
                await send_safely({"type": "http.response.start", "status": 500, "headers": headers})
                await send_safely({"type": "http.response.body", "body": self._fault})
