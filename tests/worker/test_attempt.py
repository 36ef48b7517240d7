"""Each way in which a handler may end is recorded as an event, and the job's error says what happened."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duly.domain.outcome import Cancelled, Interrupted, Outcome, TimedOut
from duly.handlers.registry import Registry
from duly.testing.recorded_attempt import recorded
from duly.testing.run_handler import _claimed
from duly.worker.attempt import run_attempt
from duly.worker.handler_context import describe
from tests.support import handlers as support
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]


def error_of(view: dict[str, Any]) -> tuple[str, str, bool]:
    error = view["error"]
    return error["code"], error["message"], error["details"]["retryable"]


async def test_a_handler_that_raises_is_tried_again_and_then_failed(service: Service) -> None:
    view = await service.run("raise", {"name": "attempts", "text": "it broke"})
    assert (view["status"], view["attempt"], view["maxAttempts"], view["result"]) == ("failed", 3, 3, None)
    assert view["error"] == {
        "code": "TASK_FAILED",
        "message": "ValueError: it broke",
        "details": {
            "reason": "ValueError",
            "retryable": False,
            "attempt": 3,
            "exception": "ValueError",
            "frames": [{"file": support.__file__, "line": support.RAISES, "function": "raising"}],
        },
    }
    told = [
        event["data"]["error"]["details"] for event in (await service.events(view["jobId"])) if "error" in event["data"]
    ]
    assert [details["retryable"] for details in told] == [True, True, False]
    assert support.calls["attempts"] == [1, 2, 3]
    assert await service.event_types(view["jobId"]) == [
        "JobSubmitted",
        *["JobStarted", "JobRetryScheduled"] * 2,
        "JobStarted",
        "JobFailed",
    ]


async def test_a_handler_that_succeeds_the_second_time_leaves_no_error(service: Service) -> None:
    view = await service.run("raise", {"name": "second", "succeed_on": 2})
    assert (view["status"], view["attempt"], view["result"], view["error"]) == ("completed", 2, 2, None)
    events = await service.events(view["jobId"])
    assert [event["data"].get("attempt") for event in events[1:]] == [1, 1, 2, 2]


async def test_fail_ends_the_job_at_once_with_its_own_code(service: Service) -> None:
    view = await service.run("fail", {"retryable": False})
    assert (view["attempt"], view["maxAttempts"]) == (1, 5)
    assert view["error"] == {
        "code": "CUSTOMER_UNKNOWN",
        "message": "no such customer",
        "details": {"reason": "no such customer", "retryable": False, "attempt": 1},
    }


async def test_fail_may_leave_it_to_the_retry_policy(start_service: StartService) -> None:
    service = await start_service(roles=("api", "worker"))  # a retry that is due waits until it is released
    accepted = await service.submit("fail", {"retryable": True}, maxAttempts=2)
    view = await service.until(accepted["jobId"], lambda view: view["waitingFor"] == "retry")
    assert view["status"] == "pending"
    await service.make_due()
    await service.node.sweeper.release()
    view = await service.ended(accepted["jobId"])
    assert (view["status"], view["attempt"], error_of(view)) == (
        "failed",
        2,
        ("CUSTOMER_UNKNOWN", "no such customer", False),
    )


async def test_retry_runs_the_job_again(service: Service) -> None:
    view = await service.run("retry-after", {"after": 0})
    assert (view["status"], view["result"]) == ("completed", 2)
    told = (await service.events(view["jobId"]))[2]
    assert told["eventType"] == "JobRetryScheduled"


@pytest.mark.parametrize(
    ("type_", "code", "message"),
    [
        ("exit", "TASK_FAILED", "SystemExit: a handler must not do this"),
        (
            "not-json",
            "RESULT_INVALID",
            "the result cannot be serialized as JSON: Unable to serialize unknown type: <class 'object'>",
        ),
        ("nan", "RESULT_INVALID", "the result cannot be serialized as JSON: it contains NaN"),
        ("large", "RESULT_INVALID", "the result is too large (2,097,154 bytes of JSON, limit 1,048,576)"),
        ("large-in-bytes", "RESULT_INVALID", "the result is too large (1,200,002 bytes of JSON, limit 1,048,576)"),
        ("wrong-result", "RESULT_INVALID", "the result does not fit the declared type: result"),
        ("raise-nul", "TASK_FAILED", "ValueError: nul \ufffd and \ufffd in words"),
        ("raise-unprintable", "TASK_FAILED", "Unprintable: (its text cannot be shown)"),
        ("cancel-itself", "TASK_FAILED", "RuntimeError: the handler cancelled itself"),
    ],
)
async def test_every_kind_of_misbehaviour_is_recorded(service: Service, type_: str, code: str, message: str) -> None:
    view = await service.run(type_, {}, maxAttempts=1)
    assert (view["status"], view["result"]) == ("failed", None)
    assert view["error"]["code"] == code
    assert view["error"]["message"].startswith(message)
    assert await service.event_types(view["jobId"]) == ["JobSubmitted", "JobStarted", "JobFailed"]


async def test_an_invalid_result_is_not_tried_again(service: Service) -> None:
    view = await service.run("nan", {})
    assert (view["attempt"], view["maxAttempts"], view["error"]["details"]["retryable"]) == (1, 5, False)


async def test_words_like_nan_within_a_string_are_a_result(service: Service) -> None:
    view = await service.run("echo", {"says": "NaN, -Infinity"})
    assert view["result"] == {"says": "NaN, -Infinity"}


async def test_what_postgres_cannot_hold_is_replaced_in_a_result(service: Service) -> None:
    view = await service.run("nul", {})
    assert (view["status"], view["result"]) == ("completed", {"a\ufffdb": "c\ufffdd \ufffd"})


async def test_what_postgres_cannot_hold_is_replaced_in_progress(service: Service) -> None:
    view = await service.run("progress-nul", {}, maxAttempts=1)
    assert (view["status"], view["error"]) == ("completed", None)
    told = next(event for event in await service.events(view["jobId"]) if event["eventType"] == "JobProgressed")
    assert told["data"]["message"] == "nul \ufffd and \ufffd in words"


async def test_an_attempt_that_hangs_is_timed_out_tried_again_and_failed(service: Service) -> None:
    view = await service.run("hang", {"name": "hangs"})
    assert (view["status"], view["attempt"]) == ("failed", 2)
    assert error_of(view) == ("TIMED_OUT", "The attempt exceeded its timeout of 0.3 seconds.", False)
    assert support.calls["hangs"] == [1, 2]
    assert [event["eventType"] for event in await service.events(view["jobId"])] == [
        "JobSubmitted",
        "JobStarted",
        "JobRetryScheduled",
        "JobStarted",
        "JobFailed",
    ]


async def test_a_submission_may_set_the_timeout(service: Service) -> None:
    view = await service.run("wait-for-gate", {"name": "never"}, timeoutSeconds=0.2, maxAttempts=1)
    assert error_of(view)[:2] == ("TIMED_OUT", "The attempt exceeded its timeout of 0.2 seconds.")


async def test_a_handler_that_swallows_its_cancellation_has_timed_out_nevertheless(service: Service) -> None:
    accepted = await service.submit("stubborn", {"name": "s"}, timeoutSeconds=0.2, maxAttempts=1)
    await support.has_entered("s:cancelled").wait()
    support.gate("s").set()
    view = await service.ended(accepted["jobId"])
    assert (view["status"], view["error"]["code"]) == ("failed", "TIMED_OUT")


async def test_a_cancelled_handler_ends_as_cancelled(service: Service) -> None:
    accepted = await service.submit("wait-for-gate", {"name": "c"})
    await support.has_entered("c").wait()
    answer = await service.client.post(f"/api/v1/jobs/{accepted['jobId']}/cancel")
    assert answer.status_code == 202
    view = await service.ended(accepted["jobId"])
    assert (view["status"], view["error"]["code"]) == ("cancelled", "CANCELLED")
    assert (await service.event_types(accepted["jobId"]))[-2:] == ["JobCancelRequested", "JobCancelled"]


@pytest.mark.parametrize("why", [Cancelled(), TimedOut(3), Interrupted("its node goes away")])
async def test_an_attempt_stopped_before_its_first_step_still_ends(why: Outcome) -> None:
    """A task that is cancelled before its first step never runs, so it could not record its end."""
    handler = Registry(support.handlers)["hang"]
    attempt = recorded(_claimed(handler, {}, attempt=1, labels=None), handler)

    called: list[object] = []

    async def call(*arguments: object) -> None:
        called.extend(arguments)

    task = asyncio.create_task(run_attempt(attempt, call, result_limit=100))
    attempt.task = task
    attempt.stop(why)
    assert await task == why
    assert called == []


def test_an_error_without_words_is_told_by_its_kind() -> None:
    assert describe(KeyError()) == "KeyError"
    assert describe(ValueError("some words")) == "ValueError: some words"
