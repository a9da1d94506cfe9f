"""Waits on the loopback for a browser that comes back from an OAuth consent, and tells its person to go on here.

Called by `gateway tenant smtp set --listen`. Takes one GET with `state=` in it within a time, and nothing else.
"""

import time
from http.server import BaseHTTPRequestHandler, HTTPServer

_WORDS = "<!doctype html><meta charset=utf-8><title>OK</title><p>Done; you may close this page."


class _Answer(HTTPServer):
    path = ""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """The browser's one request."""
        if "state=" in self.path and isinstance(self.server, _Answer):
            self.server.path = self.path
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(_WORDS.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the request holds a code."""


def wait_for_answer(port: int, seconds: float) -> str:
    """The address that the browser came back to; "" when it did not in time. Raises OSError when the port is taken."""
    with _Answer(("127.0.0.1", port), _Page) as server:
        server.timeout = 1
        deadline = time.monotonic() + seconds
        while not server.path and time.monotonic() < deadline:
            server.handle_request()
        return f"http://localhost:{port}{server.path}" if server.path else ""
