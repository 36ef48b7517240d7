"""Every way a call of the Python client can fail.

ClientError
├── ApiError      the service answered, and refused
└── Unreachable   no service answered
"""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """A call failed; the text is one sentence for a person."""


class ApiError(ClientError):
    """The service refused the call.

    `status` is the HTTP status, `code` the stable word of the error, `details` what the service added
    (`reason`, `retryable`, for invalid input `errors`: path and message of each fault).
    """

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return bool(self.details.get("retryable", False))


class Unreachable(ClientError):
    """No service answered on `url`, or the connection broke and stayed broken."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no service answers on {url}: {reason}")
        self.url = url
        self.reason = reason
