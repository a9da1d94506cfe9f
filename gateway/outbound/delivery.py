"""The loop that sends: claim what is due, dial, send, write the outcome, and only then go on.

Fed by the door with what it has just committed (no second read), and by `queue.claim` with what is due. Deliveries
wait by destination; each destination has a few connections, each connection sends one message after the other and
waits for the outcome to be on disk before the next: a crash can repeat one message per connection at the most.
Nothing that happens in one delivery ends the loop: what we did wrong is logged, and that delivery tried later.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound import queue
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.queue import Attempt, Booked
from gateway.outbound.retry import Retry
from gateway.outbound.routing import Router
from gateway.outbound.smtp_client import Connection, Outcome, Target, Timeouts, Transaction, connect
from gateway.store.database import Database, StoreUnavailable, to_ms
from gateway.store.messages import EIGHT_BIT, SMTPUTF8

log = structlog.get_logger()

IDLE_SECONDS = 5.0  # how long an open connection waits for another message
DOWN_SECONDS = 30.0  # after nobody answered, what waits for that destination is not dialled for so long
HELD_BYTES = 64 * 2**20  # of messages kept in memory between door and connection; beyond it they are read again
IN_FLIGHT = 2000  # booked deliveries that one node holds
POLL_SECONDS = 1.0
MEND_SECONDS = 30.0  # how often the summaries of tenants are compared with their queues
CRASHES = 3  # failures on our side after which a delivery waits for a person
CRASHED = f"the gateway failed {CRASHES} times while sending it; its log says why"

Compose = Callable[[Booked], Awaitable[Booked | None]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once. `lease_ms` is how long a booked attempt is ours."""

    connections: int = 200
    per_destination: int = 20
    lease_ms: int = 900_000
    timeouts: Timeouts = field(default_factory=Timeouts)


