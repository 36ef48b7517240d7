"""What an answer, or the lack of one, means for a job of type `http.request`: a result, an end, or once more."""

import codecs
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, Field

from duly.handlers.exceptions import Fail, Retry
from duly.outbound import OutboundAnswer, OutboundError
from duly.outbound.retry_after import retry_after_seconds

# Request Timeout, Too Early, Too Many Requests: they say that the same request may be answered otherwise later.
_PASSING: Final = frozenset({408, 425, 429})
_SERVER_ERRORS: Final = range(500, 600)
_SUCCESS: Final = range(200, 300)
_HOPELESS: Final = frozenset({"BLOCKED_ADDRESS", "INVALID_URL"})
_LONGEST_WAIT_SECONDS: Final = 86400.0
_HEADERS_SHOWN: Final = 16 * 1024


class Answered(BaseModel):
    """The answer. `headers` have lower-case names; those beyond 16 KiB are left out."""

    status: int
    headers: dict[str, str]
    body: str
    bodyEncoding: Literal["base64"] | None = Field(  # noqa: N815 - the name in the JSON
        default=None, description="base64 where the body is no UTF-8 text"
    )
    truncated: bool = Field(description="whether the body was longer than 64 KiB, and is cut")
    durationMs: int  # noqa: N815 - the name in the JSON


def judged(answer: OutboundAnswer, *, expected: Sequence[int] | None, shown: str) -> Answered:
    """The result, where the status is an expected one; any 2xx where None is given.

    Raises:
        Retry: the status may pass; after the time that the answer asks for, a day at most.
        Fail: it will not.
    """
    if answer.status in (_SUCCESS if expected is None else expected):
        return _answered(answer)
    wanted = "any 2xx" if expected is None else " or ".join(map(str, expected))
    problem = f"{shown} answered {answer.status}; expected was {wanted}."
    if answer.status not in _PASSING and answer.status not in _SERVER_ERRORS:
        raise Fail(problem)
    asked = retry_after_seconds(answer, now=datetime.now(UTC))  # noqa: TID251  # an answer without a date
    raise Retry(problem, after=min(asked, _LONGEST_WAIT_SECONDS) if asked else None)


def judged_failure(error: OutboundError, *, method: str, origin: str) -> Retry | Fail:
    """What to raise where no answer was had."""
    reason = str(error).removeprefix(f"{origin}: ")
    problem = f"{method} {origin} was not answered: {reason}"
    return Fail(problem) if error.code in _HOPELESS else Retry(problem)


def _answered(answer: OutboundAnswer) -> Answered:
    text = _text(answer)
    return Answered(
        status=answer.status,
        headers=_first(answer.headers),
        body=b64encode(answer.body).decode() if text is None else text,
        bodyEncoding="base64" if text is None else None,
        truncated=answer.truncated,
        durationMs=round(answer.duration_seconds * 1000),
    )


def _text(answer: OutboundAnswer) -> str | None:
    """The body as UTF-8 text, or None; a character that the cut goes through is left out."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(answer.body, final=not answer.truncated)
    except UnicodeDecodeError:
        return None


def _first(headers: Mapping[str, str]) -> dict[str, str]:
    """As many as there is room for."""
    shown = {}
    room = _HEADERS_SHOWN
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room < 0:
            break
        shown[name] = value
    return shown
