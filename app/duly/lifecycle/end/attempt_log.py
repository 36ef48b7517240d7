"""Logs attempts that did not succeed, one line each."""

import structlog

from duly.domain.job import Finish
from duly.domain.outcome import (
    Cancelled,
    Compensated,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Parked,
    TimedOut,
    WorkerLost,
)

log = structlog.stdlib.get_logger("duly.attempt")


def log_end(outcome: Outcome, end: Finish, *, job_type: str | None, attempt: int) -> None:
    """Logs the end of an attempt. An error raised by the handler is logged elsewhere, with its traceback."""
    level, action, text = _line(outcome)
    if not action:
        return
    retried = not end.kind.terminal
    name = job_type or "a job"
    facts: dict[str, object] = {"action": action, "job_id": str(end.job_id), "attempt": attempt, "retried": retried}
    write = log.warning if level == "warning" else log.info
    write(f"attempt of {name} {text}", **facts, **({"job_type": job_type} if job_type else {}))


def _line(outcome: Outcome) -> tuple[str, str, str]:
    """Returns the level, action and text of a line; empty strings for no line."""
    match outcome:
        case Failed(exception=None, code=code, message=message):
            return "warning", "attempt_failed", f"failed ({code}): {message}"
        case TimedOut(seconds):
            return "warning", "attempt_timed_out", f"timed out after {seconds:g} s"
        case WorkerLost(reason):
            return "warning", "attempt_lost", f"lost: {reason[:1].lower()}{reason[1:].rstrip('.')}"
        case Interrupted(reason):
            return "info", "attempt_interrupted", f"interrupted: {reason}"
        case Cancelled():
            return "info", "attempt_cancelled", "cancelled"
        case Completed() | Compensated() | Failed() | Parked():
            return "", "", ""
