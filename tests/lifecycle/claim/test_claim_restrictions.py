"""Claim restrictions of a node: which lanes are claimed together, and which are not tried."""

from duly.domain.ids import SMALLEST
from duly.domain.job import Lane
from duly.lifecycle.claim.claim_restrictions import ClaimRestrictions
from duly.store.queue.claim_limited import ClaimLimits
from duly.store.queue.flow_control import Control
from duly.store.queue.ready import LaneStart

FREE = Lane("default", "a", 0)
URGENT = Lane("default", "a", 9)
NARROW = Lane("narrow", "a", 0)
NARROW_B = Lane("narrow", "b", 0)
PAUSED = Lane("paused", "a", 0)
LIMITED_TYPE = Lane("default", "limited", 0)
BROKEN = Lane("default", "broken", 0)
UNKNOWN_BROKEN = Lane("default", "old", 0)
CONTROL = Control(
    version=7,
    paused=frozenset({"paused"}),
    queues=frozenset({"narrow"}),
    types=frozenset({"limited"}),
    broken=frozenset({"broken", "old"}),
)


def holds() -> ClaimRestrictions:
    learned = ClaimRestrictions({"broken", "a"})
    learned.update(CONTROL)
    return learned


def starts(*lanes: Lane) -> list[LaneStart]:
    return [LaneStart(lane, SMALLEST) for lane in lanes]


def claims(learned: ClaimRestrictions, *lanes: Lane) -> list[tuple[ClaimLimits | None, list[Lane]]]:
    return [(under, [start.lane for start in each]) for under, each in learned.claims(starts(*lanes))]


def test_at_first_nothing_is_held_back() -> None:
    learned = ClaimRestrictions()
    assert (learned.any, learned.version) == (False, 0)
    assert learned.unrestricted(NARROW)
    assert claims(learned, FREE, NARROW) == [(None, [FREE, NARROW])]
    assert learned.claims([]) == []


def test_what_is_paused_limited_or_broken_is_not_free() -> None:
    learned = holds()
    assert (learned.any, learned.version) == (True, 7)
    lanes = [FREE, NARROW, PAUSED, LIMITED_TYPE, BROKEN, UNKNOWN_BROKEN]
    assert [learned.unrestricted(lane) for lane in lanes] == [True, False, False, False, False, True]
    assert [learned.worth_trying(lane) for lane in lanes] == [True, True, False, True, True, True]


def test_lanes_under_the_same_limits_are_claimed_together_and_paused_ones_not_at_all() -> None:
    assert claims(holds(), NARROW, FREE, PAUSED, NARROW_B, LIMITED_TYPE, BROKEN) == [
        (ClaimLimits(queue="narrow"), [NARROW, NARROW_B]),
        (None, [FREE]),
        (ClaimLimits(type="limited"), [LIMITED_TYPE]),
        (ClaimLimits(breaker="broken"), [BROKEN]),
    ]


def test_both_limits_of_a_lane_count() -> None:
    lane = Lane("narrow", "limited", 0)
    assert claims(holds(), lane) == [(ClaimLimits(queue="narrow", type="limited"), [lane])]


def test_a_limited_lane_of_higher_priority_goes_before_a_free_one_of_lower() -> None:
    urgent_narrow = NARROW._replace(priority=5)
    assert claims(holds(), URGENT, urgent_narrow, FREE, NARROW) == [
        (None, [URGENT]),
        (ClaimLimits(queue="narrow"), [urgent_narrow]),
        (None, [FREE]),
        (ClaimLimits(queue="narrow"), [NARROW]),
    ]


def test_where_no_limited_lane_is_worth_trying_the_free_ones_go_in_one() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(queue="narrow"), 60)
    assert claims(learned, URGENT, NARROW, FREE, PAUSED) == [(None, [URGENT, FREE])]
    assert claims(learned, NARROW, PAUSED) == []
    assert not learned.worth_trying(NARROW)


def test_limits_that_are_full_are_tried_again_when_something_ends_that_they_count() -> None:
    for under, ends in (
        (ClaimLimits(queue="narrow"), NARROW_B),
        (ClaimLimits(type="limited"), Lane("elsewhere", "limited", 3)),
        (ClaimLimits(queue="narrow", type="limited"), NARROW),
        (ClaimLimits(breaker="broken"), BROKEN),
    ):
        learned = holds()
        learned.back_off(under, 60, full=True)
        assert not learned.ended([FREE])
        assert learned.backing_off(under)
        assert learned.ended([FREE, ends])
        assert not learned.backing_off(under)


def test_a_rate_waits_for_its_time_whatever_ends() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(queue="narrow"), 60)
    assert not learned.ended([NARROW])
    assert learned.backing_off(ClaimLimits(queue="narrow"))


def test_a_rest_is_over_by_itself() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(queue="narrow"), -0.1, full=True)
    assert learned.worth_trying(NARROW)


def test_a_change_of_what_holds_back_ends_every_rest() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(queue="narrow"), 60)
    learned.update(CONTROL)
    assert learned.backing_off(ClaimLimits(queue="narrow"))
    learned.update(CONTROL._replace(version=8))
    assert not learned.backing_off(ClaimLimits(queue="narrow"))


def test_the_shortest_rest_of_the_lanes_that_hold_jobs_counts() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(queue="narrow"), 0.5)
    learned.back_off(ClaimLimits(type="limited"), 0.2)
    assert 0.3 < learned.seconds_to_next([NARROW, PAUSED], at_most=1.0) <= 0.5
    assert 0.1 < learned.seconds_to_next([NARROW, LIMITED_TYPE], at_most=1.0) <= 0.2
    assert learned.seconds_to_next([PAUSED], at_most=1.0) == 1.0
    learned.back_off(ClaimLimits(queue="narrow"), -5)
    assert learned.seconds_to_next([NARROW], at_most=1.0) == 0.001
