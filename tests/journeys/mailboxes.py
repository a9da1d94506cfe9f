"""A tenant's mailbox on a real Dovecot, as journeys and integration tests give it to the gateway.

`connect` does what `gateway mailbox add` does; `visited` waits for the poller's next good visit.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ParamSpec

from journeys.house import Journey
from postroom.dovecot import PASSWORD, Dovecot
from postroom.ports import LOOPBACK

from gateway.store.mailbox_account import Account
from gateway.store.mailboxes import Mailbox, add_mailbox, change_mailbox, get_mailbox
from gateway.store.routes import Secret
from gateway.store.sealed import read_key_file

P = ParamSpec("P")
QUICK = {"poll_seconds": 1, "idle_threads": 0}  # how the poller works in tests that do not wait with IDLE


def in_a_loop(tale: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that is a coroutine."""

    @functools.wraps(tale)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(tale(*args, **kwargs))

    return told


def account(dovecot: Dovecot, user: str, **changes: Any) -> Account:
    """The account of a user there, by verified TLS."""
    values = {"host": LOOPBACK, "port": dovecot.imaps_port, "username": user, "trusted": dovecot.cert.read_text()}
    return Account(**(values | changes))


async def connect(journey: Journey, folder: Path, made: Account, name: str = "facturare", **secret: Any) -> Mailbox:
    """Give acme a mailbox, and wait until it was looked at for the first time."""
    seal = read_key_file(folder / "gateway.key")
    kept = Secret(**(secret or {"password": PASSWORD}))
    await journey.write(add_mailbox, journey.clock(), seal, journey.tenant_id, name, made, kept)
    return await visited(journey, name)


async def change(journey: Journey, folder: Path, made: Account, name: str = "facturare", **secret: Any) -> None:
    """Change it, as `gateway mailbox set` does."""
    seal = read_key_file(folder / "gateway.key")
    kept = Secret(**secret) if secret else None
    await journey.write(change_mailbox, journey.clock(), seal, journey.tenant_id, name, made, kept)


async def row(journey: Journey, name: str = "facturare") -> Mailbox:
    """The mailbox as it is kept."""
    found = await journey.house.database.read(get_mailbox, journey.tenant_id, name)
    assert found is not None
    return found


async def visited(journey: Journey, name: str = "facturare") -> Mailbox:
    """The mailbox after a good visit that began from now on."""
    since = journey.clock()

    async def ask() -> Mailbox | None:
        found = await row(journey, name)
        return found if found.polled_at is not None and found.polled_at > since else None

    try:
        await journey.until(ask)  # it may have begun before
        since = journey.clock()
        return await journey.until(ask)
    except TimeoutError:
        raise AssertionError(f"no good visit: {await row(journey, name)}") from None
