"""Schedules submit one job for each due time, by the database clock, on any number of nodes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from duly.api.schedules.models import ScheduleBody
from duly.domain.database_clock import DatabaseClock
from duly.domain.schedule import CatchUp, Overlap, Recurrence
from duly.domain.tenant import MOST_QUEUES
from duly.domain.timestamps import rfc3339
from duly.handlers.registry import Registry
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.job_types.known_types import KnownTypes
from duly.lifecycle.schedules import scheduler
from duly.lifecycle.schedules.manage import create_schedule
from duly.lifecycle.schedules.scheduler import Scheduler
from duly.lifecycle.submit.queue_limit import QueueLimit
from duly.store.postgres.database import Database
from duly.store.queue.schedules import delete_old_runs
from duly.telemetry.metrics import Metrics
from duly.telemetry.tracing import Tracing
from tests.support import handlers as support
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
NO_SWEEPER = ("api", "worker", "dispatcher")
PATH = "/api/v1/schedules"
NEW_YEAR = "0 0 1 1 *"
HOURLY = "0 * * * *"


@pytest.fixture
async def still(start_service: StartService) -> Service:
    """A service whose schedules fire only when the test takes a step."""
    return await start_service(roles=NO_SWEEPER)


async def schedule(service: Service, name: str, cron: str, type_: str = "echo", **members: Any) -> dict[str, Any]:
    submission = {"type": type_, **members.pop("submission", {})}
    body = {"name": name, "cron": cron, "submission": submission, **members}
    answer = await service.client.post(PATH, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def read(service: Service, name: str) -> dict[str, Any]:
    answer = await service.client.get(f"{PATH}/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def schedule_missed(service: Service, name: str, *, hours: int, **members: Any) -> list[datetime]:
    """Creates an hourly schedule that was last due half an hour ago and has not been looked at for this many hours.

    Returns the missed times, oldest first.
    """
    [[now]] = await service.sql_in_one("select date_trunc('minute', now())")
    last = now - timedelta(minutes=30)
    await schedule(service, name, f"{last.minute} * * * *", **members)
    missed = [last - timedelta(hours=ago) for ago in range(hours, -1, -1)]
    await service.sql("update schedules set next_run_at = $2 where name = $1", name, missed[0])
    return missed


async def make_due(service: Service, *names: str) -> None:
    """Due just now: less than a minute late."""
    await service.sql("update schedules set next_run_at = now() - interval '1 second' where name = any($1)", names)


async def step(service: Service) -> float:
    return min([await node.scheduler.step() for node in service.nodes])


async def runs(service: Service, name: str) -> list[tuple[datetime, UUID | None]]:
    """Returns the recorded runs of a schedule, oldest first."""
    rows = await service.sql("select due_at, job_id from schedule_runs where name = $1 order by due_at", name)
    return [(row["due_at"], row["job_id"]) for row in rows]


async def jobs_made(service: Service, name: str) -> int:
    counted = "select count(*) from jobs where starts_with(correlation_id, $1)"
    return await service.total(counted, f"schedule:{name}:")


def scheduler_on(database: Database) -> Scheduler:
    return Scheduler(
        database,
        Wakeups(),
        Metrics(),
        types=KnownTypes(Registry([]), database),
        queue_limit=QueueLimit(database, most=MOST_QUEUES),
        clock=DatabaseClock(),
        tracing=Tracing(),
    )


@asynccontextmanager
async def another_scheduler(url: str) -> AsyncIterator[Scheduler]:
    """Yields the scheduler of another node, on connections of its own."""
    database = Database(url)
    try:
        yield scheduler_on(database)
    finally:
        await database.close()


# Firing


async def test_a_schedule_submits_its_job_when_it_is_due(service: Service) -> None:
    await schedule(service, "each-second", "* * * * * *", submission={"parameters": {"a": [1]}, "labels": {"of": "it"}})
    shown = await eventually(lambda: shown_with_job(service, "each-second"))
    view = await service.ended(shown["lastJob"]["jobId"])
    assert (view["status"], view["result"], view["labels"]) == ("completed", {"a": [1]}, {"of": "it"})
    assert view["correlationId"] == f"schedule:each-second:{shown['lastJob']['dueAt']}"
    assert shown["lastRunAt"] == shown["lastJob"]["dueAt"] < shown["nextRunAt"]
    due_at = datetime.fromisoformat(shown["lastRunAt"])
    assert (due_at, UUID(view["jobId"])) in await runs(service, "each-second")


async def test_an_expression_that_an_earlier_release_took_fires_on(still: Service) -> None:
    await schedule(still, "of-old", NEW_YEAR)
    await still.sql("update schedules set cron = '0 0 L/2 * *' where name = 'of-old'")
    await make_due(still, "of-old")
    await step(still)
    shown = await read(still, "of-old")
    assert (await jobs_made(still, "of-old"), shown["lastError"]) == (1, None)
    assert (datetime.fromisoformat(shown["nextRunAt"]) + timedelta(days=1)).day == 1


async def shown_with_job(service: Service, name: str) -> dict[str, Any] | None:
    shown = await read(service, name)
    return shown if shown["lastJob"] else None


async def test_it_fires_each_second_once_with_two_nodes(start_service: StartService) -> None:
    first, second = await start_service(), await start_service()
    await schedule(first, "twins", "* * * * * *", catchUp="all")

    async def four_runs() -> bool:
        return len(await runs(second, "twins")) >= 4

    await eventually(four_runs)
    assert (await second.client.delete(f"{PATH}/twins")).status_code == 204
    found = await runs(first, "twins")
    due = [due_at for due_at, _ in found]
    assert due == [due[0] + timedelta(seconds=n) for n in range(len(due))]
    assert {due_at.microsecond for due_at in due} == {0}
    assert await jobs_made(first, "twins") == len(found) == len({job_id for _, job_id in found})


async def test_steps_at_the_same_time_fire_each_schedule_once(still: Service) -> None:
    names = [f"crowd-{n}" for n in range(30)]
    for name in names:
        await schedule(still, name, NEW_YEAR)
    await make_due(still, *names)
    async with another_scheduler(still.database_url) as one, another_scheduler(still.database_url) as two:
        for _ in range(3):
            await asyncio.gather(one.step(), two.step(), one.step(), two.step())
    assert [await jobs_made(still, name) for name in names] == [1] * 30
    assert await still.sql("select name from schedules where next_run_at <= now()") == []


async def test_a_due_time_on_record_is_not_run_again(still: Service) -> None:
    missed = await schedule_missed(still, "again", hours=2, catchUp="all")
    await still.sql("insert into schedule_runs (tenant_id, name, due_at) values (1, 'again', $1)", missed[1])
    await step(still)
    assert [due_at for due_at, job_id in await runs(still, "again") if job_id] == [missed[0], missed[2]]
    assert await jobs_made(still, "again") == 2


async def test_a_step_that_is_cut_short_leaves_nothing_and_is_made_up_for(
    still: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = await schedule_missed(still, "cut", hours=1, catchUp="all")

    async def cut_short(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(scheduler, "advance", cut_short)
        with pytest.raises(asyncio.CancelledError):
            await step(still)
    assert (await runs(still, "cut"), await jobs_made(still, "cut")) == ([], 0)
    await step(still)
    assert [due_at for due_at, _ in await runs(still, "cut")] == missed


@pytest.mark.parametrize(("ahead", "due_in_hours"), [(2, 1), (-2, -1)])
async def test_the_clock_of_the_database_decides_not_that_of_the_node(
    database_url: str, ahead: int, due_in_hours: int
) -> None:
    """A job that is due in an hour by the node's clock is due now if the database clock is two hours ahead."""
    await set_clock(database_url, f"{ahead} hours")
    database = Database(database_url)
    template = '{"type": "echo"}'
    job = (
        '{"tenant_id": 1, "job_id": "0199c1f0-0000-7000-8000-000000000000", "type": "echo", "queue": "default", '
        '"priority": 0, "parameters": "{}", "timeout_seconds": 1, "max_attempts": 1}'
    )
    asked = Recurrence(HOURLY, "UTC", template, job, Overlap.ALLOW, CatchUp.LAST, paused=False)
    try:
        here = datetime.now(UTC)
        made = await create_schedule(database, (1, "skewed"), asked)
        assert made.next_run_at is not None
        assert timedelta() < made.next_run_at - here - timedelta(hours=ahead) <= timedelta(hours=1, minutes=1)
        due = here + timedelta(hours=due_in_hours)
        async with database.connection() as connection:
            await connection.execute("update schedules set next_run_at = $1", due)
        await scheduler_on(database).step()
        async with database.connection() as connection:
            found = await connection.fetch("select due_at from schedule_runs")
        assert len(found) == (1 if ahead > 0 else 0)
    finally:
        await database.close()


