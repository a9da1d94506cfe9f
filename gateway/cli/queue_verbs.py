"""`gateway queue hold|release|cancel|retry`: what an admin does to deliveries, named by ID or by filter."""

import click

from gateway.cli.common import Context
from gateway.cli.queue_choice import Chosen, Verb, choice_options, perform
from gateway.cli.tenant_retry import house_retry
from gateway.outbound import queue as verbs
from gateway.outbound.queue_list import Key
from gateway.outbound.retry_options import read_retry
from gateway.store.database import Transaction

AGAIN = (verbs.QUEUED, verbs.FAILED, verbs.CANCELLED, verbs.UNCLEAR)
_queued = click.option("--state", type=click.Choice((verbs.QUEUED,)), default=None, help="Only those in this state.")


@click.command("hold")
@click.option("--why", default="held by an admin", show_default=True)
@_queued
@choice_options
def hold(context: Context, chosen: Chosen, why: str) -> None:
    """Keep deliveries back until they are released: IDS, or those that filters mean."""

    def does(tx: Transaction, now_ms: int, tenant_id: str, key: Key) -> int:
        return verbs.hold(tx, now_ms, tenant_id, key, why)

    perform(context, chosen, Verb("hold", "held", does, held=False))


@click.command("release")
@_queued
@choice_options
def release(context: Context, chosen: Chosen) -> None:
    """Let held deliveries go now: IDS, or those that filters mean."""

    def does(tx: Transaction, now_ms: int, tenant_id: str, key: Key) -> int:
        return verbs.release(tx, now_ms, tenant_id, key, "admin")

    perform(context, chosen, Verb("release", "released", does, held=True))


@click.command("cancel")
@_queued
@choice_options
def cancel(context: Context, chosen: Chosen) -> None:
    """End deliveries that are still queued, held ones too: IDS, or those that filters mean."""

    def does(tx: Transaction, now_ms: int, tenant_id: str, key: Key) -> int:
        return verbs.cancel(tx, now_ms, tenant_id, key, "admin")

    perform(context, chosen, Verb("cancel", "cancelled", does))


@click.command("retry")
@click.option("--state", type=click.Choice(AGAIN), default=None, help="Those in this state; else those that wait.")
@choice_options
def retry(context: Context, chosen: Chosen) -> None:
    """Try again now what waits, failed or was cancelled, never what a server accepted: IDS, or what filters mean."""
    house = house_retry(context)

    def does(tx: Transaction, now_ms: int, tenant_id: str, key: Key) -> int:
        expires_at = now_ms + int(1000 * read_retry(tx, tenant_id, "", house).expire)
        return verbs.retry_failed(tx, now_ms, tenant_id, key, "admin", expires_at)

    perform(context, chosen, Verb("retry", "queued", does, AGAIN, held=False))
