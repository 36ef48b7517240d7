"""Databases filled by SQL with waiting jobs and with jobs that ended days ago.

The rows are those that the service itself would have written: ids of UUID version 7 with the time of the job, each
job in exactly one state table, its events without gaps and consistent with its state. A filled database is a
template, which is copied for each round.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from benchmarks.contestants import DULY_SERVICE, new_database
from benchmarks.run_context import RunContext
from benchmarks.submissions import submission
from duly.domain.ids import smallest_id_at
from duly.domain.json_writer import dump_text
from duly.store.postgres.partitions import PARTITIONED

DAYS_BACK = 7
LARGE_BYTES = 1 << 30
# Waiting jobs have ids of an hour ago: older than all jobs that a run submits, younger than all finished jobs.
WAITING_FROM, WAITING_FOR = timedelta(hours=1), timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Fill:
    """Number of waiting and of finished jobs in a ledger before the measurement."""

    waiting: int = 0
    finished: int = 0

    @property
    def name(self) -> str:
        parts = {"waiting": self.waiting, "finished": self.finished}
        return ", ".join(f"{count:,} {state}" for state, count in parts.items() if count) or "empty"


@contextlib.contextmanager
def ledger(context: RunContext, fill: Fill) -> Iterator[str]:
    """Yields a database with this fill, and drops it after the block."""
    database = _copied(context, template(context, fill)) if fill != Fill() else new_database(DULY_SERVICE, context)
    try:
        _settle(context, database)
        yield database
    finally:
        context.drop(database)


def _settle(context: RunContext, database: str) -> None:
    """Writes the copied database to disk, so that the measurement does not depend on the size of the copy."""
    if context.sizes.tidy:
        context.server.execute(database, "checkpoint")
        os.sync()


def template(context: RunContext, fill: Fill) -> str:
    """Returns the filled database from which copies are made; creates it on first use."""
    if fill.name not in context.templates:
        database = new_database(DULY_SERVICE, context)
        add_finished(context, database, jobs=fill.finished)
        add_waiting(context, database, jobs=fill.waiting)
        context.server.execute(database, "vacuum (freeze, analyze)")
        context.templates[fill.name] = database
    return context.templates[fill.name]


def forget_templates(context: RunContext) -> None:
    """Drops the filled databases and keeps the empty ones."""
    for name in [name for name in context.templates if "waiting" in name or "finished" in name]:
        context.server.drop(context.templates.pop(name))


def _copied(context: RunContext, filled: str) -> str:
    """Copies a database; a large one by file, since the WAL, faster for small ones, takes minutes for 10 GB."""
    size = context.server.query("postgres", f"select pg_database_size('{filled}')")[0]
    if size < LARGE_BYTES:
        return context.create(filled)
    database = context.create()
    context.server.drop(database)
    context.server.execute("postgres", f"create database {database} template {filled} strategy file_copy")
    return database


# The first 48 bits of an id are milliseconds; the rest, except version and variant, is a hash of the job's number.
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


def add_waiting(context: RunContext, database: str, *, jobs: int) -> None:
    """Inserts ready jobs that were submitted an hour ago, all in the lane of the benchmark's handler."""
    if not jobs:
        return
    ids = _ids(datetime.now(UTC) - WAITING_FROM, WAITING_FOR, jobs)
    context.server.execute(database, _ASKED.format(table="jobs", parameters=_parameters(), ids=ids))
    context.server.execute(database, _READY.format(ids=ids))


def add_finished(context: RunContext, database: str, *, jobs: int) -> None:
    """Inserts jobs that completed over the days before yesterday, in partitions created for those days."""
    if not jobs:
        return
    today = datetime.now(UTC).date()
    for back in range(DAYS_BACK + 1, 1, -1):
        _add_day(context, database, today - timedelta(days=back), jobs=jobs // DAYS_BACK)


def _add_day(context: RunContext, database: str, day: date, *, jobs: int) -> None:
    """Fills the partitions of a day before attaching them, so that each index is built at once."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    ids = _ids(midnight, timedelta(days=1), jobs)
    fillings = {
        "jobs": _ASKED.format(table=f"jobs_{day:%Y%m%d}", parameters=_parameters(), ids=ids),
        "events": _HAPPENED.format(table=f"events_{day:%Y%m%d}", ids=ids),
    }
    bounds = [smallest_id_at(moment) for moment in (midnight, midnight + timedelta(days=1))]
    for table in PARTITIONED:
        name = f"{table}_{day:%Y%m%d}"
        context.server.execute(database, f"create table {name} (like {table} including defaults)")
        if table in fillings:
            context.server.execute(database, fillings[table])
        attach = f"alter table {table} attach partition {name} for values from ('{bounds[0]}') to ('{bounds[1]}')"
        context.server.execute(database, attach)


def _ids(start: datetime, span: timedelta, jobs: int) -> str:
    return _IDS.format(start=start.isoformat(), span=span.total_seconds(), jobs=jobs)


def _parameters() -> str:
    return dump_text(submission()["parameters"])
