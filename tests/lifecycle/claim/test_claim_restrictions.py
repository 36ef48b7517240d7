"""Claim restrictions of a node: which lanes are claimed together, and which are not tried."""

from duly.domain.ids import SMALLEST
from duly.domain.job import Lane
from duly.lifecycle.claim.claim_restrictions import ClaimRestrictions
from duly.store.queue.claim_limited import ClaimLimits
from duly.store.queue.flow_control import Control
from duly.store.queue.ready import LaneStart

FREE = Lane(1, "default", "a", 0)
URGENT = Lane(1, "default", "a", 9)
NARROW = Lane(1, "narrow", "a", 0)
NARROW_B = Lane(1, "narrow", "b", 0)
PAUSED = Lane(1, "paused", "a", 0)
LIMITED_TYPE = Lane(1, "default", "limited", 0)
BROKEN = Lane(1, "default", "broken", 0)
UNKNOWN_BROKEN = Lane(1, "default", "old", 0)
CONTROL = Control(
    version=7,
    paused=frozenset({(1, "paused")}),
    queues=frozenset({(1, "narrow")}),
    types=frozenset({(1, "limited")}),
    broken=frozenset({(1, "broken"), (1, "old")}),
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
        (ClaimLimits(1, queue="narrow"), [NARROW, NARROW_B]),
        (None, [FREE]),
        (ClaimLimits(1, type="limited"), [LIMITED_TYPE]),
        (ClaimLimits(1, breaker="broken"), [BROKEN]),
    ]


def test_both_limits_of_a_lane_count() -> None:
    lane = Lane(1, "narrow", "limited", 0)
    assert claims(holds(), lane) == [(ClaimLimits(1, queue="narrow", type="limited"), [lane])]


def test_a_limited_lane_of_higher_priority_goes_before_a_free_one_of_lower() -> None:
    urgent_narrow = NARROW._replace(priority=5)
    assert claims(holds(), URGENT, urgent_narrow, FREE, NARROW) == [
        (None, [URGENT]),
        (ClaimLimits(1, queue="narrow"), [urgent_narrow]),
        (None, [FREE]),
        (ClaimLimits(1, queue="narrow"), [NARROW]),
    ]


def test_where_no_limited_lane_is_worth_trying_the_free_ones_go_in_one() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(1, queue="narrow"), 60)
    assert claims(learned, URGENT, NARROW, FREE, PAUSED) == [(None, [URGENT, FREE])]
    assert claims(learned, NARROW, PAUSED) == []
    assert not learned.worth_trying(NARROW)


def test_limits_that_are_full_are_tried_again_when_something_ends_that_they_count() -> None:
    for under, ends in (
        (ClaimLimits(1, queue="narrow"), NARROW_B),
        (ClaimLimits(1, type="limited"), Lane(1, "elsewhere", "limited", 3)),
        (ClaimLimits(1, queue="narrow", type="limited"), NARROW),
        (ClaimLimits(1, breaker="broken"), BROKEN),
    ):
        learned = holds()
        learned.back_off(under, 60, full=True)
        assert not learned.ended([FREE])
        assert learned.backing_off(under)
        assert learned.ended([FREE, ends])
        assert not learned.backing_off(under)


def test_a_rate_waits_for_its_time_whatever_ends() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(1, queue="narrow"), 60)
    assert not learned.ended([NARROW])
    assert learned.backing_off(ClaimLimits(1, queue="narrow"))


def test_a_rest_is_over_by_itself() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(1, queue="narrow"), -0.1, full=True)
    assert learned.worth_trying(NARROW)


def test_a_change_of_what_holds_back_ends_every_rest() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(1, queue="narrow"), 60)
    learned.update(CONTROL)
    assert learned.backing_off(ClaimLimits(1, queue="narrow"))
    learned.update(CONTROL._replace(version=8))
    assert not learned.backing_off(ClaimLimits(1, queue="narrow"))


def test_the_shortest_rest_of_the_lanes_that_hold_jobs_counts() -> None:
    learned = holds()
    learned.back_off(ClaimLimits(1, queue="narrow"), 500)
    learned.back_off(ClaimLimits(1, type="limited"), 200)
    assert 300 < learned.seconds_to_next([NARROW, PAUSED], at_most=1000.0) <= 500
    assert 100 < learned.seconds_to_next([NARROW, LIMITED_TYPE], at_most=1000.0) <= 200
    assert learned.seconds_to_next([PAUSED], at_most=1.0) == 1.0
    learned.back_off(ClaimLimits(1, queue="narrow"), -5)
    assert learned.seconds_to_next([NARROW], at_most=1.0) == 0.001
