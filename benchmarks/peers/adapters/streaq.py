"""streaQ on a Redis stream."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from streaq import Worker  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, parameters, started

logging.disable(logging.WARNING)


async def noop(index: int, recipient: str, template: str) -> None:
    del recipient, template
    started(index)


class Submitter:
    def __init__(self, worker: Worker, task: Any) -> None:
        self._worker = worker
        self._task = task

    async def one(self, index: int) -> None:
        await self._task.enqueue(**parameters(index))

    async def many(self, indexes: Sequence[int]) -> None:
        await self._worker.enqueue_many([self._task.enqueue(**parameters(index)) for index in indexes])


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._worker = Worker(redis_url=plan.url, **plan.settings)
        self._task = self._worker.task(name="noop", silent=True)(noop)

    async def prepare(self) -> None:
        """Redis needs no tables."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        async with self._worker:
            yield Submitter(self._worker, self._task)

    async def work(self) -> None:
        await self._worker.run_async()
