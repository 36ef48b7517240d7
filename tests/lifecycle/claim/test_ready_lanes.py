"""Ready lanes of a node: the order in which they are read, and the id from which each is read."""

from collections import Counter
from uuid import UUID

import pytest

from duly.domain.ids import SMALLEST, earlier
from duly.domain.job import ClaimedJob, Lane
from duly.lifecycle.claim.ready_lanes import MOST_LANES, SLACK_SECONDS, ReadyLanes
from duly.store.queue.ready import LaneStart

TYPES = {"a", "b"}
PLAIN = Lane(1, "default", "a", 0)


def job_id(milliseconds: int) -> UUID:
    return UUID(int=milliseconds << 80 | 7)


def claimed(lane: Lane, made_at: int) -> ClaimedJob:
    return ClaimedJob(
        lane.tenant_id,
        job_id(made_at),
        1,
        1,
        1,
        0,
        lane.type,
        lane.queue,
        lane.priority,
        60.0,
        5,
        "{}",
        None,
        None,
        None,
        False,
    )


def test_nothing_is_believed_at_first() -> None:
    lanes = ReadyLanes()
    assert lanes.plan_reads(TYPES) == []
    assert not lanes.any_of(TYPES)


def test_a_hint_opens_a_lane_from_its_oldest_job_on() -> None:
    lanes = ReadyLanes()
    lanes.note(PLAIN, job_id(5000))
    lanes.note(PLAIN, job_id(4000))
    lanes.note(PLAIN, job_id(6000))
    assert lanes.any_of(TYPES)
    assert lanes.plan_reads(TYPES) == [LaneStart(PLAIN, job_id(4000))]
    lanes.note(PLAIN, job_id(3000))
    assert lanes.plan_reads(TYPES) == [LaneStart(PLAIN, job_id(3000))]


def test_types_that_this_node_does_not_know_are_left_alone() -> None:
    lanes = ReadyLanes()
    lanes.note(Lane(1, "default", "elsewhere", 0), job_id(1))
    assert lanes.plan_reads(TYPES) == []
    assert not lanes.any_of(TYPES)
    assert lanes.any_of({"elsewhere"})


def test_higher_priorities_are_read_first_and_older_work_first_among_equals() -> None:
    lanes = ReadyLanes()
    low, high = Lane(1, "default", "a", -5), Lane(1, "default", "b", 5)
    older, newer = Lane(1, "default", "a", 0), Lane(1, "default", "b", 0)
    for lane, made_at in ((low, 1), (newer, 20), (older, 10), (high, 30)):
        lanes.note(lane, job_id(made_at))
    assert [start.lane for start in lanes.plan_reads(TYPES)] == [high, older, newer, low]


def test_queues_take_turns() -> None:
    lanes = ReadyLanes()
    for made_at, queue in enumerate(("north", "south", "west")):
        lanes.note(Lane(1, queue, "a", 0), job_id(made_at))
    first = [served(lanes).queue for _ in range(6)]
    assert sorted(first) == ["north", "north", "south", "south", "west", "west"]


def test_a_priority_orders_the_jobs_of_its_own_tenant_only() -> None:
    lanes = ReadyLanes()
    urgent, plain, other = Lane(1, "default", "a", 100), Lane(1, "default", "a", 0), Lane(2, "default", "a", -100)
    for lane in (other, plain, urgent):
        lanes.note(lane, job_id(1))
    assert [start.lane for start in lanes.plan_reads(TYPES)] == [urgent, plain, other]
    lanes.claimed(lanes.plan_reads(TYPES), [claimed(urgent, 1)], filled=True)
    assert [start.lane for start in lanes.plan_reads(TYPES)] == [other, urgent, plain]


def test_the_tenant_served_longest_ago_comes_first() -> None:
    lanes = ReadyLanes()
    for tenant in (1, 2, 3):
        lanes.note(Lane(tenant, "default", "a", 0), job_id(tenant))
    assert [served(lanes).tenant_id for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]
    lanes.note(Lane(4, "default", "a", 0), job_id(9))
    assert served(lanes).tenant_id == 4
    lanes.replace([LaneStart(Lane(tenant, "default", "a", 0), job_id(tenant)) for tenant in (1, 2)])
    assert served(lanes).tenant_id == 2


