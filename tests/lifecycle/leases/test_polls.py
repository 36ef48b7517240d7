"""Claims of workers over HTTP: polls wait without a database connection, fairly, and lose no job."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from duly.domain.job import ClaimedJob
from duly.lifecycle.leases.poll_rounds import LaneFilter, LeaseTerms
from duly.store.postgres.database import DatabaseOutage
from duly.store.queue.ready import claim_ready
from tests.support.lease_worker import LEASES, claim, claim_one, post
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
WITHOUT_HANDLERS = ("api", "sweeper", "dispatcher")


@pytest.fixture
async def api(start_service: StartService) -> Service:
    """Returns a service that runs no handlers."""
    return await start_service(roles=WITHOUT_HANDLERS)


async def parked(service: Service, count: int) -> None:
    """Returns once this many polls are parked."""

    async def enough() -> bool:
        return len(service.node.leases.polls) == count

    await eventually(enough)


async def asking(service: Service, *types: str, **members: Any) -> asyncio.Task[list[dict[str, Any]]]:
    """Returns a claim that waits, once it is parked."""
    before = len(service.node.leases.polls)
    task = asyncio.create_task(claim(service, *types, **{"waitSeconds": 60, **members}))
    await parked(service, before + 1)
    return task


def claims_counted(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns the number of jobs of each claim from now on."""
    claimer, counts = service.node.leases.polls.claimer, []
    real = claimer._claim_free

    async def counting(*arguments: Any) -> list[ClaimedJob]:
        jobs = await real(*arguments)
        counts.append(len(jobs))
        return jobs

    monkeypatch.setattr(claimer, "_claim_free", counting)
    return counts


async def complete_all(service: Service, leases: list[dict[str, Any]]) -> None:
    for lease in leases:
        assert (await post(service, lease, "complete")).status_code == 200


async def test_a_poll_without_a_job_ends_empty_after_its_time(api: Service) -> None:
    started = time.monotonic()
    assert await claim(api, waitSeconds=0.3) == []
    assert time.monotonic() - started >= 0.3
    assert await claim(api, waitSeconds=0) == []
    assert len(api.node.leases.polls) == 0


async def test_a_job_that_is_ready_is_claimed_without_waiting(api: Service) -> None:
    await api.submit("echo")
    await complete_all(api, await claim(api, waitSeconds=0.5))


async def test_a_poll_that_does_not_wait_gets_the_jobs_that_are_ready(api: Service) -> None:
    for _ in range(3):
        job = await api.submit("echo")
        answer = await api.client.post(LEASES, json={"types": ["echo"]})  # by default, it does not wait
        [lease] = answer.json()["leases"]
        assert lease["job"]["jobId"] == job["jobId"]
        await complete_all(api, [lease])


async def test_a_waiting_poll_gets_a_job_that_is_submitted_on_any_node(
    api: Service, start_service: StartService
) -> None:
    other = await start_service(roles=("api",))
    for service in (api, other):
        waiting = await asking(api)
        job = await service.submit("echo")
        leases = await asyncio.wait_for(waiting, 60)
        assert [lease["job"]["jobId"] for lease in leases] == [job["jobId"]]
        await complete_all(api, leases)


async def test_one_job_costs_one_claim_however_many_polls_wait(api: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = [await asking(api, max=5) for _ in range(40)]
    counts = claims_counted(api, monkeypatch)
    await api.submit("echo")
    done, _ = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0)
    assert done == {waiting[0]}  # the one that waited longest
    assert [count for count in counts if count] == [1]
    assert len(counts) <= 2  # the regular look may have seen the job before its wake-up
    await complete_all(api, waiting[0].result())
    api.node.leases.polls.close()
    assert [await task for task in waiting[1:]] == 39 * [[]]


