"""Job ids contain their time and sort by it; only their canonical text is valid."""

import pickle
import time
from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID, uuid5

import pytest

from duly.domain.ids import (
    IdMaker,
    child_id,
    earlier,
    event_id,
    event_id_text,
    made_at,
    new_job_id,
    parse_job_id,
    smallest_id_at,
)

ID = "0199c1f0-0000-7000-8000-000000000000"


class Clock:
    """Seconds since 1970, as a test sets them."""

    def __init__(self, now: float = 1_769_508_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_ids_are_of_version_7_and_each_is_larger_than_those_before() -> None:
    for new in (new_job_id, IdMaker(time.time).new, IdMaker(Clock()).new):
        made = [new() for _ in range(10_000)]

        assert {(job_id.version, job_id.variant) for job_id in made} == {(7, RFC_4122)}
        assert made == sorted(made)
        assert len(set(made)) == len(made)


def test_an_id_is_of_the_time_that_its_clock_shows() -> None:
    clock = Clock()
    maker = IdMaker(clock)

    assert made_at(maker.new()).timestamp() == clock.now
    clock.now += 3600.25
    assert made_at(maker.new()).timestamp() == clock.now


def test_ids_of_a_clock_that_is_set_back_go_on_growing_and_tell_its_time_once_it_has_caught_up() -> None:
    clock = Clock()
    maker = IdMaker(clock)
    before = maker.new()
    clock.now -= 3600
    held = [maker.new() for _ in range(1_000)]
    clock.now += 3601

    assert [before, *held] == sorted({before, *held})
    assert {made_at(job_id) for job_id in held} == {made_at(before)}
    assert maker.new() > held[-1]
    assert made_at(maker.new()).timestamp() == clock.now


def test_makers_of_the_same_time_make_different_ids() -> None:
    clock = Clock()
    makers = [IdMaker(clock) for _ in range(100)]

    assert len({maker.new() for maker in makers for _ in range(100)}) == 10_000


def test_an_id_is_an_ordinary_uuid() -> None:
    made = IdMaker(Clock()).new()

    assert UUID(str(made)) == made
    assert hash(UUID(str(made))) == hash(made)
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301  # its own
    assert made.is_safe is UUID(str(made)).is_safe


def test_the_ids_of_a_block_follow_from_their_places() -> None:
    maker = IdMaker(Clock())
    before = maker.new()
    block = maker.block()
    places = [0, 1, 2, 10_000, 2**31 - 1]
    made = [block[place] for place in places]

    assert [job_id.int - made[0].int for job_id in made] == places
    assert {(job_id.version, job_id.variant) for job_id in made} == {(7, RFC_4122)}
    assert len({made_at(job_id) for job_id in made}) == 1
    # Other ids of this process are before or after the block.
    others = [before, *(maker.new() for _ in range(100)), maker.block()[0], maker.block()[2**31 - 1]]
    assert not any(made[0] <= other <= made[-1] for other in others)


def test_an_id_tells_when_it_was_made() -> None:
    before = datetime.now(UTC)
    job_id = new_job_id()

    assert before - timedelta(milliseconds=1) <= made_at(job_id) <= datetime.now(UTC)


def test_the_smallest_id_of_a_moment_bounds_those_made_from_then_on() -> None:
    moment = datetime(2026, 1, 27, 10, 0, 0, 123_000, tzinfo=UTC)

    assert made_at(smallest_id_at(moment)) == moment
    assert smallest_id_at(moment) == smallest_id_at(moment.astimezone(timezone(timedelta(hours=5))))
    assert smallest_id_at(datetime.now(UTC) - timedelta(seconds=1)) < new_job_id()
    assert new_job_id() < smallest_id_at(datetime.now(UTC) + timedelta(seconds=1))


def test_times_that_ids_cannot_hold_are_bounded() -> None:
    assert smallest_id_at(datetime(1, 1, 1, tzinfo=UTC)) == UUID(int=0)
    assert smallest_id_at(datetime(9999, 12, 31, tzinfo=UTC)) > new_job_id()
    assert earlier(UUID(int=5), seconds=60) == UUID(int=0)


def test_an_earlier_bound_lies_that_much_before() -> None:
    job_id = new_job_id()

    assert timedelta(seconds=60) <= made_at(job_id) - made_at(earlier(job_id, seconds=60)) < timedelta(seconds=60.1)


def test_an_events_id_follows_from_its_job_and_place() -> None:
    one, other = new_job_id(), new_job_id()

    assert event_id(one, 3) == event_id(one, 3)
    assert len({event_id(one, 3), event_id(one, 4), event_id(other, 3), one}) == 4


def test_an_events_id_is_the_standard_one_of_version_5() -> None:
    for sequence in (0, 7, 1_000_000):
        job_id = new_job_id()
        assert event_id(job_id, sequence) == uuid5(job_id, str(sequence))
        assert event_id_text(job_id, sequence) == str(uuid5(job_id, str(sequence)))
    assert str(event_id(UUID(ID), 1)) == str(uuid5(UUID(ID), "1"))


def test_the_canonical_text_is_read_in_either_case() -> None:
    assert parse_job_id(ID) == parse_job_id(ID.upper()) == UUID(ID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        ID[:-1],
        ID + "0",
        " " + ID,
        ID + "\n",
        "{" + ID + "}",
        "urn:uuid:" + ID,
        ID.replace("-", ""),
        ID + "\x00",
    ],
)
def test_any_other_text_is_no_id(text: str) -> None:
    assert parse_job_id(text) is None


def test_a_childs_id_follows_from_its_parents_and_its_name() -> None:
    parent, other = new_job_id(), new_job_id()

    assert child_id(parent, "#0") == child_id(parent, "#0")
    ids = {child_id(one, name, place) for one in (parent, other) for name in ("#0", "#1", "=key") for place in range(9)}
    assert len(ids) == 54


def test_a_childs_id_is_of_version_7_and_tells_its_parents_time() -> None:
    parent = new_job_id()
    child = child_id(child_id(parent, "#0"), "#0")

    assert (child.version, child.variant) == (7, RFC_4122)
    assert made_at(child) == made_at(parent)
    assert child.bytes[-1] == parent.bytes[-1]


def test_the_ids_of_one_name_sort_by_their_place() -> None:
    parent = new_job_id()
    places = [0, 1, 255, 256, 65_536, 9_999, (1 << 20) - 1]

    assert sorted(child_id(parent, "#0", place) for place in places) == [
        child_id(parent, "#0", place) for place in sorted(places)
    ]
