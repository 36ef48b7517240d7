"""Service in the event loop of the test: real HTTP on a free port, and a real database."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from duly.cli.database_wait import DatabaseWait
from duly.cli.http_server import http_server
from duly.domain.builtin_types import chosen_builtin_types
from duly.domain.database_clock import DatabaseClock
from duly.domain.sealing import Keyring
from duly.handlers.discovery import load_registry
from duly.handlers.http_request import client_for_jobs
from duly.node import Node
from duly.settings import Settings
from duly.store.postgres.database import Database
from tests.support.invariants import violations
from tests.support.reused_connections import asking, open_database
from tests.support.shared_routes import app_of

# Bound of each wait, which only ends a hang: a machine may be five times slower, and pause.
BOUND_SECONDS = 60.0
# Bound of a stream that a test follows while it waits for several things.
STREAM_SECONDS = 240.0
SECRET_KEYS = f"tests:{'A' * 43}="  # a key for tests: 32 zero bytes
# Reading all CA certificates takes longer than starting a node.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
KEYRING = Keyring.read(SECRET_KEYS)


@dataclass
class ServiceClient:
    """Requests of a test to a service in any process."""

    url: str
    database_url: str
    client: httpx.AsyncClient

    async def submit(self, type_: str, parameters: Any = None, **members: Any) -> dict[str, Any]:
        """Submits a job and expects 202; retries if the service is overloaded on a busy machine."""
        body = {"type": type_, "parameters": {} if parameters is None else parameters, **members}

        async def accepted() -> dict[str, Any] | None:
            answer = await self.client.post("/api/v1/jobs", json=body)
            if answer.status_code == 503 and answer.json()["error"]["code"] in {"OVERLOADED", "CELL_AWAY"}:
                return None
            assert answer.status_code == 202, answer.text
            view: dict[str, Any] = answer.json()
            return view

        view: dict[str, Any] = await eventually(accepted)
        return view

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    async def until(self, job_id: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Returns the job once it meets the condition, by long poll; fails after a time limit."""
        async with asyncio.timeout(BOUND_SECONDS):
            view = await self.job(job_id)
            while not reached(view):
                headers = {"If-None-Match": f'"{view["sequence"]}"'}
                await self.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 1}, headers=headers)
                view = await self.job(job_id)
        return view

    async def ended(self, job_id: str) -> dict[str, Any]:
        return await self.until(job_id, lambda view: view["status"] in {"completed", "failed", "cancelled"})

    async def run(self, type_: str, parameters: Any = None, **members: Any) -> dict[str, Any]:
        """Submits a job and waits for its end."""
        return await self.ended((await self.submit(type_, parameters, **members))["jobId"])

    async def is_ready(self) -> bool:
        """Returns whether the service says that it is ready. On a slow machine, it may not know in time."""
        return (await self.client.get("/readyz")).status_code == 200

    async def events(self, job_id: str) -> list[dict[str, Any]]:
        answer = await self.client.get(f"/api/v1/jobs/{job_id}/events", params={"limit": 200})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def event_types(self, job_id: str) -> list[str]:
        return [event["eventType"] for event in await self.events(job_id)]

    async def make_due(self) -> None:
        """Ends the time for which jobs wait."""
        await self.sql("update scheduled set run_at = now()")

    async def drop(self, job_id: str) -> None:
        """Deletes a finished job from the ledger, as retention does."""
        await self.sql("delete from events where job_id = $1", UUID(job_id))
        await self.sql("delete from jobs where job_id = $1", UUID(job_id))

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Runs a statement on a connection of the tests."""
        async with asking(self.database_url) as connection:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows

    @asynccontextmanager
    async def connection(self, id_: str | UUID | None = None) -> AsyncIterator[Any]:
        """Yields a connection of the test's own to the cell of an id, or to the one that `sql_in_one` asks."""
        connection = await asyncpg.connect(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    def database(self) -> Database:
        """Returns the database of the cell that `sql_in_one` asks, for statements of the store."""
        return Database(self.database_url)

    async def total(self, statement: str, *arguments: Any) -> int:
        """Returns the number that a statement selects, summed over all cells of the service."""
        return sum(int(row[0]) for row in await self.sql(statement, *arguments))

    async def sql_in_one(self, statement: str, *arguments: Any) -> list[Any]:
        """Runs a statement in one cell of the service, always the same."""
        return await self.sql(statement, *arguments)

    async def sql_in_all(self, statement: str, *arguments: Any) -> list[Any]:
        """Runs a statement in all cells of the service, whichever ids it is about."""
        return await self.sql(statement, *arguments)

    async def alter(self, statement: str) -> None:
        """Changes the schema of the running service; retries after a deadlock with its statements."""

        async def altered() -> bool:
            try:
                await self.sql(statement)
            except asyncpg.DeadlockDetectedError:
                return False
            return True

        await eventually(altered)


@dataclass
class Service(ServiceClient):
    """Running node in the event loop of the test."""

    node: Node

    @property
    def nodes(self) -> list[Node]:
        """Returns the nodes of all cells: one with a single database."""
        return [self.node]

    def node_of(self, id_: str | UUID) -> Node:
        """Returns the node of the cell of an id."""
        return self.node

    def key_beside(self, id_: str | UUID, text: str) -> str:
        """Returns a key that begins with a text, in the cell of an id."""
        return text

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Lets the service go down for the block, as requests see it."""
        for node in self.nodes:
            node.draining = True
        try:
            yield
        finally:
            for node in self.nodes:
                node.draining = False

    async def beat(self) -> None:
        """Sends a heartbeat to each cell."""
        for node in self.nodes:
            await node.heartbeat.step()

    async def violations(self) -> list[str]:
        """Returns the violated invariants of all cells."""
        return await violations(self.database_url)

    def newest_first(self, ids: Sequence[str]) -> list[str]:
        """Returns ids of jobs in the order of lists, given the order of their submissions."""
        return list(reversed(ids))

    async def whole(self, path: str, **options: Any) -> httpx.Response:
        """Returns the response to a GET that reads all cells."""
        return await self.client.get(path, **options)

    def written(self, capfd: pytest.CaptureFixture[str]) -> str:
        """Returns all that was written to the terminal, with the lines of the access log that are still collected."""
        self.node.access.flush()
        return "".join(capfd.readouterr())


async def eventually(look: Callable[[], Awaitable[Any]], *, seconds: float = BOUND_SECONDS) -> Any:
    """Polls until the result is true, with a time limit, for conditions without a signal."""
    async with asyncio.timeout(seconds):
        while not (seen := await look()):
            await asyncio.sleep(0.02)
    return seen


def settings_of_tests(**settings: Any) -> Settings:
    """Returns the settings of a service with the tests' handlers."""
    return Settings(
        **{
            "port": 0,
            "handlers": ("tests.support.handlers",),
            "webhook_allow_networks": ("127.0.0.0/8",),
            "shutdown_grace_seconds": 0.2,
            # A slow machine may stop the event loop of the tests for seconds.
            "lease_seconds": 15,
            "webhook_connect_seconds": 15,
            **settings,
        }
    )


@asynccontextmanager
async def running_service(
    database_url: str, *, keyring: Keyring = KEYRING, clock: DatabaseClock | None = None, **settings: Any
) -> AsyncIterator[Service]:
    """Starts a node with the tests' handlers and its HTTP server; drains and stops it after the block."""
    chosen = settings_of_tests(**settings)
    database = open_database(
        database_url,
        connections=chosen.database_connections,
        transaction_pooling=chosen.transaction_pooling,
        schema=chosen.database_schema,
    )
    builtin = chosen_builtin_types(chosen.builtin_types)
    registry = load_registry(chosen.handlers, client=client_for_jobs(chosen), builtin=builtin)
    node = Node(chosen, database, registry, webhook_secret="whsec_dGVzdA==", keyring=keyring, clock=clock)
    # As `duly serve` does: registering has a time limit, which a slow machine may exceed.
    await DatabaseWait(BOUND_SECONDS, asyncio.Event()).retried(node.start)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(512)
    http = http_server(node, app_of(node))
    serving = asyncio.create_task(http.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    await asyncio.wait_for(http.accepting.wait(), BOUND_SECONDS)
    async with httpx.AsyncClient(base_url=url, timeout=BOUND_SECONDS, verify=NO_TLS) as client:
        try:
            yield Service(url, database_url, client, node)
        finally:
            await node.drain()
            http.stop()
            await serving
            await node.stop()
            listening.close()
