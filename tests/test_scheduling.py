"""Tests that share an expensive fixture run on one worker."""

from pathlib import Path

from tests.conftest import LONG, ON_BOTH, SLOW
from tests.support.xdist_scheduling import TOGETHER, group_of

ROOT = Path(__file__).parents[1]


def test_tests_that_share_a_run_of_the_benchmark_have_one_group_and_others_have_their_own() -> None:
    smoke = "tests/benchmarks/test_smoke.py::test_"

    assert group_of(f"{smoke}duly[S1]") == group_of(f"{smoke}naive[S4]")
    assert group_of("tests/cli/test_arguments.py::test_a") == group_of("tests/cli/test_check_command.py::test_b")
    assert group_of(f"{smoke}duly[S1]") != group_of("tests/benchmarks/test_smoke_of_growth.py::test_a")
    assert group_of("tests/domain/test_ids.py::test_a") != group_of("tests/domain/test_ids.py::test_b")


def test_every_place_that_is_kept_together_exists() -> None:
    assert [place for place in TOGETHER if not (ROOT / place).exists()] == []


def test_every_path_that_a_run_selects_by_exists() -> None:
    tests = ROOT / "tests"

    assert [path for path in (*ON_BOTH, *LONG, *SLOW) if not any(tests.glob(f"{path.rstrip('/')}*"))] == []
