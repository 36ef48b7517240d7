"""Oban for Python: a producer claims up to the limit of a queue; LISTEN/NOTIFY wakes it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from oban import Oban, worker  # type: ignore[import-not-found]
from oban.schema import install  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, parameters, rest, started


class Noop:
    async def process(self, job: Any) -> None:
        started(job.args["index"])


NOOP = worker(queue="default")(Noop)


class Submitter:
    def __init__(self, oban: Oban) -> None:
        self._oban = oban

    async def one(self, index: int) -> None:
        await self._oban.enqueue(NOOP.new(parameters(index)))

    async def many(self, indexes: Sequence[int]) -> None:
        await self._oban.enqueue_many([NOOP.new(parameters(index)) for index in indexes])


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    async def prepare(self) -> None:
        pool = await Oban.create_pool(self.plan.url)
        await install(pool)
        await pool.close()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        pool = await Oban.create_pool(self.plan.url, min_size=4, max_size=16)
        async with Oban(pool=pool) as oban:
            yield Submitter(oban)
        await pool.close()

    async def work(self) -> None:
        pool = await Oban.create_pool(self.plan.url, max_size=10)
        async with Oban(pool=pool, queues={"default": self.plan.settings["limit"]}):
            await rest()
