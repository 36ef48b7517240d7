"""Errors of the Python client.

ClientError
├── ApiError      the service returned an error
└── Unreachable   the service did not respond
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
    """

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    @property
    def retryable(self) -> bool:
        """True if the same call may succeed later."""
        return bool(self.details.get("retryable", False))


class Unreachable(ClientError):
    """Service that does not respond at `url`, or a connection that stayed broken."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no service at {url}: {reason}")
        self.url = url
        self.reason = reason