class Destination:
    """What waits for one destination, and who serves it."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiting: deque[Booked] = deque()
        self.serving = 0
        self.idle: list[asyncio.Future[Booked | None]] = []
        self.down: DeliveryStatus | None = None  # why nobody was reached
        self.down_until = 0.0


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
        retry: Retry,
        pace: Pace,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._letterhead = letterhead
        self._router = router
        self._compose = compose
        self._node = node
        self._retry = retry
        self._pace = pace
        self._clock = clock
        self._destinations: dict[str, Destination] = {}
        self._starved: deque[Destination] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving = 0
        self._in_flight = 0
        self._held = 0
        self._poke = asyncio.Event()
        self._stopping = False
        self._mend_at = 0.0

    # -- taking in

    def has_room(self) -> bool:
        """Whether the door may book for this node."""
        return self._in_flight < IN_FLIGHT and not self._stopping

    def offer(self, booked: Sequence[Booked]) -> None:
        """Take deliveries that are booked for this node and committed. Called on the event loop."""
        for made in booked:
            self._in_flight += 1
            size = len(made.raw or b"")
            if self._held + size > HELD_BYTES:
                made, size = replace(made, raw=None), 0  # it will be read again
            self._held += size
            self._place(made)

    def _place(self, made: Booked) -> None:
        key = self._router.route.destination(made)
        destination = self._destinations.get(key)
        if destination is None:
            destination = self._destinations[key] = Destination(key)
        while destination.idle:
            waiter = destination.idle.pop()
            if not waiter.done():
                waiter.set_result(made)
                return
        destination.waiting.append(made)
        if destination.serving < self._pace.per_destination:
            self._serve_more(destination)

    def _serve_more(self, destination: Destination) -> None:
        if self._serving >= self._pace.connections:
            if destination.serving == 0 and destination not in self._starved:
                self._starved.append(destination)
                self._end_one_idle()
            return
        destination.serving += 1
        self._serving += 1
        task = asyncio.get_running_loop().create_task(self._serve(destination))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end_one_idle(self) -> None:
        for destination in self._destinations.values():
            for waiter in destination.idle:
                if not waiter.done():
                    waiter.set_result(None)
                    return

    # -- the loop

    async def run(self) -> None:
        """Claim what is due, for ever; survives every exception but cancellation."""
        recovered = await self._patiently(queue.recover, self._pace.lease_ms)
        if recovered:
            log.info("delivery.recovered", deliveries=recovered)
        while not self._stopping:
            claimed = 0
            try:
                await self._mend_now_and_then()
                claimed = await self._claim()
            except Exception as error:
                log.error("delivery.claim_failed", error=type(error).__name__, exc_info=True)
            if not claimed:
                self._poke.clear()
                try:
                    await asyncio.wait_for(self._poke.wait(), POLL_SECONDS)
                except TimeoutError:
                    continue

    async def _patiently(self, function: Callable[..., int], lease_ms: int) -> int:
        while True:
            try:
                return await self._database.write(function, to_ms(self._clock()), self._node, lease_ms)
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
            waiting += destination.waiting
            destination.waiting.clear()
            for waiter in destination.idle:
                if not waiter.done():
                    waiter.set_result(None)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if waiting:
            await self._database.write(queue.unbook, to_ms(self._clock()), waiting)

    # -- one connection's life

    async def _serve(self, destination: Destination) -> None:
        connection: Connection | None = None
        try:
            made = self._next(destination)
            while made is not None:
                connection = await self._deliver_surely(destination, made, connection)
                self._in_flight -= 1
                self._held -= len(made.raw or b"")
                made = self._next(destination) or await self._linger(destination, connection)
        finally:
            destination.serving -= 1
            self._serving -= 1
            self._feed_starved(destination)
            if connection is not None:
                await connection.quit()

    def _next(self, destination: Destination) -> Booked | None:
        return destination.waiting.popleft() if destination.waiting else None

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
        if ended.waiting and ended not in self._starved and not self._stopping:
            self._starved.append(ended)
        while self._starved and self._serving < self._pace.connections:
            destination = self._starved.popleft()
            if destination.waiting and destination.serving < self._pace.per_destination:
                self._serve_more(destination)
        if not ended.waiting and not ended.serving and self._destinations.get(ended.key) is ended:
            del self._destinations[ended.key]

    # -- one delivery

    async def _deliver_surely(
        self, destination: Destination, made: Booked, connection: Connection | None
    ) -> Connection | None:
        """Deliver; whatever goes wrong on our side costs this delivery one wait."""
        try:
            async with asyncio.timeout(max(self._pace.lease_ms / 1000 - 30, 30)):
                return await self._deliver(destination, made, connection)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if connection is not None:
                connection.abort()
            log.error(
                "delivery.failed_here", tenant=made.tenant_id, message=made.message_id, number=made.number,
                error=type(error).__name__, exc_info=True,
            )  # fmt: skip
            ours = DeliveryStatus(Action.DELAYED, "4.3.0", 0, "the gateway failed while sending", "", "unknown")
            await self._settle(made, Attempt(ours, "gateway"))
            if made.attempts >= CRASHES:
                await self._database.write(queue.park, to_ms(self._clock()), made, CRASHED)
            return None

    async def _deliver(
        self, destination: Destination, made: Booked, connection: Connection | None
    ) -> Connection | None:
        ready = made if made.raw is not None else await self._compose(made)
        if ready is None:  # it could not be rendered: held, and the thread says why
            return connection
        if connection is not None and not connection.reusable:
            connection = None
        used = connection is not None
        started = asyncio.get_running_loop().time()
        opened = connection or await self._open(destination, ready)
        if isinstance(opened, DeliveryStatus):
            await self._settle(made, Attempt(opened, "connect", milliseconds=_since(started)))
            return None
        outcome = (await opened.send(self._transaction(ready)))[0]
        if used and _was_stale(outcome):
            fresh = await self._open(destination, ready)
            if isinstance(fresh, Connection):
                opened, outcome = fresh, (await fresh.send(self._transaction(ready)))[0]
        how = Attempt(outcome.status, outcome.stage, outcome.tls, int(outcome.seconds * 1000), outcome.unclear)
        await self._settle(made, how)
        return opened

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

    async def _open(self, destination: Destination, made: Booked) -> Connection | DeliveryStatus:
        """Dial the destination's servers in turn; remembers for a little while that nobody answered."""
        now = asyncio.get_running_loop().time()
        if destination.down is not None and now < destination.down_until:
            return destination.down
        targets = await self._router.find(made, self._clock())
        if isinstance(targets, DeliveryStatus):
            return targets
        answer: Connection | DeliveryStatus | None = None
        for target in targets:
            answer = await self._dial(target)
            if isinstance(answer, Connection):
                destination.down = None
                return answer
        assert isinstance(answer, DeliveryStatus)
        destination.down = answer
        destination.down_until = asyncio.get_running_loop().time() + DOWN_SECONDS
        return answer

    async def _dial(self, target: Target) -> Connection | DeliveryStatus:
        answer = await connect(target, self._pace.timeouts)
        broken_tls = isinstance(answer, DeliveryStatus) and answer.status == "4.7.5"
        if broken_tls and target.tls == "opportunistic" and target.login is None:
            return await connect(replace(target, tls="off"), self._pace.timeouts)  # RFC 3207: better than no mail
        return answer

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


def _was_stale(outcome: Outcome) -> bool:
    """A kept connection that had gone: nothing of this message was taken, so a fresh one may try at once."""
    passing = not outcome.status.permanent and not outcome.unclear
    return passing and outcome.stage == "mail" and outcome.status.code in (0, 421)


def _since(started: float) -> int:
    return int((asyncio.get_running_loop().time() - started) * 1000)
