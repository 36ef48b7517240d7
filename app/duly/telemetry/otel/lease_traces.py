"""Traces of leases: what the span of a leased attempt is made of, as part of the id of the lease.

Any node may receive the end of a lease, so nothing is kept in memory in between.
"""

import struct
import time

from duly.domain.job import ClaimedJob
from duly.domain.lease_id import Lease
from duly.telemetry.tracing import LeasedAttempt

# Trace id, id of the span of the submission, start in nanoseconds, wait in milliseconds plus one; then the queue.
_FACTS = struct.Struct(">16s8sQI")
_LONGEST_WAIT_MS = (1 << 32) - 2


def write_lease_trace(claimed: ClaimedJob, traceparent: str) -> bytes:
    """Returns the trace of an attempt that begins now."""
    trace_id, span_id = bytes.fromhex(traceparent[3:35]), bytes.fromhex(traceparent[36:52])
    waited: float | None = claimed.waited_seconds
    wait_ms = 0 if waited is None else min(int(max(waited, 0.0) * 1000), _LONGEST_WAIT_MS) + 1
    return _FACTS.pack(trace_id, span_id, time.time_ns(), wait_ms) + claimed.queue.encode()


def read_lease_trace(lease: Lease) -> LeasedAttempt | None:
    """Returns the facts of a leased attempt; None if its trace is not sampled."""
    if len(lease.trace) <= _FACTS.size:
        return None
    trace_id, span_id, began_ns, wait_ms = _FACTS.unpack_from(lease.trace)
    waited = (wait_ms - 1) / 1000 if wait_ms else None
    queue = lease.trace[_FACTS.size :].decode("utf-8", "replace")
    traceparent = f"00-{trace_id.hex()}-{span_id.hex()}-01"
    return LeasedAttempt(lease.job_id, lease.token, lease.attempt, lease.type, queue, traceparent, began_ns, waited)
