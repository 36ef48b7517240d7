"""How the circuit breakers of job types stand, as readers see them."""

from collections.abc import Sequence

from duly.domain.job_type_breaker import Circuit
from duly.domain.json_value import rfc3339
from duly.handlers.registry import RegisteredHandler
from duly.store.postgres.database import Connection
from duly.store.queue.breakers import BreakerView, read_breakers

_CLOSED = BreakerView(Circuit.CLOSED, 0, "", None)
_STATES = {Circuit.CLOSED: "closed", Circuit.OPEN: "open", Circuit.HALF_OPEN: "half-open"}


async def breaker_bodies(
    connection: Connection, handlers: Sequence[RegisteredHandler]
) -> dict[str, dict[str, object] | None]:
    """By type; None for those that declare no breaker."""
    declared = [handler.type for handler in handlers if handler.breaker is not None]
    found = await read_breakers(connection, declared) if declared else {}
    return {
        handler.type: _body(found.get(handler.type, _CLOSED)) if handler.breaker is not None else None
        for handler in handlers
    }


def _body(breaker: BreakerView) -> dict[str, object]:
    until = breaker.open_until if breaker.circuit is Circuit.OPEN else None
    return {
        "state": _STATES[breaker.circuit],
        "failures": breaker.failures,
        "openUntil": rfc3339(until) if until is not None else None,
    }
