"""What the tests of the SMTP server share: a doorstep that keeps what it gets, and a client that says exact bytes."""

import asyncio
import base64
import contextlib
import functools
import ssl

import uvloop

from gateway.mail.reply import Refused, Reply
from gateway.wire.smtp_server import listen

ENVELOPE = b"MAIL FROM:<ana@x.example>\r\nRCPT TO:<bob@y.example>\r\nDATA\r\n"
MESSAGE = b"Subject: x\r\n\r\nhello\r\n"
LOGIN = b"AUTH PLAIN " + base64.b64encode(b"\0ana\0secret")
WRONG = b"AUTH PLAIN " + base64.b64encode(b"\0ana\0wrong")


class Step:
    """A doorstep that keeps what it is given and does what the local part of an address says."""

    def __init__(self) -> None:
        self.kept: list[tuple[object, bytes]] = []
        self.sessions: list[object] = []
        self.refuse_greeting: Refused | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.tries = 0
        self.told: list[Reply] = []

    async def greet(self, session):
        self.sessions.append(session)
        if self.refuse_greeting:
            raise self.refuse_greeting

    async def authenticate(self, session, username, password):
        self.tries += 1
        if username == "crash":
            raise RuntimeError(f"no such table for {password}")
        return username if (username, password) == ("ana", "secret") else None

    async def mail(self, session, envelope):
        if envelope.return_path and envelope.return_path.local == "crash":
            raise RuntimeError("SELECT * FROM secrets")

    async def rcpt(self, session, envelope, recipient):
        if recipient.address.local == "nobody":
            raise Refused(550, "5.1.1", "no such user")

    async def refused(self, session, envelope, reply):
        self.told.append(reply)

    async def data(self, session, envelope, raw):
        self.entered.set()
        if self.gate:
            await self.gate.wait()
        if b"crash" in raw:
            raise RuntimeError("/usr/lib/secret.py")
        if b"refuse" in raw:
            raise Refused(554, "5.6.0", "refused as asked")
        self.kept.append((envelope, raw))
        if session.lmtp:
            full = [recipient.address.local == "full" for recipient in envelope.recipients]
            return [Reply(452, "4.2.2", "mailbox full") if f else Reply(250, "2.0.0", "kept") for f in full]
        return [Reply(250, "2.0.0", f"kept {len(self.kept)}")]


class Client:
    """A client that says exactly the bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def reply(self) -> tuple[int, str]:
        """The next reply, all lines; (0, "") at the end of the connection."""
        text = ""
        while True:
            try:
                line = (await self.reader.readline()).decode()
            except ConnectionResetError:
                line = ""
            text += line
            if not line:
                return 0, text
            if line[3:4] != "-":
                return int(line[:3]), text

    async def say(self, *lines: bytes) -> tuple[int, str]:
        answer = 0, ""
        for line in lines:
            self.writer.write(line + b"\r\n")
            answer = await self.reply()
        return answer

    async def codes(self, wire: bytes, count: int) -> list[int]:
        self.writer.write(wire)
        return [(await self.reply())[0] for _ in range(count)]


def journey(scenario):
    """Run an async test on asyncio's loop and on uvloop, each with an end."""

    @functools.wraps(scenario)
    def run(*args, **kwargs):
        for loop in (asyncio, uvloop):
            loop.run(asyncio.wait_for(scenario(*args, **kwargs), 60))

    return run


@contextlib.asynccontextmanager
async def serving(step=None, **terms):
    listener = await listen(step or Step(), host="127.0.0.1", hostname="gw.test", **terms)
    try:
        yield listener
    finally:
        listener.close()
        await listener.wait_closed()


async def connect(listener, *, ehlo: bytes = b"EHLO c.test", greeted: bool = True, **options) -> Client:
    client = Client(*await asyncio.open_connection("127.0.0.1", listener.port, **options))
    if greeted:
        assert (await client.reply())[0] == 220
        if ehlo:
            assert (await client.say(ehlo))[0] == 250
    return client


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
