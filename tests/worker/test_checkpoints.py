"""Checkpoints: durable, fenced by the lease token, and restored in the next attempt."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from duly.domain.ids import smallest_id_at
from duly.store.ledger.checkpoints import RECORD_CHECKPOINTS_IF_HELD
from duly.store.ledger.retention import drop_expired
from duly.store.postgres.database import Database
from duly.store.postgres.partitions import PARTITIONED, _make
from duly.worker import attempt, pool
from tests.support import handlers as support
from tests.support import log_and_checkpoint_handlers
from tests.support.service import Service, eventually, running_service

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.log_and_checkpoint_handlers")
DEAD_NODE = """
insert into nodes (node_id, name, version, roles, job_types, heartbeat_at)
values ($1, 'dead', '0', '{}', '{}', now() - interval '1 hour')
"""

BREAK_THE_CONNECTION = """
select pg_terminate_backend(pid) from pg_stat_activity
where query like '%insert into checkpoints%' and wait_event_type = 'Lock' and pid <> pg_backend_pid()
"""
WAITING = "select from pg_stat_activity where wait_event_type = 'Lock' and query like $1"
FILL = """
insert into running (tenant_id, job_id, node_id, deadline, token, sequence, timeout_seconds, priority, attempt, crashes,
                     callback_events, queue, type)
select 1, gen_random_uuid(), gen_random_uuid(), now(), 1, 1, 1, 0, 1, 0, 0, 'q', 't' from generate_series(1, $1::int)
"""


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """A service whose handlers leave checkpoints."""
    return await start_service(handlers=HANDLERS)


async def left(service: Service) -> list[Any]:
    """Returns the checkpoints in the table."""
    return [json.loads(row[0]) for row in await service.sql("select value::text from checkpoints order by job_id")]


async def lose_its_node(service: Service, job_id: str) -> None:
    """Leaves what a killed process leaves: its row in `running`, and a heartbeat that ages. A sweeper finds it."""
    dead = uuid4()
    await service.sql(DEAD_NODE, dead)
    await service.sql("update running set node_id = $1 where job_id = $2", dead, UUID(job_id))
    await service.node.sweeper.repair(service.node.node_id, lease_seconds=15)


@pytest.mark.parametrize("type_", ["count", "count-later", "count-thread", "count-process"])
async def test_the_next_attempt_continues_where_the_last_one_stopped(service: Service, type_: str) -> None:
    view = await service.run(type_, {"steps": 6, "breaks": [2, 5]})
    assert (view["status"], view["attempt"], view["result"]) == ("completed", 3, [6])
    assert await left(service) == []


async def test_a_first_attempt_has_nothing_restored(service: Service) -> None:
    view = await service.run("leave", {"how": "show"})
    assert (view["status"], view["result"]) == ("completed", None)


async def test_a_checkpoint_is_durable_when_the_call_returns(service: Service) -> None:
    job_id = (await service.submit("leave", {"name": "durable", "values": [1, {"rows": [2]}]}))["jobId"]
    await support.has_entered("durable").wait()
    rows = await service.sql("select tenant_id, job_id, token, value::text from checkpoints")
    assert [tuple(row) for row in rows] == [(1, UUID(job_id), 1, '{"rows":[2]}')]
    assert [row[0] for row in await service.sql("select marks & 16 from running")] == [16]
    support.gate("durable").set()
    assert (await service.ended(job_id))["result"] is None  # it is for the next attempt, not for this one


async def test_of_several_at_once_the_newest_counts(service: Service) -> None:
    job_id = (await service.submit("leave", {"name": "several", "values": list(range(50)), "at_once": True}))["jobId"]
    await support.has_entered("several").wait()
    assert await left(service) == [49]
    support.gate("several").set()
    await service.ended(job_id)


async def test_it_is_kept_while_the_job_is_failed(service: Service) -> None:
    view = await service.run("leave", {"name": "failed", "values": ["so far"], "how": "fail"})
    assert view["status"] == "failed"
    assert await left(service) == ["so far"]


async def test_it_is_forgotten_when_the_job_is_cancelled(service: Service) -> None:
    job_id = (await service.submit("leave", {"name": "cancelled", "values": ["so far"]}))["jobId"]
    await support.has_entered("cancelled").wait()
    assert await left(service) == ["so far"]
    assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 202
    assert (await service.ended(job_id))["status"] == "cancelled"
    assert await left(service) == []


async def test_the_end_of_an_attempt_waits_for_the_checkpoint_under_way(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end would not see it, and leave behind what it has to delete."""
    monkeypatch.setattr(attempt, "SETTLE_SECONDS", 60.0)
    job_id = (await service.submit("leave", {"name": "race", "values": [1], "when": "go"}))["jobId"]
    await asyncio.wait_for(support.has_entered("go").wait(), 60)
    holder = await asyncpg.connect(service.database_url)
    under_way = holder.transaction()
    await under_way.start()
    await holder.execute("insert into checkpoints (tenant_id, job_id, token, value) values (1, $1, 0, '0')", job_id)
    support.gate("go").set()
    await eventually(lambda: service.sql(WAITING, "%insert into checkpoints%"))
    service.node.worker.pool.cancel(UUID(job_id))
    with suppress(TimeoutError):
        await eventually(lambda: service.sql(WAITING, "%delete from running%"), seconds=0.5)
    await under_way.rollback()
    await holder.close()
    assert (await service.ended(job_id))["status"] == "cancelled"
    assert await left(service) == []


