"""Traces: every span of a job's life, its parent and its links, as a collector receives them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from opentelemetry.context import attach, detach
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from duly.client import AsyncClient
from duly.telemetry.metric_list import BATCH_BUCKETS
from tests.support.database_pool import TestDatabases
from tests.support.lease_worker import claim_one, post
from tests.support.otlp_collector import CollectedSpan, Collector, running_collector
from tests.support.postgres_servers import Server
from tests.support.service import Service, eventually, running_service
from tests.support.webhook_receiver import Receiver

CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CLIENT_CONTEXT = CLIENT[3:35], CLIENT[36:52]
UNSAMPLED = CLIENT[:-2] + "00"
INTERNAL, SERVER, CLIENT_KIND, PRODUCER, CONSUMER = range(1, 6)
ERROR = 2
SECRET = "parameters-s3cret"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
async def traced(
    collector: Collector, server: Server, databases_of: Callable[[Server], TestDatabases]
) -> AsyncIterator[Service]:
    """Running service that exports to the collector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        patch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")
        async with (
            databases_of(server).lent() as url,
            running_service(url, handlers=("tests.support.handlers", "tests.support.traced_handlers")) as running,
        ):
            yield running


async def run(service: Service, type_: str, parameters: object = None, **members: object) -> tuple[str, object]:
    """Returns the id of a job that has ended, and its result."""
    view = await service.run(type_, parameters, **members)
    return view["jobId"], view["result"]


def is_child(span: CollectedSpan, parent: CollectedSpan) -> bool:
    return (span.trace_id, span.parent_id) == parent.context


async def process_spans(collector: Collector, job_id: str, *, count: int = 1) -> list[CollectedSpan]:
    """Returns the spans of a job's attempts, in order of their start."""
    type_ = (await collector.one("send default", messaging_message_id=job_id)).attributes["duly.job.type"]
    return await collector.wait_for(f"process {type_}", messaging_message_id=job_id, count=count)


async def test_one_trace_leads_from_the_request_to_the_webhook(
    traced: Service, collector: Collector, receiver: Receiver
) -> None:
    headers = {"traceparent": CLIENT}
    body = {"type": "traced-task", "callbackUrl": f"{receiver.url}?token=receivers-s3cret"}
    job_id = (await traced.client.post("/api/v1/jobs", json=body, headers=headers)).json()["jobId"]
    result = (await traced.ended(job_id))["result"]
    received = await receiver.next()

    send = await collector.one("send default", messaging_message_id=job_id)
    [request] = [span for span in await collector.wait_for("POST /api/v1/jobs") if is_child(send, span)]
    process = await collector.one("process traced-task", messaging_message_id=job_id)
    webhook = await collector.one("POST", duly_job_id=job_id)
    await collector.child("of the handler", process)

    assert (request.trace_id, request.parent_id) == CLIENT_CONTEXT
    assert is_child(process, send)
    assert is_child(webhook, send)
    assert (request.kind, send.kind, process.kind, webhook.kind) == (SERVER, PRODUCER, CONSUMER, CLIENT_KIND)
    assert result == process.traceparent
    assert received.headers["traceparent"] == webhook.traceparent
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/v1/jobs",
        "http.response.status_code": 202,
        "url.scheme": "http",
    }
    messaging = {"messaging.system": "duly", "messaging.destination.name": "default", "duly.job.type": "traced-task"}
    assert send.attributes == messaging | {
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.id": job_id,
    }
    assert process.attributes == messaging | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": job_id,
        "duly.job.attempt": 1,
        "duly.job.outcome": "completed",
        "rows": 250,
    }
    assert webhook.attributes["http.response.status_code"] == 204
    assert "receivers-s3cret" not in str(webhook.attributes)


async def test_the_resource_names_the_service_its_version_and_its_process(
    traced: Service, collector: Collector
) -> None:
    job_id, _ = await run(traced, "traced-task")
    [process] = await process_spans(collector, job_id)
    assert process.scope == "duly"
    assert process.resource["service.name"] == "duly"
    assert process.resource["service.version"] == "0.1.0"
    assert process.resource["service.instance.id"] == traced.node.name


