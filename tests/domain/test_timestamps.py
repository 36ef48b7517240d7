"""Timestamps are UTC with milliseconds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.timestamps import rfc3339


def test_moments_are_in_utc_with_milliseconds() -> None:
    assert rfc3339(datetime(2026, 1, 27, 10, tzinfo=UTC)) == "2026-01-27T10:00:00.000Z"
    assert rfc3339(datetime(2026, 1, 27, 10, 0, 0, 7999, tzinfo=UTC)) == "2026-01-27T10:00:00.007Z"
    assert (
        rfc3339(datetime(2026, 1, 27, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))) == "2026-01-26T19:30:00.000Z"
    )


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 -- Hypothesis adds the zone
def test_a_written_moment_is_the_same_moment_cut_to_milliseconds(moment: datetime) -> None:
    written = rfc3339(moment)
    assert len(written) == 24
    assert datetime.fromisoformat(written) == moment.astimezone(UTC).replace(
        microsecond=moment.microsecond // 1000 * 1000
    )


def test_a_moment_without_a_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="2026-01-27T10:00:00 has no time zone"):
        rfc3339(datetime(2026, 1, 27, 10))  # noqa: DTZ001 -- this is the error
