"""Cron schedules: due times by the wall clock of a time zone.

Clock changes are treated as Debian's cron does. Expressions that name both minute and hour are *times of day*: due once
a day, also where that hour is skipped (then at its end) or repeated (then the first time). With a star in minute or
hour they are *intervals*: due whenever the wall clock shows a matching time, so not in a skipped hour and twice in a
repeated one.

CronSim parses the expression and steps through naive times. Its own treatment of clock changes, for aware times, agrees
with this one on five fields in most zones, but CronSim 2.8

- ignores clock changes for six fields: a daily job with seconds is skipped in spring and runs twice in autumn;
- treats a skipped midnight as due for intervals, as in Cairo, at 01:00;
- misses due times where a clock changes within an hour, as on Lord Howe Island;
- may return a time of day before the start, if it starts within the repeated hour.

`tests/domain/test_cronsim.py` compares both in all zones.
"""

import difflib
import math
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from duly.domain.cron_fields import FIELDS, WEEKDAY, plain, range_refusal, step_refusal
from duly.errors import PathError

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Names of the fields in the errors of cronsim.
_CALLED = ("second", "minute", "hour", "day-of-month", "month", "day-of-week")
DAY, MONTH = 3, 4
WITHOUT_SECONDS = 5
# The rarest day, a 29 February on a given weekday around a year like 2100, comes after 40 years.
YEARS_AHEAD = 50
SECOND = timedelta(seconds=1)
# No clock is set back by more than this.
LONGEST_REPEAT = timedelta(hours=3)
# Names whose meaning depends on the machine, or that have none.
_NO_ZONES = frozenset({"localtime", "Factory"})
_ANY_DATE = datetime(2000, 1, 1)  # noqa: DTZ001  # a reading of a wall clock


