"""`kill -9` while a batch handler runs: each of its jobs is run again, and each ends once."""

import asyncio

from tests.support.service_process import Gates, Processes


async def test_each_job_of_a_killed_call_is_run_again_and_ends_once(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    first = await processes.serve(database_url)
    names = ["one", "two"]
    accepted = await asyncio.gather(*(first.submit("batch-until-open", gates.of(name)) for name in names))
    ids = [job["jobId"] for job in accepted]
    for name in names:
        await gates.has_begun(name)
    await first.lose()

    second = await processes.serve(database_url)
    for name in names:
        begun = await gates.has_begun(name, times=2)
        assert [attempt for attempt, _ in begun] == [1, 2]
    gates.open(*names)
    for job_id in ids:
        view = await second.ended(job_id)
        assert (view["status"], view["result"]) == ("completed", 2)
        types = await second.event_types(job_id)
        assert types == ["JobSubmitted", "JobStarted", "JobLeaseExpired", "JobStarted", "JobCompleted"]
