"""The fake outside world: the mail server of every domain, which does what the local part of an address asks for.

Started by `gateway run` and by tests, on loopback; the delivery of the gateway is pointed at it instead of at MX
records. It speaks with the gateway over sockets only: it takes mail by SMTP and posts reports, auto-replies and
replies of people to the gateway's receiver by SMTP, trying again when told to wait. `TABLE` says what it can do.
Memory is bounded (`keep` mails, KEEP_BYTES). It is no mail server for anything real: nothing leaves, nothing is stored.
"""

import asyncio
import contextlib
import re
import smtplib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime

import structlog

from gateway.demo.behaviours import TABLE, Behaviour, Consequence, behaviour_of
from gateway.demo.mails import Letter, Received, compose_auto_reply, compose_reply, compose_report
from gateway.mail.reply import Refused, Reply
from gateway.mail.status import clean
from gateway.wire.limits import Limits
from gateway.wire.smtp_server import Envelope, Listener, Recipient, Session, listen

__all__ = ["TABLE", "Behaviour", "Received", "World", "start_world"]

KEEP_BYTES = 256 * 2**20
REMEMBERED = 10_000  # greylisted pairs, and mails whose connection was dropped
POST_TRIES = 8
POST_SECONDS = 2.0  # before the second try, doubled each time; times `pace`
POST_TIMEOUT = 30.0
# The world refuses people's addresses for a living, and the gateway may refuse many in one connection.
_LIMITS = Limits(errors=100_000, connections=2000, connections_per_address=2000)
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S{1,998})", re.I | re.M)

log = structlog.get_logger(__name__)


class World:
    """A running world. `received` holds the last mails, oldest first; one entry for each recipient."""

    def __init__(self, return_to: tuple[str, int], hostname: str, clock: Callable[[], datetime], keep: int) -> None:
        self.received: list[Received] = []
        self.pace = 1.0  # what every delay is multiplied by
        self.return_to = return_to  # may be set later, when the receiver listens on a port of its own choice
        self._hostname = hostname
        self._clock = clock
        self._keep = keep
        self._bytes = 0
        self._count = 0
        self._seen: OrderedDict[Hashable, int] = OrderedDict()
        self._waiters: list[tuple[Callable[[Received], bool], asyncio.Future[Received]]] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._listener is not None
        return self._listener.port

    async def wait_for(self, predicate: Callable[[Received], bool], seconds: float) -> Received:
        """The first mail, received or still to come, that satisfies `predicate`. Raises `TimeoutError`."""
        found = next((mail for mail in self.received if predicate(mail)), None)
        if found is not None:
            return found
        future: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        waiter = (predicate, future)
        self._waiters.append(waiter)
        try:
            return await asyncio.wait_for(future, seconds)
        finally:
            self._waiters.remove(waiter)

    async def settle(self, seconds: float) -> None:
        """Wait until everything the world means to post was posted or given up. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while self._errands:
                await asyncio.wait(list(self._errands))

    async def stop(self) -> None:
        """Close the door; what was not posted yet is forgotten."""
        for errand in list(self._errands):
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()

    # -- the hooks of a Doorstep --------------------------------------------------------------------------------

    async def greet(self, session: Session) -> None:
        """Everybody may come."""

    async def authenticate(self, session: Session, username: str, password: str) -> object | None:
        """Nobody has an account here."""
        return None

    async def mail(self, session: Session, envelope: Envelope) -> None:
        """Any return path will do."""

    async def rcpt(self, session: Session, envelope: Envelope, recipient: Recipient) -> None:
        """Refuse what the address asks to have refused here."""
        behaviour = behaviour_of(recipient.address.local)
        reply = behaviour.at_rcpt
        if reply is None:
            return
        if behaviour.times and self._times(("rcpt", envelope.return_path, recipient.address.key)) > behaviour.times:
            return
        raise Refused(reply.code, reply.enhanced, reply.text.format(address=recipient.address))

    async def refused(self, session: Session, envelope: Envelope | None, reply: Reply) -> None:
        """What is refused is the world's answer; nobody keeps account of it."""

    async def data(self, session: Session, envelope: Envelope, raw: bytes) -> Sequence[Reply]:
        """Take the mail, or refuse it, or hang up, as one of its recipients asks; then do what they all ask."""
        behaviours = [behaviour_of(recipient.address.local) for recipient in envelope.recipients]
        await asyncio.sleep(max(behaviour.seconds for behaviour in behaviours) * self.pace)
        refusal = next((behaviour.at_end for behaviour in behaviours if behaviour.at_end is not None), None)
        if refusal is not None:
            return [refusal]
        drop = next((behaviour for behaviour in behaviours if behaviour.drops), None)
        # The envelope tells one mail from another for a mail without Message-ID.
        name = _MESSAGE_ID.search(raw[: raw.find(b"\r\n\r\n")])
        key = ("drop", envelope.return_path, name[1] if name else len(raw))
        dropping = drop is not None and self._times(key) == 1
        if not dropping or (drop is not None and drop.drops == "after keeping"):
            self._take(envelope, behaviours, raw)
        if dropping:
            await _hang_up()
        return [Reply(250, "2.0.0", f"Taken as W{self._count:06d} by {self._hostname}")]

    # -- inside -------------------------------------------------------------------------------------------------

    def _take(self, envelope: Envelope, behaviours: list[Behaviour], raw: bytes) -> None:
        return_path = str(envelope.return_path) if envelope.return_path is not None else ""
        for recipient, behaviour in zip(envelope.recipients, behaviours, strict=True):
            mail = Received(str(recipient.address), return_path, raw, self._clock(), envelope.envid, recipient.orcpt)
            self._keep_mail(mail)
            log.info("world.received", recipient=clean(mail.recipient), behaviour=behaviour.local_part, bytes=len(raw))
            if behaviour.consequences:
                errand = asyncio.create_task(self._follow(mail, behaviour.consequences))
                self._errands.add(errand)
                errand.add_done_callback(self._errands.discard)

    def _keep_mail(self, mail: Received) -> None:
        self._count += 1
        self.received.append(mail)
        self._bytes += len(mail.raw)
        while len(self.received) > self._keep or (self._bytes > KEEP_BYTES and len(self.received) > 1):
            self._bytes -= len(self.received.pop(0).raw)
        for predicate, future in self._waiters:
            if not future.done() and predicate(mail):
                future.set_result(mail)

    def _times(self, key: Hashable) -> int:
        """How often this has happened, now included."""
        self._seen[key] = self._seen.get(key, 0) + 1
        self._seen.move_to_end(key)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return self._seen[key]

    async def _follow(self, mail: Received, consequences: Sequence[Consequence]) -> None:
        """One after another: wait, write, post. An error here costs one letter, never the world."""
        for consequence in consequences:
            await asyncio.sleep(consequence.after * self.pace)
            try:
                letter = await asyncio.to_thread(self._compose, mail, consequence)
                if letter is not None:
                    await self._post(consequence.kind, letter)
            except Exception:
                log.exception("world.fault", recipient=clean(mail.recipient), kind=consequence.kind)

    def _compose(self, mail: Received, consequence: Consequence) -> Letter | None:
        if consequence.outcome is not None:
            return compose_report(mail, consequence.outcome, self._hostname, self._clock())
        compose = compose_reply if consequence.kind == "reply" else compose_auto_reply
        return compose(mail, self._clock())

    async def _post(self, kind: str, letter: Letter) -> None:
        for number in range(1, POST_TRIES + 1):
            reply = await asyncio.to_thread(_hand_over, self.return_to, self._hostname, letter)
            log.info("world.posted", kind=kind, to=clean(letter.recipient), reply=clean(str(reply)), number=number)
            if reply.code < 400 or reply.code >= 500:
                return
            if number < POST_TRIES:
                await asyncio.sleep(max(POST_SECONDS * 2 ** (number - 1) * self.pace, 0.02))


