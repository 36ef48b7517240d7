"""Attempts that compensate: the handler is called with its recorded steps and unwound, and the steps are undone."""

import asyncio

import structlog

from duly.domain.outcome import COMPENSATION_FAILED, Compensated, Failed, Interrupted, Outcome, Parked
from duly.handlers.compensation import compensate_all
from duly.handlers.exceptions import Fail
from duly.handlers.serialization import read_parameters
from duly.handlers.steps import Steps
from duly.worker.attempt import Attempt, Call, Interruption
from duly.worker.handler_context import describe, package_of
from duly.worker.tracebacks import locate_error

log = structlog.stdlib.get_logger("duly.compensation")


async def run_compensation(attempt: Attempt, call: Call) -> Outcome:
    """Runs an attempt of a job whose completed steps are compensated. No exception of a handler escapes."""
    attempt.begun = True
    attempt.start_clock()
    if attempt.stopped is not None:
        return attempt.stopped
    try:
        if attempt.handler.isolation == "process":
            await call(attempt, None)  # the process replays and compensates
        else:
            await _replay(attempt, call)
            if attempt.stopped is None:
                await compensate_all(attempt.steps)
    except asyncio.CancelledError:
        return attempt.stopped or Interrupted("the compensation was cancelled")
    except BaseException as error:  # noqa: BLE001  # whatever it is, this attempt has ended
        return attempt.stopped or _outcome_of(attempt, error)
    return attempt.stopped or Compensated()


async def settle(attempt: Attempt, steps: Steps, outcome: Outcome) -> Outcome:
    """Returns the outcome once the attempt's steps have ended: one that was done, but is not recorded, would not be
    compensated. `asyncio.gather` raises the first error, and leaves the other steps to themselves.
    """
    if attempt.stopped is not None:
        return outcome
    try:
        await steps.settle()
    except asyncio.CancelledError:
        return attempt.stopped or outcome
    return outcome


async def _replay(attempt: Attempt, call: Call) -> None:
    """Calls the handler, which gets its recorded results, and is unwound where it would do something new. How it ends
    says nothing: as a rule it fails as it did before.
    """
    try:
        parameters = read_parameters(attempt.handler, attempt.claimed.parameters)
        await call(attempt, parameters)
    except asyncio.CancelledError:
        if attempt.stopped is None:
            raise
    except BaseException as error:  # noqa: BLE001  # as above
        job_id = str(attempt.claimed.job_id)
        log.debug(f"handler of job {job_id} ended before its compensation: {describe(error)}", job_id=job_id)
    if isinstance(attempt.stopped, Parked):
        attempt.resume()


def _outcome_of(attempt: Attempt, error: BaseException) -> Outcome:
    """Reports why a compensation failed, and returns the outcome."""
    if isinstance(error, Interruption):
        return Interrupted(str(error))
    cause = error.__cause__ if isinstance(error, Fail) and error.__cause__ is not None else error
    location = locate_error(cause, package=package_of(attempt.handler))
    attempt.reports.error(attempt, cause, location)
    return Failed(
        COMPENSATION_FAILED,
        error.reason if isinstance(error, Fail) else describe(error),
        type(cause).__name__,
        retryable=not isinstance(error, Fail) or error.retryable,
        exception=location.exception,
        frames=location.frames,
    )
