"""The trial of a tenant's own SMTP server: does it take our mail, does that arrive, and where do its reports land?

Called by `gateway tenant smtp test`. It really sends: a mail to the tenant's A/R inbox (and to whom else is named), and
one to an address of ours that does not exist, which provokes a report. Both are messages and deliveries like any other,
booked by the trial so that no node sends them, and seen in the timeline; what was learned is kept with the server.
Promises plain sentences and an end: every wait is bounded. It leaves no suppression and no open thread behind.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.mail.address import parse_address
from gateway.mail.message import read_head
from gateway.mail.status import Action, DeliveryStatus
from gateway.mail.verp import return_token
from gateway.outbound.control import Control
from gateway.outbound.desk import Desk
from gateway.outbound.dialling import open_connection
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.own_sending import author_of, send_by_own
from gateway.outbound.queue import Attempt, Booked, Recipient, cancel, enqueue, settle
from gateway.outbound.queue_list import Filter, list_queue
from gateway.outbound.relay_mail import Relayed, frame_relay
from gateway.outbound.retry import Retry
from gateway.outbound.routing import Router, Way
from gateway.outbound.smtp_client import Connection, Outcome, Timeouts, Transaction
from gateway.outbound.suppression import unsuppress
from gateway.outbound.tenant_routes import TenantRoutes
from gateway.store.database import Database, new_id, random_bytes, to_ms
from gateway.store.database import Transaction as Tx
from gateway.store.messages import add_message, find_by_message_id
from gateway.store.routes import learn, note_test
from gateway.store.threads import add_thread, close_thread

OK, WARNING, WRONG = "ok", "warning", "wrong"
NODE = "smtp-test"  # what books the deliveries of a trial
LEASE_MS = 15 * 60_000
POLL_SECONDS = 0.5
TIMEOUTS = Timeouts(connect=15, greeting=30, command=30, tls=15, data=30, body=60, after_dot=120)

# What a trial is called in its mail, as the tenant's people read it.
_TEXTS = {
    "ro": ("Test al serverului SMTP", "Acest mesaj verifică serverul SMTP al companiei. Nu trebuie să faceți nimic."),
    "ru": ("Проверка SMTP-сервера", "Это письмо проверяет SMTP-сервер компании. Делать ничего не нужно."),
    "en": ("Test of the SMTP server", "This message checks the company's SMTP server. There is nothing to do."),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried: ok, warning or wrong, in words."""

    what: str
    state: str
    words: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial needs. `desk` is the tenant's; `wait` how many seconds an arrival may take."""

    database: Database
    desk: Desk
    letterhead: Letterhead
    router: Router
    routes: TenantRoutes
    clock: Callable[[], datetime]
    wait: float = 60
    others: tuple[str, ...] = ()

    @property
    def tenant_id(self) -> str:
        """Whose server it is."""
        return self.desk.tenant.id


async def try_server(trial: Trial) -> AsyncIterator[Step]:
    """Try it, step by step; each is told as soon as it is known. Ends at the first that is wrong."""
    own = await trial.routes.get(trial.tenant_id)
    way = trial.router.own_way(own)
    opened, step = await _open(trial, way)
    yield step
    if opened is None:
        return
    try:
        inbox = trial.letterhead.inbox_address(trial.desk.tenant)
        sent = await _send(trial, way, opened, (inbox, *trial.others))
        yield sent.step
        if sent.step.state == WRONG:
            return
        yield await _await_mail(trial, sent, inbox)
        ghost = f"no-such-address-{secrets.token_hex(4)}@{trial.letterhead.inbox_domain}"
        bounced = await _send(trial, way, opened, (ghost,))
    finally:
        await opened.quit()
    yield await _await_report(trial, way, bounced, ghost)
    await trial.database.write(note_test, to_ms(trial.clock()), trial.tenant_id)


# -- the steps


async def _open(trial: Trial, way: Way) -> tuple[Connection | None, Step]:
    assert way.server is not None
    targets = await trial.router.targets(way, trial.clock())
    opened = targets if isinstance(targets, DeliveryStatus) else await open_connection(targets, TIMEOUTS)
    if isinstance(opened, DeliveryStatus):
        await trial.router.note_unreached(way, opened)
        what = "login" if opened.reason == "auth_failed" else "connection"
        return None, Step(what, WRONG, f"{opened.host or way.server.host}: {opened.words}")
    if opened.tls:
        how = f"{opened.tls}, its certificate is good" if opened.target.verified else f"{opened.tls}, not verified"
    else:
        how = "WITHOUT TLS"
    who = f"logged in as {way.server.username}" if way.server.username else "without a login"
    state = OK if opened.tls else WARNING
    return opened, Step("connection", state, f"{opened.target.label}:{opened.target.port}, {how}, {who}")


@dataclass(frozen=True, slots=True)
class _Sent:
    step: Step
    message_id: str
    rfc_message_id: str
    thread_id: str
    return_path: str
    outcome: Outcome


