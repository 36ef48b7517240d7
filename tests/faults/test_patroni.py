"""Patroni gives the place of the primary to its synchronous standby under load: nothing that was accepted is lost."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from duly.lifecycle.maintenance.accepted_jobs import compare_accepted
from duly.store.postgres.database import Database
from duly.store.schema.migrations import migrate
from tests.support.invariants import violations
from tests.support.patroni_cluster import BOUND_SECONDS, PatroniCluster, patroni_cluster
from tests.support.service import running_service
from tests.support.submitted_load import loaded, runs_a_job

LEASE_SECONDS = 12.0


@pytest.fixture
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[PatroniCluster]:
    async with patroni_cluster(request.config) as found:
        yield found


@pytest.mark.timeout(8 * BOUND_SECONDS)
async def test_a_switchover_and_the_loss_of_the_primary_lose_no_accepted_job(cluster: PatroniCluster) -> None:
    url = cluster.url_of("postgres")
    database = Database(url)
    await migrate(database)
    async with running_service(url, lease_seconds=LEASE_SECONDS) as service:
        async with loaded(service) as load:
            await load.more(20, seconds=BOUND_SECONDS)
            await cluster.switch_over()
            await runs_a_job(service, seconds=BOUND_SECONDS)
            await load.more(20, seconds=BOUND_SECONDS)
            primary, _ = await cluster.settled()
            await primary.kill()
            await runs_a_job(service, seconds=BOUND_SECONDS)
            await load.more(20, seconds=BOUND_SECONDS)
        assert load.statuses.keys() <= {202, 503}
        ends = await asyncio.gather(*(service.ended(job_id) for job_id in load.accepted))
        assert {end["status"] for end in ends} == {"completed"}
    known = {UUID(end["jobId"]): end["sequence"] for end in ends}
    found = await compare_accepted(database, known)
    await database.close()
    assert not found.lost
    assert not found.rolled_back
    assert await violations(url) == []
