"""Groups of a batch: its jobs by tenant, queue and type, which are counted together instead of one by one.

Most batches are of one group. That is found by comparing keys, which takes a tenth of the time of counting each job.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from duly.domain.events import EventKind
from duly.domain.job import ClaimedJob, Finished, Lane, NewJob

Item = TypeVar("Item")
Key = TypeVar("Key", bound=tuple[Any, ...])


class JobGroup(NamedTuple):
    """Jobs of one tenant, queue and type to which the same happened in one batch.

    Attributes:
        kind: their event.
        jobs: their number.
        times: how long they waited, or ran, in seconds and in ascending order; without those that are not known.
    """

    tenant_id: int
    queue: str
    type: str
    kind: EventKind
    jobs: int
    times: Sequence[float]


_START: Callable[[ClaimedJob | NewJob], tuple[int, str, str]] = attrgetter("tenant_id", "queue", "type")
_END: Callable[[Finished], tuple[Lane, EventKind]] = attrgetter("lane", "kind")


def started_groups(jobs: Sequence[ClaimedJob]) -> list[JobGroup]:
    """Returns the groups of claimed jobs, with their waits."""
    return [
        JobGroup(*key, EventKind.STARTED, len(group), _in_order([job.waited_seconds for job in group]))
        for key, group in _grouped(jobs, _START)
    ]


def groups_started_at_once(jobs: Sequence[NewJob]) -> list[JobGroup]:
    """Returns the groups of jobs that did not wait."""
    return [JobGroup(*key, EventKind.STARTED, len(group), [0.0] * len(group)) for key, group in _grouped(jobs, _START)]


def ended_groups(finished: Sequence[Finished]) -> list[JobGroup]:
    """Returns the groups of ended attempts, with their run times."""
    return [
        JobGroup(*lane[:3], kind, len(group), _in_order([done.ran_seconds for done in group]))
        for (lane, kind), group in _grouped(finished, _END)
    ]


def _grouped(items: Sequence[Item], key: Callable[[Item], Key]) -> Iterable[tuple[Key, Sequence[Item]]]:
    """Returns the items by key."""
    if not items:
        return []
    keys = list(map(key, items))
    if keys.count(keys[0]) == len(keys):
        return [(keys[0], items)]
    groups: dict[Key, list[Item]] = {}
    for own, item in zip(keys, items, strict=True):
        groups.setdefault(own, []).append(item)
    return groups.items()


def _in_order(times: Sequence[float | None]) -> list[float]:
    """Returns the known times in ascending order. One below zero, by clocks that differ, counts as zero."""
    ordered = sorted([seconds for seconds in times if seconds is not None])
    if ordered and ordered[0] < 0:
        return [max(0.0, seconds) for seconds in ordered]
    return ordered