class CronRefused(ValueError):
    """Invalid expression or time zone. `errors` names each by its member."""

    def __init__(self, errors: list[PathError]) -> None:
        super().__init__("; ".join(f"{error.path}: {error.message}" for error in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Cron:
    """Due times. Arguments and results are moments with a time zone; results are in UTC, on whole
    seconds.

    Args:
        fields: six fields, the second first.
        zone: time zone of the wall clock.
        of_day: times of day rather than intervals.
    """

    fields: str
    zone: ZoneInfo
    of_day: bool

    def next_after(self, moment: datetime) -> datetime | None:
        """Returns the first due time after this moment; None if there is none in the next 50 years."""
        found = self._first(self._wall(moment), later_than=moment)
        turned_back = None if self.of_day else self._turned_back(moment)
        if turned_back is not None and (found is None or found >= turned_back):
            # From there on the wall clock repeats times before the one that it shows at `moment`.
            return self._first(self._wall(turned_back) - SECOND, later_than=turned_back - SECOND)
        return found

    def due_times(self, first: datetime, *, until: datetime, limit: int) -> list[datetime]:
        """Returns up to `limit` due times from `first`, itself a due time, up to and including `until`, in order."""
        times: list[datetime] = []
        due: datetime | None = first
        while due is not None and due <= until and len(times) < limit:
            times.append(due)
            due = self.next_after(due)
        return times

    def last_until(self, moment: datetime, *, since: datetime) -> datetime | None:
        """Returns the last due time after `since` and not after `moment`."""

        def is_due_within(seconds: int) -> bool:
            found = self.next_after(moment - seconds * SECOND)
            return found is not None and found <= moment

        longest = math.ceil((moment - since).total_seconds())
        seconds = bisect_left(range(longest + 1), True, key=is_due_within)  # noqa: FBT003  # the value that is searched
        found = self.next_after(moment - seconds * SECOND)
        return found if found is not None and since < found <= moment else None

    def _first(self, wall: datetime, *, later_than: datetime) -> datetime | None:
        """Returns the first moment after `later_than` at which the clock shows a matching time after `wall`."""
        last_year = wall.year + YEARS_AHEAD
        fitting = CronSim(self.fields, wall)
        while (fits := next(fitting, None)) is not None and fits.year <= last_year:
            first, second = (fits.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            if first > second:  # no clock shows this time: it is skipped
                moments: tuple[datetime, ...] = (self._change(second, first),)
                fitting = CronSim(self.fields, self._wall(moments[0]) - SECOND)
                if not self.of_day:
                    continue
            else:
                moments = (first,) if self.of_day else (first, second)
            for moment in moments:
                if moment > later_than:
                    return moment
        return None

    def _turned_back(self, moment: datetime) -> datetime | None:
        """Returns the moment at which the clock is set back, if that is within the next hours."""
        start = moment.replace(microsecond=0)
        end = start + LONGEST_REPEAT
        return self._change(start, end) if self._offset(end) < self._offset(start) else None

    def _change(self, before: datetime, after: datetime) -> datetime:
        """Returns the moment, to the second, at which the clock changes between these two."""
        new = self._offset(after)
        seconds = range(int((after - before).total_seconds()))
        changed = bisect_left(seconds, True, key=lambda n: self._offset(before + n * SECOND) == new)  # noqa: FBT003
        return before + changed * SECOND

    def _wall(self, moment: datetime) -> datetime:
        """Returns the reading of the wall clock."""
        return moment.astimezone(self.zone).replace(tzinfo=None, microsecond=0, fold=0)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()


def read_cron(text: str, timezone: str, *, kept: bool = False) -> Cron:
    """Returns the due times of an expression in a time zone.

    Args:
        text: the expression.
        timezone: IANA name.
        kept: the expression was accepted before, perhaps by a release that allowed steps without effect; they are
            ignored.

    Raises:
        CronRefused: the expression, the time zone or both are invalid.
    """
    errors: list[PathError] = []
    parts = _parts(text)
    if invalid := _invalid(text, parts, kept=kept):
        errors.append(PathError("cron", invalid))
    zone = _zone(timezone)
    if zone is None:
        errors.append(PathError("timezone", _no_zone(timezone)))
    if errors or zone is None:
        raise CronRefused(errors)
    fields = " ".join(plain(part, index) for index, part in enumerate(parts))
    return Cron(fields, zone, of_day=not any(part.startswith("*") for part in parts[1:DAY]))


def _parts(text: str) -> list[str]:
    """Returns the fields with the second first, each `?` of a day field replaced by a star."""
    parts = MACROS.get(text.strip().lower(), text).split()
    if len(parts) == WITHOUT_SECONDS:
        parts.insert(0, "0")
    return ["*" if part == "?" and index in {DAY, WEEKDAY} else part for index, part in enumerate(parts)]


def _invalid(text: str, parts: list[str], *, kept: bool) -> str | None:
    if text.strip().startswith("@") and len(parts) != len(FIELDS):
        return f"must be one of {', '.join(MACROS)}"
    if len(parts) != len(FIELDS):
        return (
            f"has {len(text.split())} fields; must have 5 (minute, hour, day of month, month, day of week), "
            "or 6 with the second first"
        )
    for index, part in enumerate(parts):
        if refused := _field_refusal(part, index, kept=kept):
            return refused
    try:
        CronSim(" ".join(parts), _ANY_DATE)
    except CronSimError as error:
        return _misread(parts, _CALLED.index(str(error).removeprefix("Bad ")))
    return None


def _field_refusal(part: str, index: int, *, kept: bool) -> str | None:
    """Returns the error of an expression that cronsim accepts and that has no sensible meaning."""
    name = FIELDS[index].name
    if "?" in part:
        return f'has "{part}" for its {name}; a question mark is allowed alone, in either day field'
    if not part.isascii():  # as capitals, letters of other alphabets may be those of a name
        return f'has "{part}" for its {name}, which is invalid'
    return None if kept else step_refusal(part, index)


def _misread(parts: list[str], index: int) -> str:
    if index == DAY:
        try:
            CronSim(" ".join([*parts[:MONTH], "*", "*"]), _ANY_DATE)
        except CronSimError:
            pass
        else:
            return f'is never due: no month of "{parts[MONTH]}" has a day "{parts[DAY]}"'
    if refused := range_refusal(parts[index], index):
        return refused
    return f'has "{parts[index]}" for its {FIELDS[index].name}, which is invalid'


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_ZONES


def _zone(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if name in _zones() else None


def _no_zone(name: str) -> str:
    """Returns the error of an unknown time zone, with the nearest name, by the whole or its last part."""
    spelt = {zone.rpartition("/")[2].casefold(): zone for zone in sorted(_zones(), reverse=True)}
    spelt |= {zone.casefold(): zone for zone in _zones()}
    near = difflib.get_close_matches(name.strip().replace(" ", "_").casefold(), spelt, n=1)
    message = "is not an IANA time zone"
    return f"{message}; did you mean {spelt[near[0]]}?" if near else f"{message} such as Europe/Berlin"
