"""What an operator does to deliveries from a page: hold, release, cancel, retry, by name or by filter.

The same verbs as those of `gateway queue`. By a filter nothing is changed that was accepted after it was asked for, and
each batch is a transaction of its own: a serving gateway writes beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.outbound import queue
from gateway.outbound.queue_list import Filter, Key, count_queue, next_keys
from gateway.outbound.retry import Retry
from gateway.outbound.retry_options import read_retry
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.nodes import ask_again
from gateway.store.schema import OPERATOR
from gateway.store.tenants import list_tenants

BATCH = 500  # deliveries of one transaction
MOST = 20_000  # deliveries that one press of a button changes
PROBES = 100  # deliveries of a destination that are tried at once when a person wants it tried again
WHY = "held by an admin"

Does = Callable[[Transaction, int, str, Key, str, Retry], int]


def _hold(tx: Transaction, now_ms: int, tenant_id: str, key: Key, by: str, house: Retry) -> int:
    return queue.hold(tx, now_ms, tenant_id, key, WHY)


def _release(tx: Transaction, now_ms: int, tenant_id: str, key: Key, by: str, house: Retry) -> int:
    return queue.release(tx, now_ms, tenant_id, key, by)


def _cancel(tx: Transaction, now_ms: int, tenant_id: str, key: Key, by: str, house: Retry) -> int:
    return queue.cancel(tx, now_ms, tenant_id, key, by)


def _retry(tx: Transaction, now_ms: int, tenant_id: str, key: Key, by: str, house: Retry) -> int:
    expires_at = now_ms + int(1000 * read_retry(tx, tenant_id, "", house).expire)
    return queue.retry_failed(tx, now_ms, tenant_id, key, by, expires_at)


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: what it does, to deliveries in which states, held or not."""

    does: Does
    states: tuple[str, ...] = (queue.QUEUED,)
    held: bool | None = None


AGAIN = (queue.QUEUED, queue.FAILED, queue.CANCELLED, queue.UNCLEAR)
VERBS = {
    "hold": Verb(_hold, held=False),
    "release": Verb(_release, held=True),
    "cancel": Verb(_cancel),
    "retry": Verb(_retry, AGAIN, held=False),
}


def meant(verb: str, wanted: Filter, now: datetime) -> Filter | None:
    """The filter as a verb understands it; None when it does nothing to such deliveries."""
    means = VERBS[verb]
    if wanted.state not in means.states:
        return None
    if wanted.state == queue.QUEUED and means.held is not None:
        if wanted.held not in (None, means.held):
            return None
        wanted = replace(wanted, held=means.held)
    return replace(wanted, older_than=min(wanted.older_than or now, now))


def owners(tx: Transaction, tenant_id: str) -> list[str]:
    """The tenant, or every owner of mail when none is named."""
    return [tenant_id] if tenant_id else [OPERATOR, *(one.id for one in list_tenants(tx))]


def count_meant(tx: Transaction, wanted: Filter, tenant_id: str) -> int:
    """How many deliveries a filter means, of a tenant or of all."""
    return sum(count_queue(tx, one, wanted) for one in owners(tx, tenant_id))


async def act_on(
    database: Database, verb: str, chosen: Sequence[tuple[str, Key]], now: datetime, by: str, house: Retry
) -> int:
    """Do it to deliveries by name: (tenant id, key) each; how many were changed."""
    return await database.write(_apply, VERBS[verb].does, to_ms(now), chosen, by, house)


async def act_on_all(
    database: Database, verb: str, wanted: Filter, tenant_id: str, now: datetime, by: str, house: Retry,
    most: int = MOST,
) -> int:  # fmt: skip
    """Do it to what a filter means (as `meant` gives it), batch by batch, to at most `most`; how many were changed."""
    done = 0
    for owner in await database.read(owners, tenant_id):
        after: Key = ("", 0)
        while done < most:
            keys = await database.read(next_keys, owner, wanted, after, min(BATCH, most - done))
            if not keys:
                break
            chosen = [(owner, key) for key in keys]
            done += await database.write(_apply, VERBS[verb].does, to_ms(now), chosen, by, house)
            after = keys[-1]
    return done


def _apply(
    tx: Transaction, does: Does, now_ms: int, chosen: Sequence[tuple[str, Key]], by: str, house: Retry
) -> int:  # fmt: skip
    return sum(does(tx, now_ms, tenant_id, key, by, house) for tenant_id, key in chosen)


async def try_again(database: Database, key: str, domain: str, now: datetime, by: str, house: Retry) -> int:
    """Ask every node to try a destination again although it rests, and make some mail for it due; how many nodes."""
    asked = await database.write(ask_again, key)
    if asked and domain:
        wanted = meant("retry", Filter(recipient=f"@{domain}"), now)
        assert wanted is not None
        await act_on_all(database, "retry", wanted, "", now, by, house, PROBES)
    return asked
