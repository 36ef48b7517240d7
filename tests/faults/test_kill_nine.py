"""`kill -9` of the service at any moment: nothing that was accepted is lost, and nothing ends twice."""

import asyncio
import itertools
import signal
import time
from collections import Counter

import httpx
import pytest

from duly.settings import Settings
from tests.support.durations import shortest
from tests.support.service import eventually
from tests.support.service_process import Gates, Processes, ServiceProcess, gone, lose_node
from tests.support.webhook_receiver import Receiver

# The behavior of a process does not depend on the server's version.
on_one_server = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

TERMINAL = {"JobCompleted", "JobFailed", "JobCancelled"}


async def _ended_once(service: ServiceProcess, job_id: str) -> list[str]:
    """The job's event types; it has completed, and has one end."""
    view = await service.ended(job_id)
    types = await service.event_types(job_id)
    assert view["status"] == "completed"
    assert sum(name in TERMINAL for name in types) == 1
    return types


async def test_a_killed_service_runs_its_jobs_again_and_tells_of_each_end_once(
    database_url: str, processes: Processes, gates: Gates, receiver: Receiver
) -> None:
    slots = ("--slots", "3")
    first = await processes.serve(database_url, *slots)
    names = [f"job-{number}" for number in range(6)]
    ids = {
        name: (await first.submit("until-open", gates.of(name), callbackUrl=receiver.url))["jobId"] for name in names
    }
    for name in names[:3]:
        await gates.has_begun(name)
    assert [(await first.job(ids[name]))["status"] for name in names] == ["running"] * 3 + ["pending"] * 3
    await first.lose()

    gates.open(*names)
    second = await processes.serve(database_url, *slots)
    for name in names[:3]:
        types = await _ended_once(second, ids[name])
        assert types == ["JobSubmitted", "JobStarted", "JobLeaseExpired", "JobStarted", "JobCompleted"]
        assert [attempt for attempt, _ in gates.begun(name)] == [1, 2]
    for name in names[3:]:
        assert await _ended_once(second, ids[name]) == ["JobSubmitted", "JobStarted", "JobCompleted"]
    told = Counter([httpx.Response(200, content=(await receiver.next()).body).json()["jobId"] for _ in names])
    assert told == Counter(ids.values())


@on_one_server
async def test_a_webhook_under_way_at_the_kill_is_sent_again_under_its_id(
    database_url: str, processes: Processes, receiver: Receiver
) -> None:
    receiver.hold = asyncio.Event()
    first = await processes.serve(database_url)
    job_id = (await first.submit("quick", callbackUrl=receiver.url))["jobId"]
    before = await receiver.next()
    first.kill()
    receiver.hold.set()
    # The hold of a webhook under way is 20 s; it is aged instead of waited for.
    second = await processes.serve(database_url)
    await second.sql("update deliveries set due_at = now()")
    after = await receiver.next()
    assert before.headers["webhook-id"] == after.headers["webhook-id"]
    assert before.body == after.body
    assert (await second.job(job_id))["status"] == "completed"


