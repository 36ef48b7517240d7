"""Trace context of the calling code, where it uses OpenTelemetry. Never imports OpenTelemetry itself."""

import sys
from typing import Any, NamedTuple

# Of the span that stands for all unsampled ones of this process.
UNSAMPLED_TRACE_ID = 1
_MODULE = "opentelemetry.trace"


class TraceIds(NamedTuple):
    """Ids of a trace and of a span in it, in hexadecimal."""

    trace_id: str
    span_id: str


def current_trace() -> TraceIds | None:
    """Returns the ids of the current span; None without one."""
    found = _current_context()
    return None if found is None else TraceIds(f"{found.trace_id:032x}", f"{found.span_id:016x}")


def current_traceparent() -> str | None:
    """Returns the current span as a W3C trace context, for a request to another service; None without one."""
    found = _current_context()
    if found is None:
        return None
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags & 1:02x}"


def trace_of(traceparent: str | None) -> TraceIds | None:
    """Returns the ids in a W3C trace context that was checked before; None without one."""
    return TraceIds(traceparent[3:35], traceparent[36:52]) if traceparent else None


def _current_context() -> Any:  # a type of a package that may be missing
    get_current_span = getattr(sys.modules.get(_MODULE), "get_current_span", None)
    if get_current_span is None:
        return None
    found = get_current_span().get_span_context()
    return found if found.is_valid and found.trace_id != UNSAMPLED_TRACE_ID else None