async def test_an_attempt_that_lost_its_lease_leaves_nothing_and_is_interrupted(service: Service) -> None:
    job_id = (await service.submit("leave-when-let", {"name": "lost"}))["jobId"]
    await support.has_entered("lost").wait()
    await lose_its_node(service, job_id)

    async def run_again() -> bool:
        return support.calls["lost"] == [1, 2]

    await eventually(run_again)
    # The second attempt has left one; then the first goes on, of which the node knows no more.
    await service.sql("update running set token = token + 1 where job_id = $1", UUID(job_id))
    support.gate("lost").set()
    await asyncio.wait_for(support.has_entered("lost:stopped").wait(), 60)
    assert not support.has_entered("lost:went-on").is_set()
    assert await left(service) == []
    await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
    await service.sql("update running set cancel_requested_at = now() - interval '6 seconds'")
    await service.node.sweeper.repair(service.node.node_id, lease_seconds=15)
    assert (await service.ended(job_id))["status"] == "cancelled"


async def test_a_thread_that_lost_its_lease_is_told_by_an_error(service: Service) -> None:
    job_id = (await service.submit("leave-in-thread-when-let", {"name": "thread-lost"}))["jobId"]

    async def begun() -> bool:
        return support.calls.get("thread-lost") == [1]

    await eventually(begun)
    await lose_its_node(service, job_id)
    view = await service.ended(job_id)
    assert (view["status"], view["attempt"], view["result"]) == ("completed", 2, None)
    support.gate("thread-lost").set()

    async def told() -> bool:
        return bool(log_and_checkpoint_handlers.thread_errors)

    await eventually(told)
    assert log_and_checkpoint_handlers.thread_errors == [
        "the checkpoint was not recorded: the attempt has lost its lease"
    ]
    assert await left(service) == []


async def test_a_job_whose_worker_died_continues_elsewhere(start_service: StartService) -> None:
    first = await start_service(handlers=HANDLERS)
    job_id = (await first.submit("leave", {"name": "died", "values": ["half"]}, maxAttempts=2))["jobId"]
    await support.has_entered("died").wait()
    await lose_its_node(first, job_id)

    async def run_again() -> bool:
        return support.calls["died"] == [1, 2]

    await eventually(run_again)
    support.gate("died").set()
    assert (await first.ended(job_id))["result"] == "half"


async def test_a_handler_that_is_interrupted_may_leave_one_on_its_way_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LAST_CANCEL_SECONDS", 60.0)
    async with running_service(database_url, handlers=HANDLERS, shutdown_grace_seconds=0) as service:
        job_id = (await service.submit("leave-on-the-way-out", {"name": "down"}))["jobId"]
        await support.has_entered("down").wait()
    async with running_service(database_url, handlers=HANDLERS) as service:
        view = await service.ended(job_id)
    assert (view["status"], view["attempt"], view["result"]) == ("completed", 1, "so far")


