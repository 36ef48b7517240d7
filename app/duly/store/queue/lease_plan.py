"""Leases that a claim records in its own statement, for several workers over HTTP at once."""

from collections.abc import Sequence
from typing import NamedTuple


class LeasePlan(NamedTuple):
    """Terms of leases, and which jobs of a claim get each: those from its place in `firsts`, from 1, to the next one.

    Equal places: only the last of these terms is used.
    """

    firsts: Sequence[int]
    lease_seconds: Sequence[int]
    worker_names: Sequence[str | None]
    key_ids: Sequence[str | None]


# Jobs are numbered in the order in which they start. The clock is read once: leases of one length expire together. A
# row of an earlier attempt is left where a release without leases recorded its end.
_LEASE_STEPS = """
granted as materialized (
    select p.*, t.lease_seconds, (select clock_timestamp()) + t.lease_seconds * interval '1 second' as expires_at
    from (
        select s.*, width_bucket(row_number() over (), {firsts}::bigint[]) - 1 as plan_index from started s
    ) p cross join lateral (select ({lease_seconds}::int[])[p.plan_index + 1] as lease_seconds) t
),
leased as (
    insert into leases (tenant_id, job_id, token, lease_seconds, worker_name, key_id, expires_at)
    select tenant_id, job_id, token, lease_seconds, ({worker_names}::text[])[plan_index + 1],
           ({key_ids}::text[])[plan_index + 1], expires_at
    from granted
    on conflict (job_id) do update
    set tenant_id = excluded.tenant_id, token = excluded.token, lease_seconds = excluded.lease_seconds, lines = 0,
        worker_name = excluded.worker_name, key_id = excluded.key_id, expires_at = excluded.expires_at,
        cancel_told_at = null
)
"""


def lease_steps(first: int) -> str:
    """Returns the steps that record the leases of the jobs in `started`, with the members of a `LeasePlan` as
    parameters from this number on. They leave the jobs with their leases in `granted`.
    """
    numbers = enumerate(LeasePlan._fields, first)
    return _LEASE_STEPS.format(**{name: f"${number}" for number, name in numbers}).strip()
