"""Doorstep of mail that comes: SMTP on port 25, and LMTP for a mail server in front.

It takes only addresses that it knows, and refuses the others at RCPT (550 5.1.1), so that it never has to bounce.
Whoever comes or sends too often is told when to come back (421 and 450 4.7.0). Thin: what a mail means is decided
behind `reception.receive`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from gateway.inbound.destinations import Destination, find_destination
from gateway.inbound.reception import Reception, receive
from gateway.inbound.sender_checks import Source
from gateway.mail.reply import Refused, Reply
from gateway.wire.limits import client_key
from gateway.wire.rates import Rate
from gateway.wire.smtp_session import Envelope, Recipient, Session


class ReceiverDoorstep:
    """The `Doorstep` of the receiving ports."""

    def __init__(self, reception: Reception, clock: Callable[[], datetime], connections: Rate, messages: Rate) -> None:
        self._reception = reception
        self._clock = clock
        self._connections = connections
        self._messages = messages

    async def greet(self, session: Session) -> None:
        """Everybody may knock, but not all the time."""
        if wait := self._wait(self._connections, session):
            raise Refused(421, "4.7.0", f"Too many connections from {session.host}; come back in {wait} seconds")

    async def authenticate(self, session: Session, username: str, password: str) -> object | None:
        """Nobody logs in here."""
        return None

    async def mail(self, session: Session, envelope: Envelope) -> None:
        """Reports come from <>, replies from anybody. A transaction counts, whatever becomes of it."""
        if wait := self._wait(self._messages, session):
            most = self._messages.per_minute
            raise Refused(
                450, "4.7.0", f"More than {most} messages in a minute from {session.host}; come back in {wait} seconds"
            )

    async def rcpt(self, session: Session, envelope: Envelope, recipient: Recipient) -> None:
        """Only addresses of ours whose token is real."""
        if await self._find(recipient) is None:
            raise Refused(550, "5.1.1", f"<{recipient.address}> is not an address here")

    async def refused(self, session: Session, envelope: Envelope | None, reply: Reply) -> None:
        """Strangers are refused all day long; the log has it."""

    async def data(self, session: Session, envelope: Envelope, raw: bytes) -> Sequence[Reply]:
        """Through the door; one answer, or one per recipient for LMTP."""
        destinations = [found for one in envelope.recipients if (found := await self._find(one))]
        if len(destinations) != len(envelope.recipients):
            raise Refused(450, "4.1.1", "an address of this message was just removed; try again")
        source = None if session.lmtp else _source(session, envelope)  # the server in front has asked already
        taken = await receive(self._reception, raw, destinations, self._clock(), source)
        replies = [Reply(250, "2.0.0", f"Kept as {one.message_id} in thread {one.thread_id}") for one in taken]
        return replies if session.lmtp else replies[:1]

    def _wait(self, rate: Rate, session: Session) -> int:
        """0, or the seconds to come back after. The server in front (LMTP) speaks for everybody and is not counted."""
        return 0 if session.lmtp else rate.take(client_key(session.host), self._clock().timestamp())

    async def _find(self, recipient: Recipient) -> Destination | None:
        return await self._reception.database.read_briefly(find_destination, self._reception.names, recipient.address)


def _source(session: Session, envelope: Envelope) -> Source:
    return Source(session.host, session.helo, str(envelope.return_path or ""))
