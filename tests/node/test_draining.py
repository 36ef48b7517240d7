"""A draining node lets its jobs end, requeues the rest without counting them, and always stops in time."""

import asyncio

from structlog.testing import capture_logs

from tests.support import handlers as support
from tests.support.service import Service, eventually, running_service


async def started(service: Service, type_: str, name: str) -> str:
    job_id: str = (await service.submit(type_, {"name": name}))["jobId"]
    await asyncio.wait_for(support.has_entered(name).wait(), 60)
    return job_id


async def test_running_jobs_end_within_the_grace(database_url: str) -> None:
    async with running_service(database_url, shutdown_grace_seconds=20) as service:
        job_id = await started(service, "wait-for-gate", "graceful")
        draining = asyncio.create_task(service.node.drain())
        await asyncio.wait([service.node.loops.task("claim")], timeout=60)
        assert service.node.loops.task("claim").done()
        for _ in range(3):  # it is let run on, over some rounds of the loop and of the database
            rows = await service.sql("select attempt from running")
            assert [row[0] for row in rows] == [1]
        support.gate("graceful").set()
        await asyncio.wait_for(draining, 60)
        assert (await service.job(job_id))["status"] == "completed"


async def test_a_drained_node_claims_nothing_more(database_url: str) -> None:
    async with running_service(database_url) as drained, running_service(database_url, roles=("api",)) as other:
        await drained.node.drain()
        job_id = (await other.submit("echo"))["jobId"]
        view = (await other.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 2})).json()
        assert (view["status"], view["attempt"]) == ("pending", 0)


async def test_what_is_left_goes_back_uncharged(database_url: str) -> None:
    async with running_service(database_url) as service:
        job_id = await started(service, "wait-for-gate", "left")
    # The service's own connections are closed; the test's are not.
    rows = await service.sql("select attempt, token, crashes from ready")
    assert [tuple(row) for row in rows] == [(0, 1, 0)]
    assert await service.sql("select from running") == []
    assert await service.sql("select from nodes") == []
    kinds = await service.sql("select kind from events order by sequence")
    assert [row[0] for row in kinds] == [1, 6]

    support.gate("left").set()
    async with running_service(database_url) as after:
        view = await after.ended(job_id)
        assert (view["status"], view["attempt"]) == ("completed", 1)
        events = await after.event_types(job_id)
        assert events == ["JobSubmitted", "JobStarted", "JobRequeued", "JobStarted", "JobCompleted"]
    assert support.calls["left"] == [1, 1]


async def test_another_node_runs_it_at_once(database_url: str) -> None:
    async with running_service(database_url, lease_seconds=600) as first:
        await started(first, "wait-for-gate", "moves")
        async with running_service(database_url, lease_seconds=600) as second:
            await first.node.drain()

            async def moved() -> bool:
                return len(support.calls["moves"]) == 2

            await eventually(moved)  # long before a lease expires
            rows = await second.sql("select node_id, attempt, token from running")
            assert [tuple(row) for row in rows] == [(second.node.node_id, 1, 2)]
            support.gate("moves").set()
            await eventually(lambda: second.sql("select from events where kind = 10"))


async def test_a_hung_thread_holds_nobody_up(database_url: str) -> None:
    support.thread_gate.clear()
    support.thread_entered.clear()
    try:
        async with running_service(database_url) as service:
            await service.submit("plain-block", timeoutSeconds=600)
            assert await asyncio.to_thread(support.thread_entered.wait, 60)
            await asyncio.wait_for(service.node.drain(), 60)  # its thread would hang for longer
            assert [row[0] for row in await service.sql("select attempt from ready")] == [0]
    finally:
        support.thread_gate.set()


async def test_a_handler_that_will_not_stop_is_left_behind(database_url: str) -> None:
    try:
        async with running_service(database_url) as service:
            await started(service, "stubborn", "stays")
            with capture_logs() as logs:
                await service.node.drain()
            warnings = [line["action"] for line in logs if line["log_level"] == "warning"]
            # On a slow machine, the event loop may be blocked while the handler runs.
            assert [action for action in warnings if action != "loop_blocked"] == ["handler_abandoned"]
            assert [row[0] for row in await service.sql("select attempt from ready")] == [0]
            assert await service.sql("select from running") == []
    finally:
        support.gate("stays").set()
        await asyncio.sleep(0)
