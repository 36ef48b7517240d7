"""Jobs wait between attempts according to the retry policy of their type, and are shown as waiting."""

from typing import Any

import pytest

from tests.support.service import Service, eventually

WAITING = "select job_id, reason, attempt, extract(epoch from run_at - now())::float8 as seconds from scheduled"


async def hurry(service: Service) -> None:
    """Makes all jobs that wait due now."""
    await service.sql("update scheduled set run_at = now()")
    await service.node.sweeper.release()


async def waiting_after(service: Service, job_id: str, attempt: int) -> Any:
    await service.until(job_id, lambda view: view["waitingFor"] == "retry" and view["attempt"] == attempt)
    return (await service.sql(WAITING))[0]


@pytest.mark.parametrize(
    ("type_", "seconds"),
    [
        ("retry-fixed", [100, 100, 100, 100]),
        ("retry-linear", [100, 150, 150, 150]),
        ("retry-exponential", [100, 300, 900, 1000]),
    ],
)
async def test_each_policy_waits_as_it_says(service: Service, type_: str, seconds: list[float]) -> None:
    job_id = (await service.submit(type_))["jobId"]
    for attempt, expected in enumerate(seconds, start=1):
        row = await waiting_after(service, job_id, attempt)
        assert (row["reason"], row["attempt"]) == (1, attempt)
        assert expected - 10 < row["seconds"] <= expected
        await hurry(service)
    view = await service.ended(job_id)
    assert (view["status"], view["attempt"]) == ("failed", 5)
    assert await service.sql(WAITING) == []


async def test_a_job_between_attempts_is_pending_and_says_why(service: Service) -> None:
    job_id = (await service.submit("raise-later"))["jobId"]
    view = await service.until(job_id, lambda view: view["waitingFor"] == "retry")
    assert (view["status"], view["attempt"], view["completedAt"]) == ("pending", 1, None)
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted", "JobRetryScheduled"]


async def test_jitter_keeps_the_delay_within_its_share(service: Service) -> None:
    for _ in range(10):
        await service.submit("raise-later")
    rows = await eventually(lambda: ten_waiting(service))
    delays = {round(row["seconds"], 3) for row in rows}
    assert all(24 - 10 < delay <= 36 for delay in delays)
    assert len(delays) > 1


async def ten_waiting(service: Service) -> list[Any]:
    rows = await service.sql(WAITING)
    return rows if len(rows) == 10 else []


async def test_a_delay_that_the_handler_asked_for_goes_before_the_policys(service: Service) -> None:
    job_id = (await service.submit("retry-after", {"after": 500}))["jobId"]
    row = await waiting_after(service, job_id, 1)
    assert 490 < row["seconds"] <= 500
    await hurry(service)
    assert (await service.ended(job_id))["result"] == 2


async def test_a_submission_may_set_how_often_a_job_is_tried(service: Service) -> None:
    once = await service.run("raise", {"name": "once"}, maxAttempts=1)
    assert (once["status"], once["attempt"], once["maxAttempts"]) == ("failed", 1, 1)
    more = await service.run("raise", {"name": "more"}, maxAttempts=4)
    assert (more["status"], more["attempt"], more["maxAttempts"]) == ("failed", 4, 4)


async def test_a_job_that_waits_for_its_retry_can_be_cancelled(service: Service) -> None:
    job_id = (await service.submit("raise-later"))["jobId"]
    await service.until(job_id, lambda view: view["waitingFor"] == "retry")
    assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
    view = await service.job(job_id)
    assert (view["status"], view["waitingFor"]) == ("cancelled", None)
    assert await service.sql(WAITING) == []


async def test_the_lease_token_rises_with_every_attempt(service: Service) -> None:
    job_id = (await service.submit("retry-fixed"))["jobId"]
    await waiting_after(service, job_id, 1)
    assert (await service.sql("select token from scheduled"))[0][0] == 1
    await hurry(service)
    await waiting_after(service, job_id, 2)
    assert (await service.sql("select token from scheduled"))[0][0] == 2
