"""A timeout limits the call of a handler: what comes before the call does not count."""

import time
from collections.abc import Awaitable, Callable

import pytest

from duly.worker import prefetch
from tests.support import batch_handlers as support
from tests.support.service import Service, eventually
from tests.worker.test_prefetch import brisk, claimed

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.batch_handlers", "tests.support.batch_linger_handlers")
SECONDS = "select extract(epoch from deadline - started_at)::float8 from running"


@pytest.fixture
async def lingering(start_service: StartService) -> Service:
    support.forget()
    return await start_service(handlers=HANDLERS, worker_slots=3)


async def test_lingering_does_not_count_to_the_timeout(lingering: Service) -> None:
    view = await lingering.run("lingers-longer", timeoutSeconds=3.5)
    assert (view["status"], view["attempt"]) == ("completed", 1)


async def test_an_event_loop_that_is_late_to_call_a_batch_does_not_use_up_its_timeout(lingering: Service) -> None:
    job_id = (await lingering.submit("lingers", timeoutSeconds=0.2))["jobId"]
    await lingering.until(job_id, lambda view: view["status"] == "running")
    _block_the_loop(0.8)
    await lingering.node.worker.pool.watch()  # before the batch, whose time has come as well
    assert (await lingering.ended(job_id))["status"] == "completed"


def _block_the_loop(seconds: float) -> None:
    time.sleep(seconds)


async def test_the_call_is_bounded_however_long_it_has_lingered(lingering: Service) -> None:
    view = await lingering.run("lingers-and-hangs", timeoutSeconds=0.2)
    assert (view["status"], view["error"]["code"]) == ("failed", "TIMED_OUT")


async def test_the_recorded_deadline_follows_the_call(lingering: Service) -> None:
    """Sweepers and `/why` use the recorded deadline."""
    first = (await lingering.submit("batch-fills", {"name": "first"}, timeoutSeconds=3))["jobId"]

    async def moved() -> bool:
        rows = await lingering.sql(SECONDS)  # none before it is claimed
        return any(support.LONGEST + 2 < seconds < support.LONGEST + 60 for [seconds] in rows)

    await eventually(moved)
    for name in ("second", "third"):
        await lingering.submit("batch-fills", {"name": name})
    assert (await lingering.ended(first))["status"] == "completed"


async def test_a_deadline_that_has_not_moved_is_not_written_again(lingering: Service) -> None:
    await lingering.run("echo")
    await lingering.node.worker.pool.watch()
    assert lingering.node.worker.deadlines._moved == []


def test_what_waits_for_a_slot_is_given_back_though_others_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "STALE_SECONDS", 60.0)
    monkeypatch.setattr(prefetch, "LONGEST_SECONDS", 60.0)
    waiting = brisk(3)
    jobs = [claimed(), claimed()]
    waiting.put(jobs)
    assert waiting.take() == jobs[0]
    assert waiting.take_stale() == []
    monkeypatch.setattr(prefetch, "LONGEST_SECONDS", 0.0)
    assert waiting.take_stale() == jobs[1:]
