"""BH: delay of webhooks to a healthy receiver, alone and beside fifty that never respond, or never finish a response.

Measured with registered endpoints, which receive every job, and with callbacks, each for its own jobs. The delay is
from a job's terminal event to the receipt of the webhook by the healthy receiver.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import cycle, islice

from benchmarks.callback_load import JobsOutcome, JobsPlan
from benchmarks.contestants import DULY_SERVICE, Contestant, Running, Start, running
from benchmarks.filled_outboxes import ENVIRONMENT, register
from benchmarks.generator_processes import run_generator
from benchmarks.growth import case, compared
from benchmarks.processes import ContestantFailed, cores
from benchmarks.receiver_process import ReceiverProcess, run_receiver
from benchmarks.rounds import Result, Round, alternate
from benchmarks.rows.notification_delay import ENDS, ended_at
from benchmarks.run_context import Kind, RunContext
from benchmarks.stats import percentile
from benchmarks.webhook_receiver import Misbehavior, Received, ReceiverPlan

ENDPOINT, CALLBACK = "one endpoint alone", "one callback's host alone"
ENDPOINT_HOLES, CALLBACK_HOLES = "one endpoint beside black holes", "one callback's host beside black holes"
ENDPOINT_HOSTILE, CALLBACK_HOSTILE = "one endpoint beside hostile ones", "one callback's host beside hostile ones"
ENDPOINTS = (ENDPOINT, ENDPOINT_HOLES, ENDPOINT_HOSTILE)
# Webhooks not received by then count as lost: the first retry of a failed one is due after five seconds.
LATE_SECONDS = 60.0


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        misbehaviors = beside(contestant.name, context.sizes.endpoints)
        # Hostile receivers have their own process, so that they do not slow down the healthy one.
        with (
            run_receiver(context, ReceiverPlan()) as receiver,
            run_receiver(context, ReceiverPlan(ports=0, misbehaviors=misbehaviors)) as hostile,
        ):
            return notified(context, receiver, hostile, name=contestant.name)

    names = (*ENDPOINTS, CALLBACK, CALLBACK_HOLES, CALLBACK_HOSTILE)
    cases = [case(name) for name in names]
    within = context.with_rounds(context.sizes.growth_rounds)
    results = alternate("BH", cases, context=within, measure=one_round)
    ratios = {
        "endpoint_p99_ratio": ("p99_ms", ENDPOINT_HOLES, ENDPOINT),
        "callback_p99_ratio": ("p99_ms", CALLBACK_HOLES, CALLBACK),
        "endpoint_hostile_p99_ratio": ("p99_ms", ENDPOINT_HOSTILE, ENDPOINT),
        "callback_hostile_p99_ratio": ("p99_ms", CALLBACK_HOSTILE, CALLBACK),
        "endpoint_received_ratio": ("received_share", ENDPOINT_HOSTILE, ENDPOINT),
        "callback_received_ratio": ("received_share", CALLBACK_HOSTILE, CALLBACK),
    }
    return compared(results, ratios)


def beside(name: str, receivers: int) -> tuple[str, ...]:
    """Returns the misbehavior of each of the other receivers: all silent, or every kind in turn."""
    if name in {ENDPOINT_HOLES, CALLBACK_HOLES}:
        return (Misbehavior.SILENT,) * receivers
    if name in {ENDPOINT_HOSTILE, CALLBACK_HOSTILE}:
        return tuple(islice(cycle(Misbehavior), receivers))
    return ()


def notified(context: RunContext, receiver: ReceiverProcess, hostile: ReceiverProcess, *, name: str) -> Round:
    registered = name in ENDPOINTS
    with running(DULY_SERVICE, context, Start(environment=ENVIRONMENT)) as service:
        ports = [*receiver.ports, *hostile.hostile]
        if registered:
            register(service, ports)
        plan = jobs_of(context, ports, service, registered=registered, silent=name == ENDPOINT_HOLES)
        with cores(service=service.pid, postgres=context.server.pid) as used:
            made = run_generator("benchmarks.callback_load", json.dumps(asdict(plan)), seconds=plan.seconds)
        outcome = JobsOutcome(**made)
        due = outcome.sent[plan.callback_urls[0] or ""]
        receiver.wait_for(due, within_seconds=LATE_SECONDS)
        webhooks, swallowed = receiver.ended(), hostile.ended().swallowed
        ends = ended_at(context, service.database, ENDS[Kind.DULY])
    return Round(figures(webhooks, ends, due=due, wrong=outcome.wrong) | {"swallowed": float(swallowed)}, used.used)


def jobs_of(context: RunContext, ports: Sequence[int], service: Running, *, registered: bool, silent: bool) -> JobsPlan:
    """Returns a plan with the same rate for the healthy receiver in each case.

    With endpoints that never respond, the load is long enough for their circuits to open. With callbacks, the hostile
    receivers together get the same rate again. The first port is that of the healthy one.
    """
    rate, sizes = context.sizes.black_hole_jobs_per_second, context.sizes
    if registered:
        return JobsPlan(service.port, rate, sizes.black_hole_seconds if silent else sizes.black_hole_others_seconds)
    healthy, *hostile = map(_callback, ports)
    if not hostile:
        return JobsPlan(service.port, rate, sizes.black_hole_callback_seconds, (healthy,))
    urls = tuple(url for each in hostile for url in (healthy, each))
    return JobsPlan(service.port, 2 * rate, sizes.black_hole_callback_seconds, urls)


def _callback(port: int) -> str:
    return f"http://127.0.0.1:{port}/webhooks"


def figures(webhooks: Received, ends: dict[str, float], *, due: int, wrong: int) -> dict[str, float]:
    if not webhooks.arrivals:
        raise ContestantFailed(f"the healthy receiver got no webhook within {LATE_SECONDS:g} s")
    waits = [(at - ends[job_id]) * 1e3 for job_id, at in webhooks.arrivals.items() if job_id in ends]
    return {
        "received_share": webhooks.received / due,
        "p50_ms": percentile(waits, 0.5),
        "p99_ms": percentile(waits, 0.99),
        "longest_ms": max(waits),
        "errors": float(wrong + webhooks.wrong + due - webhooks.received),
    }
