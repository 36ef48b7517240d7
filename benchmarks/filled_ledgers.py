"""Databases filled by SQL with waiting jobs and with jobs that ended days ago.

The rows are those that the service itself would have written: ids of UUID version 7 with the time of the job, each
job in exactly one state table, its events without gaps and consistent with its state. A filled database is a
template, which is copied for each round.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.contestants import DULY_SERVICE, new_database
from benchmarks.run_context import RunContext
from benchmarks.submissions import submission
from duly.domain.events import EventKind
from duly.domain.ids import smallest_id_at
from duly.domain.job import WaitReason
from duly.domain.json_writer import dump_text
from duly.domain.steps import StepKind, StepStatus
from duly.store.postgres.partitions import PARTITIONED

DAYS_BACK = 7
LARGE_BYTES = 256 << 20
SMALL_BYTES = 64 << 20
FILLED = ("waiting", "finished", "parked")
# Waiting jobs have ids of an hour ago: older than all jobs that a run submits, younger than all finished jobs.
WAITING_FROM, WAITING_FOR = timedelta(hours=1), timedelta(minutes=30)
# Parked jobs are older, too, and wait for this signal.
PARKED_DAYS, SIGNAL = 30, "go"


@dataclass(frozen=True, slots=True)
class Fill:
    """Number of waiting, finished and parked jobs in a ledger before the measurement."""

    waiting: int = 0
    finished: int = 0
    parked: int = 0

    @property
    def name(self) -> str:
        parts = {"waiting": self.waiting, "finished": self.finished, "parked": self.parked}
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
        add_parked(context, database, jobs=fill.parked)
        add_waiting(context, database, jobs=fill.waiting)
        context.server.execute(database, "vacuum (freeze, analyze)")
        context.templates[fill.name] = database
    return context.templates[fill.name]


def forget_templates(context: RunContext) -> None:
    """Drops the large filled databases, and keeps the small ones for other rows."""
    for name in [name for name in context.templates if any(word in name for word in FILLED)]:
        if _bytes_of(context, context.templates[name]) > SMALL_BYTES:
            context.server.drop(context.templates.pop(name))


def _bytes_of(context: RunContext, database: str) -> int:
    return int(context.server.query("postgres", f"select pg_database_size('{database}')")[0])


def _copied(context: RunContext, filled: str) -> str:
    """Copies a database; a large one by file, since the WAL, faster for small ones, takes longer than the files."""
    if _bytes_of(context, filled) < LARGE_BYTES:
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
_UNTIL = f"at + interval '{PARKED_DAYS} days'"
_WRITTEN = f"""to_char(({_UNTIL}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
_PARKED_EVENTS = f"""
    insert into {{table}} (job_id, tenant_id, sequence, kind, attempt, source, occurred_at, data)
    select job_id, 1, 1, {EventKind.STARTED:d}, 1, 'worker:before', at, null from ({{ids}}) made
    union all
    select job_id, 1, 2, {EventKind.PARKED:d}, 0, 'worker:before', at, json_build_object(
        'until', {_WRITTEN}, 'signals', json_build_array('{SIGNAL}'),
        'waits', json_build_array(json_build_object('kind', 'signal', 'name', '{SIGNAL}', 'until', {_WRITTEN}))
    )
    from ({{ids}}) made
"""
_WAITS = f"""
    insert into {{table}} (tenant_id, job_id, sequence, kind, status, name, until)
    select 1, job_id, 2, {StepKind.SIGNAL:d}, {StepStatus.WAITING:d}, '{SIGNAL}', {_UNTIL} from ({{ids}}) made
"""
_PARKED = f"""
    insert into scheduled (tenant_id, job_id, run_at, reason, token, sequence, timeout_seconds, priority, attempt,
                           crashes, callback_events, queue, type)
    select 1, job_id, {_UNTIL}, {WaitReason.SIGNAL:d}, 1, 2, 3600, 0, 0, 0, 0, 'default', 'noop' from ({{ids}}) made
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
    asked = _ASKED.format(table="jobs", parameters=_parameters(), ids=ids)
    with _side_by_side() as threads:
        list(threads.map(lambda sql: context.server.execute(database, sql), (asked, _READY.format(ids=ids))))


def add_parked(context: RunContext, database: str, *, jobs: int) -> None:
    """Inserts jobs that parked over the days before yesterday, for a signal or 30 days."""

    def add(day: tuple[datetime, str]) -> None:
        midnight, ids = day
        _add_day(context, database, midnight, {"events": _PARKED_EVENTS, "steps": _WAITS}, ids=ids)
        context.server.execute(database, _PARKED.format(ids=ids))

    with _side_by_side() as threads:
        list(threads.map(add, _days_back(jobs)))


def add_finished(context: RunContext, database: str, *, jobs: int) -> None:
    """Inserts jobs that completed over the days before yesterday, in partitions created for those days."""

    def add(day: tuple[datetime, str]) -> None:
        midnight, ids = day
        _add_day(context, database, midnight, {"events": _HAPPENED}, ids=ids)

    with _side_by_side() as threads:
        list(threads.map(add, _days_back(jobs)))


def _side_by_side() -> ThreadPoolExecutor:
    """Returns threads for statements that fill different tables, one for each core up to four."""
    return ThreadPoolExecutor(min(4, os.cpu_count() or 1))


def _days_back(jobs: int) -> Iterator[tuple[datetime, str]]:
    """Yields each of the days before yesterday, with the ids of its share of these jobs."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(DAYS_BACK + 1, 1, -1) if jobs else ():
        midnight = today - timedelta(days=back)
        yield midnight, _ids(midnight, timedelta(days=1), jobs // DAYS_BACK)


def _add_day(context: RunContext, database: str, midnight: datetime, inserts: Mapping[str, str], *, ids: str) -> None:
    """Fills the partitions of a day before attaching them, so that each index is built at once."""
    bounds = [smallest_id_at(moment) for moment in (midnight, midnight + timedelta(days=1))]
    for table in PARTITIONED:
        name = f"{table}_{midnight:%Y%m%d}"
        context.server.execute(database, f"create table {name} (like {table} including defaults)")
        if (insert := {"jobs": _ASKED, **inserts}.get(table)) is not None:
            context.server.execute(database, insert.format(table=name, parameters=_parameters(), ids=ids))
        attach = f"alter table {table} attach partition {name} for values from ('{bounds[0]}') to ('{bounds[1]}')"
        context.server.execute(database, attach)


def _ids(start: datetime, span: timedelta, jobs: int) -> str:
    return _IDS.format(start=start.isoformat(), span=span.total_seconds(), jobs=jobs)


def _parameters() -> str:
    return dump_text(submission()["parameters"])
