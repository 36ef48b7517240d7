"""An outcome that the database rejects delays no other: it is set aside, shown, and recorded later."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from duly.domain.events import EventKind
from duly.domain.job import Finish
from tests.support import handlers as support
from tests.support.refusing_triggers import refusing
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
# At once, so that no sweeper sees one row without the other.
OF_ANOTHER_NODE = """
with moved as (update running set node_id = $1 where job_id = $2)
update set_aside set node_id = $1
"""


def poison(job_id: str) -> str:
    """Rows that a trigger refuses: how this job ends."""
    return f"new.job_id = '{job_id}' and new.kind >= 10"


async def started(service: Service, name: str, **members: Any) -> str:
    job_id: str = (await service.submit("wait-for-gate", {"name": name}, **members))["jobId"]
    await support.has_entered(name).wait()
    return job_id


def aside(service: Service) -> int:
    return len(service.node.finisher.set_aside)


async def set_aside(service: Service, count: int = 1) -> None:
    async def look() -> bool:
        return aside(service) == count

    await eventually(look)


async def noted(service: Service) -> dict[str, Any]:
    async def look() -> list[Any]:
        return await service.sql("select * from set_aside")

    [row] = await eventually(look)
    return dict(row)


async def metric(service: Service, name: str) -> float:
    text = (await service.client.get("/metrics")).text
    [line] = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return float(line.split()[-1])


async def test_an_outcome_that_is_refused_for_good_holds_up_no_other(service: Service) -> None:
    job_id = await started(service, "poison")
    with capture_logs() as logs:
        async with refusing(service, "events", poison(job_id)):
            support.gate("poison").set()
            others = [(await service.submit("echo", {"n": n}))["jobId"] for n in range(20)]
            for other in others:
                assert (await service.ended(other))["status"] == "completed"
            await set_aside(service)
            row = await noted(service)
            assert (str(row["job_id"]), row["stage"], row["node_id"]) == (job_id, "finish", service.node.node_id)
            why = (await service.client.get(f"/api/v1/jobs/{job_id}/why")).json()
            assert (why["status"], why["cause"], why["data"]["what"]) == ("running", "SET_ASIDE", "outcome")
            assert "refused by the DBA" in why["message"]
            assert await eventually(service.is_ready)
            assert await metric(service, "duly_outcomes_set_aside") == 1
            assert await metric(service, "duly_items_refused_total") == 1
        view = await service.ended(job_id)
    assert (view["status"], view["result"]) == ("completed", "let go")
    assert support.calls["poison"] == [1]
    assert [entry["job_id"] for entry in logs if entry["action"] == "outcome_set_aside"] == [job_id]

    async def forgotten() -> bool:
        return not await service.sql("select from set_aside") and not aside(service)

    await eventually(forgotten)


@pytest.mark.parametrize(
    ("code", "name"), [("insufficient_privilege", "right"), ("not_null_violation", "null"), ("XX000", "damage")]
)
async def test_whatever_class_the_refusal_has_the_real_outcome_is_recorded_when_it_ends(
    service: Service, code: str, name: str
) -> None:
    job_id = await started(service, name)
    async with refusing(service, "events", poison(job_id), error=code):
        support.gate(name).set()
        await set_aside(service)
        assert (await service.run("echo", {}))["status"] == "completed"
    assert (await service.ended(job_id))["result"] == "let go"


async def test_an_outcome_without_a_partition_is_set_aside(service: Service) -> None:
    job_id = await started(service, "partition")
    [[name]] = await service.sql("select tableoid::regclass::text from events where job_id = $1 limit 1", UUID(job_id))
    old = "00000000-0000-7000-8000-000000000001"
    await service.sql("update running set job_id = $2 where job_id = $1", UUID(job_id), UUID(old))
    end = Finish(UUID(old), 1, EventKind.COMPLETED, '"real"')
    service.node.finisher.put(end)
    await set_aside(service)
    assert service.node.finisher.set_aside._kept[end.job_id, 1].end is end
    await service.sql("update running set job_id = $1 where job_id = $2", UUID(job_id), UUID(old))
    support.gate("partition").set()
    assert (await service.ended(job_id))["result"] == "let go"
    await service.node.finisher.set_aside.record_now()
    assert aside(service) == 0
    assert name.startswith("events_")


async def test_a_refused_value_is_still_recorded_as_a_failure(service: Service) -> None:
    job_id = await started(service, "value")
    async with refusing(service, "events", f"new.job_id = '{job_id}' and new.kind = 10"):
        support.gate("value").set()
        view = await service.ended(job_id)
    assert (view["status"], view["error"]["code"]) == ("failed", "RESULT_INVALID")
    assert aside(service) == 0


async def test_a_value_that_the_driver_cannot_send_fails_alone(service: Service) -> None:
    """asyncpg calls it an error of the interface, as it does a broken connection."""
    first, second = await started(service, "driver"), await started(service, "beside")
    [[token]] = await service.sql("select token from running where job_id = $1", UUID(first))
    service.node.finisher.put(Finish(UUID(first), token, EventKind.COMPLETED, 7))  # type: ignore[arg-type]
    support.gate("beside").set()
    assert (await service.ended(second))["status"] == "completed"
    view = await service.ended(first)
    assert view["error"]["code"] == "RESULT_INVALID"
    support.gate("driver").set()


async def test_a_locked_row_holds_up_no_other_outcome_and_is_no_refusal(service: Service) -> None:
    job_id = await started(service, "locked")
    async with service.connection(job_id) as holder, holder.transaction():
        await holder.execute("select from running where job_id = $1 for update", UUID(job_id))
        support.gate("locked").set()
        assert (await service.run("echo", {}))["status"] == "completed"
        await set_aside(service)
    assert (await service.ended(job_id))["result"] == "let go"


async def test_an_outcome_set_aside_is_not_timed_out_by_a_sweeper(start_service: StartService) -> None:
    service = await start_service()
    job_id = await started(service, "overdue", timeoutSeconds=3600)
    async with refusing(service, "events", f"{poison(job_id)} and new.kind = 10", error="insufficient_privilege"):
        support.gate("overdue").set()
        await set_aside(service)
        await noted(service)
        await service.sql("update running set deadline = now() - interval '1 minute'")
        other = await start_service(roles=("sweeper",))
        await other.node.sweeper.repair(other.node.node_id, lease_seconds=15)
        assert (await service.job(job_id))["status"] == "running"
    assert (await service.ended(job_id))["status"] == "completed"


async def test_a_job_that_three_nodes_gave_up_on_ends_as_a_crash_loop(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("FIRST_RETRY_SECONDS", "LAST_RETRY_SECONDS"):  # a node that is gone tries nothing again
        monkeypatch.setattr(f"duly.lifecycle.writes.set_aside.{bound}", 600.0)
    service = await start_service()
    name = "thrice"
    job_id = await started(service, name, maxAttempts=9)
    condition = f"new.job_id = '{job_id}' and new.kind in (10, 11) and new.data::text !~ 'CRASH_LOOP'"
    async with refusing(service, "events", condition):
        support.gate(name).set()
        for times in (1, 2, 3):
            await set_aside(service)
            await eventually(partial(service.sql, "select from set_aside where node_id = $1", service.node.node_id))
            service.node.finisher.set_aside._kept.clear()  # as if this were another node
            await service.sql(OF_ANOTHER_NODE, uuid4(), UUID(job_id))
            await eventually(partial(_expired, service, job_id, times=min(times, 2)))
        view = await service.ended(job_id)
    assert (view["status"], view["error"]["code"]) == ("failed", "CRASH_LOOP")


async def _expired(service: Service, job_id: str, *, times: int) -> bool:
    """Looks for lost leases, and returns True once that of the job has expired this often. A try that is under way may
    hold the row at the first look.
    """
    await service.node.sweeper.repair(service.node.node_id, lease_seconds=15)
    return (await service.event_types(job_id)).count("JobLeaseExpired") == times


async def test_an_outcome_is_noted_while_older_ones_wait_for_their_next_try(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("FIRST_RETRY_SECONDS", "LAST_RETRY_SECONDS"):
        monkeypatch.setattr(f"duly.lifecycle.writes.set_aside.{bound}", 600.0)
    service = await start_service()
    jobs = [await started(service, name) for name in ("older", "newer")]
    async with refusing(service, "events", "new.kind >= 10"):
        for count, name in enumerate(("older", "newer"), start=1):
            support.gate(name).set()
            await eventually(partial(service.sql, "select from set_aside having count(*) = $1", count))
    await service.node.finisher.set_aside.record_now()
    assert [(await service.ended(job_id))["result"] for job_id in jobs] == ["let go"] * 2


async def test_a_verdict_that_is_refused_holds_up_no_other_verdict(start_service: StartService) -> None:
    service = await start_service(roles=("api", "worker", "dispatcher"))
    bad, good = await started(service, "bad", maxAttempts=1), await started(service, "good", maxAttempts=1)
    sweeping = await start_service(roles=("sweeper",))
    async with refusing(service, "events", poison(bad)):
        await service.sql("update running set node_id = $1", uuid4())
        await sweeping.node.sweeper.repair(sweeping.node.node_id, lease_seconds=15)
        assert (await service.ended(good))["error"]["code"] == "WORKER_LOST"
        await sweeping.node.sweeper.repair(sweeping.node.node_id, lease_seconds=15)
        await set_aside(sweeping)  # the node's own loop may have taken the job
    assert (await service.ended(bad))["error"]["code"] == "WORKER_LOST"


async def test_a_node_with_an_outcome_set_aside_stops_in_time(start_service: StartService) -> None:
    service = await start_service()
    job_id = await started(service, "stops", maxAttempts=5)
    async with refusing(service, "events", poison(job_id)):
        support.gate("stops").set()
        await set_aside(service)
        await asyncio.wait_for(service.node.drain(), 60)


async def test_where_even_the_note_is_refused_log_and_metric_tell(service: Service) -> None:
    job_id = await started(service, "unnoted")
    with capture_logs() as logs:
        async with refusing(service, "events", poison(job_id)), refusing(service, "set_aside", "true"):
            support.gate("unnoted").set()
            await set_aside(service)

            async def said() -> bool:
                return any(entry["action"] == "set_aside_unnoted" for entry in logs)

            await eventually(said)
            assert await metric(service, "duly_outcomes_set_aside") == 1
            await service.sql("update running set deadline = now() - interval '1 minute'")
            await service.node.sweeper.repair(service.node.node_id, lease_seconds=15)
            assert (await service.job(job_id))["status"] == "running"
    assert (await service.ended(job_id))["result"] == "let go"
    assert len([entry for entry in logs if entry["action"] == "outcome_set_aside"]) == 1


async def test_when_the_database_takes_one_again_all_that_is_set_aside_is_recorded(service: Service) -> None:
    jobs = [await started(service, f"many-{n}") for n in range(8)]
    async with refusing(service, "events", "new.kind >= 10", error="insufficient_privilege"):
        for n in range(8):
            support.gate(f"many-{n}").set()
        await set_aside(service, 8)
    for job_id in jobs:
        assert (await service.ended(job_id))["result"] == "let go"
