"""Several nights in a row, the first with a crash; the outcome of each is verified."""

import time
from collections import Counter
from datetime import date
from typing import Any

from flights import read_flights
from local_service import LocalService

from duly.client import Client
from nightly_pipeline import warehouse
from nightly_pipeline.receiver import Reports

SCHEDULE = "nightly-flights"
REPORT_SECONDS = 300


def run(service: LocalService, client: Client, reports: Reports, *, nights: int, days: int) -> int:
    """Prints what happens. Returns the exit code: 1 if a report or the warehouse is wrong."""
    client.queues.set_limits("days", concurrency=4)  # leaves cores to other work of the night
    plan(client, reports, days)
    taken = []
    for number in range(nights):
        client.schedules.run(SCHEDULE)
        if number == 0:
            crash(service, client)
        taken.append(reports.take(seconds=REPORT_SECONDS))
        show(taken[-1])
    rows, transactions = warehouse.loads()
    print(f"The batch handler stored {rows} rows in {transactions} transactions.")
    faults = verify(taken)
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


def plan(client: Client, reports: Reports, days: int) -> None:
    """Declares the schedule; each of its jobs sends its report to the receiver."""
    schedule = client.schedules.put(
        SCHEDULE,
        "30 2 * * *",
        {
            "type": "flights.night",
            "parameters": {"days": days},
            "callback_url": reports.url,
            "callback_secret": reports.secret,
        },
        timezone="America/New_York",
        overlap="skip",
    )
    print(f"The schedule {SCHEDULE} is due next at {schedule['nextRunAt']}. Running it now instead.")


def crash(service: LocalService, client: Client) -> None:
    """Kills the service once the first airline of a day is done, and starts it again."""
    while not any(job["progress"] for job in client.list(types=["flights.day"])):
        time.sleep(0.05)
    print("Killing the service and starting it again.", flush=True)
    service.kill()
    service.start()


def show(webhook: dict[str, Any]) -> None:
    if webhook["status"] != "completed":
        print(f"The night has {webhook['status']}: {webhook['error']}")
        return
    report = webhook["result"]
    print(
        f"Report of {report['firstDay']} to {report['lastDay']}: {report['flights']:,} flights,"
        f" {report['late']:,} late, {report['cancelled']:,} cancelled; the worst day was {report['worstDay']}."
    )
    best = sorted(report["onTimePercent"].items(), key=lambda item: -item[1])
    print(f"  most punctual: {best[0][0]} ({best[0][1]} %), least: {best[-1][0]} ({best[-1][1]} %)")
    if report["restored"]:
        print(f"  {report['restored']} airlines were not computed again after the crash")


def verify(webhooks: list[dict[str, Any]]) -> list[str]:
    """Counts the flights again, without the code of the pipeline. Returns what differs."""
    if statuses := {webhook["status"] for webhook in webhooks} - {"completed"}:
        return [f"a night is {status}" for status in statuses]
    results = [webhook["result"] for webhook in webhooks]
    first, last = date.fromisoformat(results[0]["firstDay"]), date.fromisoformat(results[-1]["lastDay"])
    counted: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    for flight in read_flights(first, last):
        counted[str(flight.day), flight.carrier] += 1
        totals["flights"] += 1
        totals["late"] += (flight.arrival_delay or 0) >= 15
        totals["cancelled"] += flight.delay is None
    reported = {name: sum(result[name] for result in results) for name in totals}
    stored = {(row[0], row[1]): row[2] for row in warehouse.figures(first, last)}
    print(f"Counted again: {', '.join(f'{count:,} {name}' for name, count in totals.items())}.")
    wrong = [name for name in totals if reported[name] != totals[name]]
    faults = [f"the reports count {reported[name]} {name}, not {totals[name]}" for name in wrong]
    return faults + [f"the warehouse differs from the flights of {first} to {last}"] * (stored != dict(counted))
