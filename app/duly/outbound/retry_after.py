"""Pause that a response requests."""

from datetime import datetime

from duly.domain.retry_after import read_retry_after
from duly.outbound.response import OutboundResponse


def retry_after_seconds(answer: OutboundResponse, *, now: datetime) -> float | None:
    """Returns the seconds from now in its `Retry-After`; None without a valid one."""
    headers = answer.headers
    return read_retry_after(headers.get("retry-after", ""), date=headers.get("date", ""), now=now)
