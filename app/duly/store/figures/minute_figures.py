"""Table `minute_figures`: what happened in each minute, by tenant and queue, for two days."""

from collections.abc import Sequence
from datetime import datetime

from duly.domain.figure_series import StoredMinute
from duly.domain.minute_figures import KEPT_HOURS, DepthSample, MinuteFigures
from duly.store.postgres.database import Connection

_COUNTS = (
    *("submitted", "started", "completed", "failed", "cancelled", "retried", "delivered", "undelivered"),
    *("waited", "wait_seconds", "ran", "run_seconds"),
)


def _both(column: str) -> str:
    """Returns an SQL expression for the sums of the numbers of two arrays."""
    return f"""coalesce((
        select array_agg(coalesce(a, 0) + coalesce(b, 0) order by place)
        from unnest(f.{column}, excluded.{column}) with ordinality as u (a, b, place)
    ), '{{}}')"""


# Nodes add to the same rows, in the order of their keys, so that no two wait for each other.
ADD_FIGURES = f"""
insert into minute_figures as f (
    tenant_id, queue, minute, submitted, started, completed, failed, cancelled, retried, delivered, undelivered,
    waited, wait_seconds, waits, ran, run_seconds, runs
)
select tenant_id, queue, minute, submitted, started, completed, failed, cancelled, retried, delivered, undelivered,
       waited, wait_seconds, waits::int[], ran, run_seconds, runs::int[]
from unnest(
    $1::int[], $2::text[], $3::timestamptz[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[],
    $10::int[], $11::int[], $12::int[], $13::float8[], $14::text[], $15::int[], $16::float8[], $17::text[]
) as t (
    tenant_id, queue, minute, submitted, started, completed, failed, cancelled, retried, delivered, undelivered,
    waited, wait_seconds, waits, ran, run_seconds, runs
)
order by tenant_id, queue collate "C", minute
on conflict (tenant_id, queue, minute) do update set
    {", ".join(f"{name} = f.{name} + excluded.{name}" for name in _COUNTS)},
    waits = {_both("waits")},
    runs = {_both("runs")}
"""


async def add_figures(connection: Connection, rows: Sequence[MinuteFigures]) -> None:
    """Adds these counts to those of other nodes."""
    columns: dict[str, Sequence[object]] = dict(zip(MinuteFigures._fields, zip(*rows, strict=True), strict=True))
    columns |= {"waits": [_array(row.waits) for row in rows], "runs": [_array(row.runs) for row in rows]}
    await connection.execute(ADD_FIGURES, *columns.values())


def _array(numbers: Sequence[int]) -> str:
    """Returns an array as text: Postgres has no arrays of arrays of different lengths."""
    return f"{{{','.join(map(str, numbers))}}}"


PUT_SAMPLES = """
insert into minute_figures (tenant_id, queue, minute, ready, scheduled, blocked, running, oldest_seconds)
select tenant_id, queue, $8, ready, scheduled, blocked, running, oldest_seconds
from unnest($1::int[], $2::text[], $3::int[], $4::int[], $5::int[], $6::int[], $7::float8[])
    as t (tenant_id, queue, ready, scheduled, blocked, running, oldest_seconds)
order by tenant_id, queue collate "C"
on conflict (tenant_id, queue, minute) do update set
    ready = excluded.ready, scheduled = excluded.scheduled, blocked = excluded.blocked, running = excluded.running,
    oldest_seconds = excluded.oldest_seconds
"""


async def put_samples(connection: Connection, minute: datetime, samples: Sequence[DepthSample]) -> None:
    """Records the depths of a minute, in place of earlier ones."""
    await connection.execute(PUT_SAMPLES, *zip(*samples, strict=True), minute)


DELETE_OLD_FIGURES = f"delete from minute_figures where minute < now() - interval '{KEPT_HOURS} hours'"


async def delete_old_figures(connection: Connection) -> None:
    """Deletes the figures of all tenants that are older than two days."""
    await connection.execute(DELETE_OLD_FIGURES)


READ_FIGURES = """
select extract(epoch from minute)::bigint, submitted, started, completed, failed, cancelled, retried, delivered,
       undelivered, waited, wait_seconds, waits, ran, run_seconds, runs, ready, scheduled, blocked, running,
       oldest_seconds
from minute_figures
where tenant_id = $1 and queue = $2 collate "C" and minute >= $3 and minute < $4
order by minute
"""


async def read_figures(
    connection: Connection, tenant_id: int, queue: str, *, since: datetime, until: datetime
) -> list[StoredMinute]:
    """Returns the minutes of a queue, or of all, in which anything happened or waited, in order."""
    return [StoredMinute(*row) for row in await connection.fetch(READ_FIGURES, tenant_id, queue, since, until)]
