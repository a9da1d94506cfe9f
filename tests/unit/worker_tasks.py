"""Tasks for the tests of the worker pool: each does one thing that a task should or should not do."""

import os
import signal
import socket
import subprocess
import time
from typing import Any, NoReturn

from gateway.mail.reply import Refused
from gateway.outbound import tenant_language


def add(a: int, b: int) -> int:
    return a + b


def refuse(code: int, enhanced: str, text: str) -> NoReturn:
    raise Refused(code, enhanced, text)


def divide() -> float:
    return 1 / 0


class Foreign(BaseException):
    """An exception that only the child's libraries know."""


def raise_foreign() -> NoReturn:
    raise Foreign("strange")


def leave() -> NoReturn:
    raise SystemExit(3)


def spin() -> NoReturn:
    while True:
        pass


def nap(seconds: float) -> None:
    time.sleep(seconds)


def hoard() -> int:
    return len("a" * 500_000_000)


def blow() -> bytes:
    return bytes(65 * 2**20)


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def surroundings() -> tuple[list[str], list[str]]:
    descriptors = []
    for number in range(64):
        try:
            os.fstat(number)
        except OSError:
            continue
        descriptors.append(str(number))
    return sorted(os.environ), descriptors


def connect() -> None:
    socket.create_connection(("127.0.0.1", 9), 1)


def start_process() -> None:
    subprocess.run(["/bin/true"], check=True)


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def chatter() -> str:
    print("noise " * 1000, flush=True)
    os.write(1, b"noise")
    return "done"


class Trap:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def answer_with_code() -> Trap:
    return Trap()


def say_unchecked(text: str) -> str:
    """A text of a tenant without the look at it that refuses most of what is bad: only the sandbox is left."""
    return tenant_language._environment("en").from_string(text).render(x=tuple(range(2000)))
