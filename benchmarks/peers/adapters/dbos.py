"""DBOS: a no-op workflow without steps, on a queue. It has no bulk call, so 16 single calls run concurrently."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from dbos import DBOS, DBOSClient  # type: ignore[import-not-found]

from benchmarks.peers.adapters.harness import Plan, at_most, parameters, rest, started

logging.disable(logging.ERROR)
VERSION = "benchmark"
OPTIONS = {"queue_name": "noop", "workflow_name": "noop", "app_version": VERSION}
CONCURRENT = 16


async def noop(index: int, recipient: str, template: str) -> None:
    del recipient, template
    started(index)


class Submitter:
    def __init__(self, client: DBOSClient) -> None:
        self._client = client

    async def one(self, index: int) -> None:
        await self._client.enqueue_async(OPTIONS, *parameters(index).values())

    async def many(self, indexes: Sequence[int]) -> None:
        await at_most(CONCURRENT, self, indexes)


class Peer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._url = plan.url.replace("postgresql://", "postgresql+psycopg://")

    def _launch(self) -> None:
        DBOS(
            config={
                "name": "benchmark",
                "system_database_url": self._url,
                "run_admin_server": False,
                "application_version": VERSION,
                "log_level": "ERROR",
            }
        )
        DBOS.workflow(name="noop")(noop)
        DBOS.launch()

    async def prepare(self) -> None:
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        self._launch()
        DBOS.register_queue("noop", **self.plan.settings)
        DBOS.destroy()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Submitter]:
        client = DBOSClient(system_database_url=self._url)
        try:
            yield Submitter(client)
        finally:
            client.destroy()

    async def work(self) -> None:
        await asyncio.to_thread(self._launch)
        await rest()
