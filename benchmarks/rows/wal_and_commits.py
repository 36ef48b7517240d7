"""G5: bytes of WAL and commits per job over its whole life, without a webhook, under load."""

from benchmarks.closed_loop import LoadPlan
from benchmarks.contestants import DULY_SERVICE, Contestant, Start, running
from benchmarks.filled_ledgers import Fill, ledger
from benchmarks.generator_processes import generate_load
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext
from benchmarks.submissions import SINGLE_PATH, one

END_SECONDS = 60.0
LOG = "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8"
COMMITS = "select xact_commit::float8 from pg_stat_database where datname = '{database}'"
NOTHING_LEFT = "select (not exists (select from ready) and not exists (select from running))::int"
JOBS = "select count(*), (select count(*) from events where kind = 10) from jobs"


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        del contestant
        with ledger(context, Fill()) as database:
            return Round(written(context, database))

    return alternate("G5", (DULY_SERVICE,), context=context, measure=one_round)


def written(context: RunContext, database: str) -> dict[str, float]:
    """Returns what the server wrote per job from before the start of the service until after its end."""
    server = context.server
    log, commits = _read(context, database)
    with running(DULY_SERVICE, context, Start(database=database)) as service:
        plan = LoadPlan(service.port, SINGLE_PATH, one().decode(), seconds=context.sizes.seconds, warm_up=0)
        generate_load(plan)
        if not server.wait_for(database, NOTHING_LEFT, wanted=1, within_seconds=END_SECONDS):
            raise ContestantFailed(f"jobs were left after {END_SECONDS:g} s")
    log_after, commits_after = _read(context, database)
    jobs, completed = server.query(database, JOBS)
    return {
        "wal_bytes": (log_after - log) / jobs,
        "commits": (commits_after - commits) / jobs,
        "errors": float(jobs - completed),
    }


def _read(context: RunContext, database: str) -> tuple[float, float]:
    """Returns WAL position and commits. A backend publishes its counts when it ends, so read them after the service."""
    log = context.server.query(database, LOG)[0]
    return log, context.server.query("postgres", COMMITS.format(database=database))[0]
