"""Read model of deliveries: lists of an endpoint and of a job, and one delivery with its attempts.

A pending delivery is a row of the outbox; an ended one is its last attempt. A redelivered one has several last
attempts: the newest counts, and a row of the outbox precedes all of them.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from duly.domain.ids import LARGEST, SMALLEST
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection


class DeliveryStatus(StrEnum):
    """Status of a delivery in the API."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


# Outcome of the last attempt; 0: in the outbox.
_OUTCOMES = {DeliveryStatus.PENDING: 0, DeliveryStatus.DELIVERED: 1, DeliveryStatus.FAILED: 3}
_STATUS = {outcome: status for status, outcome in _OUTCOMES.items()}


class DeliveryView(NamedTuple):
    """Message to one receiver. `attempts` includes the one in progress; `next_at` is None during an attempt and after
    the end.
    """

    delivery_id: UUID
    receiver_id: UUID | None
    registered: bool
    job_id: UUID
    sequence: int
    kind: int
    status: DeliveryStatus
    attempts: int
    next_at: datetime | None
    known_since: datetime
    completed_at: datetime | None
    url: str | None
    last_status_code: int | None
    last_error: str | None


class DeliveryFilter(NamedTuple):
    """Filter of deliveries; None means no restriction. `before` and `since` bound the ids, which contain times."""

    before: UUID = LARGEST
    since: UUID = SMALLEST
    statuses: frozenset[DeliveryStatus] | None = None
    kinds: Sequence[int] | None = None


class DeliveryPage(NamedTuple):
    """Page of deliveries. The next page begins before the id `next`; None: this is the last page."""

    deliveries: list[DeliveryView]
    next: UUID | None


_WAITING = """
    select tenant_id, delivery_id, job_id, sequence, kind, receiver_id, registered, 0 as outcome, attempt,
           case when not taken or due_at <= now() then due_at end as due_at, created_at as at
    from deliveries
"""
_LAST = """
    select tenant_id, delivery_id, job_id, sequence, kind, receiver_id, registered, outcome, attempt,
           null::timestamptz as due_at, attempted_at as at
    from delivery_attempts
"""
_NEWEST_FIRST = "order by delivery_id desc, outcome = 0 desc, attempt desc"
# The receiver and the last attempt are looked up for the shown rows only.
_VIEW = """
select f.delivery_id, f.receiver_id, f.registered, f.job_id, f.sequence, f.kind, f.outcome, f.attempt, f.due_at, f.at,
       case when f.registered then n.url else j.callback_url end, l.status_code, l.error
from {found} f
left join lateral (
    select url from endpoints where tenant_id = f.tenant_id and endpoint_id = f.receiver_id and f.registered offset 0
) n on true
left join lateral (
    select callback_url from jobs where tenant_id = f.tenant_id and job_id = f.job_id and not f.registered offset 0
) j on true
left join lateral (
    select status_code, error from delivery_attempts
    where tenant_id = f.tenant_id and job_id = f.job_id and delivery_id = f.delivery_id order by attempt desc limit 1
) l on true
"""


# Both parts are walked from the newest on, each by an index in the order of ids, until the page is full or enough rows
# were examined. `reached` and `walked` report the extent; without a match their row has nothing else. The key of the
# list is a range in the order, never compared by `=`, so that an index of ids alone does not provide the order.
def _walk(key: str, *, waiting: str, last: str, checked: str = "true") -> str:
    in_range = f"tenant_id = $1 and ({key}, delivery_id) >= ($2, $3::uuid) and ({key}, delivery_id) < ($2, $4::uuid)"
    newest_first = f"order by {key} desc, delivery_id desc"
    return f"""
with walked as materialized (
    select * from (
        ({_WAITING} where {in_range} and {waiting} {newest_first} limit $5)
        union all
        ({_LAST} where {in_range} and {last} {newest_first}, attempt desc limit $5)
    ) w {_NEWEST_FIRST} limit $5
),
newest as (
    select distinct on (delivery_id) * from walked {_NEWEST_FIRST}
),
fitting as materialized (
    select * from newest w
    where ($6::int[] is null or outcome = any($6)) and ($7::int[] is null or kind = any($7)) and {checked}
    order by delivery_id desc limit $8
)
select g.*, v.* from (
    select (select delivery_id from walked order by delivery_id limit 1) as reached,
           (select count(*) from walked) as walked
) g left join ({_VIEW.format(found="fitting")}) v on true
order by v.delivery_id desc
"""


# Few deliveries fail, so delivered ones must not be walked. A failure may be followed by another attempt.
_NOT_SINCE = """
    (outcome = 0 or not exists (
        select from deliveries d where d.delivery_id = w.delivery_id and d.tenant_id = $1
    ) and not exists (
        select from delivery_attempts a
        where a.tenant_id = $1 and a.job_id = w.job_id and a.delivery_id = w.delivery_id and a.attempt > w.attempt
          and a.outcome <> 2
    ))
"""
ALL_OF_ENDPOINT = _walk("receiver_id", waiting="registered", last="registered and outcome <> 2")
PENDING_OF_ENDPOINT = _walk("receiver_id", waiting="registered", last="false")
_FAILED = "registered and outcome = 3"
FAILED_OF_ENDPOINT = _walk("receiver_id", waiting="false", last=_FAILED, checked=_NOT_SINCE)
UNDELIVERED_OF_ENDPOINT = _walk("receiver_id", waiting="registered", last=_FAILED, checked=_NOT_SINCE)
# The id of the job determines the partition of its deliveries.
_OF_JOB = "job_id >= $2 and job_id <= $2"
OF_JOB = _walk("job_id", waiting=_OF_JOB, last=f"{_OF_JOB} and outcome <> 2")

