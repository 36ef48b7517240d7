"""Metrics: what an operator asks of the service is there, and moves."""

from typing import Any

import pytest

from duly.telemetry.metrics import Metrics, QueueFigures
from tests.support import handlers as signals
from tests.support.receiver import Receiver
from tests.support.service import Service, eventually

pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")


async def _samples(service: Service) -> dict[str, float]:
    answer = await service.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    pairs = (line.rsplit(" ", 1) for line in answer.text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def test_counters_follow_jobs_attempts_deliveries_and_refusals(service: Service, receiver: Receiver) -> None:
    receiver.statuses = [500, 204]
    before = await _samples(service)
    assert before["duly_jobs_accepted_total"] == 0

    await service.run("echo", 1, callbackUrl=receiver.url)
    await receiver.next()
    await service.run("raise", {"succeed_on": 2}, queue="reports")
    await service.run("fail")
    await service.client.post("/api/v1/jobs", json={"type": "none"})

    async def settled() -> dict[str, float]:
        samples = await _samples(service)
        return samples if 'duly_deliveries_total{outcome="try_again"}' in samples else {}

    now: dict[str, Any] = await eventually(settled)
    assert now["duly_jobs_accepted_total"] == 3
    assert now["duly_attempts_started_total"] == 4
    assert now['duly_attempts_ended_total{event="JobCompleted",queue="default"}'] == 1
    assert now['duly_attempts_ended_total{event="JobRetryScheduled",queue="reports"}'] == 1
    assert now['duly_attempts_ended_total{event="JobCompleted",queue="reports"}'] == 1
    assert now['duly_attempts_ended_total{event="JobFailed",queue="default"}'] == 1
    assert now['duly_requests_refused_total{code="UNKNOWN_JOB_TYPE"}'] == 1
    assert now['duly_deliveries_total{outcome="try_again"}'] == 1
    assert now["duly_delivery_seconds_count"] == 1
    # Three attempts began with their submission; the retry was claimed.
    for statement, times in (("submit", 3), ("claim", 1), ("finish", 4)):
        assert now[f'duly_batch_size_count{{statement="{statement}"}}'] == times
        assert now[f'duly_batch_size_sum{{statement="{statement}"}}'] == times
    assert now["duly_leases_lost_total"] == 0


async def test_gauges_show_depth_and_oldest_age_of_each_queue_slots_and_loops(start_service: Any) -> None:
    service = await start_service(worker_slots=1)
    await service.submit("wait-for-gate")
    await signals.has_entered("default").wait()
    for _ in range(3):
        await service.submit("echo", 1, queue="waiting")
    await service.submit("echo", 1, queue="later", delaySeconds=60)
    await service.sql("select pg_sleep(0.05)")  # an age above nothing
    await service.node.gauges.step()
    now = await _samples(service)
    assert now['duly_queue_running{queue="default"}'] == 1
    assert now['duly_queue_depth{queue="waiting"}'] == 3
    assert now['duly_queue_scheduled{queue="later"}'] == 1
    assert 0.05 <= now['duly_queue_oldest_seconds{queue="waiting"}'] < 60
    assert (now["duly_worker_slots"], now["duly_worker_slots_busy"]) == (1, 1)
    loops = {loop.name for loop in service.node.loops}
    assert loops >= {"submit", "claim", "finish", "dispatch", "sweep", "heartbeat"}
    for loop in loops:
        assert now[f'duly_loop_failures{{loop="{loop}"}}'] == 0
        assert f'duly_loop_idle_seconds{{loop="{loop}"}}' in now
    signals.gate("default").set()


def test_a_queue_that_is_empty_now_is_no_longer_shown(server: object) -> None:
    metrics = Metrics()
    metrics.queues({"a": QueueFigures(ready=1), "b": QueueFigures(ready=2)})
    metrics.queues({"b": QueueFigures(ready=3)})
    text = metrics.render().decode()
    assert 'duly_queue_depth{queue="a"}' not in text
    assert 'duly_queue_depth{queue="b"} 3.0' in text
