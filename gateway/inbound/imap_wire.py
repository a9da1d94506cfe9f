"""The connection to somebody's IMAP server, with limits: every byte that `imaplib` reads goes through here.

Used by `inbound.imap_session` only. The library reads lines and literals without an end in sight; this socket gives it
lines of at most 1 MiB, literals that the caller allows, and for each command so many bytes and seconds as the caller
allots (`allot`). Hosts that the operator does not allow are refused when they are dialled, after they were resolved.
Raises OSError and imaplib's errors, as the library expects.
"""

import imaplib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

Allow = Callable[[IPv4Address | IPv6Address], bool]  # whether an address may be dialled

LINE_BYTES = 2**20
CHUNK = 2**18


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of one session, in seconds and bytes; `message` is the largest mail that is taken."""

    connect: float = 20.0
    command: float = 60.0
    fetch: float = 300.0
    command_bytes: int = 8 * 2**20
    message: int = 25 * 2**20
    batch_bytes: int = 8 * 2**20
    batch_mails: int = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where to dial; with `tls` from the start when it is given."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    allow: Allow | None
    patience: Patience = Patience()


class Wire(imaplib.IMAP4):
    """imaplib's client over our own reading."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._buffer = bytearray()
        self._deadline = 0.0
        self._left = 0
        self._literal = 0
        self.allot(place.patience.connect + place.patience.command, place.patience.command_bytes)
        super().__init__(place.host, place.port)
        self.debug = 0

    def allot(self, seconds: float, most: int, literal: int = LINE_BYTES) -> None:
        """What the next command may take: time, bytes in all, and bytes of one literal."""
        self._deadline, self._left, self._literal = time.monotonic() + seconds, most, literal

    # -- what imaplib asks for

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        made = _dial(self._place)
        if self._place.tls is None:
            return made
        try:
            return self._place.tls.wrap_socket(made, server_hostname=self._place.host)
        except BaseException:
            made.close()
            raise

    def read(self, size: int) -> bytes:
        """A literal."""
        if size > self._literal:
            raise self.abort(f"the server announced {size} bytes at once")
        while len(self._buffer) < size:
            self._fill()
        return self._take(size)

    def readline(self) -> bytes:
        """A line."""
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            if len(self._buffer) > LINE_BYTES:
                raise self.abort("the server sent a line without an end")
            start = len(self._buffer)
            self._fill()
        if end > LINE_BYTES:
            raise self.abort("the server sent a line without an end")
        return self._take(end + 1)

    def starttls(self, ssl_context: ssl.SSLContext | None = None) -> Any:
        """TLS on the open connection; what was said before it, and past the server's OK, does not count (RFC 3501)."""
        assert ssl_context is not None
        if self.state != "NONAUTH" or "STARTTLS" not in self.capabilities:
            raise self.abort("the server offers no STARTTLS")
        answer = self._simple_command("STARTTLS")
        if answer[0] == "OK":
            if self._buffer:
                raise self.abort("the server sent something between STARTTLS and TLS")
            self.sock = ssl_context.wrap_socket(self.sock, server_hostname=self.host)
            self.untagged_responses = {}
            self._tls_established = True
            self._get_capabilities()
        return answer

    # -- reading

    def heard(self, seconds: float) -> bytes | None:
        """The next line when one comes within so many seconds; None otherwise. Used while the server idles."""
        if b"\n" not in self._buffer:
            self.sock.settimeout(max(seconds, 0.01))
            try:
                self._receive()
            except TimeoutError:
                return None
            if len(self._buffer) > LINE_BYTES:
                raise self.abort("the server sent a line without an end")
        return self.readline() if b"\n" in self._buffer else None

    def _fill(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server takes too long")
        self.sock.settimeout(min(left, self._place.patience.command))
        self._receive()

    def _receive(self) -> None:
        data = self.sock.recv(CHUNK)
        if not data:
            raise self.abort("the server closed the connection")
        self._left -= len(data)
        if self._left < 0:
            raise self.abort("the server sends more than it was asked for")
        self._buffer += data

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken


def _dial(place: Place) -> socket.socket:
    found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    allowed = [one for one in found if place.allow is None or place.allow(ip_address(str(one[4][0]).partition("%")[0]))]
    if not allowed:
        raise OSError(f"{place.host} is in a network that mailboxes may not be in (delivery.allow_private)")
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in allowed[:4]:
        made = socket.socket(family, kind, protocol)
        made.settimeout(place.patience.connect)
        try:
            made.connect(address)
        except OSError as error:
            made.close()
            failure = error
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return made
    raise failure
