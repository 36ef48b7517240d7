"""BH: a receiver that answers at once, alone and beside fifty that take a connection and never answer.

Once as registered endpoints, where all hear of every job; once as the callbacks of jobs of their own. The wait is from
a job's terminal event to when the healthy receiver had the webhook.
"""

import json
from dataclasses import asdict

from benchmarks.black_holes import JobsOutcome, JobsPlan
from benchmarks.contestants import DULY_ITSELF, Contestant, Running, Start, running
from benchmarks.figures import percentile
from benchmarks.generators import run_generator
from benchmarks.ground import Ground, Kind
from benchmarks.growth import case, compared
from benchmarks.outboxes import ENVIRONMENT, register
from benchmarks.processes import ContestantFailed, cores
from benchmarks.receiver import Received, ReceiverPlan
from benchmarks.receiving import Receiving, receiving
from benchmarks.rounds import Result, Round, alternate
from benchmarks.rows.told import ENDS, ended_at

ENDPOINT, ENDPOINT_BESIDE = "one endpoint alone", "one endpoint beside black holes"
CALLBACK, CALLBACK_BESIDE = "one callback's host alone", "one callback's host beside black holes"
# What had not come by then is lost: the first retry of a failed post is due after five seconds.
LATE_SECONDS = 20.0


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        beside = contestant.name in {ENDPOINT_BESIDE, CALLBACK_BESIDE}
        holes = ground.sizes.endpoints if beside else 0
        with receiving(ground, ReceiverPlan(silent=holes)) as receiver:
            return told(ground, receiver, registered=contestant.name in {ENDPOINT, ENDPOINT_BESIDE})

    cases = [case(name) for name in (ENDPOINT, ENDPOINT_BESIDE, CALLBACK, CALLBACK_BESIDE)]
    within = ground.with_rounds(ground.sizes.growth_rounds)
    results = alternate("BH", cases, ground=within, measure=one_round)
    ratios = {
        "endpoint_p99_ratio": ("p99_ms", ENDPOINT_BESIDE, ENDPOINT),
        "callback_p99_ratio": ("p99_ms", CALLBACK_BESIDE, CALLBACK),
        "endpoint_told_ratio": ("told_share", ENDPOINT_BESIDE, ENDPOINT),
        "callback_told_ratio": ("told_share", CALLBACK_BESIDE, CALLBACK),
    }
    return compared(results, ratios)


def told(ground: Ground, receiver: Receiving, *, registered: bool) -> Round:
    with running(DULY_ITSELF, ground, Start(environment=ENVIRONMENT)) as service:
        if registered:
            register(service, [*receiver.ports, *receiver.silent])
        plan = jobs_of(ground, receiver, service, registered=registered)
        with cores(service=service.pid, postgres=ground.server.pid) as used:
            made = run_generator("benchmarks.black_holes", json.dumps(asdict(plan)), seconds=plan.seconds)
        outcome = JobsOutcome(**made)
        due = outcome.sent[plan.callback_urls[0] or ""]
        receiver.wait_for(due, within_seconds=LATE_SECONDS)
        came = receiver.ended()
        ends = ended_at(ground, service.database, ENDS[Kind.DULY])
    return Round(figures(came, ends, due=due, wrong=outcome.wrong), used.used)


def jobs_of(ground: Ground, receiver: Receiving, service: Running, *, registered: bool) -> JobsPlan:
    """As many a second for the healthy receiver in each case; with callbacks as many again for all black holes.

    The first of the callbacks is the healthy receiver's.
    """
    rate, sizes = ground.sizes.black_hole_jobs_a_second, ground.sizes
    if registered:
        return JobsPlan(service.port, rate, sizes.black_hole_seconds)
    healthy = _callback(receiver.ports[0])
    if not receiver.silent:
        return JobsPlan(service.port, rate, sizes.black_hole_callback_seconds, (healthy,))
    urls = tuple(url for port in receiver.silent for url in (healthy, _callback(port)))
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
        "swallowed": float(came.swallowed),
        "errors": float(wrong + came.wrong + due - came.received),
    }
