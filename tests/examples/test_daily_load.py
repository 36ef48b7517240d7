"""The load of examples/daily-load: its plan, its results, and its one command."""

import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from daily_load.arithmetic import Measured, lines
from daily_load.driver import Ledger, Submitted, drive
from daily_load.handlers import compensation, handlers
from daily_load.plan import JOBS_A_DAY, MEAN, arrivals, by_hour, jobs, phases
from daily_load.usage import Usage, usage

from duly.client import Unavailable
from duly.testing import run_handler
from tests.support.examples import run_example


async def test_the_example_runs_by_its_one_command(database_url: str, tmp_path: Path) -> None:
    options = ("--mean-seconds", "0.3", "--peak-seconds", "0.3", "--probe", "400", "--scale", "0.2")
    printed = await run_example("daily-load", *options, database_url=database_url, output=tmp_path / "output")
    assert "20,000,000 jobs a day: 231.5/s in the mean, 2,315/s in a tenfold peak." in printed
    assert "Runs 20% of it: 0.3 s at 46/s, 0.3 s at 463/s, 0.3 s at 46/s." in printed
    assert "567 jobs ended once each" in printed and "FAULT" not in printed
    for named in ("disk", "WAL", "commits", "service", "PostgreSQL", "This machine submits"):
        assert named in printed, named


def test_a_plan_has_the_mean_and_a_tenfold_peak() -> None:
    run = phases(mean_seconds=60, peak_seconds=180, scale=1)
    assert [round(phase.rate) for phase in run] == [231, 2315, 231]
    plan = list(arrivals(run))
    assert len(plan) == round(60 * MEAN) * 2 + round(180 * MEAN * 10)
    assert plan == sorted(plan, key=lambda arrival: arrival[0])
    assert sum(60 <= at < 240 for at, _ in plan) == sum(name == "peak" for _, name in plan)


def test_the_hours_of_a_day_add_up_to_the_day() -> None:
    hours = by_hour()
    assert sum(hours.values()) / 24 == pytest.approx(1)
    assert round(sum(load * MEAN * 3_600 for load in hours.values())) == JOBS_A_DAY
    assert max(hours, key=lambda hour: hours[hour]) == 8


@pytest.mark.parametrize(
    ("miles", "delay", "euros"),
    [(100, 179, 0), (100, 180, 250), (932, 200, 250), (933, 200, 400), (2_174, 200, 400), (2_175, None, 600)],
)
async def test_a_flight_is_settled_by_its_delay_and_its_distance(miles: int, delay: int | None, euros: int) -> None:
    assert compensation(miles, delay) == euros
    parameters = {"airline": "UA", "number": 1, "miles": miles, "arrivalDelay": delay}
    run = await run_handler(handlers, "settle-flight", parameters)
    assert run.result == {"euros": euros}


def test_jobs_are_flights_of_the_year() -> None:
    assert list(islice(jobs(), 1)) == [{"airline": "UA", "number": 1545, "miles": 1400, "arrivalDelay": 11}]


async def test_a_job_that_is_lost_wrong_or_ended_twice_is_a_fault() -> None:
    ledger = Ledger({name: Submitted("peak", 0, 250) for name in ("lost", "wrong", "twice", "failed")})
    for name, euros in (("wrong", 0), ("twice", 250), ("twice", 250)):
        ledger.note_end({"jobId": name, "type": "job_completed", "result": {"euros": euros}})
    ledger.note_end({"jobId": "failed", "type": "job_failed", "error": {"code": "TASK_FAILED"}})
    assert ledger.wrong() == [
        "job twice ended twice",
        "job failed is job_failed: {'code': 'TASK_FAILED'}",
        "job lost was not both submitted and ended",
        "job wrong settled 0 euros, not 250",
    ]


async def test_a_batch_that_finds_the_service_too_busy_is_submitted_again_with_its_key() -> None:
    class BusyClient:
        """Client of a service that refuses the first call."""

        def __init__(self) -> None:
            self.keys: list[str] = []

        async def submit_many(self, jobs: Any, *, idempotency_key: str) -> Any:
            self.keys.append(idempotency_key)
            if len(self.keys) == 1:
                raise Unavailable(503, "OVERLOADED", "busy", {}, retry_after_seconds=0.001)
            return {"jobIds": [f"job-{number}" for number, _ in enumerate(jobs)]}

    busy: Any = BusyClient()
    ledger = Ledger()
    await drive(busy, ledger, [(0.0, "mean"), (0.001, "mean")], jobs(), end_seconds=0)
    assert len(busy.keys) == 2 and len(set(busy.keys)) == 1
    assert ledger.refused == 1 and list(ledger.submitted) == ["job-0", "job-1"]


async def test_the_use_of_the_server_is_seen_as_often_as_it_is_asked_for(database_url: str) -> None:
    seen = [await usage(os.getpid(), database_url) for _ in range(5)]
    assert all(now.postgres > 0 and now.service > 0 and now.wal > 0 and now.size > 0 for now in seen)


def test_the_arithmetic_extends_what_was_measured_to_a_day() -> None:
    used = Usage(service=0.2, postgres=0.3, wal=1_500_000, size=1_000_000, commits=50)
    text = "\n".join(lines(Measured(jobs=1_000, used=used, capacity=MEAN + 1_000)))
    assert "1,000 B a job       20.0 GB a day, 0.60 TB in 30 days of retention" in text
    assert "1,500 B a job       30.0 GB a day, 0.35 MB/s to archive" in text
    assert "0.050 per job        12/s in the mean" in text
    assert "0.200 ms a job      0.05 cores in the mean, 0.8 for the peak, 60% busy" in text
    assert "833,333 jobs wait; it works them off in 13.9 minutes." in text
    without = "\n".join(lines(Measured(1_000, Usage(0.2, 0, 1, 1, 1), capacity=1)))
    assert "PostgreSQL" not in without and "After an hour" not in without
