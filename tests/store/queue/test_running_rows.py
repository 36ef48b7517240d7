"""Rows of a finish statement: each has its own lane and kind, also where lanes alternate."""

from typing import Any

from duly.domain.events import EventKind
from duly.domain.ids import new_job_id
from duly.domain.job import Finished, Lane
from duly.store.queue.running import all_finished

LANES = [Lane(1, "a", "x", 0), Lane(1, "a", "x", 0), Lane(1, "a", "x", 5), Lane(2, "a", "x", 5), Lane(1, "a", "x", 0)]


def test_each_row_has_its_own_lane_and_kind() -> None:
    ids = [new_job_id() for _ in LANES]
    kinds = [EventKind.COMPLETED, EventKind.HELD, EventKind.REQUEUED, EventKind.PARKED, EventKind.FAILED]
    rows: Any = [
        (job_id, int(kind), 3, *lane, None, False, True, 0.5)
        for job_id, kind, lane in zip(ids, kinds, LANES, strict=True)
    ]
    finished = all_finished(rows)
    assert finished == [
        Finished(job_id, kind, 3, lane, None, delivers=False, followed=True, ran_seconds=0.5)
        for job_id, kind, lane in zip(ids, kinds, LANES, strict=True)
    ]
    assert all(done.kind is kind for done, kind in zip(finished, kinds, strict=True))
    assert finished[0].lane is finished[1].lane  # later groups by lane compare it at once