@on_one_server
async def test_with_the_default_lease_a_job_runs_again_within_20_seconds_of_the_restart(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    default = {"DULY_LEASE_SECONDS": str(Settings().lease_seconds)}
    names = (f"long-{number}" for number in itertools.count())

    async def runs_again() -> float:
        name = next(names)
        first = await processes.serve(database_url, **default)
        job_id = (await first.submit("until-open", gates.of(name)))["jobId"]
        await gates.has_begun(name)
        first.kill()
        second = await processes.serve(database_url, **default)
        restarted = time.monotonic()
        await gates.has_begun(name, times=2)
        seconds = time.monotonic() - restarted
        gates.open(name)
        await _ended_once(second, job_id)
        assert await second.stop() == 0
        return seconds

    assert await shortest(runs_again, below=20) < 20


async def test_every_submission_answered_before_the_kill_exists_after_it_and_ends(
    database_url: str, processes: Processes
) -> None:
    first = await processes.serve(database_url)
    accepted: list[str] = []
    enough = asyncio.Event()

    async def submit_on_and_on() -> None:
        while True:
            try:
                answer = await first.client.post("/api/v1/jobs", json={"type": "quick"})
            except httpx.TransportError:
                return
            assert answer.status_code == 202
            accepted.append(answer.json()["jobId"])
            if len(accepted) >= 300:
                enough.set()

    submitters = [asyncio.create_task(submit_on_and_on()) for _ in range(8)]
    async with asyncio.timeout(60):
        await enough.wait()
    await first.lose()
    await asyncio.gather(*submitters)

    second = await processes.serve(database_url)
    ends = "select job_id::text from events where kind >= 10"

    async def all_ended() -> bool:
        return {row[0] for row in await second.sql(ends)} >= set(accepted)

    await eventually(all_ended)
    assert max(Counter(row[0] for row in await second.sql(ends)).values()) == 1
    for job_id in accepted[-8:]:
        await _ended_once(second, job_id)


@on_one_server
async def test_of_two_services_the_other_takes_over(database_url: str, processes: Processes, gates: Gates) -> None:
    commands = [processes.begin(database_url) for _ in range(2)]
    services = {command.pid: await processes.ready(command, database_url) for command in commands}
    one = next(iter(services.values()))
    job_id = (await one.submit("until-open", gates.of("moving")))["jobId"]
    [(_, ran_on)] = await gates.has_begun("moving")
    [heir] = [pid for pid in services if pid != ran_on]
    await services[ran_on].lose()
    assert await gates.has_begun("moving", times=2) == [(1, ran_on), (2, heir)]
    gates.open("moving")
    await _ended_once(services[heir], job_id)


@on_one_server
async def test_the_children_of_a_killed_service_end_with_it(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    first = await processes.serve(database_url)
    job_id = (await first.submit("process-until-open", gates.of("burning")))["jobId"]
    [(_, child)] = await gates.has_begun("burning")
    children = first.command.descendants()
    assert child in {process.pid for process in children}
    processes.note_descendants()
    await first.lose()
    await gone(children)

    gates.open("burning")
    second = await processes.serve(database_url)
    await _ended_once(second, job_id)
    await gone(children)  # an ended child may remain in the process table until its new parent reaps it


def dying_at(place: str) -> dict[str, str]:
    return {"DULY_HANDLERS": "tests.support.fault_point_handlers", "DIE_AT": place}


@on_one_server
@pytest.mark.parametrize("place", ["duly.worker.prefetch:Prefetch.put", "duly.lifecycle.end.finish:Finisher.put"])
async def test_jobs_that_were_claimed_or_had_ended_but_were_not_recorded_at_the_kill_run_again(
    database_url: str, processes: Processes, place: str
) -> None:
    waiting = await processes.serve(database_url, "--role", "api")
    ids = [(await waiting.submit("quick"))["jobId"] for _ in range(5)]
    first = processes.begin(database_url, **dying_at(place))
    assert await first.ended() == -signal.SIGKILL
    await lose_node(waiting, first.pid)
    assert await waiting.sql("select from events where kind >= 10") == []
    second = await processes.serve(database_url)
    for job_id in ids:
        assert "JobLeaseExpired" in await _ended_once(second, job_id)


@on_one_server
async def test_a_job_that_was_recorded_as_running_and_not_started_at_the_kill_runs(
    database_url: str, processes: Processes
) -> None:
    first = await processes.serve(database_url, **dying_at("duly.worker.pool:Pool.start"))
    with pytest.raises(httpx.TransportError):
        await first.submit("quick")
    await lose_node(first, first.command.pid)
    second = await processes.serve(database_url)
    [job_id] = [str(row[0]) for row in await second.sql("select job_id from jobs")]
    types = await _ended_once(second, job_id)
    assert types == ["JobSubmitted", "JobStarted", "JobLeaseExpired", "JobStarted", "JobCompleted"]


@on_one_server
async def test_a_submission_that_lay_in_the_buffer_at_the_kill_was_neither_answered_nor_recorded(
    database_url: str, processes: Processes
) -> None:
    first = await processes.serve(database_url, **dying_at("duly.lifecycle.submit.submit:Submitter._record"))
    with pytest.raises(httpx.TransportError):
        await first.submit("quick")
    second = await processes.serve(database_url)
    assert await second.sql("select from jobs") == []
