"""A pool of long-lived child processes for work on untrusted input: rendering, parsing.

The doors and the CLI give it a module-level function and plain arguments. Each child is forked from a process that has
the modules already (`gateway.wire.fork_server`), so that a fresh one costs milliseconds and shares their memory; it is
confined (memory, CPU, files, no network, no new processes: `gateway.wire.worker_main`) and dies with us. A task that
exceeds its time or memory, or crashes, costs that child only; the next task finds a fresh one. What the function raises
is raised here. An answer is unpickled with our own types and plain data only, so a child that was taken over cannot
take over its parent.
"""

import asyncio
import contextlib
import dataclasses
import enum
import io
import pickle
import queue
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Literal, NamedTuple, TypeVar

from gateway.wire.fork_server import ForkServer, fork_server
from gateway.wire.worker_main import LENGTH, RESULT_BYTES

T = TypeVar("T")
Kind = Literal["timeout", "crashed", "memory"]

START_SECONDS = 60.0  # importing the modules, on a busy machine
TASKS_PER_CHILD = 1000  # what leaks in a C library goes with the child

_PLAIN = {"set", "frozenset", "bytearray", "complex", "slice", "range"}
_PLAIN_MODULES = {"datetime": {"date", "datetime", "time", "timedelta", "timezone"}, "decimal": {"Decimal"}}


