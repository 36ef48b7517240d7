"""A job's id is unique over all tenants: an id of another tenant is refused, and nothing of that tenant is changed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from duly.domain.job import DEFAULT_TENANT, Accepted, Debounce, Flow, IdempotencyKey, NewJob
from duly.errors import JobExists
from duly.lifecycle.submit import insert_tied
from duly.store.postgres.database import Connection
from duly.store.ties.unique_keys_and_dependencies import find_ids
from tests.support.handlers import gate, has_entered
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
MINE, THEIRS = DEFAULT_TENANT, 2
DIGEST = b"the same submission"


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """Returns a service with two tenants."""
    service = await start_service()
    await service.sql("insert into tenants (tenant_id, name) values ($1, 'theirs')", THEIRS)
    return service


def job_of(tenant_id: int, job_id: UUID, **members: Any) -> NewJob:
    """Returns a job under an id that a client made."""
    return NewJob(tenant_id, job_id, "echo", "default", 0, "{}", 60.0, 3, flow=Flow(digest=DIGEST, **members))


async def submit_together(service: Service, *jobs: NewJob) -> Sequence[Accepted | BaseException]:
    """Submits jobs in one flush."""
    return await asyncio.gather(*(service.node.submitter.submit(job) for job in jobs), return_exceptions=True)


def hide_recorded_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides recorded ids from the next look, as if they were recorded right after it."""
    looks = count()

    async def find(connection: Connection, ids: Sequence[UUID]) -> Mapping[UUID, Any]:
        return await find_ids(connection, ids) if next(looks) else {}

    monkeypatch.setattr(insert_tied, "find_ids", find)


async def owner_of(service: Service, job_id: UUID) -> list[int]:
    return [row[0] for row in await service.sql("select tenant_id from jobs where job_id = $1", job_id)]


async def test_an_id_of_another_tenant_is_taken_though_the_submission_is_the_same(service: Service) -> None:
    job_id = service.node.clock.ids.new()
    await service.node.submitter.submit(job_of(MINE, job_id))
    before = await service.ended(str(job_id))
    with pytest.raises(JobExists):
        await service.node.submitter.submit(job_of(THEIRS, job_id))
    assert await service.ended(str(job_id)) == before
    assert await owner_of(service, job_id) == [MINE]


@pytest.mark.parametrize("keyed", [False, True])
async def test_of_two_tenants_that_submit_one_id_at_once_one_gets_it(service: Service, keyed: bool) -> None:
    for _ in range(20):
        job_id = service.node.clock.ids.new()
        jobs = [job_of(tenant, job_id) for tenant in (MINE, THEIRS, MINE, THEIRS)]
        if keyed:
            jobs = [job._replace(idempotency=IdempotencyKey(f"{n} of {job_id}", DIGEST)) for n, job in enumerate(jobs)]
        results = await submit_together(service, *jobs)
        [owner] = await owner_of(service, job_id)
        for job, result in zip(jobs, results, strict=True):
            assert isinstance(result, Accepted if job.tenant_id == owner else JobExists), (job, result)


async def test_two_nodes_that_record_one_id_for_two_tenants_agree(start_service: StartService) -> None:
    nodes = [await start_service() for _ in range(2)]
    await nodes[0].sql("insert into tenants (tenant_id, name) values ($1, 'theirs')", THEIRS)
    for _ in range(20):
        job_id = nodes[0].node.clock.ids.new()
        submits = (
            node.node.submitter.submit(job_of(tenant, job_id))
            for node, tenant in zip(nodes, (MINE, THEIRS), strict=True)
        )
        results = await asyncio.gather(*submits, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["Accepted", "JobExists"]


async def test_a_job_of_another_tenant_is_no_dependency_though_both_submit_at_once(service: Service) -> None:
    parent = (await service.submit("echo", {}, delaySeconds=600))["jobId"]
    jobs = [job_of(tenant, service.node.clock.ids.new(), depends_on=(UUID(parent),)) for tenant in (MINE, THEIRS)]
    mine, theirs = await submit_together(service, *jobs)
    assert isinstance(mine, Accepted)
    assert "no job has the id" in str(getattr(theirs, "errors", theirs))


async def test_an_id_of_another_tenant_leaves_the_unique_keys_of_both_as_they_were(service: Service) -> None:
    job_id = service.node.clock.ids.new()
    await service.node.submitter.submit(job_of(MINE, job_id, unique_key="k")._replace(delay_seconds=600.0))
    held = await service.sql("select tenant_id, key, job_id from unique_keys")
    with pytest.raises(JobExists):
        await service.node.submitter.submit(job_of(THEIRS, job_id, unique_key="k")._replace(delay_seconds=600.0))
    assert await service.sql("select tenant_id, key, job_id from unique_keys") == held


@pytest.mark.parametrize("raced", [False, True])
async def test_a_started_job_keeps_its_debounced_key_where_its_successor_is_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch, raced: bool
) -> None:
    running = await service.submit("wait-for-gate", {"name": "one"}, uniqueKey="k", debounceSeconds=0.01)
    async with asyncio.timeout(60):
        await has_entered("one").wait()
    taken = service.node.clock.ids.new()
    await service.node.submitter.submit(job_of(THEIRS, taken))
    if raced:
        hide_recorded_ids(monkeypatch)
    debounced = job_of(MINE, taken, unique_key="k", debounce=Debounce(0.01, 1.0))._replace(type="wait-for-gate")
    with pytest.raises(JobExists):
        await service.node.submitter.submit(debounced)
    assert await service.sql("select job_id from unique_keys where tenant_id = $1", MINE) == [(UUID(running["jobId"]),)]
    gate("one").set()
    await service.ended(running["jobId"])


@pytest.mark.parametrize("raced", [False, True])
async def test_a_submission_with_the_key_of_a_refused_one_is_recorded(
    service: Service, monkeypatch: pytest.MonkeyPatch, raced: bool
) -> None:
    taken, own = service.node.clock.ids.new(), service.node.clock.ids.new()
    await service.node.submitter.submit(job_of(MINE, taken))
    if raced:
        hide_recorded_ids(monkeypatch)
    refused, recorded = await submit_together(
        service, job_of(THEIRS, taken, unique_key="k"), job_of(THEIRS, own, unique_key="k")
    )
    assert isinstance(refused, JobExists)
    assert isinstance(recorded, Accepted)
    assert (recorded.job_id, recorded.deduplicated) == (own, False)
