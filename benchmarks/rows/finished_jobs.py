"""G2: submitting, running and reading jobs with many finished jobs, and submitting while old days are dropped."""

import contextlib
import threading
from collections.abc import Iterator

from benchmarks.contestants import API_ONLY, DULY_SERVICE, Contestant, Start, running
from benchmarks.filled_ledgers import DAYS_BACK, Fill, forget_templates, ledger
from benchmarks.growth import SPARE_JOBS, case, compared, process, sample_ids, submit_and_read, submit_to, summed
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext

NONE = "none finished"
DROPPING = "old days dropped"
KEPT_DAYS = 3
DAYS_THERE = "select count(*) from pg_inherits where inhparent = 'jobs'::regclass"
DROP_SECONDS = 60.0


def measure(context: RunContext) -> list[Result]:
    waiting = int(context.sizes.drained_jobs * SPARE_JOBS)
    fills = {NONE: Fill(waiting)}
    for count in context.sizes.finished_jobs:
        fills[f"{count:,} finished"] = Fill(waiting, count)

    def one_round(contestant: Contestant) -> Round:
        if contestant.name == DROPPING:
            with ledger(context, fills[largest]) as database:
                return Round(submit_while_dropping(context, database))
        with ledger(context, fills[contestant.name]) as database:
            submitted = submit_and_read(context, database, sample_ids(context, database))
            return summed(submitted, process(context, database))

    largest = list(fills)[-1]
    within = context.with_rounds(context.sizes.growth_rounds)
    try:
        results = alternate("G2", [case(name) for name in (*fills, DROPPING)], context=within, measure=one_round)
    finally:
        forget_templates(context)
    figures = {"submit": "rate", "process": "processed_rate", "read": "read_rate"}
    ratios = {f"{name}_ratio": (figure, largest, NONE) for name, figure in figures.items()}
    return compared(results, ratios | {"dropping_ratio": ("rate", DROPPING, NONE)})


def submit_while_dropping(context: RunContext, database: str) -> dict[str, float]:
    """Measures S1 while a sweeper with a short retention starts and drops the older days."""
    sizes, server = context.sizes, context.server
    before = server.query(database, DAYS_THERE)[0]
    with (
        running(DULY_SERVICE, context, Start(API_ONLY, database)) as service,
        sweeping(context, database, after_seconds=sizes.warm_up + sizes.seconds / 4),
    ):
        shown = submit_to(service, context)
        wanted = DAYS_BACK + 1 - KEPT_DAYS
        dropped = f"select {before} - ({DAYS_THERE})"
        if server.wait_for(database, dropped, wanted=wanted, within_seconds=DROP_SECONDS) < wanted:
            raise ContestantFailed(f"fewer than {wanted} days were dropped within {DROP_SECONDS:g} s")
    return shown


@contextlib.contextmanager
def sweeping(context: RunContext, database: str, *, after_seconds: float) -> Iterator[None]:
    """Starts a second process that sweeps, a few seconds into the block; its housekeeping runs first."""
    over, failures = threading.Event(), list[Exception]()

    def sweep() -> None:
        retention = {"DULY_RETENTION_DAYS": str(KEPT_DAYS)}
        if over.wait(after_seconds):
            return
        try:
            with running(DULY_SERVICE, context, Start(("sweeper",), database, retention)):
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
