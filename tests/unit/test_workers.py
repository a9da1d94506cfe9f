"""The worker pool: what a task may do, what it costs when it misbehaves, and that nothing outlives its parent."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from gateway.mail.reply import Refused
from gateway.wire.workers import WorkerFailed, WorkerPool
from tests.unit import worker_tasks as tasks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(1, memory_bytes=256 * 2**20, preload=("json",))
    yield pool
    pool.close()


def test_a_result_comes_back(pool: WorkerPool) -> None:
    assert pool.run_sync(tasks.add, 2, 3, seconds=10) == 5


def test_the_child_is_used_again(pool: WorkerPool) -> None:
    assert pool.run_sync(os.getpid, seconds=10) == pool.run_sync(os.getpid, seconds=10) != os.getpid()


def test_refused_crosses_whole(pool: WorkerPool) -> None:
    with pytest.raises(Refused) as caught:
        pool.run_sync(tasks.refuse, 554, "5.6.0", "no; write 1200.00", seconds=10)
    assert str(caught.value.reply) == "554 5.6.0 no; write 1200.00"


def test_an_error_of_ours_crosses_with_the_place_it_happened(pool: WorkerPool) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        pool.run_sync(tasks.divide, seconds=10)
    assert "worker_tasks.py" in "".join(caught.value.__notes__)


def test_an_exception_of_a_library_crosses_as_words_and_costs_no_child(pool: WorkerPool) -> None:
    before = pool.run_sync(os.getpid, seconds=10)
    with pytest.raises(RuntimeError, match=r"worker_tasks\.Foreign: strange"):
        pool.run_sync(tasks.raise_foreign, seconds=10)
    with pytest.raises(SystemExit):
        pool.run_sync(tasks.leave, seconds=10)
    assert pool.run_sync(os.getpid, seconds=10) == before


@pytest.mark.parametrize(
    ("function", "kind"),
    [(tasks.spin, "timeout"), (tasks.hoard, "memory"), (tasks.die, "crashed"), (tasks.blow, "memory")],
)
def test_a_bad_task_fails_by_its_kind_and_the_next_one_works(pool: WorkerPool, function: object, kind: str) -> None:
    before = pool.run_sync(os.getpid, seconds=10)
    with pytest.raises(WorkerFailed) as caught:
        pool.run_sync(function, seconds=0.5 if kind == "timeout" else 20)  # type: ignore[arg-type]
    assert caught.value.kind == kind
    assert pool.run_sync(os.getpid, seconds=10) != before


def test_a_failure_crosses_pickling() -> None:
    assert pickle.loads(pickle.dumps(WorkerFailed("timeout", "x"))).kind == "timeout"


def test_the_child_knows_no_secret_and_no_descriptor_of_ours(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "hush")
    pool_with_secret = WorkerPool(1)
    try:
        names, descriptors = pool_with_secret.run_sync(tasks.surroundings, seconds=20)
    finally:
        pool_with_secret.close()
    assert "GATEWAY_SECRET" not in names
    assert len(descriptors) == 4  # the three standard streams and the channel


@pytest.mark.parametrize("function", [tasks.connect, tasks.start_process, tasks.fork])
def test_the_child_has_no_network_and_no_children(pool: WorkerPool, function: object) -> None:
    with pytest.raises(PermissionError, match="may not"):
        pool.run_sync(function, seconds=10)  # type: ignore[arg-type]


def test_what_a_task_prints_does_not_break_the_channel(pool: WorkerPool) -> None:
    assert pool.run_sync(tasks.chatter, seconds=10) == "done"


def test_an_answer_of_a_foreign_type_is_not_unpickled(pool: WorkerPool) -> None:
    with pytest.raises(WorkerFailed, match="no type that a worker may answer with"):
        pool.run_sync(tasks.answer_with_code, seconds=10)


def test_a_function_without_a_name_is_refused(pool: WorkerPool) -> None:
    with pytest.raises(TypeError, match="top of a module"):
        pool.run_sync(lambda: 1, seconds=1)


def test_a_module_that_cannot_be_loaded_is_named() -> None:
    pool = WorkerPool(1, preload=("gateway.absent",))
    try:
        for _ in range(2):
            with pytest.raises(WorkerFailed, match=r"gateway\.absent"):
                pool.run_sync(tasks.add, 1, 1, seconds=10)
    finally:
        pool.close()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_cancelled_caller_leaves_the_pool_in_order(pool: WorkerPool, new_loop: object) -> None:
    async def scenario() -> int:
        async def nap() -> None:
            await pool.run(tasks.nap, 0.3, seconds=10)

        running, waiting = asyncio.ensure_future(nap()), asyncio.ensure_future(nap())
        await asyncio.sleep(0.05)
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        return await pool.run(tasks.add, 1, 1, seconds=10)

    loop = new_loop()  # type: ignore[operator]
    try:
        assert loop.run_until_complete(scenario()) == 2
    finally:
        loop.close()


def test_closing_fails_what_runs_and_what_waits() -> None:
    pool = WorkerPool(1)
    futures = [pool._submit(tasks.nap, (30,), 60) for _ in range(2)]
    while not futures[0].running():
        time.sleep(0.01)
    pool.close()
    for future in futures:
        with pytest.raises(WorkerFailed):
            future.result(5)
    with pytest.raises(WorkerFailed, match="closed"):
        pool.run_sync(tasks.add, 1, 1, seconds=1)


def test_children_end_when_the_parent_is_killed() -> None:
    program = (
        "from gateway.wire.workers import WorkerPool\nimport os\nfrom tests.unit import worker_tasks as t\n"
        "p = WorkerPool(1)\nprint(p.run_sync(os.getpid, seconds=20), flush=True)\np.run_sync(t.spin, seconds=60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(500):
        if not Path(f"/proc/{child}").exists() or "(zombie)" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the child outlived its parent")


def test_children_are_forked_from_one_process_and_a_lost_one_is_replaced() -> None:
    pools = [WorkerPool(1, preload=("decimal",)) for _ in range(2)]
    try:
        parents = {pool.run_sync(os.getppid, seconds=20) for pool in pools}
        assert len(parents) == 1 and os.getpid() not in parents
        children = [pool.run_sync(os.getpid, seconds=20) for pool in pools]
        os.kill(parents.pop(), signal.SIGKILL)  # and its children die with it
        while any(Path(f"/proc/{child}").exists() for child in children):
            time.sleep(0.01)
        for pool in pools:
            with pytest.raises(WorkerFailed):
                pool.run_sync(tasks.add, 1, 1, seconds=10)
            assert pool.run_sync(tasks.add, 1, 1, seconds=20) == 2
    finally:
        for pool in pools:
            pool.close()


def test_a_dead_child_leaves_no_process_behind(pool: WorkerPool) -> None:
    parent = pool.run_sync(os.getppid, seconds=10)
    for _ in range(3):
        with pytest.raises(WorkerFailed):
            pool.run_sync(tasks.die, seconds=10)
    pool.run_sync(tasks.add, 1, 1, seconds=10)
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    assert len(children) <= 3  # this one, the one of the pool with a secret, and one that ended just now
