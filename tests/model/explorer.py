"""Explores every reachable state of the model, and shows the shortest way to a state that breaks a promise."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.model.job_model import MOST_CLAIMS, Fault, Job, Place, transitions, violation

MOST_STATES = 2_000_000
# Transitions that the service cannot rely on.
_NOT_RELIED_ON = ("kill", "cancel", "signal")


@dataclass
class Explored:
    """Reachable states. `broken` is a broken promise, and `way` the transitions that lead to it."""

    came_from: dict[Job, tuple[str, Job] | None] = field(default_factory=dict)
    transitions: int = 0
    broken: str | None = None
    way: list[str] = field(default_factory=list)


def explore(fault: Fault | None = None) -> Explored:
    """Returns all states, or those up to the first that breaks a promise, in the order of their distance."""
    found = Explored({Job(): None})
    queue = deque(found.came_from)
    # Transitions backwards, of those that the service does by itself.
    before: dict[Job, list[Job]] = {}
    while queue:
        job = queue.popleft()
        found.broken = violation(job)
        if found.broken is not None:
            found.way = _way(found, job)
            return found
        for name, after in transitions(job, fault):
            found.transitions += 1
            if not name.startswith(_NOT_RELIED_ON):
                before.setdefault(after, []).append(job)
            if after not in found.came_from:
                found.came_from[after] = (name, job)
                queue.append(after)
        assert len(found.came_from) <= MOST_STATES
    _note_stuck(found, before)
    return found


def _note_stuck(found: Explored, before: dict[Job, list[Job]]) -> None:
    """Notes a job that can never end by transitions of the service alone."""
    ending = _closure((job for job in found.came_from if job.place is Place.ENDED), lambda job: before.get(job, []))
    for job in found.came_from:
        awaits_signal = job.place is Place.PARKED and job.waits_for == "signal"
        if job not in ending and not awaits_signal and job.generation < MOST_CLAIMS:
            found.broken, found.way = "every job can end", _way(found, job)
            return


def _closure(first: Iterator[Job], following: Callable[[Job], list[Job]]) -> set[Job]:
    seen = set(first)
    queue = deque(seen)
    while queue:
        for job in following(queue.popleft()):
            if job not in seen:
                seen.add(job)
                queue.append(job)
    return seen


def _way(found: Explored, job: Job) -> list[str]:
    way = []
    while (step := found.came_from[job]) is not None:
        name, job = step
        way.append(name)
    return way[::-1]
