"""G6: submitting and running with one, two and four processes on the same Postgres."""

from benchmarks.contestants import Contestant
from benchmarks.ground import Ground
from benchmarks.growth import SPARE_JOBS, case, compared, process, submit, summed
from benchmarks.ledgers import Fill, forget_templates, ledger
from benchmarks.rounds import Result, Round, alternate


def measure(ground: Ground) -> list[Result]:
    counts = {f"{count} process{'es' if count > 1 else ''}": count for count in ground.sizes.process_counts}
    waiting = Fill(waiting=int(ground.sizes.drained_jobs * SPARE_JOBS))

    def one_round(contestant: Contestant) -> Round:
        environment = {"DULY_PROCESSES": str(counts[contestant.name])}
        with ledger(ground, Fill()) as empty, ledger(ground, waiting) as filled:
            return summed(submit(ground, empty, environment), process(ground, filled, environment))

    within = ground.with_rounds(ground.sizes.growth_rounds)
    try:
        results = alternate("G6", [case(name) for name in counts], ground=within, measure=one_round)
    finally:
        forget_templates(ground)
    return compared(results, ratios_between(list(counts)))


def ratios_between(names: list[str]) -> dict[str, tuple[str, str, str]]:
    """Each number of processes to the one before it, for both figures."""
    figures = {"submit": "rate", "process": "processed_rate"}
    return {
        f"{what}_{names[place].split()[0]}_to_{names[place - 1].split()[0]}": (figure, names[place], names[place - 1])
        for place in range(1, len(names))
        for what, figure in figures.items()
    }
