"""Every fault that the hostile server can play, one message each, and a canary after it: the books must agree.

The server (hostile_mx.py) is no part of this project; without it these tests are skipped by name.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from journeys.smtp_script import HASTY, QUICK, RAW, play_on

from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.smtp_client import Login, Target, Transaction, connect


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request):
    """Runs a coroutine on one of the two loops."""
    return play_on(request.param)


HOSTILE = Path(os.environ.get("AR_SHARED", Path(__file__).parents[3] / "shared")) / "tools" / "hostile_mx.py"
PLAIN_ACTIONS = (
    "451 550 421 drop reset hang stall stalldrop drip garbage flood longline nonutf8 mixed badcode lfonly extra "
    "crinject empty"
).split()
FAULTS = [f"{stage}={action}" for stage in "connect ehlo mail rcpt data dot quit".split() for action in PLAIN_ACTIONS]
FAULTS += [f"body={action}" for action in ("dropmid", "stallmid", "early550")]
FAULTS += [f"dot={action}" for action in ("acc_drop", "acc_reset", "acc_hang", "acc_451", "acc_554")]
TLS_FAULTS = [f"starttls={action}" for action in ("inject", "plain", "tlsgarbage", "tlsdrop", *PLAIN_ACTIONS)]
AUTH_FAULTS = [f"auth={action}" for action in PLAIN_ACTIONS]
KEYS = {
    "stall": "sec=0.1",
    "stalldrop": "sec=0.1",
    "drip": "bps=400",
    "dropmid": "n=1000",
    "stallmid": "n=1000,sec=0.1",
}


@pytest.fixture
def hostile(tmp_path):
    """Starts the hostile server with given options; yields a function that returns (port, accepted messages)."""
    if not HOSTILE.exists():
        pytest.skip("the hostile server (hostile_mx.py) is not at hand: set AR_SHARED")
    started = []

    def start(*options):
        log = tmp_path / "accepted.jsonl"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, HOSTILE, "--port", str(port), "--log", log, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(process)
        assert "hostile_mx on" in process.stdout.readline()
        return port, lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    yield start
    for process in started:
        process.terminate()
        process.wait()
        process.stdout.close()


def with_keys(fault):
    """The fault with the parameters that make it quick, for the recipient it is meant for."""
    keys = KEYS.get(fault.partition("=")[2])
    return f"{fault},times=1" + (f",{keys}" if keys else "")


async def deliver(port, raw, timeouts=HASTY, **target):
    """One message as a delivery would send it: connect, send, quit."""
    target = {"host": "mx.test", "address": "127.0.0.1", "port": port, "helo": "me.test", "tls": "off"} | target
    connection = await connect(Target(**target), timeouts)
    if isinstance(connection, DeliveryStatus):
        return connection, False
    (outcome,) = await connection.send(Transaction("b@us.test", ("a@x.test",), raw))
    await connection.quit()
    return outcome.status, outcome.unclear


def check_books(fault, told, accepted):
    """What we were told agrees with what the server took, but for the one excused case."""
    status, unclear = told
    if status.action is Action.RELAYED:
        assert accepted == 1, fault
    elif status.permanent:
        assert accepted == 0 or "acc_554" in fault, fault
    else:
        assert accepted == 0 or unclear or "acc_451" in fault, fault


@pytest.mark.parametrize(
    ("play", "flags"),
    [("uvloop", ()), ("asyncio", ("--no-pipelining",)), ("uvloop", ("--tls", "on", "--implicit-tls"))],
    ids=["pipelining", "step", "tls"],
    indirect=["play"],
)
def test_every_fault_of_the_hostile_server_is_told_as_it_is(play, hostile, flags):
    port, accepted = hostile("--control", str(control := free_port()), *flags)
    tls = "implicit" if "--tls" in flags else "off"
    for number, fault in enumerate(FAULTS):
        set_rules(control, [with_keys(fault)])
        told = play(deliver(port, b"Message-ID: <%d@us.test>\r\n\r\n" % number + b"x" * 70 + b"\r\n" * 3000, tls=tls))
        set_rules(control, [])
        canary = play(deliver(port, b"Message-ID: <canary%d@us.test>\r\n\r\nx\r\n" % number, QUICK, tls=tls))
        assert canary[0].action is Action.RELAYED, fault
        check_books(fault, told, sum(entry["message_id"] == f"<{number}@us.test>" for entry in accepted()))


def test_every_fault_of_starttls_is_passing_and_plain_afterwards_works(play, hostile):
    port, accepted = hostile("--tls", "on", "--control", str(control := free_port()))
    for number, fault in enumerate(TLS_FAULTS):
        set_rules(control, [with_keys(fault)])
        raw = b"Message-ID: <%d@us.test>\r\n\r\nx\r\n" % number
        status, _ = play(deliver(port, raw, tls="required"))
        assert status.action is Action.DELAYED or fault.endswith(("=stall", "=drip", "=nonutf8")), fault
        if status.action is Action.DELAYED:
            assert play(deliver(port, raw, QUICK, tls="off"))[0].action is Action.RELAYED
        (entry,) = [entry for entry in accepted() if entry["message_id"] == f"<{number}@us.test>"]
        assert bool(entry["tls"]) is (status.action is Action.RELAYED)


def test_every_fault_of_auth_is_passing(play, hostile):
    options = ("--user", "user", "--password", "sesame", "--auth-required", "--auth-plain")
    port, accepted = hostile(*options, "--control", str(control := free_port()))
    login = Login("user", "sesame", cleartext=True)
    for number, fault in enumerate(AUTH_FAULTS):
        set_rules(control, [with_keys(fault)])
        raw = b"Message-ID: <%d@us.test>\r\n\r\nx\r\n" % number
        status, _ = play(deliver(port, raw, login=login))
        assert not status.permanent, fault
        if status.action is Action.DELAYED:
            assert play(deliver(port, raw, QUICK, login=login))[0].action is Action.RELAYED, fault
        assert sum(entry["message_id"] == f"<{number}@us.test>" for entry in accepted()) == 1, fault


@pytest.mark.parametrize("kind", ["self", "wronghost", "expired"])
def test_no_password_reaches_a_server_with_a_bad_certificate(play, hostile, tmp_path, kind):
    events = tmp_path / "events.jsonl"
    secure = ("--tls", "on", "--implicit-tls", "--certkind", kind, "--user", "user", "--password", "sesame")
    port, accepted = hostile(*secure, "--events", events)
    status, _ = play(deliver(port, RAW, tls="implicit", login=Login("user", "sesame")))
    assert (status.action, status.status) == (Action.DELAYED, "4.7.5")
    assert "no answer" not in status.text
    assert accepted() == []
    assert "AUTH" not in events.read_text()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def set_rules(port, rules):
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), 5)) as control:
        control.sendall(json.dumps({"cmd": "rules", "set": rules}).encode() + b"\n")
        assert json.loads(control.recv(4096)) == {"ok": len(rules)}
