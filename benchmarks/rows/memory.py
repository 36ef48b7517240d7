"""M1: what the idle service keeps in memory, all roles in one process, its Postgres not counted."""

import time

from benchmarks.contestants import DULY_ITSELF, NAIVE, Contestant, Start, running
from benchmarks.ground import Ground
from benchmarks.processes import resident_bytes
from benchmarks.rounds import Result, Round, alternate

MEGABYTE = 1e6


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        with running(contestant, ground, Start()) as service:
            time.sleep(ground.sizes.idle_seconds)
            return Round({"resident_mb": resident_bytes(service.pid) / MEGABYTE})

    return alternate("M1", (DULY_ITSELF, NAIVE), ground=ground, measure=one_round)
