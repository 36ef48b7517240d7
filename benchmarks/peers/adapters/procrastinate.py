"""Procrastinate: psycopg, one job per query, LISTEN/NOTIFY; finished jobs are kept, as by default."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import procrastinate  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, parameters, started

logging.disable(logging.WARNING)


async def noop(index: int, recipient: str, template: str) -> None:
    del recipient, template
    started(index)


class Submitter:
    def __init__(self, task: Any) -> None:
        self._task = task

    async def one(self, index: int) -> None:
        await self._task.defer_async(**parameters(index))

    async def many(self, indexes: Sequence[int]) -> None:
        await self._task.batch_defer_async(*(parameters(index) for index in indexes))


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        connector = procrastinate.PsycopgConnector(conninfo=plan.url, min_size=4, max_size=20)
        self._app = procrastinate.App(connector=connector)
        self._task = self._app.task(queue="default", name="noop")(noop)

    async def prepare(self) -> None:
        async with self._app.open_async():
            await self._app.schema_manager.apply_schema_async()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        async with self._app.open_async():
            yield Submitter(self._task)

    async def work(self) -> None:
        async with self._app.open_async():
            await self._app.run_worker_async(concurrency=self.plan.settings["concurrency"], listen_notify=True)
