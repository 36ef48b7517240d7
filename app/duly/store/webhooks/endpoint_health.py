"""Health of an endpoint: its pending deliveries, and the outcomes of its newest ended ones."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection
from duly.store.webhooks.delivery_lists import PLANS

MOST_PENDING = 1_000
MOST_RECENT = 200


class EndpointHealth(NamedTuple):
    """Pending deliveries, up to `MOST_PENDING`, and outcomes of the newest ended ones, up to `MOST_RECENT`."""

    pending: int
    delivered: int
    failed: int
    last_delivered_at: datetime | None
    last_failed_at: datetime | None


def joined_health(parts: Sequence[EndpointHealth]) -> EndpointHealth:
    """Returns the health of an endpoint to which several databases send."""
    return EndpointHealth(
        pending=sum(part.pending for part in parts),
        delivered=sum(part.delivered for part in parts),
        failed=sum(part.failed for part in parts),
        last_delivered_at=max((at for part in parts if (at := part.last_delivered_at) is not None), default=None),
        last_failed_at=max((at for part in parts if (at := part.last_failed_at) is not None), default=None),
    )


# Walked by the index of the list, as in `duly.store.webhooks.delivery_lists`: the key is a range, never compared by
# `=`. A redelivered one has several last attempts, of which the newest counts.
READ_HEALTH = """
with walked as materialized (
    select delivery_id, outcome, attempt, attempted_at from delivery_attempts
    where tenant_id = $1 and registered and outcome <> 2
      and (receiver_id, delivery_id) >= ($2, '00000000-0000-0000-0000-000000000000'::uuid)
      and (receiver_id, delivery_id) <= ($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    order by receiver_id desc, delivery_id desc limit $3
),
newest as (
    select distinct on (delivery_id) outcome, attempted_at from walked order by delivery_id desc, attempt desc
)
select (select count(*) from (
            select from deliveries where tenant_id = $1 and receiver_id = $2 and registered limit $4
        ) d),
       count(*) filter (where outcome = 1), count(*) filter (where outcome = 3),
       max(attempted_at) filter (where outcome = 1), max(attempted_at) filter (where outcome = 3)
from newest
"""


async def read_endpoint_health(connection: Connection, tenant_id: int, endpoint_id: UUID) -> EndpointHealth:
    """Returns the health of an endpoint."""
    async with connection.transaction(readonly=True):
        await connection.execute(PLANS)
        row = only(await connection.fetchrow(READ_HEALTH, tenant_id, endpoint_id, MOST_RECENT, MOST_PENDING))
    return EndpointHealth(*row)
