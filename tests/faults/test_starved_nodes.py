"""A node that gets a tenth of a core still gives its verdict on a lost one in time, under load of its own."""

import itertools
import sys

import pytest

from tests.support.durations import shortest
from tests.support.service_process import Gates, Processes
from tests.support.throttled_process import starved

on_one_server = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

IN_TIME_SECONDS = 5.0
# Samples of the metric: the sum of all recoveries, and their number.
SUM, COUNT = "duly_lease_recovery_seconds_sum", "duly_lease_recovery_seconds_count"
JOBS_MEANWHILE = 5_000


@on_one_server
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the share of a core is read from /proc")
async def test_a_job_of_a_lost_node_is_expired_in_time_by_a_node_with_a_tenth_of_a_core(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    names = (f"moving-{number}" for number in itertools.count())

    async def recovered() -> float:
        return await _recovery_seconds(database_url, processes, gates, next(names))

    assert await shortest(recovered, below=IN_TIME_SECONDS) < IN_TIME_SECONDS


async def _recovery_seconds(database_url: str, processes: Processes, gates: Gates, name: str) -> float:
    """Loses a node with a job. Returns the time from the end of its lease until a starved node has recorded that."""
    lost = await processes.serve(database_url, "--slots", "1")
    job_id = (await lost.submit("until-open", gates.of(name)))["jobId"]
    [(_, ran_on)] = await gates.has_begun(name)
    heir = await processes.serve(database_url)
    with starved(heir.command.pid, share=0.1):
        batch = {"jobs": [{"type": "quick"} for _ in range(JOBS_MEANWHILE)]}
        assert (await heir.client.post("/api/v1/jobs/batch", json=batch)).status_code == 202
        await lost.lose()
        assert await gates.has_begun(name, times=2) == [(1, ran_on), (2, heir.command.pid)]
        gates.open(name)
        assert "JobLeaseExpired" in await heir.event_types(job_id)
        figures = await heir.metrics()
    assert figures[COUNT] == 1
    assert (await heir.ended(job_id))["status"] == "completed"
    await heir.stop()
    return figures[SUM]
