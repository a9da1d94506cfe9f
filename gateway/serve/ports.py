"""Sockets that are bound before anybody listens on them.

Used for the pages, and by the supervisor, which keeps the ports of its processes. Refuses, with ConfigError, a port
that is taken.
"""

import socket

from gateway.config import ConfigError


def bind_port(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket that is bound (-1: to any free port), and with others when it is `shared`. Raises ConfigError."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, max(port, 0)))
    except OSError as error:
        sock.close()
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return sock
