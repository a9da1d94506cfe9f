"""The SMTP and LMTP client: dial a server once, send it many messages, and say for each recipient what came of it.

Called by `outbound.delivery`, which chooses the server, keeps connections, and writes outcomes *before* it says QUIT.
Promises: trouble of network, TLS or server is a `DeliveryStatus`, never an exception; RELAYED means that the server
said 2xx to the final dot; a connection that was in any doubt is closed and not `reusable`.
Refuses what security rule 3 forbids. Its parts: smtp_terms (the words), smtp_wire (bytes, TLS, deadlines),
smtp_replies (reading), smtp_envelope (writing), smtp_opening (until AUTH), smtp_transaction (MAIL to dot).
"""

import asyncio
import ssl

from gateway.mail.status import DeliveryStatus
from gateway.outbound.smtp_opening import Ended, dial, introduce
from gateway.outbound.smtp_terms import Login, Outcome, Target, Timeouts, Tls, Transaction, passing
from gateway.outbound.smtp_transaction import Exchange
from gateway.outbound.smtp_wire import Trouble, Wire

__all__ = ["Connection", "Login", "Outcome", "Target", "Timeouts", "Tls", "Transaction", "connect"]


async def connect(
    target: Target, timeouts: Timeouts | None = None, ssl_context: ssl.SSLContext | None = None
) -> "Connection | DeliveryStatus":
    """Dial and greet; a ready `Connection`, or why there is none (always DELAYED).

    4.4.1 nobody answered, 4.4.2 lost or silent, 4.5.0 not SMTP, 4.7.0 no way to log in, else the server's own words; a
    5xx here is its opinion of us. 4.7.5 is TLS: after it, and only for an opportunistic target without a login, the
    caller may dial again with tls="off". A refused login has the reason auth_failed.
    `ssl_context` replaces the system's authorities; ValueError when the target must be verified and it does not.
    """
    timeouts = timeouts or Timeouts()
    wire: Wire | None = None
    try:
        async with asyncio.timeout(timeouts.opening) as limit:
            wire = await dial(target, timeouts, ssl_context)
            server, extensions = await introduce(wire, target, timeouts, ssl_context)
    except Ended as ended:
        if wire is not None:
            wire.close(b"QUIT\r\n")
        return ended.status
    except BaseException as error:
        if wire is not None:
            wire.abort()
        if isinstance(error, TimeoutError) and limit.expired():
            return passing("4.4.2", f"no session within {timeouts.opening:g} s", target.label)
        raise
    return Connection(wire, target, timeouts, server, extensions)


class Connection:
    """An open session. Made by `connect`; used by one task at a time."""

    def __init__(self, wire: Wire, target: Target, timeouts: Timeouts, server: str, extensions: dict[str, str]) -> None:
        self._wire, self._timeouts, self._extensions = wire, timeouts, extensions
        self._loop = asyncio.get_running_loop()
        self._busy = False
        self._unfinished = False  # the server may hold a transaction of ours
        self.target = target
        self.server = server  # the name it gave in its greeting
        self.sent = 0  # transactions so far: trouble at "mail" of a used connection says only that it was old
        self.idle_since = self._loop.time()  # seconds on the loop's clock
        self.until = 0.0  # on the same clock: when the next `send` must have ended; 0 for no such time
        self._budget: asyncio.TimerHandle | None = None

    @property
    def reusable(self) -> bool:
        """Whether another `send` may be tried: alive, in step, and not busy."""
        return self._wire.alive and not self._busy

    @property
    def tls(self) -> str:
        """`TLSv1.3 TLS_AES_256_GCM_SHA384`, or "" without TLS."""
        return self._wire.tls

    def offers(self, extension: str) -> bool:
        """Whether the server's EHLO named this extension."""
        return extension.upper() in self._extensions

    async def send(self, tx: Transaction) -> tuple[Outcome, ...]:
        """Send one message; an outcome per recipient, in their order. Raises nothing for what the server does.

        When the task is cancelled, the connection is closed and the message's fate unknown. RuntimeError when busy.
        """
        if self._busy:
            raise RuntimeError("this connection is already sending")
        self._busy = True
        started = self._loop.time()
        seconds = self._seconds_to_dot(started)
        self._budget = self._loop.call_at(started + seconds, self._out_of_time, seconds)
        exchange = Exchange(self._wire, self.target, self._timeouts, self._extensions, tx)
        try:
            verdicts = await exchange.run(reset=self._unfinished)
        except BaseException:
            self._wire.abort()
            raise
        finally:
            self._budget.cancel()
            self._busy = False
        self._unfinished = not exchange.clean_end
        self.sent += 1
        self.idle_since = self._loop.time()
        seconds = self.idle_since - started
        if any(verdict.status.code == 421 for verdict in verdicts):
            self._wire.close()  # RFC 5321 §3.8: the server is closing, whatever it says next
        return tuple(
            Outcome(recipient, verdict.status, verdict.stage, verdict.unclear, self._wire.tls, seconds)
            for recipient, verdict in zip(tx.recipients, verdicts, strict=True)
        )

    def _seconds_to_dot(self, started: float) -> float:
        """How long everything before the dot may take. Of the time until `until`, a third is for the answer to it."""
        if not self.until:
            return self._timeouts.total
        left = max(self.until - started, 0.0)
        return min(self._timeouts.total, left - min(self._timeouts.after_dot, left / 3))

    def _out_of_time(self, seconds: float) -> None:
        if not self._wire.sent:
            self._wire.fail(Trouble("4.4.2", f"not sent within {seconds:g} s"))
        elif self.until:
            late = Trouble("4.4.2", "no answer before the time for this attempt was over")
            self._budget = self._loop.call_at(self.until, self._wire.fail, late)

    def abort(self) -> None:
        """Close at once, without a word."""
        self._wire.abort()

    async def quit(self) -> None:
        """Part politely. What the server says to it, or whether it says anything, is of no interest."""
        try:
            if self._wire.alive:
                await self._wire.ask(b"QUIT\r\n", self._timeouts.quit)
        finally:
            self._wire.close()