async def test_a_checkpoint_whose_connection_breaks_is_recorded_by_the_next(service: Service) -> None:
    wanted = {"name": "away", "values": ["kept"], "when": "go"}
    job_id = (await service.submit("leave", wanted))["jobId"]
    await asyncio.wait_for(support.has_entered("go").wait(), 60)
    holder = await asyncpg.connect(service.database_url)
    async with holder.transaction():
        await holder.execute("select from running for update")
        support.gate("go").set()
        await eventually(lambda: service.sql(BREAK_THE_CONNECTION))
    await holder.close()
    await asyncio.wait_for(support.has_entered("away").wait(), 60)
    assert await left(service) == ["kept"]
    support.gate("away").set()
    assert (await service.ended(job_id))["attempt"] == 1


@pytest.mark.parametrize("type_", ["leave-large", "leave-large-process"])
async def test_a_checkpoint_may_be_as_large_as_a_result(service: Service, type_: str) -> None:
    view = await service.run(type_, {"bytes": 1_000_000})
    assert (view["status"], view["attempt"], view["result"]) == ("completed", 2, 500_000)


@pytest.mark.parametrize("type_", ["leave-large", "leave-large-process"])
@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"bytes": 1_048_576}, "the checkpoint is too large (1,048,578 bytes of JSON, limit 1,048,576)"),
        ({"bytes": 0, "deep": 65}, "the checkpoint cannot be serialized as JSON: nested too deep"),
    ],
)
async def test_a_checkpoint_that_is_too_large_or_too_deep_is_refused(
    service: Service, type_: str, wanted: dict[str, int], words: str
) -> None:
    view = await service.run(type_, wanted, maxAttempts=1)
    assert (view["status"], view["error"]["code"]) == ("failed", "TASK_FAILED")
    assert view["error"]["message"].endswith(f"HandlerError: {words}")


async def test_a_checkpoint_is_read_again_as_json(service: Service) -> None:
    view = await service.run("leave-oddly", {"value": "text"})
    assert view["result"] == {"a\ufffdb": "c\ufffdd \ufffd 😀"}
    view = await service.run("leave-oddly", {"value": "model"})
    assert view["result"] == {"name": "a model"}


@pytest.mark.parametrize("value", ["nan", "object", "circle"])
async def test_a_checkpoint_that_is_no_json_is_refused(service: Service, value: str) -> None:
    view = await service.run("leave-oddly", {"value": value}, maxAttempts=1)
    assert view["error"]["message"].startswith("HandlerError: the checkpoint cannot be serialized as JSON: ")
    assert await left(service) == []


async def test_a_checkpoint_goes_with_the_day_of_its_job(database_url: str) -> None:
    database = Database(database_url)
    noon = datetime.now(UTC).replace(hour=12, minute=0) - timedelta(days=40)
    old, kept = smallest_id_at(noon), smallest_id_at(noon + timedelta(days=39))
    async with database.connection() as connection:
        for table in PARTITIONED:
            await _make(connection, table, noon.date())
        await connection.execute(
            "insert into checkpoints (tenant_id, job_id, token, value) "
            "select 1, id, 1, '{}' from unnest($1::uuid[]) id",
            [old, kept],
        )
        assert await drop_expired(connection, retention_days=30)
        rows = await connection.fetch("delete from checkpoints returning job_id")  # of jobs that never were
    await database.close()
    assert [row[0] for row in rows] == [kept]


@pytest.mark.parametrize("rows", [0, 5_000])
async def test_it_is_recorded_by_the_key_of_its_job(database_url: str, rows: int) -> None:
    """With the plans of the hot connection, whether its tables are empty or full."""
    database = Database(database_url)
    async with database.hot().use() as connection:
        await connection.execute(FILL, rows)
        await connection.execute("analyze running")
        await connection.execute(f"prepare shown as {RECORD_CHECKPOINTS_IF_HELD}")
        plan = await connection.fetchval("explain (format json) execute shown(null, null, null)")
        await connection.execute("delete from running")
    await database.close()
    assert "(job_id >= t.job_id) AND (job_id <= t.job_id)" in plan
    assert "Seq Scan" not in plan