# Each statement has one intended plan; these settings exclude others that look cheaper while a table is small.
PLANS = """
set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_sort = off;
set local enable_hashjoin = off; set local enable_mergejoin = off; set local max_parallel_workers_per_gather = 0
"""
# After this many rows without enough matches, a page is returned with what was found.
ENOUGH_WALKED = 5_000
ROUNDS_GROW = 4


async def read_endpoint_page(
    connection: Connection, tenant_id: int, endpoint_id: UUID, wanted: DeliveryFilter, *, limit: int
) -> DeliveryPage:
    """Returns a page of an endpoint's deliveries, newest first. Where the walk took too long the page may be short,
    even empty, and still have a next one.
    """
    statement = {
        frozenset({DeliveryStatus.PENDING}): PENDING_OF_ENDPOINT,
        frozenset({DeliveryStatus.FAILED}): FAILED_OF_ENDPOINT,
        frozenset({DeliveryStatus.PENDING, DeliveryStatus.FAILED}): UNDELIVERED_OF_ENDPOINT,
    }.get(wanted.statuses or frozenset(), ALL_OF_ENDPOINT)
    return await _page(connection, statement, tenant_id, endpoint_id, wanted, limit=limit)


async def read_job_page(
    connection: Connection, tenant_id: int, job_id: UUID, *, before: UUID = LARGEST, limit: int
) -> DeliveryPage:
    """Returns a page of a job's deliveries, to its callback and to endpoints, newest first."""
    return await _page(connection, OF_JOB, tenant_id, job_id, DeliveryFilter(before), limit=limit)


async def _page(
    connection: Connection, statement: str, tenant_id: int, of: UUID, wanted: DeliveryFilter, *, limit: int
) -> DeliveryPage:
    outcomes = [_OUTCOMES[status] for status in wanted.statuses] if wanted.statuses is not None else None
    found: list[DeliveryView] = []
    before, most, seen = wanted.before, limit + 1, 0
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(PLANS)
        while True:
            room = limit + 1 - len(found)
            rows = await connection.fetch(
                statement, tenant_id, of, wanted.since, before, most, outcomes, wanted.kinds, room
            )
            found += [_view(row[2:]) for row in rows if row[2] is not None]
            reached, walked = rows[0][:2]
            if len(found) > limit:
                return DeliveryPage(found[:limit], found[limit - 1].delivery_id)
            if walked < most:
                return DeliveryPage(found, None)
            before, seen = reached, seen + walked
            if seen >= ENOUGH_WALKED:
                return DeliveryPage(found, reached)
            most = min(most * ROUNDS_GROW, ENOUGH_WALKED - seen)


def _view(row: Record | tuple[Any, ...]) -> DeliveryView:
    delivery_id, receiver_id, registered, job_id, sequence, kind, outcome, attempt, due_at, at, url, code, error = row
    return DeliveryView(
        delivery_id=delivery_id,
        receiver_id=receiver_id,
        registered=registered,
        job_id=job_id,
        sequence=sequence,
        kind=kind,
        status=_STATUS[outcome],
        attempts=attempt,
        next_at=due_at,
        known_since=at,
        completed_at=at if outcome else None,
        url=url,
        last_status_code=code,
        last_error=error,
    )


VIEW_DELIVERY = f"""
with found as materialized (
    select * from (
        ({_WAITING} where tenant_id = $1 and delivery_id = $2)
        union all
        ({_LAST} where tenant_id = $1 and delivery_id = $2 and outcome <> 2 order by attempt desc limit 1)
    ) w {_NEWEST_FIRST} limit 1
)
{_VIEW.format(found="found")}
"""


async def view_delivery(connection: Connection, tenant_id: int, delivery_id: UUID) -> DeliveryView | None:
    """Returns a delivery; None if the tenant has no such delivery."""
    async with connection.transaction(readonly=True):
        await connection.execute(PLANS)
        row = await connection.fetchrow(VIEW_DELIVERY, tenant_id, delivery_id)
    return _view(row) if row is not None else None


class DeliveryAttempt(NamedTuple):
    """Attempt. `ended_at` is the time of its record; `answer` the beginning of the receiver's response."""

    number: int
    ended_at: datetime
    duration_ms: int
    status_code: int | None
    answer: str | None
    error: str | None


READ_ATTEMPTS = """
select attempt, attempted_at, duration_ms, status_code, answer, error from delivery_attempts
where tenant_id = $1 and job_id = $2 and delivery_id = $3 order by attempt
"""


async def read_attempts(connection: Connection, tenant_id: int, delivery: DeliveryView) -> list[DeliveryAttempt]:
    """Returns the attempts of a delivery, oldest first."""
    rows = await connection.fetch(READ_ATTEMPTS, tenant_id, delivery.job_id, delivery.delivery_id)
    return [DeliveryAttempt(*row) for row in rows]
