"""Delay that a response requests in its `Retry-After`."""

from datetime import UTC, datetime

import pytest

from duly.outbound import OutboundResponse
from duly.outbound.retry_after import retry_after_seconds

NOW = datetime(2026, 1, 27, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("0000000004", 4),
        ("0" * 400 + "4", 4),
        ("00", 0),
        ("1000000000", 999_999_999),
        ("9" * 50, 999_999_999),
        ("Tue, 27 Jan 2026 10:02:00 GMT", 120),
        ("Tuesday, 27-Jan-26 10:02:00 GMT", 120),
        ("Tue Jan 27 10:02:00 2026", 120),
        ("Fri Feb  6 10:00:00 2026", 864_000),
        ("Tue, 27 Jan 2026 10:02:00", 120),
        ("Tue, 27 Jan 2026 09:00:00 GMT", 0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("+4", None),
        ("4, 4", None),
        ("4 s", None),
        ("1e3", None),
        ("٣", None),
        ("soon", None),
        ("Tue, 99 Jan 2026 10:02:00 GMT", None),
        ("Tue, 27 Jan 99999999999 10:02:00 GMT", None),
    ],
)
def test_seconds_and_dates_are_read_and_nothing_else(asked: str, seconds: float | None) -> None:
    answer = OutboundResponse(503, {"retry-after": asked}, b"", truncated=False, duration_seconds=0.1)
    assert retry_after_seconds(answer, now=NOW) == seconds


def test_an_answer_that_asks_for_nothing() -> None:
    assert retry_after_seconds(OutboundResponse(503, {}, b"", truncated=False, duration_seconds=0.1), now=NOW) is None
