"""`gateway serve` as a process of its own, a next hop that takes every mail, and a billing system that hands mail over.

Used by the tests of the command line. What the process logs is read by the line; it is killed when the test ends.
"""

import contextlib
import json
import smtplib
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from journeys.forked import ROOT
from journeys.shell import SECONDS, Shell
from postroom.ports import free_port


class Sink(socketserver.ThreadingTCPServer):
    """A next hop that takes every mail. `mails` are (return path, recipient, bytes); `met` are those of `silent`.

    A recipient in `silent` is never answered at DATA: whoever sends to it hangs until it ends.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), _Talk)
        self.mails: list[tuple[str, str, bytes]] = []
        self.silent: set[str] = set()
        self.met: list[str] = []


class _Talk(socketserver.StreamRequestHandler):
    """One connection to the sink."""

    server: Sink

    def handle(self) -> None:
        """Say what SMTP asks for, and keep what comes."""
        self.wfile.write(b"220 sink.test ESMTP\r\n")
        path = recipient = ""
        while line := self.rfile.readline().rstrip(b"\r\n").decode():
            verb = line.upper()
            if verb.startswith("MAIL"):
                path = line.partition("<")[2].partition(">")[0]
            elif verb.startswith("RCPT"):
                recipient = line.partition("<")[2].partition(">")[0]
            elif verb == "DATA" and recipient in self.server.silent:
                self.server.met.append(recipient)
                self.rfile.read()
                return
            elif verb == "DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.mails.append((path, recipient, b"".join(lines)))
            if verb.startswith("EHLO"):
                self.wfile.write(b"250-sink.test\r\n250 8BITMIME\r\n")
            else:
                self.wfile.write(b"221 2.0.0 bye\r\n" if verb == "QUIT" else b"250 2.0.0 taken by the sink\r\n")


@contextlib.contextmanager
def run_sink() -> Iterator[Sink]:
    """A next hop while the context lasts."""
    with Sink() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@dataclass
class Serving:
    """A `gateway serve` and what it logged."""

    process: subprocess.Popen[bytes]
    log: Path

    def events(self) -> list[dict[str, Any]]:
        """The log, a JSON object a line."""
        return [json.loads(line) for line in self.log.read_text("utf-8").split("\n") if line]

    def wait_for(self, event: str) -> dict[str, Any]:
        """The first log line of that name."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            for line in self.events():
                if line["event"] == event:
                    return line
            time.sleep(0.1)
        raise AssertionError(f"no {event}; the log:\n{self.log.read_text('utf-8')}")


def install(folder: Path, sink: Sink, database: str = "") -> Shell:
    """An installation on free ports that relays to the sink; its one secret is the billing system's password."""
    shell = Shell(folder)
    shell("init", "--domain", "gateway.test", *(("--database", database) if database else ()))
    ports = {f"{name}__port": str(free_port()) for name in ("submission", "receiver", "web")}
    shell.set(**ports, submission__tls_port=str(free_port()), delivery__relay=f'"127.0.0.1:{sink.server_address[1]}"')
    shell("tenant", "add", "acme", "--company", "Acme Servicii SRL")
    shell.secrets.append(shell("credential", "add", "--username", "billing", "--json").json["password"])
    return shell


@contextlib.contextmanager
def serve(shell: Shell, *options: str) -> Iterator[Serving]:
    """Run `gateway serve` in the shell's folder, once it is ready."""
    log = shell.folder / f"log-{time.monotonic_ns()}"  # what a former one left may still write to its own
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, ROOT / "cli.py", "serve", *options], cwd=shell.folder, stderr=file, env=shell.environment
        )
    try:
        made = Serving(process, log)
        made.wait_for("gateway.ready")
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def submit(port: int, certificate: Path, password: str) -> tuple[int, bytes]:
    """Hand one mail over as a billing system does: STARTTLS, AUTH, DATA; the answer to the final dot."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "facturare@acme.test", "ion@client.test", "Factura 42"
    message.set_content("Bună ziua")
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False  # the certificate names the host, the test dials an address
    with smtplib.SMTP("127.0.0.1", port, timeout=SECONDS) as client:
        client.starttls(context=context)
        client.login("billing", password)
        client.mail("facturare@acme.test")
        client.rcpt("ion@client.test")
        return client.data(message.as_bytes(policy=SMTP))
