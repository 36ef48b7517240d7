"""Ledgers that are long already: databases filled by SQL with jobs that wait and jobs that ended days ago.

What is filled is what the service itself would have written: ids of UUID version 7 that tell the job's time, every
job in exactly one place, its events dense and ending as its state says. A filled database is a template: each round
gets a copy.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from benchmarks.contestants import DULY_ITSELF, new_database
from benchmarks.ground import Ground
from benchmarks.submissions import submission
from duly.domain.ids import smallest_id_at
from duly.domain.json_writer import dump_text
from duly.store.postgres.partitions import PARTITIONED

DAYS_BACK = 7
LARGE_BYTES = 1 << 30
# The ids of what waits are of an hour ago: older than all that a run submits, younger than all that ended.
WAITING_FROM, WAITING_FOR = timedelta(hours=1), timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Fill:
    """How many jobs stand in a ledger before it is measured, by where they stand."""

    waiting: int = 0
    finished: int = 0

    @property
    def name(self) -> str:
        parts = {"waiting": self.waiting, "finished": self.finished}
        return ", ".join(f"{count:,} {state}" for state, count in parts.items() if count) or "empty"


@contextlib.contextmanager
def ledger(ground: Ground, fill: Fill) -> Iterator[str]:
    """A database of this fill, for the length of the block."""
    database = _copied(ground, template(ground, fill)) if fill != Fill() else new_database(DULY_ITSELF, ground)
    try:
        _settle(ground, database)
        yield database
    finally:
        ground.drop(database)


def _settle(ground: Ground, database: str) -> None:
    """What copying left to be written is on disk before anything is measured, whatever the size of the copy."""
    if ground.sizes.tidy:
        ground.server.execute(database, "checkpoint")
        os.sync()


def template(ground: Ground, fill: Fill) -> str:
    """The filled database that copies are made of; it is made when it is first asked for."""
    if fill.name not in ground.templates:
        database = new_database(DULY_ITSELF, ground)
        add_finished(ground, database, jobs=fill.finished)
        add_waiting(ground, database, jobs=fill.waiting)
        ground.server.execute(database, "vacuum (freeze, analyze)")
        ground.templates[fill.name] = database
    return ground.templates[fill.name]


def forget_templates(ground: Ground) -> None:
    """Gives the room of filled databases back; the empty ones stay."""
    for name in [name for name in ground.templates if "waiting" in name or "finished" in name]:
        ground.server.drop(ground.templates.pop(name))


def _copied(ground: Ground, filled: str) -> str:
    """A large one is copied file by file: through the log, as a small one is faster, 10 GB would take minutes."""
    size = ground.server.query("postgres", f"select pg_database_size('{filled}')")[0]
    if size < LARGE_BYTES:
        return ground.create(filled)
    database = ground.create()
    ground.server.drop(database)
    ground.server.execute("postgres", f"create database {database} template {filled} strategy file_copy")
    return database


# The id's first 48 bits are milliseconds, the rest but version and variant is a hash of the job's number.
_IDS = """
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0')
            || '7' || left(hash, 3) || '8' || substr(hash, 4, 15))::uuid as job_id, at
    from (select timestamptz '{start}' + n * interval '{span} seconds' / {jobs} as at,
                 md5(n::text || '{start}') as hash
          from generate_series(0, {jobs} - 1) n) numbered
"""
_ASKED = """
    insert into {table} (tenant_id, job_id, created_at, type, queue, priority, parameters, timeout_seconds,
                         max_attempts, callback_events)
    select 1, job_id, at, 'noop', 'default', 0, '{parameters}', 3600, 3, 0 from ({ids}) made
"""
_READY = """
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, queue, type)
    select 1, job_id, 0, 0, 3600, 0, 0, 0, 0, 'default', 'noop' from ({ids}) made
"""
_HAPPENED = """
    insert into {table} (job_id, tenant_id, sequence, kind, attempt, source, occurred_at, data)
    select job_id, 1, sequence, kind, 1, 'worker:before', at + sequence * interval '50 milliseconds', data::json
    from ({ids}) made cross join (values (1, 1, null), (2, 10, '{{"index":0}}')) as e (sequence, kind, data)
"""


def add_waiting(ground: Ground, database: str, *, jobs: int) -> None:
    """Makes `jobs` ready that were submitted an hour ago, all in the lane of the benchmark's handler."""
    if not jobs:
        return
    ids = _ids(datetime.now(UTC) - WAITING_FROM, WAITING_FOR, jobs)
    ground.server.execute(database, _ASKED.format(table="jobs", parameters=_parameters(), ids=ids))
    ground.server.execute(database, _READY.format(ids=ids))


def add_finished(ground: Ground, database: str, *, jobs: int) -> None:
    """Records `jobs` that were completed over the days before yesterday, in partitions made for those days."""
    if not jobs:
        return
    today = datetime.now(UTC).date()
    for back in range(DAYS_BACK + 1, 1, -1):
        _add_day(ground, database, today - timedelta(days=back), jobs=jobs // DAYS_BACK)


def _add_day(ground: Ground, database: str, day: date, *, jobs: int) -> None:
    """Filled first and attached then: indexes are built at once instead of row by row."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    ids = _ids(midnight, timedelta(days=1), jobs)
    fillings = {
        "jobs": _ASKED.format(table=f"jobs_{day:%Y%m%d}", parameters=_parameters(), ids=ids),
        "events": _HAPPENED.format(table=f"events_{day:%Y%m%d}", ids=ids),
    }
    bounds = [smallest_id_at(moment) for moment in (midnight, midnight + timedelta(days=1))]
    for table in PARTITIONED:
        name = f"{table}_{day:%Y%m%d}"
        ground.server.execute(database, f"create table {name} (like {table} including defaults)")
        if table in fillings:
            ground.server.execute(database, fillings[table])
        attach = f"alter table {table} attach partition {name} for values from ('{bounds[0]}') to ('{bounds[1]}')"
        ground.server.execute(database, attach)


def _ids(start: datetime, span: timedelta, jobs: int) -> str:
    return _IDS.format(start=start.isoformat(), span=span.total_seconds(), jobs=jobs)


def _parameters() -> str:
    return dump_text(submission()["parameters"])
