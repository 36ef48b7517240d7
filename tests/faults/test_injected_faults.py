"""An error at any call or await between claim and finish: no slot is lost, no job stays running, nothing is silent."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly.worker import attempt, orphaned_attempts, outcome_to_end, pool, running_attempts, start_bursts
from tests.support.injected_faults import Fault, Faults, installed
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
# The behavior is the same on each server.
pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

TYPES = ("plain", "talks", "raises", "in-thread")
SLOTS = 2
# Before a job is claimed or recorded as running; and after the last one, while a node drains.
ELSEWHERE = {
    *(
        "__init__",
        "refresh",
        "identity",
        "may_start",
        "reserve",
        "release_slots",
        "response_lost",
        "note_ready",
        "cancel",
    ),
    *("stop_all", "stop_claiming", "_empty_prefetch", "drain", "_nothing_runs", "_abandon"),
}

# Jobs that wait too long for a slot are given back, on a slow machine only, and perhaps never again in the test.
SELDOM = {("Pool.watch", "call Interrupted"), ("Pool.watch", "call self._ends.put")}


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    monkeypatch.setattr(orphaned_attempts, "OLD_ENOUGH_SECONDS", 0.0)
    monkeypatch.setattr(orphaned_attempts, "FIND_SECONDS", 0.0)
    with installed(pool, attempt, outcome_to_end, running_attempts, start_bursts) as points:
        yield points


async def submit_all(service: Service) -> list[str]:
    """More than there are slots for: some start at once, others are claimed."""
    accepted = await asyncio.gather(*(service.submit(type_) for type_ in TYPES))
    return [job["jobId"] for job in accepted]


async def all_end(service: Service, job_ids: list[str]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(service.ended(job_id) for job_id in job_ids)))


async def fully_idle(service: Service, point: str) -> None:
    worker = service.node.worker.pool

    async def look() -> bool:
        return (
            worker._slots.free == SLOTS
            and not worker._slots.reserved
            and not len(worker._prefetch)
            and not worker._attempts
        )

    await eventually(look), point


def errors_of(service: Service) -> float:
    node = service.node
    return float(node.metrics.attempt_errors._value.get()) + sum(loop.failures for loop in node.loops)


def is_between_claim_and_finish(point: str) -> bool:
    _, function, _, what = point.split(":", 3)
    if (function, what) in SELDOM:
        return False
    # The one that is called there catches everything.
    return function.rpartition(".")[2] not in ELSEWHERE and what != "call self._accept"


async def throw_at(service: Service, faults: Faults, point: str) -> None:
    before = errors_of(service)
    find_orphans = service.node.loops.waker("orphans")  # without a lost response, it rests for a minute
    job_ids: list[str] = []
    with capture_logs() as logs:
        faults.armed = point
        while faults.waiting:
            find_orphans()
            job_ids = await submit_all(service)
            views = await all_end(service, job_ids)
            assert {view["status"] for view in views} == {"completed"}, (point, views)
            assert sum(view["attempt"] for view in views) <= len(TYPES) + 2, (point, views)
        await fully_idle(service, point)
    lines = [line for line in logs if is_of_a_fault(line)]
    if "call log.warning" not in point:  # that line is written by other means then
        assert len(lines) == 1, (point, lines)
        of_its_handler = lines[0]["action"] == "attempt_failed"
        assert of_its_handler or errors_of(service) > before, (point, lines)


def is_of_a_fault(line: Any) -> bool:
    return isinstance(line.get("exc_info"), Fault) or "Fault: " in str(line.get("exception"))


async def test_an_error_anywhere_costs_neither_a_slot_nor_a_job_and_is_logged_once_and_counted(
    start_service: StartService, faults: Faults
) -> None:
    service = await start_service(handlers=("tests.support.fault_handlers",), worker_slots=SLOTS)
    with capture_logs():
        for _ in range(3):
            await all_end(service, await submit_all(service))
    points = sorted(filter(is_between_claim_and_finish, faults.passed))
    assert len(points) > 40
    for point in points:
        await throw_at(service, faults, point)
