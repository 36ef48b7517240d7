"""`POST /api/v1/jobs/retry` and `/cancel`: bulk actions by filter."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest

from duly.api.contract.response_models import CancelledBody, CountBody, RetriedBody
from duly.domain.ids import new_job_id, smallest_id_at
from duly.domain.timestamps import rfc3339
from duly.lifecycle.end import bulk_actions
from tests.support.handlers import gate, has_entered
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service

_numbers = count(1)


@pytest.fixture
def label() -> str:
    """Returns a label that only this test's jobs have."""
    return f"test-{next(_numbers)}"


async def call(service: Service, verb: str, **filters: Any) -> httpx.Response:
    return await service.client.post(f"/api/v1/jobs/{verb}", params=filters)


async def retried(service: Service, **filters: Any) -> int:
    response = await call(service, "retry", **filters)
    assert response.status_code == 202, response.text
    return RetriedBody.model_validate_json(response.content, strict=True).retried


async def cancelled(service: Service, **filters: Any) -> int:
    response = await call(service, "cancel", **filters)
    assert response.status_code == 202, response.text
    return CancelledBody.model_validate_json(response.content, strict=True).cancelled


async def counted(service: Service, verb: str, **filters: Any) -> tuple[int, bool]:
    response = await call(service, verb, dryRun="true", **filters)
    assert response.status_code == 200, response.text
    body = CountBody.model_validate_json(response.content, strict=True)
    return body.count, body.complete


async def submit(service: Service, label: str, type_: str = "echo", **members: Any) -> str:
    return str((await service.submit(type_, labels={"test": label}, **members))["jobId"])


async def later(service: Service, label: str, **members: Any) -> str:
    return await submit(service, label, delaySeconds=3600, **members)


async def failed(service: Service, label: str) -> str:
    job_id = await submit(service, label, "fail")
    assert (await service.ended(job_id))["status"] == "failed"
    return job_id


async def statuses(service: Service, *job_ids: str) -> list[str]:
    return [(await service.job(job_id))["status"] for job_id in job_ids]


async def attempts(service: Service, job_id: str) -> int:
    return (await service.event_types(job_id)).count("JobStarted")


async def test_all_that_failed_and_fit_are_retried(contract: Service, label: str) -> None:
    mine = [await failed(contract, label) for _ in range(3)]
    other = await failed(contract, f"not-{label}")
    waits = await later(contract, label)
    assert await retried(contract, label=f"test:{label}") == 3
    for job_id in mine:
        await contract.until(job_id, lambda view: view["status"] == "failed" and view["sequence"] == 5)
        assert await attempts(contract, job_id) == 2
    assert await attempts(contract, other) == 1
    assert await statuses(contract, waits) == ["pending"]


async def test_cancelled_jobs_are_retried_where_that_is_asked_for(contract: Service, label: str) -> None:
    failed_one, waits = await failed(contract, label), await later(contract, label)
    assert await cancelled(contract, label=f"test:{label}") == 1
    assert await retried(contract, label=f"test:{label}", status="cancelled") == 1
    assert (await contract.ended(waits))["status"] == "completed"
    assert await attempts(contract, failed_one) == 1
    assert await retried(contract, label=f"test:{label}", status=["failed", "cancelled"]) == 1


async def test_a_dry_run_counts_what_matches_and_changes_nothing(contract: Service, label: str) -> None:
    one, waits = await failed(contract, label), [await later(contract, label) for _ in range(2)]
    audited = len((await contract.client.get("/api/v1/audit")).json()["items"])
    assert await counted(contract, "retry", label=f"test:{label}") == (1, True)
    assert await counted(contract, "cancel", label=f"test:{label}") == (2, True)
    assert await counted(contract, "cancel", label="test:none") == (0, True)
    assert await statuses(contract, one, *waits) == ["failed", "pending", "pending"]
    assert len((await contract.client.get("/api/v1/audit")).json()["items"]) == audited


async def test_a_dry_run_is_checked_like_the_action(contract: Service) -> None:
    assert invalid_paths(await call(contract, "cancel", dryRun="true")) == [""]
    assert invalid_paths(await call(contract, "retry", dryRun="true", status="running")) == ["status"]
    assert invalid_paths(await call(contract, "retry", dryRun="maybe")) == ["dryRun"]


async def test_a_count_is_bounded_and_says_so(contract: Service, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_actions, "MOST_COUNTED", 2)
    for expected in ((1, True), (2, True), (2, False)):
        await later(contract, label)
        assert await counted(contract, "cancel", label=f"test:{label}") == expected


async def test_what_was_retried_once_is_not_retried_twice(contract: Service, label: str) -> None:
    await submit(contract, label, "echo", delaySeconds=3600)
    await cancelled(contract, label=f"test:{label}")
    first, second = await asyncio.gather(
        *(retried(contract, label=f"test:{label}", status="cancelled") for _ in range(2))
    )
    assert first + second == 1


async def test_those_whose_unique_key_is_taken_are_left_out(contract: Service, label: str) -> None:
    old = [await later(contract, label, uniqueKey=label)]
    await cancelled(contract, label=f"test:{label}")
    old += [await later(contract, label, uniqueKey=label), await later(contract, label)]
    await cancelled(contract, label=f"test:{label}")
    # Two were cancelled that have the same key: one of them gets it.
    assert await retried(contract, label=f"test:{label}", status="cancelled") == 2
    found = await statuses(contract, *old)
    assert "cancelled" in found[:2]


