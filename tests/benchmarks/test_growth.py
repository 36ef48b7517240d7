"""Judgement of growth rows: ratios within a round, flatness over time, and the output of the guard."""

import pytest

from benchmarks import guard
from benchmarks.contestants import Contestant
from benchmarks.growth import case, compared
from benchmarks.open_loop_connections import Interval
from benchmarks.rounds import Result, Round
from benchmarks.rows.overload import normal_after
from benchmarks.rows.several_processes import ratios_between
from benchmarks.rows.soak import flatness
from benchmarks.run_context import Kind
from benchmarks.sampling import Samples, sampled
from benchmarks.time_series import MOST_POINTS, nearest, thinned


def shown(name: str, *rates: float) -> Result:
    return Result(case(name), [Round({"rate": rate}) for rate in rates])


def second(p99_ms: float) -> Interval:
    return Interval(0, 1, 0, 1, 0, 0, 0, p99_ms, p99_ms, 0, None)


def test_a_ratio_is_taken_within_each_round() -> None:
    judged, *results = compared([shown("none", 100, 200), shown("many", 90, 100)], {"ratio": ("rate", "many", "none")})

    assert judged.contestant.name == "Duly"
    assert [each.figures["ratio"] for each in judged.rounds] == [0.9, 0.5]
    assert [result.contestant.name for result in results] == ["none", "many"]


def test_a_condition_that_failed_leaves_no_ratio_but_its_reason() -> None:
    failed = Result(case("many"), [], "no room")

    judged = compared([shown("none", 100), failed], {"ratio": ("rate", "many", "none")})[0]

    assert judged.rounds == []
    assert judged.failure == "no room"


def test_each_number_of_processes_is_compared_with_the_one_before() -> None:
    ratios = ratios_between(["1 process", "2 processes", "4 processes"])

    assert ratios["submit_2_to_1"] == ("rate", "2 processes", "1 process")
    assert ratios["process_4_to_2"] == ("processed_rate", "4 processes", "2 processes")


@pytest.mark.parametrize(
    ("values", "flat"), [([1, 1, 5, 2, 2, 2], 2), ([4, 4, 4], 1), ([0, 0, 0], 1), ([0, 0, 3], 0), ([7], 1)]
)
def test_flatness_is_the_last_third_by_the_first(values: list[float], flat: float) -> None:
    assert flatness(values) == flat


@pytest.mark.parametrize(
    ("p99s", "seconds"), [([1, 1], 0), ([9, 1, 1], 1), ([9, 1, 9, 1], 3), ([9, 9], 2), ([0, 1], 1), ([], 0)]
)
def test_all_is_normal_from_the_second_after_which_it_stays_so(p99s: list[float], seconds: float) -> None:
    assert normal_after([second(p99) for p99 in p99s], mark=2) == seconds


def test_each_moment_gets_the_sample_nearest_to_it() -> None:
    samples = Samples([0.0, 1.0, 2.0], {"size": [10.0, 20.0, 30.0]})

    assert nearest(samples, "size", [0.2, 0.9, 1.1, 5.0]) == [10, 20, 20, 30]
    assert nearest(samples, "none", [0.2]) == [0]


def test_a_long_series_keeps_its_shape_in_fewer_points() -> None:
    thin = thinned({"second": list(range(5_000)), "size": [1.23456] * 5_000})

    assert MOST_POINTS // 2 < len(thin["second"]) == len(thin["size"]) <= MOST_POINTS
    assert thin["size"][0] == 1.235


def test_what_a_look_raises_is_raised_where_the_samples_are_wanted() -> None:
    def probe() -> dict[str, float]:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), sampled(probe, every_seconds=0.01):
        pass


def test_the_guard_tells_a_loss_and_forgives_noise() -> None:
    assert guard.line("S1", 3.3, 4.0).endswith("within")
    assert guard.line("S1", 3.1, 4.0).endswith("below")
    assert guard.line("S1", 3.1, None) == "S1: 3.10 x naive; nothing on record"
    assert guard.line("S1", None, 4.0) == "S1: not measured"


def test_the_guards_ratio_is_of_medians() -> None:
    naive = Result(Contestant("naive", Kind.NAIVE), [Round({"rate": 100}), Round({"rate": 300})])

    assert guard.ratio([shown("Duly", 400, 800), naive]) == 3
    assert guard.ratio([shown("Duly", 400)]) is None
