"""M1: resident memory of the idle service with all roles in one process, without Postgres."""

import time

from benchmarks.contestants import DULY_SERVICE, NAIVE, Contestant, Start, running
from benchmarks.processes import resident_bytes
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext

MEGABYTE = 1e6


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        with running(contestant, context, Start()) as service:
            time.sleep(context.sizes.idle_seconds)
            return Round({"resident_mb": resident_bytes(service.pid) / MEGABYTE})

    return alternate("M1", (DULY_SERVICE, NAIVE), context=context, measure=one_round)
