"""Context of a handler: what it knows of its job, and what it can report."""

import json
from collections.abc import Awaitable, Mapping
from dataclasses import FrozenInstanceError
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from duly import JobContext
from duly.handlers.child_jobs import ChildJobs
from duly.handlers.context import DONE
from duly.handlers.steps import Steps
from tests.support.service import Service

JOB_ID = UUID("0199c1f0-0000-7000-8000-000000000001")


class Told:
    """A reporter that keeps what it hears."""

    cancelled = False

    def __init__(self) -> None:
        self.progressed: list[tuple[float, str | None]] = []
        self.logged: list[tuple[str, str, Mapping[str, object]]] = []
        self.checkpoints: list[object] = []

    def progress(self, percent: float, message: str | None) -> Awaitable[None]:
        self.progressed.append((percent, message))
        return DONE

    @property
    def children(self) -> ChildJobs:
        raise NotImplementedError

    @property
    def steps(self) -> Steps:
        raise NotImplementedError

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        self.logged.append((level, message, fields))

    def checkpoint(self, value: object) -> Awaitable[None]:
        self.checkpoints.append(value)
        return DONE


def context(told: Told, *, attempt: int = 1) -> JobContext:
    return JobContext(job_id=JOB_ID, type="some", attempt=attempt, max_attempts=5, reporter=told)


@pytest.mark.parametrize(
    ("given", "told"), [(25, 25.0), (-3, 0.0), (250, 100.0), (float("nan"), 0.0), (float("inf"), 100.0), (True, 1.0)]
)
async def test_progress_is_brought_between_0_and_100(given: float, told: float) -> None:
    reporter = Told()
    await context(reporter).progress(given, "words")
    assert reporter.progressed == [(told, "words")]


def test_a_plain_function_need_not_await_progress() -> None:
    reporter = Told()
    context(reporter).progress(5)
    assert reporter.progressed == [(5.0, None)]


def test_the_idempotency_token_is_the_same_in_every_attempt() -> None:
    first, second = context(Told(), attempt=1), context(Told(), attempt=2)
    assert first.idempotency_token == second.idempotency_token == f"duly-{JOB_ID}"


def test_a_context_cannot_be_changed_and_hides_its_reporter() -> None:
    job = context(Told())
    with pytest.raises(FrozenInstanceError):
        job.attempt = 2  # type: ignore[misc]  # on purpose
    assert "reporter" not in repr(job)


def test_a_log_line_has_its_level_and_fields() -> None:
    reporter = Told()
    context(reporter).log("read it", level="warning", rows=3)
    assert reporter.logged == [("warning", "read it", {"rows": 3})]


async def test_a_handler_sees_its_job_as_it_was_submitted(service: Service) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with capture_logs() as logs:
        answer = await service.client.post(
            "/api/v1/jobs",
            json={"type": "context", "maxAttempts": 7, "labels": {"customer": "c-42"}},
            headers={"X-Correlation-Id": "order-1", "traceparent": trace},
        )
        job_id = answer.json()["jobId"]
        view = await service.ended(job_id)
    assert view["result"] == {
        "attempt": 1,
        "maxAttempts": 7,
        "labels": {"customer": "c-42"},
        "correlationId": "order-1",
        "traceparent": trace,
        "token": f"duly-{job_id}",
        "cancelled": False,
    }
    line = next(line for line in logs if line.get("action") == "job_log")
    assert line == {
        "action": "job_log",
        "event": "hello from a handler",
        "log_level": "info",
        "job_id": job_id,
        "job_type": "context",
        "attempt": 1,
        "correlation_id": "order-1",
        "trace_id": trace.split("-")[1],
        "span_id": trace.split("-")[2],
        "fields": {"colour": "green"},
    }
    json.dumps(line)


async def test_a_job_without_a_correlation_id_has_its_own(service: Service) -> None:
    view = await service.run("context")
    assert view["result"]["correlationId"] == view["jobId"]
    assert view["result"]["labels"] == {}
