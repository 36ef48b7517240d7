"""Due times of cron expressions: fields, time zones, and the nights of clock changes."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from duly.domain.cron import MACROS, Cron, CronRefused, read_cron

BERLIN = "Europe/Berlin"  # forward on 2026-03-29 at 02:00 to 03:00, back on 2026-10-25 at 03:00 to 02:00
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"  # by half an hour: forward on 2026-10-04 at 02:00, back on 2026-04-05 at 02:00
CAIRO = "Africa/Cairo"  # forward at midnight, on 2026-04-24
TROLL = "Antarctica/Troll"  # by two hours: forward on 2026-03-29 at 01:00 UTC, back on 2026-10-25


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(expression: str, after: str, count: int = 3, *, zone: str = "UTC") -> list[str]:
    """The next due times as moments in UTC, to the second or the minute."""
    cron = read_cron(expression, zone)
    first = cron.next_after(utc(after))
    times = cron.due_times(first, until=utc("2100-01-01"), limit=count) if first is not None else []
    return [f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(":00") for moment in times]


def on_wall(expression: str, zone: str, after: str, until: str) -> list[str]:
    """The due times between two moments as a clock in the zone shows them, with its offset from UTC in hours."""
    cron = read_cron(expression, zone)
    moment, found = cron.next_after(utc(after)), []
    while moment is not None and moment <= utc(until):
        shown = moment.astimezone(ZoneInfo(zone))
        offset = shown.utcoffset() or timedelta()
        found.append(f"{shown:%d. %H:%M} {offset / timedelta(hours=1):+g}")
        moment = cron.next_after(moment)
    return found


# Fields


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", ["2026-01-27 10:01", "2026-01-27 10:02", "2026-01-27 10:03"]),
        ("*/20 * * * *", ["2026-01-27 10:20", "2026-01-27 10:40", "2026-01-27 11:00"]),
        ("30 6 * * MON-FRI", ["2026-01-28 06:30", "2026-01-29 06:30", "2026-01-30 06:30"]),
        ("0 0 1,15 * *", ["2026-02-01 00:00", "2026-02-15 00:00", "2026-03-01 00:00"]),
        ("0 12 L * *", ["2026-01-31 12:00", "2026-02-28 12:00", "2026-03-31 12:00"]),
        ("0 12 * * FRI#2", ["2026-02-13 12:00", "2026-03-13 12:00", "2026-04-10 12:00"]),
        ("0 12 15,L * *", ["2026-01-31 12:00", "2026-02-15 12:00", "2026-02-28 12:00"]),
        ("0 12 LW * *", ["2026-01-30 12:00", "2026-02-27 12:00", "2026-03-31 12:00"]),
        ("0 12 * * MON#1,5L", ["2026-01-30 12:00", "2026-02-02 12:00", "2026-02-27 12:00"]),
        ("0 12 L * MON#1", ["2026-01-31 12:00", "2026-02-02 12:00", "2026-02-28 12:00"]),
        ("0 12 * * 7", ["2026-02-01 12:00", "2026-02-08 12:00", "2026-02-15 12:00"]),
        ("0 12 * * 0", ["2026-02-01 12:00", "2026-02-08 12:00", "2026-02-15 12:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
    ],
)
def test_five_fields_are_minute_hour_day_month_weekday(expression: str, expected: list[str]) -> None:
    assert due(expression, "2026-01-27 10:00") == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * * *", ["2026-01-27 10:00:01", "2026-01-27 10:00:02", "2026-01-27 10:00:03"]),
        ("*/20 * * * * *", ["2026-01-27 10:00:20", "2026-01-27 10:00:40", "2026-01-27 10:01"]),
        ("15 30 6 * * *", ["2026-01-28 06:30:15", "2026-01-29 06:30:15", "2026-01-30 06:30:15"]),
        ("59 59 23 31 12 *", ["2026-12-31 23:59:59", "2027-12-31 23:59:59", "2028-12-31 23:59:59"]),
    ],
)
def test_of_six_fields_the_first_is_the_second(expression: str, expected: list[str]) -> None:
    assert due(expression, "2026-01-27 10:00") == expected


@pytest.mark.parametrize(
    ("quartz", "same"),
    [
        ("0 0 12 ? * MON", "0 0 12 * * MON"),
        ("0 0 12 1 * ?", "0 0 12 1 * *"),
        ("0 0 12 ? * ?", "0 0 12 * * *"),
        ("0 12 ? * WED", "0 12 * * WED"),
    ],
)
def test_a_question_mark_is_any_day(quartz: str, same: str) -> None:
    assert due(quartz, "2026-01-27 10:00") == due(same, "2026-01-27 10:00")


def test_with_both_days_named_either_is_enough() -> None:
    assert due("0 0 13 * FRI", "2026-02-09 00:00") == ["2026-02-13 00:00", "2026-02-20 00:00", "2026-02-27 00:00"]
    assert due("0 0 1 * FRI", "2026-02-26 00:00") == ["2026-02-27 00:00", "2026-03-01 00:00", "2026-03-06 00:00"]


@pytest.mark.parametrize("name", MACROS)
def test_a_name_stands_for_its_fields(name: str) -> None:
    assert read_cron(name, "UTC") == read_cron(MACROS[name], "UTC") == read_cron(f" {name.upper()} ", "UTC")


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("5-5/6 * * * *", "5 * * * *"),
        ("5-5/6,10 * * * *", "5,10 * * * *"),
        ("30-30/7 5-5/6 1-1/2 1-1/12 *", "30 5 1 1 *"),
        ("0 0 * JAN-1/2 *", "0 0 * 1 *"),
        ("50-55/30 * * * *", "50 * * * *"),
        ("5/20 * * * *", "5,25,45 * * * *"),
        ("0 0 28/2 * *", "0 0 28,30 * *"),
        ("0 0 1 OCT/2 *", "0 0 1 10,12 *"),
        ("0 0 1 APR-JUL/2 *", "0 0 1 4,6 *"),
        ("0 0 1 JUL/2 *", "0 0 1 7,9,11 *"),
        ("0 0 * * MON/2", "0 0 * * 1,3,5"),
        ("0 0 * * 1/2", "0 0 * * 1,3,5"),
        ("0 0 * * mon/6", "0 0 * * 1"),
        ("0 0 * * TUE/2", "0 0 * * 2,4,6"),
        ("0 0 * * SAT/2", "0 0 * * 6"),
        ("0 0 * * SUN/2", "0 0 * * 0,2,4,6"),
        ("0 0 * * 0/2", "0 0 * * 0,2,4,6"),
        ("0 0 * * 7/2", "0 0 * * 0,2,4,6"),
        ("0 0 * * SUN/3,MON/3", "0 0 * * 0,1,3,4,6"),
        ("0 0 * * MON-MON/2", "0 0 * * 1"),
        ("0 0 * * 7-7/2", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * 5-7/2", "0 0 * * 0,5"),
        ("0 0 * * 0-7", "0 0 * * 0-6"),
        ("0 0 * * MON-SAT/2", "0 0 * * 1,3,5"),
    ],
)
def test_steps_count_from_the_first_value_to_the_last_of_the_range_or_field(expression: str, same: str) -> None:
    assert due(expression, "2026-01-27 10:00", 12) == due(same, "2026-01-27 10:00", 12)


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("*/90 * * * *", "0 * * * *"),
        ("0/60 0 * * *", "0 0 * * *"),
        ("0 0 L/2 * *", "0 0 L * *"),
        ("0 0 LW/2 * *", "0 0 LW * *"),
        ("0 0 * * MON/8", "0 0 * * 1"),
    ],
)
def test_what_an_earlier_release_took_is_due_as_before(expression: str, same: str) -> None:
    after, kept = utc("2026-01-27 10:00"), read_cron(expression, "UTC", kept=True)
    first = kept.next_after(after)
    assert first is not None
    found = kept.due_times(first, until=utc("2100-01-01"), limit=5)
    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in found] == due(same, "2026-01-27 10:00", 5)


def test_a_due_time_comes_strictly_after_the_moment() -> None:
    cron = read_cron("* * * * * *", "UTC")
    assert cron.next_after(utc("2026-01-27 10:00:00")) == utc("2026-01-27 10:00:01")
    assert cron.next_after(utc("2026-01-27 10:00:00.000001")) == utc("2026-01-27 10:00:01")
    assert cron.next_after(utc("2026-01-27 10:00:00.999999")) == utc("2026-01-27 10:00:01")


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields"),
        ("0 0 12 * * ? 2026", "has 7 fields"),
        ("60 * * * *", 'has "60" for its minute'),
        ("* 24 * * *", 'has "24" for its hour'),
        ("61 * * * * *", 'has "61" for its second'),
        ("0 0 32 * *", 'has "32" for its day of month'),
        ("0 0 * 13 *", 'has "13" for its month'),
        ("0 0 * * 8", 'has "8" for its day of week'),
        ("0 0 * * FRI-MON", 'has "FRI-MON" for its day of week'),
        ("*/0 * * * *", 'has "*/0" for its minute'),
        ("a * * * *", 'has "a" for its minute'),
        ("? * * * *", "allowed alone, in either day field"),
        ("0 0 ?/2 * *", "allowed alone, in either day field"),
        ("0 0 30 2 *", 'is never due: no month of "2" has a day "30"'),
        ("0 0 31 4,6,9,11 *", 'no month of "4,6,9,11" has a day "31"'),
        ("@reboot", "must be one of @yearly"),
        ("*/90 * * * *", 'has "*/90" for its minute; a step there is between 1 and 59'),
        ("0/60 * * * *", 'has "0/60" for its minute; a step there is between 1 and 59'),
        ("5-10/60,3 * * * *", 'has "5-10/60" for its minute; a step there is between 1 and 59'),
        ("*/60 * * * * *", 'has "*/60" for its second; a step there is between 1 and 59'),
        ("* */24 * * *", 'has "*/24" for its hour; a step there is between 1 and 23'),
        ("0 0 */32 * *", 'has "*/32" for its day of month; a step there is between 1 and 31'),
        ("0 0 1 JAN/13 *", 'has "JAN/13" for its month; a step there is between 1 and 12'),
        ("0 0 * * MON/8", 'has "MON/8" for its day of week; a step there is between 1 and 7'),
        ("*/0 * * * *", "a step there is between 1 and 59"),
        ("0 0 L/2 * *", 'has "L/2" for its day of month; "L" takes no step'),
        ("0 0 lw/2 * *", 'has "lw/2" for its day of month; "lw" takes no step'),
        ("0 0 15,LW/2 * *", 'has "LW/2" for its day of month; "LW" takes no step'),
        ("0 0 * * 5L/2", 'has "5L/2" for its day of week; "5L" takes no step'),
        ("0 0 * * MON#1/2", 'has "MON#1/2" for its day of week; "MON#1" takes no step'),
        ("0 0 * * MON/2#1", 'has "MON/2#1" for its day of week, which is invalid'),
        ("0 0 1-L * *", 'has "1-L" for its day of month'),
        ("30-20 * * * *", 'has "30-20" for its minute; a range may not end before it begins'),
        ("0 0 * DEC-FEB *", 'has "DEC-FEB" for its month; a range may not end before it begins'),
        ("0 0 * * SAT-SUN/2", 'has "SAT-SUN/2" for its day of week; a range may not end before it begins'),
        ("0 0 * * FR\u0131", "for its day of week, which is invalid"),
        ("\u0664 * * * *", "for its minute, which is invalid"),
    ],
)
def test_what_means_nothing_is_refused_by_its_field(expression: str, says: str) -> None:
    with pytest.raises(CronRefused) as refused:
        read_cron(expression, "UTC")
    [error] = refused.value.errors
    assert error.path == "cron"
    assert says in error.message


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("Europe/Berln", "Europe/Berlin"),
        ("utc", "UTC"),
    ],
)
def test_an_unknown_time_zone_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(CronRefused) as refused:
        read_cron("* * * * *", name)
    assert [tuple(error) for error in refused.value.errors] == [
        ("timezone", f"is not an IANA time zone; did you mean {near}?")
    ]


@pytest.mark.parametrize("name", ["", "localtime", "Factory", "../etc/passwd", "/etc/localtime", "America", "\0"])
def test_what_is_no_name_of_a_zone_is_refused(name: str) -> None:
    with pytest.raises(CronRefused):
        read_cron("* * * * *", name)


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(CronRefused) as refused:
        read_cron("* * *", "Mars/Olympus")
    assert [error.path for error in refused.value.errors] == ["cron", "timezone"]


def test_what_never_comes_has_no_next_time() -> None:
    assert due("* * */20 * 1L", "2026-01-01 00:00") == []
    # The hour between two and three on the very day on which there is none.
    assert due("* 2 * 3 SUN#2", "2026-01-01 00:00", zone=NEW_YORK) == []


@settings(max_examples=300)
@given(st.text(alphabet="0123456789*/,-?#LW@MONFRIjan ", max_size=30))
@example("0 0 1-L * *")
@example("0 0 * * MON#1/2")
@example("0 0 L/2 * *")
@example("0 0 * * 5L/2")
def test_any_text_is_read_or_refused(text: str) -> None:
    start = utc("2026-01-01 00:00")
    with suppress(CronRefused):
        found = read_cron(text, "UTC").next_after(start)
        assert found is None or found > start


WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# The smallest of so large examples takes minutes to find, and says no more.
NOT_SHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
Item = tuple[str, frozenset[int]]


@st.composite
def items(draw: st.DrawFn, low: int, high: int, *, names: tuple[str, ...] = (), wraps: int | None = None) -> Item:
    """One item of a field and the values it stands for, counted by hand: `wraps` is the second number of Sunday."""
    numbers = st.integers(low, high if wraps is None else wraps)
    step = draw(st.none() | st.integers(1, high if wraps is None else wraps))
    first = draw(numbers)
    form = draw(st.sampled_from(["star", "one", "range"]))
    if form == "star":
        text, values = "*", range(low, high + 1)
    elif form == "range":
        last = draw(st.integers(first, high if wraps is None else wraps))
        text, values = f"{_spelt(draw, first, low, names)}-{_spelt(draw, last, low, names)}", range(first, last + 1)
    else:
        start = first % 7 if wraps and step is not None else first
        text, values = _spelt(draw, first, low, names), range(start, high + 1 if step is not None else start + 1)
    found = values[:: step or 1]
    return text + (f"/{step}" if step is not None else ""), frozenset(n % 7 if wraps else n for n in found)


def _spelt(draw: st.DrawFn, number: int, low: int, names: tuple[str, ...]) -> str:
    name = names[number - low] if number - low < len(names) else ""
    return name if name and draw(st.booleans()) else str(number)


@st.composite
def fields(draw: st.DrawFn, low: int, high: int, *, names: tuple[str, ...] = (), wraps: int | None = None) -> Item:
    chosen = draw(st.lists(items(low, high, names=names, wraps=wraps), min_size=1, max_size=3))
    # A star inside a list is possible, but says nothing and would change what two day fields mean together.
    return ",".join(text for text, _ in chosen), frozenset().union(*(values for _, values in chosen))


@settings(max_examples=100, deadline=None, phases=NOT_SHRUNK)
@given(
    fields(0, 59),
    fields(0, 59),
    fields(0, 23),
    fields(1, 31),
    fields(1, 12, names=MONTHS),
    fields(0, 6, names=WEEKDAYS, wraps=7),
    st.integers(0, 360),
)
def test_due_times_are_those_whose_every_field_fits(
    second: Item, minute: Item, hour: Item, day: Item, month: Item, weekday: Item, begin: int
) -> None:
    start = utc("2026-01-01") + timedelta(days=begin)
    both = day[0].startswith("*") or weekday[0].startswith("*")

    def fits(date: datetime) -> bool:
        days = (date.day in day[1], date.isoweekday() % 7 in weekday[1])
        return date.month in month[1] and (all(days) if both else any(days))

    text = " ".join(field for field, _ in (second, minute, hour, day, month, weekday))
    dates = [date for date in (start + timedelta(days=n) for n in range(60)) if fits(date)][:2]
    clocks = [timedelta(hours=h, minutes=m) for h in sorted(hour[1]) for m in sorted(minute[1])]
    times = (date + clock + timedelta(seconds=s) for date in dates for clock in clocks for s in sorted(second[1]))
    expected = list(islice(times, 40))  # of up to 172,800
    if not any(LONGEST[of - 1] >= min(day[1]) for of in month[1]) and both:
        with pytest.raises(CronRefused, match="is never due"):
            read_cron(text, "UTC")
        return
    cron = read_cron(text, "UTC")
    until = dates[-1] + timedelta(days=1) - timedelta(seconds=1) if dates else start + timedelta(days=60)
    found = cron.next_after(start - timedelta(seconds=1))
    listed_times = cron.due_times(found, until=until, limit=40) if found is not None else []
    assert listed_times == expected


# Time zones


def test_the_wall_clock_of_the_zone_counts() -> None:
    assert due("0 9 * * *", "2026-01-27 10:00", 1, zone="Asia/Tokyo") == ["2026-01-28 00:00"]
    assert due("0 9 * * *", "2026-01-27 10:00", 1, zone="Asia/Kathmandu") == ["2026-01-28 03:15"]
    assert due("0 9 * * *", "2026-03-28 00:00", 2, zone=BERLIN) == ["2026-03-28 08:00", "2026-03-29 07:00"]


def test_a_time_of_day_that_is_left_out_is_due_when_the_hour_is_over() -> None:
    night = ("2026-03-28 00:00", "2026-03-30 22:00")
    assert on_wall("30 2 * * *", BERLIN, *night) == ["28. 02:30 +1", "29. 03:00 +2", "30. 02:30 +2"]
    assert on_wall("0 30 2 * * *", BERLIN, *night) == ["28. 02:30 +1", "29. 03:00 +2", "30. 02:30 +2"]


def test_several_that_are_left_out_are_due_together_once() -> None:
    assert on_wall("0,15,30 2,3 * * *", BERLIN, "2026-03-29 00:30", "2026-03-29 12:00") == [
        *("29. 03:00 +2", "29. 03:15 +2", "29. 03:30 +2")
    ]


def test_a_time_of_day_that_is_repeated_is_due_the_first_time() -> None:
    night = ("2026-10-24 00:00", "2026-10-26 22:00")
    assert on_wall("30 2 * * *", BERLIN, *night) == ["24. 02:30 +2", "25. 02:30 +2", "26. 02:30 +1"]
    assert on_wall("0 30 2 * * *", BERLIN, *night) == ["24. 02:30 +2", "25. 02:30 +2", "26. 02:30 +1"]
    in_the_repeated_hour = ("2026-10-25 01:10", "2026-10-26 22:00")
    assert on_wall("30 2 * * *", BERLIN, *in_the_repeated_hour) == ["26. 02:30 +1"]


def test_an_interval_goes_on_past_the_hour_that_is_left_out() -> None:
    assert on_wall("*/30 * * * *", BERLIN, "2026-03-29 00:00", "2026-03-29 02:00") == [
        *("29. 01:30 +1", "29. 03:00 +2", "29. 03:30 +2", "29. 04:00 +2")
    ]
    assert on_wall("10 */2 * * *", BERLIN, "2026-03-28 23:00", "2026-03-29 04:30") == [
        *("29. 00:10 +1", "29. 04:10 +2", "29. 06:10 +2")
    ]


def test_an_interval_goes_on_through_the_hour_that_is_repeated() -> None:
    assert on_wall("*/30 * * * *", BERLIN, "2026-10-24 23:59", "2026-10-25 02:00") == [
        *("25. 02:00 +2", "25. 02:30 +2", "25. 02:00 +1", "25. 02:30 +1", "25. 03:00 +1")
    ]


def test_a_rare_interval_is_due_again_in_the_hour_that_is_repeated() -> None:
    assert on_wall("* 2 25 10 *", BERLIN, "2026-10-25 00:57", "2026-10-25 01:02") == [
        *("25. 02:58 +2", "25. 02:59 +2", "25. 02:00 +1", "25. 02:01 +1", "25. 02:02 +1")
    ]


def test_clocks_changed_by_half_an_hour_at_midnight_or_by_two_hours() -> None:
    assert on_wall("*/15 2 * * *", LORD_HOWE, "2026-10-03 15:00", "2026-10-03 16:30") == [
        *("04. 02:30 +11", "04. 02:45 +11")
    ]
    assert on_wall("*/15 1 * * *", LORD_HOWE, "2026-04-04 14:29", "2026-04-04 16:00") == [
        *("05. 01:30 +11", "05. 01:45 +11", "05. 01:30 +10.5", "05. 01:45 +10.5")
    ]
    assert on_wall("0 0 * * FRI", CAIRO, "2026-04-20 00:00", "2026-05-02 00:00") == ["24. 01:00 +3", "01. 00:00 +3"]
    assert on_wall("*/30 0 * * FRI", CAIRO, "2026-04-20 00:00", "2026-05-01 12:00") == ["01. 00:00 +3", "01. 00:30 +3"]
    assert len(on_wall("* * * * *", TROLL, "2026-10-24 23:00", "2026-10-25 05:00")) == 360


CHANGES = {
    BERLIN: ("2026-03-29 01:00", "2026-10-25 01:00"),
    NEW_YORK: ("2026-03-08 07:00", "2026-11-01 06:00"),
    LORD_HOWE: ("2026-10-03 15:30", "2026-04-04 15:00"),
    CAIRO: ("2026-04-23 22:00", "2026-10-29 21:00"),
    TROLL: ("2026-03-29 01:00", "2026-10-25 01:00"),
}
MINUTE = timedelta(minutes=1)


@st.composite
def nights(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a moment within hours of a change of its clocks."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    change = utc(draw(st.sampled_from(CHANGES[zone])))
    return zone, change + draw(st.integers(-300, 200)) * MINUTE


def listed(numbers: set[int]) -> str:
    return ",".join(str(number) for number in sorted(numbers))


MINUTES = st.sets(st.integers(0, 59), min_size=1, max_size=3)
HOURS = st.sets(st.integers(0, 4), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(nights(), MINUTES, st.none() | HOURS)
def test_intervals_are_all_moments_whose_wall_clock_fits(
    night: tuple[str, datetime], minutes: set[int], hours: set[int] | None
) -> None:
    zone, start = night
    cron = read_cron(f"{listed(minutes)} {'*' if hours is None else f'*/23,{listed(hours)}'} * * *", zone)
    end = start + timedelta(hours=8)
    fitting = []
    for moment in (start + n * MINUTE for n in range(1, 8 * 60 + 1)):
        wall = moment.astimezone(ZoneInfo(zone))
        if wall.minute in minutes and (hours is None or wall.hour in hours | {0, 23}):
            fitting.append(moment)
    assert between(cron, start, end) == fitting


@settings(max_examples=150, deadline=None)
@given(nights(), MINUTES, HOURS)
def test_times_of_day_are_due_once_each_day(night: tuple[str, datetime], minutes: set[int], hours: set[int]) -> None:
    zone, start = night
    cron = read_cron(f"{listed(minutes)} {listed(hours)} * * *", zone)
    end = start + timedelta(hours=30)
    change = min(map(utc, CHANGES[zone]), key=lambda moment: abs(moment - start))
    shown = shown_first(zone, change)
    fitting = {moment for wall, moment in shown.items() if wall.minute in minutes and wall.hour in hours}
    assert between(cron, start, end) == sorted(moment for moment in fitting if start < moment <= end)


@cache
def shown_first(zone: str, change: datetime) -> dict[datetime, datetime]:
    """Returns the moment at which each minute of the wall clock is due, in the days around all nights of a change."""
    due_at: dict[datetime, datetime] = {}
    latest = datetime.fromisoformat("9999-12-31")
    for moment in (change + n * MINUTE for n in range(-300 - 48 * 60, 200 + 31 * 60)):
        wall = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
        for missing in range(1, int((wall - latest) / MINUTE)):  # what the clock jumps over is due when it has
            due_at.setdefault(latest + missing * MINUTE, moment)
        due_at.setdefault(wall, moment)
        latest = wall
    return due_at


def between(cron: Cron, start: datetime, end: datetime) -> list[datetime]:
    first = cron.next_after(start)
    return cron.due_times(first, until=end, limit=10_000) if first else []


# Several at once


def test_due_times_are_listed_in_order_and_bounded() -> None:
    cron = read_cron("*/10 * * * *", "UTC")
    first, until = utc("2026-01-27 10:00"), utc("2026-01-27 10:30")
    assert cron.due_times(first, until=until, limit=10) == [first + n * 10 * MINUTE for n in range(4)]
    assert cron.due_times(first, until=until, limit=2) == [first, first + 10 * MINUTE]
    assert cron.due_times(until + MINUTE, until=until, limit=10) == []


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["*/7 * * * *", "*/10 * * * * *", "30 2 * * *", "0 0 1 * *", "* * 3 * * *"]),
    st.sampled_from(sorted(CHANGES)),
    st.integers(0, 364 * 86400).map(lambda seconds: utc("2026-01-01") + timedelta(seconds=seconds)),
    st.floats(0.5, 3600 * 40),
)
def test_the_last_due_time_is_the_one_that_no_other_follows(
    expression: str, zone: str, moment: datetime, seconds: float
) -> None:
    cron, since = read_cron(expression, zone), moment - timedelta(seconds=seconds)
    last = cron.last_until(moment, since=since)
    following = cron.next_after(last or since)
    assert following is None or following > moment
    assert last is None or since < last <= moment
