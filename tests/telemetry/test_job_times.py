"""Histograms of the times of jobs: wait, run, and submission to webhook, by queue and type."""

from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from duly.domain.events import EventKind
from duly.domain.job import Finished, Lane
from duly.telemetry.bulk_histogram import MOST_PAIRS, BulkHistogram
from duly.telemetry.metrics import Metrics
from tests.support import handlers as signals
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver
from tests.telemetry.test_metrics import samples_of


def _values(histogram: BulkHistogram) -> list[tuple[str, Any, Any]]:
    [family] = histogram.collect()
    return [(s.name, s.labels, pytest.approx(s.value)) for s in family.samples if not s.name.endswith("_created")]


def test_values_observed_together_count_as_those_observed_one_by_one() -> None:
    values = [0.0, 0.001, 0.005, 0.0051, 1.0, 2.0, 2.1, 7.0, 10_000.0]
    together, single = (
        BulkHistogram("seconds", "Some.", buckets=(0.005, 1, 2, 10), registry=CollectorRegistry()) for _ in range(2)
    )
    together.observe_all(values)
    for value in values:
        single.observe(value)
    assert _values(together) == _values(single)


def _ended(queue: str, job_type: str = "echo", *, seconds: float = 1.0, kind: EventKind = EventKind.COMPLETED) -> Any:
    lane = Lane(1, queue, job_type, 0)
    return Finished(UUID(int=1), kind, 2, lane, due_in_seconds=None, delivers=False, ran_seconds=seconds)


def _counts(metrics: Metrics, name: str) -> dict[str, float]:
    samples = samples_of(metrics.render())
    return {labels: value for labels, value in samples.items() if labels.startswith(f"duly_{name}_count")}


def test_rare_queues_and_types_share_a_series_and_the_sum_is_right() -> None:
    metrics = Metrics()
    for n in range(1_000):
        metrics.finished([_ended(f"q{n}", f"t{n}"), _ended("busy", "report")])
    counts = _counts(metrics, "run_seconds")
    assert (sum(counts.values()), len(counts) <= MOST_PAIRS) == (2_000, True)
    assert counts['duly_run_seconds_count{queue="busy",type="report"}'] == 1_000
    assert counts['duly_run_seconds_count{queue="other",type="other"}'] > 900
    assert samples_of(metrics.render())['duly_run_seconds_sum{queue="busy",type="report"}'] == 1_000


def test_attempts_that_were_lost_or_given_back_are_no_run_times_and_no_time_is_negative() -> None:
    metrics = Metrics()
    metrics.finished([_ended("a", kind=EventKind.LEASE_EXPIRED), _ended("a", kind=EventKind.REQUEUED)])
    assert not _counts(metrics, "run_seconds")
    metrics.finished([_ended("a", seconds=-0.5)])
    assert samples_of(metrics.render())['duly_run_seconds_bucket{le="0.005",queue="a",type="echo"}'] == 1


embedded = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")


async def _samples(service: Service) -> dict[str, float]:
    return samples_of((await service.client.get("/metrics")).content)


AGE = """
update jobs set created_at = created_at - interval '1 hour', run_at = run_at - interval '1 hour' where job_id = $1
"""


async def _age(service: Service, job_id: str) -> None:
    """Makes a job look submitted, and due, an hour earlier."""
    await service.sql(AGE, UUID(job_id))


@embedded
async def test_the_wait_counts_from_when_a_job_was_ready(start_service: Any) -> None:
    service: Service = await start_service(worker_slots=1)
    blocker = (await service.submit("wait-for-gate"))["jobId"]
    await signals.has_entered("default").wait()
    old = (await service.submit("echo", 1, queue="old"))["jobId"]
    delayed = (await service.submit("echo", 1, queue="delayed", delaySeconds=3_600))["jobId"]
    behind = (await service.submit("echo", 1, queue="behind", dependsOn=[blocker]))["jobId"]
    for job_id in (old, delayed, behind):
        await _age(service, job_id)
    await service.sql("update scheduled set run_at = now() where queue = 'delayed'")
    signals.gate("default").set()
    for job_id in (old, delayed, behind):
        await service.ended(job_id)
    samples = await _samples(service)
    waited = {
        queue: samples.get(f'duly_wait_seconds_sum{{queue="{queue}",type="echo"}}') for queue in ("old", "behind")
    }
    assert waited["old"] == pytest.approx(3_600, abs=300)
    assert waited["behind"] is None  # when its dependencies ended is not recorded
    assert samples['duly_wait_seconds_sum{queue="delayed",type="echo"}'] < 300
    assert samples['duly_wait_seconds_count{queue="default",type="wait-for-gate"}'] == 1
    assert samples['duly_wait_seconds_sum{queue="default",type="wait-for-gate"}'] == 0  # it started at once


@embedded
async def test_a_job_that_runs_again_waits_from_the_event_that_made_it_ready(start_service: Any) -> None:
    service: Service = await start_service()
    failed = await service.run("fail", queue="again")
    await _age(service, failed["jobId"])
    await service.client.post(f"/api/v1/jobs/{failed['jobId']}/retry")
    await eventually(lambda: _has(service, 'duly_wait_seconds_count{queue="again",type="fail"}', 2))
    assert (await _samples(service))['duly_wait_seconds_sum{queue="again",type="fail"}'] < 300


async def _has(service: Service, sample: str, value: float) -> bool:
    return (await _samples(service)).get(sample) == value


@embedded
async def test_run_times_and_the_time_until_the_webhook_of_the_end(start_service: Any, receiver: Receiver) -> None:
    service: Service = await start_service()
    callback = {"callbackUrl": receiver.url, "callbackEvents": ["job.started", "job.completed"]}
    job_id = (await service.submit("wait-for-gate", **callback))["jobId"]
    await signals.has_entered("default").wait()
    await receiver.next()
    await _age(service, job_id)
    await service.sql("update running set started_at = started_at - interval '20 seconds'")
    signals.gate("default").set()
    await receiver.next()
    of = '{queue="default",type="wait-for-gate"}'
    await eventually(lambda: _has(service, f"duly_end_to_end_seconds_count{of}", 1))
    samples = await _samples(service)
    assert 20 <= samples[f"duly_run_seconds_sum{of}"] < 300
    assert 3_600 <= samples[f"duly_end_to_end_seconds_sum{of}"] < 3_900