async def test_all_that_fit_and_have_not_ended_are_cancelled(contract: Service, label: str) -> None:
    waiting, other = [await later(contract, label) for _ in range(2)], await later(contract, f"not-{label}")
    running = (await contract.submit("stubborn", {"name": label}, labels={"test": label}))["jobId"]
    await asyncio.wait_for(has_entered(label).wait(), 60)
    done = await submit(contract, label)
    await contract.ended(done)
    assert await cancelled(contract, label=f"test:{label}") == 3
    assert await statuses(contract, *waiting, other, done) == ["cancelled", "cancelled", "pending", "completed"]
    await asyncio.wait_for(has_entered(f"{label}:cancelled").wait(), 60)
    gate(label).set()
    assert (await contract.ended(running))["status"] == "cancelled"
    assert await cancelled(contract, label=f"test:{label}") == 0


async def test_only_those_in_the_wanted_state_are_cancelled(contract: Service, label: str) -> None:
    waiting = await later(contract, label)
    running = (await contract.submit("wait-for-gate", {"name": label}, labels={"test": label}))["jobId"]
    await contract.until(running, lambda view: view["status"] == "running")
    assert await cancelled(contract, label=f"test:{label}", status="pending") == 1
    assert await statuses(contract, waiting, running) == ["cancelled", "running"]
    gate(label).set()
    assert (await contract.ended(running))["status"] == "completed"


async def test_the_filters_of_the_list_count(contract: Service, label: str) -> None:
    jobs = {
        "night": await later(contract, label, queue=f"{label}-night"),
        "day": await later(contract, label, queue=f"{label}-day"),
        "sleep": await submit(contract, label, "sleep", delaySeconds=3600),
    }
    batch = await contract.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo", "delaySeconds": 3600}]})
    assert await cancelled(contract, queue=f"{label}-night") == 1
    assert await cancelled(contract, label=f"test:{label}", type="sleep") == 1
    assert await cancelled(contract, batchId=batch.json()["batchId"]) == 1
    assert await cancelled(contract, label=f"test:{label}", createdBefore="2020-01-01T00:00:00Z") == 0
    assert await statuses(contract, *jobs.values(), *batch.json()["jobIds"]) == [
        *("cancelled", "pending", "cancelled", "cancelled")
    ]


@pytest.mark.parametrize("hours", [-20, 20])
async def test_an_id_of_another_time_is_found_by_when_its_job_was_created(
    contract: Service, label: str, hours: int
) -> None:
    made = datetime.now(UTC) + timedelta(hours=hours)
    job_id = UUID(int=smallest_id_at(made).int | new_job_id().int % (1 << 80))
    job = {"type": "echo", "labels": {"test": label}, "delaySeconds": 3600}
    at = (await contract.client.put(f"/api/v1/jobs/{job_id}", json=job)).json()["createdAt"]
    soon = rfc3339(datetime.fromisoformat(at) + timedelta(seconds=1))
    assert await cancelled(contract, label=f"test:{label}", createdBefore=at) == 0
    assert await cancelled(contract, label=f"test:{label}", createdAfter=soon) == 0
    assert await cancelled(contract, label=f"test:{label}", createdAfter=at, createdBefore=soon) == 1
    assert await retried(contract, label=f"test:{label}", status="cancelled", createdAfter=at) == 1


async def test_many_are_done_page_by_page(contract: Service, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_actions, "PAGE", 30)
    job = {"type": "echo", "labels": {"test": label}, "delaySeconds": 3600}
    job_ids = (await contract.client.post("/api/v1/jobs/batch", json={"jobs": [job] * 200})).json()["jobIds"]
    assert await cancelled(contract, label=f"test:{label}") == 200
    assert set(await statuses(contract, *job_ids)) == {"cancelled"}
    assert await retried(contract, label=f"test:{label}", status="cancelled") == 200
    for job_id in job_ids:
        assert (await contract.ended(job_id))["status"] == "completed"


async def test_cancelling_needs_a_filter(contract: Service, label: str) -> None:
    job_id = await later(contract, label)
    assert invalid_paths(await call(contract, "cancel")) == [""]
    assert await statuses(contract, job_id) == ["pending"]


@pytest.mark.parametrize(
    ("verb", "filters", "path"),
    [
        ("retry", {"status": "completed"}, "status"),
        ("retry", {"status": ["failed", "running"]}, "status"),
        ("cancel", {"status": "failed"}, "status"),
        ("cancel", {"status": "waiting"}, "status[0]"),
        ("cancel", {"batchId": "x"}, "batchId[0]"),
        ("retry", {"limit": 3}, "limit"),
        ("cancel", {"cursor": "x"}, "cursor"),
        ("retry", {"label": "customer"}, "label[0]"),
        ("retry", {"createdAfter": "yesterday"}, "createdAfter"),
    ],
)
async def test_what_is_no_filter_here_is_refused(
    contract: Service, verb: str, filters: dict[str, Any], path: str
) -> None:
    assert invalid_paths(await call(contract, verb, **filters)) == [path]


async def test_everything_that_failed_may_be_retried_at_once(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    service = await start_service()
    job_ids = [(await service.run("fail"))["jobId"] for _ in range(2)]
    assert await retried(service) == 2
    for job_id in job_ids:
        await service.until(job_id, lambda view: view["status"] == "failed" and view["sequence"] == 5)


async def test_a_service_that_goes_down_does_no_more_of_it(start_service: Callable[..., Awaitable[Service]]) -> None:
    service = await start_service()
    job_id = await later(service, "drain")
    batch = (await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}]})).json()
    paths = ("jobs/retry", "jobs/cancel?type=echo", f"jobs/{job_id}/retry", f"batches/{batch['batchId']}/cancel")
    with service.draining():
        for path in paths:
            refused(await service.client.post(f"/api/v1/{path}"), 503, "DRAINING")
    assert await statuses(service, job_id) == ["pending"]