async def _send(trial: Trial, way: Way, opened: Connection, recipients: tuple[str, ...]) -> _Sent:
    """Send the trial's mail to each, as the deliveries that they are; the outcome is that of the first."""
    assert way.server is not None
    now = trial.clock()
    made = _compose(trial, recipients[0], way.server.address, now)
    booked = await trial.database.write(_keep, to_ms(now), made, recipients)
    outcomes = []
    for one in booked:
        envelope = Transaction(
            return_path=trial.letterhead.return_path(one.token), recipients=(one.recipient,), raw=made.raw,
            envid=one.token, notify="FAILURE,DELAY",
        )  # fmt: skip
        outcome = await send_by_own(trial.routes, way, opened, envelope)
        await trial.database.write(_settle, to_ms(trial.clock()), one, outcome, way.name)
        outcomes.append(outcome)
    learned = trial.routes.wants_own_return_path(trial.tenant_id, way.server)
    path = author_of(made.raw) if learned else trial.letterhead.return_path(booked[0].token)
    kind = "the tenant's own address, as it lets no other through" if learned else "ours, so reports come to us"
    outcome = outcomes[0]
    taken = outcome.status.action is Action.RELAYED
    step = Step(
        "mail", OK if taken else WRONG,
        f"{'taken' if taken else 'refused'} ({outcome.status.words}); return path {path}: {kind}"
        if taken else f"refused at {outcome.stage.upper()}: {outcome.status.words}",
    )  # fmt: skip
    message = made.message
    return _Sent(step, message.id, message.rfc_message_id, message.thread_id, path, outcome)


async def _await_mail(trial: Trial, sent: _Sent, inbox: str) -> Step:
    async def arrived() -> bool:
        found = await trial.database.read(find_by_message_id, trial.tenant_id, [sent.rfc_message_id])
        return any(one.direction == "in" for one in found)

    seconds = await _until(trial, arrived)
    if seconds is None:
        words = (
            f"the mail did not come to {inbox} within {trial.wait:g} s; is `gateway serve` running, and does the MX "
            f"of {trial.letterhead.inbox_domain} point here with port 25 open?"
        )
        return Step("arrival", WARNING, words)
    return Step("arrival", OK, f"it came to {inbox} after {seconds:.0f} s")


async def _await_report(trial: Trial, way: Way, sent: _Sent, ghost: str) -> Step:
    assert way.server is not None

    async def came() -> bool:
        return "failed" in await trial.database.read(_state, trial.tenant_id, sent.message_id)

    if sent.outcome.status.permanent:
        words = f"unknown addresses are refused at once ({sent.outcome.status.words})"
        reports, step = "at once", Step("reports", OK, words)
    elif sent.outcome.status.action is not Action.RELAYED:
        reports, step = "", Step("reports", WARNING, f"not learned: {sent.outcome.status.words}")
    elif (seconds := await _until(trial, came)) is not None:
        words = f"a report came to the gateway after {seconds:.0f} s, by {sent.return_path}"
        reports, step = "gateway", Step("reports", OK, words)
    else:
        reports = "elsewhere"
        inbox = trial.letterhead.inbox_address(trial.desk.tenant)
        words = (
            f"no report about {ghost} came within {trial.wait:g} s; reports of this server go to {sent.return_path}: "
            f"forward what comes there to {inbox}"
        )
        step = Step("reports", WARNING, words)
    await trial.database.write(_tidy, to_ms(trial.clock()), trial.tenant_id, sent.thread_id, ghost)
    if reports:
        await trial.database.write(learn, trial.tenant_id, way.server.version, reports=reports)
    return step


async def _until(trial: Trial, ask: Callable[[], Awaitable[bool]]) -> float | None:
    """Seconds until it was so; None when it was not within the trial's patience."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while True:
        if await ask():
            return loop.time() - started
        if loop.time() - started > trial.wait:
            return None
        await asyncio.sleep(POLL_SECONDS)


# -- what is kept


def _compose(trial: Trial, recipient: str, author: str, now: datetime) -> Relayed:
    desk = trial.desk
    own = replace(desk, own_server=True, author=parse_address(author), identities=(parse_address(author).key,),
                  tenant=replace(desk.tenant, sending="own"))  # fmt: skip
    subject, text = _TEXTS.get(desk.tenant.language, _TEXTS["en"])
    raw = (
        f"From: <{author}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n"
    ).encode()
    return frame_relay(
        trial.letterhead, own, raw, read_head(raw), Control(), (new_id(), new_id()), (parse_address(recipient),),
        "smtp test", now,
    )  # fmt: skip


def _keep(tx: Tx, now_ms: int, made: Relayed, recipients: tuple[str, ...]) -> list[Booked]:
    message = made.message
    add_thread(tx, now_ms, message.tenant_id, message.thread_id, subject=message.subject, customer=recipients[0])
    add_message(tx, message, made.raw)
    return enqueue(
        tx, now_ms, message.tenant_id, message.id, message.thread_id,
        [Recipient(one, return_token(random_bytes(10))) for one in recipients],
        node=NODE, due_at=now_ms + LEASE_MS, expires_at=now_ms + LEASE_MS,
    )  # fmt: skip


def _settle(tx: Tx, now_ms: int, made: Booked, outcome: Outcome, route: str) -> None:
    how = Attempt(outcome.status, outcome.stage, outcome.tls, int(outcome.seconds * 1000), outcome.unclear, route=route)
    if settle(tx, now_ms, made, how, Retry()) == "queued":
        cancel(tx, now_ms, made.tenant_id, (made.message_id, made.number), "the test of the SMTP server")


def _state(tx: Tx, tenant_id: str, message_id: str) -> list[str]:
    return [one.state for one in list_queue(tx, tenant_id, Filter(state="", message_id=message_id), 1)]


def _tidy(tx: Tx, now_ms: int, tenant_id: str, thread_id: str, ghost: str) -> None:
    unsuppress(tx, tenant_id, ghost)
    close_thread(tx, now_ms, tenant_id, thread_id, "smtp test")
