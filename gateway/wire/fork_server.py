"""Our end of the process that the workers are forked from: it imports their modules once, so each starts in no time.

Used by `gateway.wire.workers` only. One such process serves all pools of this one that ask for the same modules; it
never sees a task. It ends when this process does, and its children with it. When it cannot be reached it is started
anew, once; then `fork` raises OSError.
"""

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from gateway.wire.worker_main import FORK, GONE, KILL, ORDER, RUNNING, STATUS

_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "XDG_CACHE_HOME")


class ForkServer:
    """Forks children that have `modules` imported, each with the end of a socket pair that it is given."""

    def __init__(self, modules: tuple[str, ...], environment: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", "gateway.wire.worker_main", *modules]
        self._environment = environment
        self._lock = threading.Lock()
        self._number = 0
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def fork(self, memory_bytes: int, channel: socket.socket) -> int:
        """The number of a new child, which is on its way: it says "ready" on its channel. Raises OSError."""
        with self._lock:
            self._number += 1
            order = ORDER.pack(FORK, self._number, memory_bytes)
            with contextlib.suppress(OSError):  # it was killed, or could not import
                socket.send_fds(self._control or self._start(), [order], [channel.fileno()])
                return self._number
            socket.send_fds(self._start(), [order], [channel.fileno()])
            return self._number

    def kill(self, number: int) -> None:
        """End a child, whatever it does, and forget it."""
        with self._lock, contextlib.suppress(OSError):
            if self._control is not None:
                self._control.send(ORDER.pack(KILL, number, 0))

    def last_status(self, number: int, seconds: float = 2.0) -> int | None:
        """How a child ended, as `os.waitstatus_to_exitcode` says it; None when it runs on, or nobody knows."""
        until = time.monotonic() + seconds
        while (status := self._status(number)) == RUNNING and time.monotonic() < until:
            time.sleep(0.01)
        return None if status in (RUNNING, GONE) else status

    def close(self) -> None:
        """End it, and so its children."""
        with self._lock:
            self._stop()

    def _status(self, number: int) -> int:
        with self._lock:
            try:
                if self._control is None:
                    return GONE
                self._control.send(ORDER.pack(STATUS, number, 0))
                answer = self._control.recv(ORDER.size)
                return int(ORDER.unpack(answer)[2]) if answer else GONE
            except OSError:
                return GONE

    def _start(self) -> socket.socket:
        self._stop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(60)
        with theirs:
            self._process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )
        self._control = ours
        return ours

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


_servers: dict[tuple[object, ...], ForkServer] = {}
_making = threading.Lock()


def fork_server(modules: tuple[str, ...]) -> ForkServer:
    """The server for these modules in the surroundings as they are now; it is started by its first child."""
    environment = _surroundings()
    key = (modules, *sorted(environment.items()))
    with _making:
        if key not in _servers:
            _servers[key] = ForkServer(modules, environment)
        return _servers[key]


@atexit.register
def _close_all() -> None:
    for server in _servers.values():
        server.close()


def _surroundings() -> dict[str, str]:
    """What a child may know: no secret of ours is in it. The hash seed is fixed so that output does not vary."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith(("FONTCONFIG_", "WEASYPRINT_"))}
    return kept | {"PYTHONPATH": _joined(sys.path), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def _joined(paths: Iterable[str]) -> str:
    return os.pathsep.join(str(Path(path).resolve()) for path in paths)
