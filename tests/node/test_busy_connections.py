"""Connections of a busy process: six, and those of the pool; flows of hot statements take turns on them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import pytest

from duly.lifecycle.maintenance.server_findings import OWN_CONNECTIONS
from duly.settings import Settings
from duly.store.postgres import hot_sessions
from duly.store.postgres.database import Connection, Database, HotConnection
from duly.store.postgres.database_connector import Session
from duly.store.postgres.hot_sessions import BUSY_USES, IDLE_SESSIONS
from tests.support.service import BOUND_SECONDS, Service, running_service
from tests.support.webhook_receiver import Receiver

NAME = "busy-process"
READ_PIDS = f"select pid from pg_stat_activity where application_name = '{NAME}'"  # noqa: S608  # a constant
JOBS = 40


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opens no more sessions for flows that wait, however slow the machine is; then all are not stuck."""
    monkeypatch.setattr(hot_sessions, "LONG_TURN_SECONDS", 10 * BOUND_SECONDS)


def named(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}application_name={NAME}"


async def use_often(flow: HotConnection) -> None:
    for _ in range(3 * BUSY_USES):
        async with flow.use() as connection:
            await connection.execute("select 1")


def recorded_pids(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Returns a set that gets the server processes of all sessions outside the pool."""
    pids: set[int] = set()
    real = Database._connect_hot

    async def connect(database: Database, settings: Mapping[str, str]) -> Session:
        session = await real(database, settings)
        pids.add(session.get_server_pid())
        return session

    monkeypatch.setattr(Database, "_connect_hot", connect)
    return pids


async def run_whole_lives(service: Service, receiver: Receiver) -> None:
    """Submits jobs with webhooks, and waits until they are completed and all webhooks have arrived."""
    answers = await asyncio.gather(
        *(
            service.client.post(
                "/api/v1/jobs", json={"type": "progress", "parameters": {"steps": 2}, "callbackUrl": receiver.url}
            )
            for _ in range(JOBS)
        )
    )
    submitted = {answer.json()["jobId"] for answer in answers}
    views = await asyncio.gather(*map(service.ended, submitted))
    assert {view["status"] for view in views} == {"completed"}
    reported = {json.loads((await receiver.next()).body)["jobId"] for _ in range(JOBS)}
    assert reported == submitted


async def test_a_busy_process_holds_six_connections_and_those_of_the_pool(
    database_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_sessions, "BUSY_SECONDS", BOUND_SECONDS)
    not_pooled = recorded_pids(monkeypatch)
    watching = await asyncpg.connect(database_url)
    async with running_service(named(database_url)) as service:
        database = service.node.database
        busy = asyncio.gather(
            run_whole_lives(service, receiver), *(use_often(database.hot()) for _ in range(12)), return_exceptions=True
        )
        counts = []
        while not busy.done():
            assert len(database._hot) <= Settings().hot_connections
            counts.append(len(not_pooled.intersection(row["pid"] for row in await watching.fetch(READ_PIDS))))
        assert [result for result in await busy if result is not None] == []
        assert max(counts) == OWN_CONNECTIONS + Settings().hot_connections == 6
    await watching.close()


async def test_whole_lives_need_no_second_session_while_they_hold_one(
    database_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding: set[asyncio.Task[object] | None] = set()
    real = HotConnection.use

    @asynccontextmanager
    async def use(flow: HotConnection) -> AsyncIterator[Connection]:
        task = asyncio.current_task()
        assert task not in holding, "a flow waits for a session while its task holds one"
        async with real(flow) as connection:
            holding.add(task)
            try:
                yield connection
            finally:
                holding.discard(task)

    monkeypatch.setattr(HotConnection, "use", use)
    async with running_service(database_url, hot_connections=IDLE_SESSIONS) as service, asyncio.timeout(BOUND_SECONDS):
        await run_whole_lives(service, receiver)
        batch = {"jobs": [{"type": "echo", "parameters": n} for n in range(50)], "then": {"type": "echo"}}
        assert (await service.client.post("/api/v1/jobs/batch", json=batch)).status_code == 202
        first = await service.submit("echo")
        after = await service.client.post("/api/v1/jobs", json={"type": "echo", "dependsOn": [first["jobId"]]})
        assert (await service.ended(after.json()["jobId"]))["status"] == "completed"
        assert len(service.node.database._hot) <= IDLE_SESSIONS
