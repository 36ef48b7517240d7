"""Responses of the service: their content, or the error that they describe."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx

from duly.client.errors import ApiError, Unreachable
from duly.domain.retry_after import read_retry_after

_NAMED_REASONS: dict[type[httpx.RequestError], str] = {
    httpx.ConnectTimeout: "timed out while connecting",
    httpx.ReadTimeout: "timed out waiting for a response",
    httpx.ConnectError: "connection refused or unknown host",
}


def read_response(response: httpx.Response) -> dict[str, Any]:
    """Returns the JSON object of a 2xx response.

    Raises:
        ApiError: the status is not 2xx.
    """
    content = _content(response)
    if response.is_success and content is not None:
        return content
    raise refusal(response)


def unreachable(url: str, error: httpx.RequestError) -> Unreachable:
    """Returns the error for a request without a response."""
    return Unreachable(url, _NAMED_REASONS.get(type(error)) or str(error) or type(error).__name__)


def retry_after_seconds(response: httpx.Response, *, otherwise: float) -> float:
    """Returns `Retry-After` in seconds, also if a proxy has written it as a date."""
    headers, now = response.headers, datetime.now(UTC)
    pause = read_retry_after(headers.get("Retry-After", ""), date=headers.get("Date", ""), now=now)
    return otherwise if pause is None else pause


def media_type(response: httpx.Response) -> str:
    """Returns the media type of a response, in lower case and without parameters."""
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


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
    error = (_content(response) or {}).get("error")
    if not isinstance(error, dict):
        message = f"{response.url} returned {status} without a Duly error; check the URL of the service"
        return ApiError(status, f"HTTP_{status}", message, {})
    details = error.get("details")
    return ApiError(
        status,
        str(error.get("code", f"HTTP_{status}")),
        str(error.get("message", response.reason_phrase)),
        details if isinstance(details, dict) else {},
    )


def _content(response: httpx.Response) -> dict[str, Any] | None:
    try:
        content = response.json()
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
