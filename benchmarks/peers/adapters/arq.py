"""arq on Redis, polling. It has no bulk call, so 64 single calls run concurrently."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from arq import ArqRedis, create_pool, func  # type: ignore[import-not-found]
from arq.connections import RedisSettings  # type: ignore[import-not-found]
from arq.worker import Worker  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, at_most, parameters, started

CONCURRENT = 64


async def noop(context: object, index: int, recipient: str, template: str) -> None:
    del context, recipient, template
    started(index)


class Submitter:
    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def one(self, index: int) -> None:
        await self._redis.enqueue_job("noop", **parameters(index))

    async def many(self, indexes: Sequence[int]) -> None:
        await at_most(CONCURRENT, self, indexes)


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._redis = RedisSettings.from_dsn(plan.url)

    async def prepare(self) -> None:
        """Redis needs no tables."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        redis = await create_pool(self._redis)
        try:
            yield Submitter(redis)
        finally:
            await redis.aclose()

    async def work(self) -> None:
        worker = Worker(
            functions=[func(noop, name="noop", keep_result=0)],
            redis_settings=self._redis,
            log_results=False,
            **self.plan.settings,
        )
        await worker.async_run()
