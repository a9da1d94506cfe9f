"""A plain HTTP client for the pages of a running house: the standard library's, over a real socket, without cookies.

Used by journeys that follow a link of a mail. It follows no redirect, so that what a mail program would get is seen.
"""

import http.client
from dataclasses import dataclass


@dataclass(frozen=True)
class WebAnswer:
    """What the pages said."""

    code: int
    text: str
    cookies: list[str]


def ask(
    port: int, path: str, method: str = "GET", body: bytes = b"", kind: str = "application/x-www-form-urlencoded"
) -> WebAnswer:
    """One request of its own connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": kind, "Content-Length": str(len(body))} if method == "POST" else {}
        connection.request(method, path, body if method == "POST" else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        return WebAnswer(answer.status, text, answer.msg.get_all("Set-Cookie") or [])
    finally:
        connection.close()
