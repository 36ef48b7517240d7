"""Runs the example: `python -m daily_load`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

import uvloop
from local_service import LocalService, running

from daily_load.arithmetic import Measured, day_lines, latency_line, lines
from daily_load.driver import TICK_SECONDS, Ledger, capacity, drive, following
from daily_load.plan import MEAN, PEAK_FACTOR, Phase, arrivals, jobs, phases
from daily_load.usage import Usage, usage
from duly.client import AsyncClient

# Share of the machine's capacity that the peak uses if the whole peak would be too much for it.
_PEAK_SHARE = 0.7


def main() -> None:
    """Runs the load on this machine and prints the arithmetic."""
    parser = argparse.ArgumentParser(prog="daily-load", description="Runs the load of 20 million jobs a day.")
    parser.add_argument("--short", action="store_true", help="2 seconds of each phase")
    parser.add_argument("--mean-seconds", type=float, help="time at the mean rate, twice (default: 60)")
    parser.add_argument("--peak-seconds", type=float, help="time at the peak (default: 180)")
    parser.add_argument("--probe", type=int, help="jobs that measure the machine (default: 20,000)")
    parser.add_argument("--scale", type=float, help="share of the load (default: what the machine can do, at most 1)")
    parser.add_argument("--processes", type=int, default=1, help="server processes (default: 1)")
    chosen = parser.parse_args()
    for name, short, full in (("mean_seconds", 2, 60), ("peak_seconds", 2, 180), ("probe", 4_000, 20_000)):
        if getattr(chosen, name) is None:
            setattr(chosen, name, short if chosen.short else full)
    with running("daily_load.handlers", processes=chosen.processes) as service:
        sys.exit(uvloop.run(_run(service, chosen)))


async def _run(service: LocalService, chosen: argparse.Namespace) -> int:
    print(*day_lines(), sep="\n")
    flights = jobs()
    async with AsyncClient(service.url) as client, following(client) as ledger:
        possible = await capacity(client, ledger, flights, count=chosen.probe)
        scale = chosen.scale or min(1, _PEAK_SHARE * possible / (MEAN * PEAK_FACTOR))
        run = phases(mean_seconds=chosen.mean_seconds, peak_seconds=chosen.peak_seconds, scale=scale)
        print(f"Runs {scale:.0%} of it: {', '.join(f'{phase.seconds:g} s at {phase.rate:,.0f}/s' for phase in run)}.")
        probed, before = len(ledger.submitted), await usage(service.pid, service.database_url)
        await drive(client, ledger, arrivals(run), flights)
        # The counters of PostgreSQL follow up to a second later.
        await asyncio.sleep(1)
        used = await usage(service.pid, service.database_url) - before
    return _report(ledger, run, used, jobs_of_run=len(ledger.submitted) - probed, possible=possible)


def _report(ledger: Ledger, run: Sequence[Phase], used: Usage, *, jobs_of_run: int, possible: float) -> int:
    print(f"From the time a job is due, in ticks of {1_000 * TICK_SECONDS:.0f} ms, to its end as a client sees it:")
    for phase in run:
        times = [
            ledger.ended[job_id] - job.due
            for job_id, job in ledger.submitted.items()
            if job.phase == phase.name and job_id in ledger.ended
        ]
        print(latency_line(phase.name, times, phase.rate))
    print(*lines(Measured(jobs_of_run, used, possible)), sep="\n")
    print(f"{ledger.refused:,} batches found the service too busy, and were submitted again.")
    faults = ledger.wrong()
    print(f"{len(ledger.ended):,} jobs ended once each; they settled {ledger.euros:,} euros, as counted before.")
    for fault in faults[:5]:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    main()
