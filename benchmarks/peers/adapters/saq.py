"""SAQ on Postgres. It has no bulk call, so 16 single calls run concurrently, one for each pooled connection."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from saq import Queue, Worker  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, at_most, parameters, started

logging.disable(logging.WARNING)
CONNECTIONS = 16


async def noop(context: object, *, index: int, recipient: str, template: str) -> None:
    del context, recipient, template
    started(index)


class Submitter:
    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def one(self, index: int) -> None:
        await self._queue.enqueue("noop", **parameters(index))

    async def many(self, indexes: Sequence[int]) -> None:
        await at_most(CONNECTIONS, self, indexes)


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    async def prepare(self) -> None:
        async with self.client():
            pass

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        queue = await self._connected()
        try:
            yield Submitter(queue)
        finally:
            await queue.disconnect()

    async def work(self) -> None:
        settings = self.plan.settings
        await Worker(await self._connected(), functions=[("noop", noop)], concurrency=settings["concurrency"]).start()

    async def _connected(self) -> Queue:
        queue = Queue.from_url(self.plan.url, min_size=4, max_size=CONNECTIONS + 4)
        await queue.connect()
        return queue
