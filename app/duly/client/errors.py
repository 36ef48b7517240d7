"""Errors of the Python client.

ClientError
├── ApiError                 the service returned an error
│   ├── InvalidRequest       400, 413, 415, 422: correct the request
│   ├── NotAuthenticated     401: the API key is missing, unknown, revoked or expired
│   ├── NotAllowed           403: the API key lacks a scope
│   ├── NotFound             404
│   ├── Conflict             409: the current state does not allow it
│   ├── TooManyRequests      429: a limit is reached; retry later
│   └── Unavailable          502, 503, 504: retry later
├── Unreachable              the service did not respond
└── JobNotCompleted          the job failed or was cancelled
"""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Failed call. The message is one sentence for a person."""


class ApiError(ClientError):
    """Error that the service returned.

    Attributes:
        status: HTTP status.
        code: error code.
        message: one sentence for a person.
        details: further members: `reason`, `retryable`, and for invalid input `errors` with `path` and `message`.
        retry_after_seconds: time after which the service may accept the call; None if it named none.
        request_id: ID of the request in the log of the service; empty if a proxy responded.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any],
        *,
        retry_after_seconds: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id

    @property
    def retryable(self) -> bool:
        """True if the same call may succeed later."""
        return bool(self.details.get("retryable", False))

    @property
    def remedy(self) -> str:
        """Remedy for the error, or its cause; empty if a proxy responded."""
        return str(self.details.get("remedy") or self.details.get("reason") or "")


class InvalidRequest(ApiError):
    """Request that the service cannot accept as it is; `details["errors"]` names each path."""


class NotAuthenticated(ApiError):
    """API key that is missing, unknown, revoked or expired."""


class NotAllowed(ApiError):
    """API key without the scope that the call needs; `details["scope"]` names it."""


class NotFound(ApiError):
    """Resource that does not exist, or that belongs to another tenant."""


class Conflict(ApiError):
    """Call that the current state of the resource does not allow."""


class TooManyRequests(ApiError):
    """Limit on submissions, or on the requests of the API key, that is reached."""


class Unavailable(ApiError):
    """Service that is stopping, overloaded or without its database, or a proxy that does not reach it."""


class Unreachable(ClientError):
    """Service that does not respond at `url`, or a connection that stayed broken."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no service at {url}: {reason}")
        self.url = url
        self.reason = reason


class JobNotCompleted(ClientError):
    """Job that failed or was cancelled where its result was required.

    Attributes:
        job: the job as `get` returns it.
        code: code of its error, e.g. `TIMED_OUT` or `CANCELLED`.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        error = job.get("error") or {}
        self.code = str(error.get("code", job["status"]).upper())
        super().__init__(f"job {job['jobId']} {job['status']}: {self.code}: {error.get('message', 'no message')}")
        self.job = job


ERROR_CLASSES: Mapping[int, type[ApiError]] = {
    **dict.fromkeys((400, 413, 415, 422), InvalidRequest),
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
    **dict.fromkeys((502, 503, 504), Unavailable),
}
