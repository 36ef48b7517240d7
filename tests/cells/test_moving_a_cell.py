"""A cell moves to another server by the commands of the documentation, with nothing lost and streams that go on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from duly.cli.prepare_database import prepare
from duly.embedded.folder import programs
from duly.store.postgres.database import Database
from tests.support import handlers as signals
from tests.support.invariants import violations_on
from tests.support.moved_cells import run_commands
from tests.support.postgres_servers import Server, server_of
from tests.support.service import BOUND_SECONDS, Service, eventually, running_service
from tests.support.tenant_stream import Frame, following_all

SCHEMA, ROLE = "cell_2", "duly"
UNFINISHED = "select (select count(*) from ready) + (select count(*) from running)"


@pytest.fixture(scope="module")
def servers(embedded_server_18: Server) -> Iterator[tuple[Server, Server]]:
    """Yields two servers of the embedded programs, which the embedded server has made accessible to its user."""
    logical = "-c wal_level=logical -c max_locks_per_transaction=256"
    with server_of(programs(), "old", logical) as old, server_of(programs(), "new") as new:
        yield old, new


class Places:
    """The cell's old and new place. `old` and `new` are for the operator, `url_of` is for the service."""

    def __init__(self, servers: tuple[Server, Server], database: str, folder: Path) -> None:
        self.old, self.new = (server.url_of(database) for server in servers)
        self.folder = folder
        self.variables = {"OLD": self.old, "NEW": self.new, "SCHEMA": SCHEMA, "ROLE": ROLE}

    async def run(self, beginning: str) -> str:
        return await run_commands(beginning, self.variables, self.folder)


def url_of(place: str) -> str:
    return place.replace("postgres@", f"{ROLE}@", 1)


@pytest.fixture(params=["dump", "replication"])
async def places(request: pytest.FixtureRequest, servers: tuple[Server, Server], tmp_path: Path) -> Places:
    database = f"by_{request.param}"
    for server in servers:
        connection = await asyncpg.connect(server.url_of("postgres"))
        await connection.execute(f"do $$ begin create role {ROLE} login; exception when others then null; end $$")
        await connection.execute(f"alter role {ROLE} login")
        await connection.execute(f"create database {database}")
        await connection.execute(f"grant create on database {database} to {ROLE}")
        await connection.close()
    return Places(servers, database, tmp_path)


@asynccontextmanager
async def serving(place: str) -> AsyncIterator[Service]:
    database = Database(url_of(place), schema=SCHEMA)
    await prepare(database, migrates=True)
    await database.close()
    async with running_service(url_of(place), database_schema=SCHEMA, lease_seconds=3) as service:
        yield service


async def moved_by_dump(places: Places, service: Service) -> None:
    await places.run('psql -v ON_ERROR_STOP=1 "$OLD" -c "alter role')
    await places.run("pg_dump -Fc")


async def moved_by_replication(places: Places, service: Service) -> None:
    await places.run("pg_dump --schema-only")
    await service.run("echo", {"while": "it is copied"})
    await places.run('psql -v ON_ERROR_STOP=1 "$OLD" -c "alter role')
    await places.run("LAST=")


WAYS: dict[str, Callable[[Places, Service], Any]] = {"dump": moved_by_dump, "replication": moved_by_replication}


async def test_a_cell_moves_with_all_jobs_and_streams_go_on(places: Places, request: pytest.FixtureRequest) -> None:
    signals.forget()
    way = request.node.callspec.params["places"]
    accepted: list[str] = []
    async with serving(places.old) as service:
        ended = await service.run("progress", {"steps": 3})
        waiting = await service.submit("wait-for-gate", concurrencyKey="customer")
        await signals.has_entered("default").wait()
        keyed = await service.submit("echo", concurrencyKey="customer")
        async with following_all(service) as frames:
            begin = await anext(frames)
            load = asyncio.create_task(submit_until_away(service, accepted))
            await WAYS[way](places, service)
            await load
    await release(places.old)
    signals.gate("default").set()
    async with serving(places.new) as service, following_all(service, last_event_id=begin.id) as frames:
        for job_id in (waiting["jobId"], keyed["jobId"], *accepted):
            assert (await service.ended(job_id))["status"] == "completed"
        assert (await service.job(ended["jobId"]))["result"] == ended["result"]
        last = await service.run("echo", {"after": "the move"})
        seen = await seen_until(frames, last["jobId"])
        assert {*accepted, keyed["jobId"]} <= {place[0] for place in seen}
        assert len(seen) == len(set(seen))
        await service.client.post("/api/v1/tenants", json={"tenant": "new"})  # uses a sequence
        await eventually(lambda: idle(places.new))
    assert await checked(places.new) == []
    await places.run('psql "$OLD" -c "drop schema')


async def submit_until_away(service: Service, accepted: list[str]) -> None:
    """Submits jobs until the cell is closed."""
    while True:
        answer = await service.client.post("/api/v1/jobs", json={"type": "echo", "parameters": {}})
        if answer.status_code == 503 and answer.json()["error"]["code"] != "OVERLOADED":
            return
        if answer.status_code == 202:
            accepted.append(answer.json()["jobId"])


async def release(place: str) -> None:
    """Makes sure that nothing is left of the service in the old place; the server ends sessions after their clients."""
    connection = await asyncpg.connect(place)

    async def none_left() -> bool:
        left = await connection.fetchval("select count(*) from pg_stat_activity where usename = $1", ROLE)
        return bool(left == 0)

    await eventually(none_left)
    await connection.close()


async def seen_until(frames: AsyncIterator[Frame], job_id: str) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []
    async with asyncio.timeout(BOUND_SECONDS):
        while not seen or seen[-1][0] != job_id:
            frame = await anext(frames)
            if frame.data is not None:
                seen.append(frame.place)
    return seen


async def idle(place: str) -> bool:
    return bool(await value(place, UNFINISHED) == 0)


async def value(place: str, statement: str) -> Any:
    connection = await asyncpg.connect(url_of(place), server_settings={"search_path": SCHEMA})
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def checked(place: str) -> list[str]:
    connection = await asyncpg.connect(url_of(place), server_settings={"search_path": SCHEMA})
    try:
        return await violations_on(connection)
    finally:
        await connection.close()
