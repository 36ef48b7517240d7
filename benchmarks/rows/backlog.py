"""G1: submitting and running jobs with a backlog of ready jobs."""

from benchmarks.contestants import Contestant
from benchmarks.filled_ledgers import Fill, forget_templates, ledger
from benchmarks.growth import SPARE_JOBS, case, compared, process, submit, summed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext

NONE = "none waiting"


def measure(context: RunContext) -> list[Result]:
    least = Fill(waiting=int(context.sizes.drained_jobs * SPARE_JOBS))
    fills = {NONE: least} | {(fill := Fill(waiting=count)).name: fill for count in context.sizes.waiting_jobs}

    def one_round(contestant: Contestant) -> Round:
        fill = fills[contestant.name]
        if fill == least:
            with ledger(context, Fill()) as empty, ledger(context, fill) as short:
                return summed(submit(context, empty), process(context, short))
        with ledger(context, fill) as database:
            return summed(submit(context, database), process(context, database))

    within = context.with_rounds(context.sizes.growth_rounds)
    try:
        results = alternate("G1", [case(name) for name in fills], context=within, measure=one_round)
    finally:
        forget_templates(context)
    largest = list(fills)[-1]
    return compared(
        results,
        {"submit_ratio": ("rate", largest, NONE), "process_ratio": ("processed_rate", largest, NONE)},
    )
