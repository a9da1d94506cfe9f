"""The bounded SMTP and LMTP server: `listen` opens a socket for a `Doorstep` and returns a `Listener`.

Called by the doorsteps (submission on 587 and 465, the receiver on 25 and LMTP) and by the composition root. Promises
every limit of `Limits`, replies with enhanced status codes (RFC 2034), pipelining, and an orderly `drain`. The names
a doorstep needs are re-exported here. Refuses nothing by content except NUL, bare CR and bare LF: doors decide.
"""

import asyncio
import socket
import ssl
from typing import Literal

from gateway.mail.reply import Reply
from gateway.wire.capacity import Capacity
from gateway.wire.limits import Admission, FailedLogins, Limits
from gateway.wire.smtp_conversation import Conversation
from gateway.wire.smtp_session import Auth, Doorstep, Envelope, Recipient, Session, Terms

__all__ = ["Auth", "Doorstep", "Envelope", "FailedLogins", "Limits", "Listener", "Recipient", "Session", "listen"]

BACKLOG = 1024
_GOODBYE = Reply(421, "4.3.2", "Shutting down; try again in a moment")


class Listener:
    """One listening socket and its connections. Made by `listen`."""

    def __init__(self, terms: Terms, sock: socket.socket) -> None:
        self._terms = terms
        self._socket = sock
        self._server: asyncio.Server | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._conversations: set[Conversation] = set()
        name = sock.getsockname()
        self._port = int(name[1]) if isinstance(name, tuple) else 0

    @property
    def port(self) -> int:
        """The TCP port, 0 for a Unix socket."""
        return self._port

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._conversations)

    def close(self) -> None:
        """Stop listening and end every connection now; hooks at work are cancelled."""
        self._stop_listening()
        for conversation in list(self._conversations):
            conversation.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket and every connection is closed, after `close` or `drain`."""
        await self._wait_for_conversations(None)
        if self._server is not None:
            await self._server.wait_closed()

    async def drain(self, seconds: float) -> None:
        """Stop listening, let transactions finish for at most `seconds`, say 421 to everybody, then `close`."""
        self._stop_listening()
        for conversation in list(self._conversations):
            conversation.leave(_GOODBYE)
        await self._wait_for_conversations(seconds)
        self.close()
        await self.wait_closed()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        if self._terms.implicit_tls:
            self._socket.setblocking(False)
            self._socket.listen(BACKLOG)
            self._accepting = loop.create_task(self._accept())
            return
        start = loop.create_unix_server if self._socket.family == socket.AF_UNIX else loop.create_server
        self._server = await start(self._meet, sock=self._socket, backlog=BACKLOG)

    async def _accept(self) -> None:
        """Accept for implicit TLS: the loop's own server would handshake with anybody before we could count them."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._socket)
            except OSError:  # gone before we looked, or no file descriptor left
                await asyncio.sleep(0.1)
                continue
            self._meet().welcome(sock)

    def _meet(self) -> Conversation:
        return _Counted(self._terms, asyncio.get_running_loop(), self._conversations)

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting.add_done_callback(lambda _task: self._socket.close())

    async def _wait_for_conversations(self, seconds: float | None) -> None:
        tasks = [conversation.task for conversation in self._conversations if conversation.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)


class _Counted(Conversation):
    """A conversation that its listener can find again."""

    def __init__(self, terms: Terms, loop: asyncio.AbstractEventLoop, among: set[Conversation]) -> None:
        super().__init__(terms, loop)
        self._among = among

    def _begin(self, peer: object) -> None:
        super()._begin(peer)
        self._among.add(self)
        assert self.task is not None
        self.task.add_done_callback(lambda _task: self._among.discard(self))


def _bind(host: str | None, port: int, reuse_port: bool) -> socket.socket:
    """A bound TCP socket; without `host` on all addresses of both families."""
    if host is None and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, reuse_port=reuse_port)
    family = socket.AF_INET6 if host and ":" in host else socket.AF_INET
    return socket.create_server((host or "", port), family=family, reuse_port=reuse_port)


async def listen(
    doorstep: Doorstep,
    *,
    host: str | None = None,
    port: int = 0,
    hostname: str,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    implicit_tls: bool = False,
    protocol: Literal["smtp", "lmtp"] = "smtp",
    auth: Auth = "off",
    auth_required: bool = False,
    sock: socket.socket | None = None,
    reuse_port: bool = False,
    logins: FailedLogins | None = None,
    admission: Admission | None = None,
    capacity: Capacity | None = None,
) -> Listener:
    """Listen on `host`:`port` (0: any free port) or on `sock`, and serve `doorstep`.

    `hostname` is what we call ourselves. `tls` offers STARTTLS, or is used at once with `implicit_tls`. `auth` says
    when AUTH is offered: never, within TLS, or also in clear to peers on the loopback. `logins`, `admission`
    and `capacity` may be shared by listeners.
    Raises `OSError` when the address cannot be bound, `ValueError` for `implicit_tls` without `tls`.
    """
    if implicit_tls and tls is None:
        raise ValueError("implicit_tls needs a TLS context")
    limits = limits or Limits()
    terms = Terms(
        doorstep=doorstep,
        hostname=hostname,
        limits=limits,
        admission=admission or Admission(limits),
        capacity=capacity or Capacity(),
        logins=logins or FailedLogins(),
        tls=tls,
        implicit_tls=implicit_tls,
        lmtp=protocol == "lmtp",
        auth=auth,
        auth_required=auth_required,
    )
    listener = Listener(terms, sock if sock is not None else _bind(host, port, reuse_port))
    await listener._open()
    return listener
