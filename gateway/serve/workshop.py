"""What the settings pages need of a running gateway, made from its rooms: workers, trials, looks at DNS.

Called when a house is opened. Servers that tenants name are dialled only at public addresses, as mail is
(`delivery.allow_private`).
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial

from gateway.config import Config
from gateway.inbound.imap_session import ImapFailed
from gateway.inbound.imap_trial import ImapTrial, try_mailbox
from gateway.inbound.reception import Reception, replay
from gateway.mail.reply import Refused
from gateway.outbound.domain_watch import authors_of, check, keep
from gateway.outbound.findings import Check
from gateway.outbound.mx import Resolver
from gateway.outbound.routing import Router
from gateway.outbound.server_trial import Step, Trial, try_server
from gateway.outbound.submission import Door
from gateway.outbound.tenant_routes import TenantRoutes
from gateway.outbound.webhook_post import Post
from gateway.outbound.webhooks import send_now
from gateway.serve.parts import house_names, make_asker, make_post
from gateway.serve.polling import allowed
from gateway.serve.receiving import names_of
from gateway.settings.workshop import Workshop
from gateway.store.database import Database
from gateway.store.domains import StoredDomain, list_keys
from gateway.store.mailboxes import Mailbox
from gateway.store.messages import Message, get_content
from gateway.store.sealed import Seal
from gateway.store.webhooks import HookAttempt
from gateway.wire.workers import WorkerPool

WAIT_SECONDS = 60.0  # for a trial's mail, and for its report


def make_workshop(
    config: Config, door: Door, seal: Seal, workers: WorkerPool, router: Router, reception: Reception,
    resolver: Resolver, clock: Callable[[], datetime], https_port: int = 443,
) -> Workshop:  # fmt: skip
    """The settings' share of a house."""
    database = door.database
    house, ask = house_names(config), make_asker(config, resolver)

    async def server(tenant_id: str) -> AsyncIterator[Step]:
        desk = await door.desks.get(tenant_id, fresh=True)
        if desk is None:
            raise Refused(550, "5.1.1", "there is no such tenant")
        routes = TenantRoutes(database, seal, clock)  # with nothing remembered: what was just saved is tried
        async for step in try_server(Trial(database, desk, door.letterhead, router, routes, clock, WAIT_SECONDS)):
            yield step

    trial = ImapTrial(
        database, seal, clock, names_of(door.letterhead), allowed(config),
        partial(workers.run, seconds=config.workers.parse_seconds), config.imap.max_message, config.imap.poll_seconds,
    )  # fmt: skip

    async def mailbox(box: Mailbox) -> AsyncIterator[Step]:
        try:
            async for step in try_mailbox(trial, box):
                yield Step(step.what, step.state, step.words)
        except ImapFailed as failed:
            raise Refused(451, "4.4.1", failed.words) from None

    async def look(one: StoredDomain) -> Check:
        keys = await database.read(list_keys, one.tenant_id, one.name)
        made = await check(ask, house, one, keys, await database.read(authors_of, one))
        await database.write(keep, clock(), one, made)
        return made

    post_event = partial(_post_event, database, seal, make_post(config, resolver, https_port), clock)
    run = partial(workers.run, seconds=config.workers.render_seconds)
    again, url = partial(_read_again, reception, clock), config.web.public_url.rstrip("/")
    return Workshop(door, seal, house, run, server, mailbox, look, again, post_event, url)


async def _post_event(
    database: Database, seal: Seal, post: Post, clock: Callable[[], datetime], key: tuple[str, str], event_id: str
) -> HookAttempt:
    return await send_now(database, seal, post, clock(), key, event_id)


async def _read_again(reception: Reception, clock: Callable[[], datetime], kept: Message) -> str:
    raw = await reception.database.read(get_content, kept.tenant_id, kept.id)
    taken = await replay(reception, kept, raw, clock())
    return taken.kind if taken else ""
