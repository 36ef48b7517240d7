"""Responses of the service: their content, or the error that they describe."""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias

import httpx

from duly.client.errors import ERROR_CLASSES, ApiError, Unreachable
from duly.domain.retry_after import read_retry_after

# Reads a number with a fraction or an exponent.
ParseFloat: TypeAlias = Callable[[str], Any]

_EVENT_STREAM = "text/event-stream"
_PARSE_FLOAT = "duly.parse_float"
_NAMED_REASONS: dict[type[httpx.RequestError], str] = {
    httpx.ConnectTimeout: "timed out while connecting",
    httpx.ReadTimeout: "timed out waiting for a response",
    httpx.ConnectError: "connection refused or unknown host",
}


def read_response(response: httpx.Response) -> dict[str, Any]:
    """Returns the JSON object of a 2xx response; an empty one without content.

    Raises:
        ApiError: the status is not 2xx.
    """
    if response.status_code == HTTPStatus.NO_CONTENT:
        return {}
    content = _content(response)
    if response.is_success and content is not None:
        return content
    raise refusal(response)


def note_parse_float(response: httpx.Response, parse_float: ParseFloat | None) -> None:
    """Notes in a response how to read its numbers."""
    response.extensions[_PARSE_FLOAT] = parse_float


def parse_float_of(response: httpx.Response) -> ParseFloat | None:
    """Returns how to read the numbers of a response; None for doubles."""
    parse_float: ParseFloat | None = response.extensions.get(_PARSE_FLOAT)
    return parse_float


def unreachable(url: str, error: httpx.RequestError) -> Unreachable:
    """Returns the error for a request without a response."""
    return Unreachable(url, _NAMED_REASONS.get(type(error)) or str(error) or type(error).__name__)


def retry_after_seconds(response: httpx.Response, *, otherwise: float) -> float:
    """Returns `Retry-After` in seconds, also if a proxy has written it as a date."""
    pause = _retry_after(response)
    return otherwise if pause is None else pause


def is_event_stream(response: httpx.Response) -> bool:
    """Returns True if the body is an event stream, in any spelling of its media type."""
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower() == _EVENT_STREAM


def may_repeat(response: httpx.Response) -> bool:
    """Returns True if the service recorded nothing and a repetition may succeed."""
    if response.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        return True
    if response.status_code != HTTPStatus.CONFLICT:
        return False
    return refusal(response).code == "IDEMPOTENCY_IN_FLIGHT"


def refusal(response: httpx.Response) -> ApiError:
    """Returns the error of a response, also of one that Duly did not send, such as the page of a proxy."""
    status = response.status_code
    content = _content(response) or {}
    error = content.get("error")
    if not isinstance(error, dict):  # a problem of RFC 9457, or a page
        message = content.get("detail") or content.get("title") or _foreign(response)
        error = {"code": f"HTTP_{status}", "message": message, "details": content} | content
    details = error.get("details")
    return ERROR_CLASSES.get(status, ApiError)(
        status,
        str(error.get("code", f"HTTP_{status}")),
        str(error.get("message", response.reason_phrase)),
        details if isinstance(details, dict) else {},
        retry_after_seconds=_retry_after(response),
        request_id=str(response.headers.get("X-Request-Id", "")),
    )


def _foreign(response: httpx.Response) -> str:
    return f"{response.url} returned {response.status_code} without a Duly error; check the URL of the service"


def _retry_after(response: httpx.Response) -> float | None:
    headers, now = response.headers, datetime.now(UTC)
    return read_retry_after(headers.get("Retry-After", ""), date=headers.get("Date", ""), now=now)


def _content(response: httpx.Response) -> dict[str, Any] | None:
    try:
        content = response.json(parse_float=parse_float_of(response))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
