"""The table `messages`: what endpoints are told of that is no event of a job."""

from uuid import UUID

from duly.domain.webhook_events import BATCH_BIT, MessageKind
from duly.store.postgres.database import Connection

# Where no endpoint wants to hear of it, nothing is written.
ANNOUNCE = """
with told as materialized (
    select endpoint_id from endpoints where tenant_id = $1 and events & $5 <> 0 and disabled_at is null
),
written as (
    insert into messages (tenant_id, message_id, kind, body) select $1, $2, $3, $4 where exists (select from told)
),
addressed as (
    insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered)
    select $1, $2, 0, $3, endpoint_id, true from told
)
select count(*) from told
"""


async def announce_batch(connection: Connection, tenant_id: int, *, message_id: UUID, body: str) -> bool:
    """Tells the endpoints that want to hear of batches, in a transaction of the caller's; and whether any does."""
    kind = int(MessageKind.BATCH_COMPLETED)
    told: int = await connection.fetchval(ANNOUNCE, tenant_id, message_id, kind, body, BATCH_BIT)
    return told > 0


ADDRESS = """
with written as (
    insert into messages (tenant_id, message_id, kind, body)
    select $1, $2, $3, $4 where exists (select from endpoints where tenant_id = $1 and endpoint_id = $5)
    returning message_id
)
insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered)
select $1, message_id, 0, $3, $5, true from written
returning delivery_id
"""


async def send_test(
    connection: Connection, tenant_id: int, endpoint_id: UUID, *, message_id: UUID, body: str
) -> UUID | None:
    """Tells one endpoint something it can try its receiver with. Returns the delivery, or None where this tenant has no
    such endpoint.
    """
    kind = int(MessageKind.TEST)
    delivery_id: UUID | None = await connection.fetchval(ADDRESS, tenant_id, message_id, kind, body, endpoint_id)
    return delivery_id
