"""Timestamps of the API."""

from datetime import UTC, datetime
from functools import lru_cache

import orjson


@lru_cache(maxsize=64)  # jobs of one statement share their time
def rfc3339(moment: datetime) -> str:
    """Returns a moment as the API writes it, `2026-01-27T10:00:00.000Z`: in UTC, truncated to milliseconds.

    Raises:
        ValueError: the moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    written = orjson.dumps(moment.astimezone(UTC)).decode()
    return f"{written[1:24]}Z" if moment.microsecond else f"{written[1:20]}.000Z"
