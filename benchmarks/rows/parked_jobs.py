"""P1: submitting and running jobs beside parked ones, and the time from a signal to the start of its job."""

import http.client
import random
import time
from dataclasses import replace

from benchmarks.contestants import DULY_SERVICE, Contestant, Start, running
from benchmarks.filled_ledgers import SIGNAL, Fill, forget_templates, ledger
from benchmarks.growth import DRAIN_SECONDS, SPARE_JOBS, Figures, case, compared, process, submit, summed
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.rows.pick_up_latency import LONGEST_PAUSE, SHORTEST_PAUSE
from benchmarks.run_context import RunContext
from benchmarks.submissions import SINGLE_PATH

NONE = "none parked"
_UNFINISHED = "select (not exists (select from ready) and not exists (select from running))::int"
# A job whose signal was accepted is parked until the service resumes it.
_ALL_ENDED = f"{_UNFINISHED} * (not exists (select from scheduled where job_id = any('{{{{{{jobs}}}}}}'::uuid[])))::int"
_PARKED = "select array_agg(job_id::text) from (select job_id from scheduled order by job_id limit {count}) p"
_RESUMED = """
    select percentile_disc(0.5) within group (order by ms), percentile_disc(0.99) within group (order by ms), count(*)
    from (
        select extract(epoch from max(occurred_at) filter (where kind = 1)
                       - max(occurred_at) filter (where kind = -1))::float8 * 1000 as ms
        from events where job_id = any('{{{jobs}}}'::uuid[]) group by job_id
    ) r where ms is not null
"""


def measure(context: RunContext) -> list[Result]:
    least = int(context.sizes.drained_jobs * SPARE_JOBS)
    parked = f"{context.sizes.parked_jobs:,} parked"
    fills = {NONE: Fill(waiting=least), parked: Fill(waiting=least, parked=context.sizes.parked_jobs)}

    def one_round(contestant: Contestant) -> Round:
        with ledger(context, fills[contestant.name]) as database:
            figures = [submit(context, database), process(context, database)]
            if contestant.name == parked:
                figures.append(resume(context, database))
            return summed(*figures)

    within = context.with_rounds(context.sizes.growth_rounds)
    try:
        results = alternate("P1", [case(name) for name in fills], context=within, measure=one_round)
    finally:
        forget_templates(context)
    ratios = {"submit_ratio": ("rate", parked, NONE), "process_ratio": ("processed_rate", parked, NONE)}
    judged, *others = compared(results, ratios)
    return [_with_resumption(judged, results[1]), *others]


def _with_resumption(judged: Result, parked: Result) -> Result:
    """Returns the judged result with the time of a resumption."""
    rounds = [
        Round(ratios.figures | {"resumption_ms": measured.figures["resumed_p99_ms"]})
        for ratios, measured in zip(judged.rounds, parked.rounds, strict=False)
    ]
    return replace(judged, rounds=rounds)


def resume(context: RunContext, database: str) -> Figures:
    """Sends signals to parked jobs, one at a time, and reads from the ledger when each was started."""
    count = context.sizes.pick_ups
    with running(DULY_SERVICE, context, Start(database=database)) as service:
        if not context.server.wait_for(database, _UNFINISHED, wanted=1, within_seconds=DRAIN_SECONDS):
            raise ContestantFailed(f"jobs had not ended after {DRAIN_SECONDS:g} s")
        [job_ids] = context.server.query(database, _PARKED.format(count=count))
        pauses = random.Random(7)
        for job_id in job_ids:
            time.sleep(pauses.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
            send(service.port, job_id)
        ended = _ALL_ENDED.format(jobs=",".join(job_ids))
        context.server.wait_for(database, ended, wanted=1, within_seconds=DRAIN_SECONDS)
    p50, p99, resumed = context.server.query(database, _RESUMED.format(jobs=",".join(job_ids)))
    return {"resumed_p50_ms": p50, "resumed_p99_ms": p99, "errors": float(count - resumed)}


def send(port: int, job_id: str) -> None:
    """Sends the signal of a parked job."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(
            "POST", f"{SINGLE_PATH}/{job_id}/signals/{SIGNAL}", "{}", {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        if response.status != http.client.ACCEPTED:
            raise ContestantFailed(f"a signal was answered with {response.status}")
        response.read()
    finally:
        connection.close()
