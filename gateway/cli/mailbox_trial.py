"""`gateway mailbox test`: log in as the poller would, look around, and say what was found; nothing is changed there.

Mail is read in a worker process with limits, as always. Exit status 1 when the mailbox cannot be read.
"""

import asyncio
from dataclasses import asdict
from functools import partial

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, tenant_option, utc_now, working
from gateway.cli.send import letterhead_of
from gateway.inbound.imap_session import ImapFailed
from gateway.inbound.imap_trial import LOOKED_AT, ImapTrial, Step, try_mailbox
from gateway.mail.received import read_mail
from gateway.serve.polling import allowed
from gateway.serve.receiving import names_of
from gateway.store.mailboxes import Mailbox, need_mailbox
from gateway.wire.workers import WorkerPool

MEMORY = 512 * 2**20


@click.command("test")
@click.argument("name")
@tenant_option
@click.option("--look", default=LOOKED_AT, show_default=True, help="How many of the newest mails to judge.")
@json_option
@pass_context
def test(context: Context, name: str, slug: str, look: int, as_json: bool) -> None:
    """Log in to the mailbox NAME and say what was found: folder, messages, and which of the newest would be taken."""
    tenant = context.tenant(slug)
    box = context.read(need_mailbox, tenant.id, name)
    steps: list[Step] = []
    try:
        with working("asking the server"):
            asyncio.run(_try(context, box, look, steps))
    except ImapFailed as failed:
        steps.append(Step("failure", "wrong", failed.words))
    if as_json:
        show_json({"tenant": tenant.slug, "mailbox": name, "steps": [asdict(one) for one in steps]})
    else:
        for one in steps:
            click.echo(f"{'ok     ' if one.state == 'ok' else 'WRONG  '}  {one.what}: {one.words}")
    if any(one.state == "wrong" for one in steps):
        raise SystemExit(1)


async def _try(context: Context, box: Mailbox, look: int, steps: list[Step]) -> None:
    config, workers = context.config, WorkerPool(1, MEMORY, preload=(read_mail.__module__,))
    trial = ImapTrial(
        context.database, context.seal, utc_now, names_of(letterhead_of(context)), allowed(config),
        partial(workers.run, seconds=config.workers.parse_seconds), config.imap.max_message, config.imap.poll_seconds,
    )  # fmt: skip
    try:
        async for step in try_mailbox(trial, box, look):
            steps.append(step)
    finally:
        workers.close()
