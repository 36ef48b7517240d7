"""Figures of one queue in one minute: counts of what happened to jobs, and how long they waited and ran."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

# Stands for all queues of a tenant together; no queue has this name.
ALL_QUEUES = ""
# Queues of a tenant with figures of their own in a minute; those of others are in the figures of all queues only.
MOST_QUEUES = 50
KEPT_HOURS = 48


class MinuteFigures(NamedTuple):
    """Counts of one process, or of all, in a minute.

    Attributes:
        queue: its name, or `ALL_QUEUES`.
        retried: attempts after which the job runs again.
        delivered: delivery attempts that succeeded; `undelivered`: those that failed.
        waited: starts of jobs whose wait is known, with their `wait_seconds` in total and distribution in `waits`.
        ran: ended attempts, with their `run_seconds` in total and their distribution in `runs`.
    """

    tenant_id: int
    queue: str
    minute: datetime
    submitted: int
    started: int
    completed: int
    failed: int
    cancelled: int
    retried: int
    delivered: int
    undelivered: int
    waited: int
    wait_seconds: float
    waits: Sequence[int]
    ran: int
    run_seconds: float
    runs: Sequence[int]


class DepthSample(NamedTuple):
    """Jobs of one queue, or of all, at one moment. `oldest_seconds` is the age of the oldest ready job."""

    tenant_id: int
    queue: str
    ready: int
    scheduled: int
    blocked: int
    running: int
    oldest_seconds: float
