"""Connections of a busy process: six, on which flows of hot statements and reads take turns."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from duly.settings import Settings
from duly.store.postgres import hot_sessions, turns
from duly.store.postgres.database import Connection, HotConnection
from duly.store.postgres.hot_sessions import BUSY_USES
from tests.support.service import BOUND_SECONDS, Service, running_service
from tests.support.webhook_receiver import Receiver

NAME = "busy-process"
COUNT = f"select count(*) from pg_stat_activity where application_name = '{NAME}'"  # noqa: S608  # a constant
JOBS = 40


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opens no more sessions for flows that wait, however slow the machine is; then all are not stuck."""
    for module in (hot_sessions, turns):
        monkeypatch.setattr(module, "LONG_TURN_SECONDS", 10 * BOUND_SECONDS)


def named(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}application_name={NAME}"


async def use_often(flow: HotConnection) -> None:
    for _ in range(3 * BUSY_USES):
        async with flow.use() as connection:
            await connection.execute("select 1")


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


async def read_often(service: Service) -> None:
    """Reads lists and figures, which need pooled connections, and changes what needs a transaction of one."""
    for n in range(10):
        answers = await asyncio.gather(
            *(service.client.get(f"/api/v1/{path}") for path in ("jobs", "batches", "queues", "figures", "nodes") * 2),
            service.client.put(
                f"/api/v1/schedules/often-{n}", json={"cron": "0 3 * * *", "submission": {"type": "echo"}}
            ),
        )
        assert {answer.status_code for answer in answers} <= {200, 201}


async def test_a_busy_process_holds_six_connections_whatever_it_does(
    database_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_sessions, "BUSY_SECONDS", BOUND_SECONDS)
    most = Settings().database_connections
    watching = await asyncpg.connect(database_url)
    async with running_service(named(database_url)) as service:
        database = service.node.database
        busy = asyncio.gather(
            run_whole_lives(service, receiver),
            *(read_often(service) for _ in range(5)),
            *(use_often(database.hot()) for _ in range(12)),
            return_exceptions=True,
        )
        counts = []
        while not busy.done():
            assert database.open_connections <= most
            counts.append(await watching.fetchval(COUNT))
        assert [result for result in await busy if result is not None] == []
        assert max(counts) == most == 6
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
    async with running_service(database_url, database_connections=4) as service, asyncio.timeout(BOUND_SECONDS):
        await run_whole_lives(service, receiver)
        batch = {"jobs": [{"type": "echo", "parameters": n} for n in range(50)], "then": {"type": "echo"}}
        assert (await service.client.post("/api/v1/jobs/batch", json=batch)).status_code == 202
        first = await service.submit("echo")
        after = await service.client.post("/api/v1/jobs", json={"type": "echo", "dependsOn": [first["jobId"]]})
        assert (await service.ended(after.json()["jobId"]))["status"] == "completed"
        assert service.node.database.open_connections <= 4
