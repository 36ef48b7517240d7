"""examples/nightly-pipeline: figures, checkpoints, repeated attempts, forged reports, and its one command."""

import re
import sqlite3
from datetime import date
from pathlib import Path

import httpx
import pytest
from nightly_pipeline import warehouse
from nightly_pipeline.jobs import handlers
from nightly_pipeline.receiver import receiving
from nightly_pipeline.statistics_of_delays import figures_of

from duly.testing import run_batch_handler, run_handler
from tests.support.examples import run_example

NEW_YEAR = date(2013, 1, 1)
AIRLINES = 14
FLIGHTS = 842


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIPELINE_FOLDER", str(tmp_path))
    return tmp_path


async def test_the_example_runs_by_its_one_command(database_url: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    printed = await run_example("nightly-pipeline", "--short", database_url=database_url, output=output)
    assert "is due next at" in printed and "Killing the service" in printed and "FAULT" not in printed
    assert re.findall(r"Report of (\S+) to (\S+): ([\d,]+) flights", printed) == [
        ("2013-01-01", "2013-01-03", "2,699"),
        ("2013-01-04", "2013-01-06", "2,467"),
    ]
    assert re.search(r"stored \d+ rows in [1-9]\d* transactions", printed)


async def test_the_next_attempt_of_a_day_computes_only_the_airlines_that_are_missing(folder: Path) -> None:
    warehouse.extract([NEW_YEAR])
    children = {"flights.store": {"together": 1}}
    first = await run_handler(handlers, "flights.day", {"day": "2013-01-01"}, children=children)
    assert first.result is not None and (first.result["flights"], first.result["restored"]) == (FLIGHTS, 0)
    assert len(first.checkpoints) == AIRLINES == len(first.children)
    again = await run_handler(
        handlers, "flights.day", {"day": "2013-01-01"}, children=children, attempt=2, restored=first.checkpoints[9]
    )
    assert again.result == first.result | {"restored": 10}
    assert len(again.checkpoints) == AIRLINES - 10
    assert [child.parameters for child in again.children] == [child.parameters for child in first.children]


async def test_each_attempt_of_a_night_loads_the_same_days_and_the_next_night_those_after_them(folder: Path) -> None:
    for number in (1, 2):
        warehouse.file_of(NEW_YEAR.replace(day=number)).touch()

    def day(parameters: dict[str, str]) -> dict[str, object]:
        return {**parameters, "flights": 2, "cancelled": 0, "late": 0, "restored": 0}

    first = await run_handler(handlers, "flights.night", {"days": 2}, children={"flights.day": day})
    assert [child.parameters["day"] for child in first.children] == ["2013-01-01", "2013-01-02"]
    again = await run_handler(
        handlers, "flights.night", {"days": 2}, children={"flights.day": day}, restored=first.checkpoints[0]
    )
    assert [child.parameters for child in again.children] == [child.parameters for child in first.children]
    assert warehouse.next_day() == date(2013, 1, 3)


async def test_a_night_after_the_last_day_fails_without_another_attempt(folder: Path) -> None:
    warehouse.add_night(NEW_YEAR, date(2013, 12, 31))
    run = await run_handler(handlers, "flights.night", {"days": 2})
    assert run.error is not None and run.error["code"] == "NOTHING_TO_LOAD" and not run.retried


async def test_figures_that_are_stored_twice_are_in_the_warehouse_once(folder: Path) -> None:
    one = figures_of("2013-01-01", "UA", [(20, False), (-5, False), (None, True)]).model_dump()
    for _ in range(2):
        assert all(run.completed for run in await run_batch_handler(handlers, "flights.store", [one, one]))
    assert [row[:5] for row in warehouse.figures(NEW_YEAR, NEW_YEAR)] == [("2013-01-01", "UA", 3, 1, 1)]
    with sqlite3.connect(folder / "warehouse.db") as connection:
        assert connection.execute("select rows from loads").fetchall() == [(2,), (2,)]


def test_an_interval_contains_its_median_and_is_the_same_each_time() -> None:
    delays = [(minutes, False) for minutes in range(-20, 61)]
    figures = figures_of("2013-01-01", "UA", delays)
    assert figures.median == 20 and figures == figures_of("2013-01-01", "UA", delays)
    assert figures.low is not None and figures.high is not None and -20 < figures.low < 20 < figures.high < 60
    assert figures_of("2013-01-01", "UA", [(None, True)]).median is None


def test_a_report_with_a_wrong_signature_is_refused() -> None:
    headers = {"webhook-id": "forged", "webhook-timestamp": "1769508300", "webhook-signature": "v1,AAAA"}
    with receiving() as reports:
        answer = httpx.post(reports.url, content=b"{}", headers=headers, timeout=60, trust_env=False)
        assert answer.status_code == 401
