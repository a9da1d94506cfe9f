"""One process per node (or seat) and data folder: the lock that it holds, and the names that nobody holds any more.

Used when a house is opened and by the supervisor. What a node had booked is taken back when it starts, so two processes
of one name would send twice. A lock is the kernel's: it ends with its process, however that ends. Refuses, with
ConfigError, a name that is held.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gateway.config import Config, ConfigError
from gateway.serve.seat import Seat


@contextlib.contextmanager
def hold(config: Config) -> Iterator[None]:
    """Hold the node's lock while the context lasts. Raises ConfigError."""
    config.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _path(config, config.node).open("a") as file:
        if not _take(file):
            raise ConfigError(
                f"a gateway runs as node {config.node} in {config.data_path} already; stop it, or choose another node"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def former_names(config: Config, seat: Seat) -> list[str]:
    """Names that this node served under before, with more seats or with fewer, and that nobody will take again.

    Seat 1 takes back what they had booked. `config` is the node's.
    """
    if not seat.first:
        return []
    taken = 0 if seat.alone else seat.of
    former = [name for number, name in _seats(config) if number > taken and not _is_held(config, name)]
    return former if seat.alone else [config.node, *former]  # the supervisor holds the node's own


def await_former(config: Config, seconds: float) -> None:
    """Wait until no seat of this node is held: those whose supervisor died are ending. Raises ConfigError."""
    until = time.monotonic() + seconds
    while held := [name for _, name in _seats(config) if _is_held(config, name)]:
        if time.monotonic() > until:
            raise ConfigError(f"{held[0]} is still running in {config.data_path}; stop it, or choose another node")
        time.sleep(0.1)


def _seats(config: Config) -> list[tuple[int, str]]:
    names = [path.name.removesuffix(".lock") for path in config.data_path.glob(f"{config.node}.*.lock")]
    return sorted((int(number), name) for name in names if (number := name.rpartition(".")[2]).isdigit())


def _is_held(config: Config, name: str) -> bool:
    with _path(config, name).open("a") as file:
        return not _take(file)


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _path(config: Config, name: str) -> Path:
    return config.data_path / f"{name}.lock"
