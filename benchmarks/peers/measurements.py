"""One round of a peer in each row with peers."""

import random
import time
from dataclasses import replace

from benchmarks.peers.catalog import Peer
from benchmarks.peers.line_process import LineProcess
from benchmarks.peers.peer_processes import PeerProcesses, prepared
from benchmarks.processes import ContestantFailed, cores
from benchmarks.rounds import Round
from benchmarks.run_context import RunContext
from benchmarks.stats import percentile

SUBMIT_SECONDS = 60.0
FIRST_START_SECONDS = 30.0
PROCESS_SECONDS = 60.0
FINALISE_SECONDS = 30.0
PICK_UPS_SECONDS = 90.0
WARM_UPS = 5
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.04
LEAST_JOBS = 20


def in_bulk(peer: Peer, context: RunContext) -> Round:
    """Measures S2: repeated bulk calls of the library in one process; the rate counts jobs, the latency is per call."""
    sizes = context.sizes
    with prepared(peer, context) as peer_processes:
        plan = replace(peer_processes.plan(), seconds=sizes.seconds, warm_up=sizes.warm_up)
        with peer_processes.task("submit", plan) as client, cores(**store_cores(peer_processes)) as used:
            outcome = client.outcome(within_seconds=sizes.warm_up + sizes.seconds + SUBMIT_SECONDS)
    figures = {name: float(outcome[name]) for name in ("rate", "p50_ms", "p99_ms")}
    return Round(figures | {"errors": 0.0}, used.used | {"generator": outcome["cores"]})


def processed(peer: Peer, context: RunContext) -> Round:
    """Measures S3: from the first handler's start until the store has no unfinished job, detected within 5 ms.

    The errors are jobs that ran more than once; a job that did not run fails the round.
    """
    jobs = max(LEAST_JOBS, round(peer.pace * context.sizes.seconds))
    with prepared(peer, context) as peer_processes:
        with peer_processes.task("submit", replace(peer_processes.plan(), jobs=jobs)) as client:
            client.outcome(within_seconds=SUBMIT_SECONDS)
        if (accepted := peer_processes.store.unfinished(0).left) != jobs:
            raise ContestantFailed(f"{peer_processes.store.name} shows {accepted} of {jobs} jobs accepted")
        peer_processes.store.settle()
        with peer_processes.task("work", peer_processes.plan(), jobs=jobs) as worker:
            first = start(worker, 1, within_seconds=FIRST_START_SECONDS)
            with cores(service=worker.pid, **store_cores(peer_processes)) as used:
                start(worker, jobs, within_seconds=PROCESS_SECONDS)
                ended = peer_processes.store.wait_until_empty(FINALISE_SECONDS)
            errors = 0
            while worker.read_mark("started", within_seconds=0) is not None:
                errors += 1
    return Round({"rate": jobs / ((ended - first) / 1e9), "errors": float(errors)}, used.used)


def start(worker: LineProcess, number: int, *, within_seconds: float) -> int:
    """Returns the time, in nanoseconds, at which this number of handlers had started."""
    mark = worker.read_mark("started", within_seconds=within_seconds)
    if mark is None:
        raise ContestantFailed(f"{worker.name}: fewer than {number} jobs started within {within_seconds:g} s")
    return mark[1]


def picked_up(peer: Peer, context: RunContext) -> Round:
    """Measures S6: from the start of the call that enqueues a job to the first line of its handler, when idle."""
    with (
        prepared(peer, context) as peer_processes,
        peer_processes.task("work", peer_processes.plan()) as worker,
        peer_processes.task("single", peer_processes.plan()) as client,
    ):
        latencies = pick_ups(worker, client, count=context.sizes.pick_ups)
    return Round({"p50_ms": percentile(latencies, 0.5), "p99_ms": percentile(latencies, 0.99), "errors": 0.0})


def pick_ups(worker: LineProcess, client: LineProcess, *, count: int) -> list[float]:
    """Returns the latencies of `count` jobs in milliseconds, each alone in the system, after uneven pauses."""
    pauses = random.Random(7)
    latencies: list[float] = []
    until = time.perf_counter() + PICK_UPS_SECONDS
    for index in range(WARM_UPS + count):
        time.sleep(pauses.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
        client.send_line(str(index))
        started = worker.read_mark("started", within_seconds=until - time.perf_counter())
        sent = client.read_mark("sent", within_seconds=until - time.perf_counter())
        if started is None or sent is None:
            raise ContestantFailed(f"{worker.name}: {index} jobs had been picked up after {PICK_UPS_SECONDS:g} s")
        if started[0] != index:
            raise ContestantFailed(f"{worker.name}: job {started[0]} started instead of job {index}")
        if index >= WARM_UPS:
            latencies.append((started[1] - sent[1]) / 1e6)
    return latencies


def store_cores(peer_processes: PeerProcesses) -> dict[str, int]:
    return {peer_processes.store.name.lower(): peer_processes.store.pid}
