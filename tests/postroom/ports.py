"""Free ports of 127.0.0.1, and waiting until something answers on one. Called by every server of the postroom.

Ports come from below the kernel's ephemeral range, so that no outgoing connection of a test takes one between
choosing and binding; one is never handed out twice by a process. Refuses nothing; raises TimeoutError with the
port's number when nobody listens in time.
"""

import os
import random
import socket
import time
from collections.abc import Callable

LOOPBACK = "127.0.0.1"
_PORTS = range(18_000, 32_000)
_handed_out: set[int] = set()
_dice = random.Random(os.getpid() ^ time.monotonic_ns())


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens now."""
    for _ in range(500):
        port = _dice.choice(_PORTS)
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
    raise RuntimeError("no free port on 127.0.0.1")


def wait_port(port: int, timeout: float = 20.0, alive: Callable[[], bool] = lambda: True) -> None:
    """Return once 127.0.0.1:port accepts; TimeoutError after `timeout` seconds or when `alive` says the server died."""
    wait_until(lambda: _accepts(port), timeout, f"nobody listens on {LOOPBACK}:{port}", alive)


def wait_until(
    true: Callable[[], bool], timeout: float, otherwise: str, alive: Callable[[], bool] = lambda: True
) -> None:
    """Poll `true` every 20 ms; TimeoutError(otherwise) after `timeout` seconds or when `alive` turns false."""
    deadline = time.monotonic() + timeout
    while not true():
        if not alive():
            raise TimeoutError(f"{otherwise}: the server has ended")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} after {timeout:g} s")
        time.sleep(0.02)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
