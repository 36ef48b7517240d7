"""Unusual ends of attempts are recorded at once, and their slots are free again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly import Fail, Retry
from duly.domain.events import EventKind
from duly.domain.job import Finish
from duly.domain.outcome import Completed, Outcome
from duly.handlers.registry import Registry
from duly.telemetry.metrics import Metrics
from duly.testing.run_handler import _claimed
from duly.worker.outcome_to_end import AttemptEnds
from tests.support import odd_outcome_handlers
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.odd_outcome_handlers")
# How a job ends, and after how many of its two attempts.
FOR_GOOD = {
    "fail-exception": ("TASK_FAILED", "x", 1),
    "fail-none": ("TASK_FAILED", "None", 1),
    "fail-bytes": ("TASK_FAILED", "b'why'", 1),
    "fail-mute": ("TASK_FAILED", "(its text cannot be shown)", 1),
    "fail-sly": ("TASK_FAILED", "(its text cannot be shown)", 1),
    "fail-code": ("TASK_FAILED", "why", 1),
    "fail-code-none": ("TASK_FAILED", "why", 1),
    "fail-code-empty": ("TASK_FAILED", "why", 1),
    "fail-retryable": ("TASK_FAILED", "why", 1),
    "fail-bare": ("TASK_FAILED", "the handler gave no reason", 1),
    "retry-bare": ("TASK_FAILED", "the handler requested a retry", 2),
    "mute": ("TASK_FAILED", "Mute: (its text cannot be shown)", 2),
    "interrupt": ("TASK_FAILED", "KeyboardInterrupt", 2),
    "base": ("TASK_FAILED", "BaseException: base", 2),
    "group": ("TASK_FAILED", "BaseExceptionGroup: two (2 sub-exceptions)", 2),
}
UNRECORDABLE = "The outcome of the attempt cannot be recorded."
# Those that a constructor does not see: the service ends them by itself.
BEHIND_ITS_BACK = {"fail-broken": "SystemExit: 2", "retry-changed": "TypeError: must be real number, not str"}


@pytest.fixture
async def odd(start_service: StartService) -> Service:
    """Two slots: two attempts that keep theirs stop the node."""
    return await start_service(handlers=HANDLERS, worker_slots=2)


async def is_idle(service: Service) -> None:
    async def look() -> bool:
        return not service.node.worker.pool._attempts and service.node.worker.pool._slots.free == 2

    await eventually(look)


async def test_an_odd_end_is_recorded_with_its_text_and_frees_its_slot(odd: Service) -> None:
    for how, (code, message, attempts) in FOR_GOOD.items():
        for type_ in ("odd", "odd-plain"):
            view = await odd.run(type_, {"how": how})
            error = view["error"]
            assert (view["status"], error["code"], error["message"], view["attempt"]) == (
                "failed",
                code,
                message,
                attempts,
            ), (how, type_)
    assert odd.node.metrics.attempt_errors._value.get() == 0
    await is_idle(odd)


async def test_an_odd_end_of_a_process_is_recorded_as_that_of_a_task(odd: Service) -> None:
    for how, (code, message, attempts) in FOR_GOOD.items():
        view = await odd.run("odd-process", {"how": how})
        said = view["error"]["message"].removeprefix("ProcessFailure: ")
        assert (view["error"]["code"], said, view["attempt"]) == (code, message, attempts), how
    for how in (*BEHIND_ITS_BACK, "exit", "generator-exit", "stop", "fail-changed", "retry-nan"):
        view = await odd.run("odd-process", {"how": how})
        assert view["status"] == "failed"
        assert "process ended" not in view["error"]["message"]
    await is_idle(odd)


async def test_an_odd_end_returned_by_a_batch_handler_ends_its_job_alone(odd: Service) -> None:
    for how, (code, message, attempts) in FOR_GOOD.items():
        view = await odd.run("odd-batch", {"how": how})
        assert (view["error"]["code"], view["error"]["message"], view["attempt"]) == (code, message, attempts), how
    await is_idle(odd)


@pytest.mark.parametrize("how", ["exit", "generator-exit", "stop", "fail-changed", "retry-nan"])
@pytest.mark.parametrize("type_", ["odd", "odd-plain", "odd-batch"])
async def test_every_other_end_fails_its_job(odd: Service, type_: str, how: str) -> None:
    view = await odd.run(type_, {"how": how})
    assert view["status"] == "failed"
    assert view["error"]["message"]
    await is_idle(odd)


@pytest.mark.parametrize("how", BEHIND_ITS_BACK)
async def test_an_outcome_that_cannot_be_recorded_fails_its_attempt_and_is_logged_once_and_counted(
    odd: Service, how: str
) -> None:
    with capture_logs() as logs:
        job_id = (await odd.submit("odd-later", {"how": how}))["jobId"]
        await odd.until(job_id, lambda view: view["waitingFor"] == "retry")
    [told] = [event for event in await odd.events(job_id) if event["eventType"] == "JobRetryScheduled"]
    assert told["data"]["error"]["message"] == f"{UNRECORDABLE} {BEHIND_ITS_BACK[how]}"
    assert [line["job_id"] for line in logs if line["log_level"] == "error"] == [job_id]
    assert odd.node.metrics.attempt_errors._value.get() == 1
    await is_idle(odd)


@pytest.mark.parametrize(
    "how", ["huge", "large", "nan", "decimal-nan", "negative", "infinite", "text", "true", "complex"]
)
async def test_a_delay_that_is_none_is_an_error_of_the_handler(how: str) -> None:
    with pytest.raises((TypeError, ValueError), match="after="):
        await odd_outcome_handlers.odd_after({"how": how})


def test_a_fail_or_retry_takes_whatever_has_a_text() -> None:
    assert (Fail(ValueError("x")).reason, Fail(None).reason, Retry(7).reason) == ("x", "None", "7")
    assert (Retry().reason, Retry(after=3).after, Retry(after=0).after) == ("the handler requested a retry", 3.0, 0)
    assert (str(Fail(3)), Fail("why", retryable=True).retryable) == ("3", True)


async def test_a_handler_that_cancels_its_own_task_on_the_way_out_has_returned(odd: Service) -> None:
    view = await odd.run("cancels-its-task")
    assert (view["status"], view["result"]) == ("completed", "done")
    await is_idle(odd)


class Gathered:
    """A finisher that keeps what it is given."""

    def __init__(self) -> None:
        self.ends: list[Finish] = []

    def put(self, end: Finish) -> None:
        self.ends.append(end)


def ended(outcome: Outcome, *, policy: object = None) -> list[Finish]:
    handler = next(iter(odd_outcome_handlers.handlers))
    if policy is not None:
        handler = replace(handler, retry=policy)
    gathered: Any = Gathered()
    claimed = _claimed(handler, {}, attempt=1, labels=None)
    AttemptEnds(Registry([handler]), gathered, Metrics()).put(claimed, outcome)
    return gathered.ends  # type: ignore[no-any-return]  # a list


def test_what_is_no_outcome_is_recorded_as_a_failure() -> None:
    none: Any = None
    [end] = ended(none)
    assert (end.kind, "cannot be recorded" in (end.data or "")) == (EventKind.RETRY_SCHEDULED, True)


def test_a_job_whose_policy_fails_as_well_has_failed_for_good() -> None:
    none: Any = None
    [end] = ended(none, policy=object())
    assert (end.kind, "cannot be recorded" in (end.data or "")) == (EventKind.FAILED, True)
    assert [end.kind for end in ended(Completed("1"), policy=object())] == [EventKind.COMPLETED]


async def test_two_odd_ends_do_not_stop_a_node_of_two_slots(odd: Service) -> None:
    await asyncio.gather(*(odd.run("odd", {"how": how}) for how in ("fail-exception", "fail-broken", "fail-sly")))
    assert (await odd.run("echo", {"n": 1}))["status"] == "completed"
