"""`Retry-After`: pause that a response requests (RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from duly.domain.http_field_values import delay_seconds


def read_retry_after(text: str, *, date: str, now: datetime) -> float | None:
    """Returns the seconds from now: 0 for a date in the past, None for invalid text.

    Now is the response's own `date`, since both dates are by one clock; without it, `now`.
    """
    text = text.strip(" \t")
    if (seconds := delay_seconds(text)) is not None:
        return float(seconds)
    moment = _date(text)
    return None if moment is None else max(0.0, (moment - (_date(date) or now)).total_seconds())


def _date(text: str) -> datetime | None:
    """Parses an HTTP date in any of its three forms (RFC 9110, section 5.6.7)."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for figures that no date holds
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
