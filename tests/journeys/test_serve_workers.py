"""`gateway serve --workers 2` as real processes: one that is killed is replaced, mail flows meanwhile, and they end.

On SQLite, where they share a file, and on PostgreSQL. Every mail that was accepted arrives.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from journeys.serving import Serving, Sink, install, run_sink, serve, submit
from journeys.shell import SECONDS, Shell
from postroom.ports import free_port


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A next hop."""
    with run_sink() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, sink: Sink) -> Shell:
    """An installation that relays to the sink."""
    on_server = request.param == "postgresql"
    return install(tmp_path, sink, request.getfixturevalue("postgres").create_database() if on_server else "")


def children(pid: int) -> list[int]:
    """The serving processes of a supervisor."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(ask: Callable[[], object]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + SECONDS
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count(gateway: Serving, event: str) -> int:
    """How often the log says something."""
    return [line["event"] for line in gateway.events()].count(event)


def accepted(shell: Shell, port: int, times: int) -> int:
    """Hand over so many mails, again where a session broke; how many were taken."""
    taken = 0
    while taken < times:
        try:
            taken += submit(port, shell.data / "tls.crt", shell.secrets[0])[0] == 250
        except OSError:  # it met the process that was killed, or was hung up on
            time.sleep(0.05)
    return taken


def test_a_killed_process_is_replaced_and_mail_flows_meanwhile(shell: Shell, sink: Sink) -> None:
    with serve(shell, "--workers", "2") as gateway:
        ports = gateway.wait_for("gateway.ready")
        assert (ports["node"], ports["workers"], count(gateway, "gateway.seat_ready")) == ("node1", 2, 2)
        before = children(gateway.process.pid)
        assert len(before) == 2
        taken = accepted(shell, ports["submission"], 4)
        os.kill(before[0], signal.SIGKILL)
        until(lambda: count(gateway, "gateway.seat_ended"))
        taken += accepted(shell, ports["submission"], 4)  # by the other one
        until(lambda: count(gateway, "gateway.seat_ready") == 3)
        assert len(set(children(gateway.process.pid)) - set(before)) == 1
        taken += accepted(shell, ports["submission"], 4)
        # what the killed one was about to settle may come twice; nothing may be missing
        until(lambda: len({raw.partition(b"Message-ID:")[2][:60] for _, _, raw in sink.mails}) == taken)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(SECONDS) == 0
        assert count(gateway, "gateway.ready") == 1 and count(gateway, "gateway.stopping") == 2


def test_processes_end_when_their_supervisor_is_killed_and_the_next_one_starts(shell: Shell, sink: Sink) -> None:
    with serve(shell, "--workers", "2") as gateway:
        port = gateway.wait_for("gateway.ready")["submission"]
        orphans = children(gateway.process.pid)
        gateway.process.kill()
        gateway.process.wait()
    with serve(shell, "--workers", "2") as gateway:
        assert not any(Path(f"/proc/{pid}").exists() for pid in orphans)
        assert accepted(shell, port, 1)
        until(lambda: sink.mails)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(SECONDS) == 0


def test_a_port_of_somebody_else_is_not_shared_in_silence(tmp_path: Path, sink: Sink) -> None:
    shell = install(tmp_path, sink)
    port = free_port()
    shell.set(submission__port=str(port))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert f"cannot listen on 127.0.0.1:{port}" in shell("serve", "--workers", "2", status=1).err
    assert "1 to 64 are" in shell("serve", "--workers", "0", status=1).err
