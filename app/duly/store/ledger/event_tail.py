"""Tail of the ledger: events of all jobs of a tenant, in the order of `duly.domain.stream_position`.

Read by the transaction id, for which both tables have a BRIN index. Such an index covers a new range of a table only
after a vacuum or `summarize`: until then every search scans that range.
"""

from collections.abc import Collection
from datetime import date
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import Event, EventKind
from duly.domain.stream_position import StreamPosition
from duly.store.postgres.catalog_types import Record, only
from duly.store.postgres.database import Connection

# In the numbers of the newest epoch (`duly.store.postgres.epochs`).
READ_MOMENT = """
select e.shift + pg_snapshot_xmin(s)::text::bigint, e.shift + pg_snapshot_xmax(s)::text::bigint,
       (select min(began) from epochs where began > $1)
from pg_current_snapshot() as s, (select shift from epochs order by began desc limit 1) as e
"""


class Moment(NamedTuple):
    """Snapshot bounds: every transaction below `settled` has ended; none from `future` on has begun. `next_epoch` is
    the first number of the epoch after that of the given number.
    """

    settled: int
    future: int
    next_epoch: int | None


async def read_moment(connection: Connection, *, after: int = 0) -> Moment:
    """Returns the bounds of the current snapshot, and of the epoch of the number `after`."""
    return Moment(*only(await connection.fetchrow(READ_MOMENT, after)))


class TailJob(NamedTuple):
    """Properties of a job that streams filter by. `labels` is JSON text."""

    type: str
    queue: str
    batch_id: UUID | None
    labels: str | None


class TailRow(NamedTuple):
    """Event with its position and its job."""

    position: StreamPosition
    event: Event
    facts: TailJob


class TailEvents(NamedTuple):
    """Rows in order. `whole`: no more rows are available."""

    rows: list[TailRow]
    whole: bool


# The job is looked up for each row of the page (`offset 0` keeps it from becoming a join). A page has the large
# results that fit, and at least one. `+ 0` keeps the planner from indexes that begin with the tenant, since all rows
# belong to it.
READ_TAIL = """
select p.tx, p.job_id, p.sequence, p.kind, p.attempt, p.occurred_at, p.source, p.data::text,
       j.type, j.queue, j.batch_id, j.labels::text, p.found
from (
    select *, count(*) over () as found, row_number() over in_order as place,
           sum(coalesce(octet_length(data::text), 0)) over in_order as bytes
    from (
        (select tx, job_id, sequence, kind, attempt, occurred_at, source, data
         from events
         where tenant_id + 0 = $1 and tx >= $2 and tx < $5 and (tx, job_id, sequence) > ($2, $3::uuid, $4::int)
         order by tx, job_id, sequence limit $6)
        union all
        (select tx, job_id, 0, 0, 0, created_at, 'api', null::json
         from jobs
         where tenant_id + 0 = $1 and tx >= $2 and tx < $5 and (tx, job_id) > ($2, $3::uuid)
         order by tx, job_id limit $6)
        order by tx, job_id, sequence limit $6
    ) as found
    window in_order as (order by tx, job_id, sequence rows unbounded preceding)
) p
cross join lateral (
    select type, queue, batch_id, labels from jobs where tenant_id = $1 and job_id = p.job_id offset 0
) j
where p.place = 1 or p.bytes <= $7
order by p.tx, p.job_id, p.sequence
"""

# A new day has no statistics, so the planner would scan the whole table. Parallel workers do not pay for a page.
PLANS = "set local enable_seqscan = off; set local max_parallel_workers_per_gather = 0"


async def read_tail(
    connection: Connection, tenant_id: int, after: StreamPosition, *, before: int, limit: int, most_bytes: int
) -> TailEvents:
    """Returns a page of the events after `after` that transactions below `before` wrote."""
    async with connection.transaction(readonly=True):
        await connection.execute(PLANS)
        rows = await connection.fetch(READ_TAIL, tenant_id, *after, before, limit, most_bytes)
    whole = not rows or (len(rows) == rows[0]["found"] < limit)
    return TailEvents([_row(tenant_id, row) for row in rows], whole)


def _row(tenant_id: int, row: Record) -> TailRow:
    event = Event(tenant_id, row[1], row[2], EventKind(row[3]), row[4], row[5], row[6], row[7])
    return TailRow(StreamPosition(row[0], row[1], row[2]), event, TailJob(row[8], row[9], row[10], row[11]))


# Does not wait for a vacuum of the table, which has the same effect.
SUMMARIZE_INDEXES = """
select count(brin_summarize_new_values(x.indexrelid))
from pg_index x
join pg_class i on i.oid = x.indexrelid and pg_has_role(i.relowner, 'USAGE')
join pg_am a on a.oid = i.relam and a.amname = 'brin'
where x.indrelid in (select to_regclass(name) from unnest($1::text[]) as name)
"""


async def summarize(connection: Connection, days: Collection[date]) -> None:
    """Makes the indexes cover the new ranges of the tables of these days.

    Raises:
        RecordBusy: a table is being vacuumed.
    """
    names = [f"{table}_{day:%Y%m%d}" for table in ("jobs", "events") for day in days]
    async with connection.transaction():
        await connection.execute("set local lock_timeout = '50ms'")
        await connection.execute(SUMMARIZE_INDEXES, names)