async def _hang_up() -> None:
    """End the connection without an answer: a hook runs in its connection's task, which says nothing when cancelled."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


def _hand_over(address: tuple[str, int], hostname: str, letter: Letter) -> Reply:
    """One try to post a letter: what the server said to it. Trouble on the way is a passing 4xx."""
    client: smtplib.SMTP | None = None
    words: bytes | str
    try:
        client = smtplib.SMTP(*address, local_hostname=hostname, timeout=POST_TIMEOUT)
        client.ehlo_or_helo_if_needed()
        client.sendmail(letter.return_path, [letter.recipient], letter.raw, _options(client, letter))
        return Reply(250, "2.0.0", "taken")
    except smtplib.SMTPRecipientsRefused as refused:
        code, words = next(iter(refused.recipients.values()))
    except smtplib.SMTPResponseException as refused:
        code, words = refused.smtp_code, refused.smtp_error
    except (OSError, smtplib.SMTPException) as error:
        code, words = 451, f"no answer: {error}".encode()
    finally:
        if client is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                client.quit()
            client.close()
    text = words if isinstance(words, str) else words.decode(errors="replace")
    return Reply(code if 400 <= code < 600 else 451, "", text)


def _options(client: smtplib.SMTP, letter: Letter) -> list[str]:
    options = ["BODY=8BITMIME"] if client.has_extn("8bitmime") else []
    ascii_only = letter.return_path.isascii() and letter.recipient.isascii()
    return options if ascii_only else [*options, "SMTPUTF8"]


async def start_world(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    return_to: tuple[str, int],
    hostname: str = "mx.world.example",
    clock: Callable[[], datetime],
    keep: int = 1000,
    pace: float = 1.0,
) -> World:
    """Listen on `host`:`port` (0: any free port); post what comes back to `return_to`, our receiver's SMTP address.

    `clock` gives the aware UTC time for dates; `keep` is how many mails are remembered; every delay is multiplied by
    `pace`. Raises `OSError` when the address cannot be bound.
    """
    world = World(return_to, hostname, clock, keep)
    world.pace = pace
    world._listener = await listen(world, host=host, port=port, hostname=hostname, limits=_LIMITS)
    return world
