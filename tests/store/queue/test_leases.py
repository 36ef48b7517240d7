"""Statements of leases: they find their rows by whole keys, and name attempt and tenant."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from duly.domain.events import EventKind
from duly.domain.ids import SMALLEST, new_job_id
from duly.domain.job import ClaimedJob, Finish
from duly.lifecycle.leases.poll_rounds import lease_of
from duly.store.postgres.database import Connection
from duly.store.queue.flow_control import read_version
from duly.store.queue.lease_plan import LeasePlan
from duly.store.queue.leases import (
    EXTEND_LEASES_IF_HELD,
    READ_LEASE_ENDS,
    Extension,
    LeaseEnd,
    extend_leases_if_held,
    find_leased_since,
    finish_leases_if_held,
    read_lease_ends,
)
from duly.store.queue.ready import LEASE, LaneStart, claim_ready
from duly.store.queue.running import (
    FIND_OVERDUE,
    FINISH_LEASES_IF_HELD,
    OverdueReason,
    find_overdue,
    finish_if_held,
)
from duly.store.submit.jobs import record_jobs
from tests.store.test_plans import LANE, NODE, STATES, conditions, new_jobs, plan_of, scanned_in_full, tables

pytestmark = pytest.mark.fresh_database
TENANT = 1


async def leased(
    connection: Connection, count: int, *, plan: LeasePlan | None = None, limit: int = 0
) -> list[ClaimedJob]:
    """Returns jobs that were claimed with a lease of 30 seconds, or by a plan."""
    if count:
        await record_jobs(connection, new_jobs(count))
    return await claim_ready(
        connection,
        [LaneStart(LANE, SMALLEST)],
        limit=limit or count,
        node_id=NODE,
        source="test",
        version=await read_version(connection),
        leases=plan or LeasePlan([1], [30], ["worker"], [None]),
    )


def requeued(job: ClaimedJob) -> Finish:
    return Finish(job.job_id, job.token, EventKind.REQUEUED, "{}", charged=False)


def end_of(job: ClaimedJob, *, tenant_id: int = TENANT, digest: bytes = b"1") -> LeaseEnd:
    return LeaseEnd(Finish(job.job_id, job.token, EventKind.COMPLETED, "null"), tenant_id, digest)


async def finish(connection: Connection, ends: Sequence[LeaseEnd]) -> list[UUID]:
    recorded = await finish_leases_if_held(connection, ends, source="test", cancelled_error="{}")
    return [job_id for job_id, _ in recorded.finished]


@pytest.mark.parametrize("state", STATES)
async def test_leases_are_written_and_read_by_their_keys(database_url: str, state: str) -> None:
    job = (uuid4(), 1)
    values: list[Any] = [[job[0]], [1], [10], [None], [0.0], [True], [False], "{}", "test", job[0], [1], [b"1"]]
    async with tables(database_url, state) as connection:
        if state != "empty":
            await leased(connection, 40)
            await connection.execute("analyze leases")
        plans = {
            "claim": await plan_of(
                connection,
                LEASE,
                *([1], ["default"], ["echo"], [0], [SMALLEST], 10, NODE, SMALLEST, "test", 1),
                *([1], [1], [1], [1]),
                *([1], [30], ["worker"], [None]),
            ),
            "extend": await plan_of(connection, EXTEND_LEASES_IF_HELD, [1], [job[0]], [1], [0]),
            "finish": await plan_of(connection, FINISH_LEASES_IF_HELD, *values),
            "ends": await plan_of(connection, READ_LEASE_ENDS, [1], [job[0]], [1]),
        }
        overdue = await plan_of(connection, FIND_OVERDUE, 5.0, 500, [])
    assert {name: found for name, nodes in plans.items() if (found := scanned_in_full(nodes))} == {}
    assert conditions(plans["extend"], "leases") == ["((job_id >= t.job_id) AND (job_id <= t.job_id))"]
    assert conditions(plans["extend"], "running") == ["(job_id = t.job_id)"]
    assert "(job_id = n.job_id)" in conditions(overdue, "leases")


async def test_a_lease_is_extended_by_its_token_and_tenant_only(database_url: str) -> None:
    async with tables(database_url, "empty") as connection:
        [job, other] = await leased(connection, 2)
        right = Extension(TENANT, job.job_id, job.token, 3)
        wrong = [
            right._replace(token=2),
            right._replace(tenant_id=2),
            right._replace(job_id=new_job_id()),
        ]
        for each in wrong:
            assert await extend_leases_if_held(connection, [each]) == {}
        extended = await extend_leases_if_held(connection, [right, Extension(TENANT, other.job_id, 1, 0)])
    assert {key: value.lines for key, value in extended.items()} == {(job.job_id, 1): 3, (other.job_id, 1): 0}


async def test_each_lease_has_the_terms_of_its_place_in_the_claim(database_url: str) -> None:
    plan = LeasePlan([1, 3, 3, 4], [30, 40, 50, 60], ["a", "none", "b", None], ["key", None, None, "other"])
    async with tables(database_url, "empty") as connection:
        jobs = await leased(connection, 5, plan=plan)
        rows = await connection.fetch(
            "select job_id, lease_seconds, worker_name, key_id, expires_at, token from leases"
        )
    terms = {row[0]: tuple(row) for row in rows}
    assert [terms[job.job_id][1:4] for job in jobs] == [
        *(2 * [(30, "a", "key")]),
        (50, "b", None),
        *(2 * [(60, None, "other")]),
    ]
    assert [lease_of(job).plan_index for job in jobs] == [0, 0, 2, 3, 3]
    assert [(lease_of(job).expires_at, job.token) for job in jobs] == [terms[job.job_id][4:] for job in jobs]
    first, *_, last = (lease_of(job).expires_at for job in jobs)
    assert last - first == timedelta(seconds=30)


async def test_a_lease_that_was_left_behind_is_replaced(database_url: str) -> None:
    async with tables(database_url, "empty") as connection:
        [job] = await leased(connection, 1)
        await finish_if_held(connection, [requeued(job)], source="test", cancelled_error="{}")
        await connection.execute(
            "insert into leases (tenant_id, job_id, token, lease_seconds, expires_at, lines, cancel_told_at)"
            " values (1, $1, 1, 5, now(), 7, now())",
            job.job_id,
        )
        [again] = await leased(connection, 0, limit=1)
        row = await connection.fetchrow("select token, lease_seconds, lines, cancel_told_at from leases")
    assert (again.job_id, again.token) == (job.job_id, 2)
    assert row is not None
    assert tuple(row) == (2, 30, 0, None)


async def test_attempts_of_a_claim_without_an_answer_are_those_that_started_after_the_others(database_url: str) -> None:
    async with tables(database_url, "empty") as connection:
        answered = await leased(connection, 2)
        lost = await leased(connection, 3)
        newest = max(lease_of(job).started_at for job in answered)
        assert await find_leased_since(connection, NODE, newest) == {job.job_id: job.token for job in lost}
        assert len(await find_leased_since(connection, NODE, None)) == 5
        assert await find_leased_since(connection, uuid4(), None) == {}
        assert await find_leased_since(connection, NODE, max(lease_of(job).started_at for job in lost)) == {}


async def test_an_end_is_recorded_once_and_remembered(database_url: str) -> None:
    async with tables(database_url, "empty") as connection:
        [job] = await leased(connection, 1)
        assert await finish(connection, [end_of(job, tenant_id=2)]) == []
        assert await finish(connection, [end_of(job)._replace(finish=end_of(job).finish._replace(token=2))]) == []
        assert await finish(connection, [end_of(job)]) == [job.job_id]
        assert await finish(connection, [end_of(job)]) == []
        remembered = await read_lease_ends(connection, [end_of(job)])
        assert {key: (end.kind, end.digest) for key, end in remembered.items()} == {
            (job.job_id, 1): (EventKind.COMPLETED, b"1")
        }
        assert await read_lease_ends(connection, [end_of(job, tenant_id=2)]) == {}
        assert await connection.fetch("select from leases") == []


async def test_a_lease_without_a_row_and_an_expired_one_are_overdue(database_url: str) -> None:
    async with tables(database_url, "empty") as connection:
        held, expired, missing = await leased(connection, 3)
        await connection.execute("update leases set expires_at = now() where job_id = $1", expired.job_id)
        await connection.execute("delete from leases where job_id = $1", missing.job_id)
        overdue = await find_overdue(connection, patience_seconds=5.0, limit=10)
        await finish(connection, [end_of(job) for job in (held, expired, missing)])
    assert {each.job_id: each.verdict for each in overdue} == {
        job.job_id: OverdueReason.LEASE_EXPIRED for job in (expired, missing)
    }
    assert held.job_id not in {each.job_id for each in overdue}
