"""`gateway mailbox test`: log in as the poller would, look around, and say what was found; nothing is changed there.

Mail is read in a worker process with limits, as always. Exit status 1 when the mailbox cannot be read.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, tenant_option, utc_now, working
from gateway.cli.send import letterhead_of
from gateway.inbound.destinations import Names
from gateway.inbound.imap_login import Logins
from gateway.inbound.imap_pull import Threads
from gateway.inbound.imap_session import Folder, ImapFailed, ImapSession, open_session
from gateway.inbound.imap_taking import find_place
from gateway.inbound.imap_wire import Patience
from gateway.mail.received import read_mail
from gateway.serve.polling import allowed
from gateway.store.database import to_ms
from gateway.store.mailboxes import Mailbox, need_mailbox
from gateway.wire.workers import WorkerFailed, WorkerPool

LOOKED_AT = 20  # the newest mails
MEMORY = 512 * 2**20
SHOWN = ("IDLE", "MOVE", "UIDPLUS")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was found: ok or wrong."""

    what: str
    state: str
    words: str


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
            for step in _try(context, box, look):
                steps.append(step)
    except ImapFailed as failed:
        steps.append(Step("failure", "wrong", failed.words))
    if as_json:
        show_json({"tenant": tenant.slug, "mailbox": name, "steps": [asdict(one) for one in steps]})
    else:
        for one in steps:
            click.echo(f"{'ok     ' if one.state == 'ok' else 'WRONG  '}  {one.what}: {one.words}")
    if any(one.state == "wrong" for one in steps):
        raise SystemExit(1)


def _try(context: Context, box: Mailbox, look: int) -> Iterator[Step]:
    account = box.account
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        logins = Logins(context.database, context.seal, utc_now)
        login = asyncio.run(logins.login(box, Threads(pool)))
        session = open_session(
            account, login, allowed(context.config), Patience(message=context.config.imap.max_message)
        )
        stack.callback(session.close)
        how = {"tls": "TLS", "starttls": "STARTTLS", "none": "NO TLS"}[account.security]
        yield Step("login", "ok", f"{account.username} at {account.host}:{account.port}, {how}")
        has = [one for one in SHOWN if one in session.capabilities]
        waits = "mail is known of at once" if "IDLE" in has else f"looked at every {context.config.imap.poll_seconds} s"
        yield Step("server", "ok", f"{', '.join(has) or 'no extension that helps'}; {waits}")
        folder = session.select(account.folder, readonly=True)
        newest = session.last_uid(folder)
        last = session.sizes([newest], dated=True).get(newest) if newest else None
        at = f", the newest of {last.at:%Y-%m-%d %H:%M}" if last and last.at else ""
        yield Step("folder", "ok", f"{account.folder}: {folder.exists} messages{at}")
        yield _judge(context, box, session, folder, newest, look)


def _judge(context: Context, box: Mailbox, session: ImapSession, folder: Folder, newest: int, look: int) -> Step:
    """What would become of the newest mails, if they came now."""
    uids = session.find(max(newest - 10 * look, 0), None, folder)[-look:] if newest and look > 0 else []
    sizes = session.sizes(uids, dated=False) if uids else {}
    limit = context.config.imap.max_message
    letterhead = letterhead_of(context)
    names = Names(letterhead.return_domain, letterhead.inbox_domain, letterhead.reply_key, letterhead.hostname,
                  letterhead.shared.key)  # fmt: skip
    taken, large = [], 0
    workers = WorkerPool(1, MEMORY, preload=(read_mail.__module__,))
    try:
        for uid in (uid for uid in uids if uid in sizes):
            if sizes[uid].size > limit:
                large += 1
                continue
            for raw in session.fetch([uid], sizes[uid].size).values():
                with contextlib.suppress(WorkerFailed):
                    mail = workers.run_sync(read_mail, raw, seconds=context.config.workers.parse_seconds)
                    if context.read(find_place, names, to_ms(utc_now()), box, mail) is not None:
                        taken.append(f"{mail.kind} from {mail.author}: {mail.subject[:60]}")
    finally:
        workers.close()
    words = f"of the newest {len(uids)}, {len(taken)} would be taken ({box.account.takes})"
    words += f", {large} are too large" if large else ""
    return Step("mail", "ok", "; ".join([words, *taken[:5]]))
