"""taskiq on a Redis stream with acknowledgements. It has no bulk call, so 64 single calls run concurrently."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from taskiq.api import run_receiver_task  # type: ignore[import-not-found]
from taskiq_redis import RedisStreamBroker  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, at_most, parameters, started

CONCURRENT = 64


async def noop(index: int, recipient: str, template: str) -> None:
    del recipient, template
    started(index)


class Submitter:
    def __init__(self, task: Any) -> None:
        self._task = task

    async def one(self, index: int) -> None:
        await self._task.kiq(**parameters(index))

    async def many(self, indexes: Sequence[int]) -> None:
        await at_most(CONCURRENT, self, indexes)


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._broker = RedisStreamBroker(plan.url)
        self._task = self._broker.task(task_name="noop")(noop)

    async def prepare(self) -> None:
        """Starts the broker once, which creates its stream and consumer group."""
        async with self.client():
            pass

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        await self._broker.startup()
        try:
            yield Submitter(self._task)
        finally:
            await self._broker.shutdown()

    async def work(self) -> None:
        self._broker.is_worker_process = True
        await run_receiver_task(self._broker, run_startup=True, **self.plan.settings)
