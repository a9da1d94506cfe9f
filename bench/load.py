"""An SMTP load and a counting sink, as two processes of their own: `python -m bench.load sink|run ...`.

Used by `bench.relay` and `bench.nodes`. The sink is the next hop of every candidate, and may answer late, as a distant
one does; the load submits over so many connections at once, pipelined, each message with an id of its own, and reports
when the last answer came. A session that breaks goes on at the next port; what it had not heard about is not sent
again, another message takes its place. Standard library and uvloop.
"""

import argparse
import asyncio
import base64
import json
import random
import signal
import ssl
import sys
import time
from typing import Any

import uvloop

END = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    """Takes everything, counts what ends with the final dot, and knows ids that came twice."""

    def __init__(self, counts: dict[str, Any]) -> None:
        self.counts = counts
        self.buffer = b""
        self.in_data = False

        self.name = ""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._say(b"220 sink ESMTP\r\n")

    def connection_lost(self, _: Exception | None) -> None:
        if self.name:
            self.counts["open"][self.name] -= 1

    def _say(self, what: bytes) -> None:
        """Answer, after the delay; a connection that is closed meanwhile hears nothing."""
        if delay := self.counts["delay"]:
            asyncio.get_running_loop().call_later(delay, self._say_now, what)
        else:
            self.transport.write(what)

    def _say_now(self, what: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(what)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        answers: list[bytes] = []
        while self._step(answers):
            pass
        if answers:
            self._say(b"".join(answers))

    def _step(self, answers: list[bytes]) -> bool:
        if self.in_data:
            end = self.buffer.find(END)
            if end < 0:
                return False
            self._count(self.buffer[:end])
            self.buffer = self.buffer[end + len(END) :]
            self.in_data = False
            answers.append(b"250 2.0.0 taken\r\n")
            return True
        line, newline, rest = self.buffer.partition(b"\r\n")
        if not newline:
            return False
        self.buffer = rest
        verb = line[:4].upper()
        if verb == b"DATA":
            self.in_data = True
            answers.append(b"354 go\r\n")
        elif verb == b"EHLO":
            self.name = line[5:].decode("ascii", "replace")
            self.counts["open"][self.name] = self.counts["open"].get(self.name, 0) + 1
            answers.append(b"250-sink\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250 8BITMIME\r\n")
        else:
            answers.append(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                self.transport.write(b"".join(answers))
                self.transport.close()
                answers.clear()
        return True

    def _count(self, raw: bytes) -> None:
        start = raw.find(b"X-Bench-Id: ")
        name = raw[start + 12 : raw.find(b"\r", start)] if start >= 0 else b""
        seen = self.counts["seen"]
        self.counts["twice"] += name in seen
        seen[name] = seen.get(name, 0) + 1
        self.counts["signed"] += b"DKIM-Signature:" in raw[:8192]
        self.counts["last"] = time.time()


async def serve_sink(port: int) -> None:
    """Serve until told to stop.

    On the control port (port + 1) `STAT` answers JSON, `LIST` with the copies of each id; `ZERO MS` begins anew with
    answers that are so many milliseconds late.
    """
    counts: dict[str, Any] = {"seen": {}, "twice": 0, "signed": 0, "last": 0.0, "delay": 0.0, "open": {}}

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, _, delay = (await reader.readline()).decode().strip().partition(" ")
        if verb == "ZERO":
            counts.update(seen={}, twice=0, signed=0, last=0.0, delay=float(delay or 0) / 1000)
        seen = {id.decode(): copies for id, copies in counts["seen"].items()} if verb == "LIST" else len(counts["seen"])
        writer.write(json.dumps(counts | {"seen": seen}).encode() + b"\n")
        await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(counts), "127.0.0.1", port, backlog=1024)
    controls = await asyncio.start_server(control, "127.0.0.1", port + 1)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with server, controls:
        await stop.wait()


def make_message(size: int) -> tuple[bytes, bytes]:
    """(header, body) of about `size` bytes: plain text when small, text with a PDF attachment from 20 KB on."""
    chance = random.Random(7)
    header = (
        "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nFrom: Billing <billing@tenant1.example>\r\n"
        "To: customer@remote.example\r\nSubject: Invoice 2026-000123 from Tenant One\r\nMIME-Version: 1.0\r\n"
    )
    words = "Dear customer,\r\n\r\nplease find attached invoice 2026-000123, due in 14 days.\r\n"
    if size < 20_000:
        body = words
        while len(header) + len(body) < size - 200:
            body += "".join(chance.choice("abcdefghij klmnopqrst") for _ in range(70)) + "\r\n"
        return f"{header}Content-Type: text/plain; charset=utf-8\r\n\r\n".encode(), body.encode()
    encoded = base64.encodebytes(chance.randbytes(int((size - 900) / 78 * 57))).replace(b"\n", b"\r\n")
    return (
        f'{header}Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n'.encode(),
        f"--=_b\r\nContent-Type: text/plain\r\n\r\n{words}\r\n--=_b\r\nContent-Type: application/pdf\r\n"
        f'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="i.pdf"\r\n\r\n'.encode()
        + encoded
        + b"\r\n--=_b--\r\n",
    )


class Load:
    """One run: `count` messages over `connections`, at most `per_session` on each before it is opened anew."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.run = random.getrandbits(32).to_bytes(4, "big").hex().encode()
        self.header, self.body = make_message(options.size)
        self.next, self.wanted = 0, options.count
        self.accepted: list[str] = []
        self.unheard = 0
        self.errors: dict[str, int] = {}
        self.ended = 0.0

    async def work(self, number: int) -> None:
        """One connection after the other until all messages are taken."""
        ports = self.options.port
        while self.next < self.wanted and sum(self.errors.values()) < 50 * len(ports):
            try:
                await self._session(ports[number % len(ports)])
            except (OSError, EOFError, asyncio.IncompleteReadError) as error:
                self.errors[type(error).__name__] = self.errors.get(type(error).__name__, 0) + 1
                number += 1

    async def _session(self, port: int) -> None:
        options = self.options
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        await _answer(reader, b"2")
        writer.write(b"EHLO load.example\r\n")
        await _answer(reader, b"2")
        if options.starttls:
            writer.write(b"STARTTLS\r\n")
            await _answer(reader, b"2")
            await writer.start_tls(_TLS)
            writer.write(b"EHLO load.example\r\n")
            await _answer(reader, b"2")
        if options.login:
            user, _, password = options.login.partition(":")
            writer.write(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()) + b"\r\n")
            await _answer(reader, b"2")
        sent = 0
        while self.next < self.wanted and (not options.per_session or sent < options.per_session):
            name = b"%s-%d" % (self.run, self.next)
            self.next += 1
            sent += 1
            try:
                await self._submit(reader, writer, name)
            except (OSError, EOFError, asyncio.IncompleteReadError):
                self.wanted += 1
                self.unheard += 1
                raise
            self.accepted.append(name.decode())
            self.ended = time.time()
        writer.write(b"QUIT\r\n")
        writer.close()

    async def _submit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: bytes) -> None:
        writer.write(b"MAIL FROM:<billing@tenant1.example>\r\nRCPT TO:<customer@remote.example>\r\nDATA\r\n")
        for wanted in (b"2", b"2", b"3"):
            await _answer(reader, wanted)
        writer.write(b"X-Bench-Id: %s\r\nMessage-ID: <%s@load.example>\r\n" % (name, name) + self.header)
        writer.write(self.body + b".\r\n")
        await _answer(reader, b"2")


_TLS = ssl.create_default_context()
_TLS.check_hostname, _TLS.verify_mode = False, ssl.CERT_NONE


async def _answer(reader: asyncio.StreamReader, wanted: bytes) -> None:
    while True:
        line = await reader.readuntil(b"\n")
        if line[3:4] != b"-":
            break
    if line[:1] != wanted:
        raise OSError(line[:100].decode("ascii", "replace"))


async def run_load(options: argparse.Namespace) -> dict[str, Any]:
    """Submit everything; what was accepted, when it began and ended, and errors by kind."""
    load = Load(options)
    began = time.time()
    await asyncio.gather(*(load.work(number) for number in range(options.connections)))
    told = {"accepted": len(load.accepted), "unheard": load.unheard, "began": began, "ended": load.ended}
    return told | {"errors": load.errors} | ({"ids": load.accepted} if options.ids else {})


def main() -> None:
    """The two processes that `bench.relay` starts."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("sink").add_argument("--port", type=int, required=True)
    run = kinds.add_parser("run")
    run.add_argument("--port", type=int, nargs="+", required=True)
    run.add_argument("--ids", action="store_true", help="report the ids of what was accepted")
    for name, default in (("size", 5000), ("count", 2000), ("connections", 20), ("per-session", 0)):
        run.add_argument(f"--{name}", type=int, default=default)
    run.add_argument("--login", default="")
    run.add_argument("--starttls", action="store_true")
    options = parser.parse_args()
    uvloop.install()
    if options.kind == "sink":
        asyncio.run(serve_sink(options.port))
    else:
        json.dump(asyncio.run(run_load(options)), sys.stdout)


if __name__ == "__main__":
    main()
