"""Refusals of what never reaches the application, and their bytes."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from duly.api.contract.error_responses import as_response
from duly.api.server.request_head_rules import HEAD_BYTES, HEADER_LINES, TARGET_BYTES
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
    """Returns a whole response in the shape of all errors, after which the connection is closed."""
    answer = as_response(refusal, accept="")
    headers = [*answer.raw_headers, (b"x-request-id", request_id), (b"connection", b"close")]
    head = STATUS_LINE[refusal.status] + b"".join(b"%b: %b\r\n" % header for header in headers)
    return head + b"\r\n" + bytes(answer.body)


def not_http() -> DulyError:
    return BadRequest("The request is not valid HTTP/1.1.", reason="This is not HTTP/1.1.")


def host_refused(found: bytes | None, *, again: bool = False) -> DulyError:
    """Returns the refusal of a request whose `Host` is missing (None), malformed, or there twice."""
    if again:
        message = "The request has more than one Host header."
    elif found is None:
        message = "The request has no Host header."
    else:
        message = "The Host header is not a host, optionally with a port."
    return BadRequest(message, reason="HTTP/1.1 requires exactly one (RFC 9112, section 3.2).")


def head_too_large() -> DulyError:
    return HeadersTooLarge(
        f"The head of the request is larger than {HEAD_BYTES:,} bytes.", reason="Send fewer or shorter headers."
    )


def too_many_lines() -> DulyError:
    return HeadersTooLarge(f"The request has more than {HEADER_LINES} header lines.", reason="Send fewer headers.")


def target_too_long() -> DulyError:
    return UriTooLong(f"The address is longer than {TARGET_BYTES:,} bytes.", reason="Send a shorter query.")


def framing_too_large() -> DulyError:
    return HeadersTooLarge(
        "The chunks of the body have too much beside their data.",
        reason=f"Extensions and trailers may have {HEAD_BYTES:,} bytes.",
    )


def coding_refused() -> DulyError:
    return NotImplementedHere("The transfer coding is not supported.", reason="Only `chunked` is, in HTTP/1.1.")


def connect_refused() -> DulyError:
    return MethodNotAllowed(
        "This address does not take this method.", allow="DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    )


def head_late(seconds: float) -> DulyError:
    return RequestTimeout("The head of the request did not arrive in time.", reason=f"{seconds:g} s are allowed.")


def body_late() -> DulyError:
    return RequestTimeout("The body of the request did not arrive in time.", reason="It came too slowly.")
