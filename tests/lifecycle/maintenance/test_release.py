"""Delayed jobs start at their time by the database clock, neither before it nor long after."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.durations import shortest
from tests.support.service import Service

# Not long after its time.
SOON = 1.5


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
    accepted = await service.submit("echo", {"a": 1}, delaySeconds=600.7)
    waiting = await service.job(accepted["jobId"])
    assert (waiting["status"], waiting["waitingFor"], waiting["attempt"]) == ("pending", "time", 0)
    assert (moment(waiting["runAt"]) - moment(waiting["createdAt"])).total_seconds() == 600.7

    async def late() -> float:
        view = await service.run("echo", {"a": 1}, delaySeconds=0.7)
        assert view["result"] == {"a": 1}
        return lateness(view)

    assert 0 <= await shortest(late, below=SOON) < SOON


async def test_a_time_in_the_future_is_kept(service: Service) -> None:
    async def late() -> float:
        run_at = await database_now(service) + timedelta(seconds=0.8)
        view = await service.run("echo", runAt=rfc_3339(run_at))
        assert view["runAt"] == rfc_3339(run_at)
        assert await service.event_types(view["jobId"]) == ["JobSubmitted", "JobStarted", "JobCompleted"]
        return lateness(view)

    assert 0 <= await shortest(late, below=SOON) < SOON


async def test_a_time_in_the_past_is_now(service: Service) -> None:
    accepted = await service.submit("echo", runAt="2020-01-01T00:00:00.000Z")
    assert await service.sql("select from scheduled") == []
    assert (await service.ended(accepted["jobId"]))["status"] == "completed"


async def test_a_job_far_ahead_holds_up_nobody(service: Service) -> None:
    far = await service.submit("echo", delaySeconds=86_400)

    async def late() -> float:
        return lateness(await service.run("echo", delaySeconds=0.3))

    assert 0 <= await shortest(late, below=SOON) < SOON
    assert (await service.run("echo"))["status"] == "completed"
    view = await service.job(far["jobId"])
    assert (view["status"], view["waitingFor"]) == ("pending", "time")


async def test_many_due_at_once_are_all_released(service: Service) -> None:
    jobs = [await service.submit("echo", delaySeconds=3600) for _ in range(30)]
    await service.make_due()
    for job in jobs:
        assert (await service.ended(job["jobId"]))["status"] == "completed"
    assert await service.sql("select from scheduled") == []
