"""Submission limits: 429 with `Retry-After`, and nothing is recorded."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duly.api.batches import batch_ndjson
from duly.domain.job import DEFAULT_TENANT
from duly.lifecycle.submit import submission_limiter
from duly.lifecycle.submit.submission_limiter import SubmissionLimiters
from duly.store.queue.limits import Rate
from duly.store.submit.submission_limits import SubmissionLimits
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
LIMITS = "/api/v1/limits"


async def post(service: Service, **members: Any) -> Any:
    return await service.client.post("/api/v1/jobs", json={"type": "echo", **members})


async def recorded(service: Service) -> int:
    return await service.total("select count(*) from jobs")


async def test_a_tenant_may_submit_so_many_in_a_time(start_service: StartService) -> None:
    service = await start_service(roles=("api",), submit_rate=0.001, submit_burst=3)
    responses = [await post(service) for _ in range(5)]
    assert [response.status_code for response in responses] == [202, 202, 202, 429, 429]
    refused = responses[3]
    assert refused.json()["error"]["code"] == "RATE_LIMITED"
    assert refused.json()["error"]["details"]["retryable"] is True
    assert refused.headers["ratelimit-policy"] == '"submissions";q=3;w=3000'
    assert refused.headers["ratelimit"] == f'"submissions";r=0;t={refused.headers["retry-after"]}'
    assert 900 <= int(refused.headers["retry-after"]) <= 1000
    assert await recorded(service) == 3


async def test_over_all_nodes_and_however_many_come_at_once(start_service: StartService) -> None:
    services = [await start_service(roles=("api",), submit_rate=0.001, submit_burst=25) for _ in range(2)]
    responses = await asyncio.gather(*(post(services[n % 2]) for n in range(80)))
    assert sum(response.status_code == 202 for response in responses) == 25
    assert {response.status_code for response in responses} == {202, 429}
    assert await recorded(services[0]) == 25


async def test_tokens_come_back_with_time(start_service: StartService) -> None:
    service = await start_service(roles=("api",), submit_rate=20, submit_burst=1)
    assert (await post(service)).status_code == 202

    async def accepted() -> bool:
        return bool((await post(service)).status_code == 202)

    async with asyncio.timeout(60):
        while not await accepted():
            await asyncio.sleep(0.02)  # its clients get Retry-After


async def test_limits_that_were_read_before_a_change_do_not_replace_it(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service(roles=("api",))
    has_read, may_end = asyncio.Event(), asyncio.Event()

    class ReadLate(SubmissionLimiters):
        async def _read(self, connection: Any, tenant_ids: list[int]) -> Any:
            found = await super()._read(connection, tenant_ids)
            if not has_read.is_set():
                has_read.set()
                await may_end.wait()
            return found

    limiters = ReadLate(service.node.database, settings=SubmissionLimits())
    earlier = asyncio.create_task(limiters.step())
    await has_read.wait()
    chosen = SubmissionLimits(Rate(1, 3600.0))
    await limiters.set_limits(DEFAULT_TENANT, chosen)
    may_end.set()
    await earlier
    limiter = limiters.known(DEFAULT_TENANT)
    assert limiter is not None
    assert limiter.limits == chosen


async def test_a_batch_counts_with_all_its_jobs(start_service: StartService) -> None:
    service = await start_service(roles=("api",), submit_rate=0.001, submit_burst=10)
    for size, status in ((6, 202), (6, 429), (4, 202), (1, 429)):
        response = await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}] * size})
        assert response.status_code == status
    assert await recorded(service) == 10


async def test_a_queue_holds_so_many_waiting_jobs(start_service: StartService) -> None:
    service = await start_service(roles=("api",), backlog_limit=3)
    responses = [await post(service, concurrencyKey=key) for key in (None, "k", "k", None)]
    assert [response.status_code for response in responses] == [202, 202, 202, 429]
    assert responses[3].json()["error"]["code"] == "BACKLOG_FULL"
    assert responses[3].headers["ratelimit-policy"] == '"backlog";q=3'
    assert responses[3].headers["ratelimit"].startswith('"backlog";r=0;t=')
    assert int(responses[3].headers["retry-after"]) >= 1
    assert (await post(service, queue="other")).status_code == 202
    many = await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo", "queue": "other"}] * 3})
    assert many.status_code == 429
    lines = b'{"type": "echo", "queue": "other"}\n' * 3
    headers = {"Content-Type": "application/x-ndjson"}
    assert (await service.client.post("/api/v1/jobs/batch", content=lines, headers=headers)).status_code == 429
    assert await recorded(service) == 4


async def test_when_jobs_have_started_there_is_room_again(start_service: StartService) -> None:
    waiting = await start_service(roles=("api",), backlog_limit=1)
    job = (await post(waiting)).json()
    assert (await post(waiting)).status_code == 429
    worker = await start_service()
    await worker.ended(job["jobId"])

    async def room() -> bool:
        return bool((await post(waiting)).status_code == 202)

    async with asyncio.timeout(60):
        while not await room():
            await asyncio.sleep(0.02)  # a count lasts a moment


async def test_limits_are_changed_while_the_service_runs(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    nothing: dict[str, Any] = {"rate": None, "backlog": None, "backlogs": {}}
    assert (await service.client.get(LIMITS)).json() == nothing
    requested = {"rate": {"count": 2, "seconds": 3600.0}, "backlog": None, "backlogs": {"small": 1}}
    assert (await service.client.put(LIMITS, json=requested)).json() == requested
    responses = [await post(service, queue="small") for _ in range(2)]
    assert [response.status_code for response in responses] == [202, 429]
    assert responses[1].json()["error"]["code"] == "BACKLOG_FULL"
    assert [(await post(service)).status_code for _ in range(2)] == [202, 429]
    other = await start_service(roles=("api",))
    assert (await other.client.get(LIMITS)).json() == requested
    assert (await post(other)).status_code == 429
    assert (await service.client.delete(LIMITS)).status_code == 204
    assert (await post(service)).status_code == 202
    assert (await other.client.get(LIMITS)).json() == nothing
    assert (await post(other)).status_code == 202


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"rate": {"count": 0, "seconds": 1}}, "rate.count"),
        ({"rate": {"count": 1}}, "rate.seconds"),
        ({"backlog": 0}, "backlog"),
        ({"backlogs": {"a b": 1}}, "backlogs.a b"),
        ({"burst": 1}, "burst"),
    ],
)
async def test_limits_that_do_not_fit_are_refused(start_service: StartService, body: Any, path: str) -> None:
    service = await start_service(roles=("api",))
    response = await service.client.put(LIMITS, json=body)
    assert response.status_code == 422
    assert response.json()["error"]["details"]["errors"][0]["path"].startswith(path)


def lines_of(queues: list[str]) -> bytes:
    return b"".join(b'{"type":"echo","queue":"%b"}\n' % queue.encode() for queue in queues)


@pytest.mark.parametrize(("place", "code"), [("first", "BACKLOG_FULL"), ("last", "BACKLOG_FULL"), ("none", None)])
async def test_lines_for_more_queues_than_are_counted_at_once_are_admitted_as_few_are(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, place: str, code: str | None
) -> None:
    monkeypatch.setattr(batch_ndjson, "MOST_QUEUES", 20)
    service = await start_service(roles=("api",))
    await service.client.put(LIMITS, json={"rate": {"count": 400, "seconds": 3600}, "backlogs": {"full": 1}})
    full = ["full", "full"]
    queues = {"first": [*full, *(f"q{n}" for n in range(300))], "last": [*(f"q{n}" for n in range(300)), *full]}
    content = lines_of(queues.get(place, [f"q{n}" for n in range(300)]))
    ndjson_type = {"Content-Type": "application/x-ndjson"}
    response = await service.client.post("/api/v1/jobs/batch", content=content, headers=ndjson_type)
    if code is not None:
        assert (response.status_code, response.json()["error"]["code"]) == (429, code)
        assert await recorded(service) == 0
        return
    assert response.status_code == 202, response.text
    again = await service.client.post("/api/v1/jobs/batch", content=content, headers=ndjson_type)
    assert (again.status_code, again.json()["error"]["code"]) == (429, "RATE_LIMITED")


async def test_the_counts_of_queues_that_clients_name_take_bounded_room(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission_limiter, "MOST_COUNTS", 10)
    service = await start_service(roles=("api",), backlog_limit=2)
    for n in range(30):
        assert (await post(service, queue=f"q{n}")).status_code == 202
    assert len(service.node.submission_limiters._known[1]._counts) == 10
    for status in (202, 429):
        assert (await post(service, queue="q0")).status_code == status
