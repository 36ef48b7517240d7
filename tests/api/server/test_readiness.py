"""`/readyz` and submissions agree in every state of the database, and both report the cause."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.support.durations import shortest
from tests.support.response_checks import refused
from tests.support.service import Service, eventually

ANSWER_SECONDS = 4.0


def _name(service: Service) -> str:
    return service.database_url.partition("?")[0].rpartition("/")[2]


@asynccontextmanager
async def _other(service: Service) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(service.database_url, server_settings={"application_name": "the DBA"})
    try:
        yield connection
    finally:
        await connection.close()


async def _end_sessions(connection: Any, service: Service) -> None:
    await connection.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
        _name(service),
    )


@asynccontextmanager
async def _raising(service: Service, state: str, words: str) -> AsyncIterator[None]:
    """Makes every insert of a job fail as in this state of the server."""
    await service.sql(
        "create function fails() returns trigger language plpgsql as "
        f"$$ begin raise exception '{words}' using errcode = '{state}'; end $$"
    )
    await service.alter("create trigger fails before insert on jobs for each row execute function fails()")
    yield
    await service.alter("drop trigger fails on jobs")
    await service.sql("drop function fails")


@asynccontextmanager
async def full_disk(service: Service) -> AsyncIterator[None]:
    async with _raising(service, "53100", "could not extend file: No space left on device"):
        yield


@asynccontextmanager
async def trigger_of_the_operator(service: Service) -> AsyncIterator[None]:
    async with _raising(service, "P0001", "no jobs on Sundays"):
        yield


@asynccontextmanager
async def lost_right(service: Service) -> AsyncIterator[None]:
    async with _raising(service, "42501", "permission denied for table jobs"):
        yield


@asynccontextmanager
async def read_only(service: Service) -> AsyncIterator[None]:
    async with _other(service) as dba:
        await dba.execute(f"alter database {_name(service)} set default_transaction_read_only = on")
        await _end_sessions(dba, service)
        yield
        await dba.execute("set default_transaction_read_only = off")
        await dba.execute(f"alter database {_name(service)} reset default_transaction_read_only")
        await _end_sessions(dba, service)


@asynccontextmanager
async def locked_table(service: Service) -> AsyncIterator[None]:
    async with _other(service) as dba, dba.transaction():
        await dba.execute("lock table jobs in access exclusive mode")
        yield


@asynccontextmanager
async def no_new_connections(service: Service) -> AsyncIterator[None]:
    dba = await asyncpg.connect(service.database_url.replace(f"/{_name(service)}", "/postgres", 1))
    await dba.execute(f"alter database {_name(service)} allow_connections false")
    await _end_sessions(dba, service)
    yield
    await dba.execute(f"alter database {_name(service)} allow_connections true")
    await dba.close()


State = Callable[[Service], AbstractAsyncContextManager[None]]
STATES: list[tuple[State, str, str]] = [
    (full_disk, "DATABASE_DISK_FULL", "No space left"),
    (trigger_of_the_operator, "DATABASE_CONSTRAINT_VIOLATED", "no jobs on Sundays"),
    (lost_right, "DATABASE_PERMISSION_DENIED", "permission denied for table jobs"),
    (read_only, "DATABASE_READ_ONLY", "read-only"),
    (locked_table, "DATABASE_BUSY", "lock timeout"),
    (no_new_connections, "DATABASE_UNAVAILABLE", "not currently accepting connections"),
]


@pytest.mark.parametrize(("state", "code", "words"), STATES, ids=[state[0].__name__ for state in STATES])
async def test_a_node_is_ready_exactly_while_a_submission_would_be_recorded(
    service: Service, state: State, code: str, words: str
) -> None:
    assert await eventually(service.is_ready)
    async with state(service):

        async def answered() -> float:
            began = time.monotonic()
            answers.append(await service.client.get("/readyz"))
            return time.monotonic() - began

        answers: list[Any] = []
        assert await shortest(answered, below=ANSWER_SECONDS) < ANSWER_SECONDS
        error = refused(answers[-1], 503, "NOT_READY")
        assert error["details"]["cause"] == code
        assert words in error["details"]["reason"]
        assert error["details"]["remedy"]
        if state is not locked_table:  # a submission waits for the lock, as long as a statement may
            response = await service.client.post("/api/v1/jobs", json={"type": "echo"})
            said = refused(response, 503, code)
            assert said["details"]["remedy"] == error["details"]["remedy"]
            assert int(response.headers["Retry-After"]) >= 1
            assert f'duly_database_errors_total{{code="{code}"}}' in (await service.client.get("/metrics")).text

    await eventually(service.is_ready)
    assert (await service.run("echo"))["status"] == "completed"


async def test_a_rehearsal_leaves_no_job_behind(service: Service) -> None:
    for _ in range(3):
        assert await eventually(service.is_ready)
    assert await service.sql("select from jobs") == []
    assert await service.sql("select from ready") == []


async def test_many_that_ask_at_once_share_one_rehearsal(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsals = 0
    real = service.node.readiness._rehearsed

    async def counted() -> Any:
        nonlocal rehearsals
        rehearsals += 1
        return await real()

    monkeypatch.setattr(service.node.readiness, "_rehearsed", counted)
    found = await asyncio.gather(*(service.node.readiness.check() for _ in range(50)))
    assert set(found) == {None}
    assert 1 <= rehearsals <= 2


async def test_after_a_full_disk_a_small_submission_proves_nothing(service: Service) -> None:
    await service.sql(
        "create function fails() returns trigger language plpgsql as $$ begin "
        "if length(new.parameters::text) > 1000 then raise exception 'No space left' using errcode = '53100'; end if; "
        "return new; end $$"
    )
    await service.alter("create trigger fails before insert on jobs for each row execute function fails()")
    large = {"type": "echo", "parameters": "x" * 2000}
    assert await eventually(service.is_ready)
    refused(await service.client.post("/api/v1/jobs", json=large), 503, "DATABASE_DISK_FULL")
    refused(await service.client.get("/readyz"), 503, "NOT_READY")
    await service.alter("drop trigger fails on jobs")
    assert await eventually(service.is_ready)
    assert (await service.client.post("/api/v1/jobs", json=large)).status_code == 202
    await service.sql("drop function fails")


async def test_who_asks_as_the_next_rehearsal_begins_is_told_of_the_one_that_ended(service: Service) -> None:
    readiness = service.node.readiness
    next_ones: list[asyncio.Task[object]] = []
    rehearsing = readiness._rehearsing = asyncio.create_task(readiness._rehearse())
    rehearsing.add_done_callback(lambda _: next_ones.append(asyncio.create_task(readiness.check())))

    assert await readiness.check() is None
    assert await next_ones[0] is None
