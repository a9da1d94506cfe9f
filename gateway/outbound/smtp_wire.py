"""One connection to a server, as an asyncio Protocol: commands out, bounded replies in, TLS, and a deadline on all.

Made by `outbound.smtp_opening`, spoken over by it and by `outbound.smtp_transaction`; works on asyncio and uvloop.
Promises: nothing raises for what the network or the server does, it becomes the one sticky `trouble`, and the
connection is then gone; `sent` is true exactly when the last byte of the message has left this process.
Refuses bytes nobody asked for (a reply too many, plaintext behind STARTTLS's 220).
TLS is done here over memory BIOs, because loop transports hide how much of what was encrypted has really been sent.
"""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from gateway.mail.reply import Reply
from gateway.outbound.smtp_deadline import Deadline
from gateway.outbound.smtp_replies import Malformed, ReplyReader
from gateway.outbound.smtp_tls import INVALID, explain, fault_of, peer_chain


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a connection ended. `astray`: out of step, so replies just read may answer another command."""

    status: str  # RFC 3463, ours
    text: str
    astray: bool = False
    fault: str = ""  # of TLS: a type of RFC 8460 §4.3


class Wire(asyncio.Protocol):
    """The bytes of one connection. `trouble` is None while it is alive; one task speaks at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = ReplyReader()
        self._replies: list[Reply] = []
        self._wanted = 1  # the greeting, which may come before anyone waits for it
        self._seconds = self._last_seconds = 0.0
        self._deadline = Deadline(loop, self._late)
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._shaking = False
        self.trouble: Trouble | None = None
        self.sent = False
        self.tls = ""  # version and cipher once the handshake is done

    # -- what the speaker calls -------------------------------------------------------------------------------------

    async def greeting(self, seconds: float) -> list[Reply]:
        """The server's first reply; none when there is trouble."""
        self._deadline.set(seconds)
        return await self._collect()

    async def ask(self, command: bytes, seconds: float, count: int = 1, last_seconds: float = 0.0) -> list[Reply]:
        """Write `command` (one, or a pipelined group) and return its `count` replies.

        Each reply has `seconds`, the last one `last_seconds`. Fewer come back when there is trouble, or after a 421.
        """
        if self.trouble:
            return []
        self.sent = False
        self._wanted, self._seconds, self._last_seconds = count, seconds, last_seconds or seconds
        self._deadline.set(self._seconds if count > 1 else self._last_seconds)
        self._write((command,))
        return await self._collect()

    async def pour(self, parts: Sequence[Sequence[bytes]], body: float, after: float, count: int) -> list[Reply]:
        """Write the message, part by part, and return the `count` replies to its dot.

        Each part has `body` seconds to leave this process, the replies have `after`. A reply or trouble that comes
        before all has left ends the writing, and `sent` stays false.
        """
        self.sent = False
        self._wanted, self._seconds, self._last_seconds = count, after, after
        for part in parts:
            if self.trouble or self._replies:
                return self._take()
            self._deadline.set(body)
            self._write(part)
            while self._paused and not self.trouble and not self._replies:
                await self._wait()
        self.sent = not self._paused
        if not self.sent:
            return self._take()
        self._deadline.set(after)
        return await self._collect()

    async def start_tls(self, context: ssl.SSLContext, hostname: str, seconds: float) -> None:
        """Shake hands; any failure, whatever its cause, is trouble 4.7.5."""
        self.begin_tls(context, hostname)
        self._deadline.set(seconds)
        while self._shaking and not self.trouble:
            await self._wait()
        self._deadline.clear()
        if self.trouble:
            self.trouble = Trouble("4.7.5", f"TLS failed: {self.trouble.text}", fault=self.trouble.fault or INVALID)

    def begin_tls(self, context: ssl.SSLContext, hostname: str) -> None:
        """Start the handshake. Nothing said in clear is left over: a byte behind the 220 was trouble already."""
        if self.trouble:
            return
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)
        except (ssl.SSLError, ValueError) as error:
            self.fail(Trouble("4.7.5", f"no TLS name: {error}"))
            return
        self._shaking = True
        self._shake()

    def chain(self) -> list[bytes]:
        """The server's certificates, its own first, in DER; unverified."""
        return peer_chain(self._tls) if self._tls is not None else []

    @property
    def alive(self) -> bool:
        """Whether the connection could carry another command."""
        return self.trouble is None

    def close(self, last_words: bytes = b"") -> None:
        """Say `last_words` without waiting for an answer, and close."""
        if self.trouble is None and self._transport is not None:
            if last_words and not self._shaking:
                self._write((last_words,))
            if self._tls is not None and not self._shaking:
                with suppress(ssl.SSLError):  # close_notify; we do not wait for the server's
                    self._tls.unwrap()
                self._flush()
            self.trouble = Trouble("4.4.2", "we closed the connection")
            self._transport.close()

    def abort(self) -> None:
        """Close at once; what was not yet sent is dropped."""
        self.fail(Trouble("4.4.2", "we closed the connection"))

    def fail(self, trouble: Trouble) -> None:
        """End the connection for this reason; the first reason stays."""
        if self.trouble is None:
            self.trouble = trouble
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    # -- what the loop calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # "Paused" then means "not all has left this process": the ground of `sent`.
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        if self.trouble:
            return
        if self._tls is not None:
            data = self._decrypt(data)
        if data:
            self._read(data)

    def eof_received(self) -> bool:
        return False  # nothing is said over half a connection: the transport closes

    def connection_lost(self, error: Exception | None) -> None:
        self._deadline.cancel()
        words = explain(error) if error else "the server closed it"
        self.fail(Trouble("4.4.2", f"the connection was lost: {words}"))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    # -- replies ----------------------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        before = len(self._replies)
        try:
            self._reader.feed(data, self._replies, self._wanted)
        except Malformed as error:
            self.fail(Trouble("4.5.0", f"the server's answer is not SMTP: {error}", astray=True))
            return
        missing = self._wanted - len(self._replies)
        if missing == 0:
            if not self._reader.idle:
                self._refuse_rest()
            self._wake()
        elif len(self._replies) > before:
            self._deadline.set(self._last_seconds if missing == 1 else self._seconds)
            self._wake()

    def _refuse_rest(self) -> None:
        """More came than was asked for: say so with its words, for an idle server often says why it closes."""
        surplus: list[Reply] = []
        try:
            self._reader.feed(b"", surplus, 1)
        except Malformed:
            surplus.clear()
        words = f": {surplus[0]}" if surplus else ""
        closing = bool(surplus) and surplus[0].code == 421 and not self._replies
        self.fail(Trouble("4.4.2" if closing else "4.5.0", f"an answer to nothing{words}", astray=not closing))

    async def _collect(self) -> list[Reply]:
        while not (self.trouble or len(self._replies) >= self._wanted or self._closing()):
            await self._wait()
        return self._take()

    def _closing(self) -> bool:
        return bool(self._replies) and self._replies[-1].code == 421  # RFC 5321 §3.8: it will say no more

    def _take(self) -> list[Reply]:
        replies, self._replies = self._replies, []
        self._wanted = 0
        self._deadline.clear()
        return replies

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _late(self, seconds: float) -> None:
        self.fail(Trouble("4.4.2", f"no answer within {seconds:g} s"))

    # -- bytes ------------------------------------------------------------------------------------------------------

    def _write(self, parts: Sequence[bytes]) -> None:
        if self._transport is None or self.trouble:
            return
        if self._tls is None:
            self._transport.writelines(parts)
            return
        try:
            for part in parts:
                view = memoryview(part)
                while view:
                    view = view[self._tls.write(view) :]
        except ssl.SSLError as error:
            self.fail(Trouble("4.4.2", f"TLS broke: {explain(error)}"))
            return
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())

    def _shake(self) -> bool:
        """A step of the handshake; true when it is done."""
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert, which tells the server why
            words = getattr(error, "verify_message", "") or explain(error)
            self.fail(Trouble("4.7.5", words, fault=fault_of(error)))
            return False
        self._shaking = False
        cipher, *_ = self._tls.cipher() or ("",)
        self.tls = f"{self._tls.version()} {cipher}"
        self._flush()
        self._wake()
        return True

    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None
        self._incoming.write(data)
        if self._shaking and not self._shake():
            return b""
        plain: list[bytes] = []
        try:
            while chunk := self._tls.read(65536):
                plain.append(chunk)
            words = "the server ended TLS"  # its close_notify: nothing more will come
        except ssl.SSLWantReadError:
            self._flush()
            return b"".join(plain)
        except ssl.SSLError as error:
            words = f"TLS {explain(error)}"
        if plain:
            self._read(b"".join(plain))
        self.fail(Trouble("4.4.2", f"the connection was lost: {words}"))
        return b""
