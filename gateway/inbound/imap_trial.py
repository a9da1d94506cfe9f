"""The trial of a tenant's mailbox: log in as the poller would, look around, and say what was found.

Called by `gateway mailbox test` and by the settings pages. Nothing is changed there: the folder is opened read-only.
Blocking calls run in a thread, and mail is read in a worker. Raises ImapFailed, in words that hold no secret.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.inbound.destinations import Names
from gateway.inbound.imap_login import Logins
from gateway.inbound.imap_pull import Threads
from gateway.inbound.imap_session import Folder, ImapSession, open_session
from gateway.inbound.imap_taking import find_place
from gateway.inbound.imap_wire import Allow, Patience
from gateway.mail.received import read_mail
from gateway.store.database import Database, to_ms
from gateway.store.mailboxes import Mailbox
from gateway.store.sealed import Seal
from gateway.wire.workers import WorkerFailed

LOOKED_AT = 20  # the newest mails
SHOWN = ("IDLE", "MOVE", "UIDPLUS")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was found: ok or wrong."""

    what: str
    state: str
    words: str


@dataclass(frozen=True, slots=True)
class ImapTrial:
    """What a trial needs: `run` reads a mail in a worker; `allow` says which addresses may be dialled."""

    database: Database
    seal: Seal
    clock: Callable[[], datetime]
    names: Names
    allow: Allow | None
    run: Callable[..., Awaitable[Any]]
    max_message: int
    poll_seconds: float


async def try_mailbox(trial: ImapTrial, box: Mailbox, look: int = LOOKED_AT) -> AsyncIterator[Step]:
    """Try it, step by step. Raises ImapFailed."""
    account = box.account
    with ThreadPoolExecutor(1) as pool:
        threads = Threads(pool)
        login = await Logins(trial.database, trial.seal, trial.clock).login(box, threads)
        patience = Patience(message=trial.max_message)
        session = await threads.run(open_session, account, login, trial.allow, patience)
        try:
            how = {"tls": "TLS", "starttls": "STARTTLS", "none": "NO TLS"}[account.security]
            yield Step("login", "ok", f"{account.username} at {account.host}:{account.port}, {how}")
            has = [one for one in SHOWN if one in session.capabilities]
            waits = "mail is known of at once" if "IDLE" in has else f"looked at every {trial.poll_seconds} s"
            yield Step("server", "ok", f"{', '.join(has) or 'no extension that helps'}; {waits}")
            folder = await threads.run(session.select, account.folder, readonly=True)
            newest = await threads.run(session.last_uid, folder)
            last = (await threads.run(session.sizes, [newest], dated=True)).get(newest) if newest else None
            at = f", the newest of {last.at:%Y-%m-%d %H:%M}" if last and last.at else ""
            yield Step("folder", "ok", f"{account.folder}: {folder.exists} messages{at}")
            yield await _judge(trial, box, threads, (session, folder), newest, look)
        finally:
            await threads.run(session.close)


async def _judge(
    trial: ImapTrial, box: Mailbox, threads: Threads, opened: tuple[ImapSession, Folder], newest: int, look: int
) -> Step:
    """What would become of the newest mails, if they came now."""
    session, folder = opened
    uids: list[int] = []
    if newest and look > 0:
        uids = (await threads.run(session.find, max(newest - 10 * look, 0), None, folder))[-look:]
    sizes = await threads.run(session.sizes, uids, dated=False) if uids else {}
    taken, large = [], 0
    for uid in (uid for uid in uids if uid in sizes):
        if sizes[uid].size > trial.max_message:
            large += 1
            continue
        for raw in (await threads.run(session.fetch, [uid], sizes[uid].size)).values():
            with contextlib.suppress(WorkerFailed):
                mail = await trial.run(read_mail, raw)
                if await trial.database.read(find_place, trial.names, to_ms(trial.clock()), box, mail) is not None:
                    taken.append(f"{mail.kind} from {mail.author}: {mail.subject[:60]}")
    words = f"of the newest {len(uids)}, {len(taken)} would be taken ({box.account.takes})"
    words += f", {large} are too large" if large else ""
    return Step("mail", "ok", "; ".join([words, *taken[:5]]))