async def test_the_metrics_of_the_registry_are_exported(traced: Service, collector: Collector) -> None:
    await run(traced, "traced-task")
    accepted = int(traced.node.metrics.registry.get_sample_value("duly_jobs_accepted_total") or 0)

    async def arrived() -> bool:
        metric = collector.metrics.get("duly_jobs_accepted")
        return metric is not None and metric.sum.data_points[0].as_double >= accepted

    await eventually(arrived)
    counter, gauge, histogram = (
        collector.metrics[f"duly_{name}"] for name in ("jobs_accepted", "worker_slots", "batch_size")
    )
    assert counter.sum.is_monotonic
    assert gauge.gauge.data_points[0].as_double == 100
    [claims] = [
        point
        for point in histogram.histogram.data_points
        if [(item.key, item.value.string_value) for item in point.attributes] == [("statement", "submit")]
    ]
    assert sum(claims.bucket_counts) == claims.count > 0
    assert list(claims.explicit_bounds) == list(BATCH_BUCKETS)
    assert not claims.HasField("min")
    assert collector.metrics_resource["service.instance.id"] == traced.node.name


async def test_a_retry_is_a_trace_of_its_own_linked_to_the_submission_and_the_attempt_before(
    traced: Service, collector: Collector
) -> None:
    job_id, result = await run(traced, "traced-retry", {"failures": 2, "secret": SECRET})
    assert result == 3
    send = await collector.one("send default", messaging_message_id=job_id)
    first, second, third = await process_spans(collector, job_id, count=3)

    assert is_child(first, send)
    assert len({first.trace_id, second.trace_id, third.trace_id}) == 3
    assert (second.parent_id, second.links) == ("", [send.context, first.context])
    assert (third.parent_id, third.links) == ("", [send.context, second.context])
    assert (first.status, first.attributes["error.type"]) == (ERROR, "ValueError")
    assert first.attributes["duly.job.outcome"] == "failed"
    [exception] = first.events
    assert (exception["name"], exception["exception.type"]) == ("exception", "ValueError")
    assert "traced_retry" in exception["exception.stacktrace"]
    assert third.status != ERROR
    assert not any(SECRET.encode() in body for body in collector.bodies)


async def test_the_parts_of_a_parked_attempt_are_spans_of_one_trace_and_its_retry_is_linked_to_the_last(
    traced: Service, collector: Collector
) -> None:
    job_id, _ = await run(traced, "traced-steps", {"failures": 1})
    send = await collector.one("send default", messaging_message_id=job_id)
    before, after, retry = await process_spans(collector, job_id, count=3)

    assert [span.attributes["duly.job.outcome"] for span in (before, after, retry)] == ["parked", "failed", "completed"]
    assert is_child(before, send)
    assert is_child(after, send)
    assert before.ended_ns <= after.began_ns
    assert retry.links == [send.context, after.context]
    [first] = [span for span in collector.named("step first") if span.trace_id == send.trace_id]
    [child_step] = [span for span in collector.named("step child") if span.trace_id == send.trace_id]
    assert is_child(first, before)
    assert is_child(child_step, after)
    child_send = await collector.child("send default", child_step)
    assert child_send.attributes["duly.job.type"] == "traced-task"
    child = await collector.child("process traced-task", child_send)
    assert child.attributes["messaging.message.id"] == child_send.attributes["messaging.message.id"]


async def test_a_job_that_waited_has_a_span_for_its_wait(traced: Service, collector: Collector) -> None:
    job_id, _ = await run(traced, "traced-task", delaySeconds=0.05)
    [process] = await process_spans(collector, job_id)
    [wait] = collector.named("wait default", messaging_message_id=job_id)
    assert (wait.kind, wait.trace_id, wait.parent_id) == (INTERNAL, process.trace_id, process.parent_id)


async def test_threads_have_the_span_of_their_attempt(traced: Service, collector: Collector) -> None:
    job_id, result = await run(traced, "traced-thread")
    [process] = await process_spans(collector, job_id)
    assert result == process.traceparent
    await collector.child("of a thread", process)


async def test_a_batch_of_jobs_is_one_submission_and_one_call_linked_to_each_job(
    traced: Service, collector: Collector
) -> None:
    jobs = [{"type": "traced-batch", "parameters": {"failures": number}} for number in range(3)]
    answer = await traced.client.post("/api/v1/jobs/batch", json={"jobs": jobs})
    job_ids = answer.json()["jobIds"]
    for job_id in job_ids:
        await traced.ended(job_id)
    send = await collector.one("send default", messaging_batch_message_count=3)
    calls = [
        span
        for span in await collector.wait_for("process traced-batch", count=4)
        if "messaging.batch.message_count" in span.attributes
    ]
    attempts = [(await collector.wait_for("process traced-batch", messaging_message_id=one))[0] for one in job_ids]

    assert all(is_child(attempt, send) for attempt in attempts)
    linked = {context for call in calls for context in call.links}
    assert linked == {attempt.context for attempt in attempts}
    assert all(call.parent_id == "" and call.trace_id != send.trace_id for call in calls)
    assert all(attempt.links[0] in {call.context for call in calls} for attempt in attempts)
    for call in calls:
        await collector.child("of a batch", call)


