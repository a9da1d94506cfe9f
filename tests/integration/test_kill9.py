"""kill -9 under load: nothing that was answered 250 is lost, whatever moment the process dies at.

The real command serves on loopback and relays to a sink of ours; clients submit without pause while the process is
killed at twenty random moments and started again. The ledger is what the clients heard and what the sink got.
"""

import asyncio
import contextlib
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from postroom.ports import LOOPBACK, free_port, wait_port

from gateway.mail.reply import Reply
from gateway.wire.smtp_server import listen
from gateway.wire.smtp_session import Envelope, Recipient, Session

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
CLIENTS = 6
MARK = re.compile(rb"X-Test-Id: (\S+)")


class Sink:
    """A next hop that remembers the id of everything it took."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    async def greet(self, session: Session) -> None: ...

    async def authenticate(self, session: Session, username: str, password: str) -> object | None:
        return None

    async def mail(self, session: Session, envelope: Envelope) -> None: ...

    async def rcpt(self, session: Session, envelope: Envelope, recipient: Recipient) -> None: ...

    async def refused(self, session: Session, envelope: Envelope | None, reply: Reply) -> None: ...

    async def data(self, session: Session, envelope: Envelope, raw: bytes) -> list[Reply]:
        found = MARK.search(raw)
        assert found
        self.taken[found[1].decode()] += 1
        return [Reply(250, "2.0.0", "taken")]


@contextlib.contextmanager
def start_sink() -> Iterator[tuple[Sink, int]]:
    """A sink on a thread with an event loop of its own, and its port."""
    sink, ready, port = Sink(), threading.Event(), free_port()
    told: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        listener = await listen(sink, host=LOOPBACK, port=port, hostname="sink.example")
        told.append((asyncio.get_running_loop(), asyncio.Event()))
        ready.set()
        await told[0][1].wait()
        listener.close()
        await listener.wait_closed()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield sink, port
    finally:
        loop, stop = told[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


class Gateway:
    """The serving process, in a session of its own so that its workers die with it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.command = [sys.executable, str(ROOT / "cli.py"), "-c", str(folder / "gateway.toml")]
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *words: str) -> None:
        subprocess.run([*self.command, *words], check=True, capture_output=True, timeout=120)

    def start(self) -> None:
        self.process = subprocess.Popen([*self.command, "serve"], start_new_session=True)
        wait_port(self.port, 60)

    def kill(self) -> None:
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Client(threading.Thread):
    """Submits one mail after the other until told to stop; notes what it heard about each."""

    def __init__(self, port: int, heard: dict[str, str], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.heard, self.stop_now = port, heard, stop

    def run(self) -> None:
        while not self.stop_now.is_set():
            with (
                contextlib.suppress(OSError, smtplib.SMTPException),
                smtplib.SMTP(LOOPBACK, self.port, timeout=10) as smtp,
            ):
                while not self.stop_now.is_set():
                    self.submit(smtp)
            time.sleep(0.05)

    def submit(self, smtp: smtplib.SMTP) -> None:
        name = uuid.uuid4().hex
        smtp.ehlo_or_helo_if_needed()
        for code, _ in (smtp.mail("billing@tenant.example"), smtp.rcpt(f"{name[:8]}@customer.example")):
            assert code == 250
        smtp.putcmd("data")
        assert smtp.getreply()[0] == 354
        self.heard[name] = "unknown"
        smtp.send(f"From: billing@tenant.example\r\nSubject: {name}\r\nX-Test-Id: {name}\r\n\r\n{'y' * 70}\r\n.\r\n")
        self.heard[name] = "taken" if smtp.getreply()[0] == 250 else "refused"


def install(folder: Path, port: int, sink: int) -> Gateway:
    (folder / "gateway.toml").write_text(
        'hostname = "mail.gateway.example"\nshared_address = "noreply@gateway.example"\nlog = "error"\n'
        f"[submission]\nport = {port}\ntls_port = 0\n[receiver]\nport = 0\n[web]\nport = 0\n[workers]\ncount = 1\n"
        f'[delivery]\nrelay = "{LOOPBACK}:{sink}"\nrelay_tls = "off"\nretry_first_seconds = 2\n'
    )
    gateway = Gateway(folder, port)
    gateway.run("init")
    gateway.run("tenant", "add", "acme", "--company", "Acme")
    gateway.run("credential", "add", "--network", f"{LOOPBACK}/32")
    return gateway


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_twenty_kills_under_load_lose_nothing_that_was_answered_250(tmp_path: Path) -> None:
    with start_sink() as (sink, sink_port):
        gateway = install(tmp_path, free_port(), sink_port)
        heard: dict[str, str] = {}
        stop = threading.Event()
        gateway.start()
        clients = [Client(gateway.port, heard, stop) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        chance = random.Random(1)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.3, 1.5))
            gateway.kill()
            gateway.start()
        time.sleep(1)
        stop.set()
        for client in clients:
            client.join(30)
        taken = {name for name, word in heard.items() if word == "taken"}
        gateway.run("queue", "release", "--all", "--yes")  # what three kills met in flight is parked, and shown
        deadline = time.monotonic() + 90
        while taken - sink.taken.keys() and time.monotonic() < deadline:
            time.sleep(0.2)
        gateway.kill()
    assert len(taken) > KILLS, "the load never got through"
    assert not taken - sink.taken.keys(), "answered 250 and lost"
    assert not {name for name, word in heard.items() if word == "refused"} & sink.taken.keys(), "refused and sent"
    repeated = sum(count - 1 for count in sink.taken.values())
    assert repeated <= KILLS * 20, f"{repeated} sent twice: more than one per open connection and kill"
    assert max(sink.taken.values()) <= 1 + KILLS
