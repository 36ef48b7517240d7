"""Tests of a file run on one worker, which creates their shared fixtures once; long groups start first."""

from pathlib import Path

import pytest

from tests.conftest import ON_BOTH, SLOW
from tests.support.postgres_versions import second_server
from tests.support.xdist_scheduling import APART, LONG, LONGEST, TOGETHER, WAITING, group_of, start_order

ROOT = Path(__file__).parents[1]


def test_tests_that_share_a_run_of_the_benchmark_have_one_group_and_others_have_their_own() -> None:
    smoke = "tests/benchmarks/test_smoke.py::test_"

    assert group_of(f"{smoke}duly[S1]") == group_of(f"{smoke}naive[S4]")
    assert group_of("tests/cli/test_arguments.py::test_a") == group_of("tests/cli/test_check_command.py::test_b")
    assert group_of(f"{smoke}duly[S1]") != group_of("tests/benchmarks/test_smoke_of_growth.py::test_a")
    assert group_of("tests/domain/test_ids.py::test_a") != group_of("tests/domain/test_json.py::test_a")


def test_tests_of_a_file_share_its_fixtures_on_each_server() -> None:
    file = "tests/lifecycle/claim/test_limits.py::test_"

    assert group_of(f"{file}a[embedded 18]") == group_of(f"{file}b[embedded 18-x]") == group_of(f"{file}c")
    assert group_of(f"{file}a[system 15]") == group_of(f"{file}b[system 15-x]") != group_of(f"{file}a[embedded 18]")
    assert group_of(f"{file}a[npm 16]") == group_of(f"{file}b[x-npm 16]") != group_of(f"{file}a[embedded 18]")


def test_the_environment_chooses_the_version_of_the_second_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, name in (("16", "npm 16"), ("17", "npm 17")):
        monkeypatch.setenv("TESTS_POSTGRES", version)
        assert second_server() == name
    monkeypatch.setenv("TESTS_POSTGRES", "19")
    with pytest.raises(pytest.UsageError, match="'19' is not one of 15, 16, 17"):
        second_server()


def test_long_tests_that_share_nothing_go_to_any_worker() -> None:
    file = "tests/faults/test_stopping.py::test_"

    assert group_of(f"{file}a[embedded 18]") != group_of(f"{file}b[embedded 18]")


def test_long_groups_start_first() -> None:
    shuffled = [
        "tests/documentation/test_code_blocks.py::test_a",
        "tests/domain/test_ids.py::test_a",
        "tests/cli/test_a.py::test_a",
        "tests/chaos/test_short_form.py::test_a",
    ]

    assert sorted(shuffled, key=start_order) == shuffled[::-1]
    assert start_order("tests/faults/test_kill_nine_of_the_dispatcher.py::test_a") == 0


def test_tests_that_wait_run_among_the_others() -> None:
    among_others = start_order("tests/domain/test_ids.py::test_a")

    assert start_order("tests/faults/test_stopping.py::test_a[embedded 18]") == among_others
    assert start_order("tests/documentation/test_tutorial_deployed.py::test_a") == among_others
    assert all(place in APART for place in WAITING)


def test_every_place_that_is_kept_together_or_apart_exists() -> None:
    assert [
        place for place in (*TOGETHER, *LONGEST, *LONG, *APART) if not any(ROOT.glob(f"{place.rstrip('/')}*"))
    ] == []


def test_every_path_that_a_run_selects_by_exists() -> None:
    tests = ROOT / "tests"

    assert [path for path in (*ON_BOTH, *SLOW) if not any(tests.glob(f"{path.rstrip('/')}*"))] == []
