"""Compensation of the steps of a job, one after another, the newest first."""

import asyncio
import inspect
from typing import Any

import anyio.to_thread

from duly.domain.outcome import COMPENSATION_FAILED
from duly.domain.safe_str import shown
from duly.handlers.exceptions import Fail
from duly.handlers.step_backend import RecordedStep
from duly.handlers.step_calls import StepCall, Tries, bind, is_async, step_context
from duly.handlers.steps import Steps, in_step

# Distinguishes the idempotency token of a compensation from that of its step.
PURPOSE = "-compensation"


async def compensate_all(steps: Steps) -> None:
    """Undoes all steps that are left, and records each.

    Raises:
        Fail: a step cannot be undone, now (retryable) or at all; those before it are left.
    """
    for step, call in await steps.to_compensate():
        if call is None or call.compensate is None:
            raise _failure(step, "its handler did not call it with a compensation", retryable=False)
        try:
            tries = await compensate(step, call)
        except Exception as error:
            retryable = not isinstance(error, Fail) or error.retryable
            raise _failure(step, f"{type(error).__name__}: {shown(error)}", retryable=retryable) from error
        await steps.compensated(step.name, tries)


def _failure(step: RecordedStep, words: str, *, retryable: bool) -> Fail:
    return Fail(f'step "{step.name}": {words}', code=COMPENSATION_FAILED, retryable=retryable)


async def compensate(step: RecordedStep, call: StepCall) -> int:
    """Undoes a step; after an error again, as its retry policy says. Returns the number of tries.

    Raises:
        Exception: what the function raised in its last try.
    """
    tries = Tries(call.tries.retry, call.tries.most)
    while True:
        tries.made += 1
        try:
            await _try(step, call, tries.made)
        except Exception as error:
            delay = tries.delay_after(error)
            if delay is None:
                raise
        else:
            return tries.made
        await asyncio.sleep(delay)


async def _try(step: RecordedStep, call: StepCall, number: int) -> None:
    assert call.compensate is not None  # noqa: S101  # of steps with a compensation only
    context = step_context(call.job_id, step.name, number, purpose=PURPOSE)
    function = bind(call.compensate, call.arguments, {"result": call.read(step.result), "step": context})
    with in_step(step.name):
        if is_async(call.compensate):
            await function()
            return
        result: Any = await anyio.to_thread.run_sync(function, abandon_on_cancel=True)
        if inspect.isawaitable(result):
            await result
