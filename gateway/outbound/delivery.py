"""The loop that sends: claim what is due, dial, send, write the outcome, and only then go on.

Fed by the door with what it has just committed (no second read), and by `queue.claim` with what is due. Deliveries
wait by destination (`destinations`), which says how many connections it bears now; each connection sends one message
after the other and waits for the outcome to be on disk before the next: a crash can repeat one message per connection
at the most. While a destination rests, what is for it goes back to the queue, untried, with the reason to be seen.
Nothing that happens in one delivery ends the loop: what we did wrong is logged, and that delivery tried later.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from gateway.mail.advice import LATER, STOP, Advice, advise
from gateway.mail.reasons import Rule
from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound import queue
from gateway.outbound.destinations import Destination, Flows, Pace
from gateway.outbound.dialling import SECONDS, open_connection
from gateway.outbound.giving_back import GivingBack
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.own_sending import send
from gateway.outbound.queue import Attempt, Booked, Postponed
from gateway.outbound.retry import Retry
from gateway.outbound.routing import Router, Way
from gateway.outbound.smtp_client import Connection, Outcome, Transaction
from gateway.outbound.standing import standings
from gateway.store.database import Database, StoreUnavailable, to_ms
from gateway.store.messages import DATED, EIGHT_BIT, SMTPUTF8

log = structlog.get_logger()

IDLE_SECONDS = 5.0  # how long an open connection waits for another message
HELD_BYTES = 64 * 2**20  # of messages kept in memory between door and connection; beyond it they are read again
IN_FLIGHT = 2000  # booked deliveries that one node holds
POLL_SECONDS = 1.0
MEND_SECONDS = 30.0  # how often the summaries of tenants are compared with their queues

Compose = Callable[[Booked], Awaitable[Booked | None]]


class Delivery:
    """The sending side of one node. `offer` what was booked, `run` it, `stop` it."""

    def __init__(
        self,
        database: Database,
        letterhead: Letterhead,
        router: Router,
        compose: Compose,
        *,
        node: str,
        former: Sequence[str] = (),
        retry: Retry,
        pace: Pace,
        clock: Callable[[], datetime],
        rules: Callable[[], Iterable[Rule] | None] = lambda: None,
    ) -> None:
        self._database = database
        self._letterhead = letterhead
        self._router = router
        self._compose = compose
        self._node = node
        self._former = former
        self._retry = retry
        self._pace = pace
        self._clock = clock
        self._rules = rules
        self._destinations: dict[str, Destination] = {}
        self._flows = Flows()
        self._starved: deque[Destination] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._giving_back = GivingBack(database, clock, self._end)
        self._serving = 0
        self._in_flight = 0
        self._held = 0
        self._turned_away = 0  # since the last claim, for want of a place in line
        self._poke = asyncio.Event()
        self._stopping = False
        self._broken_off: list[Booked] = []
        self._mend_at = 0.0

    # -- taking in

    def has_room(self) -> bool:
        """Whether the door may book for this node."""
        return self._in_flight < IN_FLIGHT and not self._stopping

    def poke(self) -> None:
        """Look now for what is due: another process says that there is something."""
        self._poke.set()

    def tell(self) -> dict[str, Any]:
        """What it is at, as JSON, for whoever runs the gateway. Called on the event loop."""
        found = standings(self._flows, self._destinations, self._clock().timestamp())
        return {"in_flight": self._in_flight, "connections": self._serving, "destinations": found}

    def resume(self, keys: Iterable[str]) -> None:
        """A person wants these destinations tried again, although they rest."""
        for flow in filter(None, map(self._flows.known, keys)):
            flow.resume(self._clock().timestamp())

    def offer(self, booked: Sequence[Booked]) -> None:
        """Take deliveries that are booked for this node and committed. Called on the event loop."""
        now = self._clock()
        for made in booked:
            self._in_flight += 1
            size = len(made.raw or b"")
            if self._held + size > HELD_BYTES:
                made, size = replace(made, raw=None), 0  # it will be read again
            self._held += size
            way = self._router.known(made, now)
            if way is None:
                self._spawn(self._find_way(made))
            else:
                self._place(made, way, now)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find_way(self, made: Booked) -> None:
        try:
            way = await self._router.find(made, self._clock())
        except asyncio.CancelledError:
            self._broken_off.append(made)
            raise
        except Exception as error:
            await self._note_fault(made, error)
            return
        if isinstance(way, DeliveryStatus):
            await self._settle(made, Attempt(way, "connect"))
            self._end(made)
        elif self._stopping:
            self._giving_back.add([made], Postponed(self._clock().timestamp()))
        else:
            self._place(made, way, self._clock())

    def _place(self, made: Booked, way: Way, now: datetime) -> None:
        destination = self._destinations.get(way.key)
        if destination is None:
            destination = self._destinations[way.key] = Destination(
                way.key, way, self._flows.get(way.key, self._pace.bounds(way))
            )
        destination.way = way
        if destination.flow.rests(now.timestamp()):
            self._rest(destination, [made])
            return
        while destination.idle:
            waiter = destination.idle.pop()
            if not waiter.done():
                waiter.set_result(made)
                return
        if (way.domain or way.tenant_id) and destination.is_full(made.tenant_id):
            self._turned_away += 1
            self._giving_back.add([made], Postponed(destination.turn(now.timestamp())))
            return
        destination.add(made)
        self._widen(destination, now)

    def _widen(self, destination: Destination, now: datetime) -> None:
        """Serve it with as many connections as it bears and its line needs."""
        room = destination.flow.room(now.timestamp())
        for _ in range(min(len(destination), room - destination.serving)):
            if self._serving >= self._pace.connections:
                if destination.serving == 0 and destination not in self._starved:
                    self._starved.append(destination)
                    self._end_one_idle()
                return
            destination.serving += 1
            self._serving += 1
            self._spawn(self._serve(destination))

    def _end_one_idle(self) -> None:
        for destination in self._destinations.values():
            for waiter in destination.idle:
                if not waiter.done():
                    waiter.set_result(None)
                    return

    # -- giving back

    def _rest(self, destination: Destination, made: Iterable[Booked]) -> None:
        """Give back what is for a destination that rests; what has no time left ends with what it rests for."""
        flow, now_ms = destination.flow, to_ms(self._clock())
        for one in made:
            if one.expires_at <= now_ms and flow.why is not None:
                self._spawn(self._expire(one, flow.why))
            else:
                self._giving_back.add([one], Postponed(flow.rest_until, flow.why))

    async def _expire(self, made: Booked, why: DeliveryStatus) -> None:
        await self._settle(made, Attempt(why, "connect"))
        self._end(made)

    def _end(self, made: Booked) -> None:
        self._in_flight -= 1
        self._held -= len(made.raw or b"")

    # -- the loop

    async def run(self) -> None:
        """Claim what is due, for ever; survives every exception but cancellation."""
        recovered = sum([await self._recover(name) for name in (self._node, *self._former)])
        if recovered:
            log.info("delivery.recovered", deliveries=recovered)
        while not self._stopping:
            claimed = self._turned_away = 0
            self._poke.clear()  # before the look: a poke during it means another
            try:
                await self._mend_now_and_then()
                claimed = await self._claim()
            except Exception as error:
                log.error("delivery.claim_failed", error=type(error).__name__, exc_info=True)
            if self._turned_away * 2 >= claimed:  # nothing, or mostly what only goes to and fro
                try:
                    await asyncio.wait_for(self._poke.wait(), POLL_SECONDS)
                except TimeoutError:
                    continue

    async def _recover(self, name: str) -> int:
        while True:
            try:
                return await self._database.write(queue.recover, to_ms(self._clock()), name)
            except Exception as error:
                log.error("delivery.start_failed", error=type(error).__name__, exc_info=True)
                await asyncio.sleep(POLL_SECONDS)

    async def _mend_now_and_then(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._mend_at:
            self._mend_at = now + MEND_SECONDS
            await self._database.write(queue.mend_summaries)

    async def _claim(self) -> int:
        room = min(IN_FLIGHT - self._in_flight, 500)
        now_ms = to_ms(self._clock())
        if room <= 0 or not await self._database.read(queue.any_due, now_ms):
            return 0
        claimed = await self._database.write(queue.claim, now_ms, self._node, limit=room, lease_ms=self._pace.lease_ms)
        if self._stopping:  # nobody serves any more
            await self._database.write(queue.unbook, now_ms, claimed)
            return 0
        self.offer(claimed)
        return len(claimed)

    async def stop(self, seconds: float = 10.0) -> None:
        """Let what is being sent end, give back what was not begun, close connections."""
        self._stopping = True
        self._poke.set()
        waiting: list[Booked] = []
        for destination in self._destinations.values():
            waiting += destination.take_all()
            for waiter in destination.idle:
                if not waiter.done():
                    waiter.set_result(None)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._giving_back.finish()
        if waiting:
            await self._database.write(queue.unbook, to_ms(self._clock()), waiting)
        if self._broken_off:
            await self._database.write(queue.note_broken_off, to_ms(self._clock()), self._broken_off)

    # -- one connection's life

    async def _serve(self, destination: Destination) -> None:
        connection: Connection | None = None
        try:
            made = destination.take()
            while made is not None:
                connection = await self._deliver_surely(destination, made, connection)
                self._end(made)
                if self._starved and destination.serving > 1:  # others have none at all
                    return
                self._widen(destination, self._clock())
                made = destination.take() or await self._linger(destination, connection)
        finally:
            destination.serving -= 1
            self._serving -= 1
            self._feed_starved(destination)
            if connection is not None:
                await connection.quit()

    async def _linger(self, destination: Destination, connection: Connection | None) -> Booked | None:
        """Wait a little for another message while the connection is open."""
        if connection is None or not connection.reusable or self._stopping or self._starved:
            return None
        waiter: asyncio.Future[Booked | None] = asyncio.get_running_loop().create_future()
        destination.idle.append(waiter)
        timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, _let_go, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            if waiter in destination.idle:
                destination.idle.remove(waiter)

    def _feed_starved(self, ended: Destination) -> None:
        if len(ended) and ended not in self._starved and not self._stopping:
            self._starved.append(ended)
        now = self._clock()
        for _ in range(len(self._starved)):
            if self._serving >= self._pace.connections:
                break
            self._widen(self._starved.popleft(), now)
        if not len(ended) and not ended.serving and self._destinations.get(ended.key) is ended:
            del self._destinations[ended.key]

    # -- one delivery

    async def _deliver_surely(
        self, destination: Destination, made: Booked, connection: Connection | None
    ) -> Connection | None:
        """Deliver; whatever goes wrong on our side costs this delivery one wait."""
        try:
            until = asyncio.get_running_loop().time() + self._pace.attempt_seconds
            async with asyncio.timeout_at(until + 10):  # what a server does ends before that, as an outcome
                return await self._deliver(destination, made, connection, until)
        except asyncio.CancelledError:
            self._broken_off.append(made)
            raise
        except Exception as error:
            if connection is not None:
                connection.abort()
            await self._note_fault(made, error)
            return None

    async def _note_fault(self, made: Booked, error: Exception) -> None:
        """What we did wrong ourselves: logged, tried later, and parked after the third time."""
        log.error(
            "delivery.failed_here", tenant=made.tenant_id, message=made.message_id, number=made.number,
            error=type(error).__name__, exc_info=error,
        )  # fmt: skip
        ours = DeliveryStatus(Action.DELAYED, "4.3.0", 0, "the gateway failed while sending", "", "unknown")
        await self._settle(made, Attempt(ours, queue.OUR_FAULT))
        await self._database.write(queue.note_fault, to_ms(self._clock()), made)

    async def _deliver(
        self, destination: Destination, made: Booked, connection: Connection | None, until: float
    ) -> Connection | None:
        ready = made if made.raw is not None else await self._compose(made)
        if ready is None:  # it could not be rendered: held, and the thread says why
            return connection
        if ready.flags & DATED and ready.expires_at <= to_ms(self._clock()):
            await self._database.write(queue.expire, to_ms(self._clock()), ready)
            return connection
        if not self._router.suits(destination.way, ready):  # it was framed for another way than it was thought to be
            self.offer([ready])
            return connection
        if connection is not None and not connection.reusable:
            connection = None
        used = connection is not None
        started = asyncio.get_running_loop().time()
        opened = connection or await self._open(destination)
        if isinstance(opened, DeliveryStatus):
            how = Attempt(opened, "connect", milliseconds=_since(started), route=destination.way.name,
                          policy=destination.way.demands.name)  # fmt: skip
            await self._router.note_unreached(destination.way, opened)
            await self._settle(made, self._heed(destination, how))
            return None
        opened.until = until
        outcome = await send(self._router.tenants, destination.way, opened, self._transaction(ready))
        if used and _was_stale(outcome):
            fresh = await self._open(destination)
            if isinstance(fresh, Connection):
                opened, fresh.until = fresh, until
                outcome = await send(self._router.tenants, destination.way, fresh, self._transaction(ready))
        how = Attempt(outcome.status, outcome.stage, outcome.tls, int(outcome.seconds * 1000), outcome.unclear,
                      route=destination.way.name, policy=opened.target.policy)  # fmt: skip
        await self._settle(made, self._heed(destination, how))
        return opened

    async def _open(self, destination: Destination) -> Connection | DeliveryStatus:
        targets = await self._router.targets(destination.way, self._clock())
        if isinstance(targets, DeliveryStatus):
            return targets
        seconds = min(SECONDS, self._pace.attempt_seconds / 3)
        return await open_connection(targets, self._pace.timeouts, self._router.tally, seconds)

    def _heed(self, destination: Destination, how: Attempt) -> Attempt:
        """Let the destination's pace follow what happened; the attempt, with what its words ask for this recipient."""
        status, flow, now = how.status, destination.flow, self._clock().timestamp()
        if status.action is Action.RELAYED:
            flow.went_well()
            return how
        advice = advise(status, self._rules())
        if advice.word not in (LATER, STOP):
            flow.was_told(now, advice, status)
        elif how.stage == "connect":
            flow.was_unreachable(now, status)
        elif status.code in (0, 421):
            flow.broke(now, status)
        else:
            flow.went_well()
        if flow.rests(now):
            self._rest(destination, destination.take_all())
        return _with_advice(how, advice)

    def _transaction(self, made: Booked) -> Transaction:
        assert made.raw is not None
        return Transaction(
            return_path=self._letterhead.return_path(made.token),
            recipients=(made.recipient,),
            raw=made.raw,
            smtputf8=bool(made.flags & SMTPUTF8),
            eightbit=bool(made.flags & EIGHT_BIT),
            envid=made.token,
            notify=made.notify or "FAILURE,DELAY",
        )

    async def _settle(self, made: Booked, how: Attempt) -> None:
        """Write the outcome; while the database does not commit, insist: what was sent must not be sent again."""
        for wait in (0.1, 0.5, 2, 5, 15, 30, 60):
            try:
                state = await self._database.write(queue.settle, to_ms(self._clock()), made, how, self._retry)
            except Exception as error:
                if not isinstance(error, StoreUnavailable):
                    log.error("delivery.outcome_refused", tenant=made.tenant_id, message=made.message_id,
                              number=made.number, error=type(error).__name__, exc_info=True)  # fmt: skip
                await asyncio.sleep(wait)
                continue
            log.debug("delivery.settled", tenant=made.tenant_id, message=made.message_id, number=made.number,
                      state=state, answer=how.status.words)  # fmt: skip
            return
        log.error("delivery.outcome_lost", tenant=made.tenant_id, message=made.message_id, number=made.number,
                  answer=how.status.words)  # fmt: skip


def _let_go(waiter: asyncio.Future[Booked | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _with_advice(how: Attempt, advice: Advice) -> Attempt:
    if advice.word == STOP:
        return replace(how, status=replace(how.status, action=Action.FAILED))
    return replace(how, wait=advice.seconds) if advice.word == LATER else how


def _was_stale(outcome: Outcome) -> bool:
    """A kept connection that had gone: nothing of this message was taken, so a fresh one may try at once."""
    passing = not outcome.status.permanent and not outcome.unclear
    return passing and outcome.stage == "mail" and outcome.status.code in (0, 421)


def _since(started: float) -> int:
    return int((asyncio.get_running_loop().time() - started) * 1000)
