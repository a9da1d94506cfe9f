"""The transport of one SMTP or LMTP connection: what arrives, what leaves, who waits for whom, and TLS.

`wire.smtp_connection` builds upon it. aiosmtpd's SMTP is the protocol class underneath, but its loop and its reader
are replaced: here data goes from the transport into one buffer of commands, or straight into the `DataReader`.
Promises: bounded memory before any line end and while a hook works, replies of a pipeline in one write (RFC 2920), and
that nothing received before a TLS handshake is read after it (CVE-2011-0411).
"""

import asyncio
import contextlib
import socket
from abc import abstractmethod
from typing import NoReturn, cast

from aiosmtpd.smtp import SMTP

from gateway.mail.reply import Reply
from gateway.mail.status import clean
from gateway.wire.smtp_data import DataReader
from gateway.wire.smtp_input import CommandBuffer
from gateway.wire.smtp_session import Envelope, Session, Terms

HIGH_WATER = 256 * 1024  # bytes of input that wait while a hook works
HANDSHAKE_SECONDS = 30
LINGER_SECONDS = 2.0  # for a client that still sends when it is told goodbye, so that it can read why
FLOOD_FACTOR = 16  # a message this many times over its limit is not read to its end


class Ended(Exception):
    """The conversation is over: the client left, was refused for good, or ran out of time. The text is for the log."""