class WorkerFailed(Exception):
    """A task did not end well: `kind` is timeout (its time is over), memory (its memory is) or crashed."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        self.kind: Kind = kind
        self.detail = detail
        super().__init__(f"{kind}: {detail}" if detail else kind)

    def __reduce__(self) -> tuple[type["WorkerFailed"], tuple[Kind, str]]:
        return type(self), (self.kind, self.detail)


class _Task(NamedTuple):
    body: bytes
    seconds: float
    future: Future[Any]


class WorkerPool:
    """`size` child processes, each served by a thread of ours that lives as long as the pool.

    `memory_bytes` limits the address space of a child; `preload` names modules that it imports before its first task.
    """

    def __init__(self, size: int, memory_bytes: int = 512 * 2**20, preload: tuple[str, ...] = ()) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._server, self._memory_bytes = fork_server(preload), memory_bytes
        self._closed = threading.Event()
        self._children: dict[int, _Child] = {}
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), name=f"worker-{number}", daemon=True)
            for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, function: Callable[..., T], *args: object, seconds: float) -> T:
        """Run `function(*args)` in a child; `seconds` count from the moment a child takes it up.

        Raises what the function raises, or `WorkerFailed`. A cancelled caller leaves the pool in order: its task is
        dropped when it waits, and its result when it runs.
        """
        return await asyncio.wrap_future(self._submit(function, args, seconds))

    def run_sync(self, function: Callable[..., T], *args: object, seconds: float) -> T:
        """The same for callers without an event loop."""
        return self._submit(function, args, seconds).result()

    def close(self) -> None:
        """Kill the children and fail what runs or waits with `WorkerFailed("crashed")`. May be called twice."""
        self._closed.set()
        for child in list(self._children.values()):
            child.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(10)
        with contextlib.suppress(queue.Empty):
            while True:
                if (task := self._tasks.get_nowait()) is not None:
                    _fail(task.future, WorkerFailed("crashed", "the pool was closed"))

    def _submit(self, function: Callable[..., T], args: tuple[object, ...], seconds: float) -> "Future[T]":
        module, name = function.__module__, function.__qualname__
        if "<" in name or module == "__main__":
            raise TypeError(f"{module}.{name} is not a function at the top of a module; a worker cannot find it")
        future: Future[T] = Future()
        if self._closed.is_set():
            raise WorkerFailed("crashed", "the pool was closed")
        self._tasks.put(_Task(pickle.dumps((module, name, args, seconds), protocol=5), seconds, future))
        return future

    def _serve(self, number: int) -> None:
        """The thread of one child."""
        self._restart(number)
        while (task := self._tasks.get()) is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            child = self._children.get(number) or self._restart(number)
            try:
                answer = child.perform(task.body, task.seconds)
            except WorkerFailed as failure:
                _fail(task.future, failure)
            except BaseException as error:
                _fail(task.future, error)
            else:
                with contextlib.suppress(InvalidStateError):
                    task.future.set_result(answer)
            if child.dead or child.tasks >= TASKS_PER_CHILD:
                self._end(number)
                if child.started and not self._closed.is_set():
                    self._restart(number)  # now, so that the next task need not wait for it
        self._end(number)

    def _restart(self, number: int) -> "_Child":
        child = self._children[number] = _Child(self._server, self._memory_bytes)
        if self._closed.is_set():
            child.kill()
        return child

    def _end(self, number: int) -> None:
        child = self._children.pop(number, None)
        if child is not None:
            child.kill()
            child.reap()


class _Child:
    """One child process and our end of its channel."""

    def __init__(self, server: ForkServer, memory_bytes: int) -> None:
        self._channel, theirs = socket.socketpair()
        self.tasks = 0
        self.started = False
        self.dead = False
        self._server = server
        self._started_by = time.monotonic() + START_SECONDS
        with theirs:
            try:
                self._number = server.fork(memory_bytes, theirs)
            except OSError:  # no more processes or descriptors: our end says that it is closed
                self._number = 0

    def perform(self, body: bytes, seconds: float) -> Any:
        """Send one task and wait for its answer. Afterwards `dead` tells whether this child can be used again."""
        try:
            if not self.started:
                kind, value = self._receive(self._started_by)
                if kind != "ready":
                    self._server.close()  # the next child is of one that tries again
                    raise WorkerFailed("crashed", f"the worker could not start: {value}")
                self.started = True
            deadline = time.monotonic() + seconds
            self._channel.settimeout(seconds)
            self._channel.sendall(LENGTH.pack(len(body)) + body)
            kind, value = self._receive(deadline)
        except TimeoutError:
            raise self._failed("timeout", f"not done within {seconds:g} s") from None
        except OSError:
            raise self._failed("crashed", self._last_words()) from None
        except WorkerFailed as failure:
            raise self._failed(failure.kind, failure.detail) from None
        except Exception as error:
            raise self._failed("crashed", f"its answer cannot be read: {error}") from None
        self.tasks += 1
        if kind == "memory":
            raise self._failed("memory", str(value))
        if kind == "error" and isinstance(value, BaseException):
            raise value
        return value

    def kill(self) -> None:
        """End the child now, whatever it does. May be called from another thread."""
        self.dead = True
        self._server.kill(self._number)
        with contextlib.suppress(OSError):  # wakes who waits for its answer
            self._channel.shutdown(socket.SHUT_RDWR)

    def reap(self) -> None:
        """Close our end."""
        self._channel.close()

    def _receive(self, deadline: float) -> tuple[str, Any]:
        size = LENGTH.unpack(self._read(LENGTH.size, deadline))[0]
        if size > RESULT_BYTES:
            raise WorkerFailed("memory", f"an answer of {size} bytes was announced")
        answer = _Unpickler(io.BytesIO(self._read(size, deadline))).load()
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise WorkerFailed("crashed", "its answer has no known form")
        return answer

    def _read(self, size: int, deadline: float) -> bytes:
        data, missing = bytearray(), size
        while missing:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._channel.settimeout(remaining)
            part = self._channel.recv(min(missing, 2**20))
            if not part:
                raise ConnectionResetError
            data += part
            missing -= len(part)
        return bytes(data)

    def _failed(self, kind: Kind, detail: str) -> WorkerFailed:
        self.kill()
        return WorkerFailed(kind, detail)

    def _last_words(self) -> str:
        status = self._server.last_status(self._number)
        if status is None:
            return "it closed its channel"
        return f"it was killed by signal {-status}" if status < 0 else f"it ended with status {status}"


class _Unpickler(pickle.Unpickler):
    """Reads plain data, our own values and exceptions; anything else in an answer is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _PLAIN_MODULES.get(module, ()) or (module == "builtins" and name in _PLAIN):
            return super().find_class(module, name)
        if module == "builtins" or module.split(".", 1)[0] == "gateway":
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module and _is_value(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no type that a worker may answer with")


def _is_value(found: type) -> bool:
    if issubclass(found, (BaseException, enum.Enum)) or dataclasses.is_dataclass(found):
        return True
    return hasattr(found, "__pydantic_fields__") or (issubclass(found, tuple) and hasattr(found, "_fields"))


def _fail(future: Future[Any], error: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)
