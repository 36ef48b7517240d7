"""One look for the work of all loops that rest: what it finds, and what happens if it fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime

import pytest

from duly.lifecycle.cluster import lookout
from duly.lifecycle.cluster.lookout import LOOK_SECONDS, REST_SECONDS, Lookout
from duly.store.maintenance.due_work import LOOPS, SIGNS, DueWork, Snapshot, read_due_work
from duly.store.postgres.database import Connection, Database, DatabaseOutage
from tests.support.service import BOUND_SECONDS

SCHEDULED = """
insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, reason, queue, type)
values (1, gen_random_uuid(), now() + interval '300 milliseconds', 0, 0, 60, 0, 0, 0, 0, 0, 'default', 'echo')
"""
READY = """
insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events,
                   queue, type, expires_at)
values (1, gen_random_uuid(), 0, 0, 60, 0, 0, 0, 0, 'default', 'echo', now() - interval '1 minute')
"""
INBOX = """
insert into inbox (tenant_id, job_id, called_at, size, queue, type, parameters, options)
values (1, gen_random_uuid(), now(), 4, 'default', 'echo', 'null', '{}')
"""
DELIVERY = """
insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered)
values (1, gen_random_uuid(), 8, 10, gen_random_uuid(), true)
"""
SCHEDULE = """
insert into schedules (tenant_id, name, cron, timezone, submission, overlap, catch_up, paused, next_run_at)
values (1, 'nightly', '* * * * *', 'UTC', '{"asked": {}, "job": {}}', 0, 0, false, now())
"""
REPLAY = (
    "insert into replays (tenant_id, replay_id, endpoint_id, since) select 1, id, id, now() from gen_random_uuid() id"
)
ENDING = "insert into endings (tenant_id, job_id, sequence, kind, marks) values (1, gen_random_uuid(), 1, 10, 4)"
RUNNING = """
insert into running (tenant_id, job_id, node_id, deadline, token, sequence, timeout_seconds, priority, attempt, crashes,
                     callback_events, queue, type)