class Channel(SMTP):
    """The bytes of one connection."""

    def __init__(self, terms: Terms, loop: asyncio.AbstractEventLoop) -> None:
        # Not super().__init__: it builds tables by reflection, a reader and log lines, 150 us a connection, for the
        # loop that is replaced here.
        self.terms = terms
        self.loop = loop
        self.visit = Session("", 0, False, lmtp=terms.lmtp)
        self.deal: Envelope | None = None
        self.task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None  # accepted, and not yet handed to TLS
        self._wire: asyncio.Transport | None = None
        self._input = CommandBuffer()
        self._message: DataReader | None = None  # while it is being read
        self._output: list[bytes] = []
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._unheeding: asyncio.Future[None] | None = None  # while the client does not read our replies
        self._waiting_since: float | None = None  # None while we are the ones who work
        self._eof = self._lost = self._over = self._cut_short = False
        self._end_reason = "the client closed the connection"

    @abstractmethod
    def _begin(self, peer: object) -> None:
        """Somebody is connected, from the socket address `peer`: start the task."""

    # -- the transport calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the conversation; with implicit TLS it has begun by `welcome`, and the handshake is done."""
        self._wire = cast(asyncio.Transport, transport)
        if self.task is None:
            self._begin(transport.get_extra_info("peername"))

    def welcome(self, sock: socket.socket) -> None:
        """Begin on an accepted socket that is to speak TLS at once: counted and bounded before the handshake."""
        try:
            peer = sock.getpeername()
        except OSError:
            sock.close()
            return
        self._socket = sock
        self._begin(peer)

    def data_received(self, data: bytes) -> None:
        """Take what came: into the message that is being read, or into the buffer of commands."""
        reader = self._message
        if self._over:
            return
        if reader is not None:
            end = reader.feed(data)
            if end < 0 and reader.total < self.terms.limits.message_bytes * FLOOD_FACTOR:
                self._acknowledge()
                return
            self._message = None
            data = data[end:] if end >= 0 else b""
        self._input.add(data)
        if len(self._input) > HIGH_WATER and self._wire is not None:
            self._wire.pause_reading()
            self._paused = True
        self._wake()

    def _acknowledge(self) -> None:
        """Let TCP confirm at once: who sends the final dot by itself (Nagle) would wait 40 ms for it, per message."""
        sock = self._wire.get_extra_info("socket") if self._wire is not None else None
        if sock is not None and sock.family != socket.AF_UNIX and hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def eof_received(self) -> bool:
        """The client has said its last; what it said is still obeyed. Returns whether the transport stays open."""
        self._eof = True
        self._wake()
        return not self.visit.tls and not self._over

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody listens any more. A hook at work finishes; its result is dropped."""
        self._lost = self._eof = True
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client does not read its replies: obey no more commands until it does."""
        self._unheeding = self._unheeding or self.loop.create_future()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._unheeding is not None and not self._unheeding.done():
            self._unheeding.set_result(None)
        self._unheeding = None

    # -- replies ------------------------------------------------------------------------------------------------

    def say(self, reply: Reply) -> None:
        """Add `reply` to what the next `flush` sends."""
        utf8 = self.deal is not None and self.deal.smtputf8
        lines = (line if line.isprintable() else clean(line, 1000) for line in reply.lines())
        text = "\r\n".join(lines) + "\r\n"
        self._output.append(text.encode() if utf8 else text.encode("ascii", "backslashreplace"))

    def say_bytes(self, line: bytes) -> None:
        """Add a reply that is ready for the wire, CRLF included."""
        self._output.append(line)

    def flush(self) -> None:
        """Send all replies in one write."""
        if self._output and self._wire is not None and not self._lost:
            self._wire.write(b"".join(self._output))
        self._output.clear()

    def end(self, reply: Reply) -> NoReturn:
        """Say `reply` as the last word. Always raises `Ended`."""
        self.say(reply)
        self.flush()
        raise Ended(str(reply))

    def gone(self) -> bool:
        """Whether nobody hears our replies any more."""
        return self._lost

    # -- waiting ------------------------------------------------------------------------------------------------

    async def _more(self) -> None:
        """Wait until the client has sent something (or left)."""
        self._input.compact()
        if self._paused and self._wire is not None and not self._lost:
            self._wire.resume_reading()
            self._paused = False
        self._waiting_since = self._waiting_since or self.loop.time()
        if self._unheeding is not None:
            await self._unheeding
        else:
            self._waiter = self.loop.create_future()
            await self._waiter

    def working(self) -> None:
        """A whole command or message has come: it is our turn, the client's clock stands."""
        self._waiting_since = None

    async def give_way(self) -> None:
        """Let other connections have a turn; wait for a client that does not read its replies."""
        await asyncio.sleep(0)
        while self._unheeding is not None and not self._lost and not self._eof:
            self._waiting_since = self._waiting_since or self.loop.time()
            await self._unheeding
        self._waiting_since = None

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- TLS ----------------------------------------------------------------------------------------------------

    async def start_tls(self) -> None:
        """Hand the connection to TLS; all that was buffered is discarded (RFC 3207 §5). Raises `Ended`."""
        wire, context = self._wire, self.terms.tls
        assert context is not None
        if wire is None or self._lost:
            raise Ended(self._end_reason)
        wire.pause_reading()
        self._input.clear()
        self.flush()
        try:
            secured = await self.loop.start_tls(
                wire, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError as error:
            self._over = True
            wire.abort()
            raise Ended(f"TLS handshake failed: {clean(str(error), 100)}") from None
        assert secured is not None
        self._note_tls(secured)

    async def accept_tls(self) -> None:
        """Make the handshake on the socket that `welcome` got. Raises `Ended`."""
        sock, self._socket = self._socket, None
        assert sock is not None
        try:
            secured, _ = await self.loop.connect_accepted_socket(
                lambda: self, sock, ssl=self.terms.tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError as error:
            sock.close()
            raise Ended(f"TLS handshake failed: {clean(str(error), 100)}") from None
        self._note_tls(secured)

    def _note_tls(self, secured: asyncio.Transport) -> None:
        self._wire, self._paused = secured, False
        cipher = secured.get_extra_info("cipher") or ("", "", 0)
        visit = self.visit
        visit.tls, visit.tls_cipher, visit.tls_version = True, cipher[0], secured.get_extra_info("ssl_object").version()
        visit.helo, visit.esmtp, visit.login = "", False, None
        self.deal = None

    # -- the end ------------------------------------------------------------------------------------------------

    def _cut(self, reply: Reply) -> None:
        """End a conversation that is waiting for its client."""
        self.say(reply)
        self.flush()
        self._cut_short = not self._eof
        self._eof = self._over = True
        self._end_reason = str(reply)
        self._message = None
        self._input.clear()
        self._wake()
        self.resume_writing()

    def _close(self) -> None:
        wire = self._wire
        self.flush()
        self._over = True
        if self._socket is not None:
            self._socket.close()
        if wire is None or self._lost:
            return
        unread = self._cut_short or (len(self._input) > 0 and not self._eof)
        if unread and wire.can_write_eof():  # more input would turn our close into a reset, and overtake the reply
            wire.write_eof()
            if self._paused:
                wire.resume_reading()
        else:
            wire.close()
            if not self.visit.tls and not wire.get_write_buffer_size():
                return
        self.loop.call_later(LINGER_SECONDS, wire.abort)
