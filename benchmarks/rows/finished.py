"""G2: submitting, running and reading one job with many that ended long ago; and while old days are dropped."""

import contextlib
import threading
from collections.abc import Iterator

from benchmarks.contestants import API_ONLY, DULY_ITSELF, Contestant, Start, running
from benchmarks.ground import Ground
from benchmarks.growth import SPARE_JOBS, case, compared, process, sample_ids, submit_and_read, submit_to, summed
from benchmarks.ledgers import DAYS_BACK, Fill, forget_templates, ledger
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate

NONE = "none finished"
DROPPING = "old days dropped"
KEPT_DAYS = 3
DAYS_THERE = "select count(*) from pg_inherits where inhparent = 'jobs'::regclass"
DROP_SECONDS = 60.0


def measure(ground: Ground) -> list[Result]:
    waiting = int(ground.sizes.drained_jobs * SPARE_JOBS)
    fills = {NONE: Fill(waiting)}
    for count in ground.sizes.finished_jobs:
        fills[f"{count:,} finished"] = Fill(waiting, count)

    def one_round(contestant: Contestant) -> Round:
        if contestant.name == DROPPING:
            with ledger(ground, fills[largest]) as database:
                return Round(submit_while_dropping(ground, database))
        with ledger(ground, fills[contestant.name]) as database:
            submitted = submit_and_read(ground, database, sample_ids(ground, database))
            return summed(submitted, process(ground, database))

    largest = list(fills)[-1]
    within = ground.with_rounds(ground.sizes.growth_rounds)
    try:
        results = alternate("G2", [case(name) for name in (*fills, DROPPING)], ground=within, measure=one_round)
    finally:
        forget_templates(ground)
    figures = {"submit": "rate", "process": "processed_rate", "read": "read_rate"}
    ratios = {f"{name}_ratio": (figure, largest, NONE) for name, figure in figures.items()}
    return compared(results, ratios | {"dropping_ratio": ("rate", DROPPING, NONE)})


def submit_while_dropping(ground: Ground, database: str) -> dict[str, float]:
    """Row S1, in the middle of which a sweeper with a short retention starts and drops the older days."""
    sizes, server = ground.sizes, ground.server
    before = server.query(database, DAYS_THERE)[0]
    with (
        running(DULY_ITSELF, ground, Start(API_ONLY, database)) as service,
        sweeping(ground, database, after_seconds=sizes.warm_up + sizes.seconds / 4),
    ):
        shown = submit_to(service, ground)
        wanted = DAYS_BACK + 1 - KEPT_DAYS
        dropped = f"select {before} - ({DAYS_THERE})"
        if server.wait_for(database, dropped, wanted=wanted, within_seconds=DROP_SECONDS) < wanted:
            raise ContestantFailed(f"fewer than {wanted} days were dropped within {DROP_SECONDS:g} s")
    return shown


@contextlib.contextmanager
def sweeping(ground: Ground, database: str, *, after_seconds: float) -> Iterator[None]:
    """Some seconds into the block a second process begins to sweep; its housekeeping comes first."""
    over, failures = threading.Event(), list[Exception]()

    def sweep() -> None:
        retention = {"DULY_RETENTION_DAYS": str(KEPT_DAYS)}
        if over.wait(after_seconds):
            return
        try:
            with running(DULY_ITSELF, ground, Start(("sweeper",), database, retention)):
                over.wait()
        except ContestantFailed as error:
            failures.append(error)

    thread = threading.Thread(target=sweep, name="sweeper")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]
