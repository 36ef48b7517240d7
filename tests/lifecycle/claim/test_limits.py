"""Limits of queues and types: exact over all nodes, and changed while jobs run."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from duly.domain.ids import SMALLEST, new_job_id
from duly.domain.job import Lane, NewJob
from duly.lifecycle.claim import set_flow_control
from duly.lifecycle.claim.claim import Claimant
from duly.lifecycle.claim.set_flow_control import FlowController
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.postgres.database import Connection, Database
from duly.store.queue.claim_limited import CLAIM_LIMITED, ClaimLimits, LimitedClaim, claim_limited
from duly.store.queue.flow_control import raise_version, read_version
from duly.store.queue.limits import FlowLimits, Rate, Scope, set_limits
from duly.store.queue.ready import LaneStart, claim_ready
from duly.store.submit.jobs import record_jobs
from tests.support import flow_control_handlers
from tests.support.handlers import gate, has_entered
from tests.support.service import BOUND_SECONDS, Service, eventually

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.flow_control_handlers")
LANE = Lane(1, "narrow", "count-a", 0)
UNDER = ClaimLimits(1, queue="narrow")


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    flow_control_handlers.forget_counts()


async def nodes(start_service: StartService, count: int, **settings: Any) -> list[Service]:
    return [await start_service(handlers=HANDLERS, worker_slots=20, **settings) for _ in range(count)]


async def limit(service: Service, path: str, **limits: Any) -> None:
    answer = await service.client.put(f"/api/v1/{path}/limits", json=limits)
    assert answer.status_code == 200, answer.text


async def submit_many(service: Service, jobs: list[dict[str, Any]]) -> list[str]:
    answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs})
    assert answer.status_code == 202, answer.text
    ids: list[str] = answer.json()["jobIds"]
    return ids


async def all_ended(service: Service) -> None:
    unended = "select from jobs j where not exists (select from events where job_id = j.job_id and kind >= 10)"

    async def look() -> bool:
        return not await service.sql(unended)

    await eventually(look, seconds=2 * BOUND_SECONDS)


# Counts the running jobs after each claim that started one, in its transaction, so that concurrent starts are counted.
WATCH = """
create table seen (at timestamptz, narrow int, counting int);
create function see() returns trigger language plpgsql as $$
begin
    insert into seen select clock_timestamp(), count(*) filter (where queue = 'narrow'),
                            count(*) filter (where type = 'count-a') from running
    having exists (select from begun);
    return null;
