"""Result of a job of type `http.request`: completed, failed or retried, depending on the response."""

import codecs
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, Field

from duly.handlers.exceptions import Fail, Retry
from duly.outbound import OutboundError, OutboundResponse
from duly.outbound.retry_after import retry_after_seconds

# Request Timeout, Too Early, Too Many Requests: the same request may succeed later.
_PASSING: Final = frozenset({408, 425, 429})
_SERVER_ERRORS: Final = range(500, 600)
_SUCCESS: Final = range(200, 300)
_HOPELESS: Final = frozenset({"BLOCKED_ADDRESS", "INVALID_URL"})
_LONGEST_WAIT_SECONDS: Final = 86400.0
_HEADERS_SHOWN: Final = 16 * 1024


class HttpResult(BaseModel):
    """Response of the call. `headers` have lower-case names; those beyond 16 KiB are omitted."""

    status: int
    headers: dict[str, str]
    body: str
    bodyEncoding: Literal["base64"] | None = Field(  # noqa: N815 - the name in the JSON
        default=None, description="base64 if the body is not UTF-8 text"
    )
    truncated: bool = Field(description="true if the body was cut at 64 KiB")
    durationMs: int  # noqa: N815 - the name in the JSON


def result_of(answer: OutboundResponse, *, expected: Sequence[int] | None, shown: str) -> HttpResult:
    """Returns the result if the status is expected; None expects any 2xx.

    Raises:
        Retry: the status is temporary. Retried after the `Retry-After` of the response, at most a day.
        Fail: the status is permanent.
    """
    if answer.status in (_SUCCESS if expected is None else expected):
        return _result(answer)
    wanted = "any 2xx" if expected is None else " or ".join(map(str, expected))
    problem = f"{shown} returned {answer.status}, expected {wanted}."
    if answer.status not in _PASSING and answer.status not in _SERVER_ERRORS:
        raise Fail(problem)
    pause = retry_after_seconds(answer, now=datetime.now(UTC))  # noqa: TID251  # an answer without a date
    raise Retry(problem, after=min(pause, _LONGEST_WAIT_SECONDS) if pause else None)


def failure_of(error: OutboundError, *, method: str, origin: str) -> Retry | Fail:
    """Returns the exception to raise for a call without a response."""
    reason = str(error).removeprefix(f"{origin}: ")
    problem = f"{method} {origin} failed: {reason}"
    return Fail(problem) if error.code in _HOPELESS else Retry(problem)


def _result(answer: OutboundResponse) -> HttpResult:
    text = _text(answer)
    return HttpResult(
        status=answer.status,
        headers=_first(answer.headers),
        body=b64encode(answer.body).decode() if text is None else text,
        bodyEncoding="base64" if text is None else None,
        truncated=answer.truncated,
        durationMs=round(answer.duration_seconds * 1000),
    )


def _text(answer: OutboundResponse) -> str | None:
    """Returns the body as UTF-8 text, without a character cut at the limit, or None if it is not UTF-8."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(answer.body, final=not answer.truncated)
    except UnicodeDecodeError:
        return None


def _first(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers that fit the limit."""
    shown = {}
    room = _HEADERS_SHOWN
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room < 0:
            break
        shown[name] = value
    return shown
