"""Headers of submissions: `Idempotency-Key`, `X-Correlation-Id` and `traceparent`."""

import re
from collections.abc import Mapping, Sequence
from uuid import UUID

from duly.api.server.scope_values import RequestScope, headers_of, node_of, tenant_of
from duly.domain.job import IdempotencyKey, NewJob
from duly.domain.json_writer import digest_of
from duly.errors import Invalid, PathError
from duly.lifecycle.submit.submission_model import (
    CORRELATION_ID,
    IDEMPOTENCY_KEY,
    SubmissionOrigin,
    trace_context,
)

_IDEMPOTENCY_KEY = re.compile(f'"({IDEMPOTENCY_KEY})"|((?!"){IDEMPOTENCY_KEY})')
_CORRELATION_ID = re.compile(CORRELATION_ID)

Headers = Mapping[bytes, bytes]


def origin_of(
    scope: RequestScope, *, idempotency: IdempotencyKey | None = None, digest: bytes | None = None
) -> SubmissionOrigin:
    """Returns the origin that all jobs of a request share.

    Raises:
        Invalid: `X-Correlation-Id` is malformed.
    """
    headers = headers_of(scope)
    correlation_id = _correlation_id(headers)
    return SubmissionOrigin(tenant_of(scope), correlation_id, _trace(scope, headers), idempotency, digest)


def idempotency_key(headers: Headers, value: object) -> IdempotencyKey | None:
    """Returns the client's idempotency key with the digest of its request; None without one.

    Raises:
        Invalid: `Idempotency-Key` is malformed.
    """
    key = key_text(headers)
    return IdempotencyKey(key, digest_of(value)) if key is not None else None


def key_text(headers: Headers) -> str | None:
    """Returns the client's idempotency key, which may be quoted.

    Raises:
        Invalid: it is malformed.
    """
    value = headers.get(b"idempotency-key")
    if value is None:
        return None
    match = _IDEMPOTENCY_KEY.fullmatch(value.decode("latin-1").strip())
    if match is None:
        raise Invalid.at([PathError("Idempotency-Key", "must be 1 to 255 visible ASCII characters")])
    return match[1] or match[2]


def _correlation_id(headers: Headers) -> str | None:
    value = headers.get(b"x-correlation-id")
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if not _CORRELATION_ID.fullmatch(text):
        raise Invalid.at([PathError("X-Correlation-Id", "must be 1 to 200 visible ASCII characters")])
    return text


def _trace(scope: RequestScope, headers: Headers) -> str | None:
    """Returns the trace context of the jobs: that of the client, or of a span here that continues it."""
    received = traceparent_of(headers)
    spans = node_of(scope).tracing.request(received)
    if spans is None:
        return received
    scope["duly.exchange"].trace = spans
    return spans.traceparent


def note_sent(
    scope: RequestScope, jobs: Sequence[NewJob], *, job_id: UUID | None = None, count: int | None = None
) -> None:
    """Ends the span of a submission whose jobs are recorded; see `SendSpan`."""
    if (trace := scope["duly.exchange"].trace) is not None:
        trace.sent(jobs, job_id=job_id, count=count)


def traceparent_of(headers: Headers) -> str | None:
    """Returns the trace context of the client; None if it is malformed."""
    value = headers.get(b"traceparent")
    return trace_context(value.decode("latin-1").strip()) if value else None
