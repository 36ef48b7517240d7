"""A node that gets a tenth of a core still gives its verdict on a lost one in time, under load of its own."""

import sys

import pytest

from tests.support.service_process import Gates, Processes
from tests.support.throttled_process import starved

on_one_server = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

# Prometheus buckets: recoveries within five seconds of the end of a lease, and all.
IN_TIME, ALL = 'duly_lease_recovery_seconds_bucket{le="5.0"}', "duly_lease_recovery_seconds_count"
JOBS_MEANWHILE = 5_000


@on_one_server
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the share of a core is read from /proc")
async def test_a_job_of_a_lost_node_is_expired_in_time_by_a_node_with_a_tenth_of_a_core(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    lost = await processes.serve(database_url, "--slots", "1")
    job_id = (await lost.submit("until-open", gates.of("moving")))["jobId"]
    [(_, ran_on)] = await gates.has_begun("moving")
    heir = await processes.serve(database_url)
    with starved(heir.command.pid, share=0.1):
        batch = {"jobs": [{"type": "quick"} for _ in range(JOBS_MEANWHILE)]}
        assert (await heir.client.post("/api/v1/jobs/batch", json=batch)).status_code == 202
        await lost.lose()
        assert await gates.has_begun("moving", times=2, seconds=40) == [(1, ran_on), (2, heir.command.pid)]
        gates.open("moving")
        assert "JobLeaseExpired" in await heir.event_types(job_id)
        figures = await heir.metrics()
    assert (figures[IN_TIME], figures[ALL]) == (1, 1)
    assert (await heir.ended(job_id))["status"] == "completed"
