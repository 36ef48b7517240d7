"""The rows of growth, overload and soak work: a tiny run, whose figures mean nothing. G1 and G6 are G2's code."""

from typing import Any

import pytest

from tests.support.benchmark_run import RUN_SECONDS, finished, small_run

pytestmark = pytest.mark.timeout(RUN_SECONDS + 20)
ROWS = ("G2", "G3", "G5", "P1", "L1", "D1", "SOAK")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("results")
    with small_run(folder, ROWS) as run:
        return finished(run, folder)[1]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_growth_is_measured_without_an_error(row: str, results: dict[str, Any]) -> None:
    assert results[row][0]["contestant"]["name"] == "Duly"
    for result in results[row]:
        assert result["failure"] is None
        assert result["rounds"][0]["figures"].get("errors", 0) == 0


@pytest.mark.parametrize(("row", "figure"), [("G3", "pick_up_p99_ms"), ("L1", "resident_mb"), ("SOAK", "dead_tuples")])
def test_what_goes_over_time_is_told_second_by_second(row: str, figure: str, results: dict[str, Any]) -> None:
    series = results[row][-1]["rounds"][0]["series"]

    assert len(series["second"]) == len(series[figure]) > 0
    assert max(series[figure]) > 0
