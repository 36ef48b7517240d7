"""Comparison with an earlier build: a worktree of its own, which the contestant runs from, and a table of pairs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import duly
from benchmarks.against import NOISE, comparison
from benchmarks.contestants import DULY, DULY_SERVICE, Contestant, duly_environment, duly_program
from benchmarks.earlier_build import EarlierBuild, NoSuchBuild, checked_out
from benchmarks.results_file import Circumstances, Row
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import SMALL, Kind, RunContext

EARLIER = "Duly at 0123456789"
AROUND = Circumstances("python -m benchmarks", "now", "small", 0.0, {}, {})


def _context(against: EarlierBuild | None) -> RunContext:
    server: Any = None
    return RunContext(server, Path(), SMALL, frozenset({Kind.DULY}), against)


def _row(today: list[Round], before: list[Round]) -> Row:
    return Row(AROUND, 1.0, [Result(DULY_SERVICE, today), Result(Contestant(EARLIER, Kind.DULY), before)])


def test_the_earlier_build_runs_from_a_worktree_that_goes_with_the_run(tmp_path: Path) -> None:
    with checked_out("HEAD", tmp_path / "earlier") as build:
        context = _context(build)
        assert duly_program(context) == [str(DULY)]
        with context.earlier_build():
            found = subprocess.run(
                [sys.executable, "-c", "import duly; print(duly.__file__)"],
                env=duly_environment(context),
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            assert duly_program(context) == [sys.executable, "-m", "duly"]
        assert Path(found.stdout.strip()) == build.folder / "app" / "duly" / "__init__.py" != Path(duly.__file__)
    assert not (tmp_path / "earlier").exists()


def test_a_revision_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoSuchBuild, match="revision"), checked_out("no-such-commit", tmp_path / "earlier"):
        pass


def test_the_earlier_build_takes_part_beside_the_present_one_with_databases_of_its_own() -> None:
    context = _context(EarlierBuild("0123456789", Path("earlier")))
    seen: list[tuple[Contestant, Path | None, str]] = []

    def measure(contestant: Contestant) -> Round:
        context.templates.setdefault("duly", f"template {len(seen)}")
        seen.append((contestant, context.source, context.templates["duly"]))
        return Round({"rate": 1.0})

    results = alternate("S1", (DULY_SERVICE,), context=context.with_rounds(1), measure=measure)
    assert seen == [(DULY_SERVICE, None, "template 0"), (DULY_SERVICE, Path("earlier/app"), "template 1")]
    assert [each.contestant.name for each in results] == ["Duly", EARLIER]


def test_pairs_are_compared_by_rate_and_by_the_processor_time_of_service_and_postgres() -> None:
    today = [
        Round({"rate": rate}, {"service": 0.5, "postgres": 0.25, "machine": 2.0}) for rate in (200.0, 300.0, 400.0)
    ]
    before = [Round({"rate": 100.0}, {"service": 0.5, "postgres": 0.5, "generator": 1.0}) for _ in range(3)]
    *_, line = comparison({"S1": _row(today, before)}, EARLIER)
    assert line == "| S1 | per second | 3.00 | 2.00, 3.00, 4.00 | 4.00 |  |"


def test_of_times_less_is_better_and_pairs_that_disagree_are_noise() -> None:
    today = [Round({"ready_seconds": 1.0}), Round({"ready_seconds": 2.0})]
    before = [Round({"ready_seconds": 2.0}), Round({"ready_seconds": 1.0})]
    *_, line = comparison({"F1": _row(today, before)}, EARLIER)
    assert line == f"| F1 | seconds | 1.25 | 2.00, 0.50 |  | {NOISE} |"
