"""A server program that runs in a folder of its own: started, watched, ended by its own process id.

`Room` is the folder; `Server` the running program. Used by every file of the postroom that starts one. Promises:
the process and its children are gone after `stop`, also when pytest itself is killed (a guard waits for that); the
folder is removed unless POSTROOM_KEEP is set; the last lines of every live server's log are at hand for the report
of a failed test. As root, a program that refuses to run as root runs as an unprivileged user.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postroom.ports import wait_port

LIVE: list["Server"] = []
_LOG_TAIL = 6_000


@dataclass(frozen=True)
class Room:
    """A server's folder, short enough in name for Unix sockets, and the user who owns it."""

    path: Path
    owner: pwd.struct_passwd

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Write one file of the room, owned by the room's user; folders in between are made."""
        file = self.path / name
        self.folder(str(Path(name).parent))
        file.write_text(text)
        file.chmod(mode)
        self.own(file)
        return file

    def folder(self, name: str) -> Path:
        """Make a folder of the room (and those above it), owned by the room's user."""
        here = self.path
        for part in Path(name).parts:
            here = here / part
            if not here.exists():
                here.mkdir(mode=0o755)
                self.own(here)
        return here

    def own(self, path: Path) -> None:
        """Give a file to the room's user, which only root has to do."""
        if os.geteuid() == 0:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)


@contextlib.contextmanager
def open_room(name: str, *users: str) -> Iterator[Room]:
    """A new folder, removed at the end. As root it belongs to the first of `users` that exists, else to ourselves."""
    owner = pwd.getpwuid(os.geteuid())
    if os.geteuid() == 0 and users:
        owner = next(user for user in map(_user, users) if user is not None)
    room = Room(Path(tempfile.mkdtemp(prefix=f"postroom-{name}-", dir="/tmp")), owner)
    room.path.chmod(0o755)
    room.own(room.path)
    try:
        yield room
    finally:
        if "POSTROOM_KEEP" not in os.environ:
            shutil.rmtree(room.path, ignore_errors=True)


@dataclass
class Server:
    """A running program. `log` is the file that tells what it did."""

    name: str
    process: subprocess.Popen[bytes]
    room: Room
    log: Path
    end: signal.Signals = field(default=signal.SIGTERM)

    def alive(self) -> bool:
        """Whether the program still runs."""
        return self.process.poll() is None

    def wait_port(self, port: int, timeout: float = 30.0) -> None:
        """Return once the port answers; TimeoutError with the log's end when the program dies or is too slow."""
        try:
            wait_port(port, timeout, self.alive)
        except TimeoutError as silence:
            raise TimeoutError(f"{self.name}: {silence}\n{self.tail()}") from None

    def tail(self, size: int = _LOG_TAIL) -> str:
        """The end of the log, at most `size` bytes."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - size))
            return log.read().decode(errors="replace")

    def stop(self) -> None:
        """End the program: its own signal first, after 15 seconds SIGKILL; then what it left."""
        if self in LIVE:
            LIVE.remove(self)
        if self.alive():
            self.process.send_signal(self.end)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(15)
        for straggler in _left_over(self):
            with contextlib.suppress(ProcessLookupError):
                os.kill(straggler, signal.SIGKILL)

    def kill(self) -> None:
        """A crash: SIGKILL to the program and everything in its session, at once."""
        self.process.kill()
        self.process.wait(15)
        self.stop()


@contextlib.contextmanager
def run(
    name: str,
    argv: Sequence[str | Path],
    room: Room,
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[Server]:
    """Run a program in its room, as the room's user, in a session of its own; it is stopped at the end.

    `log`: the file the program writes itself; what it prints goes to `output.log` of the room in any case.
    """
    output = room.path / "output.log"
    with output.open("ab") as out:
        process = subprocess.Popen(
            [*_as_user(room.owner), *map(str, argv)],
            cwd=room.path,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(room.path), "LC_ALL": "C.UTF-8", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(name, process, room, log or output, end)
    LIVE.append(server)
    try:
        with _guard(process, end):
            yield server
    finally:
        server.stop()


def call(argv: Sequence[str | Path], room: Room, timeout: float = 60.0) -> str:
    """Run a short program as the room's user; its output. RuntimeError with that output when it fails."""
    argv = [*_as_user(room.owner), *map(str, argv)]
    done = subprocess.run(argv, cwd=room.path, capture_output=True, text=True, timeout=timeout, errors="replace")
    if done.returncode:
        raise RuntimeError(f"{argv[-1]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


@contextlib.contextmanager
def _guard(process: subprocess.Popen[bytes], end: signal.Signals) -> Iterator[None]:
    """End the process if we die without a chance to: a shell waits for its pipe from us to close.

    The kernel's own signal for that, pdeathsig, is lost when a server changes its user, as Postfix does.
    """
    words = ["sh", "-c", f"read -r word || kill -{end.value} {process.pid}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True) as guard:
        try:
            yield
        finally:
            assert guard.stdin
            guard.stdin.write(b"done\n")


def _as_user(user: pwd.struct_passwd) -> list[str]:
    if user.pw_uid == os.geteuid():
        return []
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _left_over(server: "Server") -> list[int]:
    """What the program left: its session, and daemons that left it but still stand in the room."""
    here = (str(server.room.path), f"{server.room.path}/")
    left = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            place = str((entry / "cwd").readlink()).removesuffix(" (deleted)")
            if int(fields[3]) == server.process.pid or place == here[0] or place.startswith(here[1]):
                left.append(int(entry.name))
    return left


def _user(name: str) -> pwd.struct_passwd | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
    return None
