"""Steps of handlers: recorded once by name, and given back to the next attempt."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from duly.domain.steps import StepKind, StepStatus
from duly.store.ledger.steps import StepRecord
from tests.support import step_handlers
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, running_service

HANDLERS = ("tests.support.handlers", "tests.support.step_handlers")


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with running_service(database_url, handlers=HANDLERS) as service:
        yield service


def seats(count: int) -> list[dict[str, Any]]:
    return [{"row": "A", "number": number} for number in range(count)]


@pytest.mark.parametrize("type_", ["seats", "seats-plain-step", "seats-thread"])
async def test_a_recorded_step_is_not_done_again(service: Service, type_: str) -> None:
    view = await service.run(type_, {"name": type_, "steps": 4, "breaks": [1, 2]})
    assert (view["status"], view["attempt"], view["result"]) == ("completed", 3, seats(4))
    assert {number: step_handlers.done[type_, str(number)] for number in range(4)} == dict.fromkeys(range(4), 1)


async def test_parallel_steps_are_recorded_once_each(service: Service) -> None:
    view = await service.run("seats-together", {"name": "together", "steps": 20, "breaks": [20]})
    assert (view["status"], view["attempt"], view["result"]) == ("completed", 2, seats(20))
    assert all(step_handlers.done["together", str(number)] == 1 for number in range(20))
    assert await service.sql("select count(*) from steps where status = $1", StepStatus.COMPLETED) == [(20,)]


async def test_an_event_has_the_result_and_the_tries(service: Service) -> None:
    view = await service.run("seats", {"name": "event", "steps": 1})
    rows = await service.sql("select sequence, kind, status, name, compensable from steps")
    assert [tuple(row) for row in rows] == [(2, StepKind.STEP, StepStatus.COMPLETED, "seat-0", False)]
    assert await service.event_types(view["jobId"]) == [
        "JobSubmitted",
        "JobStarted",
        "JobStepCompleted",
        "JobCompleted",
    ]
    [(data,)] = await service.sql("select data::text from events where sequence = 2")
    event = json.loads(data)
    assert event.pop("startedAt").endswith("Z")
    assert event == {"step": "seat-0", "attempts": 1, "compensation": None, "result": {"row": "A", "number": 0}}


@pytest.mark.parametrize("type_", ["tries", "tries-thread"])
async def test_a_step_is_tried_as_its_policy_says_with_one_token(service: Service, type_: str) -> None:
    step_handlers.seen.clear()
    view = await service.run(type_, {"fails": 4})
    token = f"duly-{view['jobId']}-try"
    assert view["result"] == [5, token]
    assert [(step.name, step.attempt, step.idempotency_token) for step in step_handlers.seen] == [
        ("try", number, token) for number in range(1, 6)
    ]


async def test_the_last_error_of_a_step_is_raised_in_the_handler(service: Service) -> None:
    view = await service.run("tries", {"fails": 9, "tries": 2})
    assert view["error"]["message"] == "ValueError: not yet"


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("twice", "TASK_FAILED", 'HandlerError: step "same" was called before in this attempt'),
        ("together", "TASK_FAILED", 'HandlerError: step "same" was called before in this attempt'),
        ("name", "TASK_FAILED", "HandlerError: step 'No Name': its name must match ^[a-z0-9._-]{1,100}$"),
        ("large", "RESULT_INVALID", 'step "large": the result is too large (262,146 bytes of JSON, limit 262,144)'),
        ("object", "RESULT_INVALID", 'step "object": the result cannot be serialized as JSON'),
        ("misfit", "RESULT_INVALID", 'step "misfit": the result does not fit the declared type'),
        ("waits", "TASK_FAILED", 'HandlerError: step "waits" cannot wait'),
    ],
)
async def test_a_wrong_step_fails_with_a_reason(service: Service, how: str, code: str, message: str) -> None:
    view = await service.run("odd-steps", {"how": how})
    assert (view["status"], view["error"]["code"]) == ("failed", code)
    assert view["error"]["message"].startswith(message)
    assert view["attempt"] == (1 if code == "RESULT_INVALID" else 2)


async def test_a_batch_handler_has_no_steps(service: Service) -> None:
    view = await service.run("many-steps", maxAttempts=1)
    assert "steps, sleeps and signals are not available in a batch handler" in view["error"]["message"]


async def test_a_step_of_an_attempt_without_its_lease_is_not_recorded(service: Service) -> None:
    job_id = (await service.submit("asks-in-time", {"name": "lost"}))["jobId"]
    await has_entered("lost").wait()
    await service.sql("update running set token = token + 1 where job_id = $1", UUID(job_id))
    steps = service.node.worker.steps
    assert await steps.record(StepRecord(UUID(job_id), 1, "late", "{}")) is False
    assert await service.sql("select from steps") == []
    await service.sql("update running set token = token - 1 where job_id = $1", UUID(job_id))
    gate("lost").set()
