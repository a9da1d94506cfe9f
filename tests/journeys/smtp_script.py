"""A scripted SMTP server: each test of the client is a conversation, line by line. Called by test_smtp_*.py.

A script is a list of steps. "< pattern" expects a line that the pattern matches whole; "> text" answers, "|" between
the lines of one reply; "raw" and "drip" answer as told, "<." takes a message up to its dot; other verbs are methods of
`Script`. All is played on asyncio and on uvloop. A line that the script did not expect fails the test.
"""

import asyncio
import re
import socket
import ssl
import struct

import uvloop

from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.smtp_client import Connection, Target, Timeouts, Transaction, connect

HELLO = ["> 220 mx.test ESMTP", "< EHLO me.test"]
PIPE = [*HELLO, "> 250-mx.test|250-PIPELINING|250-8BITMIME|250 SIZE 1000000"]
STEP = [*HELLO, "> 250-mx.test|250 8BITMIME"]
ENVELOPE = ["< MAIL FROM:<b@us.test>.*", "< RCPT TO:<a@x.test>", "< DATA"]
TWO = ["< MAIL FROM:<b@us.test>.*", "< RCPT TO:<a@x.test>", "< RCPT TO:<b@x.test>", "< DATA"]
ACCEPT = ["> 250 ok", "> 250 ok", "> 354 go", "<.", "> 250 2.0.0 taken as 7"]
RAW = b"Subject: x\r\n\r\nhello\r\n"
MAIL = Transaction("b@us.test", ("a@x.test",), RAW)
BOTH = Transaction("b@us.test", ("a@x.test", "b@x.test"), RAW)
QUICK = Timeouts(connect=5, greeting=5, command=5, tls=5, data=5, body=5, after_dot=5, quit=1)
HASTY = Timeouts(connect=5, greeting=0.6, command=0.6, tls=0.6, data=0.6, body=0.6, after_dot=0.6, quit=0.6)


class Surprise(Exception):
    """The client did not do what the script says."""


class Script:
    """Plays one script to each connection, in turn; `said` is what the client wrote, `messages` what it sent."""

    def __init__(self, *scripts, tls=None, implicit=False):
        self.scripts, self.tls, self.implicit = list(scripts), tls, implicit
        self.said, self.messages, self.surprises, self.tasks = [], [], [], []

    async def __aenter__(self):
        self.server = await asyncio.start_server(
            self.serve, "127.0.0.1", 0, limit=1 << 18, ssl=self.tls if self.implicit else None
        )
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if kind is None:
            assert self.surprises == []

    async def serve(self, reader, writer):
        self.tasks.append(asyncio.current_task())
        self.reader, self.writer = reader, writer
        try:
            if not self.scripts:
                raise Surprise("a connection that no script is for")
            for step in self.scripts.pop(0):
                await self.play(step)
            while line := await reader.readline():  # what comes after the script is kept, and not answered
                self.said.append(line.decode().rstrip("\r\n"))
        except Surprise as surprise:
            self.surprises.append(str(surprise))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def play(self, step):
        verb, _, rest = step.partition(" ")
        if verb == "<":
            line = (await self.reader.readline()).decode()
            self.said.append(line.rstrip("\r\n"))
            if not re.fullmatch(rest + "\r\n", line):
                raise Surprise(f"expected {rest!r}, got {line!r}")
        elif verb == ">":
            self.writer.write(rest.replace("|", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n")
            await self.writer.drain()
        elif verb == "raw":
            self.writer.write(rest.encode("latin-1").decode("unicode_escape").encode("latin-1"))
            await self.writer.drain()
        elif verb == "<.":
            self.messages.append(await self.reader.readuntil(b"\r\n.\r\n"))
        elif verb == "drip":
            for byte in rest.encode():
                self.writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
        else:
            await getattr(self, verb)(rest)

    async def sleep(self, seconds):
        await asyncio.sleep(float(seconds))

    async def take(self, count):
        await self.reader.readexactly(int(count))

    async def flood(self, line):
        while True:
            self.writer.write(line.encode() * 1000)
            await self.writer.drain()

    async def reset(self, _):
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise ConnectionResetError

    async def close(self, _):
        raise ConnectionResetError

    async def secure(self, _):
        await self.writer.start_tls(self.tls)

    def target(self, **changes):
        return Target(
            **{"host": "mx.test", "address": "127.0.0.1", "port": self.port, "helo": "me.test", "tls": "off"} | changes
        )


def play_on(loop):
    """A function that runs a coroutine on "asyncio" or "uvloop", with a limit of time."""
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop

    def run(coroutine):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(coroutine, 60))

    return run


async def exchange(script, *transactions, timeouts=QUICK, ssl_context=None, **target):
    """Connect and send; the outcomes of all transactions, flat, and whether the connection may be used again."""
    async with script:
        connection = await connect(script.target(**target), timeouts, ssl_context)
        assert isinstance(connection, Connection), connection
        outcomes = [outcome for tx in transactions for outcome in await connection.send(tx)]
        reusable = connection.reusable
        connection.abort()
    return outcomes, reusable


async def fail_to_connect(script, timeouts=QUICK, ssl_context=None, **target):
    async with script:
        status = await connect(script.target(**target), timeouts, ssl_context)
        assert isinstance(status, DeliveryStatus)
        assert status.action is Action.DELAYED  # no trouble before MAIL may ever be final
        assert status.host == "mx.test [127.0.0.1]"
        await asyncio.sleep(0.05)
        assert not any(re.match("MAIL|RCPT|DATA", line) for line in script.said)
    return status


class Loose(Script):
    """A script that the client may leave early."""

    async def __aexit__(self, kind, *rest):
        self.surprises.clear()
        await super().__aexit__(kind, *rest)


async def until_dot(reader):
    while (line := await reader.readline()) != b".\r\n":
        yield line


def interleaved(commands, replies):
    """The commands one by one, each answered at once; then what else is said."""
    pairs = [step for pair in zip(commands, replies, strict=False) for step in pair]
    return pairs + replies[len(commands) :]


BIG = Transaction("b@us.test", ("a@x.test",), b"x" * 70 + b"\r\n" + (b"y" * 78 + b"\r\n") * 200_000)
GO = [*HELLO, "> 250-mx.test|250 PIPELINING", *ENVELOPE, "> 250 ok", "> 250 ok", "> 354 go"]
