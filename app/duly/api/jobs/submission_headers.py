"""Headers of submissions: `Idempotency-Key`, `X-Correlation-Id` and `traceparent`."""

import hashlib
import re
from collections.abc import Mapping

from duly.api.server.scope_values import RequestScope, headers_of, tenant_of
from duly.domain.job import IdempotencyKey
from duly.domain.json_writer import canonical
from duly.errors import Invalid, PathError
from duly.lifecycle.submit.submission_model import SubmissionOrigin

_IDEMPOTENCY_KEY = re.compile(r'"([\x21-\x7e]{1,255})"|((?!")[\x21-\x7e]{1,255})')
_CORRELATION_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Headers = Mapping[bytes, bytes]


def origin_of(
    scope: RequestScope, *, idempotency: IdempotencyKey | None = None, digest: bytes | None = None
) -> SubmissionOrigin:
    """Returns the origin that all jobs of a request share.

    Raises:
        Invalid: `X-Correlation-Id` is malformed.
    """
    headers = headers_of(scope)
    return SubmissionOrigin(tenant_of(scope), _correlation_id(headers), _traceparent(headers), idempotency, digest)


def idempotency_key(headers: Headers, value: object) -> IdempotencyKey | None:
    """Returns the client's idempotency key with the digest of its request; None without one.

    Raises:
        Invalid: `Idempotency-Key` is malformed.
    """
    key = key_text(headers)
    return IdempotencyKey(key, digest_of(value)) if key is not None else None


def digest_of(value: object) -> bytes:
    """Returns a digest of a JSON value that does not depend on its spelling."""
    return hashlib.sha256(canonical(value)).digest()


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


def _traceparent(headers: Headers) -> str | None:
    """Returns the trace context; None for a malformed one, as W3C Trace Context (section 3.2.2.3) requires."""
    value = headers.get(b"traceparent")
    text = value.decode("latin-1").strip() if value else ""
    return text if _TRACEPARENT.fullmatch(text) else None