def test_queues_of_a_tenant_take_turns_whoever_else_has_jobs() -> None:
    """With two tenants in turn, a count of all claims would always meet the first one with the same remainder."""
    lanes = ReadyLanes()
    for queue in ("north", "south"):
        lanes.note(Lane(1, queue, "a", 0), job_id(1))
    lanes.note(Lane(2, "default", "a", 0), job_id(1))
    first = [served(lanes) for _ in range(8)]
    assert [lane.queue for lane in first if lane.tenant_id == 1] == ["north", "south"] * 2


def test_a_claim_of_many_tenants_reads_a_bounded_number_of_lanes_of_each() -> None:
    lanes = ReadyLanes()
    for tenant in range(1, 11):
        for queue in range(300):
            lanes.note(Lane(tenant, f"q{queue}", "a", 0), job_id(1))
    read = [start.lane.tenant_id for start in lanes.plan_reads(TYPES)]
    assert len(read) == MOST_LANES
    assert set(Counter(read).values()) == {MOST_LANES // 10}


def served(lanes: ReadyLanes) -> Lane:
    """Returns the lane that is read first, and claims a job of it."""
    reads = lanes.plan_reads(TYPES)
    lanes.claimed(reads, [claimed(reads[0].lane, 1)], filled=True)
    return reads[0].lane


def test_a_lane_that_filled_the_claim_is_read_on_from_a_little_before_its_newest() -> None:
    lanes = ReadyLanes()
    lanes.note(PLAIN, job_id(1000))
    asked = lanes.plan_reads(TYPES)
    lanes.claimed(asked, [claimed(PLAIN, 9000), claimed(PLAIN, 8000)], filled=True)
    assert lanes.plan_reads(TYPES) == [LaneStart(PLAIN, earlier(job_id(9000), seconds=SLACK_SECONDS))]


def test_a_floor_never_falls_behind_what_is_known_to_be_gone() -> None:
    lanes = ReadyLanes()
    lanes.note(PLAIN, job_id(8500))
    lanes.claimed(lanes.plan_reads(TYPES), [claimed(PLAIN, 8600)], filled=True)
    assert lanes.plan_reads(TYPES) == [LaneStart(PLAIN, job_id(8500))]


def test_a_claim_that_found_less_than_it_asked_for_closes_its_lanes() -> None:
    lanes = ReadyLanes()
    lanes.note(PLAIN, job_id(1000))
    lanes.claimed(lanes.plan_reads(TYPES), [claimed(PLAIN, 1000)], filled=False)
    assert lanes.plan_reads(TYPES) == []


def test_a_hint_that_came_during_the_claim_survives_it() -> None:
    lanes = ReadyLanes()
    lanes.note(PLAIN, job_id(1000))
    asked = lanes.plan_reads(TYPES)
    lanes.note(PLAIN, job_id(2000))
    lanes.claimed(asked, [], filled=False)
    assert lanes.any_of(TYPES)
    assert lanes.plan_reads(TYPES) == [LaneStart(PLAIN, job_id(2000))]


def test_a_look_at_the_table_sets_everything_right() -> None:
    lanes = ReadyLanes()
    lanes.note(PLAIN, job_id(1000))
    lanes.plan_reads(TYPES)
    other = Lane(1, "other", "b", 1)
    lanes.replace([LaneStart(other, job_id(50))])
    assert lanes.plan_reads(TYPES) == [LaneStart(other, job_id(50))]


@pytest.mark.parametrize(("made_at", "floor"), [(9000, 7000), (1500, 0)])
def test_the_slack_ends_at_the_smallest_id(made_at: int, floor: int) -> None:
    bound = earlier(job_id(made_at), seconds=2)
    assert bound == UUID(int=floor << 80)
    assert bound >= SMALLEST
