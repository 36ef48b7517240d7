"""PgQueuer: one asyncpg connection claims a batch and writes ends in batches; LISTEN/NOTIFY wakes it."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
from pgqueuer import AsyncpgDriver, AsyncpgPoolDriver, PgQueuer, Queries  # type: ignore[import-not-found]
from pgqueuer.models import Job  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, parameters, started

POLL = timedelta(seconds=30)


def payload(index: int) -> bytes:
    return json.dumps(parameters(index)).encode()


async def noop(job: Job) -> None:
    started(json.loads(job.payload)["index"])


class Submitter:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def one(self, index: int) -> None:
        await self._queries.enqueue("noop", payload(index), 0)

    async def many(self, indexes: Sequence[int]) -> None:
        count = len(indexes)
        await self._queries.enqueue(["noop"] * count, [payload(index) for index in indexes], [0] * count)


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    async def prepare(self) -> None:
        connection = await asyncpg.connect(self.plan.url)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        async with asyncpg.create_pool(self.plan.url, min_size=4, max_size=16) as pool:
            yield Submitter(Queries(AsyncpgPoolDriver(pool)))

    async def work(self) -> None:
        queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(self.plan.url)))
        queue.entrypoint("noop")(noop)
        await queue.run(batch_size=self.plan.settings["batch_size"], dequeue_timeout=POLL)
