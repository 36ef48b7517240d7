"""Number of slots that the work at hand needs: Little's law for what arrives, and a time to drain what waits."""

import math
from collections.abc import Iterable
from typing import NamedTuple

# Assumed where no attempt has ended yet and none runs.
UNKNOWN_SECONDS = 1.0


class Load(NamedTuple):
    """Work of one queue or job type.

    Attributes:
        waiting: jobs that may start; not those of paused queues.
        running: attempts in progress.
        arrival_rate: jobs submitted per second.
        run_seconds: mean time of an attempt; None if none was observed.
        running_seconds: mean age of the attempts in progress.
        limit: most jobs that may run at once; None without a limit.
    """

    waiting: int = 0
    running: int = 0
    arrival_rate: float = 0.0
    run_seconds: float | None = None
    running_seconds: float = 0.0
    limit: int | None = None

    @property
    def mean_seconds(self) -> float:
        """Mean time of an attempt, or the best guess: an attempt in progress takes at least as long as its age."""
        return self.run_seconds if self.run_seconds is not None else max(UNKNOWN_SECONDS, self.running_seconds)


def slots_for(load: Load, *, target_seconds: float) -> float:
    """Returns the slots that a load needs to drain what waits within the target.

    `arrival_rate * mean` slots are busy with what arrives (Little's law). If less arrives than did before, attempts in
    progress keep their slots for as long as they take. What waits needs `waiting * mean / target` slots besides, but
    never more than one for each job.
    """
    mean = load.mean_seconds
    steady = max(load.arrival_rate * mean, load.running * min(1.0, mean / target_seconds))
    backlog = load.waiting * min(1.0, mean / target_seconds)
    needed = steady + backlog
    return needed if load.limit is None else min(needed, load.limit)


def desired_slots(loads: Iterable[Load], *, target_seconds: float) -> int:
    """Returns the slots for all loads together, never fewer than attempts in progress."""
    known = list(loads)
    needed = sum(max(load.running, slots_for(load, target_seconds=target_seconds)) for load in known)
    return math.ceil(round(needed, 6))


def seconds_to_drain(loads: Iterable[Load], *, slots: int) -> float | None:
    """Returns the time in which these slots drain what waits; None if they cannot.

    Within a second, all slots together do `slots` seconds of work, of which arrivals take `arrival_rate * mean`.
    """
    known = list(loads)
    work = sum(load.waiting * load.mean_seconds for load in known)
    if work == 0:
        return 0.0
    free = slots - sum(load.arrival_rate * load.mean_seconds for load in known)
    return work / free if free > 0 else None