async def test_a_worker_over_http_continues_the_trace_in_its_lease(traced: Service, collector: Collector) -> None:
    assert (await traced.client.put("/api/v1/job-types/leased", json={"maxAttempts": 2})).is_success
    job_id = (await traced.submit("leased", {"secret": SECRET}))["jobId"]
    first = await claim_one(traced, "leased")
    assert (await post(traced, first, "fail", {"error": {"message": SECRET}, "retryAfterSeconds": 0})).is_success
    second = await claim_one(traced, "leased")
    children = {"jobs": [{"type": "traced-task"}]}
    assert (await post(traced, second, "jobs", children)).is_success
    assert (await post(traced, second, "complete", {"result": 1})).is_success

    send = await collector.one("send default", messaging_message_id=job_id)
    failed, completed = await process_spans(collector, job_id, count=2)
    assert (first["traceparent"], second["traceparent"]) == (failed.traceparent, completed.traceparent)
    assert is_child(failed, send)
    assert completed.links == [send.context, failed.context]
    assert [span.attributes["duly.job.outcome"] for span in (failed, completed)] == ["failed", "completed"]
    assert failed.attributes["messaging.destination.name"] == "default"
    child_send = await collector.child("send default", completed)
    assert child_send.attributes["duly.job.type"] == "traced-task"
    assert not any(SECRET.encode() in body for body in collector.bodies)


@pytest.mark.parametrize("type_", ["traced-task", "traced-retry"])
async def test_a_job_of_an_unsampled_trace_has_no_spans_and_keeps_its_trace_context(
    traced: Service, collector: Collector, type_: str
) -> None:
    answer = await traced.client.post("/api/v1/jobs", json={"type": type_}, headers={"traceparent": UNSAMPLED})
    job_id = answer.json()["jobId"]
    await traced.ended(job_id)
    assert (await traced.events(job_id))[0]["metadata"]["traceparent"] == UNSAMPLED
    later, _ = await run(traced, "traced-task")
    [process] = await process_spans(collector, later)
    await collector.wait_for("of the handler")
    assert {span.trace_id for span in collector.named("of the handler")} <= _sampled(collector)
    assert process.trace_id in _sampled(collector)
    assert not [span for span in collector.spans if span.attributes.get("messaging.message.id") == job_id]


def _sampled(collector: Collector) -> set[str]:
    """Returns the ids of the traces of sampled jobs."""
    return {span.trace_id for span in collector.spans if "messaging.system" in span.attributes}


async def test_a_refused_submission_has_the_span_of_its_request_alone(traced: Service, collector: Collector) -> None:
    answer = await traced.client.post("/api/v1/jobs", json={"type": "unknown"}, headers={"traceparent": CLIENT})
    assert answer.status_code == 422
    request = await collector.one("POST /api/v1/jobs", http_response_status_code=422)
    assert request.attributes["error.type"] == answer.json()["error"]["code"]
    assert not [span for span in collector.spans if is_child(span, request)]


async def test_concurrent_handlers_have_each_their_own_span(traced: Service, collector: Collector) -> None:
    jobs = await asyncio.gather(*(run(traced, "traced-task") for _ in range(5)))
    for job_id, result in jobs:
        [process] = await process_spans(collector, job_id)
        assert result == process.traceparent


async def test_the_python_client_continues_the_trace_of_its_caller(traced: Service, collector: Collector) -> None:
    caller = SpanContext(int(CLIENT_CONTEXT[0], 16), 0xC11E, is_remote=False, trace_flags=TraceFlags(1))
    async with AsyncClient(traced.url) as client:
        token = attach(set_span_in_context(NonRecordingSpan(caller)))
        try:
            job_id = (await client.submit("traced-task"))["jobId"]
        finally:
            detach(token)
    await traced.ended(job_id)
    send = await collector.one("send default", messaging_message_id=job_id)
    [request] = [span for span in await collector.wait_for("POST /api/v1/jobs") if is_child(send, span)]
    assert (request.trace_id, request.parent_id) == (CLIENT_CONTEXT[0], f"{0xC11E:016x}")


async def test_a_job_of_a_schedule_begins_its_trace_with_its_submission(traced: Service, collector: Collector) -> None:
    schedule = {"cron": "0 0 1 1 *", "submission": {"type": "traced-task"}}
    assert (await traced.client.put("/api/v1/schedules/yearly", json=schedule)).is_success
    job_id = (await traced.client.post("/api/v1/schedules/yearly/run")).json()["jobId"]
    await traced.ended(job_id)
    send = await collector.one("send default", messaging_message_id=job_id)
    [process] = await process_spans(collector, job_id)
    assert send.parent_id == ""
    assert is_child(process, send)
