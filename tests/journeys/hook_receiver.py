"""A receiver of webhooks on loopback that answers as it is told: whatever a stranger's server may do.

Each entry of `answers` is spent on one request; when there are none it says 204. `events` are those it said 2xx to.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

HANG, HANG_UP, HUGE, NOISE = "hang", "hang up", "huge", "noise"


@dataclass(frozen=True)
class Came:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """What it tells."""
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass
class Receiver:
    """What came, and what is answered."""

    port: int = 0
    requests: list[Came] = field(default_factory=list)
    taken: list[Came] = field(default_factory=list)
    answers: deque[int | str] = field(default_factory=deque)
    always: int | str = 204

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/hooks?from=gateway"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            raw = {line.split(": ")[0].lower(): line.split(": ", 1)[1] for line in head[1:] if line}
            came = Came(head[0], raw, await reader.readexactly(int(headers["content-length"])))
            self.requests.append(came)
            await self._answer(came, self.answers.popleft() if self.answers else self.always, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, came: Came, answer: int | str, writer: asyncio.StreamWriter) -> None:
        if answer == HANG:
            await asyncio.sleep(3600)
        elif answer == NOISE:
            writer.write(b"\x00\xff not http \r\n\r\n")
        elif answer == HUGE:
            self.taken.append(came)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 500000000\r\n\r\n")
            for _ in range(500):
                writer.write(b"x" * 1_000_000)
                await writer.drain()
        elif answer != HANG_UP:
            if isinstance(answer, int) and answer < 300:
                self.taken.append(came)
            writer.write(f"HTTP/1.1 {answer} X\r\nlocation: {self.url}&moved\r\ncontent-length: 4\r\n\r\nbusy".encode())
        with contextlib.suppress(OSError):
            await writer.drain()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events it took."""
        return [came.event for came in self.taken]


@contextlib.asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """A receiver while the context lasts."""
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
