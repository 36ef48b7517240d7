"""Pause that a receiver's answer asks for."""

from datetime import datetime

from duly.domain.retry_after import read_retry_after
from duly.outbound.response import OutboundAnswer


def retry_after_seconds(answer: OutboundAnswer, *, now: datetime) -> float | None:
    """Returns the seconds from now of its `Retry-After`; see `read_retry_after`."""
    headers = answer.headers
    return read_retry_after(headers.get("retry-after", ""), date=headers.get("date", ""), now=now)
