"""Ids of spans. Those of attempts are derived from the job and its lease token, so that none has to be stored."""

from hashlib import blake2b
from random import getrandbits
from typing import NamedTuple
from uuid import UUID

_NO_PARENT = ""
_ATTEMPT = blake2b(digest_size=8, person=b"duly span")  # a copy takes half as long as another one


class SpanIds(NamedTuple):
    """Ids of a span and of its parent, in hexadecimal. `remote`: the parent is a span of another process, as a rule."""

    trace_id: str
    span_id: str
    parent_id: str = _NO_PARENT
    remote: bool = False

    @property
    def traceparent(self) -> str:
        """The span as a W3C trace context."""
        return f"00-{self.trace_id}-{self.span_id}-01"


def is_sampled(traceparent: str | None) -> bool:
    """Returns whether a W3C trace context, which was checked before, is sampled."""
    return traceparent is not None and int(traceparent[53:55], 16) & 1 == 1


def child_ids(traceparent: str, span_id: str | None = None) -> SpanIds:
    """Returns ids for a child of the span in a W3C trace context."""
    return SpanIds(traceparent[3:35], span_id or new_span_id(), traceparent[36:52], remote=True)


def new_trace_id() -> str:
    """Returns a random trace id."""
    return f"{getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    """Returns a random span id."""
    return f"{getrandbits(64) or 1:016x}"


def attempt_span_id(job_id: UUID, token: int) -> str:
    """Returns the id of the span of an attempt, or of one part of an attempt that was parked."""
    hashed = _ATTEMPT.copy()
    hashed.update(job_id.bytes + token.to_bytes(8, "big"))
    return hashed.hexdigest()


def retry_trace_id(job_id: UUID, attempt: int) -> str:
    """Returns the id of the trace of a later attempt."""
    return blake2b(job_id.bytes + attempt.to_bytes(8, "big"), digest_size=16, person=b"duly trace").hexdigest()


def trace_id_of_attempt(traceparent: str, job_id: UUID, attempt: int) -> str:
    """Returns the id of an attempt's trace: the first one belongs to the trace of its submission."""
    return traceparent[3:35] if attempt <= 1 else retry_trace_id(job_id, attempt)
