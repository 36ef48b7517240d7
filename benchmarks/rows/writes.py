"""G5: what a job writes over its whole life without a webhook, under load: bytes of log, and commits."""

from benchmarks.contestants import DULY_ITSELF, Contestant, Start, running
from benchmarks.generators import generate_load
from benchmarks.ground import Ground
from benchmarks.ledgers import Fill, ledger
from benchmarks.load import LoadPlan
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.submissions import SINGLE_PATH, one

END_SECONDS = 60.0
LOG = "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8"
COMMITS = "select xact_commit::float8 from pg_stat_database where datname = '{database}'"
NOTHING_LEFT = "select (not exists (select from ready) and not exists (select from running))::int"
JOBS = "select count(*), (select count(*) from events where kind = 10) from jobs"


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        del contestant
        with ledger(ground, Fill()) as database:
            return Round(written(ground, database))

    return alternate("G5", (DULY_ITSELF,), ground=ground, measure=one_round)


def written(ground: Ground, database: str) -> dict[str, float]:
    """From before the service starts to after it ended, its own housekeeping included; then divided by the jobs."""
    server = ground.server
    log, commits = _read(ground, database)
    with running(DULY_ITSELF, ground, Start(database=database)) as service:
        plan = LoadPlan(service.port, SINGLE_PATH, one().decode(), seconds=ground.sizes.seconds, warm_up=0)
        generate_load(plan)
        if not server.wait_for(database, NOTHING_LEFT, wanted=1, within_seconds=END_SECONDS):
            raise ContestantFailed(f"jobs were left after {END_SECONDS:g} s")
    log_after, commits_after = _read(ground, database)
    jobs, completed = server.query(database, JOBS)
    return {
        "wal_bytes": (log_after - log) / jobs,
        "commits": (commits_after - commits) / jobs,
        "errors": float(jobs - completed),
    }


def _read(ground: Ground, database: str) -> tuple[float, float]:
    """Counts of a backend are published when it ends, so these are whole once the service has."""
    log = ground.server.query(database, LOG)[0]
    return log, ground.server.query("postgres", COMMITS.format(database=database))[0]
