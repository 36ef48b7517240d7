"""Natural batching: items that arrive during a statement go together in the next one.

An idle service adds no delay, a busy one gets the throughput of bulk statements. One flusher is faster than two, and
than any fixed window. The buffer is bounded: a full one makes callers wait, and then refuses them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from duly.errors import Overloaded
from duly.lifecycle.writes.bisection import record_bisecting
from duly.store.postgres.database import DatabaseOutage, RecordRefused
from duly.store.postgres.error_classes import STOPPED

Item = TypeVar("Item")
Result = TypeVar("Result")


# A batch of this size gains nothing from reading more first.
ENOUGH = 32


async def read_sockets() -> None:
    """Lets the event loop read what has arrived on its sockets: one round to read, one for the tasks that start.

    Costs an idle service some microseconds; on a busy machine half as many statements do the same work.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class Batcher(Generic[Item, Result]):
    """Collects items from many callers, records them together, and gives each caller its result.

    Args:
        record: records items, all or nothing, and returns a result for each, in order.
        capacity: number of items that may wait.
        batch: number of items in one statement.
        patience_seconds: time that a caller waits for room before it is refused.
        what: name of the items in that refusal.
    """

    def __init__(
        self,
        record: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        capacity: int,
        batch: int,
        patience_seconds: float = 1.0,
        what: str = "submissions",
    ) -> None:
        self._items = what
        self._record = record
        self._capacity = capacity
        self._batch = batch
        self._patience_seconds = patience_seconds
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.in_flight = 0

    def put(self, item: Item) -> Awaitable[Result]:
        """Adds an item, at once if there is room. Returns an awaitable of its result, once it is recorded.

        Raises:
            Overloaded: there was no room in time.
            DatabaseOutage, RecordRefused: raised by `record` for this item.
        """
        return self._add(item) if len(self._waiting) < self._capacity else self._put_later(item)

    async def _put_later(self, item: Item) -> Result:
        await self._wait_for_room()
        return await self._add(item)

    def _add(self, item: Item) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        return future

    async def put_many(self, items: Sequence[Item]) -> list[Result | Exception]:
        """Adds items and waits until they are recorded. Returns the result of each, or its error.

        Raises:
            Overloaded: there was no room in time; nothing was recorded.
        """
        if not items:
            return []
        if len(self._waiting) >= self._capacity:
            await self._wait_for_room()
        create = asyncio.get_running_loop().create_future
        futures: list[asyncio.Future[Result]] = [create() for _ in items]
        self._waiting += zip(items, futures, strict=True)
        self._arrived.set()
        results: list[Result | Exception] = []
        for future in futures:
            try:
                results.append(await future)
            except Exception as error:  # noqa: BLE001  # of this item alone
                results.append(error)
        return results

    async def _wait_for_room(self) -> None:
        """Waits until the buffer has room.

        Raises:
            Overloaded: it had none in time.
        """
        try:
            async with asyncio.timeout(self._patience_seconds):
                while len(self._waiting) >= self._capacity:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise Overloaded(
                "The service is overloaded. Retry later.",
                reason=f"{self._capacity:,} {self._items} are waiting for the database.",
            ) from None

    async def step(self) -> float:
        """Runs one round of a flusher's loop: waits for items, records them, and resolves their callers' futures."""
        while not self._waiting:  # another flusher may have been faster
            await self._arrived.wait()
        if len(self._waiting) < ENOUGH:
            await read_sockets()
        batch, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
        if not self._waiting:
            self._arrived.clear()
        self._room.set()
        self.in_flight += len(batch)
        try:
            await self._settle(batch)
        finally:
            self.in_flight -= len(batch)
            for _, future in batch:
                if not future.done():
                    future.set_exception(DatabaseOutage("the service stopped before this was recorded", STOPPED))
        return 0

    async def _settle(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        """Records a batch; where one item is refused, by halves, so that the others are recorded."""

        async def record(part: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
            results = await self._record([item for item, _ in part])
            for (_, future), result in zip(part, results, strict=True):
                _resolve(future, result)

        bisected = await record_bisecting(batch, record, statement=self._items, splits=RecordRefused)
        for (_, future), error in bisected.refused:
            _resolve(future, error)
        for _, future in bisected.left:
            _resolve(future, bisected.away or DatabaseOutage("this was not recorded"))

    @property
    def idle(self) -> bool:
        """True if nothing waits and nothing is being recorded."""
        return not self._waiting and not self.in_flight


def _resolve(future: "asyncio.Future[Result]", result: Result | Exception) -> None:
    if future.done():  # its caller was cancelled
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
