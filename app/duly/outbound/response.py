"""Results of a request: a response, or the error that prevented one."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

RESPONSE_LIMIT: Final = 64 * 1024

OutboundCode = Literal[
    "BLOCKED_ADDRESS", "INVALID_URL", "CONNECT_FAILED", "TLS_FAILED", "TIMED_OUT", "INVALID_RESPONSE", "NOT_SENT"
]


class OutboundResponse(NamedTuple):
    """Response of a receiver: header names in lower case, the body raw and cut at 64 KiB (`truncated`)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    duration_seconds: float


class OutboundError(Exception):
    """Failure without a response. The message is one sentence that may be shown: it names host and port, never path or
    query.
    """

    def __init__(self, code: OutboundCode, message: str, *, duration_seconds: float) -> None:
        super().__init__(message)
        self.code: OutboundCode = code
        self.duration_seconds = duration_seconds


class RequestFailed(Exception):
    """Failure of one step of a request; the client adds host and port, and the duration."""

    def __init__(self, code: OutboundCode, message: str) -> None:
        super().__init__(message)
        self.code: OutboundCode = code


class AddressBlocked(OSError):
    """Refusal by the egress policy. An OSError, so that the code that connects passes it on."""