async def set_clock(url: str, ahead: str) -> None:
    """Makes `now()` of this database return another time than the machine's."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            f"""
            create schema skewed;
            create function skewed.now() returns timestamptz stable language sql
                as $$ select pg_catalog.now() + interval '{ahead}' $$;
            """
        )
        name = await connection.fetchval("select current_database()")
        await connection.execute(f"alter database {name} set search_path = skewed, pg_catalog, public")
    finally:
        await connection.close()


async def test_the_pause_of_the_loop_ends_when_the_next_is_due(still: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await step(still) == scheduler.LONGEST_LOOK_SECONDS == 1
    monkeypatch.setattr(scheduler, "LONGEST_LOOK_SECONDS", 3600.0)
    await schedule(still, "soon", NEW_YEAR)
    assert await step(still) == 3600
    await still.sql("update schedules set next_run_at = now() + interval '600 seconds'")
    assert 300 <= await step(still) <= 600


# Overlap


async def test_skip_passes_over_due_times_while_the_last_job_has_not_ended(still: Service) -> None:
    await schedule(still, "skips", NEW_YEAR, "wait-for-gate", overlap="skip", submission={"parameters": {"name": "g"}})
    await make_due(still, "skips")
    await step(still)
    first = (await read(still, "skips"))["lastJob"]
    await asyncio.wait_for(support.has_entered("g").wait(), 60)
    await make_due(still, "skips")
    await step(still)
    assert [job_id is None for _, job_id in await runs(still, "skips")] == [False, True]
    assert (await read(still, "skips"))["lastJob"] == first
    support.gate("g").set()
    await still.ended(first["jobId"])
    await make_due(still, "skips")
    await step(still)
    assert [job_id is None for _, job_id in await runs(still, "skips")] == [False, True, False]
    assert (await read(still, "skips"))["lastJob"]["jobId"] != first["jobId"]


async def test_allow_submits_beside_a_job_that_has_not_ended(still: Service) -> None:
    await schedule(still, "allows", NEW_YEAR, submission={"delaySeconds": 3600})
    for _ in range(2):
        await make_due(still, "allows")
        await step(still)
    assert await still.total("select count(*) from scheduled") == 2


async def test_a_job_that_was_forgotten_had_ended(still: Service) -> None:
    await schedule(still, "old", NEW_YEAR, overlap="skip")
    await still.sql("update schedules set last_job_id = '01000000-0000-7000-8000-000000000000', last_run_at = now()")
    await make_due(still, "old")
    await step(still)
    assert await jobs_made(still, "old") == 1


# Catching up


@pytest.mark.parametrize(("policy", "run"), [("none", slice(0)), ("last", slice(-1, None)), ("all", slice(None))])
async def test_what_was_missed_is_run_as_the_policy_says(still: Service, policy: str, run: slice) -> None:
    missed = await schedule_missed(still, "missed", hours=3, catchUp=policy)
    await step(still)
    assert [due_at for due_at, _ in await runs(still, "missed")] == missed[run]
    assert await jobs_made(still, "missed") == len(missed[run])
    shown = await read(still, "missed")
    assert datetime.fromisoformat(shown["nextRunAt"]) == missed[-1] + timedelta(hours=1)


async def test_catching_up_goes_on_in_order_some_at_a_time(still: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "MOST_RUNS", 4)
    missed = await schedule_missed(still, "many", hours=4, catchUp="all")
    await schedule(still, "other", NEW_YEAR)
    await make_due(still, "other")
    assert await step(still) == 0
    assert [due_at for due_at, _ in await runs(still, "many")] == missed[:2]
    assert await jobs_made(still, "other") == 1  # a schedule with many missed runs does not delay others
    assert await step(still) == 0
    assert [due_at for due_at, _ in await runs(still, "many")] == missed
    made = await still.sql(
        "select correlation_id from jobs where starts_with(correlation_id, 'schedule:many:') order by job_id"
    )
    assert [row[0] for row in made] == sorted(row[0] for row in made)


# Pausing


async def test_a_paused_schedule_does_not_fire_and_catches_up_on_nothing(still: Service) -> None:
    await schedule_missed(still, "paused", hours=3, catchUp="all")
    answer = await still.client.patch(f"{PATH}/paused", json={"paused": True})
    assert answer.json()["nextRunAt"] is None
    assert await step(still) == 1
    answer = await still.client.patch(f"{PATH}/paused", json={"paused": False})
    assert datetime.fromisoformat(answer.json()["nextRunAt"]) > datetime.now(UTC)
    assert await step(still) <= 1
    assert await runs(still, "paused") == []


# Schedules that cannot run


async def test_one_that_the_database_refuses_does_not_hold_up_the_others(still: Service) -> None:
    names = ["a-good", "b-bad", "c-good"]
    for name in names:
        await schedule(still, name, NEW_YEAR)
    await still.sql(
        "update schedules set submission = jsonb_set(submission::jsonb, '{job,parameters}', '\"no json\"')::json "
        "where name = 'b-bad'"
    )
    await make_due(still, *names)
    await still.sql("update schedules set next_run_at = next_run_at - interval '1 second' where name = 'a-good'")
    with capture_logs() as logs:
        while await step(still) == 0:
            pass
    assert [await jobs_made(still, name) for name in names] == [1, 0, 1]
    assert [entry["schedule"] for entry in logs if entry["action"] == "schedule_failed"] == ["b-bad"]
    assert await still.sql("select name from schedules where next_run_at < now()") == [("b-bad",)]


async def test_one_whose_zone_this_machine_does_not_know_is_left_alone_for_a_while(still: Service) -> None:
    await schedule(still, "martian", NEW_YEAR)
    await schedule(still, "earthly", NEW_YEAR)
    await still.sql("update schedules set timezone = 'Mars/Olympus' where name = 'martian'")
    await make_due(still, "martian", "earthly")
    with capture_logs() as logs:
        assert await step(still) == 0
        assert await step(still) == 1
    assert [await jobs_made(still, name) for name in ("martian", "earthly")] == [0, 1]
    assert [entry["schedule"] for entry in logs if entry["action"] == "schedule_failed"] == ["martian"]


async def test_a_refused_job_leaves_its_due_time_without_one_and_shows_on_its_schedule(still: Service) -> None:
    parent = (await still.submit("echo"))["jobId"]
    await still.ended(parent)
    await schedule(still, "refused", NEW_YEAR, submission={"dependsOn": [parent]})
    await still.drop(parent)
    await make_due(still, "refused")
    with capture_logs() as logs:
        await step(still)
    [(due_at, job_id)] = await runs(still, "refused")
    assert job_id is None
    shown = await read(still, "refused")
    ScheduleBody.model_validate(shown, strict=True)
    assert shown["lastJob"] is None
    error = shown["lastError"]
    assert (error["code"], error["dueAt"]) == ("VALIDATION_FAILED", rfc3339(due_at))
    assert error["details"]["errors"] == [{"path": "dependsOn[0]", "message": f"no job has the id {parent}"}]
    assert [entry["schedule"] for entry in logs if entry["action"] == "schedule_refused"] == ["refused"]
    metrics = (await still.client.get("/metrics")).text
    assert 'duly_kept_submissions_refused_total{of="schedule"} 1.0' in metrics


@pytest.mark.parametrize("mended", [False, True])
async def test_an_error_shows_on_a_schedule_until_it_is_mended(still: Service, *, mended: bool) -> None:
    await schedule(still, "erring", NEW_YEAR)
    await still.sql("""update schedules set last_error = '{"code": "X"}'""")
    if mended:
        answer = await still.client.patch(f"{PATH}/erring", json={"submission": {"type": "echo"}})
        assert answer.json()["lastError"] is None
    else:
        await make_due(still, "erring")
        await step(still)
        assert await jobs_made(still, "erring") == 1
        assert (await read(still, "erring"))["lastError"] is None


async def test_a_schedule_that_cannot_be_fired_says_why(still: Service) -> None:
    await schedule(still, "martian", NEW_YEAR)
    await still.sql("update schedules set timezone = 'Mars/Olympus' where name = 'martian'")
    await make_due(still, "martian")
    await step(still)
    error = (await read(still, "martian"))["lastError"]
    assert [each["path"] for each in error["details"]["errors"]] == ["timezone"]


# The job


async def test_a_unique_key_has_one_job_stand_for_several_due_times(still: Service) -> None:
    await schedule(still, "unique", NEW_YEAR, submission={"uniqueKey": "u", "delaySeconds": 3600})
    for _ in range(2):
        await make_due(still, "unique")
        await step(still)
    (_, first), (_, second) = await runs(still, "unique")
    assert first is not None
    assert first == second
    assert (await read(still, "unique"))["lastJob"]["jobId"] == str(first)


async def test_defaults_are_those_that_the_type_has_today(still: Service) -> None:
    await schedule(still, "defaults", NEW_YEAR, "raise", submission={"delaySeconds": 3600})
    await schedule(still, "explicit", NEW_YEAR, "raise", submission={"delaySeconds": 3600, "maxAttempts": 1})
    # As an older version of the handler would have left it.
    await still.sql("update schedules set submission = jsonb_set(submission::jsonb, '{job,max_attempts}', '9')::json")
    await make_due(still, "defaults", "explicit")
    await step(still)
    views = [await still.job((await read(still, name))["lastJob"]["jobId"]) for name in ("defaults", "explicit")]
    assert [view["maxAttempts"] for view in views] == [3, 1]


async def test_a_node_without_the_handler_fires_all_the_same(still: Service) -> None:
    await schedule(still, "strange", NEW_YEAR, "raise", submission={"delaySeconds": 3600})
    await make_due(still, "strange")
    async with another_scheduler(still.database_url) as scheduler:
        await scheduler.step()
    view = await still.job((await read(still, "strange"))["lastJob"]["jobId"])
    assert (view["type"], view["maxAttempts"]) == ("raise", 3)


# Housekeeping


async def test_old_runs_are_forgotten_in_bounded_batches(still: Service) -> None:
    await still.sql(
        "insert into schedule_runs (tenant_id, name, due_at) select 1, name, now() - days * interval '1 day' "
        "from unnest(array['a', 'b', 'gone']) as n (name), unnest(array[1, 29, 31, 32, 400]) as d (days)"
    )
    async with still.node.database.connection() as connection:
        assert await delete_old_runs(connection, limit=4) == 4
        assert await delete_old_runs(connection, limit=4) == 4
        assert await delete_old_runs(connection, limit=4) == 1
    rows = await still.sql(
        "select name, count(*), min(due_at) > now() - interval '30 days' from schedule_runs group by 1"
    )
    assert sorted(tuple(row) for row in rows) == [("a", 2, True), ("b", 2, True), ("gone", 2, True)]
    await still.sql("update schedule_runs set due_at = due_at - interval '10 days' where name = 'gone'")
    await still.node.sweeper.run_housekeeping(retention_days=30)
    rows = await still.sql("select count(*) from schedule_runs where name = 'gone'")
    assert rows[0][0] == 1
