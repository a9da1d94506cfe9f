"""A mail that the gateway dies of, as a real process that is killed: three times, then it waits for a person.

Whatever else was booked goes out meanwhile; the thread of the one says why it is held, and once released it is sent.
"""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from journeys.serving import Sink, install, run_sink, serve
from journeys.shell import SECONDS, Shell, send

from gateway.outbound.queue import release
from gateway.outbound.queue_list import Filter, list_queue
from gateway.store.database import Database
from gateway.store.tenants import find_tenant
from gateway.store.threads import get_thread

DEADLY, OTHER = "deadly@client.test", "ana@client.test"


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A next hop that never answers to the deadly one."""
    with run_sink() as made:
        made.silent.add(DEADLY)
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path, sink: Sink) -> tuple[Shell, str]:
    """An installation that relays to the sink, and the URL of its database."""
    url = request.getfixturevalue("postgres").create_database() if request.param == "postgresql" else ""
    shell = install(tmp_path, sink, url)
    return shell, url or f"sqlite:///{shell.data / 'gateway.db'}"


def until(ask: Callable[[], bool], what: str) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + SECONDS
    while not ask():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.timeout(400)  # five processes, one after the other
def test_a_mail_that_the_gateway_dies_of_three_times_is_parked_and_shown(place: tuple[Shell, str], sink: Sink) -> None:
    shell, url = place
    message_id = send(shell, f"{DEADLY}, {OTHER}")
    for death in range(1, 4):
        with serve(shell) as gateway:
            until(lambda count=death: len(sink.met) == count, "the deadly one is being sent")  # type: ignore[misc]
            until(lambda: any(mail[1] == OTHER for mail in sink.mails), "the other goes out")
            gateway.process.kill()
    with serve(shell) as gateway, closing(Database(url)) as database:
        gateway.wait_for("delivery.recovered")
        tenant = database.read_now(find_tenant, "acme")
        assert tenant
        queued = functools.partial(database.read_now, list_queue, tenant.id, Filter())
        until(lambda: len(queued()) == 1, "the other, which may have gone when a process died, is settled")
        [held] = queued()
        assert held.recipient == DEADLY
        assert held.hold == "the gateway ended 3 times in a row while sending it; its log may say why"
        thread = database.read_now(get_thread, tenant.id, held.thread_id)
        assert thread and (thread.state, thread.chip) == ("open", "parked")
        assert len(sink.met) == 3
        sink.silent.clear()
        now_ms = int(time.time() * 1000)
        assert database.write_now(release, now_ms, tenant.id, (message_id, held.number), "maria") == 1
        until(lambda: any(mail[1] == DEADLY for mail in sink.mails), "it is sent after all")
