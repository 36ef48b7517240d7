"""Dispatcher: takes due webhooks from the outbox, has them sent, and passes the results to the settler."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from duly.domain.ids import SMALLEST, earlier
from duly.store.postgres.database import Connection, Database
from duly.store.webhooks.delivery_attempts import AttemptResult, DeliveryOutcome, SettledCounts
from duly.store.webhooks.take_deliveries import (
    DueDelivery,
    Rooms,
    has_gated,
    put_back_if_held,
    seconds_to_next,
    take_due,
    take_gated,
)
from duly.webhooks.receiver_windows import CONCURRENT, PATIENCE_SECONDS, ROUND, ReceiverWindows, Turn
from duly.webhooks.sender import Sender
from duly.webhooks.settler import Settler

log = structlog.stdlib.get_logger("duly.dispatcher")

# Delay of deliveries that a receiver is too slow for.
PUT_BACK_SECONDS = (1.0, 5.0)
# A delivery is held for one exchange, the wait for its turn, and this time to be recorded.
SPARE_SECONDS = 5.0
LONGEST_LOOK_SECONDS = 1.0
SHORTEST_LOOK_SECONDS = 0.05
# Webhooks of jobs that are older by more than this than the newest of the round before take a second statement.
TOGETHER_SECONDS = 86_400.0


class Dispatcher:
    """Delivery loop of one node.

    Args:
        post_seconds: bound of one exchange.
    """

    def __init__(self, database: Database, sender: Sender, settler: Settler, *, post_seconds: float) -> None:
        self._connection = database.hot()
        self._sender = sender
        self._posts: set[asyncio.Task[None]] = set()
        self._receivers = ReceiverWindows()
        self._hold_seconds = post_seconds + PATIENCE_SECONDS + SPARE_SECONDS
        self._after = SMALLEST
        self._since = SMALLEST
        self._gated = True
        self._gated_asked_at = float("-inf")
        self.wake: Callable[[], None] = lambda: None
        self._freed = asyncio.Event()
        self._draining = False
        self.settler = settler
        settler.recorded = self._settled

    async def step(self) -> float:
        """Takes due webhooks and starts to post them. Returns the seconds to rest."""
        while self._full and not self._draining:
            await self._room()
        if self._draining:
            return LONGEST_LOOK_SECONDS
        async with self._connection.use() as connection:
            due, more = await self._take(connection)
            crowded = self._receivers.take_stale() + self._begin(due)
            if crowded:
                await put_back_if_held(connection, crowded, seconds=random.uniform(*PUT_BACK_SECONDS))  # noqa: S311
            return 0.0 if more else _pause(await seconds_to_next(connection))

    async def _take(self, connection: Connection) -> tuple[list[DueDelivery], bool]:
        """Returns webhooks to send, and whether to look again at once: after a full round the next one begins with
        other receivers, and a receiver may have room again. A round that took all that was due is not repeated: what
        becomes due later wakes the loop.
        """
        limit = min(ROUND, CONCURRENT - len(self._posts))
        rooms = self._receivers.rooms()
        held, since = self._hold_seconds, self._since
        due = await take_due(connection, limit=limit, hold_seconds=held, rooms=rooms, after=self._after, since=since)
        turned = self._after != SMALLEST
        self._after = max(delivery.receiver_id for delivery in due) if len(due) == limit else SMALLEST
        if len(due) < limit and await self._any_gated(connection):
            due += await take_gated(connection, limit=limit - len(due), hold_seconds=held, rooms=rooms, since=since)
        if due:
            self._since = earlier(max(delivery.job_id for delivery in due), seconds=TOGETHER_SECONDS)
        return due, turned or bool(due and (self._gated or len(due) == limit or _uses_up(rooms, due)))

    async def _any_gated(self, connection: Connection) -> bool:
        """Returns whether receivers are held back, as of a second ago."""
        if time.monotonic() - self._gated_asked_at >= LONGEST_LOOK_SECONDS:
            self._gated = await has_gated(connection)
            self._gated_asked_at = time.monotonic()
        return self._gated

    @property
    def _full(self) -> bool:
        """Returns whether to take no more for now: enough posts are in progress, unrecorded, or waiting for receivers
        that are fast.
        """
        return len(self._posts) >= CONCURRENT or self.settler.waiting >= CONCURRENT or self._receivers.well_supplied

    async def _room(self) -> None:
        """Waits until something ends; with a bound, because nothing ends at a receiver that hangs."""
        self._freed.clear()
        try:
            async with asyncio.timeout(SHORTEST_LOOK_SECONDS):
                await self._freed.wait()
        except TimeoutError:
            pass

    def _begin(self, due: Sequence[DueDelivery]) -> list[DueDelivery]:
        """Starts the posts that are allowed; returns deliveries whose receiver has too many waiting."""
        turns = [(delivery, self._receivers.admit(delivery)) for delivery in due]
        for delivery, turn in turns:
            if turn is Turn.NOW:
                self._start(delivery)
        return [delivery for delivery, turn in turns if turn is Turn.CROWDED]

    def _start(self, delivery: DueDelivery) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(delivery))
        self._posts.add(task)
        task.add_done_callback(self._ended)

    async def _deliver(self, delivery: DueDelivery) -> None:
        """Sends this delivery, and then those that waited for their turn at the same receiver."""
        following: DueDelivery | None = delivery
        while following is not None:
            well = cut = False
            try:
                attempt = await self._sender.send(following)
                well, cut = not attempt.fails, attempt.cut
                self.settler.put(attempt)
            except Exception:  # internal error: this one is due again when its hold ends; the next must not wait
                log.exception("internal error in a delivery", action="delivery_broken", job_id=str(following.job_id))
            more = self._receivers.ended(following, well=well, cut=cut)
            self._freed.set()
            if self._draining:
                return
            following = more[0] if more else None
            for another in more[1:]:
                self._start(another)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._posts.discard(task)
        self._freed.set()

    def _settled(self, attempts: Sequence[AttemptResult], settled: SettledCounts) -> None:
        """Handles recorded results: there is room again, and deliveries behind these, or retries, may be due before the
        next look.
        """
        self._sender.counts.count()
        self._freed.set()
        if settled.heals:
            self._gated_asked_at = float("-inf")
        soon = any(
            one.outcome is DeliveryOutcome.TRY_AGAIN and one.delay_seconds < LONGEST_LOOK_SECONDS for one in attempts
        )
        if settled.frees or settled.heals or self._gated or soon:
            self.wake()

    def stop_taking(self) -> None:
        """Stops after the round in progress."""
        self._draining = True
        self._freed.set()

    async def drain(self, grace_seconds: float) -> None:
        """Waits up to `grace_seconds` for posts in progress to end and be recorded; other nodes take over the rest when
        its hold expires.
        """
        try:
            async with asyncio.timeout(grace_seconds):
                while self._posts:
                    await asyncio.wait(self._posts)
                await self.settler.drained()
        except TimeoutError:
            pass
        finally:
            for task in self._posts:
                task.cancel()


def _uses_up(rooms: Rooms, due: Sequence[DueDelivery]) -> bool:
    """Returns whether a receiver got as many deliveries as it had room for."""
    taken = Counter(delivery.receiver_id for delivery in due)
    return any(count >= rooms.known.get(receiver_id, rooms.others) for receiver_id, count in taken.items())


def _pause(seconds_to_next: float | None) -> float:
    """Returns the seconds to rest after a round that took nothing. A due webhook may still have to wait, for hours, so
    there is a minimum.
    """
    if seconds_to_next is None:
        return LONGEST_LOOK_SECONDS
    return min(max(seconds_to_next, SHORTEST_LOOK_SECONDS), LONGEST_LOOK_SECONDS)
