"""BH: a receiver that answers at once, alone and beside fifty that never answer, or never come to an end.

Once as registered endpoints, where all hear of every job; once as the callbacks of jobs of their own. The wait is from
a job's terminal event to when the healthy receiver had the webhook.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import cycle, islice

from benchmarks.black_holes import JobsOutcome, JobsPlan
from benchmarks.contestants import DULY_ITSELF, Contestant, Running, Start, running
from benchmarks.figures import percentile
from benchmarks.generators import run_generator
from benchmarks.ground import Ground, Kind
from benchmarks.growth import case, compared
from benchmarks.outboxes import ENVIRONMENT, register
from benchmarks.processes import ContestantFailed, cores
from benchmarks.receiver import Manner, Received, ReceiverPlan
from benchmarks.receiving import Receiving, receiving
from benchmarks.rounds import Result, Round, alternate
from benchmarks.rows.told import ENDS, ended_at

ENDPOINT, CALLBACK = "one endpoint alone", "one callback's host alone"
ENDPOINT_HOLES, CALLBACK_HOLES = "one endpoint beside black holes", "one callback's host beside black holes"
ENDPOINT_HOSTILE, CALLBACK_HOSTILE = "one endpoint beside hostile ones", "one callback's host beside hostile ones"
ENDPOINTS = (ENDPOINT, ENDPOINT_HOLES, ENDPOINT_HOSTILE)
# What had not come by then is lost: the first retry of a failed post is due after five seconds.
LATE_SECONDS = 20.0


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        manners = beside(contestant.name, ground.sizes.endpoints)
        # In a process of their own: what they send must not keep the healthy one from taking.
        with (
            receiving(ground, ReceiverPlan()) as receiver,
            receiving(ground, ReceiverPlan(ports=0, manners=manners)) as hostile,
        ):
            return told(ground, receiver, hostile, registered=contestant.name in ENDPOINTS)

    names = (*ENDPOINTS, CALLBACK, CALLBACK_HOLES, CALLBACK_HOSTILE)
    cases = [case(name) for name in names]
    within = ground.with_rounds(ground.sizes.growth_rounds)
    results = alternate("BH", cases, ground=within, measure=one_round)
    ratios = {
        "endpoint_p99_ratio": ("p99_ms", ENDPOINT_HOLES, ENDPOINT),
        "callback_p99_ratio": ("p99_ms", CALLBACK_HOLES, CALLBACK),
        "endpoint_hostile_p99_ratio": ("p99_ms", ENDPOINT_HOSTILE, ENDPOINT),
        "callback_hostile_p99_ratio": ("p99_ms", CALLBACK_HOSTILE, CALLBACK),
        "endpoint_told_ratio": ("told_share", ENDPOINT_HOSTILE, ENDPOINT),
        "callback_told_ratio": ("told_share", CALLBACK_HOSTILE, CALLBACK),
    }
    return compared(results, ratios)


def beside(name: str, receivers: int) -> tuple[str, ...]:
    """Returns the manner of each other receiver: all are silent, or they take turns at every manner."""
    if name in {ENDPOINT_HOLES, CALLBACK_HOLES}:
        return (Manner.SILENT,) * receivers
    if name in {ENDPOINT_HOSTILE, CALLBACK_HOSTILE}:
        return tuple(islice(cycle(Manner), receivers))
    return ()


def told(ground: Ground, receiver: Receiving, hostile: Receiving, *, registered: bool) -> Round:
    with running(DULY_ITSELF, ground, Start(environment=ENVIRONMENT)) as service:
        ports = [*receiver.ports, *hostile.hostile]
        if registered:
            register(service, ports)
        plan = jobs_of(ground, ports, service, registered=registered)
        with cores(service=service.pid, postgres=ground.server.pid) as used:
            made = run_generator("benchmarks.black_holes", json.dumps(asdict(plan)), seconds=plan.seconds)
        outcome = JobsOutcome(**made)
        due = outcome.sent[plan.callback_urls[0] or ""]
        receiver.wait_for(due, within_seconds=LATE_SECONDS)
        came, swallowed = receiver.ended(), hostile.ended().swallowed
        ends = ended_at(ground, service.database, ENDS[Kind.DULY])
    return Round(figures(came, ends, due=due, wrong=outcome.wrong) | {"swallowed": float(swallowed)}, used.used)


def jobs_of(ground: Ground, ports: Sequence[int], service: Running, *, registered: bool) -> JobsPlan:
    """As many a second for the healthy receiver in each case; with callbacks as many again for all hostile ones.

    The first of the ports is the healthy receiver's.
    """
    rate, sizes = ground.sizes.black_hole_jobs_a_second, ground.sizes
    if registered:
        return JobsPlan(service.port, rate, sizes.black_hole_seconds)
    healthy, *hostile = map(_callback, ports)
    if not hostile:
        return JobsPlan(service.port, rate, sizes.black_hole_callback_seconds, (healthy,))
    urls = tuple(url for each in hostile for url in (healthy, each))
    return JobsPlan(service.port, 2 * rate, sizes.black_hole_callback_seconds, urls)


def _callback(port: int) -> str:
    return f"http://127.0.0.1:{port}/webhooks"


def figures(came: Received, ends: dict[str, float], *, due: int, wrong: int) -> dict[str, float]:
    if not came.arrivals:
        raise ContestantFailed(f"no webhook came to the healthy receiver within {LATE_SECONDS:g} s")
    waits = [(at - ends[job_id]) * 1e3 for job_id, at in came.arrivals.items() if job_id in ends]
    return {
        "told_share": came.received / due,
        "p50_ms": percentile(waits, 0.5),
        "p99_ms": percentile(waits, 0.99),
        "longest_ms": max(waits),
        "errors": float(wrong + came.wrong + due - came.received),
    }
