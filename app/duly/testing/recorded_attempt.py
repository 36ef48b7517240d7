"""Attempt in a test, with everything that its handler reports."""

import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from duly.domain.job import ClaimedJob, Mark
from duly.handlers.checkpoint_text import write_checkpoint
from duly.handlers.context import DONE
from duly.handlers.registry import RegisteredHandler
from duly.testing.child_jobs import GivenChildren
from duly.testing.steps import JSON_DEPTH, GivenSteps, StepWorld
from duly.worker.attempt import Attempt
from duly.worker.tracebacks import ErrorLocation

# The default of the setting DULY_RESULT_LIMIT.
RESULT_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class LogLine:
    """Call of `job.log`."""

    level: str
    message: str
    fields: Mapping[str, object]


@dataclass(slots=True, eq=False)
class RecordedAttempt(Attempt):
    """Attempt with everything that its handler reports."""

    reported_progress: list[tuple[float, str | None]] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    checkpoints: list[Any] = field(default_factory=list)
    given: GivenChildren = field(kw_only=True)
    world: StepWorld = field(kw_only=True)
    exception: BaseException | None = None


def recorded(
    claimed: ClaimedJob,
    handler: RegisteredHandler,
    *,
    children: Mapping[str, Any] | None = None,
    batch: Sequence[Any] | None = None,
    world: StepWorld | None = None,
) -> RecordedAttempt:
    """Returns an attempt that keeps what its handler reports."""
    given = GivenChildren(claimed.job_id, given=children or {}, batch=batch)
    return RecordedAttempt(claimed, handler, reports=Recorder(), given=given, world=world or StepWorld())


def called_again(attempt: RecordedAttempt, *, marks: int = 0) -> RecordedAttempt:
    """Returns the next attempt of a handler that waited, which keeps what it reported before."""
    return RecordedAttempt(
        attempt.claimed._replace(marks=marks),
        attempt.handler,
        attempt.reports,
        reported_progress=attempt.reported_progress,
        logs=attempt.logs,
        checkpoints=attempt.checkpoints,
        given=attempt.given,
        world=attempt.world,
    )


def undoing(attempt: RecordedAttempt) -> RecordedAttempt:
    """Returns the attempt that compensates the steps of a failed one, whose exception it keeps."""
    compensating = called_again(attempt, marks=Mark.COMPENSATING)
    compensating.exception = attempt.exception
    return compensating


class Recorder:
    """Reports that are kept in the attempt instead of a database."""

    def child_backend(self, attempt: Attempt) -> GivenChildren:
        return recorded_attempt(attempt).given

    def step_backend(self, attempt: Attempt) -> GivenSteps:
        return GivenSteps(attempt, recorded_attempt(attempt).world)

    def progress(self, attempt: Attempt, percent: float, message: str | None) -> Awaitable[None]:
        recorded_attempt(attempt).reported_progress.append((percent, message))
        return DONE

    def log(self, attempt: Attempt, level: str, message: str, fields: Mapping[str, object]) -> None:
        recorded_attempt(attempt).logs.append(LogLine(level, message, dict(fields)))

    def error(self, attempt: Attempt, error: BaseException, location: ErrorLocation) -> None:  # noqa: ARG002
        """Keeps the exception for the test instead of logging it."""
        recorded_attempt(attempt).exception = error

    def checkpoint(self, attempt: Attempt, value: object) -> Awaitable[None]:
        text = write_checkpoint(value, limit=RESULT_LIMIT, max_depth=JSON_DEPTH)
        recorded_attempt(attempt).checkpoints.append(json.loads(text))
        return DONE


def recorded_attempt(attempt: Attempt) -> RecordedAttempt:
    assert isinstance(attempt, RecordedAttempt)  # noqa: S101  # created by `_recorded` only
    return attempt
