"""What an answer of the service means: its content, or the error that it tells of."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx

from duly.client.errors import ApiError, Unreachable
from duly.domain.retry_after import read_retry_after

_NAMED_REASONS: dict[type[httpx.RequestError], str] = {
    httpx.ConnectTimeout: "it did not take the connection in time",
    httpx.ReadTimeout: "it did not answer in time",
    httpx.ConnectError: "the connection was refused or the host is unknown",
}


def read_answer(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a 2xx answer; raises `ApiError` for any other."""
    content = _content(response)
    if response.is_success and content is not None:
        return content
    raise refusal(response)


def unreachable(url: str, error: httpx.RequestError) -> Unreachable:
    """The error for a request that had no answer."""
    return Unreachable(url, _NAMED_REASONS.get(type(error)) or str(error) or type(error).__name__)


def retry_after_seconds(response: httpx.Response, *, otherwise: float) -> float:
    """Returns the pause that the response asks for, in seconds; a proxy may write it as a date."""
    headers, now = response.headers, datetime.now(UTC)
    asked = read_retry_after(headers.get("Retry-After", ""), date=headers.get("Date", ""), now=now)
    return otherwise if asked is None else asked


def media_type(response: httpx.Response) -> str:
    """Returns the media type of a response, in lower case and without parameters."""
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def asks_to_repeat(response: httpx.Response) -> bool:
    """Whether the service did nothing and may do it soon: too many calls, draining, or the first one is under way."""
    if response.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        return True
    if response.status_code != HTTPStatus.CONFLICT:
        return False
    return refusal(response).code == "IDEMPOTENCY_IN_FLIGHT"


def refusal(response: httpx.Response) -> ApiError:
    """The error that an answer tells of, also where it is not the service's own (a proxy's page, another server)."""
    status = response.status_code
    told = (_content(response) or {}).get("error")
    if not isinstance(told, dict):
        message = f"{response.url} answered {status}, but not as a Duly service does; is the address right?"
        return ApiError(status, f"HTTP_{status}", message, {})
    details = told.get("details")
    return ApiError(
        status,
        str(told.get("code", f"HTTP_{status}")),
        str(told.get("message", response.reason_phrase)),
        details if isinstance(details, dict) else {},
    )


def _content(response: httpx.Response) -> dict[str, Any] | None:
    try:
        content = response.json()
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
