"""Shares of tenants in a claim."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from duly.domain.fair_shares import Turn, turns


def test_a_tenant_that_is_alone_takes_all() -> None:
    assert turns([7, 7, 7], 100) == [Turn(1, 3, 100)]


def test_several_tenants_take_equal_shares_and_then_what_is_left() -> None:
    assert turns([1, 1, 2], 100) == [Turn(1, 2, 50), Turn(3, 3, 50), Turn(1, 2, 100, 50), Turn(3, 3, 100, 50)]


def test_each_tenant_has_a_turn_where_there_is_less_room_than_tenants() -> None:
    assert [turn.most for turn in turns([1, 2, 3], 2)] == [1, 1, 1, 2, 2, 2]


def test_without_lanes_there_are_no_turns() -> None:
    assert turns([], 10) == []


def taken(tenants: list[int], waiting: list[int], room: int) -> list[int]:
    """Returns the tenants of the jobs that a claim takes, if lane n has `waiting[n]` jobs."""
    jobs: list[int] = []
    for turn in turns(tenants, room):
        of_turn = list(chain(*([tenants[at]] * waiting[at] for at in range(turn.first - 1, turn.last))))
        jobs += of_turn[turn.skipped : turn.skipped + turn.most]
    return jobs[:room]


@given(
    lanes=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 30)), min_size=1, max_size=12).map(sorted),
    room=st.integers(1, 60),
)
def test_no_room_is_left_while_jobs_wait_and_each_tenant_has_its_share(lanes: list[tuple[int, int]], room: int) -> None:
    tenants, waiting = [lane[0] for lane in lanes], [lane[1] for lane in lanes]
    jobs = taken(tenants, waiting, room)
    assert len(jobs) == min(room, sum(waiting))
    for tenant in set(tenants) if room >= len(set(tenants)) else ():
        has = sum(count for of, count in lanes if of == tenant)
        assert has >= jobs.count(tenant) >= min(has, room // len(set(tenants)))
