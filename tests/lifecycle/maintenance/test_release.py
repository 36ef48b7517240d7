"""Delayed jobs start at their time by the database clock, neither before it nor long after."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.service import Service


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def rfc_3339(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lateness(view: dict[str, Any]) -> float:
    return (moment(view["startedAt"]) - moment(view["runAt"])).total_seconds()


async def database_now(service: Service) -> datetime:
    now: datetime = (await service.sql("select now()"))[0][0]
    return now.astimezone(UTC)


async def test_a_delay_counts_from_acceptance(service: Service) -> None:
    accepted = await service.submit("echo", {"a": 1}, delaySeconds=0.7)
    waiting = await service.job(accepted["jobId"])
    assert (waiting["status"], waiting["waitingFor"], waiting["attempt"]) == ("pending", "time", 0)
    assert (moment(waiting["runAt"]) - moment(waiting["createdAt"])).total_seconds() == 0.7
    view = await service.ended(accepted["jobId"])
    assert view["result"] == {"a": 1}
    assert 0 <= lateness(view) < 1.5


async def test_a_time_in_the_future_is_kept(service: Service) -> None:
    run_at = await database_now(service) + timedelta(seconds=0.8)
    view = await service.run("echo", runAt=rfc_3339(run_at))
    assert view["runAt"] == rfc_3339(run_at)
    assert 0 <= lateness(view) < 1.5
    assert await service.event_types(view["jobId"]) == ["JobSubmitted", "JobStarted", "JobCompleted"]


async def test_a_time_in_the_past_is_now(service: Service) -> None:
    accepted = await service.submit("echo", runAt="2020-01-01T00:00:00.000Z")
    assert await service.sql("select from scheduled") == []
    assert (await service.ended(accepted["jobId"]))["status"] == "completed"


async def test_a_job_far_ahead_holds_up_nobody(service: Service) -> None:
    far = await service.submit("echo", delaySeconds=86_400)
    near = await service.run("echo", delaySeconds=0.3)
    assert 0 <= lateness(near) < 1.5
    assert (await service.run("echo"))["status"] == "completed"
    view = await service.job(far["jobId"])
    assert (view["status"], view["waitingFor"]) == ("pending", "time")


async def test_many_due_at_once_are_all_released(service: Service) -> None:
    jobs = [await service.submit("echo", delaySeconds=3600) for _ in range(30)]
    await service.sql("update scheduled set run_at = now() - interval '1 minute'")
    for job in jobs:
        assert (await service.ended(job["jobId"]))["status"] == "completed"
    assert await service.sql("select from scheduled") == []
