"""Rounds of claims are shared between tenants: many jobs in many lanes of one do not delay a single job of another."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from duly.domain.ids import new_job_id
from duly.domain.job import ClaimedJob, NewJob
from duly.lifecycle.claim.claim import Claimant, Claimer
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.postgres.database import Connection, Database
from duly.store.queue.flow_control import pause_queue, raise_version
from duly.store.queue.limits import FlowLimits, Scope, set_limits
from duly.store.submit.jobs import record_jobs
from duly.telemetry.metrics import Metrics

NODE = UUID(int=7)
HEAVY, LIGHT = 1, 2
LANES, JOBS_IN_A_LANE = 50, 40


def jobs_of(tenant: int, count: int, *, queue: str = "mail", priority: int = 0) -> list[NewJob]:
    return [NewJob(tenant, new_job_id(), "echo", queue, priority, "{}", 60.0, 5) for _ in range(count)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with database.connection() as opened:
        yield opened


@pytest.fixture
async def heavy(connection: Connection) -> None:
    """Jobs of one tenant in many lanes, all of them older and of a higher priority than those of others."""
    for lane in range(LANES):
        queue, priority = f"mail-{lane % 25}", 100 - lane % 2
        await record_jobs(connection, jobs_of(HEAVY, JOBS_IN_A_LANE, queue=queue, priority=priority))


def claimer(database: Database) -> Claimer:
    return Claimer(database, Wakeups(), Metrics(), types={"echo"})


async def claim(node: Claimer, room: int) -> Sequence[ClaimedJob]:
    node.invalidate()  # looks at the table, as it does every second
    return await node.claim(room, by=Claimant(NODE, "worker:test"))


async def rounds_until(node: Claimer, tenant: int, *, room: int) -> int:
    """Returns the number of rounds until a job of this tenant is claimed."""
    for number in range(1, 100):
        jobs = await claim(node, room)
        assert len(jobs) == room
        if any(job.tenant_id == tenant for job in jobs):
            return number
    raise AssertionError(f"no job of tenant {tenant} in 100 rounds")


@pytest.mark.usefixtures("heavy")
@pytest.mark.parametrize("room", [1, 2, 30])
async def test_a_single_job_is_claimed_in_the_next_round(database: Database, connection: Connection, room: int) -> None:
    node = claimer(database)
    await rounds_until(node, HEAVY, room=room)
    for _ in range(3):
        await record_jobs(connection, jobs_of(LIGHT, 1))
        assert await rounds_until(node, LIGHT, room=room) == 1
        await rounds_until(node, HEAVY, room=room)


@pytest.mark.usefixtures("heavy")
async def test_a_round_is_shared_equally_and_none_of_it_is_left(database: Database, connection: Connection) -> None:
    for tenant, count in ((2, 100), (3, 5), (4, 100)):
        await record_jobs(connection, jobs_of(tenant, count))
    node = claimer(database)
    first = Counter(job.tenant_id for job in await claim(node, 80))
    assert first == {1: 35, 2: 20, 3: 5, 4: 20}  # what the third leaves goes to one of the others
    second = Counter(job.tenant_id for job in await claim(node, 60))
    assert second == {1: 20, 2: 20, 4: 20}


@pytest.mark.usefixtures("heavy")
@pytest.mark.parametrize("room", [2, 30])
async def test_limits_of_many_queues_take_no_more_than_their_tenants_share(
    database: Database, connection: Connection, room: int
) -> None:
    """Each limited queue is claimed by a statement of its own."""
    for queue in range(0, 25, 2):
        await set_limits(
            connection, HEAVY, Scope.QUEUE, f"mail-{queue}", FlowLimits(concurrency=1_000), begins_in_seconds=0
        )
    await raise_version(connection)
    node = claimer(database)
    await rounds_until(node, HEAVY, room=room)
    for tenant in (2, 3, 2):
        await record_jobs(connection, jobs_of(tenant, 1))
        assert await rounds_until(node, tenant, room=room) == 1
    await record_jobs(connection, jobs_of(2, room))
    shared = Counter(job.tenant_id for job in await claim(node, room))
    assert shared == {HEAVY: room // 2, 2: room // 2}


@pytest.mark.usefixtures("heavy")
async def test_a_limited_tenant_has_its_share_beside_one_without_limits(
    database: Database, connection: Connection
) -> None:
    await record_jobs(connection, jobs_of(LIGHT, 20, queue="mail-0"))
    await set_limits(connection, LIGHT, Scope.QUEUE, "mail-0", FlowLimits(concurrency=3), begins_in_seconds=0)
    await pause_queue(connection, 3, "mail-0")
    await raise_version(connection)
    node = claimer(database)
    assert Counter(job.tenant_id for job in await claim(node, 30)) == {HEAVY: 27, LIGHT: 3}


async def test_many_tenants_are_served_in_turn_where_one_slot_is_free(
    database: Database, connection: Connection
) -> None:
    tenants = range(1, 9)
    for tenant in tenants:
        await record_jobs(connection, jobs_of(tenant, 3))
    node = claimer(database)
    order = [(await claim(node, 1))[0].tenant_id for _ in range(24)]
    assert order == [*tenants] * 3


@pytest.mark.usefixtures("heavy")
async def test_a_job_that_cannot_be_started_is_noted_for_its_tenant(database: Database, connection: Connection) -> None:
    [broken] = jobs_of(LIGHT, 1)
    await record_jobs(connection, [broken])
    await connection.execute("alter table running add constraint refuses check (tenant_id <> 2)")
    node = claimer(database)
    for _ in range(12):
        await claim(node, 30)
    noted = await connection.fetch("select tenant_id, job_id from set_aside")
    await connection.execute("alter table running drop constraint refuses")
    assert [tuple(row) for row in noted] == [(LIGHT, broken.job_id)]
