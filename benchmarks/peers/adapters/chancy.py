"""chancy with the asyncio executor, which runs handlers in the worker's event loop, and with eager polling."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chancy import Chancy, Queue, Worker, job  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, parameters, started

logging.disable(logging.WARNING)


async def noop(*, index: int, recipient: str, template: str) -> None:
    del recipient, template
    started(index)


NOOP = job()(noop)


class Submitter:
    def __init__(self, chancy: Chancy) -> None:
        self._chancy = chancy

    async def one(self, index: int) -> None:
        await self._chancy.push(NOOP.job.with_kwargs(**parameters(index)))

    async def many(self, indexes: Sequence[int]) -> None:
        async for _ in self._chancy.push_many([NOOP.job.with_kwargs(**parameters(index)) for index in indexes]):
            pass


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    async def prepare(self) -> None:
        queue = Queue("default", executor=Chancy.Executor.Async, **self.plan.settings)
        async with Chancy(self.plan.url) as chancy:
            await chancy.migrate()
            await chancy.declare(queue, upsert=True)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        async with Chancy(self.plan.url, min_connection_pool_size=4, max_connection_pool_size=16) as chancy:
            yield Submitter(chancy)

    async def work(self) -> None:
        async with Chancy(self.plan.url, max_connection_pool_size=16) as chancy, Worker(chancy) as worker:
            await worker.wait_for_shutdown()
