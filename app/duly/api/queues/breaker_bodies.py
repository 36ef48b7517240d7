"""Circuit breakers of job types as the API shows them."""

from collections.abc import Sequence

from duly.api.contract.responses import time_or_none
from duly.domain.job_type_breaker import CircuitState
from duly.store.postgres.database import Connection
from duly.store.queue.job_type_breakers import JobTypeBreakerView, read_breakers

_CLOSED = JobTypeBreakerView(CircuitState.CLOSED, 0, "", None)
_RANKS = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
_STATES = {CircuitState.CLOSED: "closed", CircuitState.OPEN: "open", CircuitState.HALF_OPEN: "half-open"}


async def breakers_of(
    connection: Connection, tenant_id: int, job_types: Sequence[str]
) -> dict[str, JobTypeBreakerView]:
    """Returns a tenant's breakers of job types that declare one, by type."""
    found = await read_breakers(connection, tenant_id, job_types) if job_types else {}
    return {name: found.get(name, _CLOSED) for name in job_types}


def breaker_body(*breakers: JobTypeBreakerView) -> dict[str, object]:
    """Returns the members of a breaker, of which each cell has its own: of the one that holds back most."""
    breaker = max(breakers, key=lambda each: (_RANKS[each.circuit], each.failures))
    return {
        "state": _STATES[breaker.circuit],
        "failures": breaker.failures,
        "code": breaker.code or None,
        "openUntil": time_or_none(breaker.open_until if breaker.circuit is CircuitState.OPEN else None),
    }
