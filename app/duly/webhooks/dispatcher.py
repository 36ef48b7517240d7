"""The dispatcher: takes due webhooks from the outbox, signs and posts them, and settles what came of it."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from duly.lifecycle.gather import Gatherer
from duly.outbound import OutboundAnswer, OutboundClient, OutboundError
from duly.store.database import Database, DatabaseAway, RecordRefused
from duly.store.deliveries import (
    DueDelivery,
    Outcome,
    Tried,
    put_back_if_held,
    seconds_to_next,
    settle_if_held,
    take_due,
)
from duly.telemetry.metrics import Metrics
from duly.webhooks.payload import body_of, headers_of
from duly.webhooks.receivers import Receivers, Turn
from duly.webhooks.verdict import judge

log = structlog.stdlib.get_logger("duly.dispatcher")

CONCURRENT = 512
# What a receiver is too slow for waits so long, untried.
PUT_BACK_SECONDS = (1.0, 5.0)
BATCH = 100
# Longer than the wait for a turn and one exchange together: a webhook is settled before it is due again.
HOLD_SECONDS = 25.0
LONGEST_LOOK_SECONDS = 1.0
SHORTEST_LOOK_SECONDS = 0.05


class Dispatcher:
    """The telling side of one node.

    Args:
        schedule: seconds after the first, second, ... failed try.
        fallback_secret: signs where a job brought no secret, for a signature is always sent.
    """

    def __init__(
        self,
        database: Database,
        outbound: OutboundClient,
        metrics: Metrics,
        *,
        schedule: Sequence[float],
        user_agent: str,
        fallback_secret: str,
    ) -> None:
        self._connection = database.hot()
        self._settling = database.hot()
        self._outbound = outbound
        self._metrics = metrics
        self._schedule = schedule
        self._user_agent = user_agent
        self._fallback_secret = fallback_secret
        self._posts: set[asyncio.Task[None]] = set()
        self._receivers = Receivers()
        self.wake: Callable[[], None] = lambda: None
        self._freed = asyncio.Event()
        self._draining = False
        self.gatherer: Gatherer[Tried, bool] = Gatherer(self._settle, capacity=10 * CONCURRENT, batch=500)

    async def step(self) -> float:
        """One round of its loop: takes what is due and starts to post it. Returns how long to rest."""
        while len(self._posts) >= CONCURRENT and not self._draining:
            self._freed.clear()
            await self._freed.wait()
        if self._draining:
            return LONGEST_LOOK_SECONDS
        async with self._connection.use() as connection:
            limit = min(BATCH, CONCURRENT - len(self._posts))
            due = await take_due(connection, limit=limit, hold_seconds=HOLD_SECONDS)
            pause = 0.0 if due else _pause(await seconds_to_next(connection))
            crowded = self._receivers.take_stale() + self._begin(due)
            if crowded:
                await put_back_if_held(connection, crowded, seconds=random.uniform(*PUT_BACK_SECONDS))  # noqa: S311
        return pause

    def _begin(self, due: Sequence[DueDelivery]) -> list[DueDelivery]:
        """Posts what may be posted; returns those whose receiver has too many waiting."""
        turns = [(delivery, self._receivers.admit(delivery)) for delivery in due]
        for delivery, turn in turns:
            if turn is Turn.NOW:
                self._start(delivery)
        return [delivery for delivery, turn in turns if turn is Turn.CROWDED]

    def _start(self, delivery: DueDelivery) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(delivery))
        self._posts.add(task)
        task.add_done_callback(partial(self._ended, delivery))

    def _ended(self, delivery: DueDelivery, task: asyncio.Task[None]) -> None:
        self._posts.discard(task)
        if (following := self._receivers.ended(delivery)) and not self._draining:
            self._start(following)
        self._freed.set()
        if not task.cancelled() and (error := task.exception()):
            log.error("a delivery broke off", action="delivery_broken", exc_info=error)

    async def _deliver(self, delivery: DueDelivery) -> None:
        tried = judge(delivery, await self._post(delivery), schedule=self._schedule, random=random.random)
        self._observe(delivery, tried)
        try:
            await self.gatherer.put(tried)
            if tried.outcome is Outcome.TRY_AGAIN:
                self.wake()  # it may be due before the next look
        except (DatabaseAway, RecordRefused) as error:
            # The row stays and is due again when its hold ends: sent twice rather than not at all, under the same id.
            log.warning("a try was not recorded", action="delivery_unsettled", error=str(error))

    async def _post(self, delivery: DueDelivery) -> OutboundAnswer | OutboundError:
        """One exchange. Whatever goes wrong is a failed try: one that is not recorded would come back for ever."""
        try:
            body = body_of(delivery)
            headers = headers_of(
                delivery,
                body,
                timestamp=int(time.time()),
                user_agent=self._user_agent,
                secret=delivery.secret or self._fallback_secret,
            )
            return await self._outbound.post(delivery.url, content=body, headers=headers)
        except OutboundError as error:
            return error
        except Exception as error:  # a fault of ours; the receiver's are OutboundErrors
            log.exception("a webhook could not be made", action="delivery_broken", job_id=str(delivery.job_id))
            return OutboundError("BROKEN_ANSWER", f"it was not sent: {type(error).__name__}", duration_seconds=0)

    def _observe(self, delivery: DueDelivery, tried: Tried) -> None:
        self._metrics.deliveries.labels(tried.outcome.name.lower()).inc()
        self._metrics.delivery_seconds.observe(tried.duration_ms / 1000)
        if tried.outcome is not Outcome.DELIVERED:
            log.warning(
                f"a webhook failed: {tried.error}",
                action="delivery_failed",
                job_id=str(delivery.job_id),
                delivery_id=str(delivery.delivery_id),
                attempt=tried.attempt,
                given_up=tried.outcome is Outcome.GIVEN_UP,
                retry_in_seconds=round(tried.delay_seconds, 1) or None,
            )

    async def _settle(self, tried: Sequence[Tried]) -> Sequence[bool]:
        async with self._settling.use() as connection:
            await settle_if_held(connection, tried)
        return [True] * len(tried)

    def stop_taking(self) -> None:
        """The round under way finishes; no other begins."""
        self._draining = True
        self._freed.set()

    async def drain(self, grace_seconds: float) -> None:
        """Lets posts under way end, for so long; what is left is taken up by another node when its hold ends."""
        if self._posts:
            await asyncio.wait(self._posts, timeout=grace_seconds)
        for task in self._posts:
            task.cancel()


def _pause(seconds_to_next: float | None) -> float:
    """How long to rest where nothing could be taken. A webhook that is due may still wait for an earlier one of its
    job, for hours: it must not be asked for without a pause.
    """
    if seconds_to_next is None:
        return LONGEST_LOOK_SECONDS
    return min(max(seconds_to_next, SHORTEST_LOOK_SECONDS), LONGEST_LOOK_SECONDS)
