"""An error on any line between an attempt's end and its record loses no job and is logged once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly import loop
from duly.lifecycle.writes import round_size, set_aside
from duly.node import dispatcher_parts, node
from tests.support.fault_injecting_copies import FaultInjector, copy_with_faults
from tests.support.refusing_triggers import refusing
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import running_receiver

# Some fifty errors are injected in turn, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(1_200)
StartService = Callable[..., Awaitable[Service]]
TERMINAL = "select count(distinct job_id) from events where kind >= 10"
JOBS = "select count(*) from jobs"
HANDED_OVER = "Settler.put:1:before call"
TO_FOLLOW = "select 1 from endings union all select 1 from batch_tallies limit 1"
SECONDS = 60.0
MOST_ROUNDS = 20
# Of the copies. A delivery whose result an error lost is not sent again while the test runs.
CONSTANTS = {"LOOK_SECONDS": 0.01, "FIRST_PUT_OFF_SECONDS": 3600.0}


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the delays before retries."""
    monkeypatch.setattr(loop, "FIRST_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(set_aside, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(round_size, "FIRST_SECONDS", 0.01)


def put_in(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, *, exclude: tuple[str, ...]
) -> tuple[FaultInjector, list[str]]:
    """Puts a throwing copy of this class in place. Returns its points, except those of some functions."""
    thrower = FaultInjector()
    copy, points = copy_with_faults(module, thrower)
    for constant in CONSTANTS.keys() & vars(copy).keys():
        vars(copy)[constant] = CONSTANTS[constant]
    composed_in = node if hasattr(node, name) else dispatcher_parts
    monkeypatch.setattr(composed_in, name, getattr(copy, name))
    left_out = {"__init__", *exclude}
    return thrower, [point for point in points if not left_out & set(point.partition(":")[0].split("."))]


def faults(service: Service, statement: str, name: str) -> float:
    """Returns the number of program errors that were counted."""
    [found] = [each for each in service.node.loops if each.name == name]
    return found.failures + float(service.node.metrics.statement_faults.labels(statement)._value.get())


async def all_ended(service: Service) -> None:
    """Returns once every job has ended, and what follows from that is done.

    An outcome that was recorded before an error waits aside to be tried again, which passes points as well.
    """

    async def look() -> bool:
        [[ended]], [[jobs]] = await service.sql(TERMINAL), await service.sql(JOBS)
        return bool(ended == jobs) and not service.node.finisher.waiting and not await service.sql(TO_FOLLOW)

    await eventually(look, seconds=SECONDS)


async def throw_at_each(
    service: Service,
    thrower: FaultInjector,
    points: list[str],
    once: Callable[[], Awaitable[None]],
    *,
    counted: Callable[[], float],
) -> list[str]:
    """Runs `once` with an error at each point. Returns those that were not reached."""
    await once()
    reached = [point for point in points if thrower.passed[point]]
    for point in reached:
        before = counted()
        thrower.arm(point)
        with capture_logs() as logs:
            try:
                for _ in range(MOST_ROUNDS):  # what is recorded together differs
                    await once()
                    if thrower.fired:
                        break
            except TimeoutError:
                pytest.fail(f"not all jobs ended after an error at {point}")
        assert thrower.fired, point
        told = [entry for entry in logs if entry.get("exc_info")]
        assert len(told) == 1, (point, told)
        assert counted() == before + 1, point
    return [point for point in points if point not in reached]


async def test_an_error_anywhere_in_recording_outcomes_loses_none(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = ("put", "__contains__", "waiting", "drain", "wait_below", "record")
    thrower, points = put_in(monkeypatch, "duly.lifecycle.end.finish", "Finisher", exclude=outside)
    service = await start_service()

    async def once() -> None:
        submitting = (service.submit("echo", value) for value in ("plain", "refused", "plain"))
        await asyncio.gather(*submitting, service.submit("fail", {"retryable": False}))
        await all_ended(service)

    condition = "new.kind = 10 and new.data::text = '\"refused\"'"
    async with refusing(service, "events", condition):
        unreached = await throw_at_each(
            service, thrower, points, once, counted=lambda: faults(service, "finish", "finish")
        )
    assert len(points) - len(unreached) > 60, unreached


async def test_an_error_anywhere_in_following_ends_loses_none(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    thrower, points = put_in(monkeypatch, "duly.lifecycle.end.follow_ups", "FollowUps", exclude=("wake_for_ended",))
    service = await start_service()

    def counted() -> float:
        faulty = float(service.node.metrics.statement_faults.labels("batch-count")._value.get())
        return faults(service, "follow-up", "follow-ups") + faulty

    async def once() -> None:
        jobs: list[dict[str, Any]] = [{"type": "echo"}, {"type": "fail", "maxAttempts": 1}]
        parent = await service.submit("echo", delaySeconds=600)
        failing = await service.submit("fail", maxAttempts=1, delaySeconds=600)
        for each in (parent, failing):
            await service.submit("echo", dependsOn=[each["jobId"]], concurrencyKey="key")
        answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs, "then": {"type": "echo"}})
        assert answer.status_code == 202
        await service.sql("update scheduled set run_at = now()")
        await service.node.sweeper.release()
        await all_ended(service)

    unreached = await throw_at_each(service, thrower, points, once, counted=counted)
    assert len(points) - len(unreached) > 40, unreached


async def test_an_error_anywhere_in_settling_deliveries_stops_no_later_one(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    thrower, points = put_in(monkeypatch, "duly.webhooks.settler", "Settler", exclude=("put", "waiting", "drained"))
    # A delivery is held for as long, and sent again after that if an error lost its result.
    service = await start_service(webhook_retry_seconds=(), webhook_timeout_seconds=3600)
    async with running_receiver() as good, running_receiver() as bad:
        bad.statuses = [500]

        async def once() -> None:
            settler = service.node.dispatcher.settler
            before = thrower.passed[HANDED_OVER]
            await service.sql("delete from receivers")  # no circuit opens, however long this takes
            await service.submit("echo", callbackUrl=good.url)
            await service.submit("echo", callbackUrl=bad.url)

            async def settled() -> bool:
                return thrower.passed[HANDED_OVER] >= before + 2 and not settler.waiting

            await eventually(settled, seconds=SECONDS)

        unreached = await throw_at_each(
            service, thrower, points, once, counted=lambda: faults(service, "settle", "settle")
        )
        assert len(points) - len(unreached) > 20, unreached
        before = await service.total("select count(*) from delivery_attempts where outcome = 1")
        await once()
        after = await service.total("select count(*) from delivery_attempts where outcome = 1")
        assert after == before + 1
