"""awa-pg: claims and finishes in Rust, the handler is a coroutine in Python; append-only storage in Postgres."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from awa import AsyncClient  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, parameters, rest, started

QUEUE = "noop"


@dataclass(frozen=True)
class Noop:
    index: int
    recipient: str
    template: str


async def noop(job: Any) -> None:
    started(job.args.index)


class Submitter:
    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def one(self, index: int) -> None:
        await self._client.insert(Noop(**parameters(index)), queue=QUEUE)

    async def many(self, indexes: Sequence[int]) -> None:
        await self._client.enqueue_many_copy([Noop(**parameters(index)) for index in indexes], queue=QUEUE)


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        # It requires a host in the URL, although it uses the one in the parameter, which is the folder of the socket.
        self._url = plan.url.replace("@/", "@localhost/")

    async def prepare(self) -> None:
        async with AsyncClient(self._url) as client:
            await client.migrate()
            await client.install_queue_storage()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        async with AsyncClient(self._url, max_connections=16) as client:
            yield Submitter(client)

    async def work(self) -> None:
        async with AsyncClient(self._url, max_connections=20) as client:
            client.task(Noop, queue=QUEUE)(noop)
            await client.start([{"name": QUEUE, **self.plan.settings}])
            await rest()