async def test_polls_with_one_filter_share_a_claim_in_their_order(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = claims_counted(api, monkeypatch)
    await api.client.post("/api/v1/queues/default/pause")
    ids = [(await api.submit("echo"))["jobId"] for _ in range(5)]
    waiting = [await asking(api, max=2) for _ in range(3)]
    await api.client.post("/api/v1/queues/default/resume")
    leases = await asyncio.gather(*waiting)
    assert [[lease["job"]["jobId"] for lease in each] for each in leases] == [ids[:2], ids[2:4], ids[4:]]
    assert [count for count in counts if count] == [5]
    await complete_all(api, [lease for each in leases for lease in each])


async def test_filters_that_share_a_lane_take_turns(api: Service) -> None:
    greedy = [await asking(api, "echo") for _ in range(4)]
    modest = await asking(api, "echo", "price")
    await api.submit("echo")
    await asyncio.wait({greedy[0]}, timeout=60)
    await api.submit("echo")
    leases = await asyncio.wait_for(modest, 60)
    assert len(leases) == 1
    await complete_all(api, [*greedy[0].result(), *leases])
    api.node.leases.polls.close()
    await asyncio.gather(*greedy)


async def test_each_job_of_a_round_is_leased_on_the_terms_of_its_worker(api: Service) -> None:
    await api.client.put("/api/v1/queues/narrow/limits", json={"concurrency": 1})
    for queue in ("default", "narrow", "narrow"):
        await api.client.post(f"/api/v1/queues/{queue}/pause")
    for queue in ("narrow", "default", "default", "default"):
        await api.submit("echo", queue=queue)
    short = await asking(api, max=2, leaseSeconds=60, workerName="short")
    long = await asking(api, max=5, leaseSeconds=3600, workerName="long")
    await api.sql(RESUME_ALL)
    leases = [*await short, *(await long)]
    leases += await claim(api, max=5, leaseSeconds=3600, workerName="long") if len(leases) < 4 else []
    async with api.node.database.connection() as connection:
        rows = await connection.fetch("select job_id, worker_name, lease_seconds from leases")
    workers = {str(row[0]): (row[1], row[2]) for row in rows}
    assert [workers[lease["job"]["jobId"]] for lease in leases] == [
        *(2 * [("short", 60)]),
        *(2 * [("long", 3600)]),
    ]
    await complete_all(api, leases)


async def test_types_and_queues_of_a_poll_are_exact(api: Service) -> None:
    await api.submit("echo", queue="other")
    await api.submit("price", {"amount": 1})
    assert await claim(api, "echo", queues=["default"], waitSeconds=0.2) == []
    [lease] = await claim(api, "echo", queues=["other", "more"])
    assert lease["job"]["queue"] == "other"
    [second] = await claim(api, "price")
    await complete_all(api, [lease, second])


async def test_higher_priorities_come_first_and_then_older_jobs(api: Service) -> None:
    ids = [(await api.submit("echo", priority=priority))["jobId"] for priority in (0, 5, 0, 9)]
    leases = await claim(api, max=10)
    claimed = [lease["job"]["jobId"] for lease in leases]
    assert claimed == [ids[3], ids[1], ids[0], ids[2]]
    await complete_all(api, leases)


async def test_pauses_and_limits_hold_for_workers_over_http(api: Service) -> None:
    limits = {"concurrency": 1}
    assert (await api.client.put("/api/v1/queues/narrow/limits", json=limits)).status_code == 200
    await api.client.post("/api/v1/queues/closed/pause")
    for queue in ("narrow", "narrow", "closed"):
        await api.submit("echo", queue=queue)
    leases = await claim(api, max=10)
    assert [lease["job"]["queue"] for lease in leases] == ["narrow"]
    assert await claim(api, max=10, waitSeconds=0.3) == []
    waiting = await asking(api, max=10)
    await complete_all(api, leases)
    second = await asyncio.wait_for(waiting, 60)
    assert [lease["job"]["queue"] for lease in second] == ["narrow"]
    third = await asking(api, max=10)
    await api.client.post("/api/v1/queues/closed/resume")
    await complete_all(api, [*second, *await asyncio.wait_for(third, 60)])


async def test_jobs_with_one_concurrency_key_are_leased_one_after_the_other(api: Service) -> None:
    ids = [(await api.submit("echo", concurrencyKey="k"))["jobId"] for _ in range(2)]
    [first] = await claim(api, max=10)
    waiting = await asking(api, max=10)
    await complete_all(api, [first])
    [second] = await asyncio.wait_for(waiting, 60)
    assert [lease["job"]["jobId"] for lease in (first, second)] == ids
    await complete_all(api, [second])


async def test_a_client_that_disconnects_while_it_waits_is_forgotten(api: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rsplit(":", 1)[1]))
    body = b'{"types": ["echo"], "waitSeconds": 60}'
    head = f"POST {LEASES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)
    await parked(api, 1)
    writer.transport.abort()
    del reader
    await parked(api, 0)
    await api.submit("echo")
    await complete_all(api, await claim(api))


