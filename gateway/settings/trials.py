"""Trials that take longer than a page may wait for: begun here, noted step by step, looked at by whoever reloads.

Called by the settings pages. One of a name runs at a time, in this process; every fault ends as a step in words.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime

import structlog

from gateway.mail.reply import Refused
from gateway.outbound.server_trial import WRONG, Step
from gateway.settings.workshop import Workshop
from gateway.store.trials import LONGEST, begin_trial, note_steps

log = structlog.get_logger()

SERVER = "server"


async def begin(
    workshop: Workshop, tenant_id: str, name: str, by: str, clock: Callable[[], datetime], steps: AsyncIterator[Step]
) -> bool:
    """Begin a trial; False when it runs already."""
    if not await workshop.door.database.write(begin_trial, clock(), tenant_id, name, by):
        return False
    task = asyncio.create_task(_run(workshop, tenant_id, name, clock, steps), name=f"trial {name}")
    workshop.tasks.add(task)
    task.add_done_callback(workshop.tasks.discard)
    return True


async def _run(
    workshop: Workshop, tenant_id: str, name: str, clock: Callable[[], datetime], steps: AsyncIterator[Step]
) -> None:
    found: list[tuple[str, str, str]] = []
    write = workshop.door.database.write
    try:
        async with asyncio.timeout(LONGEST.total_seconds() - 30):
            async for step in steps:
                found.append((step.what, step.state, step.words))
                await write(note_steps, tenant_id, name, found, None)
    except Refused as refused:
        found.append(("failure", WRONG, refused.reply.text))
    except TimeoutError:
        found.append(("failure", WRONG, "it took too long"))
    except Exception as error:
        log.error("settings.trial_failed", trial=name, tenant=tenant_id, error=type(error).__name__, exc_info=True)
        found.append(("failure", WRONG, "the gateway failed; its log says how"))
    await write(note_steps, tenant_id, name, found, clock())
