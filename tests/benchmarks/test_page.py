"""The page: rows are merged with those of earlier runs, and what people wrote stays."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import page, results_file
from benchmarks.contestants import Contestant
from benchmarks.report import NOISE, markdown, one_row, times
from benchmarks.results_file import Circumstances, Row, Rows
from benchmarks.rounds import Result, Round
from benchmarks.run_context import Kind
from benchmarks.time_series import RoundOverTime

DULY, NAIVE = Contestant("Duly", Kind.DULY), Contestant("naive", Kind.NAIVE)
PEER = Contestant("a peer", Kind.PEER)
AROUND = Circumstances("python -m benchmarks", "2026-01-02T03-04-05Z", "quick", 0.1, {"python": "3"}, {"fsync": "on"})


def submitted(rate: float) -> Row:
    shown = {DULY: rate, NAIVE: 100.0, PEER: 200.0}
    results = [Result(who, [Round({"rate": each, "p50_ms": 1.0, "p99_ms": 9.0})]) for who, each in shown.items()]
    return Row(AROUND, 1.0, results)


def over_time() -> Row:
    series = {name: [1.0, 2.0, 3.0] for name in ("second", "accepted", "refused", "p50_ms", "p99_ms", "resident_mb")}
    return Row(AROUND, 1.0, [Result(DULY, [RoundOverTime({"p99_ratio": 6.0}, {}, series)])])


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows: Rows = {"S1": submitted(300.0), "L1": over_time()}

    again = results_file.read(results_file.write(rows, tmp_path / "results.json"))

    assert markdown(again) == markdown(rows)
    assert results_file.write(again, tmp_path / "again.json").read_text() == (tmp_path / "results.json").read_text()


def test_a_row_that_is_measured_alone_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    target = tmp_path / "performance.md"
    page.update(target, {"S1": submitted(300.0), "L1": over_time()})

    page.update(target, {"S1": submitted(500.0)})

    text = target.read_text()
    assert "500 per second" in text
    assert "300 per second" not in text
    assert "6 p99 ÷ unloaded" in text
    assert set(results_file.read(tmp_path / "performance" / "results.json")) == {"S1", "L1"}


def test_what_people_wrote_around_the_marks_stays(tmp_path: Path) -> None:
    target = tmp_path / "performance.md"
    target.write_text(f"# Before\n\n{page.BEGIN}\nold\n{page.END}\n\n## After\n")

    page.update(target, {"S1": submitted(300.0)})
    once = target.read_text()
    page.update(target, {"S1": submitted(300.0)})

    assert once.startswith("# Before\n\n")
    assert once.endswith("\n\n## After\n")
    assert "old" not in once
    assert target.read_text() == once


@pytest.mark.parametrize("text", ["no marks", page.BEGIN, f"{page.END}\n{page.BEGIN}"])
def test_a_page_without_its_marks_is_not_touched(text: str) -> None:
    with pytest.raises(ValueError, match="needs these two lines"):
        page.between_marks(text, "new")


def test_the_table_tells_target_verdict_and_the_ratio_to_each_kind() -> None:
    line = next(line for line in markdown({"S1": submitted(300.0)}).splitlines() if line.startswith("| S1 |"))

    assert "| 3.00 | 1.50 of a peer | - |" in line
    assert "**missed**" in line


@pytest.mark.parametrize(
    ("rates", "within_noise"), [((440.0, 460.0), True), ((460.0, 470.0), False), ((440.0,), False)]
)
def test_a_verdict_on_which_the_rounds_differ_is_within_noise(rates: tuple[float, ...], within_noise: bool) -> None:
    results = [
        Result(DULY, [Round({"rate": rate, "p99_ms": 2.0}) for rate in rates]),
        Result(NAIVE, [Round({"rate": 100.0, "p99_ms": 9.0}) for _ in rates]),
        Result(PEER, [], "it did not start"),
    ]
    row = Row(AROUND, 1.0, results)

    line = next(line for line in markdown({"S1": row}).splitlines() if line.startswith("| S1 |"))

    assert (f"**, {NOISE.strip()} |" in line) == within_noise
    assert (NOISE in one_row("S1", row)) == within_noise


def test_a_run_tells_how_long_it_and_each_row_took() -> None:
    rows: Rows = {"S1": submitted(300.0), "L1": replace(over_time(), seconds=22.6)}

    assert times(rows, seconds=1_234.5) == "seconds: 1,234 in all; S1 1, L1 23"


def test_why_a_row_was_not_measured_stands_in_the_table() -> None:
    broken = Row(AROUND, 1.0, [Result(DULY, [], "it did not start")])

    assert "| it did not start |" in markdown({"S1": broken})
    assert "**not measured**" in markdown({"S1": broken})


def test_a_plot_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    from benchmarks.plots import draw  # noqa: PLC0415  # what draws takes seconds to import

    rows: Rows = {"S1": submitted(300.0), "L1": over_time()}

    first, second = draw(rows, tmp_path / "first"), draw(rows, tmp_path / "second")

    assert len(first) == 2
    for title, path in first.items():
        assert path.read_bytes() == second[title].read_bytes()
        assert path.with_suffix(".png").read_bytes() == second[title].with_suffix(".png").read_bytes()