# At once, so that no claim sees one queue without the other. It is noticed by the next regular look.
RESUME_ALL = """
with resumed as (update queues set paused_at = null where paused_at is not null)
update control set version = version + 1
"""


class HeldClaim:
    """A claim whose statement has committed, while its result is held back."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        self.claimed, self.go_on = asyncio.Event(), asyncio.Event()
        self.fails = False
        self._real = service.node.leases.polls.claimer.claim
        monkeypatch.setattr(service.node.leases.polls.claimer, "claim", self._claim)

    async def _claim(self, *arguments: Any, **named: Any) -> list[ClaimedJob]:
        jobs = await self._real(*arguments, **named)
        if jobs and not self.claimed.is_set():
            self.claimed.set()
            await self.go_on.wait()
            if self.fails:
                raise DatabaseOutage("the response was lost")
        return jobs


async def claim_for(service: Service, job: dict[str, Any], *, seconds: int) -> list[dict[str, Any]]:
    """Returns the claim of the only job that is ready."""
    leases = await claim(service, leaseSeconds=seconds, waitSeconds=20)
    assert [lease["job"]["jobId"] for lease in leases] == [job["jobId"]]
    return leases


def terms_of(service: Service) -> tuple[LaneFilter, LeaseTerms]:
    return LaneFilter(1, frozenset({"echo"}), None), LeaseTerms(limit=1, lease_seconds=30)


async def run_again(service: Service, job_id: str) -> None:
    """Completes a job that was released without being counted."""
    lease = await claim_one(service)
    assert (lease["job"]["jobId"], lease["attempt"]) == (job_id, 1)
    assert "JobRequeued" in await service.event_types(job_id)
    await complete_all(service, [lease])


async def test_a_job_claimed_for_a_client_that_has_disconnected_is_released(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, gone = HeldClaim(api, monkeypatch), asyncio.get_running_loop().create_future()
    job = await api.submit("echo")
    waiting = asyncio.create_task(api.node.leases.polls.claim(*terms_of(api), seconds=20, gone=gone))
    await held.claimed.wait()
    gone.set_result(None)
    held.go_on.set()
    assert await waiting == []
    await run_again(api, job["jobId"])


async def test_a_job_claimed_for_a_request_that_was_cancelled_is_released(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, gone = HeldClaim(api, monkeypatch), asyncio.get_running_loop().create_future()
    job = await api.submit("echo")
    waiting = asyncio.create_task(api.node.leases.polls.claim(*terms_of(api), seconds=20, gone=gone))
    await held.claimed.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.go_on.set()
    await run_again(api, job["jobId"])


async def test_a_job_that_is_claimed_as_the_time_ends_is_delivered(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, gone = HeldClaim(api, monkeypatch), asyncio.get_running_loop().create_future()
    await api.submit("echo")
    polls = api.node.leases.polls
    waiting = asyncio.create_task(polls.claim(*terms_of(api), seconds=20, gone=gone))
    await held.claimed.wait()
    [poll] = polls._serving
    assert not polls._leave(poll)  # as after its time
    held.go_on.set()
    [leased] = await waiting
    polls.release([leased])
    await run_again(api, str(leased.job_id))


async def test_jobs_of_a_claim_whose_response_was_lost_are_released(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, gone = HeldClaim(api, monkeypatch), asyncio.get_running_loop().create_future()
    held.fails = True
    job = await api.submit("echo")
    waiting = asyncio.create_task(api.node.leases.polls.claim(*terms_of(api), seconds=20, gone=gone))
    await held.claimed.wait()
    held.go_on.set()
    [leased] = await waiting  # the poll stays parked, and gets the job after its release
    assert str(leased.job_id) == job["jobId"]
    assert leased.attempt == 1
    api.node.leases.polls.release([leased])
    await run_again(api, job["jobId"])


async def test_jobs_of_a_statement_without_an_answer_are_released_long_before_their_leases_expire(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    [earlier] = await claim_for(api, await api.submit("echo"), seconds=3600)
    lost: list[ClaimedJob] = []

    async def without_answer(*arguments: Any, **named: Any) -> list[ClaimedJob]:
        jobs = await claim_ready(*arguments, **named)
        if jobs and not lost:
            lost.extend(jobs)
            raise DatabaseOutage("the response was lost")
        return jobs

    monkeypatch.setattr("duly.lifecycle.claim.claim.claim_ready", without_answer)
    job = await api.submit("echo")
    [lease] = await claim_for(api, job, seconds=3600)
    assert [str(each.job_id) for each in lost] == [job["jobId"]]
    assert (lease["job"]["jobId"], lease["attempt"]) == (job["jobId"], 1)
    assert "JobRequeued" in await api.event_types(job["jobId"])
    assert "JobRequeued" not in await api.event_types(earlier["job"]["jobId"])
    await complete_all(api, [earlier, lease])


async def test_a_shutdown_answers_waiting_polls_at_once_with_no_jobs(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    waiting = [await asking(service, waitSeconds=60) for _ in range(3)]
    await asyncio.gather(*(node.drain() for node in service.nodes))
    assert await asyncio.wait_for(asyncio.gather(*waiting), 60) == [[], [], []]
    refused = await service.client.post(LEASES, json={"types": ["echo"]})
    assert refused.json()["error"]["code"] == "DRAINING"


async def test_a_job_whose_lease_cannot_be_recorded_does_not_hold_up_others(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await api.submit("echo")
    await api.alter("create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$")
    await api.alter(
        "create trigger refuse before insert on leases for each row "
        f"when (new.job_id = '{UUID(bad['jobId'])}') execute function refuse()"
    )
    good = await api.submit("echo")
    lease = await claim_one(api)
    assert lease["job"]["jobId"] == good["jobId"]
    await complete_all(api, [lease])
    assert (await api.job(bad["jobId"]))["status"] == "pending"


async def test_one_job_answers_one_of_thousands_of_parked_polls(api: Service) -> None:
    polls, gone = api.node.leases.polls, asyncio.get_running_loop().create_future()
    filters = [LaneFilter(1, frozenset({"echo", f"type-{n % 500}"}), None) for n in range(5_000)]
    tasks = [asyncio.create_task(polls.claim(each, LeaseTerms(1, 30), seconds=60, gone=gone)) for each in filters]
    await parked(api, 5_000)
    job = await api.submit("echo")
    done, _ = await asyncio.wait(tasks, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    [leased] = next(iter(done)).result()
    assert str(leased.job_id) == job["jobId"]
    assert len(polls) == 4_999
    polls.close()
    assert [jobs for jobs in await asyncio.gather(*tasks) if jobs] == [[leased]]
    assert len(polls) == 0
    polls.release([leased])  # only now, since a claim in progress as the polls closed would get it
