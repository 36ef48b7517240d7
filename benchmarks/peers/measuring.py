"""One round of a peer in each row that peers take part in."""

import random
import time
from dataclasses import replace

from benchmarks.figures import percentile
from benchmarks.ground import Ground
from benchmarks.peers.catalog import Peer
from benchmarks.peers.conversation import Conversation
from benchmarks.peers.sides import Side, prepared
from benchmarks.processes import ContestantFailed, cores
from benchmarks.rounds import Round

SUBMIT_SECONDS = 60.0
FIRST_START_SECONDS = 30.0
PROCESS_SECONDS = 60.0
FINALISE_SECONDS = 30.0
PICK_UPS_SECONDS = 90.0
WARM_UPS = 5
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.06
LEAST_JOBS = 20


def in_bulk(peer: Peer, ground: Ground) -> Round:
    """S2: the library's bulk call, again and again, in one process; the rate counts jobs, the latency is a call's."""
    sizes = ground.sizes
    with prepared(peer, ground) as side:
        plan = replace(side.plan(), seconds=sizes.seconds, warm_up=sizes.warm_up)
        with side.task("submit", plan) as client, cores(**store_cores(side)) as used:
            outcome = client.outcome(within_seconds=sizes.warm_up + sizes.seconds + SUBMIT_SECONDS)
    figures = {name: float(outcome[name]) for name in ("rate", "p50_ms", "p99_ms")}
    return Round(figures | {"errors": 0.0}, used.used | {"generator": outcome["cores"]})


def processed(peer: Peer, ground: Ground) -> Round:
    """S3: from the first handler's start to when the store shows nothing unfinished, which is seen 5 ms late at most.

    The errors are jobs that ran more than once; one that did not run at all fails the round.
    """
    jobs = max(LEAST_JOBS, round(peer.pace * ground.sizes.seconds))
    with prepared(peer, ground) as side:
        with side.task("submit", replace(side.plan(), jobs=jobs)) as client:
            client.outcome(within_seconds=SUBMIT_SECONDS)
        if (accepted := side.store.unfinished(0).left) != jobs:
            raise ContestantFailed(f"{side.store.name} shows {accepted} of {jobs} jobs accepted")
        side.store.settle()
        with side.task("work", side.plan(), jobs=jobs) as worker:
            first = start(worker, 1, within_seconds=FIRST_START_SECONDS)
            with cores(service=worker.pid, **store_cores(side)) as used:
                start(worker, jobs, within_seconds=PROCESS_SECONDS)
                ended = side.store.wait_until_empty(FINALISE_SECONDS)
            errors = 0
            while worker.told("started", within_seconds=0) is not None:
                errors += 1
    return Round({"rate": jobs / ((ended - first) / 1e9), "errors": float(errors)}, used.used)


def start(worker: Conversation, number: int, *, within_seconds: float) -> int:
    """When this many handlers had started, in nanoseconds."""
    told = worker.told("started", within_seconds=within_seconds)
    if told is None:
        raise ContestantFailed(f"{worker.name}: not {number} jobs had started after {within_seconds:g} s")
    return told[1]


def picked_up(peer: Peer, ground: Ground) -> Round:
    """S6: from the beginning of the call that enqueues one job to the first line of its handler, in an idle worker."""
    with (
        prepared(peer, ground) as side,
        side.task("work", side.plan()) as worker,
        side.task("single", side.plan()) as client,
    ):
        latencies = pick_ups(worker, client, count=ground.sizes.pick_ups)
    return Round({"p50_ms": percentile(latencies, 0.5), "p99_ms": percentile(latencies, 0.99), "errors": 0.0})


def pick_ups(worker: Conversation, client: Conversation, *, count: int) -> list[float]:
    """Milliseconds of `count` jobs, each alone in the system; the pauses are uneven on purpose."""
    pauses = random.Random(7)
    latencies: list[float] = []
    until = time.perf_counter() + PICK_UPS_SECONDS
    for index in range(WARM_UPS + count):
        time.sleep(pauses.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
        client.say(str(index))
        started = worker.told("started", within_seconds=until - time.perf_counter())
        sent = client.told("sent", within_seconds=until - time.perf_counter())
        if started is None or sent is None:
            raise ContestantFailed(f"{worker.name}: {index} jobs had been picked up after {PICK_UPS_SECONDS:g} s")
        if started[0] != index:
            raise ContestantFailed(f"{worker.name}: job {started[0]} started where job {index} was sent")
        if index >= WARM_UPS:
            latencies.append((started[1] - sent[1]) / 1e6)
    return latencies


def store_cores(side: Side) -> dict[str, int]:
    return {side.store.name.lower(): side.store.pid}
