"""Endpoints inserted by one statement, for tests of the dispatcher that do not test registration."""

from uuid import UUID, uuid4

from duly.domain.webhook_events import ENDPOINT_BITS
from tests.support.service import KEYRING, ServiceClient

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
EVERYTHING = sum(ENDPOINT_BITS.values())
ENDS = sum(ENDPOINT_BITS[name] for name in ("job.completed", "job.failed", "job.cancelled"))

_KEEP = """
with kept as (
    insert into endpoints (tenant_id, endpoint_id, events, url, secret, types) values (1, $1, $2, $3, $4, $5)
)
insert into receivers (tenant_id, receiver_id, registered, concurrency, rate_count, rate_seconds, tokens, paused_at)
values (1, $1, true, $6, $7, $8, coalesce($7, 0), case when $9 then now() end)
"""


async def keep_endpoint(
    service: ServiceClient,
    url: str,
    *,
    events: int = ENDS,
    types: list[str] | None = None,
    concurrency: int | None = None,
    rate: tuple[int, float] | None = None,
    paused: bool = False,
) -> UUID:
    """Inserts an endpoint for `events` of jobs of these types; `rate` is a count and a number of seconds."""
    endpoint_id = uuid4()
    secret = KEYRING.seal(SECRET, tenant_id=1, purpose="endpoint")
    count, seconds = rate or (None, None)
    await service.sql(_KEEP, endpoint_id, events, url, secret, types, concurrency, count, seconds, paused)
    return endpoint_id
