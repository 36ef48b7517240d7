"""Errors of requests that do not reach the application, and their responses as bytes."""

from duly.api.contract.error_responses import as_response
from duly.api.server.request_head_rules import HEAD_BYTES, HEADER_LINES, TARGET_BYTES
from duly.api.server.security_headers import NO_REFERRER, NOSNIFF
from duly.api.server.uvicorn_internals import STATUS_LINE
from duly.errors import (
    BadRequest,
    DulyError,
    HeadersTooLarge,
    MethodNotAllowed,
    NotImplementedHere,
    RequestTimeout,
    UriTooLong,
)


def refusal_bytes(refusal: DulyError, *, request_id: bytes) -> bytes:
    """Returns a whole error response, after which the connection is closed."""
    response = as_response(refusal, accept="")
    headers = [*response.raw_headers, NOSNIFF, NO_REFERRER, (b"x-request-id", request_id), (b"connection", b"close")]
    head = STATUS_LINE[refusal.status] + b"".join(b"%b: %b\r\n" % header for header in headers)
    return head + b"\r\n" + bytes(response.body)


def not_http() -> DulyError:
    """Returns the refusal of bytes that are not HTTP."""
    return BadRequest("Malformed HTTP request.", reason="Send a valid HTTP/1.1 request.")


def host_refused(found: bytes | None, *, again: bool = False) -> DulyError:
    """Returns the refusal of a request whose `Host` is missing (None), malformed, or repeated."""
    if again:
        message = "Repeated Host header."
    elif found is None:
        message = "Missing Host header."
    else:
        message = "Malformed Host header."
    return BadRequest(message, reason="HTTP/1.1 requires one host, optionally with a port (RFC 9112, 3.2).")


def head_too_large() -> DulyError:
    """Returns the refusal of a head with too many bytes."""
    return HeadersTooLarge(
        f"Request head too large (limit: {HEAD_BYTES:,} bytes).", reason="Send fewer or shorter headers."
    )


def too_many_lines() -> DulyError:
    """Returns the refusal of a head with too many lines."""
    return HeadersTooLarge(f"Too many header lines (limit: {HEADER_LINES}).", reason="Send fewer headers.")


def target_too_long() -> DulyError:
    """Returns the refusal of a request target that is too long."""
    return UriTooLong(f"Request target too long (limit: {TARGET_BYTES:,} bytes).", reason="Send a shorter query.")


def framing_too_large() -> DulyError:
    """Returns the refusal of a body with too many chunk extensions or trailers."""
    return HeadersTooLarge(
        f"Chunk extensions and trailers too large (limit: {HEAD_BYTES:,} bytes).",
        reason="Send fewer of them.",
    )


def coding_refused() -> DulyError:
    """Returns the refusal of a transfer coding."""
    return NotImplementedHere("Transfer coding not supported.", reason="Supported: `chunked`, in HTTP/1.1.")


def connect_refused() -> DulyError:
    """Returns the refusal of CONNECT."""
    return MethodNotAllowed("Method not allowed.", allow="DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")


def head_late(seconds: float) -> DulyError:
    """Returns the refusal of a head that is late."""
    return RequestTimeout("Timed out reading the request head.", reason=f"Send it within {seconds:g} s.")


def body_late() -> DulyError:
    """Returns the refusal of a body that is late."""
    return RequestTimeout("Timed out reading the request body.", reason="The body arrived too slowly.")
