"""What the settings need of the house beyond the database: seals, names, workers, the door, and ways to try things.

Made once by `serve` and given to the pages. Everything here runs beside the event loop or is asynchronous; what takes
longer than a page may wait for is begun with `trials.begin`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.mail.reply import Refused
from gateway.outbound.domain_check import House
from gateway.outbound.findings import Check
from gateway.outbound.server_trial import Step
from gateway.outbound.submission import Door
from gateway.store.domains import StoredDomain
from gateway.store.mailboxes import Mailbox
from gateway.store.messages import Message
from gateway.store.sealed import Seal
from gateway.store.webhooks import HookAttempt
from gateway.wire.workers import WorkerFailed


@dataclass(frozen=True, slots=True)
class Workshop:
    """The settings' share of the house. `run` runs a function in a confined worker, with the time that rendering has.

    `try_server` takes a tenant's id, `try_mailbox` a mailbox; both tell step by step. `look` asks DNS about a domain.
    `read_again` reads a mail that could not be read when it came: what kind it is, "" when it still cannot be read.
    `post_event` hands an endpoint (tenant, id) an event at once, "" one that only tries it. Raises Refused.
    """

    door: Door
    seal: Seal
    house: House
    run: Callable[..., Awaitable[Any]]
    try_server: Callable[[str], AsyncIterator[Step]]
    try_mailbox: Callable[[Mailbox], AsyncIterator[Step]]
    look: Callable[[StoredDomain], Awaitable[Check]]
    read_again: Callable[[Message], Awaitable[str]]
    post_event: Callable[[tuple[str, str], str], Awaitable[HookAttempt]]
    public_url: str = ""
    tasks: set[Any] = field(default_factory=set)  # trials that run: asyncio keeps weak references only


async def confined(workshop: Workshop, function: Callable[..., Any], *args: object) -> Any:
    """Run what others wrote, in a worker. Raises Refused: what the function refuses, or that it took too much."""
    try:
        return await workshop.run(function, *args)
    except WorkerFailed:
        raise Refused(501, "5.5.4", "it could not be done within its limits; make the text simpler") from None