end $$;
create trigger sees after insert on running referencing new table as begun for each statement execute function see();
"""


async def watch(service: Service) -> None:
    connection = await asyncpg.connect(service.database_url)
    await connection.execute(WATCH)
    await connection.close()


async def most_seen(service: Service, what: str, *, since: Any = None) -> int:
    found = f"select max({what}) from seen where $1::timestamptz is null or at > $1"  # noqa: S608  # a name from here
    return int((await service.sql(found, since))[0][0])


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"queues/narrow": 3}, {"narrow": 3}),
        ({"job-types/count-a": 2}, {"counting": 2}),
        ({"queues/narrow": 4, "job-types/count-a": 2}, {"narrow": 4, "counting": 2}),
    ],
)
async def test_never_do_more_run_than_the_limits_allow_however_many_nodes_claim(
    start_service: StartService, limits: dict[str, int], most: dict[str, int]
) -> None:
    services = await nodes(start_service, 3)
    await watch(services[0])
    for path, concurrency in limits.items():
        await limit(services[0], path, concurrency=concurrency)
    jobs = [
        {"type": f"count-{kind}", "queue": "narrow", "parameters": {"name": kind, "seconds": 0.002}}
        for _ in range(40)
        for kind in ("a", "b")
    ]
    await asyncio.gather(*(submit_many(service, jobs[place::3]) for place, service in enumerate(services)))
    await all_ended(services[0])
    assert {what: await most_seen(services[0], what) for what in most} == most
    assert flow_control_handlers.most["a"] <= min(most.values())


async def test_single_submissions_do_not_slip_past_a_limit_by_starting_at_once(start_service: StartService) -> None:
    services = await nodes(start_service, 2)
    await watch(services[0])
    await limit(services[0], "queues/narrow", concurrency=2)
    async with asyncio.TaskGroup() as group:
        for number in range(60):
            submission = services[number % 2].submit("count-a", {"seconds": 0.002}, queue="narrow")
            group.create_task(submission)
    await all_ended(services[0])
    assert await most_seen(services[0], "narrow") == 2
    assert flow_control_handlers.most["counted"] <= 2


async def test_a_limit_that_is_set_counts_what_runs_already(start_service: StartService) -> None:
    [service] = await nodes(start_service, 1)
    for name in ("first", "second"):
        await service.submit("wait-for-gate", {"name": name}, queue="narrow")
        await has_entered(name).wait()
    await limit(service, "queues/narrow", concurrency=2)
    third = await service.submit("wait-for-gate", {"name": "third"}, queue="narrow")
    other = await service.run("echo")
    assert other["status"] == "completed"
    assert [str(row[0]) for row in await service.sql("select job_id from ready")] == [third["jobId"]]
    gate("first").set()
    await asyncio.wait_for(has_entered("third").wait(), 60)
    for name in ("second", "third"):
        gate(name).set()
    await all_ended(service)


async def test_a_limit_changes_while_jobs_run(start_service: StartService) -> None:
    services = await nodes(start_service, 2)
    await watch(services[0])
    await limit(services[0], "queues/narrow", concurrency=2)
    jobs = [{"type": "count-a", "queue": "narrow", "parameters": {"seconds": 0.004}}] * 60
    await submit_many(services[0], jobs)
    await eventually(lambda: _so_many(30))
    assert flow_control_handlers.most["counted"] <= 2
    assert await most_seen(services[0], "narrow") == 2
    await limit(services[1], "queues/narrow", concurrency=7)
    [[raised]] = await services[0].sql_in_one("select now()")
    await submit_many(services[0], jobs)  # some wait, however long the change has taken
    await eventually(lambda: _so_many(90))
    await limit(services[0], "queues/narrow", concurrency=1)
    [[lowered]] = await services[0].sql_in_one("select now()")
    await submit_many(services[0], jobs[:20])
    await all_ended(services[0])
    assert flow_control_handlers.most["counted"] <= 7
    assert await most_seen(services[0], "narrow", since=raised) == 7
    assert await most_seen(services[0], "narrow", since=lowered) == 1


async def _so_many(count: int) -> bool:
    return flow_control_handlers.started["counted"] >= count


async def test_without_its_limit_a_queue_is_as_any_other(start_service: StartService) -> None:
    [service] = await nodes(start_service, 1)
    await limit(service, "queues/narrow", concurrency=1)
    names = ["one", "two", "three"]
    for name in names:
        await service.submit("wait-for-gate", {"name": name}, queue="narrow")
    await has_entered("one").wait()
    assert (await service.client.delete("/api/v1/queues/narrow/limits")).status_code == 204
    for name in names:
        await asyncio.wait_for(has_entered(name).wait(), 60)
        gate(name).set()
    await all_ended(service)


async def test_starts_in_any_time_stay_within_the_rate(start_service: StartService) -> None:
    services = await nodes(start_service, 3)
    rate = {"count": 10, "seconds": 0.5}
    await limit(services[0], "job-types/count-a", rate=rate)
    jobs = [{"type": "count-a", "queue": f"queue-{number % 4}"} for number in range(48)]
    await asyncio.gather(*(submit_many(service, jobs[place::3]) for place, service in enumerate(services)))
    await eventually(lambda: _so_many(15))
    await limit(services[1], "job-types/count-a", rate=rate)  # once more: it fills no bucket
    await all_ended(services[0])
    times = [row[0] for row in await services[0].sql("select occurred_at from events where kind = 1 order by 1")]
    assert len(times) == len(jobs)
    for first, began in enumerate(times):
        for last in range(first, len(times)):
            seconds = (times[last] - began).total_seconds()
            assert last - first + 1 <= rate["count"] * (1 + seconds / rate["seconds"]) + 1e-6


async def test_a_full_queue_holds_up_no_other(start_service: StartService) -> None:
    [service] = await nodes(start_service, 1)
    await limit(service, "queues/narrow", concurrency=1)
    await service.submit("wait-for-gate", {"name": "only"}, queue="narrow")
    await has_entered("only").wait()
    await submit_many(service, [{"type": "echo", "queue": "narrow", "priority": 50}] * 30)
    assert (await service.run("echo"))["status"] == "completed"
    assert await service.total("select count(*) from ready") == 30
    gate("only").set()
    await all_ended(service)


async def test_higher_priorities_go_first_under_a_limit_too(start_service: StartService) -> None:
    [service] = await nodes(start_service, 1)
    await limit(service, "queues/narrow", concurrency=1)
    await service.submit("wait-for-gate", {"name": "first"}, queue="narrow")
    await has_entered("first").wait()
    numbers = [(0, 3), (5, 1), (0, 4), (5, 2)]
    await submit_many(
        service,
        [
            {"type": "in-order", "queue": "narrow", "priority": priority, "parameters": {"n": number}}
            for priority, number in numbers
        ],
    )
    gate("first").set()
    await all_ended(service)
    started = await service.sql(
        "select (j.parameters ->> 'n')::int from events e join jobs j using (job_id) "
        "where e.kind = 1 and j.type = 'in-order' order by e.occurred_at"
    )
    assert [row[0] for row in started] == [1, 2, 3, 4]


async def test_a_node_that_waits_for_a_limit_does_not_ask_without_rest(start_service: StartService) -> None:
    [service] = await nodes(start_service, 1)
    claimer = service.node.worker.claimer
    await limit(service, "queues/narrow", concurrency=1, rate={"count": 100, "seconds": 1})
    await service.submit("wait-for-gate", {"name": "only"}, queue="narrow")
    await has_entered("only").wait()
    await service.submit("count-a", queue="narrow")
    await eventually(lambda: _known(service))

    async def rests() -> bool:  # not while its rest is just over
        assert await claimer.claim(10, by=Claimant(uuid4(), "test")) == []
        return not claimer.may_find_jobs and 0 < claimer.rest_seconds <= 0.1

    await eventually(rests)
    gate("only").set()
    await all_ended(service)


async def _known(service: Service) -> bool:
    return Lane(1, "narrow", "count-a", 0) in set(service.node.worker.claimer.lanes.known({"count-a"}))


# Below, claims are made by hand, one statement at a time.


async def ready(connection: Connection, count: int) -> None:
    await record_jobs(
        connection,
        [NewJob(1, new_job_id(), LANE.type, LANE.queue, LANE.priority, "{}", 60.0, 5) for _ in range(count)],
    )


async def limited(connection: Connection, limits: FlowLimits, *, begins_in_seconds: float = 0) -> None:
    async with connection.transaction():
        await set_limits(connection, 1, Scope.QUEUE, "narrow", limits, begins_in_seconds=begins_in_seconds)
        await raise_version(connection)


async def claim(connection: Connection, wanted: int, *, under: ClaimLimits = UNDER, version: int = 0) -> LimitedClaim:
    return await claim_limited(
        connection,
        [LaneStart(LANE, SMALLEST)],
        under=under,
        limit=wanted,
        node_id=UUID(int=7),
        source="worker:test",
        version=version or await read_version(connection),
    )


async def test_two_claims_at_once_never_take_more_than_there_is_room_for(database_url: str) -> None:
    database = Database(database_url)
    async with database.hot().use() as one, database.hot().use() as other:
        await ready(one, 20)
        await limited(one, FlowLimits(concurrency=5))
        async with one.transaction():
            assert len((await claim(one, 3)).jobs) == 3
            meanwhile = await claim(other, 3)
            assert (meanwhile.jobs, meanwhile.contended) == ([], True)
        later = await claim(other, 10)
        assert (len(later.jobs), later.room, later.full) == (2, 2, True)
        full = await claim(one, 10)
        assert (full.jobs, full.room, full.contended, full.full) == ([], 0, False, True)
    await database.close()


@pytest.mark.parametrize("under", [UNDER, ClaimLimits(1, breaker="count-a")])
async def test_a_claim_that_looked_before_another_was_committed_takes_nothing(
    database_url: str, under: ClaimLimits
) -> None:
    """The claim is stopped between its read of running jobs and its lock, until the test lets it go on."""
    waits = "and (select pg_advisory_xact_lock_shared(7))::text is not null for update skip locked"
    statement = re.sub(r"> 0\s+for update skip locked", f"> 0 {waits}", CLAIM_LIMITED)
    assert statement != CLAIM_LIMITED
    database = Database(database_url)
    async with database.hot().use() as one, database.hot().use() as other, database.hot().use() as third:
        await ready(one, 20)
        await limited(one, FlowLimits(concurrency=5))
        await one.execute(
            "insert into breakers (type, state, failures, code, probe_at) values ('count-a', 1, 3, '', now())"
        )
        await one.execute("select pg_advisory_lock(7)")
        slow = asyncio.create_task(_claim_with(statement, other, under))
        await eventually(lambda: third.fetch("select from pg_locks where locktype = 'advisory' and not granted"))
        assert len((await claim(one, 5, under=under)).jobs) == (5 if under is UNDER else 1)
        await one.execute("select pg_advisory_unlock(7)")
        late = await slow
        assert (late.jobs, late.contended) == ([], True)
        assert (await claim(other, 5, under=under)).jobs == []
    await database.close()


async def _claim_with(statement: str, connection: Connection, under: ClaimLimits) -> LimitedClaim:
    class Patched:
        async def fetch(self, _statement: str, *arguments: Any) -> Any:
            return await connection.fetch(statement, *arguments)

    version = await read_version(connection)
    patched: Any = Patched()
    return await claim(patched, 5, under=under, version=version)


async def test_a_claim_by_an_older_version_takes_nothing(database_url: str) -> None:
    database = Database(database_url)
    async with database.hot().use() as connection:
        await ready(connection, 3)
        await limited(connection, FlowLimits(concurrency=5))
        version = await read_version(connection)
        await raise_version(connection)
        old = await claim(connection, 3, version=version)
        assert (old.jobs, old.current) == ([], False)
        gone = await claim(connection, 3, under=ClaimLimits(1, queue="narrow", type="count-a"))
        assert (gone.jobs, gone.current) == ([], False)
    await database.close()


async def test_a_limit_that_is_not_in_force_yet_lets_nothing_start(database_url: str) -> None:
    database = Database(database_url)
    async with database.hot().use() as connection:
        await ready(connection, 3)
        await limited(connection, FlowLimits(concurrency=5), begins_in_seconds=30)
        early = await claim(connection, 3)
        assert early.jobs == []
        assert 0 < early.wait_seconds <= 30
    await database.close()


async def test_a_bucket_holds_what_it_held_when_its_limits_are_set_once_more(database_url: str) -> None:
    database = Database(database_url)
    hourly = FlowLimits(rate=Rate(4, 3600.0))
    async with database.hot().use() as connection:
        await ready(connection, 20)
        await limited(connection, hourly)
        assert len((await claim(connection, 3)).jobs) == 3
        await limited(connection, hourly)
        assert len((await claim(connection, 10)).jobs) == 1
        empty = await claim(connection, 10)
        assert empty.jobs == []
        assert 0 < empty.wait_seconds <= 900
        assert not empty.full
        await connection.execute("update limits set refilled_at = now() - interval '900 seconds'")
        assert len((await claim(connection, 10)).jobs) == 1
        await limited(connection, FlowLimits(rate=Rate(2, 3600.0)))
        await connection.execute("update limits set refilled_at = now() - interval '2 days'")
        assert len((await claim(connection, 10)).jobs) == 2
    await database.close()


async def test_starts_under_way_are_over_before_a_new_limit_begins(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that may have started jobs without it is waited for, and what it started is counted."""
    monkeypatch.setattr(set_flow_control, "PATIENCE_SECONDS", BOUND_SECONDS)
    database = Database(database_url)
    controller = FlowController(database, Wakeups())
    async with database.hot().use() as one, database.hot().use() as other:
        await ready(one, 10)
        async with one.transaction():
            lanes = [LaneStart(LANE, SMALLEST)]
            free = await claim_ready(
                one, lanes, limit=2, node_id=UUID(int=7), source="test", version=await read_version(one)
            )
            assert len(free) == 2
            setting = asyncio.create_task(controller.limit(1, Scope.QUEUE, "narrow", FlowLimits(concurrency=3)))
            await eventually(lambda: other.fetch("select from limits"))
            assert (await claim(other, 10)).jobs == []
            assert not setting.done()
        await setting
        assert len((await claim(other, 10)).jobs) == 1
    await database.close()
