"""Commands without the wait for their imports: a process loads the whole command line once, and forks for each command.

Used by `journeys.shell`; it talks to it by `run`. Each command still is a process of its own, with the folder, the
environment, the standard streams and the limits that it was given, and it ends as any Python program ends. What is
imported is not imported anew: a test of how the program starts runs `cli.py` itself. Only one thread ever runs here.
"""

import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).resolve().parents[2]
_ORDER_BYTES = 2**17

_server: tuple[int, socket.socket] | None = None  # the process that started it, and our end


@dataclass(frozen=True)
class Order:
    """One command: `gateway argv...`, where it is typed, and how large a file it may write."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    file_bytes: int


def run(order: Order, streams: list[IO[bytes]], seconds: float) -> int:
    """Run it with these three standard streams; its exit status. Raises TimeoutError, having killed it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(seconds)
        socket.send_fds(
            _control(), [json.dumps(asdict(order)).encode()], [*(one.fileno() for one in streams), theirs.fileno()]
        )
        theirs.close()
        pid = int(ours.recv(100) or -1)
        assert pid > 0, "the process that forks the commands is gone"
        try:
            return int(ours.recv(100))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise


def _control() -> socket.socket:
    global _server
    if _server is None or _server[0] != os.getpid():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            subprocess.Popen([sys.executable, __file__], stdin=theirs.fileno(), stdout=subprocess.DEVNULL)
        _server = (os.getpid(), ours)
    return _server[1]


def _load() -> None:
    """Import what any command imports."""
    sys.path[0] = str(ROOT)
    import gateway.cli as cli

    for name in cli.COMMANDS:
        cli.gateway.get_command(None, name)  # type: ignore[arg-type]
    gc.collect()
    gc.freeze()


def _next_command(control: socket.socket) -> tuple[Order, list[int]]:
    """Fork for each order; in the process of a command, return it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait for the commands end by themselves
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, _ORDER_BYTES, 4)
        if not order:
            sys.exit()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            if (pid := os.fork()) == 0:
                return Order(**json.loads(order)), descriptors
            _wait(pid, descriptors)
        for one in descriptors:
            os.close(one)


def _wait(pid: int, descriptors: list[int]) -> NoReturn:
    """Tell how the command ended."""
    for one in descriptors[:3]:
        os.close(one)
    with socket.socket(fileno=descriptors[3]) as answer:
        answer.send(str(pid).encode())
        answer.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def _become(command: Order, descriptors: list[int]) -> None:
    """Stand where the command is typed."""
    for number, one in enumerate(descriptors):
        if number < 3:
            os.dup2(one, number)
        os.close(one)
    os.chdir(command.cwd)
    os.environ.clear()
    os.environ.update(command.env)
    resource.setrlimit(resource.RLIMIT_FSIZE, (command.file_bytes, command.file_bytes))
    sys.argv = [str(ROOT / "cli.py"), *command.argv]


if __name__ == "__main__":
    with socket.socket(fileno=os.dup(0)) as held:
        _load()
        _become(*_next_command(held))
    from gateway.cli import main

    main()
