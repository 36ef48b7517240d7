"""Client of the reports: requests one, follows its progress, and verifies it; then cancels another one."""

from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from flights import read_flights

from duly.client import Client

JOB_TYPE = "punctuality-report"


def run(client: Client, start: date, end: date, *, folder: Path) -> int:
    """Prints what happens. Returns the exit code: 1 if the report is wrong, or if the cancelled one left a file."""
    job_id = request(client, start, end)
    same = request(client, start, end)
    print(f"Requested the report as job {job_id}. A second click returned {'the same' if same == job_id else same}.")
    report = follow(client, job_id)
    print(f"{report['page']}\n{report['csv']}")
    faults = verify(report, start, end)
    faults += cancel_one(client, start, folder=folder)
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


def request(client: Client, start: date, end: date) -> str:
    """Submits a report, unless the same one is being made: the unique key is then taken by its job."""
    period = {"startDate": start.isoformat(), "endDate": end.isoformat()}
    return client.submit(JOB_TYPE, period, unique_key=f"{JOB_TYPE} {start} {end}")["jobId"]


def follow(client: Client, job_id: str) -> Any:
    """Prints the progress of the job until it ends. Returns its result."""
    with closing(client.stream(job_id)) as frames:
        for frame in frames:
            if frame["type"] == "job_progress":
                print(f"{frame['progress']:5.1f} % {frame['message']}", flush=True)
    return client.result(job_id, dict[str, Any])


def verify(report: Any, start: date, end: date) -> list[str]:
    """Counts the flights again, without the code of the report. Returns what differs."""
    flights = list(read_flights(start, end))
    counted = {
        "flights": len(flights),
        "cancelled": sum(flight.delay is None for flight in flights),
        "late": sum((flight.arrival_delay or 0) >= 15 for flight in flights),
    }
    print(
        f"Counted again: {counted['flights']:,} flights, {counted['late']:,} late, {counted['cancelled']:,} cancelled."
    )
    return [f"{name} is {report[name]}, not {count}" for name, count in counted.items() if report[name] != count]


def cancel_one(client: Client, start: date, *, folder: Path) -> list[str]:
    """Cancels a report once it has made progress. Returns what is wrong with that."""
    end = date(2013, 12, 30)
    job_id = request(client, start, end)
    with closing(client.stream(job_id)) as frames:
        for frame in frames:
            if frame["type"] == "job_progress":
                client.cancel(job_id)
                break
    status = client.wait(job_id, timeout=300)["status"]
    print(f"Cancelled another report at its first progress: it is {status}.")
    left = [file.name for file in folder.glob(f"*{end}*")]
    return [f"the cancelled report left {left}"] * bool(left) + [f"it is {status}"] * (status != "cancelled")
