"""The life of one SMTP or LMTP connection: admitted, served line by line and message by message, timed, ended, logged.

`wire.smtp_login` and `wire.smtp_conversation` build upon it. Promises an end for whoever is idle, slow or unheeding;
one log line at the end and none per command. A hook is never cancelled because its client went away.
"""

import asyncio
import ipaddress
import traceback
from abc import abstractmethod
from typing import NoReturn

import structlog

from gateway.mail.reply import Refused, Reply
from gateway.mail.status import clean
from gateway.wire.limits import AUTH_LINE_BYTES, STALL_SECONDS, client_key
from gateway.wire.smtp_channel import FLOOD_FACTOR, Channel, Ended
from gateway.wire.smtp_data import DataReader
from gateway.wire.smtp_input import TooLong
from gateway.wire.smtp_session import Envelope, Terms

log = structlog.get_logger(__name__)

MOST_TOLD = 20  # refusals of one connection that its doorstep hears of


class Connection(Channel):
    """One connection, from admission to its log line. A `Guest` of the listener's `Admission`."""

    def __init__(self, terms: Terms, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(terms, loop)
        self.client = ""
        self.leaving: Reply | None = None  # say this as soon as no transaction is open
        self.long_line = False  # the next line answers a challenge (RFC 4954 §4.5.1)
        self.accepted = 0
        self.refused = 0
        self._told: set[str] = set()
        self._held: DataReader | None = None  # the message that takes up memory
        self._window: tuple[float, int] = (0.0, 0)  # since when the rate of DATA is measured, and its bytes then
        self._clock: asyncio.TimerHandle | None = None

    @abstractmethod
    async def converse(self) -> None:
        """Greet, obey commands, end by `Ended`."""

    async def next_line(self) -> bytes:
        """The next command without its CRLF; flushes replies before it waits. Raises `Ended`."""
        while True:
            try:
                line = self._input.cut(self.terms.limits.line_bytes, AUTH_LINE_BYTES, long=self.long_line)
            except TooLong:
                self.end(Reply(500, "5.5.6" if self.long_line else "5.5.2", "the line is too long for a command"))
            if line is not None:
                return line
            self.flush()
            if self._eof:
                raise Ended(self._end_reason)
            if self.leaving is not None and self.deal is None:
                self.end(self.leaving)
            await self._more()

    def spoke_early(self) -> bool:
        """Whether the client has sent something that was not read yet."""
        return len(self._input) > 0

    async def begin(self, envelope: Envelope) -> None:
        """Ask whether there is room for a message, then the doorstep. Raises Refused."""
        full = self.terms.capacity.refusal(envelope.size, self.loop.time())
        if full is not None:
            raise Refused(full.code, full.enhanced, full.text)
        await self.terms.doorstep.mail(self.visit, envelope)

    async def read_message(self) -> DataReader:
        """Read one message to its end, after 354 was said. Raises `Ended`; then nothing of it is kept."""
        limits = self.terms.limits
        self.let_go()
        reader = self._held = DataReader(limits.message_bytes, limits.header_bytes, self.terms.capacity)
        end = reader.feed(buffered) if (buffered := self._input.take_all()) else -1
        if end >= 0:
            self._input.add(buffered[end:])
            return reader
        self._message = reader
        self._window = (self.loop.time(), 0)
        self.flush()
        while not reader.done:
            if self._eof:
                raise Ended(f"{self._end_reason} within DATA")
            if reader.refusal is not None and reader.total >= limits.message_bytes * FLOOD_FACTOR:
                self.end(reader.refusal)
            await self._more()
        return reader

    def let_go(self) -> None:
        """The last message is dealt with: its memory is free again."""
        if self._held is not None:
            self._held.let_go()
            self._held = None

    async def take_message(self, reader: DataReader) -> bytes:
        """The message, unstuffed; a large one in turns with other connections."""
        if not reader.large:
            return reader.take()
        pieces = []
        for piece in reader.slices():
            pieces.append(piece)
            await asyncio.sleep(0)
        return b"".join(pieces)

    async def tell(self, reply: Reply) -> None:
        """Let the doorstep know of a refusal that was made for it, each once in a connection."""
        if reply.code < 452 or str(reply) in self._told or len(self._told) >= MOST_TOLD:
            return
        self._told.add(str(reply))
        try:
            await self.terms.doorstep.refused(self.visit, self.deal, reply)
        except Exception:
            self.fault("refused")

    def fault(self, where: str) -> None:
        """Log the exception being handled. Text only: a handler that shows local variables would show passwords."""
        log.error("smtp.fault", where=where, peer=self.visit.host, traceback=traceback.format_exc())

    # -- as a guest of Admission --------------------------------------------------------------------------------

    def stalled_seconds(self, now: float) -> float:
        """How long the client has been in the middle of a line, or in DATA slower than allowed."""
        if self._waiting_since is None:
            return 0.0
        reader = self._message
        if reader is not None:
            since = now - self._window[0]
            slow = reader.total - self._window[1] < self.terms.limits.min_bytes_per_second * max(since, STALL_SECONDS)
            return since if slow else 0.0
        return now - self._waiting_since if len(self._input) else 0.0

    def displace(self) -> None:
        """Make room for another connection of the same address."""
        self._cut(Reply(421, "4.7.0", "Too slow, and too many connections from your address; try again later"))

    def leave(self, reply: Reply) -> None:
        """Say `reply` and go, as soon as no transaction is open."""
        self.leaving = reply
        self._wake()

    def abort(self) -> None:
        """Go at once; a hook at work is cancelled."""
        if self.task is not None:
            self.task.cancel()

    # -- its life -----------------------------------------------------------------------------------------------

    def _begin(self, peer: object) -> None:
        host, port = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else ("", 0)
        self.client = client_key(host)
        self.visit.host, self.visit.port = host.partition("%")[0], port
        self.visit.loopback = not host or _is_loopback(self.client if "." in self.client else self.visit.host)
        self.task = self.loop.create_task(self._live())

    async def _live(self) -> None:
        reason = "closed by us"
        try:
            self._clock = self.loop.call_later(self._period(), self._tick)
            if not await self.terms.admission.admit(self):
                self._refuse_connection()
            await self.converse()
        except Ended as ended:
            reason = str(ended)
        except Exception:
            self.fault("conversation")
            reason = "a fault of ours"
        finally:
            self.terms.admission.leave(self)
            self.let_go()
            if self._clock is not None:
                self._clock.cancel()
            self._close()
            self._log_end(reason)

    def _refuse_connection(self) -> NoReturn:
        reply = Reply(421, "4.7.0", "Too many connections; try again later")
        if self._socket is not None:
            raise Ended(str(reply))  # it could not be read before a handshake
        self.end(reply)

    def _log_end(self, reason: str) -> None:
        visit = self.visit
        log.info(
            "smtp.session",
            peer=visit.host,
            helo=clean(visit.helo, 100),
            tls=visit.tls_version,
            login=visit.login is not None,
            accepted=self.accepted,
            refused=self.refused,
            end=clean(reason, 200),
        )

    def _period(self) -> float:
        limits = self.terms.limits
        return min(limits.idle_seconds, limits.rate_seconds) / 4

    def _tick(self) -> None:
        """The one clock of the connection: cheaper than a timer per command."""
        self._clock = self.loop.call_later(self._period(), self._tick)
        if self._waiting_since is None:
            return
        limits, now, reader = self.terms.limits, self.loop.time(), self._message
        if reader is not None:
            since, total = self._window
            if now - since >= limits.rate_seconds:
                if reader.total - total < limits.min_bytes_per_second * limits.rate_seconds:
                    self._cut(Reply(421, "4.4.2", "The message comes too slowly; nothing was stored"))
                self._window = (now, reader.total)
        elif now - self._waiting_since >= limits.idle_seconds:
            self._cut(Reply(421, "4.4.2", "Nothing was heard for too long"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
