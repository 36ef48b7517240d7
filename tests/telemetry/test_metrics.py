"""Metrics: what an operator asks of the service is there, and moves."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from duly.domain.events import EventKind
from duly.domain.ids import new_job_id, smallest_id_at
from duly.domain.job import Finished, Lane
from duly.telemetry.label_values import MOST_NAMES
from duly.telemetry.metrics import Metrics, QueueFigures
from tests.support import handlers as signals
from tests.support.gauges import read_gauges
from tests.support.parked_jobs import parked_job
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver

pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

StartService = Callable[..., Awaitable[Service]]


def samples_of(text: bytes) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in text.decode().splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in lines}


async def _samples(service: Service) -> dict[str, float]:
    answer = await service.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return samples_of(answer.content)


async def test_counters_follow_jobs_attempts_deliveries_and_refusals(start_service: Any, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=(3600,))
    receiver.statuses = [500, 204]
    before = await _samples(service)
    assert before["duly_jobs_accepted_total"] == 0

    async def nothing_to_claim() -> bool:
        return not service.node.worker.claimer.may_find_jobs

    await service.run("echo", 1, callbackUrl=receiver.url)
    await receiver.next()
    await service.run("raise", {"succeed_on": 2}, queue="reports")
    await eventually(nothing_to_claim)  # else the next job does not start with its submission
    await service.run("fail")
    await service.client.post("/api/v1/jobs", json={"type": "none"})

    async def settled() -> dict[str, float]:
        samples = await _samples(service)
        ended = samples.get('duly_batch_size_sum{statement="finish"}', 0)
        return samples if ended == 4 and samples['duly_deliveries_total{outcome="try_again"}'] == 1 else {}

    now: dict[str, Any] = await eventually(settled)
    assert now["duly_jobs_accepted_total"] == 3
    assert now["duly_attempts_started_total"] == 4
    assert now['duly_attempts_ended_total{event="JobCompleted",queue="default"}'] == 1
    assert now['duly_attempts_ended_total{event="JobRetryScheduled",queue="reports"}'] == 1
    assert now['duly_attempts_ended_total{event="JobCompleted",queue="reports"}'] == 1
    assert now['duly_attempts_ended_total{event="JobFailed",queue="default"}'] == 1
    assert now['duly_requests_refused_total{code="UNKNOWN_JOB_TYPE"}'] == 1
    assert now["duly_delivery_seconds_count"] == 1
    # Three attempts began with their submission; the retry was claimed.
    for statement, times in (("submit", 3), ("claim", 1), ("finish", 4)):
        assert now[f'duly_batch_size_count{{statement="{statement}"}}'] == times
        assert now[f'duly_batch_size_sum{{statement="{statement}"}}'] == times
    assert now["duly_leases_lost_total"] == 0


async def test_the_age_of_a_queue_counts_from_the_submission_whatever_the_id_tells(start_service: Any) -> None:
    service = await start_service(roles=("api", "sweeper"))
    made = smallest_id_at(datetime.now(UTC) - timedelta(hours=20)).int
    job_id = UUID(int=made | new_job_id().int % (1 << 80))
    assert (await service.client.put(f"/api/v1/jobs/{job_id}", json={"type": "echo"})).status_code == 202
    await read_gauges(service)
    assert (await _samples(service))['duly_queue_oldest_seconds{queue="default"}'] < 60


async def test_gauges_show_depth_and_oldest_age_of_each_queue_slots_and_loops(start_service: Any) -> None:
    service = await start_service(worker_slots=1)
    await service.submit("wait-for-gate")
    await signals.has_entered("default").wait()
    for _ in range(3):
        await service.submit("echo", 1, queue="waiting")
    await service.submit("echo", 1, queue="later", delaySeconds=60)
    parked = await parked_job(service, "approval", queue="parked")
    await service.sql("select pg_sleep(0.05)")  # an age above nothing
    await read_gauges(service)
    now = await _samples(service)
    assert now['duly_queue_running{queue="default"}'] == 1
    assert now['duly_queue_depth{queue="waiting"}'] == 3
    assert now['duly_queue_scheduled{queue="later"}'] == 1
    assert (now['duly_queue_parked{queue="parked"}'], now['duly_queue_scheduled{queue="parked"}']) == (1, 0)
    assert (now['duly_queue_held{queue="parked"}'], now["duly_signals_total"]) == (0, 0)
    await service.client.post(f"/api/v1/jobs/{parked}/signals/approval")
    assert (await _samples(service))["duly_signals_total"] == 1
    assert 0.05 <= now['duly_queue_oldest_seconds{queue="waiting"}'] < 60
    assert (now["duly_worker_slots"], now["duly_worker_slots_busy"]) == (1, 1)
    loops = {loop.name for loop in service.node.loops}
    assert loops >= {"submit", "claim", "finish", "dispatch", "sweep", "heartbeat"}
    for loop in loops:
        assert now[f'duly_loop_failures{{loop="{loop}"}}'] == 0
        assert f'duly_loop_idle_seconds{{loop="{loop}"}}' in now
    signals.gate("default").set()


def test_the_largest_queues_are_shown_and_all_others_together(server: object) -> None:
    metrics = Metrics()
    figures = {f"q{n}": QueueFigures(ready=1, scheduled=2, running=3, oldest_seconds=n) for n in range(3_000)}
    metrics.queues({**figures, "large": QueueFigures(ready=10_000), "default": QueueFigures()})
    samples = samples_of(metrics.render())
    depths = {name: value for name, value in samples.items() if name.startswith("duly_queue_depth{")}
    assert len(depths) <= MOST_NAMES
    assert sum(depths.values()) == 13_000
    assert depths['duly_queue_depth{queue="large"}'] == 10_000
    assert depths['duly_queue_depth{queue="default"}'] == 0
    assert samples['duly_queue_oldest_seconds{queue="other"}'] > 2_900
    running = [value for name, value in samples.items() if name.startswith("duly_queue_running{")]
    assert sum(running) == 9_000


def test_a_small_number_of_queues_is_shown_one_by_one(server: object) -> None:
    metrics = Metrics()
    metrics.queues({f"q{n}": QueueFigures(ready=n) for n in range(MOST_NAMES)})
    samples = samples_of(metrics.render())
    assert [samples[f'duly_queue_depth{{queue="q{n}"}}'] for n in range(MOST_NAMES)] == list(range(MOST_NAMES))
    assert 'queue="other"' not in metrics.render().decode()


ENDED = Finished(
    UUID(int=1), EventKind.COMPLETED, sequence=2, lane=Lane(1, "", "", 0), due_in_seconds=None, delivers=False
)


def ended_in(queues: Iterable[str]) -> list[Finished]:
    return [ENDED._replace(lane=Lane(1, queue, "echo", 0)) for queue in queues]


def test_names_of_queues_do_not_make_the_counters_grow_and_their_sum_is_right(server: object) -> None:
    metrics, before = Metrics(), dict[str, float]()
    size = 0
    for start in range(0, 10_000, 100):
        metrics.finished(ended_in([f"queue-{n}" for n in range(start, start + 100)] + ["busy", "default"]))
        counts = {
            name: value
            for name, value in samples_of(metrics.render()).items()
            if name.startswith("duly_attempts_ended_total{")
        }
        assert sum(counts.values()) == (start // 100 + 1) * 102
        assert all(counts[name] >= value for name, value in before.items())  # none decreases or disappears
        before = counts
        size = size or len(metrics.render())
    assert len(before) <= MOST_NAMES
    assert len(metrics.render()) < size + 20_000
    assert before['duly_attempts_ended_total{event="JobCompleted",queue="default"}'] == 100


def test_queues_of_one_name_are_one_series_whatever_their_tenants(server: object) -> None:
    metrics = Metrics()
    metrics.finished([ENDED._replace(lane=Lane(tenant, "mail", "echo", 0)) for tenant in range(1, 10_001)])
    text = metrics.render().decode()
    assert samples_of(text.encode())['duly_attempts_ended_total{event="JobCompleted",queue="mail"}'] == 10_000
    assert "tenant" not in text


def test_a_queue_that_turns_out_busy_is_shown_though_many_others_came_first(server: object) -> None:
    metrics = Metrics()
    for start in range(0, 5_000, 50):
        metrics.finished(ended_in([f"once-{n}" for n in range(start, start + 50)]))
    for _ in range(100):
        metrics.finished(ended_in(["late", "rare-1"] + [f"again-{n}" for n in range(10)]))
    samples = samples_of(metrics.render())
    assert samples['duly_attempts_ended_total{event="JobCompleted",queue="late"}'] > 50


async def test_a_service_with_thousands_of_queues_has_a_short_page_of_metrics(start_service: StartService) -> None:
    service = await start_service(max_queues_per_tenant=10_000)
    lines = b"".join(b'{"type":"echo","queue":"q%d","delaySeconds":600}\n' % n for n in range(3_000))
    ndjson = {"Content-Type": "application/x-ndjson"}
    answer = await service.client.post("/api/v1/jobs/batch", content=lines, headers=ndjson)
    assert answer.status_code == 202, answer.text
    for n in range(60):
        await service.run("echo", n, queue=f"run{n}")
    await read_gauges(service)
    text = (await service.client.get("/metrics")).text
    assert len(text) < 64_000
    scheduled = [value for name, value in samples_of(text.encode()).items() if name.startswith("duly_queue_scheduled{")]
    assert (sum(scheduled), len(scheduled) <= MOST_NAMES) == (3_000, True)


def test_a_queue_that_is_empty_now_is_no_longer_shown(server: object) -> None:
    metrics = Metrics()
    metrics.queues({"a": QueueFigures(ready=1), "b": QueueFigures(ready=2)})
    metrics.queues({"b": QueueFigures(ready=3)})
    text = metrics.render().decode()
    assert 'duly_queue_depth{queue="a"}' not in text
    assert 'duly_queue_depth{queue="b"} 3.0' in text


async def test_the_histogram_of_waits_names_a_job_and_its_trace_in_openmetrics(service: Service) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    body = {"type": "echo", "parameters": 1, "delaySeconds": 0.01}
    job_id = (await service.client.post("/api/v1/jobs", json=body, headers=headers)).json()["jobId"]
    await service.ended(job_id)

    answer = await service.client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    parsed = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]  # it has no annotations
    families = {family.name: family for family in parsed}
    exemplars = [sample.exemplar for sample in families["duly_wait_seconds"].samples if sample.exemplar is not None]
    assert [exemplar.labels for exemplar in exemplars] == [{"job_id": job_id, "trace_id": trace}]
