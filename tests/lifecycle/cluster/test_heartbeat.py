"""The heartbeat knows whether other nodes are listed, and stops attempts before others may start them again."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from duly.lifecycle.cluster import heartbeat
from duly.store.queue.nodes import RenewedLease, beat
from tests.support import handlers as support
from tests.support.service import BOUND_SECONDS, Service, eventually


async def test_a_node_that_says_hello_during_a_heartbeat_is_not_forgotten(
    start_service: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service(lease_seconds=600)  # no other heartbeat comes between

    async def alone_after(each_beat: Callable[..., Any]) -> bool:
        monkeypatch.setattr(heartbeat, "beat", each_beat)
        await service.node.heartbeat.step()
        return bool(service.node.wakeups.alone)

    async def overtaken_by_a_hello(*arguments: Any, **options: Any) -> RenewedLease | None:
        row = await beat(*arguments, **options)
        service.node.wakeups.receive(["hello"])
        return row

    assert await alone_after(beat)
    assert not await alone_after(overtaken_by_a_hello)
    assert await alone_after(beat)


async def running_job(service: Service) -> str:
    job_id: str = (await service.submit("wait-for-gate"))["jobId"]
    await asyncio.wait_for(support.has_entered("default").wait(), BOUND_SECONDS)
    return job_id


async def test_a_process_that_stood_still_renews_its_lease_and_its_attempts_go_on(
    start_service: Callable[..., Any],
) -> None:
    service = await start_service(lease_seconds=600)
    job_id, beating = await running_job(service), service.node.heartbeat
    # As if it had stood still since the last heartbeat, and its timers ran only now.
    beating._renewed_at -= 500
    beating._stops_at -= 500
    stood_still = time.monotonic()
    beating._stop_in_time()
    assert beating._stops_at < stood_still + 100  # before its lease is over
    await beating.step()
    assert beating._renewed_at >= stood_still
    support.gate("default").set()
    await service.ended(job_id)
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted", "JobCompleted"]


@pytest.mark.parametrize("elapsed", [400, 580], ids=["in time", "as its lease is almost over"])
async def test_attempts_stop_when_their_lease_is_not_renewed(start_service: Callable[..., Any], elapsed: float) -> None:
    service = await start_service(lease_seconds=600)
    job_id, beating = await running_job(service), service.node.heartbeat
    beating._renewed_at = time.monotonic() - elapsed
    beating._stops_at = beating._renewed_at + 400
    beating._stop_in_time()

    async def runs_again() -> bool:
        return len(support.calls["default"]) == 2

    await eventually(runs_again)
    support.gate("default").set()
    await service.ended(job_id)
    assert (await service.event_types(job_id))[2:4] == ["JobRequeued", "JobStarted"]
