"""G6: submitting and running with one, two and four processes on the same Postgres."""

from benchmarks.contestants import Contestant
from benchmarks.filled_ledgers import Fill, forget_templates, ledger
from benchmarks.growth import SPARE_JOBS, case, compared, process, submit, summed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext


def measure(context: RunContext) -> list[Result]:
    counts = {f"{count} process{'es' if count > 1 else ''}": count for count in context.sizes.process_counts}
    waiting = Fill(waiting=int(context.sizes.drained_jobs * SPARE_JOBS))

    def one_round(contestant: Contestant) -> Round:
        environment = {"DULY_PROCESSES": str(counts[contestant.name])}
        with ledger(context, Fill()) as empty, ledger(context, waiting) as filled:
            return summed(submit(context, empty, environment), process(context, filled, environment))

    within = context.with_rounds(context.sizes.growth_rounds)
    try:
        results = alternate("G6", [case(name) for name in counts], context=within, measure=one_round)
    finally:
        forget_templates(context)
    return compared(results, ratios_between(list(counts)))


def ratios_between(names: list[str]) -> dict[str, tuple[str, str, str]]:
    """Returns the ratios of each number of processes to the one before it, for both figures."""
    figures = {"submit": "rate", "process": "processed_rate"}
    return {
        f"{what}_{names[place].split()[0]}_to_{names[place - 1].split()[0]}": (figure, names[place], names[place - 1])
        for place in range(1, len(names))
        for what, figure in figures.items()
    }
