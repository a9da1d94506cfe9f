"""The processes of the worker pool: one that imports and forks, and its children, which read a task, run it, answer.

Started by `gateway.wire.fork_server` as `python -m gateway.wire.worker_main MODULE...` with one end of a socket pair as
standard input. It imports the modules, then forks a child for each order, with the channel that comes along; it never
sees a task. A child gives up what a task never needs: new connections, new processes, core dumps, most file
descriptors, memory beyond its share. Each task carries its CPU limit as a backstop for the parent's clock. It refuses
nothing: what a task raises is sent back. Children die with the process that forked them, and that one with ours.
"""

import contextlib
import ctypes
import gc
import importlib
import operator
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import traceback
from typing import Any, NoReturn

LENGTH = struct.Struct(">Q")
RESULT_BYTES = 64 * 2**20
ORDER = struct.Struct("!Bqq")  # to the process that forks: what, the child's number, its bytes of memory or its status
FORK, KILL, STATUS = 1, 2, 3
RUNNING, GONE = 1000, 1001  # beside what `os.waitstatus_to_exitcode` gives

_FORBIDDEN = frozenset(
    "socket.connect socket.bind socket.sendto socket.getaddrinfo subprocess.Popen os.exec os.fork os.forkpty "
    "os.posix_spawn os.spawn os.system ctypes.dlopen".split()
)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38


def main(modules: list[str]) -> None:
    """Import, then do as ordered until the parent closes its end."""
    control = socket.socket(fileno=os.dup(0))
    silence()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the parent's business
    restrict()
    failure = ""
    try:
        for name in modules:
            importlib.import_module(name)
    except BaseException as error:
        failure = f"{type(error).__name__}: {error}"
    gc.collect()
    gc.freeze()  # what was imported lives as long as we do: a collection that walks over it costs a fifth of a PDF
    gc.set_threshold(50_000, 20, 20)  # a document is many small objects, and soon gone
    children = Children(control)
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 1)
        if not order:
            return
        if failure and descriptors:
            send(socket.socket(fileno=descriptors[0]), "failed", failure)
        else:
            children.follow(*ORDER.unpack(order), *descriptors)


class Children:
    """The children by their numbers, and how those ended that nobody has asked about."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self._pids: dict[int, int] = {}
        self._ended: dict[int, int] = {}

    def follow(self, what: int, number: int, value: int, *descriptors: int) -> None:
        """Do as ordered; a child that is forked here never returns."""
        self._collect()
        if what == FORK:
            with socket.socket(fileno=descriptors[0]) as channel:
                parent = os.getpid()
                if (pid := os.fork()) == 0:
                    self.control.close()
                    work(channel, value, parent)
                self._pids[number] = pid
        elif what == KILL:
            self._ended.pop(number, None)
            if number in self._pids:
                os.kill(self._pids[number], signal.SIGKILL)
        elif what == STATUS:
            status = RUNNING if number in self._pids else self._ended.get(number, GONE)
            self.control.send(ORDER.pack(STATUS, number, status))

    def _collect(self) -> None:
        """Take the status of those that have ended: until then their process numbers are nobody else's."""
        for number, pid in list(self._pids.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._pids[number]
                self._ended[number] = os.waitstatus_to_exitcode(status)


def work(channel: socket.socket, memory_bytes: int, parent: int) -> NoReturn:
    """Be a child: perform tasks until our parent's parent closes its end, then end."""
    status = 1
    try:
        confine(memory_bytes)
        sys.addaudithook(forbid)
        if os.getppid() == parent:  # else it died before we could say that we die with it
            send(channel, "ready", os.getpid())
            serve(channel)
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0
    finally:
        os._exit(status)


def serve(channel: socket.socket) -> None:
    """Answer tasks until there are no more."""
    while (task := receive(channel)) is not None:
        kind, value = perform(*task)
        send(channel, kind, value)
        if kind == "memory":
            return  # the heap may be in pieces: let the parent have a fresh child


def silence() -> None:
    """Point the standard streams at nothing: a library that prints must not write into the channel."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def confine(memory_bytes: int) -> None:
    """Set the limits that hold for a child's whole life, and die with the process that forked us."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_FSIZE, (RESULT_BYTES, RESULT_BYTES))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def restrict() -> None:
    """No core dumps, no debugger, no new privileges: for this process and all that it forks."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def forbid(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: no task connects, starts a process or loads a library by name."""
    if event in _FORBIDDEN:
        raise PermissionError(f"a worker process may not {event}")


def perform(module: str, name: str, arguments: tuple[Any, ...], seconds: float) -> tuple[str, Any]:
    """Run one task; gives what to answer. CPU time is limited to `seconds` and a second of grace."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
    try:
        function = operator.attrgetter(name)(importlib.import_module(module))
        return "result", function(*arguments)
    except MemoryError:
        return "memory", "the task asked for more memory than it may have"
    except BaseException as error:  # some libraries raise such, and SystemExit is no reason to end
        known = type(error).__module__.split(".", 1)[0] in ("builtins", "gateway")
        crossing = error if known else RuntimeError(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
        crossing.add_note("in a worker process:\n" + "".join(traceback.format_tb(error.__traceback__)[-8:]))
        return "error", crossing


def send(channel: socket.socket, kind: str, value: Any) -> None:
    """Send one answer; what cannot be pickled or is too large becomes an error of its own."""
    try:
        body = pickle.dumps((kind, value), protocol=5)
    except MemoryError:
        body = pickle.dumps(("memory", "the result did not fit into memory"))
    except Exception as error:
        body = pickle.dumps(("error", TypeError(f"the answer of type {type(value).__name__} cannot be sent: {error}")))
    if len(body) > RESULT_BYTES:
        body = pickle.dumps(("memory", f"the result is larger than {RESULT_BYTES} bytes"))
    channel.sendall(LENGTH.pack(len(body)) + body)


def receive(channel: socket.socket) -> tuple[str, str, tuple[Any, ...], float] | None:
    """The next task, or None when the parent is gone. Tasks come from our own parent and are trusted."""
    head = read(channel, LENGTH.size)
    if head is None:
        return None
    body = read(channel, LENGTH.unpack(head)[0])
    return None if body is None else pickle.loads(body)  # noqa: S301 - written by our own parent


def read(channel: socket.socket, size: int) -> bytes | None:
    """Exactly `size` bytes, or None at the end of the stream."""
    parts, missing = [], size
    while missing:
        part = channel.recv(min(missing, 2**20))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        main(sys.argv[1:])
