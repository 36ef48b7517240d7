"""How long an answer asks to be left alone: its `Retry-After`, RFC 9110, section 10.2.3."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from duly.outbound.answer import OutboundAnswer

_MOST_DIGITS = 9


def retry_after_seconds(answer: OutboundAnswer, *, now: datetime) -> float | None:
    """Seconds from now, however many; 0 for a date that has passed, None where it asks for nothing readable.

    Now is what the answer's own `Date` says, since both dates are by one clock; where it has none, `now`.
    """
    asked = answer.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdecimal():
        return float(asked[:_MOST_DIGITS])
    moment = _date(asked)
    if moment is None:
        return None
    return max(0.0, (moment - (_date(answer.headers.get("date", "")) or now)).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for figures that no date holds
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
