"""The outbox's entrance: what every statement does that records events, so that those who asked are told of them."""

from typing import Final

# The bit of an event's kind in `callback_events` of a job and `events` of an endpoint: see domain.events.
BIT: Final = """
    (case {kind} when 1 then 1 when 2 then 2 when 3 then 4 when 4 then 4 when 10 then 8 when 11 then 16 when 12 then 32
     else 0 end)
"""
# One lane for each host that a tenant's jobs are called back at.
HOST_OF_CALLBACK: Final = """
    md5({tenant} || ' ' || lower(substring({url} from '^[^:]+://[^/?#]+')))::uuid
"""
_RECORDED_JOB: Final = """
    (select callback_url, labels from jobs where tenant_id = g.tenant_id and job_id = g.job_id offset 0)
"""


def outbox(source: str, *, job: str = _RECORDED_JOB, asked: str = "true") -> str:
    """A common table expression `outbox` that writes a delivery for each receiver of the events in `source`.

    Most jobs are told to nobody: of those, neither the wide row nor an endpoint is read. `source` has tenant_id,
    job_id, sequence, kind, type and callback_events; `job` gives callback_url and labels of its row `g`; `asked` says
    which rows count.
    """
    bit = BIT.format(kind="g.kind")
    return f"""
outbox as (
    insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered)
    select g.tenant_id, g.job_id, g.sequence, g.kind,
           {HOST_OF_CALLBACK.format(tenant="g.tenant_id", url="j.callback_url")}, false
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


# For the whole statement: who wakes the dispatcher need not know whose delivery it was.
DELIVERS: Final = "((select count(*) from outbox) > 0)"
