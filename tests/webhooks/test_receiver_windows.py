"""Each receiver's share of the dispatcher: it grows with its successes, and is small while it fails or hangs."""

from uuid import UUID, uuid4

import pytest

from duly.domain.events import EventKind
from duly.store.webhooks.take_deliveries import DueDelivery
from duly.webhooks import receiver_windows
from duly.webhooks.receiver_windows import (
    AHEAD,
    BAD_A_SECOND,
    BAD_IN_A_ROW,
    CHANCES,
    CONCURRENT,
    FIRST_WINDOW,
    LARGEST_WINDOW,
    LONGEST_REST_SECONDS,
    REST_SECONDS,
    ROUND,
    SUSPECTS,
    ReceiverWindows,
    Turn,
)

ONE, OTHER = UUID(int=1), UUID(int=2)


class Clock:
    """Clock of the windows, which moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 7.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(receiver_windows, "time", clock)
    return clock


def due(receiver_id: UUID = ONE) -> DueDelivery:
    return DueDelivery(
        tenant_id=1,
        delivery_id=uuid4(),
        token=1,
        attempt=1,
        tries_before=0,
        job_id=uuid4(),
        sequence=2,
        kind=EventKind.COMPLETED,
        receiver_id=receiver_id,
        registered=True,
        replay_id=None,
        occurred_at=None,
        job_attempt=1,
        data=None,
        job_type="echo",
        labels=None,
        correlation_id="c",
        traceparent=None,
        url="http://a.example/",
        secret=None,
        previous_secret=None,
        signing_key=None,
        previous_signing_key=None,
        headers=None,
        refusal=None,
        message=None,
    )


def posted(shares: ReceiverWindows, number: int, receiver_id: UUID = ONE) -> list[DueDelivery]:
    """Claims this number of deliveries at once."""
    deliveries = [due(receiver_id) for _ in range(number)]
    assert [shares.admit(delivery) for delivery in deliveries] == [Turn.NOW] * number
    return deliveries


def grown(shares: ReceiverWindows, receiver_id: UUID = ONE) -> int:
    """The window after many successes, one after the other."""
    for _ in range(2 * LARGEST_WINDOW):
        (delivery,) = posted(shares, 1, receiver_id)
        shares.ended(delivery, well=True)
    return shares._shares[receiver_id].window


def test_a_receiver_has_its_window_under_way_the_next_ones_wait_and_the_rest_go_back() -> None:
    shares = ReceiverWindows()
    posted(shares, FIRST_WINDOW)
    turns = [shares.admit(due()) for _ in range(FIRST_WINDOW * AHEAD + 1)]
    assert turns == [Turn.WAITS] * (FIRST_WINDOW * AHEAD) + [Turn.CROWDED]
    assert shares.admit(due(OTHER)) is Turn.NOW


def test_the_end_of_a_post_gives_its_turn_to_the_one_that_has_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_windows, "LARGEST_WINDOW", FIRST_WINDOW)
    shares = ReceiverWindows()
    first, *_ = posted(shares, FIRST_WINDOW)
    second, third = due(), due()
    assert [shares.admit(second), shares.admit(third)] == [Turn.WAITS, Turn.WAITS]
    assert shares.ended(first, well=True) == [second]
    assert shares.ended(second, well=True) == [third]
    assert shares.ended(third, well=True) == []


def test_each_success_makes_room_for_one_more_up_to_a_bound() -> None:
    shares = ReceiverWindows()
    first, *_ = posted(shares, FIRST_WINDOW)
    waiting = [due(), due(), due()]
    assert [shares.admit(delivery) for delivery in waiting] == [Turn.WAITS] * 3
    assert shares.ended(first, well=True) == waiting[:2]  # its own place, and one more
    assert grown(ReceiverWindows()) == LARGEST_WINDOW


def test_each_failure_halves_the_window_down_to_one() -> None:
    shares = ReceiverWindows()
    under_way = posted(shares, FIRST_WINDOW)
    waiting = [due() for _ in range(2)]
    assert [shares.admit(delivery) for delivery in waiting] == [Turn.WAITS] * 2
    following = [shares.ended(delivery, well=False) for delivery in under_way]
    assert following == [[], [], [], [waiting[0]]]  # one at a time from now on
    assert shares.ended(waiting[0], well=False) == [waiting[1]]


def test_what_has_waited_too_long_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = ReceiverWindows()
    first, *_ = posted(shares, FIRST_WINDOW)
    late = due()
    shares.admit(late)
    assert shares.take_stale() == []
    monkeypatch.setattr(receiver_windows, "PATIENCE_SECONDS", -1.0)
    assert shares.take_stale() == [late]
    assert shares.ended(first, well=True) == []


def test_more_is_taken_beforehand_for_a_receiver_that_answers_well_only() -> None:
    shares = ReceiverWindows()
    window = grown(shares)
    posted(shares, 1)
    assert shares.rooms().known == {ONE: ROUND}
    posted(shares, window - 1)
    for _ in range(window * AHEAD - 5):
        shares.admit(due())
    assert shares.rooms().known == {ONE: 5}
    failing = ReceiverWindows()
    posted(failing, 1)
    assert failing.rooms() == ({ONE: FIRST_WINDOW - 1}, FIRST_WINDOW)


def test_one_that_answers_at_once_is_asked_for_by_its_window_though_nothing_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = ReceiverWindows()
    assert grown(shares) < ROUND
    assert shares.rooms().known == {ONE: ROUND}
    monkeypatch.setattr(receiver_windows, "RECENT_SECONDS", -1.0)
    assert shares.rooms().known == {}


def test_one_that_hangs_is_given_no_more_than_one_that_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = ReceiverWindows()
    grown(shares)
    posted(shares, FIRST_WINDOW)
    assert shares.rooms().known[ONE] > FIRST_WINDOW
    monkeypatch.setattr(receiver_windows, "HANGS_SECONDS", -1.0)
    assert shares.rooms().known == {ONE: 0}


def hanging(shares: ReceiverWindows, number: int, *, first: int, each: int = FIRST_WINDOW) -> None:
    """Creates this number of receivers that have not responded yet, each with requests in flight."""
    for receiver in range(number):
        posted(shares, each, UUID(int=first + receiver))


def test_those_that_are_unknown_fail_or_hang_have_half_of_all_places_at_most() -> None:
    shares = ReceiverWindows()
    grown(shares)
    hanging(shares, SUSPECTS // FIRST_WINDOW, first=100)
    rooms = shares.rooms()
    assert {room for receiver_id, room in rooms.known.items() if receiver_id != ONE} == {0}
    assert rooms.known[ONE] > FIRST_WINDOW  # and is named, though it has nothing under way


def test_beyond_that_a_new_one_is_given_a_single_chance_until_a_quarter_more_hangs() -> None:
    shares = ReceiverWindows()
    hanging(shares, SUSPECTS // FIRST_WINDOW, first=100)
    assert shares.rooms().others == 1
    hanging(shares, CHANCES, first=1_000, each=1)
    assert shares.rooms().others == 0


def test_the_windows_of_many_busy_receivers_are_no_larger_than_all_can_have() -> None:
    shares = ReceiverWindows()
    busy = [posted(shares, 1, UUID(int=100 + number))[0] for number in range(64)]
    shares.rooms()
    assert grown(shares, busy[0].receiver_id) == CONCURRENT // 64


def test_enough_waits_only_where_turns_come_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_windows, "SUPPLY", 3)
    shares = ReceiverWindows()
    posted(shares, grown(shares))
    found = []
    for _ in range(3):
        assert shares.admit(due()) is Turn.WAITS
        found.append(shares.well_supplied)
    monkeypatch.setattr(receiver_windows, "BRISK_SECONDS", -1.0)
    found.append(shares.well_supplied)
    assert found == [False, False, True, False]


def test_what_waits_for_those_that_fail_or_hang_is_no_supply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_windows, "SUPPLY", 3)
    shares = ReceiverWindows()
    posted(shares, FIRST_WINDOW)
    assert [shares.admit(due()) for _ in range(3)] == [Turn.WAITS] * 3
    assert not shares.well_supplied


def test_of_one_that_has_failed_no_more_is_taken_than_it_may_have_at_once() -> None:
    shares = ReceiverWindows()
    for delivery in posted(shares, FIRST_WINDOW):
        shares.ended(delivery, well=False)
    assert shares.rooms().known == {ONE: 1}


def ends_badly(shares: ReceiverWindows, number: int, *, cut: bool = False, receiver_id: UUID = ONE) -> None:
    """Records this number of outcomes in sequence."""
    for _ in range(number):
        (delivery,) = posted(shares, 1, receiver_id)
        assert shares.ended(delivery, well=cut, cut=cut) == []


@pytest.mark.parametrize("cut", [False, True])
def test_one_that_answers_badly_many_times_in_a_row_rests_and_what_waits_for_it_goes_back(
    clock: Clock, *, cut: bool
) -> None:
    shares = ReceiverWindows()
    ends_badly(shares, BAD_IN_A_ROW - 1, cut=cut)
    assert shares.rooms().known[ONE] > 0
    under_way = posted(shares, FIRST_WINDOW if cut else 1)
    late = due()
    assert shares.admit(late) is Turn.WAITS
    assert [shares.ended(delivery, well=cut, cut=cut) for delivery in under_way] == [[]] * len(under_way)
    assert shares.rooms().known == {ONE: 0}
    assert shares.take_stale() == [late]
    clock.now += LONGEST_REST_SECONDS + REST_SECONDS
    assert shares.rooms().known == {ONE: FIRST_WINDOW if cut else 1}
    (probe,) = posted(shares, 1)
    shares.ended(probe, well=True)
    assert shares.rooms().known[ONE] > 1


def test_an_answer_that_was_cut_makes_no_room_for_more_and_takes_none_away(clock: Clock) -> None:
    shares = ReceiverWindows()
    ends_badly(shares, 2, cut=True)
    assert shares._shares[ONE].window == FIRST_WINDOW
    assert shares._shares[ONE].suspect(clock.now)


def test_of_all_that_answer_badly_so_many_are_taken_a_second_and_few_at_once() -> None:
    shares, each = ReceiverWindows(), 1_000
    turns = [shares._turn(7.0) for _ in range(each)]
    within_a_second = [turn for turn in turns if turn <= 8.0]
    assert len(within_a_second) == BAD_A_SECOND
    most_at_once = max(turns.count(turn) for turn in within_a_second)
    assert most_at_once <= BAD_A_SECOND * REST_SECONDS + 1
    assert turns == sorted(turns) and max(turns) <= 7.0 + LONGEST_REST_SECONDS + REST_SECONDS


def test_those_that_answer_well_go_on_while_others_rest() -> None:
    shares = ReceiverWindows()
    grown(shares)
    for number in range(50):
        ends_badly(shares, BAD_IN_A_ROW, receiver_id=UUID(int=100 + number))
    rooms = dict(shares.rooms().known)
    assert rooms.pop(ONE) > FIRST_WINDOW
    assert set(rooms.values()) == {0}


def test_receivers_that_are_sent_nothing_are_forgotten_beyond_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_windows, "REMEMBERED", 3)
    shares = ReceiverWindows()
    (busy,) = posted(shares, 1, UUID(int=50))
    for number in range(5):
        (delivery,) = posted(shares, 1, UUID(int=60 + number))
        shares.ended(delivery, well=True)
    shares.rooms()
    assert len(shares._shares) == 3
    assert busy.receiver_id in shares._shares
