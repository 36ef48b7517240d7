"""Leases: an attempt that has lost its lease cannot record anything, and its job runs again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NoReturn
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from duly.domain.ids import SMALLEST
from duly.domain.job import Lane
from duly.lifecycle.maintenance import sweep as sweep_module
from duly.store.postgres import connection_pool, turns
from duly.store.postgres import database as database_module
from duly.store.postgres.database import Database, DatabaseTimeout
from duly.store.queue.ready import LaneStart, claim_ready
from duly.worker import orphaned_attempts
from tests.support import handlers as support
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
DEAD_NODE = """
insert into nodes (node_id, name, version, roles, job_types, heartbeat_at)
values ($1, 'dead', '0', '{}', '{}', now() - interval '1 hour')
"""
NO_SWEEPER = ("api", "worker", "dispatcher")


async def started(service: Service, type_: str, name: str, **members: Any) -> str:
    """A running job of a type that waits for its gate."""
    job_id: str = (await service.submit(type_, {"name": name}, **members))["jobId"]
    await asyncio.wait_for(support.has_entered(name).wait(), 60)
    return job_id


async def take_the_lease(service: Service) -> None:
    """Raises the lease token, as another claim of the job would."""
    await service.sql("update running set token = token + 1")


async def give_the_lease_back(service: Service) -> None:
    """Undoes what the test forged, so that the invariants hold again."""
    await service.sql("update running set token = token - 1")


async def sweep(service: Service) -> None:
    for node in service.nodes:
        await node.sweeper.repair(node.node_id, lease_seconds=15)


async def lose_its_node(service: Service, job_id: str) -> None:
    """Leaves what a killed process leaves: its row in `running`, and a heartbeat that ages."""
    dead = uuid4()
    await service.sql_in_all(DEAD_NODE, dead)
    await service.sql_in_all("update running set node_id = $1 where job_id = $2", dead, UUID(job_id))


async def run_again(name: str, attempts: int) -> None:
    async def look() -> bool:
        return len(support.calls[name]) == attempts

    await eventually(look)


def leases_lost(service: Service) -> float:
    return sum(float(node.metrics.leases_lost._value.get()) for node in service.nodes)


async def dropped(service: Service, count: int) -> None:
    async def look() -> bool:
        return leases_lost(service) == count

    await eventually(look)


async def test_a_lost_lease_cannot_finish_the_job(start_service: StartService) -> None:
    service = await start_service(roles=NO_SWEEPER)
    job_id = await started(service, "wait-for-gate", "lost")
    await take_the_lease(service)
    with capture_logs() as logs:
        support.gate("lost").set()
        await dropped(service, 1)
    view = await service.job(job_id)
    assert (view["status"], view["sequence"], view["result"]) == ("running", 1, None)
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted"]
    assert (await service.sql("select token from running"))[0][0] == 2
    lines = [line for line in logs if line.get("action") == "lease_lost"]
    assert [(line["log_level"], line["job_id"], line["token"]) for line in lines] == [("warning", job_id, 1)]
    await give_the_lease_back(service)


class FailingGate(asyncio.Event):
    """Gate at which a handler fails once it opens."""

    async def wait(self) -> NoReturn:
        await super().wait()
        raise ValueError("let go")


async def test_a_lost_lease_cannot_finish_with_a_retry_either(start_service: StartService) -> None:
    service = await start_service(roles=NO_SWEEPER)
    support.gates["lost"] = FailingGate()
    job_id = await started(service, "wait-for-gate", "lost")
    await take_the_lease(service)
    support.gate("lost").set()
    await dropped(service, 1)
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted"]
    assert await service.sql("select from ready union all select from scheduled") == []
    await give_the_lease_back(service)


async def test_progress_of_a_lost_lease_is_dropped_and_stops_its_handler(start_service: StartService) -> None:
    service = await start_service(roles=NO_SWEEPER)
    job_id = await started(service, "tell-when-let", "told")
    await take_the_lease(service)
    support.gate("told").set()
    await asyncio.wait_for(support.has_entered("told:stopped").wait(), 60)
    assert not support.has_entered("told:went-on").is_set()
    await dropped(service, 1)
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted"]
    assert (await service.job(job_id))["progress"] != 50
    await give_the_lease_back(service)


async def test_a_node_that_was_struck_off_stops_its_attempts_and_registers_anew(start_service: StartService) -> None:
    service = await start_service(roles=NO_SWEEPER)
    job_id = await started(service, "tell-when-let", "struck")
    before = service.node.node_id
    (beating,) = [loop for loop in service.node.loops if loop.name == "heartbeat"]
    with capture_logs() as logs:
        await service.sql("delete from nodes")
        beating.wake()
        await asyncio.wait_for(support.has_entered("struck:stopped").wait(), 60)
        await run_again("struck", 2)
    assert service.node.node_id != before
    assert [row[0] for row in await service.sql("select node_id from nodes")] == [service.node.node_id]
    assert [line["log_level"] for line in logs if line.get("action") == "node_struck"] == ["error"]
    assert (await service.event_types(job_id))[2:] == ["JobRequeued", "JobStarted"]
    assert support.calls["struck"] == [1, 1]
    support.gate("struck").set()
    assert (await service.ended(job_id))["status"] == "completed"


async def test_a_node_whose_heartbeat_hangs_stops_its_attempts_before_others_start_them(
    start_service: StartService,
) -> None:
    service = await start_service(roles=NO_SWEEPER, lease_seconds=1)
    job_id = await started(service, "tell-when-let", "hung")
    connection = await asyncpg.connect(service.database_url)
    beating = next(loop for loop in service.node.loops if loop.name == "heartbeat")

    async def given_up() -> bool:
        return beating.failures > 0

    try:
        async with connection.transaction():
            await connection.execute("lock table nodes in access exclusive mode")
            await asyncio.wait_for(support.has_entered("hung:stopped").wait(), 60)
            await eventually(given_up)  # and a connection that hangs holds nothing up
    finally:
        await connection.close()
    support.gate("hung").set()
    assert (await service.ended(job_id))["status"] == "completed"


async def test_the_jobs_of_a_silent_node_are_run_again(service: Service) -> None:
    job_id = await started(service, "wait-for-gate", "silent")
    await lose_its_node(service, job_id)
    await sweep(service)
    await run_again("silent", 2)
    assert (await service.sql("select token, attempt, crashes from running"))[0] == (2, 2, 1)
    assert await service.sql("select from nodes where name = 'dead'") == []
    support.gate("silent").set()
    view = await service.ended(job_id)
    assert (view["status"], view["attempt"]) == ("completed", 2)
    await dropped(service, 1)  # the first attempt, which ended as well
    assert await service.event_types(job_id) == [
        "JobSubmitted",
        "JobStarted",
        "JobLeaseExpired",
        "JobStarted",
        "JobCompleted",
    ]


async def test_a_sweep_lets_living_nodes_and_punctual_attempts_be(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "PATIENCE_SECONDS", 500.0)
    service = await start_service(roles=NO_SWEEPER)
    job_id = await started(service, "wait-for-gate", "alive")
    await service.sql("update nodes set heartbeat_at = now() - interval '300 seconds'")
    await service.sql("update running set deadline = now() - interval '300 seconds'")
    await service.node.sweeper.repair(uuid4(), lease_seconds=500)
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted"]
    support.gate("alive").set()
    assert (await service.ended(job_id))["status"] == "completed"


async def test_a_job_under_which_three_processes_died_is_not_run_again(service: Service) -> None:
    job_id = await started(service, "wait-for-gate", "crashes")
    for crash in (1, 2, 3):
        await run_again("crashes", crash)
        await lose_its_node(service, job_id)
        await sweep(service)
    view = await service.ended(job_id)
    assert (view["status"], view["attempt"], view["error"]["code"]) == ("failed", 3, "CRASH_LOOP")
    assert view["error"]["details"] == {
        "reason": "The node stopped sending heartbeats.",
        "retryable": False,
        "attempt": 3,
    }
    support.gate("crashes").set()
    await dropped(service, 3)


async def test_a_job_whose_last_attempt_lost_its_worker_is_held_as_its_events_say(service: Service) -> None:
    job_id = await started(service, "wait-for-gate", "held", maxAttempts=1, onExhausted="hold")
    await lose_its_node(service, job_id)
    await sweep(service)
    view = await service.job(job_id)
    assert (view["status"], view["waitingFor"], view["error"]["code"]) == ("pending", "held", "WORKER_LOST")
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted", "JobHeld"]
    assert await service.violations() == []
    support.gate("held").set()
    await dropped(service, 1)


async def test_a_lost_worker_uses_up_an_attempt(service: Service) -> None:
    job_id = await started(service, "wait-for-gate", "last", maxAttempts=1)
    await lose_its_node(service, job_id)
    await sweep(service)
    view = await service.ended(job_id)
    assert (view["status"], view["error"]["code"]) == ("failed", "WORKER_LOST")
    support.gate("last").set()


async def test_an_attempt_long_past_its_deadline_is_timed_out_by_the_sweeper(service: Service) -> None:
    job_id = await started(service, "wait-for-gate", "late", maxAttempts=1)
    await service.sql("update running set deadline = now() - interval '6 seconds'")
    await sweep(service)
    view = await service.ended(job_id)
    assert (view["status"], view["error"]["code"]) == ("failed", "TIMED_OUT")
    assert view["error"]["message"] == "The attempt exceeded its timeout of 3600 seconds."
    support.gate("late").set()


async def test_a_cancel_wish_that_is_not_heeded_is_carried_out_by_the_sweeper(service: Service) -> None:
    job_id = await started(service, "stubborn", "deaf")
    assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 202
    await sweep(service)
    assert (await service.job(job_id))["status"] == "running"
    await service.sql("update running set cancel_requested_at = now() - interval '6 seconds'")
    await sweep(service)
    assert (await service.ended(job_id))["status"] == "cancelled"
    support.gate("deaf").set()


async def test_two_sweepers_at_once_record_one_verdict(start_service: StartService) -> None:
    first, second = await start_service(roles=("api",)), await start_service(roles=("api",))
    dead, jobs = uuid4(), 50
    for _ in range(jobs):
        await first.submit("echo")
    await first.sql(DEAD_NODE, dead)
    database = first.database()
    async with database.connection() as connection:
        lanes = [LaneStart(Lane(1, "default", "echo", 0), SMALLEST)]
        claimed = await claim_ready(connection, lanes, limit=jobs, node_id=dead, source="worker:dead", version=1)
    await database.close()
    assert len(claimed) == jobs
    await asyncio.gather(*(sweep(service) for service in (first, second) * 3))
    counted = await first.sql("select kind, count(*) from events group by kind order by kind")
    assert [tuple(row) for row in counted] == [(1, jobs), (4, jobs)]
    assert await first.total("select count(*) from ready where attempt = 1 and crashes = 1 and token = 1") == jobs
    assert leases_lost(first) == leases_lost(second) == 0  # the second of two verdicts is not a lost lease


@pytest.mark.parametrize("ending", ["complete", "cancel"])
async def test_a_cancel_wish_wins_over_the_end_that_came_after_it(start_service: StartService, ending: str) -> None:
    """The request was acknowledged, so the job ends as cancelled, however its handler ended."""
    service = await start_service(roles=NO_SWEEPER)
    job_id = await started(service, "wait-for-gate", ending)
    if ending == "complete":  # the wish reaches the ledger and not yet the node
        await service.sql("update running set cancel_requested_at = now(), sequence = sequence + 1")
        await service.sql(
            "insert into events (tenant_id, job_id, sequence, kind, attempt, source) values (1, $1, 2, 5, 1, 'api')",
            UUID(job_id),
        )
        support.gate(ending).set()
    else:
        await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
    view = await service.ended(job_id)
    assert (view["status"], view["result"], view["error"]["code"]) == ("cancelled", None, "CANCELLED")


async def test_what_others_lost_is_set_right_whatever_else_this_node_waits_for(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pool is used up, the connections of its other loops are taken, and its own outcomes stand still."""
    victim = await start_service(roles=("api", "worker"))
    job_id = await started(victim, "wait-for-gate", "victim", maxAttempts=5)
    monkeypatch.setattr(connection_pool, "MOST_WHEN_STUCK", 4)
    monkeypatch.setattr(turns, "LONG_TURN_SECONDS", 0.01)
    sweeper = await start_service(roles=("sweeper",), database_connections=10)
    database = sweeper.node.database
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(database.background())
            await stack.enter_async_context(database.connection())
        assert database.pool_use == (4, 4)
        await stack.enter_async_context(sweeper.node.finisher._connection.use())
        await lose_its_node(victim, job_id)
        await run_again("victim", 2)
    assert (await victim.event_types(job_id)).count("JobLeaseExpired") == 1
    metrics = sweeper.node.metrics.render().decode()
    assert "duly_lease_recovery_seconds_count 1.0" in metrics
    support.gate("victim").set()
    assert (await victim.ended(job_id))["status"] == "completed"


