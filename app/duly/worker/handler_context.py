"""Context and error text of a handler, the same in a node and in a child process.

Child processes import this module and not `attempt`, to start without the node's logging.
"""

import json
from typing import Any

from duly.domain.job import ClaimedJob
from duly.domain.safe_str import shown
from duly.handlers.context import JobContext
from duly.handlers.registry import RegisteredHandler


def context_of(claimed: ClaimedJob, reporter: Any) -> JobContext:
    """Returns the context for a claimed job."""
    return JobContext(
        job_id=claimed.job_id,
        type=claimed.type,
        attempt=claimed.attempt,
        max_attempts=claimed.max_attempts,
        reporter=reporter,
        labels=json.loads(claimed.labels) if claimed.labels else {},
        correlation_id=claimed.correlation_id or str(claimed.job_id),
        traceparent=claimed.traceparent,
        restored=json.loads(claimed.checkpoint) if claimed.checkpoint is not None else None,
    )


def package_of(handler: RegisteredHandler) -> str:
    """Returns the top-level package of a handler's code."""
    return str(getattr(handler.function, "__module__", "")).partition(".")[0]


def describe(error: BaseException) -> str:
    """Returns an error as one sentence for the job's history: its type and text."""
    text = shown(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