values (1, gen_random_uuid(), gen_random_uuid(), now(), 1, 1, 60, 0, 1, 0, 0, 'default', 'echo')
"""
SILENT_NODE = """
insert into nodes (node_id, name, version, roles, job_types, heartbeat_at)
values (gen_random_uuid(), 'n', '1', '{}', '{}', now() - interval '9 seconds')
"""
LIVE_NODE = SILENT_NODE.replace("9 seconds", "7 seconds")
TALLY = """
insert into batch_tallies (tenant_id, batch_id, completed, failed, cancelled) values (1, gen_random_uuid(), 1, 0, 0)
"""

SNAPSHOT = Snapshot(100, 100, 0.0, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def rest(looked: Lookout, *names: str) -> None:
    async def found_nothing() -> float:
        return LOOK_SECONDS

    for name in names:
        assert await looked.watch(name, found_nothing)() == REST_SECONDS


def noting(woken: set[str]) -> Callable[[str], Callable[[], None]]:
    return lambda name: lambda: woken.add(name)


async def test_a_loop_that_will_have_work_soon_does_not_rest() -> None:
    async def soon() -> float:
        return 0.3

    looked = Lookout(Database("postgresql://127.0.0.1:1/none"), noting(set()))
    assert await looked.watch("release", soon)() == 0.3
    assert await looked.step() == LOOK_SECONDS  # and nothing is asked where none rests


async def test_an_empty_database_wakes_no_loop(database: Database) -> None:
    woken: set[str] = set()
    looked = Lookout(database, noting(woken))
    await rest(looked, *LOOPS, *SIGNS)
    assert await looked.step() == LOOK_SECONDS
    assert woken == set(SIGNS)  # they may have read before the first look, which has nothing to compare with
    woken.clear()
    assert await looked.step() == LOOK_SECONDS
    assert woken == set()
    assert looked.nothing_to_sweep()


@pytest.mark.parametrize(
    ("statement", "loops", "soonest", "latest"),
    [
        (SCHEDULED, {"release"}, 0.3, 0.3),
        (READY, {"expire", "claim"}, -60, 0),
        (INBOX, {"inbox"}, 0, 0),
        (DELIVERY, {"dispatch"}, 0, 0),
        (SCHEDULE, {"schedules"}, 0, 0),
        (REPLAY, {"replay"}, 0, 0),
        (ENDING, {"follow-ups"}, 0, 0),
        (TALLY, {"follow-ups"}, 0, 0),
    ],
    ids=["scheduled", "ready", "inbox", "delivery", "schedule", "replay", "ending", "tally"],
)
async def test_due_work_is_found_for_the_loop_that_does_it(
    database: Database, statement: str, loops: set[str], soonest: float, latest: float
) -> None:
    async with database.hot().use() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(statement)
        due = (await read_due_work(connection, list(LOOPS))).seconds
        assert (await read_due_work(connection, set(LOOPS) - loops)).seconds == {}
        await transaction.rollback()
    assert due.keys() == loops
    assert soonest - 0.01 <= min(due.values()) <= max(due.values()) <= latest + 0.01


@pytest.mark.parametrize(
    ("statement", "loop"),
    [
        ("update epochs set server_started_at = now() where began = (select max(began) from epochs)", "epochs"),
        ("update control set version = version + 1 where id = 1", "claim"),
        ("insert into control as c values (2, 1) on conflict (id) do update set version = c.version + 1", "keys"),
        ("insert into control as c values (3, 1) on conflict (id) do update set version = c.version + 1", "job-types"),
        ("update tenants set submit_rate = 7 where tenant_id = 1", "submission-limits"),
        ("update tenants set backlog_limit = 7 where tenant_id = 1", "submission-limits"),
        ("insert into limits (tenant_id, scope, name, backlog) values (1, 0, '', 5)", "submission-limits"),
        ("insert into limits (tenant_id, scope, name, backlog) values (1, 3, 'mail', 5)", "submission-limits"),
        ("insert into limits (tenant_id, scope, name, tokens) values (1, 4, '', 5)", None),
        ("insert into limits (tenant_id, scope, name, backlog) values (2, 0, '', 5)", None),
        (RUNNING, "sweep"),
        (SILENT_NODE, "sweep"),
        (LIVE_NODE, None),
    ],
)
async def test_a_change_of_what_a_resting_loop_reads_changes_its_sign(
    database: Database, statement: str, loop: str | None
) -> None:
    async def signs(connection: Connection) -> Mapping[str, str | None]:
        return (await read_due_work(connection, (), tenants=[1], lease_seconds=8)).signs

    async with database.hot().use() as connection:
        transaction = connection.transaction()
        await transaction.start()
        before = await signs(connection)
        await connection.execute(statement)
        after = await signs(connection)
        await transaction.rollback()
    assert {name for name in SIGNS if before[name] != after[name]} == ({loop} if loop is not None else set())


async def test_a_loop_is_woken_after_its_sign_changed_and_while_it_may_not_rest(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: set[str] = set()
    signs: dict[str, str | None] = {"keys": "1", "job-types": "1"}

    async def read(*_: object, **_more: object) -> DueWork:
        return DueWork({}, dict(signs), SNAPSHOT, None)

    async def nothing() -> float:
        return 2.0

    monkeypatch.setattr(lookout, "read_due_work", read)
    looked = Lookout(database, noting(woken))
    busy: list[str] = []
    step = looked.watch("keys", nothing, rests=lambda: not busy)
    await rest(looked, "job-types")
    assert await step() == REST_SECONDS
    await looked.step()
    woken.clear()
    await looked.step()
    assert woken == set()
    signs["job-types"] = "2"
    await looked.step()
    assert woken == {"job-types"}
    woken.clear()
    busy.append("a stream is held open")
    await looked.step()
    assert woken == {"keys"}
    assert await step() == 2.0


async def test_a_loop_with_work_left_is_not_put_to_rest() -> None:
    async def claimed() -> float:
        return 0.0

    looked = Lookout(Database("postgresql://127.0.0.1:1/none"), noting(set()))
    assert await looked.watch("claim", claimed, rests=lambda: True)() == 0.0


async def test_work_of_the_next_second_wakes_its_loop_on_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = asyncio.Event()

    async def soon(*_: object, **_more: object) -> DueWork:
        return DueWork({"release": 0.01, "schedules": 5.0}, {}, SNAPSHOT, None)

    monkeypatch.setattr(lookout, "read_due_work", soon)
    looked = Lookout(database, lambda name: woken.set if name == "release" else pytest.fail)
    await rest(looked, "release", "schedules")
    await looked.step()
    await asyncio.wait_for(woken.wait(), BOUND_SECONDS)


async def test_all_loops_look_for_themselves_if_the_look_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "ANSWER_SECONDS", 0.2)
    woken: set[str] = set()
    looked = Lookout(database, noting(woken))
    await rest(looked, "inbox", "release")
    async with database.connection() as other, other.transaction():
        await other.execute("lock table inbox")
        with pytest.raises(DatabaseOutage):
            await looked.step()
        assert woken == {"inbox", "release"}

        async def found_nothing() -> float:
            return 2.0

        for name in ("inbox", "release"):
            assert await looked.watch(name, found_nothing)() == 2.0
    monkeypatch.setattr(lookout, "ANSWER_SECONDS", BOUND_SECONDS)
    await looked.step()
    await rest(looked, "inbox", "release")  # it works again