async def test_an_attempt_that_its_node_does_not_know_is_found_while_no_slot_is_free(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphaned_attempts, "OLD_ENOUGH_SECONDS", 0.0)
    service = await start_service(worker_slots=1)
    await started(service, "wait-for-gate", "only")
    waiting = await service.submit("echo")
    database = service.database()
    async with database.pinned() as connection:
        lanes = [LaneStart(Lane(1, "default", "echo", 0), SMALLEST)]
        [[version]] = await service.sql("select version from control where id = 1")
        [claimed] = await claim_ready(
            connection, lanes, limit=1, node_id=service.node.node_id, source="test", version=version
        )
    await database.close()
    assert str(claimed.job_id) == waiting["jobId"]
    service.node.worker.pool.response_lost()

    async def requeued() -> bool:
        return "JobRequeued" in await service.event_types(waiting["jobId"])

    await eventually(requeued)
    support.gate("only").set()
    assert (await service.ended(waiting["jobId"]))["status"] == "completed"


async def test_a_session_that_stands_still_in_a_transaction_keeps_its_locks_for_seconds_only(
    database_url: str,
) -> None:
    database = Database(database_url)
    async with database.hot().use() as connection:
        assert await connection.fetchval("show idle_in_transaction_session_timeout") == "10s"
    await database.close()


async def test_a_loop_that_waits_without_end_gives_its_connection_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BACKGROUND_SECONDS", 0.05)
    database = Database(database_url)
    for _ in range(2 * database_module.BACKGROUND_CONNECTIONS):
        with pytest.raises(DatabaseTimeout):
            async with database.background() as connection:
                await connection.execute("select pg_sleep(600)")
    await database.close()
