"""Circuit breakers of job types as the API shows them."""

from collections.abc import Sequence

from duly.api.contract.responses import time_or_none
from duly.domain.job_type_breaker import CircuitState
from duly.handlers.registry import RegisteredHandler
from duly.store.postgres.database import Connection
from duly.store.queue.job_type_breakers import JobTypeBreakerView, read_breakers

_CLOSED = JobTypeBreakerView(CircuitState.CLOSED, 0, "", None)
_STATES = {CircuitState.CLOSED: "closed", CircuitState.OPEN: "open", CircuitState.HALF_OPEN: "half-open"}


async def breaker_bodies(
    connection: Connection, handlers: Sequence[RegisteredHandler]
) -> dict[str, dict[str, object] | None]:
    """Returns the breakers by job type; None for types that declare none."""
    declared = [handler.type for handler in handlers if handler.breaker is not None]
    found = await read_breakers(connection, declared) if declared else {}
    return {
        handler.type: _body(found.get(handler.type, _CLOSED)) if handler.breaker is not None else None
        for handler in handlers
    }


def _body(breaker: JobTypeBreakerView) -> dict[str, object]:
    return {
        "state": _STATES[breaker.circuit],
        "failures": breaker.failures,
        "openUntil": time_or_none(breaker.open_until if breaker.circuit is CircuitState.OPEN else None),
    }
