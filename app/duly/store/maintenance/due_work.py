"""One look at all tables with work for periodic loops, instead of one or more statements of each loop.

For some loops it finds when they have work. For the others it returns a sign: a text that differs once they have
something new to read.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from duly.store.ledger.end_jobs import READ_NEXT_EXPIRY
from duly.store.postgres.catalog_types import Connection, only
from duly.store.queue.scheduled import READ_NEXT_DUE as READ_NEXT_SCHEDULED
from duly.store.queue.schedules import READ_NEXT_DUE as READ_NEXT_RUN
from duly.store.webhooks.take_deliveries import READ_NEXT_DUE as READ_NEXT_DELIVERY

# The first entry of an index: after many deletions, no other access finds out quickly that a table is empty.
_FIRST = "select 0.0::float8 from {} order by {} limit 1"
_WITHOUT_EXCLUSION = {"$1": "'{}'", "$2": "'{}'"}


def _all_of(query: str) -> str:
    for parameter, value in _WITHOUT_EXCLUSION.items():
        query = query.replace(parameter, value)
    return query


# By the name of the loop, the query of the seconds until it has work; null, if there is none.
_QUERIES: Mapping[str, str] = {
    "inbox": _FIRST.format("inbox", "job_id"),
    "dispatch": READ_NEXT_DELIVERY,
    "replay": "select 0.0::float8 from replays where collected_at is null limit 1",
    "release": _all_of(READ_NEXT_SCHEDULED),
    "expire": _all_of(READ_NEXT_EXPIRY),
    "follow-ups": f"select coalesce(({_FIRST.format('endings', 'job_id, sequence')}), "
    f"({_FIRST.format('batch_tallies', 'batch_id')}))",
    "schedules": _all_of(READ_NEXT_RUN),
    "claim": _FIRST.format("ready", 'tenant_id, queue collate "C", type collate "C", priority, job_id'),
}
LOOPS = tuple(_QUERIES)
_TENANTS, _LEASE = f"${len(LOOPS) + 1}::int[]", f"${len(LOOPS) + 2}::float8"
# By the name of the loop, its sign. Of rows without a version, the sum of their hashes.
_SIGNS: Mapping[str, str] = {
    "epochs": "concat(pg_postmaster_start_time(), (select server_started_at from epochs order by began desc limit 1))",
    "claim": "(select version::text from control where id = 1)",
    "keys": "concat((select version from control where id = 2), exists (select from api_keys))",
    "job-types": "(select version::text from control where id = 3)",
    "submission-limits": f"""concat(
        (select sum(hash_record_extended(row(tenant_id, submit_rate, submit_burst, backlog_limit), 0))
         from tenants where tenant_id = any({_TENANTS})), ' ',
        (select sum(hash_record_extended(row(tenant_id, scope, name, rate_count, rate_seconds, backlog), 0))
         from limits where tenant_id = any({_TENANTS}) and scope in (0, 3))
    )""",
    # Whether there is anything to sweep.
    "sweep": f"""case when exists ({_FIRST.format("running", "job_id")}) or exists (
        select from nodes where heartbeat_at < now() - {_LEASE} * interval '1 second'
    ) then 'true' else 'false' end""",
}
SIGNS = tuple(_SIGNS)
# Columns before those of the loops.
_BEFORE = 5
_SNAPSHOT = """pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint,
    extract(epoch from now())::float8, pg_postmaster_start_time()"""
_NEXT_LATE = f"""(select {_LEASE} - extract(epoch from now() - min(heartbeat_at)) from nodes
    where heartbeat_at >= now() - {_LEASE} * interval '1 second')::float8"""
READ_DUE_WORK = f"""select {_SNAPSHOT}, {_NEXT_LATE}, {
    ", ".join(f"case when ${number}::bool then ({query}) end" for number, query in enumerate(_QUERIES.values(), 1))
}, {", ".join(_SIGNS.values())} from pg_current_snapshot() s"""
READ_SNAPSHOT = f"select {_SNAPSHOT} from pg_current_snapshot() s"


class Snapshot(NamedTuple):
    """State of the database that a look saw: the effects of all transactions before `oldest`, and of none from `next`
    on. `at`: the time in seconds; `server_began`: when the server started, after which an epoch may have to begin.
    """

    oldest: int
    next: int
    at: float
    server_began: datetime

    def unchanged_in(self, later: "Snapshot", own: Collection[int]) -> bool:
        """Returns whether only transactions of `own` have ended between this look and a later one."""
        if self.oldest != self.next or later.oldest != later.next or self.server_began != later.server_began:
            return False
        return later.next - self.next <= len(own) and all(n in own for n in range(self.next, later.next))


class DueWork(NamedTuple):
    """Result of a complete look.

    Attributes:
        seconds: by the names of loops, the seconds until they have work, without those that have none.
        signs: by the names of loops, their signs.
        snapshot: what the look saw.
        next_late: seconds until a sign may change without a transaction, as a node is late with its heartbeat.
    """

    seconds: Mapping[str, float]
    signs: Mapping[str, str | None]
    snapshot: Snapshot
    next_late: float | None


async def read_due_work(
    connection: Connection, loops: Collection[str], *, tenants: Collection[int] = (), lease_seconds: float = 0.0
) -> DueWork:
    """Looks at all tables.

    Args:
        loops: the loops whose work is looked for.
        tenants: those whose submission limits are looked at.
        lease_seconds: time after which a node without a heartbeat is lost.
    """
    flags = (name in loops for name in LOOPS)
    row = only(await connection.fetchrow(READ_DUE_WORK, *flags, list(tenants), lease_seconds))
    *snapshot, next_late = row[:_BEFORE]
    due, signs = row[_BEFORE : _BEFORE + len(LOOPS)], row[_BEFORE + len(LOOPS) :]
    seconds = {name: each for name, each in zip(LOOPS, due, strict=True) if each is not None}
    return DueWork(seconds, dict(zip(SIGNS, signs, strict=True)), Snapshot(*snapshot), next_late)


async def read_snapshot(connection: Connection) -> Snapshot:
    """Returns the state that a look would see now, without its cost."""
    return Snapshot(*only(await connection.fetchrow(READ_SNAPSHOT)))
