"""G1: submitting and running with ready jobs waiting already: what a backlog costs."""

from benchmarks.contestants import Contestant
from benchmarks.ground import Ground
from benchmarks.growth import SPARE_JOBS, case, compared, process, submit, summed
from benchmarks.ledgers import Fill, forget_templates, ledger
from benchmarks.rounds import Result, Round, alternate

NONE = "none waiting"


def measure(ground: Ground) -> list[Result]:
    least = Fill(waiting=int(ground.sizes.drained_jobs * SPARE_JOBS))
    fills = {NONE: least} | {(fill := Fill(waiting=count)).name: fill for count in ground.sizes.waiting_jobs}

    def one_round(contestant: Contestant) -> Round:
        fill = fills[contestant.name]
        if fill == least:
            with ledger(ground, Fill()) as empty, ledger(ground, fill) as short:
                return summed(submit(ground, empty), process(ground, short))
        with ledger(ground, fill) as database:
            return summed(submit(ground, database), process(ground, database))

    within = ground.with_rounds(ground.sizes.growth_rounds)
    try:
        results = alternate("G1", [case(name) for name in fills], ground=within, measure=one_round)
    finally:
        forget_templates(ground)
    largest = list(fills)[-1]
    return compared(
        results,
        {"submit_ratio": ("rate", largest, NONE), "process_ratio": ("processed_rate", largest, NONE)},
    )
