"""Tenants and their limits."""

import re
from dataclasses import dataclass
from datetime import datetime

TENANT_NAME = re.compile(r"[a-z0-9-]{1,63}")
# Installation-wide defaults of a tenant's limits.
MOST_ENDPOINTS, MOST_SCHEDULES, MOST_KEYS, MOST_QUEUES = 1_000, 10_000, 1_000, 1_000


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """Limits of a tenant. None: the setting or default of the installation applies.

    Attributes:
        submit_rate: jobs that it may submit per second.
        submit_burst: jobs that it may submit at once; None: ten seconds of the rate.
        backlog_limit: jobs that may wait in each of its queues.
        retention_days: days for which its ended jobs are kept at least.
    """

    submit_rate: float | None = None
    submit_burst: int | None = None
    backlog_limit: int | None = None
    retention_days: int | None = None
    max_endpoints: int | None = None
    max_schedules: int | None = None
    max_keys: int | None = None
    max_queues: int | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant, its limits and the time at which it was created."""

    tenant_id: int
    name: str
    limits: TenantLimits
    created_at: datetime
