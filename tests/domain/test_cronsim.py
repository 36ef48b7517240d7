"""CronSim on the times of a zone beside `Cron`: where they agree, and the due times it has wrong.

They agree on expressions of five fields in almost every zone, so each checks the other. Once a test of a difference
fails, CronSim has changed: where no difference is left, its own treatment of clock changes can replace that of `Cron`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from duly.domain.cron import read_cron

SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
ZONES = sorted(available_timezones() - {"localtime", "Factory"})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def offset(moment: datetime, zone: str) -> timedelta:
    return moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()


@lru_cache
def changes(zone: str, year: int) -> list[datetime]:
    """The moments, to the second, at which the clocks of the zone are changed."""
    days = [datetime(year, 1, 1, tzinfo=UTC) + n * DAY for n in range(366)]
    found = []
    for day in days:
        before, after = day, day + DAY
        if offset(before, zone) == offset(after, zone):
            continue
        while after - before > SECOND:
            middle = before + (after - before) // (2 * SECOND) * SECOND
            before, after = (middle, after) if offset(middle, zone) == offset(day, zone) else (before, middle)
        found.append(after)
    return found


def ours(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    cron = read_cron(expression, zone)
    first = cron.next_after(start)
    return cron.due_times(first, until=end, limit=10_000) if first else []


def cronsim(expression: str, zone: str, start: datetime, end: datetime, *, reverse: bool = False) -> list[datetime]:
    """The times of CronSim between two moments; it may begin with one that is earlier than the first."""
    if reverse:
        found = (due.astimezone(UTC) for due in CronSim(expression, (end + SECOND).astimezone(ZoneInfo(zone)), True))
        return sorted(takewhile(lambda due: due > start, found))
    found = (due.astimezone(UTC) for due in CronSim(expression, start.astimezone(ZoneInfo(zone))))
    return list(takewhile(lambda due: due <= end, found))


def listed(numbers: Iterable[int]) -> str:
    return ",".join(str(number) for number in sorted(numbers))


MINUTES = st.sets(st.integers(0, 59), min_size=1, max_size=3).map(listed)
HOURS = (st.sets(st.integers(0, 5), min_size=1, max_size=3) | st.sets(st.integers(21, 23), min_size=1)).map(listed)
EVERY = st.sampled_from(["*", "*/2", "*/5", "*/7"])
DAYS = st.sampled_from(["* * *", "* * FRI,SAT,SUN", "1-10 * *", "* 3,4,9,10,11 *", "L * *", "1-7 * SUN"])
TIMES_OF_DAY = st.tuples(MINUTES, HOURS, DAYS).map(" ".join)
INTERVALS = st.tuples(MINUTES, EVERY, DAYS).map(" ".join) | st.tuples(EVERY, EVERY | HOURS, DAYS).map(" ".join)


@st.composite
def nights(draw: st.DrawFn) -> tuple[str, datetime, datetime]:
    """Any zone, one of its clock changes, and a moment within hours of it."""
    zone = draw(st.sampled_from(ZONES))
    found = changes(zone, draw(st.integers(2026, 2037)))
    assume(found)
    change = draw(st.sampled_from(found))
    return zone, change, change + draw(st.integers(-300, 180)) * MINUTE


def on_full_hours(change: datetime, zone: str) -> bool:
    """Returns whether the wall clock shows a full hour before and after the change: not on Lord Howe Island."""
    return not any((change + offset(moment, zone)).minute for moment in (change - SECOND, change))


def leaves_out_midnight(change: datetime, zone: str) -> bool:
    before, after = (moment.astimezone(ZoneInfo(zone)) for moment in (change - SECOND, change))
    return before.date() < after.date() and (after.hour, after.minute) != (0, 0)


@settings(max_examples=150, deadline=None)
@given(nights(), TIMES_OF_DAY, st.booleans())
def test_both_agree_on_times_of_day(night: tuple[str, datetime, datetime], expression: str, reverse: bool) -> None:
    zone, change, start = night
    end = change + 30 * HOUR
    theirs = cronsim(expression, zone, start, end, reverse=reverse)
    assert ours(expression, zone, start, end) == [due for due in theirs if due > start]


@settings(max_examples=150, deadline=None)
@given(nights(), INTERVALS, st.booleans())
def test_both_agree_on_intervals_where_clocks_change_on_full_hours_and_not_at_midnight(
    night: tuple[str, datetime, datetime], expression: str, reverse: bool
) -> None:
    zone, change, start = night
    assume(on_full_hours(change, zone) and not leaves_out_midnight(change, zone))
    end = change + 8 * HOUR
    assert ours(expression, zone, start, end) == cronsim(expression, zone, start, end, reverse=reverse)


def shown(times: list[datetime], zone: str) -> list[str]:
    return [f"{due.astimezone(ZoneInfo(zone)):%d. %H:%M:%S %z}" for due in times]


@pytest.mark.parametrize(
    ("expression", "zone", "start", "hours", "right", "theirs"),
    [
        pytest.param(
            *("15 30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", 24),
            ["29. 03:00:00 +0200"],
            [],
            id="a time of day with seconds, in an hour that is left out, is passed over",
        ),
        pytest.param(
            *("15 30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", 24),
            ["25. 02:30:15 +0200"],
            ["25. 02:30:15 +0200", "25. 02:30:15 +0100"],
            id="a time of day with seconds, in an hour that is repeated, comes twice",
        ),
        pytest.param(
            *("30 2 * * *", "Europe/Berlin", "2026-10-25 01:10", 30),
            ["26. 02:30:00 +0100"],
            ["25. 02:30:00 +0200", "26. 02:30:00 +0100"],
            id="from within the repeated hour, a time of day comes that is earlier than the start",
        ),
        pytest.param(
            *("*/30 0 * * FRI", "Africa/Cairo", "2026-04-20 00:00", 11 * 24),
            ["01. 00:00:00 +0300", "01. 00:30:00 +0300"],
            ["24. 01:00:00 +0300", "01. 00:00:00 +0300", "01. 00:30:00 +0300"],
            id="a midnight that is left out is due for an interval",
        ),
        pytest.param(
            *("*/15 3 * * *", "Australia/Lord_Howe", "2026-10-03 14:00", 3),
            ["04. 03:00:00 +1100", "04. 03:15:00 +1100", "04. 03:30:00 +1100", "04. 03:45:00 +1100"],
            ["04. 03:30:00 +1100", "04. 03:45:00 +1100"],
            id="after a clock went forward by half an hour, half an hour is missed",
        ),
        pytest.param(
            *("*/15 3 * * *", "Australia/Lord_Howe", "2026-04-04 14:00", 4),
            ["05. 03:00:00 +1030", "05. 03:15:00 +1030", "05. 03:30:00 +1030", "05. 03:45:00 +1030"],
            ["05. 03:30:00 +1030", "05. 03:45:00 +1030"],
            id="after a clock went back by half an hour, half an hour is missed",
        ),
    ],
)
def test_cronsim_has_other_due_times(
    expression: str, zone: str, start: str, hours: int, right: list[str], theirs: list[str]
) -> None:
    begin = utc(start)
    end = begin + hours * HOUR
    assert shown(ours(expression, zone, begin, end), zone) == right
    assert shown(cronsim(expression, zone, begin, end), zone) == theirs


def test_cronsim_in_reverse_misses_half_an_hour_before_a_change_by_half_an_hour() -> None:
    night = "*/20 23 * * *", "Australia/Lord_Howe", utc("2026-04-04 11:30"), utc("2026-04-05 00:00")
    right = ["04. 23:00:00 +1100", "04. 23:20:00 +1100", "04. 23:40:00 +1100"]
    assert shown(ours(*night), night[1]) == right
    assert shown(cronsim(*night, reverse=True), night[1]) == right[:2]
