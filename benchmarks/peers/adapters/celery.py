"""Celery on Redis, with the thread pool in one process. A bulk call is a series of single calls on one connection."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from celery import Celery  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, parameters, started

OPTIONS = ("--pool", "threads", "--loglevel", "error", "--without-gossip", "--without-mingle", "--without-heartbeat")


def noop(index: int, recipient: str, template: str) -> None:
    del recipient, template
    started(index)


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._app = Celery("benchmark", broker=plan.url)
        self._app.conf.update(
            task_ignore_result=True,
            worker_prefetch_multiplier=plan.settings["prefetch"],
            broker_connection_retry_on_startup=True,
        )
        self._task = self._app.task(name="noop")(noop)

    async def prepare(self) -> None:
        """Redis needs no tables."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator["Peer"]:
        with self._app.producer_pool.acquire() as self._producer:
            yield self

    async def one(self, index: int) -> None:
        self._task.apply_async(kwargs=parameters(index), producer=self._producer)

    async def many(self, indexes: Sequence[int]) -> None:
        for index in indexes:
            await self.one(index)

    async def work(self) -> None:
        concurrency = str(self.plan.settings["concurrency"])
        await asyncio.to_thread(self._app.worker_main, ["worker", "--concurrency", concurrency, *OPTIONS])
