"""The report of examples/report: counted right, written whole, and run by its one command."""

from datetime import date
from pathlib import Path

import pytest
from flights import Flight
from report.handlers import handlers
from report.punctuality import Punctuality, by_airline_and_month

from duly.testing import run_handler
from tests.support.examples import run_example


async def test_the_example_runs_by_its_one_command(database_url: str, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    options = ("--short", "--folder", str(reports))
    printed = await run_example("report", *options, database_url=database_url, output=tmp_path / "output")
    assert "A second click returned the same." in printed
    assert "90.0 % writing the page" in printed
    assert "Counted again: 80,789 flights" in printed
    assert "it is cancelled." in printed and "FAULT" not in printed
    assert {file.suffix for file in reports.iterdir()} == {".html", ".csv"}


async def test_a_report_names_its_airlines_and_shows_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPORT_FOLDER", str(tmp_path))
    run = await run_handler(handlers, "punctuality-report", {"startDate": "2013-01-01", "endDate": "2013-01-31"})
    assert run.result is not None and run.result["flights"] == 27_004
    assert [message for _, message in run.progress] == [
        "counted 10,000 flights",
        "counted 20,000 flights",
        "writing the page",
    ]
    assert "JetBlue Airways" in Path(run.result["page"]).read_text()
    assert Path(run.result["csv"]).read_text().splitlines()[1].startswith("9E,1,1573,")


async def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    run = await run_handler(handlers, "punctuality-report", {"startDate": "2013-02-01", "endDate": "2013-01-01"})
    assert run.error is not None and "is before startDate" in run.error["message"] and not run.retried


def test_percentiles_are_those_of_the_arrivals_and_a_cancelled_flight_is_not_on_time() -> None:
    flights = [_flight(delay) for delay in (-5, 0, 14, 15)] + [_flight(None)]
    [tally] = by_airline_and_month(flights).values()
    assert (tally.flights, tally.cancelled, tally.late, tally.arrived) == (5, 1, 1, 4)
    assert (tally.percentile(50), tally.percentile(75), tally.percentile(100)) == (0, 14, 15)
    assert tally.on_time_percent == 60
    both = tally + tally
    assert (both.flights, both.cancelled, both.late) == (10, 2, 2)
    assert Punctuality(flights=1, cancelled=1).percentile(50) is None


def _flight(delay: int | None) -> Flight:
    return Flight(date(2013, 1, 1), 480, delay, delay, "UA", 1, "N1", "EWR", "ORD", 719)
