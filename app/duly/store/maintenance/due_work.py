"""One look at all tables with work for periodic loops, instead of one or more statements of each loop."""

from collections.abc import Collection, Mapping

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
}
LOOPS = tuple(_QUERIES)
READ_DUE_WORK = "select " + ", ".join(
    f"case when ${number}::bool then ({query}) end" for number, query in enumerate(_QUERIES.values(), 1)
)


async def read_due_work(connection: Connection, loops: Collection[str]) -> dict[str, float]:
    """Returns the seconds until each of these loops has work; loops without any are missing."""
    row = only(await connection.fetchrow(READ_DUE_WORK, *(name in loops for name in LOOPS)))
    return {name: seconds for name, seconds in zip(LOOPS, row, strict=True) if seconds is not None}
