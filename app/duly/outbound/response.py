"""What comes of a request: an answer, or an error that says why there is none."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

RESPONSE_LIMIT: Final = 64 * 1024

OutboundCode = Literal[
    "BLOCKED_ADDRESS", "INVALID_URL", "CONNECT_FAILED", "TLS_FAILED", "TIMED_OUT", "INVALID_RESPONSE"
]


class OutboundAnswer(NamedTuple):
    """What a receiver answered: names of headers in lower case, the body raw and cut at 64 KiB (`truncated`)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    duration_seconds: float


class OutboundError(Exception):
    """No answer was had. The text is one sentence that may be shown: it names host and port, never path or query."""

    def __init__(self, code: OutboundCode, message: str, *, duration_seconds: float) -> None:
        super().__init__(message)
        self.code: OutboundCode = code
        self.duration_seconds = duration_seconds


class PostFailed(Exception):
    """Why a request failed, raised by the step that knows; the client adds host and port, and the time it took."""

    def __init__(self, code: OutboundCode, message: str) -> None:
        super().__init__(message)
        self.code: OutboundCode = code


class AddressRefused(OSError):
    """The guard's refusal. It is an error of the system's kind so that connecting carries it like any other."""
