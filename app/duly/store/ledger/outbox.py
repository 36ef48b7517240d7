"""Outbox: the part of each event-recording statement that writes webhook deliveries to its receivers."""

from collections.abc import Iterable
from typing import Final, Protocol
from uuid import UUID

from duly.domain.event_views import WEBHOOK_BIT_OF

# Bit of an event's kind in `callback_events` of a job and in `events` of an endpoint.
_BITS: Final = " ".join(f"when {kind:d} then {bit}" for kind, bit in WEBHOOK_BIT_OF.items())
BIT: Final = f"""
    (case {{kind}} {_BITS}
     else 0 end)
"""
# Lanes of a tenant's callbacks, by host and the first four segments of the path. Segments with two digits or more count
# as equal, since most callback URLs have an id of their job. The number of lanes of a host is limited, independent of
# its paths, so that a dead host needs few probes.
LANES_OF_A_HOST: Final = 64
# Without look-ahead, which costs ten times as much, and without braces, which `str.format` would interpret.
_ID_SEGMENT: Final = "/[^/]*[0-9][^/]*[0-9][^/]*"


def callback_receiver(*, tenant: str, url: str) -> str:
    """Returns an SQL expression for the receiver of callbacks of this tenant to this URL.

    The URL is split, since regular expressions for its origin and path would take most of the time of a delivery's row.
    """
    parts = f"string_to_array(split_part(split_part({url}, '?', 1), '#', 1), '/')"
    path = "case when cardinality(parts) > 3 then '/' || array_to_string(parts[4:7], '/') else '' end"
    lane = (
        f"('x' || left(md5(regexp_replace({path}, '{_ID_SEGMENT}', '/*', 'g')), 4))::bit(16)::int % {LANES_OF_A_HOST}"
    )
    receiver = f"md5({tenant} || ' ' || lower(parts[1] || '//' || parts[3]) || ' ' || {lane})::uuid"
    return f"(select {receiver} from (select {parts} as parts offset 0) split_url)"


class OfJob(Protocol):
    """Item of a statement about jobs."""

    @property
    def job_id(self) -> UUID:
        """Its job."""


def oldest_job(items: Iterable[OfJob]) -> UUID:
    """Returns the oldest job of these items. With it as a parameter, an execution of a statement does not open the
    partitions of earlier days, which would take 10 µs each.
    """
    return min(item.job_id for item in items)


def recorded_job(*, oldest: str) -> str:
    """Returns an SQL expression for the callback URL and the labels of the job of row `g`.

    Args:
        oldest: parameter with the `oldest_job` of the statement.
    """
    key = f"tenant_id = g.tenant_id and job_id = g.job_id and job_id >= {oldest}"
    return f"(select callback_url, labels from jobs where {key} offset 0)"


def outbox(source: str, *, job: str, asked: str = "true") -> str:
    """Returns a common table expression `outbox` that writes a delivery for each receiver of the events
    in `source`.

    Most jobs have no receiver: for those neither the wide row nor an endpoint is read. `source` has tenant_id, job_id,
    sequence, kind, type and callback_events; `job` yields callback_url and labels of its row `g`, as `recorded_job`
    does; `asked` selects rows.
    """
    bit = BIT.format(kind="g.kind")
    return f"""
outbox as (
    insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered)
    select g.tenant_id, g.job_id, g.sequence, g.kind,
           {callback_receiver(tenant="g.tenant_id", url="j.callback_url")}, false
    from {source} g cross join lateral {job} j
    where g.callback_events & {bit} <> 0 and j.callback_url is not null and {asked}
    union all
    select g.tenant_id, g.job_id, g.sequence, g.kind, e.endpoint_id, true
    from {source} g cross join lateral (
        select endpoint_id, labels from endpoints
        where tenant_id = g.tenant_id and events & {bit} <> 0 and disabled_at is null
          and (types is null or g.type = any(types))
        offset 0
    ) e
    where (select exists (select from endpoints)) and {asked}
      and (e.labels is null or exists (select from {job} j where j.labels @> e.labels))
    returning 1
)
"""


# For the whole statement: the wake-up of the dispatcher does not name deliveries.
DELIVERS: Final = "((select count(*) from outbox) > 0)"
