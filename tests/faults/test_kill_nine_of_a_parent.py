"""`kill -9` of a process in which a job submits others, or waits for them: the next attempt finds the same ones."""

import signal

import pytest

from tests.support.service_process import Gates, Processes, ServiceProcess, lose_node

# The behavior of a process does not depend on the server's version.
on_one_server = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
DONE = ["JobSubmitted", "JobStarted", "JobCompleted"]
DONE_AGAIN = ["JobSubmitted", "JobStarted", "JobLeaseExpired", "JobStarted", "JobCompleted"]


async def children_of(service: ServiceProcess, parent: str) -> list[str]:
    rows = await service.sql("select job_id::text from jobs where parent_id::text = $1 order by created_at", parent)
    return [row[0] for row in rows]


async def ended_with_the_same(service: ServiceProcess, parent: str, first: str) -> None:
    """The parent has completed with four children, of which this was the first."""
    view = await service.ended(parent)
    assert (view["status"], view["result"][0], view["result"][2]) == ("completed", first, 3)
    assert len(await children_of(service, parent)) == 4
    assert await service.event_types(parent) == DONE_AGAIN


async def test_a_parent_that_waited_at_the_kill_finds_the_children_that_it_had(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    one_slot = ("--slots", "1")
    first = await processes.serve(database_url, *one_slot)
    parent = (await first.submit("parent-until-open", gates.of("p")))["jobId"]
    await gates.has_begun("p-child")
    [child] = [job_id for job_id in await children_of(first, parent) if (await first.job(job_id))["batchId"] is None]
    await first.lose()

    gates.open("p-child")
    second = await processes.serve(database_url, *one_slot)
    await ended_with_the_same(second, parent, child)
    assert [attempt for attempt, _ in gates.begun("p")] == [1, 2]
    assert await second.event_types(child) == DONE_AGAIN


@on_one_server
@pytest.mark.parametrize(
    ("place", "recorded"),
    [
        ("duly.lifecycle.run.child_jobs:ChildSubmitter._record", 0),
        ("duly.lifecycle.run.child_jobs:ChildSubmitter._after", 1),
    ],
)
async def test_a_child_whose_submission_was_not_answered_at_the_kill_is_recorded_once(
    database_url: str, processes: Processes, gates: Gates, place: str, recorded: int
) -> None:
    first = processes.begin(database_url, DULY_HANDLERS="tests.support.fault_point_handlers", DIE_AT=place)
    service = await processes.ready(first, database_url)
    parent = (await service.submit("parent-until-open", gates.of("p")))["jobId"]
    assert await first.ended() == -signal.SIGKILL
    await lose_node(service, first.pid)
    before = await children_of(service, parent)
    assert len(before) == recorded

    gates.open("p-child")
    second = await processes.serve(database_url)
    await ended_with_the_same(second, parent, (before or [(await second.ended(parent))["result"][0]])[0])
